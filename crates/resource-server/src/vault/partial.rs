//! What a person did not grant at a provider, and what becomes of a call that needs it (attacks CB-19; requirements RS-171).
//!
//! The MCP server alone knows what a call needs: it says so by `insufficient_scope` (RFC 6750, section 3.1). What it names is
//! written down with the connection, and the next time the person connects they are asked for that as well as for what they
//! granted before (CL-074). Must never ask for what the operator did not allow to be asked for.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use protocol::id::{Id, User};
use protocol::oauth::Scope;
use store::ConnectionRecord;
use upstream::oauth_client::{Challenge, Leg, Tokens};

use super::connection::{Held, Vault, bound, granted, missing_scope};
use crate::mcp_server::McpServer;
use crate::reason::CallReason;

/// What an MCP server may come to want beyond what was granted; one that wants ever more is not listened to (attacks PX-40).
const MOST: usize = 50;
/// Says that there is to be a refresh token. Providers leave it out of what they say was granted.
const LASTING: &str = "offline_access";

/// What was asked for and not granted.
pub(super) fn missing(leg: &Leg, tokens: &Tokens) -> Scope {
    let asked = Scope::parse(&leg.scope).unwrap_or_default();
    asked.difference(&tokens.scope).iter().filter(|token| token.as_str() != LASTING).cloned().collect()
}

/// What to ask a person for who connects again, if that is more than they granted.
pub(super) fn wanted(record: &ConnectionRecord, server: &McpServer) -> Option<Scope> {
    let missing = missing_scope(record);
    let is_here = bound(record).is_some_and(|bound| bound.at == server.origin());
    (is_here && !missing.is_empty()).then(|| granted(record).union(&missing))
}

/// The challenge of an MCP server for whose call the credential has too little scope.
pub(crate) fn too_little(status: StatusCode, headers: &HeaderMap) -> Option<Challenge> {
    let challenge = Challenge::read(headers).filter(|_| status == StatusCode::FORBIDDEN)?;
    challenge.wants_scope().then_some(challenge)
}

impl Vault {
    /// The credential that this person was given since, if this is not it any more. Otherwise the person has to allow more:
    /// what the MCP server wants is written down, to be asked for.
    pub(crate) async fn wider(
        &self,
        held: &Held,
        (user, server): (Id<User>, &McpServer),
        challenge: &Challenge,
    ) -> Result<Arc<Held>, CallReason> {
        let record = self.record(user, server).await?;
        if record.id != held.id || record.generation != held.generation {
            self.forget(user, server.name());
            return self.held(&record);
        }
        let client = server.oauth_client().ok_or(CallReason::UpstreamRefused)?;
        let missing = missing_scope(&record);
        let needed = challenge
            .scope
            .as_ref()
            .map_or_else(|| missing.clone(), |needed| client.may_ask(needed).difference(&granted(&record)));
        let all = missing.union(&needed);
        if needed.is_empty() || all.len() > MOST {
            // To ask again for what there is, or for what nobody may be asked for, would help nobody.
            return Err(CallReason::UpstreamRefused);
        }
        if all != missing {
            // Whoever was faster wrote it, or the person has connected again.
            self.store.want_of_connection(record, all.to_string()).await?;
        }
        Err(CallReason::ConnectionTooNarrow)
    }
}
