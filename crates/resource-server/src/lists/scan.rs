//! Tells, while the bytes of a JSON text come in, whether it holds a list as the result of an answer, or a question to a person.
//! Pure.
//!
//! It follows strings and brackets only. For every text that a JSON reader accepts it sees the keys that this reader sees;
//! for one that none accepts it does not matter what it sees. Must never keep more of the text than one key.

use protocol::mcp::elicitation::METHOD;
use protocol::mcp::folds_to;

use super::List;
use super::question::{ELICITATIONS, INPUT_REQUESTS};

/// Longer than any key that concerns us, each letter written as an escape.
const LONGEST_KEY: usize = 128;

/// Where in the text we are, and what was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: At,
    depth: u32,
    /// The depth at which a message has its members: 1, or 2 in a batch.
    top: u32,
    /// The next string at this depth is a key.
    key_next: bool,
    /// The member of the message that we are in.
    member: Member,
    /// The member of the error that we are in is its data.
    in_data: bool,
    /// What is read is the value of a member and not its key.
    is_value: bool,
    key: Vec<u8>,
    /// Lists do not matter.
    questions_only: bool,
    found: bool,
}

/// A member of a message, as far as it is of concern.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    Error,
    Method,
    #[default]
    Other,
    Result,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing but white space so far.
    #[default]
    Beginning,
    Between,
    Key,
    KeyEscape,
    NotJson,
    String,
    StringEscape,
}

impl Scan {
    /// For what may hold lists that are nobody's concern.
    pub(super) fn for_questions() -> Self {
        Self { questions_only: true, ..Self::default() }
    }

    /// Whether there is one of them, or what somebody could take for one.
    pub(super) const fn found(&self) -> bool {
        self.found
    }

    /// Whether the text is whole, or none at all.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::NotJson || (self.at == At::Between && self.depth == 0)
    }

    /// Starts with another text.
    pub(super) fn reset(&mut self) {
        self.key.clear();
        let key = std::mem::take(&mut self.key);
        *self = Self { key, questions_only: self.questions_only, ..Self::default() };
    }

    /// The next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !self.found {
            match self.at {
                At::NotJson => return,
                // Most bytes of most texts are inside strings.
                At::String => match memchr::memchr2(b'"', b'\\', bytes) {
                    None => return,
                    Some(end) => {
                        let escape = bytes.get(end) == Some(&b'\\');
                        self.at = if escape { At::StringEscape } else { At::Between };
                        bytes = bytes.get(end + 1..).unwrap_or_default();
                    }
                },
                At::Beginning | At::Between | At::Key | At::KeyEscape | At::StringEscape => {
                    let Some((byte, rest)) = bytes.split_first() else { return };
                    bytes = rest;
                    self.step(*byte);
                }
            }
        }
    }

    fn step(&mut self, byte: u8) {
        match self.at {
            At::Beginning => self.begin(byte),
            At::Between => self.between(byte),
            At::Key if byte == b'"' => {
                self.at = At::Between;
                self.end_key();
            }
            At::Key | At::KeyEscape => {
                if self.key.len() < LONGEST_KEY {
                    self.key.push(byte);
                }
                self.at = if self.at == At::Key && byte == b'\\' { At::KeyEscape } else { At::Key };
            }
            At::NotJson | At::String => {}
            At::StringEscape => self.at = At::String,
        }
    }

    fn begin(&mut self, byte: u8) {
        match byte {
            // A byte order mark as well: there are readers that skip it.
            b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {}
            b'{' => self.open_first(1),
            b'[' => self.open_first(2),
            0 | 0xfe | 0xff if self.questions_only => self.found = true,
            _ => self.at = At::NotJson,
        }
    }

    fn open_first(&mut self, top: u32) {
        self.at = At::Between;
        self.depth = 1;
        self.top = top;
        self.key_next = top == 1;
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.key_next && self.is_of_concern() => self.begin_key(false),
            b'"' if !self.key_next && self.member == Member::Method && self.depth == self.top => {
                self.begin_key(true);
            }
            b'"' => self.at = At::String,
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.key_next = true;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.key_next = false;
            }
            b',' => self.key_next = true,
            b':' => self.key_next = false,
            // There are readers that find UTF-16 and UTF-32 by their zeros; JSON has none here (RFC 8259, section 8.1).
            0 if self.questions_only => self.found = true,
            _ => {}
        }
    }

    fn begin_key(&mut self, is_value: bool) {
        self.key.clear();
        self.is_value = is_value;
        self.at = At::Key;
    }

    fn is_of_concern(&self) -> bool {
        match self.member {
            _ if self.depth == self.top => true,
            Member::Result => self.depth == self.top + 1,
            Member::Error => self.depth == self.top + 1 || (self.in_data && self.depth == self.top + 2),
            Member::Method | Member::Other => false,
        }
    }

    fn end_key(&mut self) {
        let key = &self.key;
        if self.is_value {
            self.found = is_elicitation(key);
            return;
        }
        self.key_next = false;
        let below = self.depth.saturating_sub(self.top);
        match (below, self.member) {
            (0, _) => {
                self.in_data = false;
                self.member = match () {
                    () if could_be(key, &["result"]) => Member::Result,
                    () if could_be(key, &["method"]) => Member::Method,
                    () if could_be(key, &["error"]) => Member::Error,
                    () => Member::Other,
                };
            }
            (1, Member::Result) => {
                self.found = could_be(key, &[INPUT_REQUESTS])
                    || (!self.questions_only && could_be(key, &List::ALL.map(List::member)));
            }
            (1, _) => self.in_data = could_be(key, &["data"]),
            (_, _) => self.found = could_be(key, &[ELICITATIONS]),
        }
    }
}

/// Whether this is the method by which a person is asked. What is cut off is longer than that, however it is written.
fn is_elicitation(method: &[u8]) -> bool {
    if memchr::memchr(b'\\', method).is_none() {
        return method == METHOD.as_bytes();
    }
    let method = serde_json::from_slice::<String>(&[b"\"", method, b"\""].concat());
    method.is_ok_and(|method| method == METHOD)
}

/// Whether a reader could take this key for one of those.
fn could_be(key: &[u8], known: &[&str]) -> bool {
    if known.iter().any(|known| key == known.as_bytes()) {
        return true;
    }
    // As most keys are: without an escape and in ASCII alone it is case in which readers differ.
    if key.iter().all(u8::is_ascii_alphanumeric) {
        return known.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()));
    }
    match serde_json::from_slice::<String>(&[b"\"", key, b"\""].concat()) {
        Ok(key) => known.iter().any(|known| folds_to(&key, known)),
        // Cut off in an escape, or no JSON: only a beginning that ends in NUL could still be taken for it.
        Err(_) => key.contains(&0) || key.windows(6).any(|six| six == b"\\u0000"),
    }
}
