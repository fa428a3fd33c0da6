//! The userinfo endpoint (OpenID Connect Core 1.0, section 5.3), asked only where a setting says so.

use bytes::Bytes;
use http::Request;
use protocol::secret::Secret;
use serde_json::{Map, Value};

use super::super::answer::{document, send, with_token};
use super::super::{ConnectorError, Malformation};
use super::discovery::Provider;
use super::settings::OidcSettings;
use crate::egress::Egress;

const LARGEST: usize = 128 * 1024;

/// What the provider says there. About whom has not been judged: see [`claims::complete`](super::claims::complete).
pub(super) async fn fetch(
    settings: &OidcSettings,
    egress: &dyn Egress,
    provider: &Provider,
    access_token: &Secret,
) -> Result<Map<String, Value>, ConnectorError> {
    let malformed = Malformation::Userinfo;
    let endpoint = provider.userinfo_endpoint.as_ref().ok_or(Malformation::Discovery)?;
    let request = with_token(Request::get(endpoint.as_str()), access_token)?;
    let request = request.body(Bytes::new()).map_err(|_| malformed)?;
    let limits = settings.limits(LARGEST);
    document(&send(egress, request, limits, malformed).await?, malformed)
}
