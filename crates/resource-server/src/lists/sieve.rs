//! A stream of events on its way to a client: every list and every question in it is judged, and everything else goes through as it came
//! (attacks PX-18). Pure.
//!
//! On a stream that answers a list request each event is read whole. On any other one an event is only looked at, and
//! goes on as soon as it is ended or longer than [`UNDECIDED`]. A piece of an event means nothing to a client, so to
//! keep one back costs it nothing. Must never hold more than [`LARGEST`].

use bytes::{Bytes, BytesMut};
use protocol::mcp::{JsonRpcError, RequestId};

use super::answer::{Text, judge};
use super::question::REFUSED;
use super::scan::Scan;
use super::{LARGEST, See, TOO_LARGE, UNDECIDED, UNREADABLE, event};

const INTERNAL: i64 = -32603;

/// What a stream is expected to bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Anything: lists only if they have strayed.
    Anything,
    /// The answer to a list request.
    List(Option<RequestId>),
}

/// What became of a piece of the stream.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// What goes on; may be empty.
    pub(crate) bytes: Bytes,
    /// How much was taken out because it is suspicious.
    pub(crate) dropped: u32,
}

/// One stream of events.
#[derive(Debug)]
pub(crate) struct Sieve {
    expected: Expected,
    /// The request on whose stream this is, until it was answered by us.
    request: Option<RequestId>,
    line: Line,
    /// The name of the field that the line begins with, as far as it has come and concerns us.
    field: Vec<u8>,
    after_return: bool,
    /// The event is the first one.
    begins: bool,
    /// What is known of the event so far.
    so_far: SoFar,
    /// What is kept back of it.
    held: BytesMut,
    scan: Scan,
    dropped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Data,
    Field,
    Other,
}

/// More than a byte order mark and `data`.
const LONGEST_FIELD: usize = 8;

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

impl SoFar {
    const fn first(expected: &Expected) -> Self {
        match expected {
            Expected::Anything => Self::Undecided,
            Expected::List(_) => Self::Kept,
        }
    }
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
    pub(crate) fn new(expected: Expected) -> Self {
        Self {
            so_far: SoFar::first(&expected),
            expected,
            request: None,
            line: Line::Field,
            field: Vec::new(),
            after_return: false,
            begins: true,
            held: BytesMut::new(),
            scan: Scan::default(),
            dropped: 0,
        }
    }

    /// The same, on the stream of this request.
    pub(crate) fn of(mut self, request: Option<RequestId>) -> Self {
        self.request = request;
        self
    }

    /// The next piece of the stream.
    pub(crate) fn push(&mut self, piece: &Bytes, see: &mut dyn See) -> Sifted {
        let mut out = Out::new(piece);
        let (mut start, mut at) = (0, 0);
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.read(part, &mut out);
            at += part.len();
            let Some(ends) = end.and_then(|end| rest.get(end)) else { break };
            at += 1;
            if self.end_line(*ends) {
                // The line feed of the same line end goes with it.
                at += usize::from(self.after_return && piece.get(at) == Some(&b'\n'));
                self.end_event((start, at), &mut out, see);
                start = at;
            }
        }
        self.keep((start, piece.len()), &mut out);
        Sifted { bytes: out.into_bytes(), dropped: std::mem::take(&mut self.dropped) }
    }

    /// The stream is over. Whoever waits for a list that did not come is told.
    pub(crate) fn end(&mut self) -> Sifted {
        let mut bytes = match self.so_far {
            SoFar::Undecided => std::mem::take(&mut self.held),
            SoFar::Kept | SoFar::Refused | SoFar::Released => BytesMut::new(),
        };
        if let Some(id) = self.unanswered() {
            bytes.extend_from_slice(&error(id, UNREADABLE));
        }
        Sifted { bytes: bytes.freeze(), dropped: std::mem::take(&mut self.dropped) }
    }

    /// The request that has no answer yet, once.
    const fn unanswered(&mut self) -> Option<RequestId> {
        match &mut self.expected {
            Expected::Anything => None,
            Expected::List(id) => id.take(),
        }
    }

    /// A part of a line.
    fn read(&mut self, part: &[u8], out: &mut Out<'_>) {
        if part.is_empty() {
            return;
        }
        self.after_return = false;
        let value = match self.line {
            Line::Data => part,
            Line::Other => return,
            Line::Field => {
                let colon = memchr::memchr(b':', part);
                let (name, value) = part.split_at(colon.unwrap_or(part.len()));
                let room = LONGEST_FIELD.saturating_sub(self.field.len());
                self.field.extend(name.iter().take(room));
                if colon.is_none() {
                    return;
                }
                self.line = if self.is_data() { Line::Data } else { Line::Other };
                value.get(1..).unwrap_or_default()
            }
        };
        if self.line == Line::Data {
            self.look(value, out);
        }
    }

    fn is_data(&self) -> bool {
        self.field == b"data" || (self.begins && self.field == b"\xef\xbb\xbfdata")
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
            self.so_far = SoFar::Refused;
        } else {
            self.so_far = SoFar::Kept;
        }
    }

    /// The end of a line, by this byte. Whether it ends an event.
    fn end_line(&mut self, byte: u8) -> bool {
        let belongs = byte == b'\n' && self.after_return;
        self.after_return = byte == b'\r';
        if belongs {
            return false;
        }
        let is_empty = self.line == Line::Field && self.field.is_empty();
        if self.line == Line::Data {
            self.scan.push(b"\n");
        }
        self.line = Line::Field;
        self.field.clear();
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
        self.so_far = SoFar::first(&self.expected);
        self.scan.reset();
    }

    fn judge(&mut self, event: &[u8], out: &mut Out<'_>, see: &mut dyn See) {
        let plain = event::is_plain(event, self.begins);
        let Some(data) = event::data(event, self.begins).filter(|data| !data.is_empty()) else {
            // It carries an id, or keeps the connection open.
            match plain {
                true => out.add(event),
                false => out.add(&event::with_data(event, self.begins, None)),
            }
            return;
        };
        let answered = judge(&data, see);
        self.dropped += answered.dropped;
        self.refuse(&answered.refused, out);
        // A list that was asked for may still come, and whoever waits for it is told at the end.
        let waits = |id: &RequestId| self.expected == Expected::Anything && self.request.as_ref() == Some(id);
        if let Some(id) = answered.unread.into_iter().find(waits) {
            self.request = None;
            out.add(&error(id, UNREADABLE));
        }
        match answered.text {
            Text::Nothing => return,
            Text::Untouched if plain => out.add(event),
            Text::Untouched => out.add(&event::with_data(event, self.begins, Some(&data))),
            Text::Changed(data) => out.add(&event::with_data(event, self.begins, Some(&data))),
        }
        match &mut self.expected {
            Expected::List(Some(id)) if answered.ids.contains(id) => self.expected = Expected::List(None),
            Expected::List(_) | Expected::Anything => {}
        }
    }

    /// Whoever waits for an answer that cannot come any more, because of what the person was to be asked, is told.
    fn refuse(&mut self, refused: &[Option<RequestId>], out: &mut Out<'_>) {
        for id in refused {
            let Some(id) = id.clone().or_else(|| self.request.take()) else { continue };
            out.add(&error(id, REFUSED));
            self.expected = match std::mem::replace(&mut self.expected, Expected::Anything) {
                Expected::List(_) => Expected::List(None),
                Expected::Anything => Expected::Anything,
            };
        }
    }

    /// The piece is at its end, the event is not.
    fn keep(&mut self, (start, end): (usize, usize), out: &mut Out<'_>) {
        let length = self.held.len() + (end - start);
        match self.so_far {
            SoFar::Refused => self.held.clear(),
            SoFar::Kept if length > LARGEST => {
                self.held.clear();
                self.dropped += 1;
                self.so_far = SoFar::Refused;
                if let Some(id) = self.unanswered() {
                    out.add(&error(id, TOO_LARGE));
                }
            }
            SoFar::Undecided if length > UNDECIDED => {
                self.so_far = SoFar::Released;
                out.add_part(&mut self.held, (start, end));
            }
            SoFar::Released => out.add_part(&mut self.held, (start, end)),
            SoFar::Kept | SoFar::Undecided => {
                self.held.extend_from_slice(out.piece.get(start..end).unwrap_or_default());
            }
        }
    }
}

/// The event that answers a request with an error.
fn error(id: RequestId, message: &'static str) -> Vec<u8> {
    let error = JsonRpcError { id: Some(id), code: INTERNAL, message, data: None };
    [b"data: ", &error.to_body()[..], b"\n\n"].concat()
}
