//! `prompt` and `max_age` (OpenID Connect Core, section 3.1.2.1), as far as they demand something of us: that no page
//! is shown, or that the person proves who they are anew.
//!
//! A demand for a new proof is kept with the authorization and asked again at consent, so that an old session cannot
//! slip past the login page (attacks.md, AZ-32).

use std::time::Duration;

use protocol::world::Timestamp;
use store::AcceptedRequest;

/// `prompt` asks for two things that exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PromptMalformed;

/// What `prompt` demands. Values we do not know demand nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// The login page, whoever is signed in.
    pub(crate) choose_account: bool,
    /// The consent page, whatever was allowed before.
    pub(crate) consent: bool,
    /// A new proof from the identity provider.
    pub(crate) login: bool,
    /// No page at all.
    pub(crate) none: bool,
}

impl Prompt {
    /// Reads `prompt`. `none` stands alone (OpenID Connect Core, section 3.1.2.1).
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, PromptMalformed> {
        let mut prompt = Self::default();
        let mut values = 0_usize;
        for value in text.unwrap_or_default().split(' ').filter(|value| !value.is_empty()) {
            values += 1;
            match value {
                "consent" => prompt.consent = true,
                "login" => prompt.login = true,
                "none" => prompt.none = true,
                "select_account" => prompt.choose_account = true,
                _ => {}
            }
        }
        if prompt.none && values > 1 { Err(PromptMalformed) } else { Ok(prompt) }
    }
}

/// Since when the person must have proved who they are, if the request demands that.
///
/// In whole seconds, because `auth_time` is.
pub(crate) fn authenticated_since(request: &AcceptedRequest, asked_at: Timestamp) -> Option<Timestamp> {
    let asked_at = Timestamp::from_secs(asked_at.secs());
    // It was read when it was accepted; a row that says otherwise demands the most.
    let login = Prompt::parse(request.prompt.as_deref()).map_or(true, |prompt| prompt.login);
    let by_login = login.then_some(asked_at);
    let by_age = request.max_age.map(|seconds| asked_at.minus(Duration::from_secs(seconds)));
    by_login.max(by_age)
}

/// Whether a session is fresh enough for the request.
pub(crate) fn is_fresh(request: &AcceptedRequest, asked_at: Timestamp, authenticated_at: Timestamp) -> bool {
    authenticated_since(request, asked_at).is_none_or(|since| authenticated_at >= since)
}

#[cfg(test)]
mod tests {
    use protocol::oauth::{CodeChallenge, ResourceUri, Scope};

    use super::*;

    fn request(prompt: Option<&str>, max_age: Option<u64>) -> AcceptedRequest {
        AcceptedRequest {
            redirect_uri: "http://127.0.0.1/cb".to_owned(),
            state: None,
            scope: Scope::parse("read").unwrap(),
            resource: ResourceUri::parse("https://mcp.example.com/notes/mcp").unwrap(),
            server: "notes".to_owned(),
            code_challenge: CodeChallenge::parse(&"a".repeat(43), Some("S256")).unwrap(),
            prompt: prompt.map(str::to_owned),
            max_age,
            login_hint: None,
            dpop_key: None,
            from_outside: false,
            client_metadata: None,
        }
    }

    #[test]
    fn prompt_is_a_list_of_which_three_values_demand_something() {
        let prompt = |none, login, choose_account| Ok(Prompt { choose_account, consent: false, login, none });
        let consent = |login| Ok(Prompt { consent: true, login, ..Prompt::default() });
        assert_eq!(Prompt::parse(None), prompt(false, false, false));
        assert_eq!(Prompt::parse(Some("")), prompt(false, false, false));
        assert_eq!(Prompt::parse(Some("consent create")), consent(false));
        assert_eq!(Prompt::parse(Some("login consent")), consent(true));
        assert_eq!(Prompt::parse(Some("select_account")), prompt(false, false, true));
        assert_eq!(Prompt::parse(Some("none")), prompt(true, false, false));
        assert_eq!(Prompt::parse(Some("none login")), Err(PromptMalformed));
        assert_eq!(Prompt::parse(Some("none none")), Err(PromptMalformed));
        assert_eq!(Prompt::parse(Some("NONE")), prompt(false, false, false));
    }

    #[test]
    fn login_demands_a_proof_since_the_request_and_max_age_one_not_much_older() {
        let asked = Timestamp::from_micros(1_000_700_000);
        let since =
            |prompt, max_age| authenticated_since(&request(prompt, max_age), asked).map(Timestamp::secs);
        assert_eq!(since(None, None), None);
        assert_eq!(since(Some("consent"), None), None);
        assert_eq!(since(Some("login"), None), Some(1000));
        assert_eq!(since(None, Some(60)), Some(940));
        assert_eq!(since(None, Some(0)), Some(1000));
        assert_eq!(since(Some("login"), Some(60)), Some(1000));
        assert!(authenticated_since(&request(None, Some(u64::MAX)), asked) < Some(Timestamp::from_secs(0)));
    }
}
