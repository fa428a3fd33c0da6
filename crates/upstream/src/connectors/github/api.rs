//! What GitHub's REST API is asked about the person who is signing in. A list that is not whole is none: pages that go on
//! for ever, organisations that are left out until the person has been through their single sign-on.

use bytes::Bytes;
use http::header::{LINK, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::answer::{read_json, send, with_token};
use super::super::person::MOST_GROUPS;
use super::super::{ConnectorError, Denial, Malformation, Refusal};
use super::{GitHubSettings, UserToken};
use crate::egress::Egress;

pub(super) const LARGEST: usize = 1024 * 1024;
const PAGE: usize = 100;

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) name: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// What GitHub says of an error.
#[derive(Deserialize)]
struct Told {
    message: String,
}

#[derive(Deserialize)]
pub(super) struct Membership {
    /// `active`, or `pending` while the invitation is not accepted.
    pub(super) state: String,
    pub(super) organization: OrganizationOf,
}

#[derive(Deserialize)]
pub(super) struct OrganizationOf {
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct Team {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) organization: OrganizationOf,
}

#[derive(Deserialize)]
pub(super) struct Email {
    pub(super) email: String,
    pub(super) primary: bool,
    pub(super) verified: bool,
}

/// The API, as the person who is signing in.
pub(super) struct Api<'a> {
    pub(super) settings: &'a GitHubSettings,
    pub(super) egress: &'a dyn Egress,
    pub(super) token: &'a UserToken,
}

/// What every request to the API says: the version, and who asks, without which it is refused.
pub(super) fn request(request: http::request::Builder) -> http::request::Builder {
    request
        .header("x-github-api-version", HeaderValue::from_static("2022-11-28"))
        .header(USER_AGENT, HeaderValue::from_static("sekisho"))
}

impl Api<'_> {
    pub(super) async fn user(&self) -> Result<User, ConnectorError> {
        let response = self.get("/user").await?;
        judge(&response)?;
        read_json(&response).ok_or_else(|| Malformation::Userinfo.into())
    }

    pub(super) async fn memberships(&self) -> Result<Vec<Membership>, ConnectorError> {
        self.list("/user/memberships/orgs").await
    }

    pub(super) async fn teams(&self) -> Result<Vec<Team>, ConnectorError> {
        self.list("/user/teams").await
    }

    /// An app may do without the permission to see addresses; then nobody has one.
    pub(super) async fn emails(&self) -> Result<Vec<Email>, ConnectorError> {
        let response = self.get("/user/emails").await?;
        match judge(&response) {
            Ok(()) => read_json(&response).ok_or_else(|| Malformation::Userinfo.into()),
            Err(ConnectorError::NotAllowed(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ConnectorError> {
        let mut all = Vec::new();
        for page in 1..=MOST_GROUPS.div_ceil(PAGE) {
            let response = self.get(&format!("{path}?per_page={PAGE}&page={page}")).await?;
            judge(&response)?;
            if self.leaves_ours_out(response.headers()) {
                return Err(Denial::SingleSignOn.into());
            }
            let part: Vec<T> = read_json(&response).ok_or(Malformation::Groups)?;
            all.extend(part);
            if !goes_on(response.headers()) {
                return Ok(all);
            }
        }
        Err(Denial::GroupsUnavailable.into())
    }

    /// `X-GitHub-SSO: partial-results; organizations=1,2`: what is missing. Of ours nothing may be.
    fn leaves_ours_out(&self, headers: &HeaderMap) -> bool {
        let Some(header) = single_sign_on(headers) else { return false };
        let listed = header.split(';').find_map(|part| part.trim().strip_prefix("organizations="));
        match listed {
            Some(listed) => {
                let ids: Option<Vec<u64>> = listed.split(',').map(|id| id.trim().parse().ok()).collect();
                let ours = |id: &u64| self.settings.organizations.iter().any(|one| one.id == *id);
                ids.is_none_or(|ids| ids.iter().any(ours))
            }
            None => true,
        }
    }

    /// Whether the token is still of somebody: 401 after it was revoked, 403 of an account that is suspended.
    pub(super) async fn is_of_somebody(&self) -> Result<bool, ConnectorError> {
        let response = self.get("/user").await?;
        let suspended = || {
            let told = read_json::<Told>(&response).map(|told| told.message.to_ascii_lowercase());
            told.is_some_and(|told| told.contains("account was suspended"))
        };
        match response.status() {
            StatusCode::UNAUTHORIZED => Ok(false),
            StatusCode::FORBIDDEN if suspended() => Ok(false),
            _ => judge(&response).map(|()| true),
        }
    }

    async fn get(&self, path: &str) -> Result<Response<Bytes>, ConnectorError> {
        let builder = with_token(request(Request::get(self.settings.api(path))), self.token)?;
        let request = builder.body(Bytes::new()).map_err(|_| Malformation::Userinfo)?;
        send(self.egress, request, self.settings.limits(LARGEST), Malformation::Groups).await
    }
}

fn single_sign_on(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-github-sso").map(|value| value.to_str().unwrap_or_default())
}

/// Whether there is a next page (`Link`, RFC 8288). Where it is, is ours to say: the address is not followed.
fn goes_on(headers: &HeaderMap) -> bool {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).any(|link| link.contains("rel=\"next\""))
}

/// What a status means here. 403 means three things: too much was asked, the organisation wants its single sign-on, or the
/// app may not see this.
fn judge(response: &Response<Bytes>) -> Result<(), ConnectorError> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Refusal::ProviderError.into()),
        StatusCode::FORBIDDEN => {
            let spent = headers.get("x-ratelimit-remaining").is_some_and(|value| value == "0");
            if spent || headers.contains_key(RETRY_AFTER) {
                return Err(ConnectorError::Unreachable);
            }
            let sso = single_sign_on(headers).is_some();
            Err(if sso { Denial::SingleSignOn } else { Denial::GroupsUnavailable }.into())
        }
        StatusCode::NOT_FOUND => Err(Denial::GroupsUnavailable.into()),
        _ => Err(Malformation::Groups.into()),
    }
}
