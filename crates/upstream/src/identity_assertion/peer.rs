//! One side of it: who it is, what it says of itself, and how it is asked.
//!
//! Its token endpoint is where its own metadata says, which must name exactly the issuer that was asked (RFC 8414, section 3.3).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{JWT_BEARER, Trouble};
use crate::client_key::ClientKey;
use crate::document::{DocumentError, fetch, protected};
use crate::egress::{Egress, FetchError, Limits};
use crate::kept::Kept;

/// No honest metadata, and no honest answer of a token endpoint, is larger.
const LARGEST: usize = 128 * 1024;
const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// How we say who we are at a token endpoint (RFC 6749, section 2.3.1; RFC 7523, section 2.2).
#[derive(Debug)]
pub enum ClientProof {
    /// `client_secret_basic`.
    Basic(Secret),
    /// `private_key_jwt`.
    Key(ClientKey),
    /// `client_secret_post`.
    Post(Secret),
}

/// One side: the identity provider, or the authorization server of the MCP server.
#[derive(Debug)]
pub struct Peer {
    /// Our id there.
    pub client_id: String,
    /// The way to it. What a stranger named needs the guarded one.
    pub egress: Arc<dyn Egress>,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// How we say who we are.
    pub proof: ClientProof,
}

/// What it says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    issuer: String,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: Option<String>,
    grant_types_supported: Option<Vec<String>>,
    authorization_grant_profiles_supported: Option<Vec<String>>,
}

impl Described {
    /// Whether nothing that it says keeps it from taking ID-JAGs. Where it says nothing, it is tried.
    pub(super) fn may_take_id_jags(&self) -> bool {
        let lists = |list: &Option<Vec<String>>, wanted: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|one| one == wanted))
        };
        lists(&self.grant_types_supported, JWT_BEARER)
            && lists(&self.authorization_grant_profiles_supported, PROFILE)
    }
}

/// A peer with what it said of itself, which is kept.
pub(super) struct Known {
    metadata: Kept<Described, DocumentError>,
    pub(super) peer: Peer,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Known {
    pub(super) fn new(peer: Peer, clock: Arc<dyn Clock>) -> Self {
        Self { metadata: Kept::new(clock), peer }
    }

    /// What it says of itself, if it will do.
    pub(super) async fn described(
        &self,
        will_do: impl Fn(&Described) -> bool,
    ) -> Result<Arc<Described>, Trouble> {
        let described =
            self.metadata.current(|_| true, self.discover()).await.map_err(|error| match error {
                DocumentError::Malformed => Trouble::Metadata,
                DocumentError::Unreachable => Trouble::Unreachable,
            })?;
        if will_do(&described) { Ok(described) } else { Err(Trouble::Metadata) }
    }

    /// CL-008: RFC 8414 with the path behind the well-known part, then OpenID Connect in both ways.
    async fn discover(&self) -> Result<Described, DocumentError> {
        let issuer = Url::parse(&self.peer.issuer).map_err(|_| DocumentError::Malformed)?;
        if !protected(&issuer) || issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(DocumentError::Malformed);
        }
        let origin = issuer.origin().ascii_serialization();
        let path = issuer.path().trim_end_matches('/');
        let mut places = vec![
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{origin}/.well-known/openid-configuration{path}"),
        ];
        if !path.is_empty() {
            places.push(format!("{origin}{path}/.well-known/openid-configuration"));
        }
        let limits = Limits { total: Duration::from_secs(10), max_body: LARGEST };
        for place in places {
            match fetch::<Described>(&*self.peer.egress, &place, limits).await {
                // CL-009.
                Ok((mut described, _)) if described.issuer == self.peer.issuer => {
                    let is_fit = |url: &Url| {
                        protected(url)
                            && (url.scheme() == issuer.scheme() || url.scheme() == "https")
                            && url.fragment().is_none()
                    };
                    let may_be_asked = |text: &String| Url::parse(text).is_ok_and(|url| is_fit(&url));
                    described.revocation_endpoint = described.revocation_endpoint.filter(may_be_asked);
                    return if may_be_asked(&described.token_endpoint) {
                        Ok(described)
                    } else {
                        Err(DocumentError::Malformed)
                    };
                }
                Ok(_) => return Err(DocumentError::Malformed),
                Err(DocumentError::Malformed) => {}
                Err(DocumentError::Unreachable) => return Err(DocumentError::Unreachable),
            }
        }
        Err(DocumentError::Malformed)
    }

    /// A request to the token or revocation endpoint. Sent once: what it carries may be good once.
    pub(super) async fn ask(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
        proof: (&str, &Secret),
        deadline: Duration,
    ) -> Result<Response<Bytes>, Trouble> {
        let request = self.request(endpoint, fields, proof)?;
        let limits = Limits { total: deadline, max_body: LARGEST };
        self.peer.egress.fetch(request, limits).await.map_err(|error| match error {
            FetchError::TooLarge => Trouble::OtherAnswer,
            FetchError::TimedOut | FetchError::Unreachable => Trouble::Unreachable,
        })
    }

    fn request(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
        (name, secret): (&str, &Secret),
    ) -> Result<Request<Bytes>, Trouble> {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(fields);
        secret.expose(|secret| form.append_pair(name, secret));
        let mut request = Request::post(endpoint).header(ACCEPT, JSON).header(CONTENT_TYPE, FORM);
        match &self.peer.proof {
            ClientProof::Basic(secret) => {
                request = request.header(AUTHORIZATION, basic(&self.peer.client_id, secret)?);
            }
            ClientProof::Key(key) => {
                let proof = key.parameters(&self.peer.client_id, &self.peer.issuer);
                form.append_pair("client_id", &self.peer.client_id);
                for (name, value) in proof.ok_or(Trouble::ClientRefused)? {
                    value.expose(|value| form.append_pair(name, value));
                }
            }
            ClientProof::Post(secret) => {
                form.append_pair("client_id", &self.peer.client_id);
                secret.expose(|secret| form.append_pair("client_secret", secret));
            }
        }
        request.body(Bytes::from(form.finish())).map_err(|_| Trouble::Metadata)
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, Trouble> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = secret.expose(|secret| format!("{}:{}", encode(client_id), encode(secret)));
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|_| Trouble::ClientRefused)?;
    header.set_sensitive(true);
    Ok(header)
}
