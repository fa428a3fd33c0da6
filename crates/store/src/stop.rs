//! Ending everything at once: of people, a client, a resource, or all of it.
//!
//! Codes go before grants. Whoever redeems at the same instant either holds the code's row first, and then the grant
//! is there to be ended when the grants' turn comes, or finds the code gone.

use std::ops::Range;

use protocol::id::{Grant, Id, User};
use protocol::world::Timestamp;

use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{
    AuditEvent, Once, Revocation, RevocationKind, StopCounts, StoreError, audit_events, connecting,
    connections, consents, replays, revocations,
};

/// A code that is not redeemed becomes a no: nothing of the consent is kept that could be redeemed.
macro_rules! end_codes {
    ($of:literal) => {
        concat!(
            "UPDATE authorizations SET state = 'denied', user_id = NULL, scope = NULL, code_hash = NULL, \
             code_expires_at = NULL, shown = NULL, grant_expires_at = NULL, attempts = NULL \
             WHERE state <> 'redeemed' AND state = 'consented'",
            $of
        )
    };
}

pub(crate) use end_codes;

statement_list! {
    CODES_OF_ALL = end_codes!("");
    CODES_OF_CLIENT = end_codes!(" AND client_id = $1");
    CODES_OF_RESOURCE = end_codes!(" AND resource = $1");
    CODES_OF_USER = end_codes!(" AND user_id = $1");
    CONSENTS_OF_ALL = "DELETE FROM consents";
    CONSENTS_OF_CLIENT = "DELETE FROM consents WHERE client_id = $1";
    CONSENTS_OF_RESOURCE = "DELETE FROM consents WHERE resource = $1 OR server = $2";
    CONSENTS_OF_USER = "DELETE FROM consents WHERE user_id = $1";
    GRANT = "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND id = $2";
    GRANTS_OF_ALL = "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL";
    GRANTS_OF_CLIENT = "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND client_id = $2";
    // By name too: a grant keeps the resource it was made for when the house moves, and goes on under the new one (P-23).
    GRANTS_OF_RESOURCE = "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND (resource = $2 OR server = $3)";
    GRANTS_OF_USER = "UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND user_id = $2";
    OFFLINE_OF_ALL = "DELETE FROM offline_access";
    OFFLINE_OF_USER = "DELETE FROM offline_access WHERE user_id = $1";
    EMERGENCY_OF_ALL = "DELETE FROM emergency_logins WHERE used_at IS NULL";
    EMERGENCY_OF_USER = "DELETE FROM emergency_logins WHERE user_id = $1 AND used_at IS NULL";
    SESSIONS_OF_ALL = "DELETE FROM browser_sessions";
    SESSIONS_OF_USER = "DELETE FROM browser_sessions WHERE user_id = $1";
}

/// One write: `first`, then the end of all that the revocation names, then entry and event. Returns how much it ended.
pub(crate) async fn stop(
    engine: &Engine,
    first: Vec<Step>,
    revocation: Revocation,
    audit: AuditEvent,
) -> Result<StopCounts, StoreError> {
    let before = Before { first, ..Before::default() };
    let stopped = stop_after(engine, before, revocation, audit).await?;
    stopped.ok_or_else(|| StoreError::unavailable("a stop missed a key"))
}

/// What belongs to a stop beside what it ends.
#[derive(Default)]
pub(crate) struct Before {
    /// What comes first.
    pub(crate) first: Vec<Step>,
    /// What is used up by it.
    pub(crate) once: Option<Once>,
    /// What else is announced: grants that it ends, whose latest tokens its own entry may miss.
    pub(crate) named: Vec<Revocation>,
}

/// The same, where what comes first, or what may be used once, may miss its guard; then nothing was written.
pub(crate) async fn stop_after(
    engine: &Engine,
    before: Before,
    revocation: Revocation,
    audit: AuditEvent,
) -> Result<Option<StopCounts>, StoreError> {
    let now = audit.at;
    stop_all(engine, before, vec![revocation], vec![audit], now).await
}

/// The same of all that these revocations name: of all or of nothing.
pub(crate) async fn stop_all(
    engine: &Engine,
    before: Before,
    ends: Vec<Revocation>,
    audit: Vec<AuditEvent>,
    now: Timestamp,
) -> Result<Option<StopCounts>, StoreError> {
    let Before { first: mut steps, once, named } = before;
    let server = audit.first().and_then(|event| event.server.as_deref());
    each(&mut steps, &ends, offline_access)?;
    each(&mut steps, &ends, |end| connecting(end, server))?;
    each(&mut steps, &ends, |end| connections(end, server, now))?;
    let sessions = each(&mut steps, &ends, sessions)?;
    each(&mut steps, &ends, emergency_logins)?;
    each(&mut steps, &ends, |end| consents(end, server).map(Some))?;
    let codes = each(&mut steps, &ends, codes)?;
    steps.extend(once.map(|once| replays::used(once.kind, once.hash, once.expires_at, now)));
    let grants = each(&mut steps, &ends, |end| grants(end, server, now).map(Some))?;
    steps.extend(ends.iter().map(|end| revocations::entry(end, now)));
    audit_events::push_all(&mut steps, &audit)?;
    let write = ends.into_iter().chain(named).fold(Write::new(steps).long(), Write::announcing);
    match engine.write(write).await? {
        Written::Done(touched) => {
            let count = |steps: Range<usize>| {
                touched.iter().take(steps.end).skip(steps.start).map(|step| step.count).sum()
            };
            Ok(Some(StopCounts {
                browser_sessions: count(sessions),
                codes: count(codes),
                grants: count(grants),
            }))
        }
        Written::Missed(_) => Ok(None),
    }
}

/// Adds the step of each; their places among the steps.
fn each(
    steps: &mut Vec<Step>,
    ends: &[Revocation],
    step: impl Fn(&Revocation) -> Result<Option<Step>, StoreError>,
) -> Result<Range<usize>, StoreError> {
    let begins = steps.len();
    for end in ends {
        steps.extend(step(end)?);
    }
    Ok(begins..steps.len())
}

/// Nobody who has nothing here is asked about at their provider.
fn offline_access(revocation: &Revocation) -> Result<Option<Step>, StoreError> {
    Ok(match revocation.kind {
        RevocationKind::Client | RevocationKind::Grant | RevocationKind::Resource => None,
        RevocationKind::Issuer => Some(Step::any(OFFLINE_OF_ALL, params![])),
        RevocationKind::User => Some(Step::any(OFFLINE_OF_USER, params![user(&revocation.id)?])),
    })
}

/// Nothing on its way becomes a connection any more.
fn connecting(revocation: &Revocation, server: Option<&str>) -> Result<Option<Step>, StoreError> {
    Ok(match revocation.kind {
        RevocationKind::Client | RevocationKind::Grant => None,
        RevocationKind::Issuer => Some(Step::any(connecting::END_OF_ALL, params![])),
        RevocationKind::Resource => Some(Step::any(connecting::END_OF_SERVER, params![server])),
        RevocationKind::User => Some(Step::any(connecting::END_OF_USER, params![user(&revocation.id)?])),
    })
}

/// Nobody's account elsewhere is used any more; the providers hear of it as soon as they can (`connections.rs`). An MCP
/// server that is stopped has seen the tokens of all of its people.
fn connections(
    revocation: &Revocation,
    server: Option<&str>,
    now: Timestamp,
) -> Result<Option<Step>, StoreError> {
    Ok(match revocation.kind {
        RevocationKind::Client | RevocationKind::Grant => None,
        RevocationKind::Issuer => Some(Step::any(connections::END_OF_ALL, params![now])),
        RevocationKind::Resource => Some(Step::any(connections::END_OF_SERVER, params![now, server])),
        RevocationKind::User => {
            Some(Step::any(connections::END_OF_USER, params![now, user(&revocation.id)?]))
        }
    })
}

fn sessions(revocation: &Revocation) -> Result<Option<Step>, StoreError> {
    Ok(match revocation.kind {
        RevocationKind::Client | RevocationKind::Grant | RevocationKind::Resource => None,
        RevocationKind::Issuer => Some(Step::any(SESSIONS_OF_ALL, params![])),
        RevocationKind::User => Some(Step::any(SESSIONS_OF_USER, params![user(&revocation.id)?])),
    })
}

/// Ways in that nobody has used yet.
fn emergency_logins(revocation: &Revocation) -> Result<Option<Step>, StoreError> {
    Ok(match revocation.kind {
        RevocationKind::Client | RevocationKind::Grant | RevocationKind::Resource => None,
        RevocationKind::Issuer => Some(Step::any(EMERGENCY_OF_ALL, params![])),
        RevocationKind::User => Some(Step::any(EMERGENCY_OF_USER, params![user(&revocation.id)?])),
    })
}

/// What was allowed beyond what is under way. Before the codes: whoever turns a consent into a code at the same instant
/// holds its row, and the code is there to be ended when the codes' turn comes.
fn consents(revocation: &Revocation, server: Option<&str>) -> Result<Step, StoreError> {
    let id = revocation.id.as_str();
    Ok(match revocation.kind {
        RevocationKind::Client => Step::any(CONSENTS_OF_CLIENT, params![id]),
        RevocationKind::Grant => {
            let grant = id.parse::<Id<Grant>>().map_err(StoreError::unavailable)?;
            Step::any(consents::FORGET_OF_GRANT, params![grant])
        }
        RevocationKind::Issuer => Step::any(CONSENTS_OF_ALL, params![]),
        RevocationKind::Resource => Step::any(CONSENTS_OF_RESOURCE, params![id, server]),
        RevocationKind::User => Step::any(CONSENTS_OF_USER, params![user(id)?]),
    })
}

fn codes(revocation: &Revocation) -> Result<Option<Step>, StoreError> {
    let id = revocation.id.as_str();
    Ok(match revocation.kind {
        RevocationKind::Client => Some(Step::any(CODES_OF_CLIENT, params![id])),
        RevocationKind::Grant => None,
        RevocationKind::Issuer => Some(Step::any(CODES_OF_ALL, params![])),
        RevocationKind::Resource => Some(Step::any(CODES_OF_RESOURCE, params![id])),
        RevocationKind::User => Some(Step::any(CODES_OF_USER, params![user(id)?])),
    })
}

/// `server` is our name of the MCP server, if the stop is of one.
fn grants(revocation: &Revocation, server: Option<&str>, now: Timestamp) -> Result<Step, StoreError> {
    let id = revocation.id.as_str();
    Ok(match revocation.kind {
        RevocationKind::Client => Step::any(GRANTS_OF_CLIENT, params![now, id]),
        RevocationKind::Grant => {
            let grant = id.parse::<Id<Grant>>().map_err(StoreError::unavailable)?;
            Step::any(GRANT, params![now, grant])
        }
        RevocationKind::Issuer => Step::any(GRANTS_OF_ALL, params![now]),
        RevocationKind::Resource => Step::any(GRANTS_OF_RESOURCE, params![now, id, server]),
        RevocationKind::User => Step::any(GRANTS_OF_USER, params![now, user(id)?]),
    })
}

pub(crate) fn user(id: &str) -> Result<Id<User>, StoreError> {
    id.parse().map_err(StoreError::unavailable)
}
