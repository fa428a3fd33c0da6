//! A token request (RFC 6749, sections 4.1.3 and 6; RFC 8707, section 2), how we authenticate in it, and what the answer is worth.
//!
//! Sent once: what it carries may be good once. Whatever of an answer cannot be believed is left out rather than that the token is
//! lost; a token itself that cannot be used is an error. Nobody here reads a token (CL-059).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::oauth::{Scope, ScopeToken, TokenEndpointAuthMethod};
use protocol::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::accounts::Means;
use super::discovery::Server;
use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::registration::RegisteredClient;
use super::ways::Reach;
use crate::document::is_json;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// No honest token is larger.
const LONGEST: usize = 16 * 1024;
/// How long a token is taken to be good if the answer does not say, and there is a refresh token to find out.
const USUAL: Duration = Duration::from_secs(60 * 60);
/// The same without one.
const UNRENEWED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// No token is taken to be good for longer, whatever the answer says.
const MOST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// To which client, at which issuer, for which resource a credential was given: it is of no use anywhere else (CL-027, CL-072).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Binding {
    /// The issuer.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// The resource; an account has none.
    pub resource: Option<String>,
}

/// What was granted.
#[derive(Debug)]
pub struct Tokens {
    /// For the MCP server.
    pub access_token: Secret,
    /// To get the next one. After a refresh: none means that the old one stays good (RFC 6749, section 6).
    pub refresh_token: Option<Secret>,
    /// How long the access token is good for, within bounds of ours; none if such tokens do not end by themselves.
    pub expires_in: Option<Duration>,
    /// What was granted, be it less than was asked for (RFC 6749, section 5.1).
    pub scope: Scope,
    /// To whom.
    pub binding: Binding,
    /// What the provider calls the account, if it says so with the tokens: for people to read, and for nothing else.
    pub account: Option<String>,
}

/// A request, without us.
pub(super) struct Asked<'a> {
    pub(super) fields: Vec<(&'static str, &'a str)>,
    pub(super) secrets: Vec<(&'static str, &'a Secret)>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    refresh_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    scope: Option<Value>,
    issued_token_type: Option<String>,
    id_token: Option<Value>,
    workspace_name: Option<Value>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// A token request, and what came of it.
pub(super) async fn ask(
    reach: &Reach,
    server: &Server,
    client: &RegisteredClient,
    asked: &Asked<'_>,
    scope: &Scope,
) -> Result<Tokens, OauthClientError> {
    let request = request(server, &server.token_endpoint, client, asked)?;
    let answer = reach.ask(Place::Token, request).await?;
    // What came is known to nobody else.
    #[cfg(feature = "failpoints")]
    crate::failpoint::passed("after_token_answer");
    let binding = Binding {
        issuer: server.issuer.clone(),
        client_id: client.client_id.clone(),
        resource: server.resource.clone(),
    };
    read(server, &answer, scope, binding)
}

/// A request to the token or revocation endpoint in which we say who we are (RFC 6749, section 2.3.1).
pub(super) fn request(
    server: &Server,
    endpoint: &Url,
    client: &RegisteredClient,
    asked: &Asked<'_>,
) -> Result<Request<Bytes>, OauthClientError> {
    let mut request = Request::post(endpoint.as_str()).header(ACCEPT, JSON);
    let mut fields: Vec<(&str, Zeroizing<String>)> =
        asked.fields.iter().map(|(name, value)| (*name, Zeroizing::new((*value).to_owned()))).collect();
    let text = |secret: &Secret| Zeroizing::new(secret.expose(str::to_owned));
    fields.extend(asked.secrets.iter().map(|(name, secret)| (*name, text(secret))));
    match (client.method, &client.client_secret) {
        (TokenEndpointAuthMethod::ClientSecretBasic, Some(secret)) => {
            request = request.header(AUTHORIZATION, basic(&client.client_id, secret)?);
        }
        (TokenEndpointAuthMethod::ClientSecretPost, Some(secret)) => {
            fields.push(("client_id", Zeroizing::new(client.client_id.clone())));
            fields.push(("client_secret", text(secret)));
        }
        (TokenEndpointAuthMethod::None, _) => {
            fields.push(("client_id", Zeroizing::new(client.client_id.clone())));
        }
        (TokenEndpointAuthMethod::PrivateKeyJwt, _) => {
            let key = client.key.as_ref().ok_or(Obstacle::Client)?;
            let proof = key.parameters(&client.client_id, &server.issuer).ok_or(Obstacle::Key)?;
            fields.push(("client_id", Zeroizing::new(client.client_id.clone())));
            fields.extend(proof.iter().map(|(name, secret)| (*name, text(secret))));
        }
        (TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost, None) => {
            return Err(Obstacle::Client.into());
        }
    }
    let (kind, body) = if server.quirks.json {
        let object: serde_json::Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        (JSON, Value::from(object).to_string())
    } else {
        let pairs = fields.iter().map(|(name, value)| (*name, value.as_str()));
        (FORM, Serializer::new(String::new()).extend_pairs(pairs).finish())
    };
    request.header(CONTENT_TYPE, kind).body(Bytes::from(body)).map_err(|_| Obstacle::Metadata.into())
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
pub(super) fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, OauthClientError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = secret.expose(|secret| format!("{}:{}", encode(client_id), encode(secret)));
    let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
    let mut header = header.map_err(|_| Obstacle::Client)?;
    header.set_sensitive(true);
    Ok(header)
}

fn read(
    server: &Server,
    answer: &Response<Bytes>,
    asked: &Scope,
    binding: Binding,
) -> Result<Tokens, OauthClientError> {
    if let Some(refused) = refused(server, answer) {
        return Err(refused);
    }
    if answer.status() != StatusCode::OK || !is_json(answer.headers()) {
        return Err(Malformed::Token.into());
    }
    let read: Answer = serde_json::from_slice(answer.body()).map_err(|_| Malformed::Token)?;
    match &read.token_type {
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
        None if server.quirks.token_type_optional => {}
        // RFC 6749, section 7.1: a token of a type that is not understood must not be used.
        Some(_) | None => return Err(Malformed::TokenType.into()),
    }
    if read.issued_token_type.is_some_and(|kind| kind != super::exchange::ACCESS_TOKEN) {
        return Err(Malformed::IssuedType.into());
    }
    let refresh_token = read.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    let access_token = token(read.access_token.unwrap_or_default())?;
    Ok(Tokens {
        expires_in: lifetime(read.expires_in.as_ref(), refresh_token.is_some(), server.quirks.lasting),
        scope: granted(read.scope.as_ref(), asked),
        account: account(read.id_token.as_ref(), read.workspace_name.as_ref()),
        access_token,
        refresh_token,
        binding,
    })
}

/// What the account is called: by the ID token beside it, which came over TLS from whom we asked (OpenID Connect Core, section
/// 3.1.3.7, 6), or by Notion's `workspace_name`.
fn account(id_token: Option<&Value>, workspace: Option<&Value>) -> Option<String> {
    /// Nobody reads more.
    const MOST: usize = 100;
    let payload = id_token.and_then(Value::as_str).and_then(|token| token.split('.').nth(1));
    let claims = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let said = ["email", "preferred_username", "name"].iter().find_map(|name| claims[*name].as_str());
    let said = said.or_else(|| workspace.and_then(Value::as_str))?;
    let plain: String = said.chars().filter(|letter| !letter.is_control()).take(MOST).collect();
    (!plain.trim().is_empty()).then_some(plain)
}

/// RFC 6750, section 2.1: what can stand in a header.
fn token(text: String) -> Result<Secret, OauthClientError> {
    let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = Secret::new(text);
    if fits { Ok(token) } else { Err(Malformed::Token.into()) }
}

/// TK-37: neither over at once, nor for ever, nor more than can be counted, whatever comes.
fn lifetime(said: Option<&Value>, renewable: bool, lasting: bool) -> Option<Duration> {
    let usual = if renewable { USUAL } else { UNRENEWED };
    let Some(said) = said.filter(|said| !said.is_null()) else {
        return if lasting && !renewable { None } else { Some(usual) };
    };
    let seconds = match said {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 1.0);
    Some(seconds.map_or(USUAL, |seconds| {
        Duration::try_from_secs_f64(seconds.min(MOST.as_secs_f64()).floor()).unwrap_or(USUAL)
    }))
}

/// A lifetime that is known to be a whole number, within the same bounds.
pub(super) fn bounded(said: Option<Duration>) -> Duration {
    said.filter(|said| !said.is_zero()).map_or(USUAL, |said| said.min(MOST))
}

/// TK-38: what was granted, be it less or other than asked for, and whatever stands between the tokens. What is no scope token is
/// none.
fn granted(said: Option<&Value>, asked: &Scope) -> Scope {
    match said {
        None | Some(Value::Null) => asked.clone(),
        Some(Value::String(said)) => {
            let tokens = said.split([' ', ',']).filter(|token| !token.is_empty()).take(100);
            tokens.filter_map(|token| ScopeToken::parse(token).ok()).collect()
        }
        Some(Value::Array(said)) => {
            let tokens = said.iter().filter_map(Value::as_str).take(100);
            tokens.filter_map(|token| ScopeToken::parse(token).ok()).collect()
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Scope::default(),
    }
}

/// RFC 6749, section 5.2: whose fault it is, be it told with status 200 as GitHub does.
pub(super) fn refused(server: &Server, answer: &Response<Bytes>) -> Option<OauthClientError> {
    let status = answer.status();
    let said =
        serde_json::from_slice::<ErrorAnswer>(answer.body()).ok().filter(|_| is_json(answer.headers()));
    let error = match (said, status) {
        // Without an error of OAuth it may be whoever stands before it: that says nothing about anybody.
        (None, status) if status.is_client_error() => return Some(Obstacle::Refused.into()),
        (None, _) => return None,
        (Some(said), _) => said.error,
    };
    Some(match server.quirks.meaning(status.as_u16(), &error) {
        Some(Means::Client) => Obstacle::Client.into(),
        Some(Means::Grant) => Rejection::Grant.into(),
        None => meaning(&error),
    })
}

fn meaning(error: &str) -> OauthClientError {
    match error {
        // The others are of RFC 6750 and RFC 8628, and are what some say of a refresh token that is over.
        "invalid_grant" | "invalid_token" | "expired_token" => Rejection::Grant.into(),
        "invalid_client" => Obstacle::Client.into(),
        "invalid_scope" => Obstacle::Scope.into(),
        "invalid_target" => Obstacle::Target.into(),
        "unauthorized_client" | "unsupported_grant_type" => Obstacle::Unsupported.into(),
        "access_denied" => Rejection::AccessDenied.into(),
        "temporarily_unavailable" | "server_error" | "slow_down" => {
            OauthClientError::Unreachable(Place::Token)
        }
        _ => Obstacle::Refused.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tk_37_a_lifetime_is_neither_over_at_once_nor_for_ever() {
        let told = |said: Value| lifetime(Some(&said), true, false).map(|life| life.as_secs());
        assert_eq!(told(json!(3600)), Some(3600));
        assert_eq!(told(json!("3600")), Some(3600));
        assert_eq!(told(json!(1.5)), Some(1));
        for odd in [json!(0), json!(-1), json!(0.5), json!("soon"), json!([1]), json!(false), json!("NaN")] {
            assert_eq!(told(odd.clone()), Some(3600), "{odd}");
        }
        for huge in [json!(1e18), json!(1e300), json!("99999999999999999999"), json!(u64::MAX)] {
            assert_eq!(told(huge.clone()), Some(MOST.as_secs()), "{huge}");
        }
        assert_eq!(told(json!("inf")), Some(3600));
        assert_eq!(lifetime(None, true, false), Some(USUAL));
        assert_eq!(lifetime(Some(&Value::Null), false, false), Some(UNRENEWED));
        assert_eq!(lifetime(None, false, true), None, "a token of an OAuth App at GitHub");
        assert_eq!(lifetime(None, true, true), Some(USUAL));
    }

    #[test]
    fn an_account_is_called_as_the_provider_says_and_nothing_of_it_does_anything() {
        let token =
            |claims: Value| Value::String(format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims.to_string())));
        let of = |claims: Value| account(Some(&token(claims)), None);
        let ada = json!({"email": "ada@corp.example", "name": "Ada"});
        assert_eq!(of(ada).as_deref(), Some("ada@corp.example"));
        assert_eq!(of(json!({"name": "A\u{1b}da"})).as_deref(), Some("Ada"));
        assert_eq!(of(json!({"name": "x".repeat(500)})).map(|name| name.len()), Some(100));
        assert_eq!(account(None, Some(&json!("Our notes"))).as_deref(), Some("Our notes"));
        for nothing in [json!({}), json!({"email": 7}), json!({"name": " "})] {
            assert_eq!(of(nothing.clone()), None, "{nothing}");
        }
        assert_eq!(account(Some(&json!("no.token")), Some(&json!([1]))), None);
    }

    #[test]
    fn tk_38_the_scope_is_what_was_granted() {
        let asked = Scope::parse("a b").unwrap();
        let of = |said: Value| granted(Some(&said), &asked).to_string();
        assert_eq!(granted(None, &asked), asked);
        assert_eq!(of(json!("a")), "a");
        assert_eq!(of(json!("a,b")), "a b");
        assert_eq!(of(json!("a, c")), "a c");
        assert_eq!(of(json!(["a", "c"])), "a c");
        assert_eq!(of(json!("a \"b")), "a");
        assert_eq!(of(json!("")), "");
        assert_eq!(of(json!(7)), "");
    }
}
