//! One event out of a stream, as its bytes: the data in it, and the same event with other data (HTML, "Server-sent
//! events", section 9.2.6). Pure.

use std::borrow::Cow;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Comment,
    Data(&'a [u8]),
    /// A field that is known, as it stands.
    Known(&'a [u8]),
    Other,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Self {
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => line.split_at(colon),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        match field {
            b"" if !line.is_empty() => Self::Comment,
            b"data" => Self::Data(value.strip_prefix(b" ").unwrap_or(value)),
            b"event" | b"id" | b"retry" => Self::Known(line),
            _ => Self::Other,
        }
    }
}

fn lines(event: &[u8], begins_stream: bool) -> impl Iterator<Item = Line<'_>> {
    let event = if begins_stream { event.strip_prefix(BOM).unwrap_or(event) } else { event };
    // An empty line more, at the end or between `\r` and `\n`, says nothing.
    event.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()).map(Line::read)
}

/// The data; `None` if there is none.
pub(super) fn data(event: &[u8], begins_stream: bool) -> Option<Cow<'_, [u8]>> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    for line in lines(event, begins_stream) {
        if let Line::Data(value) = line {
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(before) => {
                    let before = before.to_mut();
                    before.push(b'\n');
                    before.extend_from_slice(value);
                }
            }
        }
    }
    data
}

/// Whether there is nothing in it but what a reader of events reads.
pub(super) fn is_plain(event: &[u8], begins_stream: bool) -> bool {
    lines(event, begins_stream).all(|line| match line {
        Line::Data(_) | Line::Known(_) => true,
        Line::Comment | Line::Other => false,
    })
}

/// The event anew with this data, or without any. Of comments it keeps that there was one: they keep connections open.
pub(super) fn with_data(event: &[u8], begins_stream: bool, data: Option<&[u8]>) -> Vec<u8> {
    let mut anew = Vec::with_capacity(event.len());
    for line in lines(event, begins_stream) {
        match line {
            Line::Comment => anew.extend_from_slice(b":\n"),
            Line::Known(line) => {
                anew.extend_from_slice(line);
                anew.push(b'\n');
            }
            Line::Data(_) | Line::Other => {}
        }
    }
    if let Some(data) = data {
        for line in data.split(|byte| *byte == b'\n') {
            anew.extend_from_slice(b"data: ");
            anew.extend_from_slice(line);
            anew.push(b'\n');
        }
    }
    anew.push(b'\n');
    anew
}
