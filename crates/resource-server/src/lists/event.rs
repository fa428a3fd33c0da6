//! One event out of a stream, as its bytes: the data in it, and the same event with other data (HTML, "Server-sent
//! events", section 9.2.6). Pure.

use std::borrow::Cow;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";
/// Longer than any kind of an event, and as long as an id that a client may send back to us.
pub(super) const LONGEST: usize = 1024;

/// A line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    /// Whether it says something.
    Comment(bool),
    Data(&'a [u8]),
    /// A field that is known, as it stands.
    Known(&'a [u8]),
    /// What kind the event is of is no word.
    OfAnOddKind,
    Other,
}

/// Whether this is a field that is no data and means something to a reader of events.
pub(super) fn is_known(field: &[u8]) -> bool {
    matches!(field, b"event" | b"id" | b"retry")
}

/// What stands in a field.
pub(super) fn value(after_colon: &[u8]) -> &[u8] {
    after_colon.strip_prefix(b" ").unwrap_or(after_colon)
}

/// Whether this is what stands in such a field, and not a text that somebody wants carried past: the kind of an event is a
/// word, its id is what a client can send in a header (MCP, "Resumability and Redelivery"), the time is a number.
pub(super) fn is_sound(field: &[u8], value: &[u8]) -> bool {
    let is_of = |of: fn(&u8) -> bool| value.len() <= LONGEST && value.iter().all(of);
    match field {
        b"event" => is_of(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(byte)),
        b"id" => is_of(|byte| matches!(byte, b' '..=b'~') && !b"\"{".contains(byte)),
        b"retry" => is_of(u8::is_ascii_digit),
        _ => false,
    }
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Self {
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => line.split_at(colon),
            None => (line, &b""[..]),
        };
        let after_colon = value.strip_prefix(b":").unwrap_or(value);
        let value = self::value(after_colon);
        match field {
            b"" if !line.is_empty() => Self::Comment(!after_colon.is_empty()),
            b"data" => Self::Data(value),
            known if is_sound(known, value) => Self::Known(line),
            b"event" => Self::OfAnOddKind,
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
        Line::Data(_) | Line::Known(_) | Line::Comment(false) => true,
        Line::Comment(true) | Line::OfAnOddKind | Line::Other => false,
    })
}

/// Whether it is of a kind that is no word: without it, it would be another event.
pub(super) fn is_of_an_odd_kind(event: &[u8], begins_stream: bool) -> bool {
    lines(event, begins_stream).any(|line| line == Line::OfAnOddKind)
}

/// The event anew with this data, or without any. Of comments it keeps that there was one: they keep connections open.
pub(super) fn with_data(event: &[u8], begins_stream: bool, data: Option<&[u8]>) -> Vec<u8> {
    let mut anew = Vec::with_capacity(event.len());
    for line in lines(event, begins_stream) {
        match line {
            Line::Comment(_) => anew.extend_from_slice(b":\n"),
            Line::Known(line) => {
                anew.extend_from_slice(line);
                anew.push(b'\n');
            }
            Line::Data(_) | Line::OfAnOddKind | Line::Other => {}
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
