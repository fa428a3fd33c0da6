//! Whether an authorization request can be accepted: everything that can be decided without the person
//! (OAuth 2.1, section 4.1.1; RFC 7636; RFC 8707; OpenID Connect Core, section 3.1.2.1).
//!
//! Must be asked only after client and redirect URI were verified: every reason given here goes to the client.

use protocol::oauth::{
    AuthorizationRequest, CodeChallenge, GrantType, Parameter, ResourceUri, Scope, VerifiedRedirectUri,
};
use store::AcceptedRequest;

use super::RedirectReason;
use crate::capabilities;
use crate::clients::Client;
use crate::prompt::Prompt;
use crate::settings::{ServerEntry, Settings};

/// The longest `prompt` that is read: all of its values together are far shorter.
const LONGEST_PROMPT: usize = 256;
/// The longest `login_hint` that is passed on. It is a hint: a longer one is dropped, and so is one that is no line of
/// text.
const LONGEST_LOGIN_HINT: usize = 320;
/// More than a century of seconds demands nothing.
const LONGEST_MAX_AGE: u64 = u32::MAX as u64;

/// Decides whether the request can be accepted, and as what.
pub(super) fn decide(
    request: &AuthorizationRequest,
    client: &Client,
    to: &VerifiedRedirectUri,
    settings: &Settings,
) -> Result<AcceptedRequest, RedirectReason> {
    decide_form(request)?;
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err(RedirectReason::GrantTypeNotRegistered);
    }
    let code_challenge = code_challenge(request)?;
    let prompt = once(&request.prompt);
    if prompt.is_some_and(|text| text.len() > LONGEST_PROMPT) || Prompt::parse(prompt).is_err() {
        return Err(RedirectReason::PromptMalformed);
    }
    let max_age = once(&request.max_age).map(|text| max_age(text).ok_or(RedirectReason::MaxAgeMalformed));
    let max_age = max_age.transpose()?;
    let server = server(&request.resource, settings)?;
    let scope = scope(once(&request.scope), server)?;
    let is_hint = |text: &&str| text.len() <= LONGEST_LOGIN_HINT && !text.contains(char::is_control);
    let login_hint = once(&request.login_hint).filter(is_hint);
    let dpop_key = once(&request.dpop_jkt).map(str::parse).transpose();
    Ok(AcceptedRequest {
        redirect_uri: to.as_str().to_owned(),
        state: request.echoed_state().map(str::to_owned),
        scope,
        resource: server.resource.clone(),
        server: server.name.clone(),
        code_challenge,
        prompt: prompt.map(str::to_owned),
        max_age,
        login_hint: login_hint.map(str::to_owned),
        dpop_key: dpop_key.map_err(|_| RedirectReason::DpopJktMalformed)?,
        from_outside: false,
        client_metadata: client.snapshot(),
    })
}

/// What can be said without knowing anything.
fn decide_form(request: &AuthorizationRequest) -> Result<(), RedirectReason> {
    // "Request and response parameters MUST NOT be included more than once" (OAuth 2.1, section 3.1).
    if request.repeats {
        return Err(RedirectReason::ParameterRepeated);
    }
    if request.request != Parameter::Absent {
        return Err(RedirectReason::RequestNotSupported);
    }
    if request.request_uri != Parameter::Absent {
        return Err(RedirectReason::RequestUriNotSupported);
    }
    let response_type = once(&request.response_type).ok_or(RedirectReason::ResponseTypeMissing)?;
    capabilities::response_type(response_type).ok_or(RedirectReason::ResponseTypeUnsupported)?;
    if once(&request.response_mode).is_some_and(|mode| !capabilities::response_mode(mode)) {
        return Err(RedirectReason::ResponseModeUnsupported);
    }
    Ok(())
}

fn code_challenge(request: &AuthorizationRequest) -> Result<CodeChallenge, RedirectReason> {
    let challenge = once(&request.code_challenge).ok_or(RedirectReason::CodeChallengeMissing)?;
    CodeChallenge::parse(challenge, once(&request.code_challenge_method))
        .map_err(|_| RedirectReason::CodeChallengeMalformed)
}

/// Digits only: `u64` would take a sign.
fn max_age(text: &str) -> Option<u64> {
    let seconds: u64 =
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok()? } else { return None };
    Some(seconds.min(LONGEST_MAX_AGE))
}

/// The one MCP server that is asked for. Naming it twice is naming it.
fn server<'a>(requested: &[String], settings: &'a Settings) -> Result<&'a ServerEntry, RedirectReason> {
    let mut found: Option<&ServerEntry> = None;
    for text in requested {
        let resource = ResourceUri::parse(text).map_err(|_| RedirectReason::ResourceUnknown)?;
        let server = settings.server_of(&resource).ok_or(RedirectReason::ResourceUnknown)?;
        if found.is_some_and(|before| before.name != server.name) {
            return Err(RedirectReason::ResourceSeveral);
        }
        found = Some(server);
    }
    // Clients of 2025-03-26 name none (product.md, P-16).
    let by_default = || settings.server(settings.default_server.as_deref()?);
    found.or_else(by_default).ok_or(RedirectReason::ResourceMissing)
}

/// What of the request can be offered to the person. More than the MCP server knows is narrowed, not refused
/// (attacks.md, D-8): the consent page shows what is left.
fn scope(requested: Option<&str>, server: &ServerEntry) -> Result<Scope, RedirectReason> {
    let Some(text) = requested else { return Ok(server.default_scope()) };
    let requested = Scope::parse(text).map_err(|_| RedirectReason::ScopeMalformed)?;
    let meant: Scope = requested
        .iter()
        .filter(|token| !capabilities::IGNORED_SCOPES.contains(&token.as_str()))
        .cloned()
        .collect();
    if meant.is_empty() {
        return Ok(server.default_scope());
    }
    let offered = meant.intersection(&server.known_scope());
    if offered.is_empty() { Err(RedirectReason::ScopeUnknown) } else { Ok(offered) }
}

fn once(parameter: &Parameter<String>) -> Option<&str> {
    parameter.as_ref().once().map(String::as_str)
}
