//! Dynamic registrations without a record: the metadata is inside the client identifier.
//!
//! `dcr_` and base64url of: version 1, key id (4), issued-at in seconds (5), chance (16), length of the
//! metadata (2), the metadata compressed, MAC (32). The MAC is checked before anything is decompressed, and
//! an identifier that fails for whatever reason is simply unknown (RFC 6749, section 4.1.2.1).

mod dictionary;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lz4_flex::block::{compress_with_dict, decompress_into_with_dict};
use thiserror::Error;

use super::client_id::DYNAMIC_PREFIX;
use super::{ClientId, ClientMetadata, RedirectPolicy};
use crate::keys::{KeyId, KeyRing, MacKey};
use crate::secret::Secret;
use crate::world::{Entropy, Timestamp};

/// The one version there is. Another dictionary is another version.
const VERSION: u8 = 1;
/// What is in front of the compressed metadata.
const HEADER: usize = 1 + 4 + 5 + 16 + 2;
/// The MAC behind it.
const MAC: usize = 32;
/// The longest identifier that is made.
const MAX_IDENTIFIER: usize = 1024;
/// The last moment that five bytes can tell, in the year 36812.
const MAX_SECONDS: i64 = (1 << 40) - 1;
/// The largest metadata, before compression.
const MAX_METADATA: usize = 8 * 1024;

const IDENTIFIER_LABEL: &str = "dynamic client identifier";
const SECRET_LABEL: &str = "dynamic client secret";
const SECRET_PREFIX: &str = "skc_";

/// The metadata does not fit into an identifier of 1 KiB: `invalid_client_metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the client metadata does not fit into a client identifier")]
pub struct TooLarge;

/// The identifier was not made here, not for this policy, or with a key that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the client identifier is not one of ours")]
pub struct UnknownClient;

/// What an identifier holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// When it was registered, to the second.
    pub issued_at: Timestamp,
    /// What was registered.
    pub metadata: ClientMetadata,
}

/// A new identifier for this metadata. Two of the same metadata differ.
///
/// # Errors
/// [`TooLarge`] over 1 KiB.
pub fn mint(
    key: &MacKey,
    issued_at: Timestamp,
    entropy: &dyn Entropy,
    metadata: &ClientMetadata,
) -> Result<ClientId, TooLarge> {
    let json = metadata.to_json();
    let length = u16::try_from(json.len()).map_err(|_| TooLarge)?;
    if json.len() > MAX_METADATA {
        return Err(TooLarge);
    }
    let mut bytes = Vec::with_capacity(HEADER + json.len() + MAC);
    bytes.push(VERSION);
    bytes.extend_from_slice(key.id().as_bytes());
    let [_, _, _, seconds @ ..] = issued_at.secs().clamp(0, MAX_SECONDS).to_be_bytes();
    bytes.extend_from_slice(&seconds);
    let mut chance = [0; 16];
    entropy.fill(&mut chance);
    bytes.extend_from_slice(&chance);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&compress_with_dict(json.as_bytes(), dictionary::V1));
    let mac = key.mac(IDENTIFIER_LABEL, &[&bytes]);
    bytes.extend_from_slice(&mac);

    let mut text = String::with_capacity(DYNAMIC_PREFIX.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(DYNAMIC_PREFIX);
    URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
    if text.len() > MAX_IDENTIFIER { Err(TooLarge) } else { Ok(ClientId::made_here(text)) }
}

/// What an identifier holds, if it was made here and its metadata would be registered under this policy.
///
/// # Errors
/// [`UnknownClient`] for whatever reason.
pub fn open(
    keys: &KeyRing<MacKey>,
    client_id: &ClientId,
    policy: &RedirectPolicy,
) -> Result<Opened, UnknownClient> {
    open_authentic(keys, client_id, policy).ok_or(UnknownClient)
}

fn open_authentic(keys: &KeyRing<MacKey>, client_id: &ClientId, policy: &RedirectPolicy) -> Option<Opened> {
    let (bytes, _) = authentic(keys, client_id)?;
    let (header, compressed) = bytes.split_first_chunk::<HEADER>()?;
    let [_, _, _, _, _, t0, t1, t2, t3, t4, .., high, low] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_METADATA {
        return None;
    }
    let mut json = vec![0; length];
    let written = decompress_into_with_dict(compressed, &mut json, dictionary::V1).ok()?;
    let metadata = ClientMetadata::parse_registration(json.get(..written)?, policy).ok()?;
    let seconds = i64::from_be_bytes([0, 0, 0, t0, t1, t2, t3, t4]);
    Some(Opened { issued_at: Timestamp::from_secs(seconds), metadata })
}

/// The secret of the client with this identifier, derived from it with the key that made it; `None` for an
/// identifier that was not made here. Only a confidential client is ever told.
#[must_use]
pub fn client_secret(keys: &KeyRing<MacKey>, client_id: &ClientId) -> Option<Secret> {
    let (_, key) = authentic(keys, client_id)?;
    let derived = key.mac(SECRET_LABEL, &[client_id.as_str().as_bytes()]);
    let mut text = String::with_capacity(SECRET_PREFIX.len() + 44);
    text.push_str(SECRET_PREFIX);
    URL_SAFE_NO_PAD.encode_string(derived, &mut text);
    Some(Secret::new(text))
}

/// Header and compressed metadata of an identifier whose MAC is right, and the key that made it.
fn authentic<'a>(keys: &'a KeyRing<MacKey>, client_id: &ClientId) -> Option<(Vec<u8>, &'a MacKey)> {
    let text = client_id.as_str();
    if text.len() > MAX_IDENTIFIER {
        return None;
    }
    // One text for one identifier: no padding, no loose bits at the end.
    let mut bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(DYNAMIC_PREFIX)?).ok()?;
    let [version, k0, k1, k2, k3, ..] = *bytes.as_slice() else { return None };
    if version != VERSION {
        return None;
    }
    let key = keys.find(KeyId::from_bytes([k0, k1, k2, k3]))?;
    let mac = bytes.split_off(bytes.len().checked_sub(MAC)?);
    key.verify(IDENTIFIER_LABEL, &[&bytes], &mac).then_some((bytes, key))
}

#[cfg(test)]
mod tests;
