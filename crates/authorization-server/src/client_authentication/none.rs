//! `none`: a public client (OAuth 2.1, section 2.1). It names itself and proves nothing.

use protocol::secret::Secret;

use super::ClientRefusal;

/// A public client has no secret; one that sends a secret is not the client that registered.
pub(super) const fn decide(presented: Option<&Secret>) -> Result<(), ClientRefusal> {
    match presented {
        None => Ok(()),
        Some(_) => Err(ClientRefusal::OtherMethod),
    }
}
