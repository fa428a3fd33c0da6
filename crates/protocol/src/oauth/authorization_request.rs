//! The authorization request: RFC 6749 4.1.1, RFC 7636 4.3, RFC 8707 2, OpenID Connect Core 3.1.2.1.
//!
//! Reading cannot fail: whether a flaw is shown on a page or sent to the client depends on the client, which
//! is not known yet. So each parameter says for itself whether it came once. Nothing here is trusted.

use std::fmt;

use super::{Form, Parameter};

/// The parameters of an authorization request that mean something here; all others are ignored.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// RFC 6749, section 2.2.
    pub client_id: Parameter<String>,
    /// RFC 6749, section 3.1.2; raw.
    pub redirect_uri: Parameter<String>,
    /// RFC 6749, section 3.1.1.
    pub response_type: Parameter<String>,
    /// OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1.
    pub response_mode: Parameter<String>,
    /// RFC 6749, section 3.3; raw.
    pub scope: Parameter<String>,
    /// RFC 6749, section 4.1.1; opaque, echoed byte for byte.
    pub state: Parameter<String>,
    /// RFC 8707, section 2; all of them, raw.
    pub resource: Vec<String>,
    /// RFC 7636, section 4.3.
    pub code_challenge: Parameter<String>,
    /// RFC 7636, section 4.3.
    pub code_challenge_method: Parameter<String>,
    /// OpenID Connect Core, section 3.1.2.1.
    pub prompt: Parameter<String>,
    /// OpenID Connect Core, section 3.1.2.1.
    pub max_age: Parameter<String>,
    /// RFC 9101, section 5: refused, never read.
    pub request: Parameter<String>,
    /// RFC 9101, section 5: refused, never fetched.
    pub request_uri: Parameter<String>,
    /// OpenID Connect Core, section 3.1.2.1.
    pub login_hint: Parameter<String>,
    /// RFC 9449, section 10: the key that the code is to be bound to; raw.
    pub dpop_jkt: Parameter<String>,
    /// Whether any parameter except `resource`, known or not, came more than once.
    pub repeats: bool,
}

impl AuthorizationRequest {
    /// Reads the parameters of the query, or of query and body together ([`Form::join`]).
    #[must_use]
    pub fn parse(form: &Form) -> Self {
        let parameter = |name: &str| form.get(name).map(str::to_owned);
        Self {
            client_id: parameter("client_id"),
            redirect_uri: parameter("redirect_uri"),
            response_type: parameter("response_type"),
            response_mode: parameter("response_mode"),
            scope: parameter("scope"),
            state: parameter("state"),
            resource: form.all("resource").into_iter().map(str::to_owned).collect(),
            code_challenge: parameter("code_challenge"),
            code_challenge_method: parameter("code_challenge_method"),
            prompt: parameter("prompt"),
            max_age: parameter("max_age"),
            request: parameter("request"),
            request_uri: parameter("request_uri"),
            login_hint: parameter("login_hint"),
            dpop_jkt: parameter("dpop_jkt"),
            repeats: form.repeats_any_but(&["resource"]),
        }
    }

    /// The `state` to send back: none if there was none, and none if there were several, since neither would
    /// be *the* state.
    #[must_use]
    pub fn echoed_state(&self) -> Option<&str> {
        self.state.as_ref().once().map(String::as_str)
    }
}

impl fmt::Debug for AuthorizationRequest {
    /// `state` and `login_hint` are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("scope", &self.scope)
            .field("resource", &self.resource)
            .field("repeats", &self.repeats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> AuthorizationRequest {
        AuthorizationRequest::parse(&Form::parse(text.as_bytes()).unwrap())
    }

    /// RFC 6749, section 4.1.1.
    #[test]
    fn the_example_of_the_standard_is_read() {
        let request = request(
            "response_type=code&client_id=s6BhdRkqt3&state=xyz&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb",
        );
        assert_eq!(request.response_type, Parameter::Once("code".to_owned()));
        assert_eq!(request.client_id, Parameter::Once("s6BhdRkqt3".to_owned()));
        assert_eq!(request.redirect_uri, Parameter::Once("https://client.example.com/cb".to_owned()));
        assert_eq!(request.echoed_state(), Some("xyz"));
        assert!(!request.repeats);
    }

    /// RFC 8707, section 2.1.
    ///
    /// AS-108.
    #[test]
    fn resource_may_be_repeated() {
        let request = request(
            "resource=https%3A%2F%2Fcal.example.com%2F&resource=https%3A%2F%2Fcontacts.example.com%2F",
        );
        assert_eq!(request.resource, ["https://cal.example.com/", "https://contacts.example.com/"]);
        assert!(!request.repeats);
    }

    #[test]
    fn a_repeated_parameter_says_so_and_a_repeated_state_is_not_echoed() {
        let repeated = request("client_id=a&client_id=b&state=1&state=2");
        assert!(repeated.client_id.is_repeated() && repeated.repeats);
        assert_eq!(repeated.echoed_state(), None);
        assert!(request("ui_locales=ja&ui_locales=en").repeats);
    }

    /// AZ-28.
    #[test]
    fn an_empty_state_is_no_state() {
        assert_eq!(request("state=").echoed_state(), None);
        assert_eq!(request("client_id=a").echoed_state(), None);
    }

    #[test]
    fn the_debug_text_holds_no_state() {
        assert!(!format!("{:?}", request("state=hunter2&login_hint=hunter2")).contains("hunter2"));
    }
}
