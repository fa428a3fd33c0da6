//! The proof that comes with a token that is bound to a key (RFC 9449, section 7): one for each request, the opening of a
//! stream included, and made for this very token, method and URL.
//!
//! A bound token is worth nothing without it, by whatever scheme it comes; and nothing of it goes further than here.

use http::{HeaderMap, Method};
use protocol::jose::dpop::{DpopProof, Expected, Nonces, ProofError, Thumbprint};
use protocol::oauth::DpopMode;
use protocol::secret::Hash;
use store::ReplayKind;

use crate::bearer::{Presented, Scheme};
use crate::mcp_server::McpServer;
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::verdicts::Access;

/// RFC 9449, section 4.1.
pub(crate) const HEADER: &str = "dpop";
/// RFC 9449, section 8.1.
pub(crate) const NONCE: &str = "dpop-nonce";

/// What must be proved with a token that comes by this scheme.
fn demanded(access: &Access, scheme: Scheme, mode: DpopMode) -> Result<Option<Thumbprint>, CallReason> {
    match (access.bound_to, scheme) {
        (Some(key), Scheme::Dpop) => Ok(Some(key)),
        // RFC 9449, section 7.2: or whoever stole it would leave the proof out.
        (Some(_), Scheme::Bearer) => Err(CallReason::TokenBound),
        (None, Scheme::Dpop) => Err(CallReason::TokenUnbound),
        (None, Scheme::Bearer) => match mode {
            DpopMode::Required => Err(CallReason::TokenUnbound),
            DpopMode::Off | DpopMode::Optional => Ok(None),
        },
    }
}

/// The one proof of a request.
fn present(headers: &HeaderMap) -> Result<&str, CallReason> {
    let mut all = headers.get_all(HEADER).iter();
    match (all.next(), all.next()) {
        (None, _) => Err(CallReason::ProofMissing),
        (Some(only), None) => only.to_str().map_err(|_| CallReason::ProofInvalid(ProofError::Malformed)),
        (Some(_), Some(_)) => Err(CallReason::ProofRepeated),
    }
}

impl ResourceServer {
    /// Whether whoever presents a token holds the key that it is bound to, if it is bound to one.
    pub(crate) async fn prove(
        &self,
        server: &McpServer,
        (presented, access): (&Presented<'_>, &Access),
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), CallReason> {
        let Some(key) = demanded(access, presented.scheme, server.settings().dpop)? else { return Ok(()) };
        let (token, now) = (Hash::of(presented.token), self.clock.now());
        let lives =
            server.identities().iter().filter(|identity| identity.until.is_none_or(|until| now < until));
        let urls: Vec<&str> = lives.map(|identity| identity.resource.as_str()).collect();
        let expected = Expected {
            method: method.as_str(),
            urls: &urls,
            access_token: Some(&token),
            key: Some(&key),
            now,
        };
        let proof = DpopProof::verify(present(headers)?, &expected).map_err(CallReason::ProofInvalid)?;
        let keys = self.held_keys.keys();
        let answers = |nonce: &str| Nonces::takes(&keys.sealing, nonce, now);
        if self.dpop.nonces && !proof.nonce.as_deref().is_some_and(answers) {
            return Err(CallReason::ProofNonceNeeded);
        }
        if self.is_first_use(&proof).await? { Ok(()) } else { Err(CallReason::ProofReplayed) }
    }

    async fn is_first_use(&self, proof: &DpopProof) -> Result<bool, CallReason> {
        if !self.dpop.once_across_nodes {
            return Ok(self.parts.proofs.seen.is_new(&proof.id, self.clock.monotonic()));
        }
        // Of what was used before a restore nobody knows.
        if proof.issued_at.micros() <= self.revocations.epoch() {
            return Ok(false);
        }
        let now = self.clock.now();
        Ok(self.parts.store.use_once(ReplayKind::DpopProof, proof.id, proof.ends(), now).await?)
    }

    /// The nonce for the next proof (RFC 9449, section 9), if nonces are asked for.
    pub(crate) fn dpop_nonce(&self) -> Option<String> {
        let keys = self.held_keys.keys();
        let mint = || self.parts.proofs.nonces.current(&keys.sealing, self.clock.now(), &*self.parts.entropy);
        self.dpop.nonces.then(mint)
    }
}

#[cfg(test)]
mod tests;
