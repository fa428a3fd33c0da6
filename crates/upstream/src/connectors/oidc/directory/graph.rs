//! Microsoft Graph, `POST /me/getMemberObjects`, which is where the ID token points when somebody is in more than 200
//! groups. The pointer itself is not followed: it is in the token of a person, and this address is ours.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use protocol::secret::Secret;
use serde::Deserialize;
use serde_json::Value;

use super::super::super::answer::{JSON, read_json, with_token};
use super::super::super::person::whole_groups;
use super::super::super::{ConnectorError, Denial, Malformation};
use super::Way;

/// Where Graph is.
#[derive(Debug)]
pub struct Graph {
    /// `https://graph.microsoft.com`.
    pub url: String,
}

#[derive(Deserialize)]
struct Members {
    value: Vec<String>,
    #[serde(rename = "@odata.nextLink")]
    more: Option<Value>,
}

impl Graph {
    /// The object ids of the security groups that the holder of this token is in, directly or not.
    pub(in super::super) async fn groups(
        &self,
        way: &Way<'_>,
        token: &Secret,
    ) -> Result<Vec<String>, ConnectorError> {
        let url = format!("{}/v1.0/me/getMemberObjects", self.url.trim_end_matches('/'));
        let request = with_token(Request::post(url).header(CONTENT_TYPE, JSON), token)?
            .body(Bytes::from_static(br#"{"securityEnabledOnly":true}"#))
            .map_err(|_| Malformation::Groups)?;
        let response = way.send(request).await?;
        if response.status() != StatusCode::OK {
            // 403: the app may not read the person (`User.Read`); 400: there are more than it tells at once.
            tracing::warn!(status = response.status().as_u16(), "microsoft graph does not tell the groups");
            return Err(Denial::GroupsUnavailable.into());
        }
        let members: Members = read_json(&response).ok_or(Malformation::Groups)?;
        if members.more.is_some() {
            return Err(Denial::GroupsUnavailable.into());
        }
        whole_groups(members.value).ok_or_else(|| Denial::GroupsUnavailable.into())
    }
}
