//! Events out of a stream of bytes (HTML, "Server-sent events", section 9.2.6): only their data. Pure.
//!
//! Whoever uses it bounds how much is pushed.

/// Reads events as their bytes come in.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    begun: bool,
}

impl Events {
    /// The data of the events that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for byte in bytes {
            let belongs = *byte == b'\n' && self.after_return;
            self.after_return = *byte == b'\r';
            match byte {
                b'\n' if belongs => {}
                b'\n' | b'\r' => complete.extend(self.end_line()),
                other => self.line.push(*other),
            }
        }
        complete
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let line =
            if self.begun { line.as_slice() } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) };
        self.begun = true;
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (line.get(..colon)?, line.get(colon + 1..)?),
            None => (line, &b""[..]),
        };
        if field == b"data" {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Vec<String> {
        let mut events = Events::default();
        let data = pieces.iter().flat_map(|piece| events.push(piece.as_bytes()));
        data.map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn events_are_found_whatever_ends_their_lines() {
        for text in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            assert_eq!(all(&[text]), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        let text = "\u{feff}id: 1\nevent: message\ndata: {\"a\":\r\ndata:1}\r\n\r\n: ping\n\ndata\n\n";
        let whole = all(&[text]);
        assert_eq!(whole, ["{\"a\":\n1}", ""]);
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(all(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_that_is_not_ended_is_none() {
        assert!(all(&["data: a\n"]).is_empty());
    }
}
