//! Tells, while the bytes of a JSON text come in, whether it holds a list where one could be looked for, or a question to a person;
//! or whether it is no JSON text at all, or two. Pure.
//!
//! It follows strings and brackets only. For every text that a JSON reader accepts it sees the keys that this reader sees;
//! for one that none accepts it does not matter what it sees. Must never keep more of the text than one key.

use protocol::mcp::folds_to;

use super::List;
use super::question::{ELICITATIONS, INPUT_REQUESTS, TASK, could_be_elicitation, wants_pages};

/// Longer than any key that concerns us, each letter written as an escape.
const LONGEST_KEY: usize = 128;
/// The method, without an escape.
const SAMPLING: &[u8] = b"sampling/createMessage";

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
    /// The member of that one.
    second: Second,
    /// What is read is the value of a member and not its key.
    is_value: bool,
    /// A key, or such a value.
    key: Vec<u8>,
    /// There is a method in the message, and an id.
    is_request: (bool, bool),
    /// It asks for words of a model, and says by which tools: those are the MCP server's own (MCP 2025-11-25, sampling).
    samples: bool,
    /// MCP servers send no requests: those of MCP 2026-07-28.
    modern: bool,
    found: bool,
}

/// A member of a message, as far as it is of concern.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    Error,
    Method,
    #[default]
    Other,
    Params,
    Result,
}

/// A member of an error, of parameters or of a result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// The code of an error.
    Code,
    /// The data of an error.
    Data,
    #[default]
    Other,
    /// The result of a task, or the task.
    Task,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing but white space so far.
    #[default]
    Beginning,
    Between,
    /// Nothing but white space may follow.
    End,
    Key,
    KeyEscape,
    String,
    StringEscape,
}

impl Scan {
    pub(super) fn new(modern: bool) -> Self {
        Self { modern, ..Self::default() }
    }

    /// Whether there is one of them, or what somebody could take for one; or what is no JSON text.
    pub(super) const fn found(&self) -> bool {
        self.found
    }

    /// Whether the text is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    /// Starts with another text.
    pub(super) fn reset(&mut self) {
        self.key.clear();
        let key = std::mem::take(&mut self.key);
        *self = Self { key, ..Self::new(self.modern) };
    }

    /// The next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !self.found {
            match self.at {
                // Most bytes of most texts are inside strings.
                At::String => match memchr::memchr2(b'"', b'\\', bytes) {
                    None => return,
                    Some(end) => {
                        let escape = bytes.get(end) == Some(&b'\\');
                        self.at = if escape { At::StringEscape } else { At::Between };
                        bytes = bytes.get(end + 1..).unwrap_or_default();
                    }
                },
                At::Beginning | At::Between | At::End | At::Key | At::KeyEscape | At::StringEscape => {
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
            // Of two texts one reader reads the first, and another each by itself.
            At::End => self.found = !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'),
            At::Key if byte == b'"' => {
                self.at = At::Between;
                self.end_key();
            }
            At::Key | At::KeyEscape => {
                self.keep(byte);
                self.at = if self.at == At::Key && byte == b'\\' { At::KeyEscape } else { At::Key };
            }
            At::String => {}
            At::StringEscape => self.at = At::String,
        }
    }

    fn keep(&mut self, byte: u8) {
        // What stands before a method is no part of it to readers who trim.
        let is_before = self.is_value && self.key.is_empty() && byte.is_ascii_whitespace();
        if self.key.len() < LONGEST_KEY && !is_before {
            self.key.push(byte);
        }
    }

    fn begin(&mut self, byte: u8) {
        match byte {
            // A byte order mark as well: there are readers that skip it.
            b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {}
            b'{' => self.open_first(1),
            b'[' => self.open_first(2),
            // No message. There are readers as well that take another encoding for one.
            _ => self.found = true,
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
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' if self.key_next && self.is_of_concern() => self.begin_key(false),
            b'"' if !self.key_next && self.member == Member::Method && self.depth == self.top => {
                self.begin_key(true);
            }
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b',' => {
                self.end_number();
                self.key_next = true;
            }
            b':' => self.key_next = false,
            // There are readers that find UTF-16 and UTF-32 by their zeros; JSON has none here (RFC 8259, section 8.1).
            0 => self.found = true,
            b'"' => {
                self.at = At::String;
                self.scalar(byte);
            }
            // Of numbers, `true`, `false` and `null` (RFC 8259, section 3).
            b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => self.scalar(byte),
            b'a' | b'e' | b'f' | b'l' | b'n' | b'r' | b's' | b't' | b'u' => self.scalar(byte),
            // No JSON: a reader that breaks lines elsewhere may see another text in it.
            _ => self.found = true,
        }
    }

    fn open(&mut self, byte: u8) {
        let below = self.depth.saturating_sub(self.top);
        // A result is an object (MCP, "Responses"), and so is the data of an error that holds questions.
        self.found = byte == b'['
            && self.depth >= self.top
            && match (below, self.member, self.second) {
                (0, Member::Result, _) | (1, Member::Error, Second::Data) => true,
                (_, _, _) => false,
            };
        self.depth = self.depth.saturating_add(1);
        self.key_next = true;
        if self.depth == self.top {
            self.is_request = (false, false);
            self.samples = false;
            self.member = Member::Other;
        }
    }

    fn close(&mut self) {
        self.end_number();
        self.depth = self.depth.saturating_sub(1);
        self.key_next = false;
        if self.depth == 0 {
            self.at = At::End;
        }
    }

    /// A byte of a value that is neither an object nor a list.
    fn scalar(&mut self, byte: u8) {
        if self.key_next {
            return;
        }
        match (self.depth.checked_sub(self.top), self.member, self.second) {
            (Some(0), Member::Result, _) => self.found = true,
            (Some(1), Member::Error, Second::Code) => self.keep(byte),
            (_, _, _) => {}
        }
    }

    /// The code of an error, if that is what ended: the one that wants pages opened first.
    fn end_number(&mut self) {
        if self.depth == self.top + 1 && (self.member, self.second) == (Member::Error, Second::Code) {
            self.second = Second::Other;
            self.found = std::str::from_utf8(&self.key).is_ok_and(wants_pages);
        }
    }

    fn begin_key(&mut self, is_value: bool) {
        self.key.clear();
        self.is_value = is_value;
        self.at = At::Key;
    }

    fn is_of_concern(&self) -> bool {
        let below = self.depth.checked_sub(self.top);
        match (below, self.member) {
            (Some(0), _) => true,
            (Some(1), Member::Error | Member::Params | Member::Result) => true,
            (Some(2), Member::Error | Member::Params | Member::Result) => {
                matches!(self.second, Second::Data | Second::Task)
            }
            (_, _) => false,
        }
    }

    fn end_key(&mut self) {
        if self.is_value {
            self.is_value = false;
            self.found = is_elicitation(&self.key);
            self.samples = self.key == SAMPLING;
            return;
        }
        self.key_next = false;
        match self.depth.saturating_sub(self.top) {
            0 => self.end_first(),
            1 => self.end_second(),
            _ => {
                let data = self.second == Second::Data;
                self.found = holds(&self.key) || (data && could_be(&self.key, &[ELICITATIONS, "result"]));
            }
        }
    }

    fn end_first(&mut self) {
        let key = &self.key;
        self.second = Second::Other;
        self.member = match () {
            () if could_be(key, &["result"]) => Member::Result,
            () if could_be(key, &["method"]) => Member::Method,
            () if could_be(key, &["error"]) => Member::Error,
            () if could_be(key, &["params"]) => Member::Params,
            () => Member::Other,
        };
        // One that stands twice is nothing that was said of the first.
        self.found = self.samples && self.member == Member::Method;
        if self.modern {
            let (method, id) = &mut self.is_request;
            *method |= self.member == Member::Method;
            *id |= could_be(key, &["id"]);
            self.found |= *method && *id;
        }
    }

    fn end_second(&mut self) {
        let key = &self.key;
        let is_error = self.member == Member::Error;
        let samples = self.samples && self.member == Member::Params;
        self.found = !is_error && if samples { asks(key) } else { holds(key) };
        self.second = match () {
            () if is_error && could_be(key, &["data"]) => Second::Data,
            () if is_error && could_be(key, &["code"]) => Second::Code,
            () if !is_error && could_be(key, &["result", TASK]) => Second::Task,
            () => Second::Other,
        };
        if self.second == Second::Code {
            self.key.clear();
        }
    }
}

/// Whether this member holds a list or questions.
fn holds(key: &[u8]) -> bool {
    could_be(key, &List::ALL.map(List::member)) || asks(key)
}

/// Whether it holds questions.
fn asks(key: &[u8]) -> bool {
    could_be(key, &[INPUT_REQUESTS])
}

/// Whether this is the method by which a person is asked, or what a careless reader takes for it.
fn is_elicitation(method: &[u8]) -> bool {
    if memchr::memchr(b'\\', method).is_none() {
        return std::str::from_utf8(method).is_ok_and(could_be_elicitation);
    }
    let method = serde_json::from_slice::<String>(&[b"\"", method, b"\""].concat());
    method.is_ok_and(|method| could_be_elicitation(&method))
}

/// Whether a reader could take this key for one of those.
fn could_be(key: &[u8], known: &[&str]) -> bool {
    if known.iter().any(|known| key == known.as_bytes()) {
        return true;
    }
    // As most keys are: without an escape and in ASCII alone it is case in which readers differ.
    if key.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\') {
        return known.iter().any(|known| key.eq_ignore_ascii_case(known.as_bytes()));
    }
    match serde_json::from_slice::<String>(&[b"\"", key, b"\""].concat()) {
        Ok(key) => known.iter().any(|known| folds_to(&key, known)),
        // Cut off in an escape, or no JSON: only a beginning that ends in NUL could still be taken for it.
        Err(_) => key.contains(&0) || key.windows(6).any(|six| six == b"\\u0000"),
    }
}
