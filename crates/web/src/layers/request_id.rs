//! The short name of one request: in its tracing span, in the answer's `x-request-id`, and nowhere decided upon.
//!
//! Never taken from the request: a name that somebody else chooses can be made to collide.

use std::fmt;

use http::{HeaderName, HeaderValue};
use protocol::world::Entropy;

/// The header that carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Crockford's base32: no letter that is mistaken for another when read aloud.
const ALPHABET: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 10;

/// Fifty bits of chance in ten letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; LENGTH]);

impl RequestId {
    pub(crate) fn mint(entropy: &dyn Entropy) -> Self {
        let mut letters = [0; LENGTH];
        entropy.fill(&mut letters);
        for letter in &mut letters {
            // The mask keeps the index below 32, so the default is never used.
            *letter = ALPHABET.get(usize::from(*letter & 31)).copied().unwrap_or(b'0');
        }
        Self(letters)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn header_value(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (byte, value) in buffer.iter_mut().zip(250_u8..=255) {
                *byte = value;
            }
        }
    }

    #[test]
    fn a_request_id_is_ten_letters_that_fit_a_header() {
        let id = RequestId::mint(&Counting);
        assert_eq!(id.as_str(), "tvwxyz0000", "five low bits of 250..=255, then zeros");
        assert_eq!(id.header_value(), "tvwxyz0000");
        assert_eq!(format!("{id} {id:?}"), "tvwxyz0000 tvwxyz0000");
    }
}
