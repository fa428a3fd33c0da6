//! What the two token endpoints answer, held against what was asked (RFC 8693, section 2.2; RFC 6749, section 5).

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use protocol::oauth::Scope;
use protocol::oauth::identity_assertion::ClaimedGrant;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Granted, ID_JAG, Trouble, Wanted};
use crate::document::is_json;

/// No honest token is larger.
const LONGEST: usize = 16 * 1024;
/// How far the identity provider's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(60);

/// What an ID-JAG must be to be carried on.
pub(super) struct ExpectedAssertion<'a> {
    pub(super) audience: &'a str,
    pub(super) client_id: &'a str,
    pub(super) issuer: &'a str,
    pub(super) now: Timestamp,
    pub(super) wanted: &'a Wanted,
}

#[derive(Deserialize)]
struct ExchangeAnswer {
    access_token: String,
    issued_token_type: String,
    token_type: String,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// The ID-JAG of an answer, if it is one, and for whom it was asked. Its signature is judged where it is redeemed; here it came
/// over TLS from whoever issues it.
pub(super) fn assertion(
    answer: &Response<Bytes>,
    expected: &ExpectedAssertion<'_>,
) -> Result<Secret, Trouble> {
    let read: ExchangeAnswer = read(answer, Trouble::SignInNeeded)?;
    let token = token(read.access_token)?;
    // RFC 8693, section 2.2.1: it is no access token, and nobody may take it for one.
    if read.issued_token_type != ID_JAG || !read.token_type.eq_ignore_ascii_case("N_A") {
        return Err(Trouble::OtherAnswer);
    }
    granted_scope(read.scope.as_deref(), &expected.wanted.scope)?;
    let claims = token.expose(ClaimedGrant::read).ok_or(Trouble::OtherAnswer)?;
    let is_ours = claims.iss == expected.issuer
        && claims.aud.is_only(expected.audience)
        && claims.client_id == expected.client_id
        && claims.resource.as_ref().is_none_or(|named| named.contains(&expected.wanted.resource));
    let lives = Timestamp::from_secs(claims.exp).plus(TOLERANCE) > expected.now;
    if is_ours && lives { Ok(token) } else { Err(Trouble::OtherAnswer) }
}

/// The access token of an answer. A refresh token that comes with it is not taken: whoever wants another access token asks the
/// identity provider again (section 4.4.3).
pub(super) fn granted(answer: &Response<Bytes>, wanted: &Wanted) -> Result<Granted, Trouble> {
    let read: TokenAnswer = read(answer, Trouble::Refused)?;
    if !read.token_type.eq_ignore_ascii_case("Bearer") {
        return Err(Trouble::OtherAnswer);
    }
    Ok(Granted {
        access_token: token(read.access_token)?,
        expires_in: read.expires_in.map(Duration::from_secs),
        scope: granted_scope(read.scope.as_deref(), &wanted.scope)?,
    })
}

/// Whether the token is good no more (RFC 7009, section 2.2: also if it is not known).
pub(super) fn revoked(answer: &Response<Bytes>) -> Result<(), Trouble> {
    match answer.status() {
        StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::Unreachable)
        }
        StatusCode::UNAUTHORIZED => Err(Trouble::ClientRefused),
        _ => Err(Trouble::Refused),
    }
}

/// What was granted: never more than was asked for, if anything was.
fn granted_scope(said: Option<&str>, asked: &Scope) -> Result<Scope, Trouble> {
    let Some(said) = said else { return Ok(asked.clone()) };
    let said = Scope::parse(said).map_err(|_| Trouble::OtherAnswer)?;
    if asked.is_empty() || said.is_subset(asked) { Ok(said) } else { Err(Trouble::OtherAnswer) }
}

/// RFC 6750, section 2.1: what can stand in a header.
fn token(text: String) -> Result<Secret, Trouble> {
    let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = Secret::new(text);
    if fits { Ok(token) } else { Err(Trouble::OtherAnswer) }
}

/// The answer; `bad_grant` is what it means that what was presented is refused.
fn read<T: DeserializeOwned>(answer: &Response<Bytes>, bad_grant: Trouble) -> Result<T, Trouble> {
    let json = is_json(answer.headers());
    match answer.status() {
        StatusCode::OK if json => serde_json::from_slice(answer.body()).map_err(|_| Trouble::OtherAnswer),
        StatusCode::OK => Err(Trouble::OtherAnswer),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::Unreachable)
        }
        status => {
            let error = serde_json::from_slice::<ErrorAnswer>(answer.body()).ok().filter(|_| json);
            Err(refused(status, error.as_ref().map(|answer| answer.error.as_str()), bad_grant))
        }
    }
}

/// RFC 6749, section 5.2; RFC 8693, section 2.2.2; the draft, section 8.2.
fn refused(status: StatusCode, error: Option<&str>, bad_grant: Trouble) -> Trouble {
    match error {
        Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type") => Trouble::ClientRefused,
        Some("invalid_grant") => bad_grant,
        Some("insufficient_user_authentication" | "login_required") => Trouble::SignInNeeded,
        Some("invalid_target") => Trouble::TargetRefused,
        Some("invalid_scope") => Trouble::ScopeRefused,
        Some("temporarily_unavailable") => Trouble::Unreachable,
        None if status == StatusCode::UNAUTHORIZED => Trouble::ClientRefused,
        // A redirect is not followed, and is no answer.
        None if status.is_redirection() => Trouble::OtherAnswer,
        Some(_) | None => Trouble::Refused,
    }
}

#[cfg(test)]
mod tests;
