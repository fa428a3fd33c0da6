//! Credentials that are minted, short-lived, and no person's. The key never leaves; whoever asked holds what is minted.
//!
//! Each kind is one file: how it is asked, and what its answer is. Another one is a file and an arm of [`Mint`].

mod github;
mod google;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use thiserror::Error;

use self::github::App;
use self::google::Account;
use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::revocation::Revocated;
use super::ways::LARGEST;
use crate::egress::{Egress, FetchError, Limits};

pub use github::GithubAppSettings;
pub use google::GoogleAccountSettings;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// No minted token is taken to be good for longer.
const MOST: Duration = Duration::from_secs(60 * 60);
/// No honest token is larger.
const LONGEST: usize = 16 * 1024;

/// The key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the private key is not an RSA key in PEM, or the key file is not one of a service account, or an address is not https"
)]
pub struct MintError;

/// The kinds.
enum Mint {
    /// Installation tokens of a GitHub App.
    Github(App),
    /// Access tokens of a service account at Google.
    Google(Account),
}

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
    clock: Arc<dyn Clock>,
    deadline: Duration,
    egress: Arc<dyn Egress>,
    mint: Mint,
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
        Ok(Self { mint: Mint::Github(App::new(settings)?), egress, clock, deadline })
    }

    /// Access tokens of a service account at Google.
    ///
    /// # Errors
    /// [`MintError`] if the key file is none.
    pub fn google(
        settings: GoogleAccountSettings,
        egress: Arc<dyn Egress>,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Result<Self, MintError> {
        let account = Account::new(settings, clock.now())?;
        Ok(Self { mint: Mint::Google(account), egress, clock, deadline })
    }

    /// A new token.
    ///
    /// # Errors
    /// [`OauthClientError`] if none can be had.
    pub async fn mint(&self) -> Result<MintedToken, OauthClientError> {
        let now = self.clock.now();
        let request: Request<Bytes> = match &self.mint {
            Mint::Github(app) => app.request(now)?,
            Mint::Google(account) => account.request(now)?,
        };
        let limits = Limits { total: self.deadline, max_body: LARGEST };
        let answer = self.egress.fetch(request, limits).await.map_err(|error| match error {
            FetchError::TooLarge => OauthClientError::from(Malformed::Token),
            FetchError::TimedOut | FetchError::Unreachable => OauthClientError::Unreachable(Place::Token),
        })?;
        let read = match &self.mint {
            Mint::Github(_) => App::read(&answer),
            Mint::Google(_) => Account::read(&answer, now),
        };
        let (token, ends) = read.unwrap_or_else(|| Err(refused(&answer)))?;
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
        let request = match &self.mint {
            Mint::Github(app) => app.ending(token)?,
            Mint::Google(_) => return Ok(Revocated::NotOffered),
        };
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
/// not have. Google's token endpoint answers as RFC 6749, section 5.2, has it.
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
        let what = match &self.mint {
            Mint::Github(_) => "github",
            Mint::Google(_) => "google",
        };
        f.debug_struct("Minter").field("mint", &what).finish_non_exhaustive()
    }
}
