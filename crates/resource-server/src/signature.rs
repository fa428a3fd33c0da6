//! The signature of a call (RFC 9421; experimental, after SEP-2752): who sent these very bytes to this very place holds a key.
//!
//! The key is the one that the access token is bound to, if it is bound to one; and the one by which the session was begun, for
//! that is sealed into its id (`session.rs`). It says nothing of who may do what. A signature is good once. Must never take a
//! key on its own word where a signature is required, but to begin a session: whoever stole a token has a key too, and only a
//! token that is bound is of no use to them.

use protocol::jose::dpop::Thumbprint;
use protocol::message_signature::{MessageSignature, SignatureError, SignatureMode, SignedRequest};
use store::ReplayKind;
use thiserror::Error;

use crate::call::{Asked, Operation};
use crate::media::MCP_SESSION_ID;
use crate::reason::CallReason;
use crate::server::ResourceServer;

/// What is wrong with the signature of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureFault {
    /// It does not hold.
    #[error("{0}")]
    Invalid(#[from] SignatureError),
    /// Calls must be signed, and this one is not.
    #[error("the call is not signed")]
    Missing,
    /// It was used before.
    #[error("the signature was used before")]
    Replayed,
    /// Neither the access token nor a session says whose key it must be.
    #[error("nothing binds the key of the signature")]
    Unbound,
}

impl SignatureFault {
    /// What the client is told.
    pub(crate) const SENTENCE: &'static str = "The call must carry one HTTP message signature (RFC 9421) by the key of the client, made for it and now.";

    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::Missing => "signature_missing",
            Self::Replayed => "signature_replayed",
            Self::Unbound => "signature_unbound",
        }
    }
}

impl ResourceServer {
    /// The key that signed the call; none, if it is not signed or nobody looks.
    pub(crate) async fn signer(&self, asked: &Asked) -> Result<Option<Thumbprint>, CallReason> {
        let settings = asked.who().server.settings();
        match settings.message_signatures {
            SignatureMode::Off => return Ok(None),
            SignatureMode::Optional | SignatureMode::Required
                if MessageSignature::is_there(&asked.headers) => {}
            SignatureMode::Optional => return Ok(None),
            SignatureMode::Required => return Err(SignatureFault::Missing.into()),
        }
        let bound = asked.who().verdict.access.bound_to;
        if settings.message_signatures == SignatureMode::Required
            && bound.is_none()
            && !is_of_a_session(asked)
        {
            return Err(SignatureFault::Unbound.into());
        }
        let signature = self.verify_signature(asked, bound.as_ref())?;
        if self.is_first_signature(&signature).await? {
            Ok(Some(signature.key))
        } else {
            Err(SignatureFault::Replayed.into())
        }
    }

    fn verify_signature(
        &self,
        asked: &Asked,
        bound: Option<&Thumbprint>,
    ) -> Result<MessageSignature, CallReason> {
        let now = self.clock.now();
        let identities = asked.who().server.identities().iter();
        let lives = identities.filter(|identity| identity.until.is_none_or(|until| now < until));
        let query = asked.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let targets: Vec<String> = lives.map(|identity| format!("{}{query}", identity.resource)).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let method = match &asked.operation {
            Operation::Call { .. } => "POST",
            Operation::EndSession { .. } => "DELETE",
            Operation::Listen { .. } => "GET",
        };
        let body = asked.arrived.as_ref();
        let request = SignedRequest { method, targets: &targets, headers: &asked.headers, body };
        MessageSignature::verify(&request, bound, now).map_err(|error| SignatureFault::from(error).into())
    }

    /// As with proofs (RFC 9449): once on each node as far as it remembers, or once on all of them.
    async fn is_first_signature(&self, signature: &MessageSignature) -> Result<bool, CallReason> {
        if !self.dpop.once_across_nodes {
            return Ok(self.parts.proofs.seen.is_new(&signature.id, self.clock.monotonic()));
        }
        // Of what was used before a restore nobody knows.
        if signature.created.micros() <= self.revocations.epoch() {
            return Ok(false);
        }
        let (kind, now) = (ReplayKind::DpopProof, self.clock.now());
        Ok(self.parts.store.use_once(kind, signature.id, signature.ends(), now).await?)
    }
}

/// Of a session, or the call that begins one: from there on the key is that of the session.
fn is_of_a_session(asked: &Asked) -> bool {
    let begins = match &asked.operation {
        Operation::Call { call, .. } => !call.modern && call.method == "initialize",
        Operation::EndSession { .. } | Operation::Listen { .. } => false,
    };
    begins || (asked.may_name_a_session() && asked.headers.contains_key(&MCP_SESSION_ID))
}
