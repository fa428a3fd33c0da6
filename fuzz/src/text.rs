//! Bytes as the pieces that a target takes: texts, lines, headers.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The bytes as text, if they are.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What stands before the first line end, and what stands behind it.
pub(crate) fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default()),
        None => (data, &[]),
    }
}

/// `Name: value` on each line up to an empty one, and what stands behind it. Lines that are no header are left out.
pub(crate) fn message(data: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), data);
    while !rest.is_empty() && headers.len() < 100 {
        let (line, behind) = halves(rest);
        rest = behind;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let name = HeaderName::from_bytes(line.get(..colon).unwrap_or_default());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = HeaderValue::from_bytes(value.strip_prefix(b" ").unwrap_or(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

/// The same bytes with one of them changed, the place and the change taken from `by`.
pub(crate) fn changed(bytes: &[u8], by: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let [high, low, flip] = [0, 1, 2].map(|at| by.get(at).copied().unwrap_or_default());
    let place = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= flip.max(1);
    }
    changed
}
