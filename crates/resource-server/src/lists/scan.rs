//! Tells, while the bytes of a JSON text come in, whether it holds a list as the result of an answer. Pure.
//!
//! It follows strings and brackets only. For every text that a JSON reader accepts it sees the keys that this reader sees;
//! for one that none accepts it does not matter what it sees. Must never keep more of the text than one key.

use protocol::mcp::folds_to;

use super::List;

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
    /// The value of the member that we are in is the result.
    in_result: bool,
    key: Vec<u8>,
    found: bool,
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
    /// Whether there is a list, or what somebody could take for one.
    pub(super) const fn found(&self) -> bool {
        self.found
    }

    /// Starts with another text.
    pub(super) fn reset(&mut self) {
        self.key.clear();
        let key = std::mem::take(&mut self.key);
        *self = Self { key, ..Self::default() };
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
            b'"' if self.key_next && self.is_of_concern() => {
                self.key.clear();
                self.at = At::Key;
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
            _ => {}
        }
    }

    const fn is_of_concern(&self) -> bool {
        self.depth == self.top || (self.in_result && self.depth == self.top + 1)
    }

    fn end_key(&mut self) {
        self.key_next = false;
        if self.depth == self.top {
            self.in_result = could_be(&self.key, &["result"]);
        } else {
            self.found = could_be(&self.key, &List::ALL.map(List::member));
        }
    }
}

/// Whether a reader could take this key for one of those.
fn could_be(key: &[u8], known: &[&str]) -> bool {
    if known.iter().any(|known| key == known.as_bytes()) {
        return true;
    }
    // As most keys are.
    if key.iter().all(u8::is_ascii_lowercase) {
        return false;
    }
    match serde_json::from_slice::<String>(&[b"\"", key, b"\""].concat()) {
        Ok(key) => known.iter().any(|known| folds_to(&key, known)),
        // Cut off in an escape, or no JSON: only a beginning that ends in NUL could still be taken for it.
        Err(_) => key.contains(&0) || key.windows(6).any(|six| six == b"\\u0000"),
    }
}
