//! Whether every reader on the way cuts a request's body in the same place (RFC 9112, sections 6.1 and 6.3; attacks PX-08).
//!
//! Lengths that contradict each other, and codings that do not end in `chunked`, are refused by the HTTP library; of a
//! length beside `chunked` it reads the chunks and ends the connection after the answer, as section 6.3 demands. What it lets
//! through is a coding that nobody here undoes: what we would take for the body is then not what its sender meant.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

/// No transfer coding, or `chunked` and nothing else, once.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(codings: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(TRANSFER_ENCODING, coding.parse().unwrap());
        }
        is_plain(&headers)
    }

    #[test]
    fn chunked_alone_is_plain() {
        assert!(ask(&[]) && ask(&["chunked"]) && ask(&["Chunked"]) && ask(&[" chunked\t"]));
    }

    #[test]
    fn every_other_coding_is_not() {
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["identity, chunked"],
            &[", chunked"],
            &["chunked,"],
            &["chunked;q=1"],
            &["\"chunked\""],
            &[""],
        ] {
            assert!(!ask(codings), "{codings:?}");
        }
    }
}
