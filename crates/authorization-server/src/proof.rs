//! The proof by which a client shows that it holds a key (RFC 9449, section 5): what a token or a code is then bound to.
//!
//! Used once: as far as this node remembers, or, where the operator asks for it, on all nodes (section 11.1). Must never be
//! taken for anything else than this very request.

use protocol::jose::dpop::{DpopProof, Expected, Nonces, ProofError, Thumbprint};
use protocol::oauth::{DpopMode, ErrorCode};
use store::{ReplayKind, StoreError};
use thiserror::Error;

use crate::clients::Client;
use crate::{AuthorizationServer, token};

/// Why a proof proves nothing, or is missed.
#[derive(Debug, Error)]
pub enum ProofRefusal {
    /// There is none, and the client registered that it always proves a key (RFC 9449, section 5.2).
    #[error("no key is proved, and the client registered that it always proves one")]
    Missing,
    /// It holds no nonce of ours, or an old one (RFC 9449, section 8).
    #[error("the proof holds no nonce that is good")]
    NonceNeeded,
    /// It does not hold for this request.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// More than one header (RFC 9449, section 4.3).
    #[error("there is more than one proof")]
    Repeated,
    /// It was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
}

impl ProofRefusal {
    /// What the client is told (RFC 9449, sections 5 and 8).
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NonceNeeded => ErrorCode::UseDpopNonce,
            Self::Missing | Self::Proof(_) | Self::Repeated | Self::Replayed => ErrorCode::InvalidDpopProof,
            Self::Store(error) => crate::error::store_code(error),
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "proof_missing",
            Self::NonceNeeded => "proof_nonce_needed",
            Self::Proof(error) => error.reason(),
            Self::Repeated => "proof_repeated",
            Self::Replayed => "proof_replayed",
            Self::Store(_) => "store",
        }
    }
}

/// To which key tokens for an MCP server are bound, if the client proves this one; `None` if it must prove one and does
/// not.
pub(crate) const fn binding(mode: DpopMode, proven: Option<Thumbprint>) -> Option<Option<Thumbprint>> {
    match (mode, proven) {
        // RFC 9449, section 5: "the authorization server MAY elect to issue access tokens that are not DPoP bound".
        (DpopMode::Off, _) | (DpopMode::Optional, None) => Some(None),
        (DpopMode::Optional | DpopMode::Required, Some(key)) => Some(Some(key)),
        (DpopMode::Required, None) => None,
    }
}

impl AuthorizationServer {
    /// The key that a client proves to hold, by the `DPoP` headers of a POST to this path; none if there is no header.
    pub(crate) async fn proven_key(
        &self,
        proofs: &[&str],
        path: &str,
    ) -> Result<Option<Thumbprint>, ProofRefusal> {
        let proof = match proofs {
            [] => return Ok(None),
            [only] => only,
            _ => return Err(ProofRefusal::Repeated),
        };
        let (now, url) = (self.parts.clock.now(), format!("{}{path}", self.settings.issuer));
        let expected = Expected { method: "POST", urls: &[url.as_str()], access_token: None, key: None, now };
        let proof = DpopProof::verify(proof, &expected)?;
        let keys = self.parts.keys.load();
        let answers = |nonce: &str| Nonces::takes(&keys.sealing, nonce, now);
        if self.settings.dpop.nonces && !proof.nonce.as_deref().is_some_and(answers) {
            return Err(ProofRefusal::NonceNeeded);
        }
        if self.is_first_use(&proof).await? { Ok(Some(proof.key)) } else { Err(ProofRefusal::Replayed) }
    }

    /// The same of a token request. "If the value is true, the authorization server MUST reject token requests from the client
    /// that do not contain the DPoP header." (RFC 9449, section 5.2)
    pub(crate) async fn key_of(
        &self,
        client: Option<&Client>,
        proofs: &[&str],
    ) -> Result<Option<Thumbprint>, ProofRefusal> {
        let must = client.is_some_and(|client| client.metadata().dpop_bound_access_tokens);
        match self.proven_key(proofs, token::PATH).await? {
            None if must => Err(ProofRefusal::Missing),
            proven => Ok(proven),
        }
    }

    async fn is_first_use(&self, proof: &DpopProof) -> Result<bool, StoreError> {
        if !self.settings.dpop.once_across_nodes {
            return Ok(self.parts.proofs.seen.is_new(&proof.id, self.parts.clock.monotonic()));
        }
        // Of what was used before a restore nobody knows.
        if self.parts.store.last_restore().await?.is_some_and(|restored| proof.issued_at <= restored) {
            return Ok(false);
        }
        let now = self.parts.clock.now();
        self.parts.store.use_once(ReplayKind::DpopProof, proof.id, proof.ends(), now).await
    }

    /// The nonce that goes with the answer to a request with a proof (RFC 9449, section 8.2), if nonces are asked for.
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<String> {
        let keys = self.parts.keys.load();
        let mint =
            || self.parts.proofs.nonces.current(&keys.sealing, self.parts.clock.now(), &*self.parts.entropy);
        self.settings.dpop.nonces.then(mint)
    }
}
