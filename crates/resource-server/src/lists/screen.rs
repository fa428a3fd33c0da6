//! A JSON text on its way to a client that is no list: looked at for questions to the person, and kept back whole only if there
//! is one (attacks PX-41). Pure.
//!
//! A piece of a JSON text means nothing to a client, so to keep one back costs it nothing. What takes the place of a text is as
//! long as that was, for its length may have been told. Must never hold more than [`LARGEST`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use protocol::mcp::{JsonRpcError, RequestId};

use super::answer::{Text, judge};
use super::question::REFUSED;
use super::scan::Scan;
use super::{LARGEST, Ours, UNDECIDED};

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
    /// The request that it answers.
    id: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoFar {
    /// It holds a question: kept until it is whole.
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
    /// This goes on.
    Pass(Bytes),
    /// This goes on in the place of the text.
    Refuse(Bytes),
}

impl Screen {
    pub(crate) fn new(ours: &Arc<Ours>, id: Option<RequestId>) -> Self {
        let (scan, held) = (Scan::for_questions(), BytesMut::new());
        Self { scan, so_far: SoFar::Undecided, held, ours: Arc::clone(ours), id }
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
            SoFar::Kept if is_end => {
                let text = self.with_held(piece);
                self.judge(text)
            }
            SoFar::Kept => self.hold(&piece),
            // What comes after a whole text begins anew.
            SoFar::Undecided if self.scan.is_whole() => Screened::Pass(self.with_held(piece)),
            SoFar::Undecided if !is_end && length <= UNDECIDED => self.hold(&piece),
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

    fn judge(&self, text: Bytes) -> Screened {
        let answered = judge(&text, &mut Arc::clone(&self.ours));
        if answered.text == Text::Untouched {
            return Screened::Pass(text);
        }
        let id = answered.refused.into_iter().flatten().next().or_else(|| self.id.clone());
        let errors = [REFUSED, SHORT].map(|message| {
            JsonRpcError { id: id.clone(), code: INTERNAL, message, data: None }.to_body().to_vec()
        });
        let Some(mut error) = errors.into_iter().find(|error| error.len() <= text.len()) else {
            return Screened::Cut;
        };
        // White space may follow a JSON text (RFC 8259, section 2).
        error.resize(text.len(), b' ');
        Screened::Refuse(error.into())
    }
}
