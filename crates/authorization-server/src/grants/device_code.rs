//! The device code grant (RFC 8628, sections 3.4 and 3.5): the device comes for what a person decided elsewhere.
//!
//! A device code buys one grant at most: the condition stands in the statement that redeems the authorization. How often a
//! device may come is judged by when it last came, and only a request in time is written down, so that a flood of them costs
//! reads.

use std::time::Duration;

use protocol::id::{Id, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ClientId, ErrorCode, Scope, TokenResponse};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{AuthorizationRecord, AuthorizationState, DeviceAuthorizationRecord};
use thiserror::Error;

use super::authorization_code::{CodeRefusal, Redeemable};
use crate::AuthorizationServer;
use crate::client_authentication::AuthenticatedClient;
use crate::device::INTERVAL;
use crate::pages::Caller;
use crate::token::TokenError;

/// What the network may shorten between two requests that were sent in time.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Why a device gets no token, or none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeviceCodeRefusal {
    /// The person said no, or what they said yes to was stopped.
    #[error("the person said no")]
    Denied,
    /// Nobody decided in time, or the device did not come in time.
    #[error("the device code has expired")]
    Expired,
    /// It was issued to another client.
    #[error("the device code was issued to another client")]
    OfAnotherClient,
    /// Nobody has decided yet.
    #[error("nobody has decided yet")]
    Pending,
    /// The person may not any more.
    #[error("{0}")]
    Person(super::PersonRefusal),
    /// It comes too often.
    #[error("the device comes too often")]
    TooOften,
    /// There is no such code.
    #[error("there is no such device code")]
    Unknown,
    /// It was redeemed before.
    #[error("the device code was redeemed before")]
    Used,
}

impl DeviceCodeRefusal {
    /// What the client is told (RFC 8628, section 3.5).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::AccessDenied,
            Self::Expired => ErrorCode::ExpiredToken,
            Self::OfAnotherClient | Self::Person(_) | Self::Unknown | Self::Used => ErrorCode::InvalidGrant,
            Self::Pending => ErrorCode::AuthorizationPending,
            Self::TooOften => ErrorCode::SlowDown,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Denied => "device_denied",
            Self::Expired => "device_code_expired",
            Self::OfAnotherClient => "device_code_of_another_client",
            Self::Pending => "device_pending",
            Self::Person(refusal) => refusal.reason(),
            Self::TooOften => "device_too_often",
            Self::Unknown => "device_code_unknown",
            Self::Used => "device_code_used",
        }
    }
}

impl From<CodeRefusal> for DeviceCodeRefusal {
    fn from(refusal: CodeRefusal) -> Self {
        match refusal {
            CodeRefusal::Expired => Self::Expired,
            CodeRefusal::Person(refusal) => Self::Person(refusal),
            CodeRefusal::Replayed { .. } => Self::Used,
            CodeRefusal::KeyMismatch
            | CodeRefusal::OfAnotherClient
            | CodeRefusal::ProofMissing
            | CodeRefusal::RedirectUriMismatch
            | CodeRefusal::ResourceMismatch
            | CodeRefusal::TooManyAttempts
            | CodeRefusal::Unknown
            | CodeRefusal::VerifierMismatch
            | CodeRefusal::VerifierMissing => Self::Unknown,
        }
    }
}

/// Decides whether the device may be looked after now.
fn decide_poll<'a>(
    found: Option<&'a DeviceAuthorizationRecord>,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<&'a DeviceAuthorizationRecord, DeviceCodeRefusal> {
    let found = found.ok_or(DeviceCodeRefusal::Unknown)?;
    if found.client_id != *client_id {
        return Err(DeviceCodeRefusal::OfAnotherClient);
    }
    let between = Duration::from_secs(INTERVAL) - TOLERANCE;
    if found.polled_at.is_some_and(|polled_at| now.since(polled_at) < between) {
        return Err(DeviceCodeRefusal::TooOften);
    }
    Ok(found)
}

/// What a person's yes is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Allowed<'a> {
    code_hash: Hash,
    grant_expires_at: Option<Timestamp>,
    scope: &'a Scope,
    shown: &'a Hash,
    user: Id<User>,
}

/// Decides by what the person decided. A yes counts as long as the device was told that it may ask, and for `grace` longer, as it
/// may be given in the last moment.
fn decide<'a>(
    device: &DeviceAuthorizationRecord,
    decided: Option<&'a AuthorizationRecord>,
    (grace, now): (Duration, Timestamp),
) -> Result<Allowed<'a>, DeviceCodeRefusal> {
    let is_over = device.expires_at <= now;
    let undecided = if is_over { DeviceCodeRefusal::Expired } else { DeviceCodeRefusal::Pending };
    let Some(record) = decided else {
        // It was there and was swept out, or nobody came.
        let gone = device.authorization.is_some();
        return Err(if gone { DeviceCodeRefusal::Expired } else { undecided });
    };
    match &record.state {
        AuthorizationState::Consented {
            user,
            scope,
            code_hash,
            code_expires_at,
            shown,
            grant_expires_at,
            ..
        } => {
            if *code_expires_at <= now || device.expires_at.plus(grace) <= now {
                return Err(DeviceCodeRefusal::Expired);
            }
            Ok(Allowed {
                code_hash: *code_hash,
                grant_expires_at: *grant_expires_at,
                scope,
                shown,
                user: *user,
            })
        }
        AuthorizationState::Denied => Err(DeviceCodeRefusal::Denied),
        AuthorizationState::Pending | AuthorizationState::UpstreamLeg(_) => Err(undecided),
        AuthorizationState::Redeemed { .. } => Err(DeviceCodeRefusal::Used),
    }
}

impl AuthorizationServer {
    /// Exchanges a device code for tokens, once a person allowed it.
    pub(crate) async fn exchange_device_code(
        &self,
        client: &AuthenticatedClient,
        device_code: &Secret,
        (caller, key): (&Caller, Option<Thumbprint>),
    ) -> Result<TokenResponse, TokenError> {
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let found = store.find_device(device_code.hash()).await?;
        let device = decide_poll(found.as_ref(), client.client().id(), now)?;
        if !store.poll_device(device.device_code, device.polled_at, now).await? {
            return Err(DeviceCodeRefusal::TooOften.into());
        }
        let decided = match device.authorization {
            Some(id) => store.find_authorization(id).await?,
            None => None,
        };
        let allowed = decide(device, decided.as_ref(), (self.settings.lifetimes.code, now))?;
        let record = decided.as_ref().ok_or(DeviceCodeRefusal::Unknown)?;
        let redeemable = Redeemable {
            grant_expires_at: allowed.grant_expires_at,
            scope: allowed.scope,
            shown: allowed.shown,
            user: allowed.user,
        };
        match self.redeem((client, key), record, redeemable, (caller, allowed.code_hash, now)).await {
            // It is told as what it is: the device can come again with a proof.
            Err(TokenError::Code(refusal)) if refusal != CodeRefusal::ProofMissing => {
                Err(DeviceCodeRefusal::from(refusal).into())
            }
            answer => answer,
        }
    }
}
