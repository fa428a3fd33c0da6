//! Credentials that are minted, short-lived, and no person's. The key never leaves; whoever asked holds what is minted.
//!
//! What is particular to a kind is in its file: how it is asked, and what its answer is.

mod github;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use thiserror::Error;

use self::github::App;
use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::revocation::Revocated;
use super::ways::LARGEST;
use crate::egress::{Egress, FetchError, Limits};

pub use github::GithubAppSettings;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// No minted token is taken to be good for longer.
const MOST: Duration = Duration::from_secs(60 * 60);
/// No honest token is larger.
const LONGEST: usize = 16 * 1024;

/// The key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the private key is not an RSA key in PEM, or the address is not https")]
pub struct MintError;

/// A minted token.
#[derive(Debug)]
pub struct MintedToken {
    /// The token.
    pub token: Secret,
    /// When it ends.
    pub ends: Timestamp,
}

/// Where tokens are minted for one MCP server.
pub struct Minter {
    app: App,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    egress: Arc<dyn Egress>,
}

impl Minter {
    /// Installation tokens of a GitHub App.
    ///
    /// # Errors
    /// [`MintError`] if the key or the address cannot be used.
    pub fn github(
        settings: GithubAppSettings,
        egress: Arc<dyn Egress>,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Result<Self, MintError> {
        Ok(Self { app: App::new(settings)?, egress, clock, deadline })
    }

    /// A new token.
    ///
    /// # Errors
    /// [`OauthClientError`] if none can be had.
    pub async fn mint(&self) -> Result<MintedToken, OauthClientError> {
        let now = self.clock.now();
        let request = self.app.request(now)?;
        let limits = Limits { total: self.deadline, max_body: LARGEST };
        let answer = self.egress.fetch(request, limits).await.map_err(|error| match error {
            FetchError::TooLarge => OauthClientError::from(Malformed::Token),
            FetchError::TimedOut | FetchError::Unreachable => OauthClientError::Unreachable(Place::Token),
        })?;
        let (token, ends) = App::read(&answer).unwrap_or_else(|| Err(refused(&answer)))?;
        let fits = (1..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = Secret::new(token);
        if !fits || ends <= now {
            return Err(Malformed::Token.into());
        }
        Ok(MintedToken { token, ends: ends.min(now.plus(MOST)) })
    }
}

impl Minter {
    /// Ends a token. GitHub: `DELETE /installation/token`, with the token itself.
    ///
    /// # Errors
    /// [`OauthClientError`]; only a passing one is worth another try.
    pub async fn take_back(&self, token: &Secret) -> Result<Revocated, OauthClientError> {
        let request = self.app.ending(token)?;
        let limits = Limits { total: self.deadline, max_body: LARGEST };
        let answer = self.egress.fetch(request, limits).await;
        let answer = answer.map_err(|_| OauthClientError::Unreachable(Place::Revocation))?;
        match answer.status() {
            // 401: it is over already.
            StatusCode::NO_CONTENT | StatusCode::UNAUTHORIZED => Ok(Revocated::Done),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(OauthClientError::Unreachable(Place::Revocation))
            }
            _ => Err(Obstacle::Refused.into()),
        }
    }
}

/// What a kind reads of an answer: the token and its end; nothing, if it is none that grants anything.
type Read = Option<Result<(String, Timestamp), OauthClientError>>;

/// docs.github.com: 401 for an assertion that is not good, 404 for an installation that is gone, 422 for permissions that it does
/// not have.
fn refused(answer: &Response<Bytes>) -> OauthClientError {
    match answer.status() {
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            OauthClientError::Unreachable(Place::Token)
        }
        StatusCode::UNAUTHORIZED => Obstacle::Key.into(),
        StatusCode::NOT_FOUND => Rejection::Grant.into(),
        StatusCode::UNPROCESSABLE_ENTITY => Obstacle::Scope.into(),
        status if status.is_client_error() => Obstacle::Client.into(),
        _ => Malformed::Token.into(),
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").finish_non_exhaustive()
    }
}
