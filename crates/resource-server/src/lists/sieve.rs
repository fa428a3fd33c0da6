//! A stream of events on its way to a client: every list and every question in it is judged, and everything else goes through as it came
//! (attacks PX-18). Pure.
//!
//! On a stream that answers a list request each event is read whole. On any other one an event is only looked at, and
//! goes on as soon as it is ended or longer than [`UNDECIDED`]. A piece of an event means nothing to a client, so to
//! keep one back costs it nothing. What stands beside the data goes on as far as it means something to a reader of events.
//! Must never hold more than [`LARGEST`].

use bytes::{Bytes, BytesMut};
use protocol::mcp::{JsonRpcError, RequestId};

use super::answer::{Text, judge};
use super::question::REFUSED;
use super::scan::Scan;
use super::{LARGEST, NO_ANSWER, See, TOO_LARGE, UNDECIDED, UNREADABLE, Wanted, event};

const INTERNAL: i64 = -32603;

/// What became of a piece of the stream.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// What goes on; may be empty.
    pub(crate) bytes: Bytes,
    /// How much was taken out because it is suspicious.
    pub(crate) dropped: u32,
    /// There is no end of what is not to go on: nobody is to wait for more.
    pub(crate) endless: bool,
}

/// One stream of events.
#[derive(Debug)]
pub(crate) struct Sieve {
    wanted: Wanted,
    /// The list that was asked for is there.
    came: bool,
    /// Something was cut off that may have been the answer.
    cut: bool,
    line: Line,
    /// The name of the field that the line begins with, as far as it has come and concerns us.
    field: Vec<u8>,
    /// What stands in a field that is known, and is no data.
    value: Vec<u8>,
    after_return: bool,
    /// The line before was taken out.
    skipped: bool,
    /// The event is the first one.
    begins: bool,
    /// What is known of the event so far.
    so_far: SoFar,
    /// What is kept back of it.
    held: BytesMut,
    /// How much of what has not gone on stands before the line.
    before: usize,
    /// How much of it was taken out.
    refused: usize,
    scan: Scan,
    dropped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Data,
    Field,
    /// A field that is known, and is no data.
    Known,
    /// It is not to go on, nor is what is to be taken out of it looked at.
    Other,
    /// It was taken out already, as far as it came.
    Skipped,
}

/// How much of an event that is not to go on is read before it is taken for one without an end.
const ENDLESS: usize = 8 * LARGEST;
/// More than a byte order mark and the longest name that is known.
const LONGEST_FIELD: usize = 9;
/// More than a blank and what may stand in a field that is known.
const TOO_LONG: usize = event::LONGEST + 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoFar {
    /// It holds a list: kept until it is whole.
    Kept,
    /// It is not to go on.
    Refused,
    /// Its beginning has gone on.
    Released,
    Undecided,
}

/// What goes on of one piece.
struct Out<'p> {
    piece: &'p Bytes,
    /// It is this much of the piece from its beginning, and nothing else.
    whole: Option<usize>,
    bytes: BytesMut,
}

impl<'p> Out<'p> {
    fn new(piece: &'p Bytes) -> Self {
        Self { piece, whole: Some(0), bytes: BytesMut::new() }
    }

    /// Something else than the piece as it came.
    fn add(&mut self, bytes: &[u8]) {
        if let Some(end) = self.whole.take() {
            self.bytes.extend_from_slice(self.piece.get(..end).unwrap_or_default());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// A part of the piece, after what was kept back of pieces before.
    fn add_part(&mut self, held: &mut BytesMut, (start, end): (usize, usize)) {
        if held.is_empty() && self.whole == Some(start) {
            self.whole = Some(end);
            return;
        }
        self.add(held);
        held.clear();
        self.bytes.extend_from_slice(self.piece.get(start..end).unwrap_or_default());
    }

    fn into_bytes(self) -> Bytes {
        match self.whole {
            Some(end) => self.piece.slice(..end),
            None => self.bytes.freeze(),
        }
    }
}

impl Sieve {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let scan = Scan::new(wanted.modern);
        let mut sieve = Self {
            wanted,
            came: false,
            cut: false,
            line: Line::Field,
            field: Vec::new(),
            value: Vec::new(),
            after_return: false,
            skipped: false,
            begins: true,
            so_far: SoFar::Undecided,
            held: BytesMut::new(),
            before: 0,
            refused: 0,
            scan,
            dropped: 0,
        };
        sieve.so_far = sieve.first();
        sieve
    }

    /// What is known of an event before it comes: each is read whole where a list is to come, and where an answer must not.
    const fn first(&self) -> SoFar {
        if self.wanted.list.is_some() || self.wanted.over { SoFar::Kept } else { SoFar::Undecided }
    }

    /// The next piece of the stream.
    pub(crate) fn push(&mut self, piece: &Bytes, see: &mut dyn See) -> Sifted {
        let mut out = Out::new(piece);
        let (mut start, mut at) = (0, 0);
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.read(part, start, &mut out);
            at += part.len();
            if self.line == Line::Skipped {
                self.refused += at - start;
                start = at;
            }
            let Some(ends) = end.and_then(|end| rest.get(end)) else { break };
            at += 1;
            if self.end_line(*ends, start, &mut out) {
                // The line feed of the same line end goes with it.
                at += usize::from(self.after_return && piece.get(at) == Some(&b'\n'));
                self.end_event((start, at), &mut out, see);
                start = at;
            }
            if self.skipped {
                start = at;
            }
            self.before = self.held.len() + (at - start);
        }
        self.keep((start, piece.len()), &mut out);
        let endless = self.refused > ENDLESS;
        if let Some(told) = endless.then(|| self.last_words()).flatten() {
            out.add(&told);
        }
        let dropped = std::mem::take(&mut self.dropped);
        Sifted { bytes: out.into_bytes(), dropped, endless }
    }

    /// The stream is over. Whoever waits for an answer that did not come is told, unless it may come on another stream.
    pub(crate) fn end(&mut self, may_come_back: bool) -> Sifted {
        let mut bytes = match self.so_far {
            SoFar::Undecided => std::mem::take(&mut self.held),
            SoFar::Kept | SoFar::Refused | SoFar::Released => BytesMut::new(),
        };
        if self.line != Line::Data {
            bytes.truncate(self.before);
        }
        if let Some(told) = (!may_come_back).then(|| self.last_words()).flatten() {
            bytes.extend_from_slice(&told);
        }
        let dropped = std::mem::take(&mut self.dropped);
        Sifted { bytes: bytes.freeze(), dropped, endless: false }
    }

    /// What is told to whoever waits for what does not come.
    fn last_words(&mut self) -> Option<Vec<u8>> {
        if let Some(id) = self.unanswered() {
            return Some(error(id, UNREADABLE));
        }
        let waits = self.cut && !self.came && !self.wanted.over;
        self.wanted.over |= waits;
        self.wanted.id.clone().filter(|_| waits).map(|id| error(id, NO_ANSWER))
    }

    /// The request whose list has not come, once.
    fn unanswered(&mut self) -> Option<RequestId> {
        let waits = self.wanted.list.is_some() && !self.came && !self.wanted.over;
        self.wanted.over |= waits;
        self.wanted.id.clone().filter(|_| waits)
    }

    /// A part of a line.
    fn read(&mut self, part: &[u8], start: usize, out: &mut Out<'_>) {
        if part.is_empty() {
            return;
        }
        self.after_return = false;
        let value = match self.line {
            Line::Data | Line::Known => part,
            Line::Other | Line::Skipped => return,
            Line::Field => {
                let colon = memchr::memchr(b':', part);
                let (name, value) = part.split_at(colon.unwrap_or(part.len()));
                let room = LONGEST_FIELD.saturating_sub(self.field.len());
                self.field.extend(name.iter().take(room));
                if colon.is_none() {
                    // No name that is known is so long, and what is not judged before its end is kept.
                    if self.field.len() == LONGEST_FIELD {
                        self.line = Line::Other;
                        self.purge(start, out);
                    }
                    return;
                }
                self.line = match self.name() {
                    b"data" => Line::Data,
                    name if event::is_known(name) => Line::Known,
                    // A comment without a word says that the connection lives.
                    b"" if value == b":" => Line::Field,
                    _ => Line::Other,
                };
                value.get(1..).unwrap_or_default()
            }
        };
        match self.line {
            Line::Data => self.look(value, out),
            Line::Known => {
                self.value.extend(value.iter().take(TOO_LONG.saturating_sub(self.value.len())));
                // Whatever follows, it is not sound any more.
                if self.value.len() == TOO_LONG {
                    self.line = Line::Other;
                    self.purge(start, out);
                }
            }
            Line::Field => self.field.push(b':'),
            Line::Other => self.purge(start, out),
            Line::Skipped => {}
        }
    }

    /// The name of the field.
    fn name(&self) -> &[u8] {
        self.field.strip_prefix(event::BOM).filter(|_| self.begins).unwrap_or(&self.field)
    }

    /// A part of the data.
    fn look(&mut self, data: &[u8], out: &mut Out<'_>) {
        match self.so_far {
            SoFar::Kept | SoFar::Refused => return,
            SoFar::Released | SoFar::Undecided => self.scan.push(data),
        }
        if !self.scan.found() {
            return;
        }
        if self.so_far == SoFar::Released {
            // A list so far inside that it cannot be called back: what has gone on is ended as it is, half a JSON text.
            out.add(b"\n\n");
            self.dropped += 1;
            self.cut = true;
            self.so_far = SoFar::Refused;
        } else {
            self.so_far = SoFar::Kept;
        }
    }

    /// The line is not to go on. It is taken out alone, unless it says what kind the event is of: without it, that would be
    /// another one.
    fn purge(&mut self, start: usize, out: &mut Out<'_>) {
        let decides = self.name() == b"event";
        let is_comment = self.name().first().is_none_or(|first| *first == b':');
        match self.so_far {
            SoFar::Kept | SoFar::Refused => {}
            SoFar::Undecided if decides => self.so_far = SoFar::Kept,
            SoFar::Undecided => {
                let missing = self.before.saturating_sub(self.held.len());
                self.held.truncate(self.before);
                self.held.extend_from_slice(out.piece.get(start..start + missing).unwrap_or_default());
                // It says that the connection lives.
                self.held.extend_from_slice(if is_comment { b":\n" } else { b"" });
                self.before = self.held.len();
                self.line = Line::Skipped;
            }
            SoFar::Released => {
                self.let_go(start, out);
                self.held.clear();
                if decides {
                    out.add(b"\n");
                    self.dropped += 1;
                    self.cut = true;
                    self.so_far = SoFar::Refused;
                } else {
                    out.add(if is_comment { b":\n" } else { b"" });
                    self.line = Line::Skipped;
                }
            }
        }
    }

    /// What stands before the line goes on; what has come of the line does not yet.
    fn let_go(&mut self, start: usize, out: &mut Out<'_>) {
        let ready = std::mem::take(&mut self.before);
        match ready.checked_sub(self.held.len()) {
            None => out.add(&self.held.split_to(ready)),
            Some(more) => out.add_part(&mut self.held, (start, start + more)),
        }
    }

    /// The end of a line, by this byte. Whether it ends an event.
    fn end_line(&mut self, byte: u8, start: usize, out: &mut Out<'_>) -> bool {
        let belongs = byte == b'\n' && self.after_return;
        self.after_return = byte == b'\r';
        if belongs {
            return false;
        }
        let is_empty = self.line == Line::Field && self.field.is_empty();
        let is_sound = match self.line {
            Line::Data => {
                self.scan.push(b"\n");
                true
            }
            Line::Known => event::is_sound(self.name(), event::value(&self.value)),
            // A name alone is a field without a value.
            Line::Field => matches!(self.name(), b"" | b":" | b"data") || event::is_known(self.name()),
            Line::Other | Line::Skipped => true,
        };
        if !is_sound {
            self.purge(start, out);
        }
        self.skipped = self.line == Line::Skipped;
        self.line = Line::Field;
        self.field.clear();
        self.value.clear();
        is_empty
    }

    /// The event is whole, and ends with this part of the piece.
    fn end_event(&mut self, (start, end): (usize, usize), out: &mut Out<'_>, see: &mut dyn See) {
        match self.so_far {
            SoFar::Released | SoFar::Undecided => out.add_part(&mut self.held, (start, end)),
            SoFar::Refused => self.held.clear(),
            SoFar::Kept => {
                self.held.extend_from_slice(out.piece.get(start..end).unwrap_or_default());
                let event = self.held.split();
                self.judge(&event, out, see);
            }
        }
        self.begins = false;
        self.refused = 0;
        self.so_far = self.first();
        self.scan.reset();
    }

    fn judge(&mut self, event: &[u8], out: &mut Out<'_>, see: &mut dyn See) {
        if event::is_of_an_odd_kind(event, self.begins) {
            self.dropped += 1;
            return;
        }
        let plain = event::is_plain(event, self.begins);
        let Some(data) = event::data(event, self.begins).filter(|data| !data.is_empty()) else {
            // It carries an id, or keeps the connection open.
            match plain {
                true => out.add(event),
                false => out.add(&event::with_data(event, self.begins, None)),
            }
            return;
        };
        let answered = judge(&data, &self.wanted, see);
        self.dropped += answered.dropped;
        for id in answered.refused {
            self.tell(id, REFUSED, out);
        }
        // A list that was asked for may still come, and whoever waits for it is told at the end.
        let waits = |id: &RequestId| self.wanted.is_no_list(id);
        if let Some(id) = answered.unread.into_iter().find(waits) {
            self.tell(Some(id), NO_ANSWER, out);
        }
        match answered.text {
            Text::Nothing => return,
            Text::Untouched if plain => out.add(event),
            Text::Untouched => out.add(&event::with_data(event, self.begins, Some(&data))),
            Text::Changed(data) => out.add(&event::with_data(event, self.begins, Some(&data))),
        }
        self.came |= self.wanted.id.as_ref().is_some_and(|id| answered.ids.contains(id));
    }

    /// Whoever waits for an answer that cannot come any more is told; once, if it is the request whose stream this is. What
    /// the MCP server says to it from then on would be a second answer (JSON-RPC 2.0, section 5).
    fn tell(&mut self, id: Option<RequestId>, message: &'static str, out: &mut Out<'_>) {
        let own = self.wanted.id.clone();
        let Some(id) = id.or_else(|| own.clone()) else { return };
        if own.as_ref() == Some(&id) {
            if self.wanted.over || self.came {
                return;
            }
            self.wanted.over = true;
        }
        out.add(&error(id, message));
    }

    /// The piece is at its end, the event is not.
    fn keep(&mut self, (start, end): (usize, usize), out: &mut Out<'_>) {
        let length = self.held.len() + (end - start);
        match self.so_far {
            SoFar::Refused => {
                self.held.clear();
                self.refused += end - start;
            }
            SoFar::Kept if length > LARGEST => {
                self.held.clear();
                self.dropped += 1;
                self.cut = true;
                self.so_far = SoFar::Refused;
                if let Some(id) = self.unanswered() {
                    out.add(&error(id, TOO_LARGE));
                }
            }
            SoFar::Released => self.release((start, end), out),
            SoFar::Undecided if length > UNDECIDED => {
                self.so_far = SoFar::Released;
                self.release((start, end), out);
            }
            SoFar::Kept | SoFar::Undecided => {
                self.held.extend_from_slice(out.piece.get(start..end).unwrap_or_default());
            }
        }
    }

    /// What has come of the event goes on, but for a line of which it is not known yet whether it may.
    fn release(&mut self, (start, end): (usize, usize), out: &mut Out<'_>) {
        if self.line == Line::Data {
            out.add_part(&mut self.held, (start, end));
            self.before = 0;
            return;
        }
        let unsent = (self.held.len() + (end - start)).saturating_sub(self.before);
        self.let_go(start, out);
        let rest = end.saturating_sub(unsent).max(start);
        self.held.extend_from_slice(out.piece.get(rest..end).unwrap_or_default());
    }
}

/// The event that answers a request with an error.
fn error(id: RequestId, message: &'static str) -> Vec<u8> {
    let error = JsonRpcError { id: Some(id), code: INTERNAL, message, data: None };
    [b"data: ", &error.to_body()[..], b"\n\n"].concat()
}
