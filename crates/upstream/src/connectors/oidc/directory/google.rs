//! Google's Admin SDK, `groups.list` by the person's id: a service account with domain-wide delegation asks in the name of
//! an administrator. Groups are called by their addresses, which the domain's administrators give.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::super::super::answer::{FORM, JSON, document, protected, read_json, with_token};
use super::super::super::person::{MOST_GROUPS, whole_groups};
use super::super::super::{CheckError, ConnectorError, Denial, Malformation};
use super::Way;
use crate::google_account::ServiceAccount;

const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.group.readonly";
/// The most that `groups.list` tells at once.
const PAGE: usize = 200;

/// How the directory is asked.
#[derive(Debug)]
pub struct GoogleDirectory {
    /// `https://admin.googleapis.com`.
    pub url: String,
    /// The key file of the service account.
    pub key: Secret,
    /// The administrator in whose name it asks.
    pub admin: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(rename = "nextPageToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    email: String,
}

impl GoogleDirectory {
    /// The groups of somebody, page by page, and all of them or none.
    pub(in super::super) async fn groups(
        &self,
        way: &Way<'_>,
        subject: &str,
        now: Timestamp,
    ) -> Result<Vec<String>, ConnectorError> {
        let token = self.token(way, now).await?;
        let (mut groups, mut next) = (Vec::new(), None);
        for _ in 0..MOST_GROUPS.div_ceil(PAGE) {
            let page = self.page(way, &token, subject, next.as_deref()).await?;
            groups.extend(page.groups.into_iter().map(|group| group.email.to_ascii_lowercase()));
            next = page.next.filter(|next| !next.is_empty());
            if next.is_none() {
                return whole_groups(groups).ok_or_else(|| Denial::GroupsUnavailable.into());
            }
        }
        Err(Denial::GroupsUnavailable.into())
    }

    async fn page(
        &self,
        way: &Way<'_>,
        token: &Secret,
        subject: &str,
        next: Option<&str>,
    ) -> Result<Page, ConnectorError> {
        let path = format!("{}/admin/directory/v1/groups", self.url.trim_end_matches('/'));
        let mut url = Url::parse(&path).map_err(|_| Malformation::Groups)?;
        url.query_pairs_mut()
            .append_pair("userKey", subject)
            .append_pair("maxResults", &PAGE.to_string())
            .extend_pairs(next.map(|next| ("pageToken", next)));
        let request = with_token(Request::get(url.as_str()), token)?.body(Bytes::new());
        let response = way.send(request.map_err(|_| Malformation::Groups)?).await?;
        if response.status() != StatusCode::OK {
            tracing::warn!(
                status = response.status().as_u16(),
                "google's directory does not tell the groups"
            );
            return Err(if too_much_asked(&response) {
                ConnectorError::Unreachable
            } else {
                Denial::GroupsUnavailable.into()
            });
        }
        document(&response, Malformation::Groups)
    }

    async fn token(&self, way: &Way<'_>, now: Timestamp) -> Result<Secret, ConnectorError> {
        let account = self.key.expose(ServiceAccount::parse).map_err(|_| Denial::GroupsUnavailable)?;
        let form = account.form(SCOPE, Some(&self.admin), now).map_err(|_| Denial::GroupsUnavailable)?;
        // The file is the operator's, but what is sent there is a signature of its key.
        if !Url::parse(&account.token_uri).is_ok_and(|url| protected(&url)) {
            return Err(Denial::GroupsUnavailable.into());
        }
        let request = Request::post(&account.token_uri)
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, FORM)
            .body(Bytes::from(form))
            .map_err(|_| Malformation::Groups)?;
        let response = way.send(request).await?;
        if response.status() != StatusCode::OK {
            tracing::warn!(status = response.status().as_u16(), "google gives the service account no token");
            return Err(Denial::GroupsUnavailable.into());
        }
        let token: Token = read_json(&response).ok_or(Malformation::Groups)?;
        Ok(Secret::new(token.access_token))
    }

    /// For `sekisho check`: whether the service account may ask.
    pub(in super::super) async fn try_token(&self, way: &Way<'_>, now: Timestamp) -> Result<(), CheckError> {
        match self.token(way, now).await {
            Ok(_) => Ok(()),
            Err(ConnectorError::Unreachable) => Err(ConnectorError::Unreachable.into()),
            Err(_) => Err(CheckError::setting(
                "directory_key or directory_admin",
                "the service account gets no token for the directory; its key, the scope in domain-wide delegation or the administrator is wrong"
                    .to_owned(),
            )),
        }
    }
}

/// 403 is also how it says that too much was asked (Directory API, "Limits and quotas").
fn too_much_asked(response: &Response<Bytes>) -> bool {
    let answer: Value = read_json(response).unwrap_or_default();
    let reason = answer["error"]["errors"][0]["reason"].as_str().unwrap_or_default();
    matches!(reason, "quotaExceeded" | "rateLimitExceeded" | "userRateLimitExceeded")
}
