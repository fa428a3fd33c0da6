//! The position in a trace (W3C Trace Context, section 3.2): what a client says of it in the header `traceparent`, or in
//! `params._meta.traceparent` (MCP 2026-07-28, "_meta"; SEP-414).
//!
//! Nobody vouches for it, and nothing may ever be decided by it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

/// In its flags: whoever began the trace records it (W3C Trace Context, section 3.2.2.5).
const SAMPLED: u8 = 1;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Which trace.
    pub trace: [u8; 16],
    /// Which part of it.
    pub span: [u8; 8],
    /// Its flags.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the text of version 00. No id may be all zeros, and the digits are lower case (section 3.2.2).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (b"00-", rest) = (text.get(..3)?, text.get(3..)?) else { return None };
        if text.len() != LENGTH || rest.get(32) != Some(&b'-') || rest.get(49) != Some(&b'-') {
            return None;
        }
        let trace = digits::<16>(rest.get(..32)?)?;
        let span = digits::<8>(rest.get(33..49)?)?;
        let [flags] = digits::<1>(rest.get(50..)?)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, flags })
    }

    /// Whether it is to be recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The beginning of a trace of our own, which is recorded.
    #[must_use]
    pub const fn begin(trace: [u8; 16], span: [u8; 8]) -> Self {
        Self { trace, span, flags: SAMPLED }
    }

    /// The next position in the same trace.
    #[must_use]
    pub const fn then(self, span: [u8; 8]) -> Self {
        Self { span, ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00")?;
        for part in [&self.trace[..], &self.span[..], &[self.flags]] {
            f.write_str("-")?;
            part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

/// What `params._meta.traceparent` of a message says. What is none is as if it were not there.
#[must_use]
pub fn traceparent(body: &[u8]) -> Option<TraceParent> {
    let message: Message<'_> = serde_json::from_slice(body).ok()?;
    TraceParent::parse(message.params?.meta?.traceparent?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let read = TraceParent::parse(TEXT.as_bytes()).unwrap();
        assert!(read.is_sampled());
        assert_eq!(read.to_string(), TEXT);
        let next = read.then([1; 8]);
        assert_eq!(next.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01");
        assert!(!TraceParent::parse(TEXT.replace("-01", "-00").as_bytes()).unwrap().is_sampled());
    }

    #[test]
    fn only_a_well_formed_one_is_one() {
        let zeros = |from: &str, count: usize| TEXT.replace(from, &"0".repeat(count));
        for wrong in [
            String::new(),
            TEXT.to_uppercase(),
            TEXT.replacen("00-", "ff-", 1),
            TEXT.replacen("00-", "01-", 1),
            format!("{TEXT}-00"),
            format!(" {TEXT}"),
            TEXT[..54].to_owned(),
            TEXT.replacen('-', "0", 2),
            zeros("0af7651916cd43dd8448eb211c80319c", 32),
            zeros("b7ad6b7169203331", 16),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_found_in_a_message_and_nowhere_else() {
        let body =
            |meta: &str| format!(r#"{{"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#);
        let found = |meta: &str| traceparent(body(meta).as_bytes()).map(|found| found.to_string());
        assert_eq!(found(&format!(r#"{{"traceparent":"{TEXT}"}}"#)).as_deref(), Some(TEXT));
        for none in ["null", "{}", r#"{"traceparent":7}"#, r#"{"traceparent":"00-x"}"#, "[]"] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(traceparent(b"{}"), None);
        assert_eq!(traceparent(b"nonsense"), None);
    }
}
