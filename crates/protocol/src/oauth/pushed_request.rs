//! Pushed authorization requests (RFC 9126): what a client sent beforehand, as the text that is sealed into its `request_uri`,
//! and the answer that names it.
//!
//! Must never hold what is no parameter of the request: no secret, no assertion (section 2.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{AuthorizationRequest, ClientId, Form, Parameter};
use crate::secret::Sealed;
use crate::world::Timestamp;

/// What each `request_uri` that we give begins with (RFC 9126, section 2.2).
const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// The `request_uri` of a request that was sealed.
#[must_use]
pub fn request_uri(sealed: &Sealed) -> String {
    format!("{URN}{}", URL_SAFE_NO_PAD.encode(sealed.as_bytes()))
}

/// What a `request_uri` holds, if it may be one of ours. There is one spelling of each.
#[must_use]
pub fn sealed_in(request_uri: &str) -> Option<Sealed> {
    URL_SAFE_NO_PAD.decode(request_uri.strip_prefix(URN)?).ok().map(Sealed::from_bytes)
}

/// Whether a `request_uri` is of the kind that we give.
#[must_use]
pub fn is_pushed(request_uri: &str) -> bool {
    request_uri.starts_with(URN)
}

/// The answer (RFC 9126, section 2.2).
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PushedAuthorizationResponse {
    /// What the client puts into the browser's URL.
    pub request_uri: String,
    /// How long it is good, in seconds.
    pub expires_in: u64,
}

/// A request that was pushed, and by whom and when. Its parameters came once each, or `resource` several times.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedRequest {
    client_id: String,
    made_at: i64,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    response_mode: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    resource: Vec<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: Option<String>,
    max_age: Option<String>,
    login_hint: Option<String>,
    dpop_jkt: Option<String>,
}

impl PushedRequest {
    /// What is kept of a request that this client pushed now.
    #[must_use]
    pub fn new(client: &ClientId, request: AuthorizationRequest, now: Timestamp) -> Self {
        Self {
            client_id: client.as_str().to_owned(),
            made_at: now.micros(),
            redirect_uri: request.redirect_uri.once(),
            response_type: request.response_type.once(),
            response_mode: request.response_mode.once(),
            scope: request.scope.once(),
            state: request.state.once(),
            resource: request.resource,
            code_challenge: request.code_challenge.once(),
            code_challenge_method: request.code_challenge_method.once(),
            prompt: request.prompt.once(),
            max_age: request.max_age.once(),
            login_hint: request.login_hint.once(),
            dpop_jkt: request.dpop_jkt.once(),
        }
    }

    /// The text to seal.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serializing texts into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_json`] made.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether it is this client's.
    #[must_use]
    pub fn is_of(&self, client: &str) -> bool {
        self.client_id == client
    }

    /// When it was pushed.
    #[must_use]
    pub const fn made_at(&self) -> Timestamp {
        Timestamp::from_micros(self.made_at)
    }

    /// The request, as if the browser had brought it. Of what the browser did bring nothing counts (RFC 9101, section 6.3).
    #[must_use]
    pub fn into_request(self) -> AuthorizationRequest {
        let parameter = |text: Option<String>| text.map_or(Parameter::Absent, Parameter::Once);
        AuthorizationRequest {
            client_id: Parameter::Once(self.client_id),
            redirect_uri: parameter(self.redirect_uri),
            response_type: parameter(self.response_type),
            response_mode: parameter(self.response_mode),
            scope: parameter(self.scope),
            state: parameter(self.state),
            resource: self.resource,
            code_challenge: parameter(self.code_challenge),
            code_challenge_method: parameter(self.code_challenge_method),
            prompt: parameter(self.prompt),
            max_age: parameter(self.max_age),
            request: Parameter::Absent,
            request_uri: Parameter::Absent,
            login_hint: parameter(self.login_hint),
            dpop_jkt: parameter(self.dpop_jkt),
            repeats: false,
        }
    }
}

/// The request in a form that is pushed, for the client that pushes it: `client_id` need not be in the form when the client
/// authenticates without it.
#[must_use]
pub fn request_of(form: &Form, client: &ClientId) -> AuthorizationRequest {
    let client_id = Parameter::Once(client.as_str().to_owned());
    AuthorizationRequest { client_id, ..AuthorizationRequest::parse(form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9126, section 2.1.
    #[test]
    fn a_request_comes_out_as_it_went_in_but_for_what_proves_the_client() {
        let form = Form::parse(
            b"response_type=code&state=af0ifjsldkj&client_id=s6BhdRkqt3&redirect_uri=https%3A%2F%2Fclient.example.org%2Fcb\
              &code_challenge=K2-ltc83acc4h0c9w6ESC_rEMTJ3bww-uCHaoeK1t8U&code_challenge_method=S256&scope=account-information\
              &client_secret=hunter2&client_assertion=hunter2&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example",
        )
        .unwrap();
        let client = ClientId::parse("s6BhdRkqt3").unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let json = PushedRequest::new(&client, request_of(&form, &client), now).to_json();
        assert!(!json.contains("hunter2"), "{json}");
        let read = PushedRequest::parse(json.as_bytes()).unwrap();
        assert!(read.is_of("s6BhdRkqt3") && !read.is_of("s6BhdRkqt") && read.made_at() == now);
        assert!(read.into_request() == AuthorizationRequest::parse(&form));
        assert_eq!(PushedRequest::parse(b"{}"), None);
    }

    /// RFC 9126, section 2.2.
    #[test]
    fn the_answer_is_that_of_the_standard() {
        let answer = PushedAuthorizationResponse { request_uri: format!("{URN}x"), expires_in: 60 };
        let json =
            serde_json::json!({"request_uri": "urn:ietf:params:oauth:request_uri:x", "expires_in": 60});
        assert_eq!(serde_json::to_value(answer).unwrap(), json);
    }
}
