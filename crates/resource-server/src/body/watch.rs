//! What goes by on a stream of events: whether it held the answer, whether it can be resumed, and where it stands. Pure.
//!
//! It follows lines, strings and brackets only (WHATWG HTML, "Interpreting an event stream"). A message is an answer if it has a
//! `result` or an `error` (JSON-RPC 2.0, section 5); whose answer is the client's to say. Where it cannot tell it takes an event for
//! the answer, so that nobody is answered twice. Must never keep more of an event than one key.

/// `result`, `error`, and one more.
const LONGEST_KEY: usize = 7;
/// More than a byte order mark and `data`.
const LONGEST_FIELD: usize = 8;

/// One stream of events.
#[derive(Debug, Default)]
pub(super) struct Watch {
    line: Line,
    /// The name of the field that the line begins with, as far as it has come and concerns us.
    field: Vec<u8>,
    after_return: bool,
    /// The event has a line, or the line a byte.
    inside: bool,
    text: Text,
    /// The event that is not ended has one.
    has_id: bool,
    has_ids: bool,
    answered: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    Data,
    #[default]
    Field,
    Id,
    Other,
}

impl Watch {
    /// The next piece of the stream.
    pub(super) fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            let belongs = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if belongs => {}
                b'\n' | b'\r' => self.end_line(),
                _ => self.read(byte),
            }
        }
    }

    /// Whether the answer went by: whole, or as the last event without the empty line that ends it.
    pub(super) const fn is_answered(&self) -> bool {
        self.answered || (self.text.is_answer && self.text.depth == 0)
    }

    /// Whether events had ids, by which a client can come back for the rest (MCP 2025-11-25, transports, "Resumability and
    /// Redelivery").
    pub(super) const fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// Whether the last event is ended.
    pub(super) const fn is_between_events(&self) -> bool {
        !self.inside
    }

    fn read(&mut self, byte: u8) {
        self.inside = true;
        match self.line {
            Line::Data => self.text.push(byte),
            // One blank is no part of the value.
            Line::Id => self.has_id |= byte != b' ',
            Line::Other => {}
            Line::Field if byte == b':' => {
                self.line = match self.field.as_slice() {
                    b"data" | b"\xef\xbb\xbfdata" => Line::Data,
                    b"id" | b"\xef\xbb\xbfid" => Line::Id,
                    _ => Line::Other,
                };
            }
            Line::Field if self.field.len() < LONGEST_FIELD => self.field.push(byte),
            Line::Field => self.line = Line::Other,
        }
    }

    fn end_line(&mut self) {
        let is_empty = self.line == Line::Field && self.field.is_empty();
        if self.line == Line::Data {
            self.text.push(b'\n');
        }
        self.line = Line::Field;
        self.field.clear();
        if is_empty {
            self.answered |= self.text.is_answer;
            // A reader knows an id from when its event is ended.
            self.has_ids |= std::mem::take(&mut self.has_id);
            self.text = Text::default();
            self.inside = false;
        }
    }
}

/// The data of one event.
#[derive(Debug, Default)]
struct Text {
    depth: u32,
    /// The depth at which a message has its members: 1, or 2 in a batch.
    top: u32,
    in_string: bool,
    after_escape: bool,
    /// The next string at this depth is a key.
    key_next: bool,
    in_key: bool,
    key: Vec<u8>,
    is_answer: bool,
}

impl Text {
    fn push(&mut self, byte: u8) {
        if self.in_string {
            return self.push_in_string(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.in_key = self.key_next && self.depth == self.top;
                self.key.clear();
            }
            b'{' | b'[' => {
                if self.top == 0 {
                    self.top = if byte == b'{' { 1 } else { 2 };
                }
                self.depth = self.depth.saturating_add(1);
                self.key_next = byte == b'{' && self.depth == self.top;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' => self.key_next = self.depth == self.top,
            b':' if self.depth == self.top => {
                self.is_answer |= self.key_next && is_of_answer(&self.key);
                self.key_next = false;
            }
            _ => {}
        }
    }

    fn push_in_string(&mut self, byte: u8) {
        if self.in_key && self.key.len() < LONGEST_KEY {
            self.key.push(byte);
        }
        match byte {
            _ if self.after_escape => self.after_escape = false,
            b'\\' => self.after_escape = true,
            b'"' => {
                self.in_string = false;
                if self.in_key && self.key.last() == Some(&b'"') {
                    self.key.pop();
                }
                self.in_key = false;
            }
            _ => {}
        }
    }
}

/// Whether only an answer has such a member; of a key that is spelt with escapes nobody has to say.
fn is_of_answer(key: &[u8]) -> bool {
    matches!(key, b"result" | b"error") || key.contains(&b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stream: &str) -> Watch {
        let mut whole = Watch::default();
        whole.push(stream.as_bytes());
        // However it is cut into pieces.
        let mut by_byte = Watch::default();
        stream.as_bytes().chunks(1).for_each(|piece| by_byte.push(piece));
        let facts = |watch: &Watch| (watch.is_answered(), watch.has_ids(), watch.is_between_events());
        assert_eq!(facts(&whole), facts(&by_byte), "{stream:?}");
        whole
    }

    #[test]
    fn an_answer_is_known_by_its_result_or_its_error() {
        for (stream, is_answered) in [
            ("", false),
            (": ping\n\n", false),
            ("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", true),
            ("data:{ \"error\" : {\"code\":1},\"id\":1}\r\n\r\n", true),
            ("\u{feff}data: {\"result\":{}}\r\r", true),
            ("event: message\ndata: {\"id\":1,\ndata: \"result\":{}}\n\n", true),
            ("data: [{\"method\":\"x\"},{\"id\":1,\"result\":{}}]\n\n", true),
            ("data: {\"r\\u0065sult\":{},\"id\":1}\n\n", true),
            // What is not ended, and whole; and what is not whole.
            ("data: {\"id\":1,\"result\":{}}\n", true),
            ("data: {\"id\":1,\"result\":{}}", true),
            ("data: {\"id\":1,\"result\":{\"text\":\"ab", false),
            ("data: {\"id\":1,\"resu", false),
            // Inside, or as a value.
            ("data: {\"method\":\"m\",\"params\":{\"result\":1,\"error\":2}}\n\n", false),
            ("data: {\"method\":\"result\",\"params\":[\"error\",\"a\"]}\n\n", false),
            ("data: {\"method\":\"m\\\"\",\"params\":{\"a\":\"\\\"result\\\":\"}}\n\n", false),
            ("data: {\"results\":1,\"errors\":2}\n\n", false),
            ("event: result\nretry: 5\ndatas: {\"result\":1}\n\n", false),
            (
                "data: {\"method\":\"m\"}\n\ndata: {\"id\":1,\"result\":{}}\n\ndata: {\"method\":\"m\"}\n\n",
                true,
            ),
        ] {
            assert_eq!(seen(stream).is_answered(), is_answered, "{stream:?}");
        }
    }

    #[test]
    fn ids_and_the_end_of_an_event_are_seen() {
        for (stream, has_ids, is_between) in [
            ("id: 7\ndata:\n\n", true, true),
            ("id:7\n", false, false),
            ("id: 7\ndata: {", false, false),
            ("id\nid:\nid: \ndata: x\n\n", false, true),
            ("data: {\"id\": 7}\n\n", false, true),
            ("data: x\r\n", false, false),
            ("data: x\r\n\r\n", false, true),
            ("dat", false, false),
        ] {
            let watch = seen(stream);
            assert_eq!((watch.has_ids(), watch.is_between_events()), (has_ids, is_between), "{stream:?}");
        }
    }
}
