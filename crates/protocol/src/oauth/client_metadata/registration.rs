//! Reading a registration request: RFC 7591, section 3.1.
//!
//! `null` counts as absent, as many clients mean it. A member that is used has to be of its type.

use serde_json::{Map, Value};

use super::{
    ClientMetadata, DEEPEST, MetadataError, MetadataFlaw, RedirectUrisFlaw, display_name, inline_keys,
};
use crate::oauth::{
    ApplicationType, Destination, GrantType, RedirectPolicy, RedirectUri, ResponseType, Scope,
    TokenEndpointAuthMethod, uri,
};
use crate::strict_json;

/// The largest body that is read.
const MAX_BODY: usize = 64 * 1024;
/// The most redirect URIs of one client.
pub(super) const MAX_REDIRECT_URIS: usize = 20;
/// The longest `software_id` and `software_version`.
const MAX_SOFTWARE: usize = 128;
/// Links that a client may name. Only `client_uri` is kept; a bad scheme in any of them is refused.
const LINKS: [&str; 5] = ["client_uri", "jwks_uri", "logo_uri", "policy_uri", "tos_uri"];

pub(super) type Members = Map<String, Value>;

pub(super) fn parse(body: &[u8], policy: &RedirectPolicy) -> Result<ClientMetadata, MetadataError> {
    if body.len() > MAX_BODY {
        return Err(MetadataFlaw::TooLarge.into());
    }
    let members = strict_json::object(body, DEEPEST).map_err(MetadataFlaw::Json)?;
    let application_type =
        named(&members, "application_type", ApplicationType::parse, MetadataFlaw::ApplicationType)?;
    let redirect_uris = redirect_uris(&members, policy, application_type)?;
    check_links(&members)?;
    check_keys(&members)?;
    let (grant_types, response_types) = grants(&members)?;
    let method = named(
        &members,
        "token_endpoint_auth_method",
        TokenEndpointAuthMethod::parse,
        MetadataFlaw::TokenEndpointAuthMethod,
    )?;
    let scope = text(&members, "scope")?.map(Scope::parse).transpose().map_err(MetadataFlaw::Scope)?;
    Ok(ClientMetadata {
        redirect_uris,
        client_name: text(&members, "client_name")?.and_then(display_name::clean),
        client_uri: text(&members, "client_uri")?.filter(|link| !link.is_empty()).map(str::to_owned),
        grant_types,
        response_types,
        // "If unspecified or omitted, the default is "client_secret_basic"" (RFC 7591, section 2)
        token_endpoint_auth_method: method.unwrap_or(TokenEndpointAuthMethod::ClientSecretBasic),
        scope: scope.filter(|scope| !scope.is_empty()),
        application_type,
        software_id: software(&members, "software_id")?,
        software_version: software(&members, "software_version")?,
        dpop_bound_access_tokens: flag(&members, "dpop_bound_access_tokens")?,
        keys: None,
    })
}

/// A member that is a string; `null` is as good as none.
pub(super) fn text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, MetadataFlaw> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(MetadataFlaw::WrongType)
        }
    }
}

/// A member that is true or false, and false without it.
pub(super) fn flag(members: &Members, name: &str) -> Result<bool, MetadataFlaw> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            Err(MetadataFlaw::WrongType)
        }
    }
}

/// A member that is one of a few registered values.
fn named<T>(
    members: &Members,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    flaw: MetadataFlaw,
) -> Result<Option<T>, MetadataFlaw> {
    text(members, name)?.map(|text| parse(text).ok_or(flaw)).transpose()
}

/// A member that is a list of registered values.
pub(super) fn list<T: PartialEq>(
    members: &Members,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    flaw: MetadataFlaw,
) -> Result<Option<Vec<T>>, MetadataFlaw> {
    let items = match members.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(MetadataFlaw::WrongType);
        }
    };
    let mut values = Vec::new();
    for item in items {
        let value = parse(item.as_str().ok_or(MetadataFlaw::WrongType)?).ok_or(flaw)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(Some(values))
}

fn redirect_uris(
    members: &Members,
    policy: &RedirectPolicy,
    application_type: Option<ApplicationType>,
) -> Result<Vec<RedirectUri>, RedirectUrisFlaw> {
    let items = members.get("redirect_uris").and_then(Value::as_array).ok_or(RedirectUrisFlaw::NotAList)?;
    if !(1..=MAX_REDIRECT_URIS).contains(&items.len()) {
        return Err(RedirectUrisFlaw::Number);
    }
    let mut uris = Vec::with_capacity(items.len());
    for item in items {
        let uri = RedirectUri::parse(item.as_str().ok_or(RedirectUrisFlaw::NotAList)?, policy)?;
        if !fits(&uri, application_type) {
            return Err(RedirectUrisFlaw::LocalForWeb);
        }
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    Ok(uris)
}

/// "Web Clients [...] MUST only register URLs using the https scheme as redirect_uris; they MUST NOT use
/// localhost as the hostname." A client that does not say what it is may be either.
pub(super) fn fits(uri: &RedirectUri, application_type: Option<ApplicationType>) -> bool {
    match application_type {
        Some(ApplicationType::Web) => matches!(uri.destination(), Destination::Https(_)),
        Some(ApplicationType::Native) | None => true,
    }
}

/// Checks every link, in every language (`logo_uri#fr`, RFC 7591, section 2.2). Nothing is fetched.
pub(super) fn check_links(members: &Members) -> Result<(), MetadataFlaw> {
    for (name, _) in members {
        let base = name.split_once('#').map_or(name.as_str(), |(base, _)| base);
        let link = if LINKS.contains(&base) { text(members, name)? } else { None };
        if let Some(link) = link.filter(|link| !link.is_empty()) {
            uri::check_link(link).map_err(MetadataFlaw::Link)?;
        }
    }
    Ok(())
}

/// "The "jwks_uri" and "jwks" parameters MUST NOT both be present in the same request or response."
pub(super) fn check_keys(members: &Members) -> Result<(), MetadataFlaw> {
    match members.get("jwks") {
        None | Some(Value::Null) => Ok(()),
        Some(_) if text(members, "jwks_uri")?.is_some() => Err(MetadataFlaw::KeysTwice),
        Some(keys) if inline_keys::are_public(keys) => Ok(()),
        Some(_) => Err(MetadataFlaw::InlineKeys),
    }
}

/// "The "grant_types" and "response_types" values [...] are partially orthogonal, as they refer to arguments
/// passed to different endpoints [...]. However, they are related in that the "grant_types" available to a
/// client influence the "response_types" that the client is allowed to use" (RFC 7591, section 2.1)
fn grants(members: &Members) -> Result<(Vec<GrantType>, Vec<ResponseType>), MetadataFlaw> {
    let grant_types = list(members, "grant_types", GrantType::parse, MetadataFlaw::GrantTypes)?
        .unwrap_or_else(|| vec![GrantType::AuthorizationCode]);
    let response_types = list(members, "response_types", ResponseType::parse, MetadataFlaw::ResponseTypes)?
        .unwrap_or_else(|| vec![ResponseType::Code]);
    if !grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(MetadataFlaw::GrantTypes);
    }
    if !response_types.contains(&ResponseType::Code) {
        return Err(MetadataFlaw::ResponseTypes);
    }
    Ok((grant_types, response_types))
}

/// Shown and compared, never relied on: what is not short printable ASCII is dropped.
pub(super) fn software(members: &Members, name: &str) -> Result<Option<String>, MetadataFlaw> {
    let fit =
        |text: &&str| (1..=MAX_SOFTWARE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    Ok(text(members, name)?.filter(fit).map(str::to_owned))
}
