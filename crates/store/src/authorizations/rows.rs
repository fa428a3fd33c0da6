//! Rows of `authorizations`, both ways. Each state has its columns: a row with others is impossible and refused.

use protocol::id::{Grant, Id, Reference, User};
use protocol::oauth::{ClientId, Scope};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

use super::{AcceptedRequest, AuthorizationRecord, AuthorizationState, NewAuthorization, UpstreamLeg};
use crate::StoreError;
use crate::codec::{Decoder, json};
use crate::engine::{Row, params};

const TABLE: &str = "authorizations";

/// Columns that a consent fills and a redemption keeps.
struct Given {
    user: Id<User>,
    scope: Scope,
    code_hash: Hash,
    code_expires_at: Timestamp,
    shown: Hash,
    attempts: u32,
}

/// Columns of a new authorization, and what the cap is counted by.
pub(super) fn encode(new: &NewAuthorization, per_address: u32, now: Timestamp) -> Result<Row, StoreError> {
    Ok(params![
        new.id,
        new.reference.as_str(),
        new.browser,
        new.address.as_str(),
        new.network.as_str(),
        new.client_id.as_str(),
        new.request.resource.as_str(),
        json(&new.request)?,
        new.created_at,
        new.expires_at,
        now,
        per_address,
    ])
}

pub(super) fn decode(row: Row) -> Result<AuthorizationRecord, StoreError> {
    let mut row = Decoder::new(TABLE, row);
    let id = row.id("id")?;
    let reference = row.parsed("reference", Reference::parse)?;
    let browser = row.hash("browser")?;
    let address = row.text("address")?;
    let client_id = row.parsed("client_id", ClientId::parse)?;
    let resource = row.text("resource")?;
    let request: AcceptedRequest = row.json("request")?;
    if request.resource.as_str() != resource {
        return Err(row.corrupt("resource"));
    }
    let state = row.text("state")?;
    let created_at = row.time("created_at")?;
    let expires_at = row.time("expires_at")?;
    let state = decode_state(&mut row, &state)?;
    Ok(AuthorizationRecord {
        id,
        reference,
        browser,
        address,
        client_id,
        request,
        state,
        created_at,
        expires_at,
    })
}

fn decode_state(row: &mut Decoder, state: &str) -> Result<AuthorizationState, StoreError> {
    let leg = decode_leg(row)?;
    let given = decode_given(row)?;
    let redeemed = decode_redeemed(row)?;
    let grant_expires_at = row.opt_time("grant_expires_at")?;
    match (state, leg, given, redeemed) {
        ("consented", None, Some(given), None) => Ok(AuthorizationState::Consented {
            user: given.user,
            scope: given.scope,
            code_hash: given.code_hash,
            code_expires_at: given.code_expires_at,
            shown: given.shown,
            grant_expires_at,
            attempts: given.attempts,
        }),
        ("denied", None, None, None) => Ok(AuthorizationState::Denied),
        ("pending", None, None, None) => Ok(AuthorizationState::Pending),
        ("redeemed", None, Some(given), Some((grant, redeemed_at))) => Ok(AuthorizationState::Redeemed {
            user: given.user,
            scope: given.scope,
            code_hash: given.code_hash,
            grant,
            redeemed_at,
        }),
        ("upstream_leg", Some(leg), None, None) => Ok(AuthorizationState::UpstreamLeg(leg)),
        _ => Err(row.corrupt("state")),
    }
}

fn decode_leg(row: &mut Decoder) -> Result<Option<UpstreamLeg>, StoreError> {
    let connector = row.opt_text("upstream_connector")?;
    let state_hash = row.opt_hash("upstream_state_hash")?;
    let leg_hash = row.opt_hash("upstream_leg_hash")?;
    let nonce_hash = row.opt_hash("upstream_nonce_hash")?;
    let verifier = row.opt_bytes("upstream_verifier")?;
    match (connector, state_hash, leg_hash, nonce_hash, verifier) {
        (Some(connector), Some(state_hash), Some(leg_hash), Some(nonce_hash), Some(verifier)) => {
            let verifier = Sealed::from_bytes(verifier);
            Ok(Some(UpstreamLeg { connector, state_hash, leg_hash, nonce_hash, verifier }))
        }
        (None, None, None, None, None) => Ok(None),
        _ => Err(row.corrupt("upstream_connector")),
    }
}

fn decode_given(row: &mut Decoder) -> Result<Option<Given>, StoreError> {
    let user = row.opt_id("user_id")?;
    let scope = row.opt_parsed("scope", Scope::parse)?;
    let code_hash = row.opt_hash("code_hash")?;
    let code_expires_at = row.opt_time("code_expires_at")?;
    let shown = row.opt_hash("shown")?;
    let attempts = row.opt_int("attempts")?;
    match (user, scope, code_hash, code_expires_at, shown, attempts) {
        (Some(user), Some(scope), Some(code_hash), Some(code_expires_at), Some(shown), Some(attempts)) => {
            let attempts = u32::try_from(attempts).map_err(|_| row.corrupt("attempts"))?;
            Ok(Some(Given { user, scope, code_hash, code_expires_at, shown, attempts }))
        }
        (None, None, None, None, None, None) => Ok(None),
        _ => Err(row.corrupt("code_hash")),
    }
}

fn decode_redeemed(row: &mut Decoder) -> Result<Option<(Id<Grant>, Timestamp)>, StoreError> {
    let grant = row.opt_id("grant_id")?;
    let redeemed_at = row.opt_time("redeemed_at")?;
    match (grant, redeemed_at) {
        (Some(grant), Some(redeemed_at)) => Ok(Some((grant, redeemed_at))),
        (None, None) => Ok(None),
        _ => Err(row.corrupt("redeemed_at")),
    }
}
