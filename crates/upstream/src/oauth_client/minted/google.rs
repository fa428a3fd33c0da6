//! Access tokens of a service account at Google, for itself or for a person whom it stands for (RFC 7523, section 2.1).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use serde::Deserialize;

use super::{JSON, MOST, MintError, Read};
use crate::document::is_json;
use crate::google_account::ServiceAccount;
use crate::oauth_client::error::{Malformed, OauthClientError, Obstacle};
use crate::oauth_client::ways::usable;

/// A service account at Google.
#[derive(Debug)]
pub struct GoogleAccountSettings {
    /// The key file, as Google gives it.
    pub key_file: Secret,
    /// The person whom it stands for (domain-wide delegation), if one.
    pub person: Option<String>,
    /// The scope of the tokens.
    pub scope: String,
}

/// The account with its key.
pub(super) struct Account {
    account: ServiceAccount,
    settings: GoogleAccountSettings,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Account {
    pub(super) fn new(settings: GoogleAccountSettings, now: Timestamp) -> Result<Self, MintError> {
        let account = settings.key_file.expose(ServiceAccount::parse).map_err(|_| MintError)?;
        usable(&account.token_uri, false).ok_or(MintError)?;
        account.form(&settings.scope, None, now).map_err(|_| MintError)?;
        Ok(Self { account, settings })
    }

    pub(super) fn request(&self, now: Timestamp) -> Result<Request<Bytes>, OauthClientError> {
        let form = self.account.form(&self.settings.scope, self.settings.person.as_deref(), now);
        Request::post(self.account.token_uri.as_str())
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(Bytes::from(form.map_err(|_| Obstacle::Key)?))
            .map_err(|_| Obstacle::Key.into())
    }

    pub(super) fn read(answer: &Response<Bytes>, now: Timestamp) -> Read {
        if answer.status() != StatusCode::OK || !is_json(answer.headers()) {
            return None;
        }
        let read = serde_json::from_slice::<Answer>(answer.body());
        let read = read.map(|read| {
            let life = read.expires_in.map_or(MOST, Duration::from_secs);
            (read.access_token, now.plus(life))
        });
        Some(read.map_err(|_| Malformed::Token.into()))
    }
}
