//! Reading a client ID metadata document: draft-ietf-oauth-client-id-metadata-document-02, sections 4 and 4.1; MCP
//! 2026-07-28, client registration.
//!
//! A document is written once for all authorization servers of the world, so what is not served here is left out of it
//! (attacks.md, D-6), where a registration would be refused. What makes the document untrustworthy refuses the whole:
//! another `client_id`, a secret, a private key, a redirect URI that is none.

use serde_json::{Map, Value};
use thiserror::Error;

use super::registration::{self, Members};
use super::{
    ClientMetadata, DEEPEST, MetadataError, MetadataFlaw, PublishedKeys, RedirectUrisFlaw, display_name,
    inline_keys,
};
use crate::oauth::{
    ApplicationType, ClientId, GrantType, HttpsUrl, HttpsUrlError, RedirectPolicy, RedirectUri,
    RedirectUriError, ResponseType, Scope, TokenEndpointAuthMethod, uri,
};
use crate::strict_json;

/// "5 kilobytes" (section 8.7).
pub const LARGEST_DOCUMENT: usize = 5 * 1024;

/// Why a document is no client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DocumentFlaw {
    /// `client_id` is missing, or another one by so much as a byte (section 4.1).
    #[error("its `client_id` is not the url that it was fetched from")]
    ClientId,
    /// `client_name` is missing, or nothing can be seen of it (MCP: "MUST include").
    #[error("`client_name` is missing or shows nothing")]
    ClientName,
    /// A method that needs keys, and there are none, or a `jwks_uri` that may not be fetched.
    #[error("it authenticates by keys, and names none that can be used")]
    Keys,
    /// `jwks_uri` is no URL that may be fetched (section 8.6).
    #[error("`jwks_uri`: {0}")]
    KeysUrl(HttpsUrlError),
    /// What a registration would be refused for as well.
    #[error("{0}")]
    Metadata(MetadataError),
    /// A client authentication method that is neither served nor has an alternative.
    #[error("it authenticates in no way that is served")]
    Method,
    /// `client_secret`, `client_secret_expires_at`, or a method with a shared secret (section 4.1).
    #[error("it holds a shared secret, or a method that needs one")]
    SharedSecret,
}

impl<E: Into<MetadataError>> From<E> for DocumentFlaw {
    fn from(error: E) -> Self {
        Self::Metadata(error.into())
    }
}

pub(super) fn parse(
    body: &[u8],
    id: &ClientId,
    policy: &RedirectPolicy,
) -> Result<ClientMetadata, DocumentFlaw> {
    if body.len() > LARGEST_DOCUMENT {
        return Err(MetadataFlaw::TooLarge.into());
    }
    let members = strict_json::object(body, DEEPEST).map_err(MetadataFlaw::Json)?;
    if members.get("client_id").and_then(Value::as_str) != Some(id.as_str()) {
        return Err(DocumentFlaw::ClientId);
    }
    if members.contains_key("client_secret") || members.contains_key("client_secret_expires_at") {
        return Err(DocumentFlaw::SharedSecret);
    }
    registration::check_links(&members)?;
    registration::check_keys(&members)?;
    let keys = keys(&members)?;
    let method = method(&members, keys.is_some())?;
    let name = registration::text(&members, "client_name")?.and_then(display_name::clean);
    let application_type = registration::text(&members, "application_type")?.and_then(ApplicationType::parse);
    let (grant_types, response_types) = grants(&members)?;
    Ok(ClientMetadata {
        redirect_uris: redirect_uris(&members, policy, application_type)?,
        client_name: Some(name.ok_or(DocumentFlaw::ClientName)?),
        client_uri: client_uri(&members, id)?,
        grant_types,
        response_types,
        token_endpoint_auth_method: method,
        scope: scope(&members)?,
        application_type,
        software_id: registration::software(&members, "software_id")?,
        software_version: registration::software(&members, "software_version")?,
        dpop_bound_access_tokens: registration::flag(&members, "dpop_bound_access_tokens")?,
        keys,
    })
}

/// What was kept of a client with [`ClientMetadata::to_json`], its keys included. A registration has none.
pub(super) fn parse_kept(body: &[u8], policy: &RedirectPolicy) -> Result<ClientMetadata, DocumentFlaw> {
    let members = strict_json::object(body, DEEPEST).map_err(MetadataFlaw::Json)?;
    Ok(ClientMetadata { keys: keys(&members)?, ..registration::parse(body, policy)? })
}

/// The keys, whether or not the client uses them: that they change is a change. A set that holds anything but public keys
/// was refused before.
fn keys(members: &Members) -> Result<Option<PublishedKeys>, DocumentFlaw> {
    match (registration::text(members, "jwks_uri")?, members.get("jwks")) {
        (Some(url), _) if !url.is_empty() => {
            HttpsUrl::parse(url).map(|url| Some(PublishedKeys::At(url))).map_err(DocumentFlaw::KeysUrl)
        }
        (_, None | Some(Value::Null)) => Ok(None),
        (_, Some(keys)) if inline_keys::are_public(keys) => {
            // One set has one text, and the metadata one fingerprint, in whatever order its members came.
            let mut keys = keys.clone();
            keys.sort_all_objects();
            Ok(Some(PublishedKeys::Inline(keys)))
        }
        (_, Some(_)) => Err(MetadataFlaw::InlineKeys.into()),
    }
}

/// "The value of token_endpoint_auth_method MUST NOT be client_secret_post, client_secret_basic, client_secret_jwt, or any
/// other method based around a shared symmetric secret" (section 4.1). Without one the client is public: the default of a
/// registration would be one of these. A method that is not served may have an alternative that is: widely used clients
/// name both of theirs in `token_endpoint_auth_methods_supported`. One that is served is required (section 8.2).
fn method(members: &Members, has_keys: bool) -> Result<TokenEndpointAuthMethod, DocumentFlaw> {
    let Some(declared) = registration::text(members, "token_endpoint_auth_method")? else {
        return Ok(TokenEndpointAuthMethod::None);
    };
    if declared.starts_with("client_secret_") {
        return Err(DocumentFlaw::SharedSecret);
    }
    match TokenEndpointAuthMethod::parse(declared) {
        Some(TokenEndpointAuthMethod::None) => Ok(TokenEndpointAuthMethod::None),
        Some(method) if has_keys => Ok(method),
        Some(_) => Err(DocumentFlaw::Keys),
        None => {
            let others = members.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
            let public = others.is_some_and(|others| others.iter().any(|other| other == "none"));
            if public { Ok(TokenEndpointAuthMethod::None) } else { Err(DocumentFlaw::Method) }
        }
    }
}

/// One that is refused refuses all. One whose private-use scheme is merely not on the list here is left out.
fn redirect_uris(
    members: &Members,
    policy: &RedirectPolicy,
    application_type: Option<ApplicationType>,
) -> Result<Vec<RedirectUri>, RedirectUrisFlaw> {
    let items = members.get("redirect_uris").and_then(Value::as_array).ok_or(RedirectUrisFlaw::NotAList)?;
    if !(1..=registration::MAX_REDIRECT_URIS).contains(&items.len()) {
        return Err(RedirectUrisFlaw::Number);
    }
    let mut uris = Vec::with_capacity(items.len());
    for item in items {
        let raw = item.as_str().ok_or(RedirectUrisFlaw::NotAList)?;
        let uri = match RedirectUri::parse(raw, policy) {
            Ok(uri) => uri,
            Err(RedirectUriError::Scheme) if is_another_app(raw, policy) => continue,
            Err(error) => return Err(error.into()),
        };
        if !registration::fits(&uri, application_type) {
            return Err(RedirectUrisFlaw::LocalForWeb);
        }
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    if uris.is_empty() { Err(RedirectUriError::Scheme.into()) } else { Ok(uris) }
}

/// Whether it would be a redirect URI if its scheme were on the list.
fn is_another_app(raw: &str, policy: &RedirectPolicy) -> bool {
    let scheme = raw.split_once(':').map(|(scheme, _)| scheme.to_owned());
    let wide = RedirectPolicy {
        private_schemes: scheme.into_iter().collect(),
        own_origins: policy.own_origins.clone(),
    };
    RedirectUri::parse(raw, &wide).is_ok()
}

/// What is served of it (attacks.md, CM-31); a client that wants nothing of that is refused.
fn grants(members: &Members) -> Result<(Vec<GrantType>, Vec<ResponseType>), MetadataFlaw> {
    let grant_types = served(members, "grant_types", GrantType::parse)?
        .unwrap_or_else(|| vec![GrantType::AuthorizationCode]);
    let response_types =
        served(members, "response_types", ResponseType::parse)?.unwrap_or_else(|| vec![ResponseType::Code]);
    if !grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(MetadataFlaw::GrantTypes);
    }
    if !response_types.contains(&ResponseType::Code) {
        return Err(MetadataFlaw::ResponseTypes);
    }
    Ok((grant_types, response_types))
}

fn served<T: PartialEq>(
    members: &Members,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, MetadataFlaw> {
    let known = |text: &str| Some(parse(text));
    let all = registration::list(members, name, known, MetadataFlaw::WrongType)?;
    Ok(all.map(|all| all.into_iter().flatten().collect()))
}

fn scope(members: &Map<String, Value>) -> Result<Option<Scope>, MetadataFlaw> {
    let scope = registration::text(members, "scope")?.map(Scope::parse).transpose();
    Ok(scope.map_err(MetadataFlaw::Scope)?.filter(|scope| !scope.is_empty()))
}

/// The page of a client, if it lies where the client does: one elsewhere would borrow a name (attacks.md, CM-20).
fn client_uri(members: &Members, id: &ClientId) -> Result<Option<String>, MetadataFlaw> {
    let link = registration::text(members, "client_uri")?.filter(|link| !link.is_empty());
    let own = |link: &&str| uri::origin(link).is_some_and(|origin| Some(origin) == uri::origin(id.as_str()));
    Ok(link.filter(own).map(str::to_owned))
}

#[cfg(test)]
mod tests;
