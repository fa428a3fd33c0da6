//! `Content-Digest` (RFC 9530, section 2): the SHA-256 of the very bytes that arrived, also of none.

use http::HeaderMap;
use sfv::{Dictionary, ListEntry, Parser};

use super::{SignatureError, base};
use crate::secret::Hash;

const CONTENT_DIGEST: &str = "content-digest";
/// Other algorithms may stand beside it, and are not looked at.
const SHA_256: &str = "sha-256";

pub(super) fn judge(headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
    let text = base::field(headers, CONTENT_DIGEST).ok_or(SignatureError::Digest)?;
    let digests: Dictionary = Parser::new(&text).parse().map_err(|_| SignatureError::Digest)?;
    let is_of_body = match digests.get(SHA_256) {
        Some(ListEntry::Item(item)) => {
            item.bare_item.as_byte_sequence() == Some(Hash::of(body).as_bytes().as_slice())
        }
        Some(ListEntry::InnerList(_)) | None => false,
    };
    if is_of_body { Ok(()) } else { Err(SignatureError::Digest) }
}
