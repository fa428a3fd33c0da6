//! The session id that we give to clients before 2026-07-28 (P-16): the MCP server's own, sealed together with whose it is.
//!
//! There is no table of sessions. An id that was made for another person, server or client, or by nobody, does
//! not open (RS-081, attack SE-04); which of these it was is told to no one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::id::{Id, User};
use crate::jose::dpop::Thumbprint;
use crate::keys::{KeyRing, SealingKey};
use crate::secret::Sealed;
use crate::world::Entropy;

const PURPOSE: &[u8] = b"mcp session";
/// Longer than any id that came from us.
const MAX_SESSION_ID: usize = 8 * 1024;

/// There is no such session for this person, server and client: HTTP 404, and the client starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown session")]
pub struct UnknownSession;

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOwner<'a> {
    /// The person.
    pub user: Id<User>,
    /// The name of the MCP server.
    pub server: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The key by which it was begun, if it was begun by one: nobody else goes on with it.
    pub signer: Option<&'a Thumbprint>,
}

impl<'a> SessionOwner<'a> {
    fn context(&'a self) -> Vec<&'a [u8]> {
        let mut context: Vec<&[u8]> =
            vec![PURPOSE, self.user.as_bytes(), self.server.as_bytes(), self.client_id.as_bytes()];
        context.extend(self.signer.map(|signer| signer.as_bytes().as_slice()));
        context
    }
}

/// The id for the client: visible ASCII, as the header demands.
#[must_use]
pub fn seal_session(
    key: &SealingKey,
    upstream_id: &str,
    owner: &SessionOwner<'_>,
    entropy: &dyn Entropy,
) -> String {
    URL_SAFE_NO_PAD.encode(key.seal(&owner.context(), upstream_id.as_bytes(), entropy).as_bytes())
}

/// The MCP server's own id in what a client sent.
///
/// # Errors
/// [`UnknownSession`] if it was not made by us for this owner.
pub fn open_session(
    keys: &KeyRing<SealingKey>,
    session_id: &str,
    owner: &SessionOwner<'_>,
) -> Result<String, UnknownSession> {
    if session_id.len() > MAX_SESSION_ID {
        return Err(UnknownSession);
    }
    let sealed = URL_SAFE_NO_PAD.decode(session_id).map_err(|_| UnknownSession)?;
    let opened = keys.open(&owner.context(), &Sealed::from_bytes(sealed)).map_err(|_| UnknownSession)?;
    String::from_utf8(opened.to_vec()).map_err(|_| UnknownSession)
}
