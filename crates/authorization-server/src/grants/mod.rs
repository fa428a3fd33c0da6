//! The grants: one file for each way to an access token, each with a pure `decide` and an `exchange` that reads,
//! decides and writes once. What they share is here: whether the person may still, and the access token itself.

pub(crate) mod authorization_code;
pub(crate) mod client_credentials;
pub(crate) mod device_code;
pub(crate) mod id_jag;
pub(crate) mod refresh_token;
pub(crate) mod target;
pub(crate) mod token_exchange;
pub(crate) mod workload;

use std::time::Duration;

use policy::{Decision, Person, Question};
use protocol::id::{Grant, Id};
use protocol::oauth::ResourceUri;
use protocol::world::Timestamp;
use store::{Reach, Revocation, RevocationKind, UserRecord};
use thiserror::Error;

use crate::settings::{Lifetimes, ServerEntry};

/// Why a person gets no token any more, though a client holds a good code or refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PersonRefusal {
    /// The MCP server has been closed to clients that are called back outside.
    #[error("the MCP server is closed to clients that lead outside")]
    ClientOutside,
    /// The person is stopped, or gone.
    #[error("the person is disabled")]
    Disabled,
    /// The person is in no group that may use the MCP server.
    #[error("the person is in no group that may use the MCP server")]
    NotAdmitted,
    /// The MCP server is gone from the configuration.
    #[error("the MCP server is not here any more")]
    ServerGone,
}

impl PersonRefusal {
    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ClientOutside => "client_outside",
            Self::Disabled => "person_disabled",
            Self::NotAdmitted => "not_admitted",
            Self::ServerGone => "server_gone",
        }
    }
}

/// Decides whether the person may (still) have tokens for the MCP server. Asked at consent, at the code and at every
/// refresh. The groups are those of the person's last sign-in: leaving one at the identity provider is heard of then.
pub(crate) fn admit(user: Option<&UserRecord>, server: Option<&ServerEntry>) -> Result<(), PersonRefusal> {
    let user = user.filter(|user| user.disabled_at.is_none()).ok_or(PersonRefusal::Disabled)?;
    let server = server.ok_or(PersonRefusal::ServerGone)?;
    let service_account = user.service_account();
    let person =
        Person { user: user.id, email: user.email.as_deref(), groups: &user.groups, service_account };
    match policy::decide(&Question::MayConnect { person, server: &server.rules }) {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny { .. } | Decision::NeedScope { .. } => Err(PersonRefusal::NotAdmitted),
    }
}

/// Whether every `resource` of a token request is the one that was granted (RFC 8707, section 2.2). None is fine.
pub(crate) fn asks_only_for(granted: &ResourceUri, requested: &[String]) -> bool {
    requested.iter().all(|text| ResourceUri::parse(text).is_ok_and(|resource| resource == *granted))
}

/// How far the clocks of nodes may lie apart before a revocation would miss a token.
pub(crate) const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// What all nodes must hear when a grant ends (product.md, P-2).
///
/// No token of an ended grant is ever good again, so its not-before lies ahead: a token that another node issued at
/// the same moment, by a clock that goes ahead of ours, falls under it too (attacks.md, RV-05).
pub(crate) fn revocation_of(grant: Id<Grant>, now: Timestamp) -> Revocation {
    let Reach { not_before, expires_at } = reach(now);
    Revocation { kind: RevocationKind::Grant, id: grant.to_string(), not_before, expires_at }
}

/// How far that reaches.
pub(crate) fn reach(now: Timestamp) -> Reach {
    Reach {
        not_before: now.plus(CLOCKS_APART),
        expires_at: now.plus(Lifetimes::LONGEST_ACCESS_TOKEN + CLOCKS_APART),
    }
}
