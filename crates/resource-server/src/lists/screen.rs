//! A JSON text on its way to a client that asked for no list: looked at for questions to the person and for lists, and kept back
//! whole only if there is one, or if it is no JSON text (attacks PX-18, PX-41). Pure.
//!
//! A piece of a JSON text means nothing to a client, so to keep one back costs it nothing. What takes the place of a text is as
//! long as that was, for its length may have been told. Must never hold more than [`LARGEST`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use protocol::mcp::JsonRpcError;
use protocol::world::Timestamp;

use super::answer::{Answered, Text, judge};
use super::question::REFUSED;
use super::scan::Scan;
use super::{LARGEST, NO_ANSWER, Ours, See, Sight, UNDECIDED, Wanted};
use crate::audit::Who;

const INTERNAL: i64 = -32603;
/// What is said where there is no room for more.
const SHORT: &str = "Refused.";

/// One text.
#[derive(Debug)]
pub(crate) struct Screen {
    scan: Scan,
    so_far: SoFar,
    held: BytesMut,
    ours: Arc<Ours>,
    /// When it was asked for.
    now: Timestamp,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoFar {
    /// It holds a list or a question: kept until it is whole.
    Kept,
    /// Its beginning has gone on.
    Released,
    Undecided,
}

/// What becomes of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Screened {
    /// The text ends here, in the middle: no client can read it.
    Cut,
    /// Nothing goes on yet.
    Hold,
    /// This is whole, and to be judged.
    Judge(Bytes),
    /// This goes on.
    Pass(Bytes),
}

/// What goes on in the place of a text; it is as long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) bytes: Bytes,
    /// How much was taken out because it is suspicious.
    pub(crate) dropped: u32,
    /// Why nothing of it goes on.
    pub(crate) refused: Option<Why>,
}

/// Why nothing of a text goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A person was to be asked what nobody is asked.
    Question,
    /// It cannot be read in one way.
    Unreadable,
}

impl Screen {
    /// What is told to whoever waits, if there was no text at all.
    pub(crate) fn in_place_of_nothing(&self) -> Option<Bytes> {
        let id = Some(self.wanted.id.clone()?);
        Some(JsonRpcError { id, code: INTERNAL, message: NO_ANSWER, data: None }.to_body())
    }

    pub(crate) fn new(ours: &Arc<Ours>, now: Timestamp, wanted: Wanted) -> Self {
        let (scan, held) = (Scan::new(wanted.modern), BytesMut::new());
        Self { scan, so_far: SoFar::Undecided, held, ours: Arc::clone(ours), now, wanted }
    }

    /// What this caller may see of it.
    pub(crate) fn sight(&self, who: &Who) -> Sight {
        Sight::of(who, &self.ours, self.now)
    }

    /// How much is kept back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The next piece; whether it is the last.
    pub(crate) fn push(&mut self, piece: Bytes, is_end: bool) -> Screened {
        if self.so_far != SoFar::Kept {
            self.scan.push(&piece);
            match (self.scan.found(), self.so_far) {
                (true, SoFar::Released) => return Screened::Cut,
                (true, SoFar::Kept | SoFar::Undecided) => self.so_far = SoFar::Kept,
                (false, _) => {}
            }
        }
        let length = self.held.len() + piece.len();
        match self.so_far {
            SoFar::Kept if length > LARGEST => Screened::Cut,
            SoFar::Kept if is_end => Screened::Judge(self.with_held(piece)),
            SoFar::Kept => self.hold(&piece),
            // There are MCP servers that say no end.
            SoFar::Undecided if !is_end && !self.scan.is_whole() && length <= UNDECIDED => self.hold(&piece),
            SoFar::Released | SoFar::Undecided => {
                self.so_far = SoFar::Released;
                Screened::Pass(self.with_held(piece))
            }
        }
    }

    fn hold(&mut self, piece: &Bytes) -> Screened {
        self.held.extend_from_slice(piece);
        Screened::Hold
    }

    fn with_held(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        self.held.split().freeze()
    }

    /// What goes on in the place of a text that holds something to be judged.
    pub(crate) fn judge(&self, text: Bytes, see: &mut dyn See) -> Judged {
        let Answered { text: anew, refused, unread, dropped, .. } = judge(&text, &self.wanted, see);
        let is_lost = unread.iter().any(|id| self.wanted.is_no_list(id));
        match anew {
            Text::Untouched => return Judged { bytes: text, dropped, refused: None },
            Text::Changed(anew) if refused.is_empty() && !is_lost && anew.len() <= text.len() => {
                return Judged { bytes: filled(anew, text.len()), dropped, refused: None };
            }
            Text::Changed(_) | Text::Nothing => {}
        }
        let (why, message) = match refused.is_empty() {
            true => (Why::Unreadable, NO_ANSWER),
            false => (Why::Question, REFUSED),
        };
        let id = refused.into_iter().flatten().next().or_else(|| self.wanted.id.clone());
        let error = |message| JsonRpcError { id: id.clone(), code: INTERNAL, message, data: None }.to_body();
        let errors = [message, SHORT].map(error).into_iter();
        // Where there is room for no word, white space.
        let error = errors.map(Vec::from).find(|error| error.len() <= text.len()).unwrap_or_default();
        Judged { bytes: filled(error, text.len()), dropped: dropped.max(1), refused: Some(why) }
    }
}

/// White space may follow a JSON text (RFC 8259, section 2).
fn filled(mut text: Vec<u8>, length: usize) -> Bytes {
    text.resize(length, b' ');
    text.into()
}
