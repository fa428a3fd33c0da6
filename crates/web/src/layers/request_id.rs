//! The short name of one request: in its tracing span, in the answer's `x-request-id`, and nowhere decided upon.
//!
//! Never taken from the request: a name that somebody else chooses can be made to collide. It is no secret and proves
//! nothing, so chance is asked for once, and counted on from there.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};
use protocol::world::Entropy;

/// The header that carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Crockford's base32: no letter that is mistaken for another when read aloud.
const ALPHABET: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 10;

/// Five bits each.
const BITS: u32 = 50;
/// Odd, so that a count multiplied with it meets every number of fifty bits before one comes back; and large, so that
/// neighbours do not look alike.
const STRIDE: u64 = 0x2_545f_4914_f6cd;

/// Names requests, each once.
#[derive(Debug)]
pub(crate) struct RequestIds {
    from: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut from = [0; 8];
        entropy.fill(&mut from);
        Self { from: u64::from_be_bytes(from), count: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        RequestId::of(self.from.wrapping_add(count.wrapping_mul(STRIDE)))
    }
}

/// Ten letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; LENGTH]);

impl RequestId {
    fn of(number: u64) -> Self {
        let mut letters = [b'0'; LENGTH];
        for (letter, shift) in letters.iter_mut().zip((0..BITS).step_by(5)) {
            // The mask keeps the index below 32, so the default is never used.
            let index = usize::try_from((number >> shift) & 31).unwrap_or_default();
            *letter = ALPHABET.get(index).copied().unwrap_or(b'0');
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
    use std::collections::HashSet;

    use super::*;

    #[derive(Debug)]
    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    #[test]
    fn a_request_id_is_ten_letters_that_fit_a_header() {
        let id = RequestIds::new(&Sevens).next();
        assert_eq!(id.as_str(), "7r1eg3w07r");
        assert_eq!(id.header_value(), "7r1eg3w07r");
        assert_eq!(format!("{id} {id:?}"), "7r1eg3w07r 7r1eg3w07r");
    }

    #[test]
    fn no_request_id_comes_back() {
        let ids = RequestIds::new(&Sevens);
        let seen: HashSet<String> = (0..10_000).map(|_| ids.next().as_str().to_owned()).collect();
        assert_eq!(seen.len(), 10_000);
    }
}
