//! What is noticed of an authorization request beside whether it is accepted: the known faults of clients, told apart.

use protocol::oauth::{AuthorizationRequest, Parameter, ResourceUri};
use store::AcceptedRequest;

use crate::clients::Client;
use crate::settings::Settings;

/// One thing that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    FromAnotherSite,
    OfflineAccessDropped,
    RedirectUriOtherHost,
    RedirectUriOtherPath,
    ResourceDefaulted,
    ResourceTrailingSlash,
    ResourceWithoutPath,
    ScopeNarrowed,
    StateMissing,
}

impl Note {
    const fn reason(self) -> &'static str {
        match self {
            Self::FromAnotherSite => "from_another_site",
            Self::OfflineAccessDropped => "offline_access_dropped",
            Self::RedirectUriOtherHost => "redirect_uri_other_host",
            Self::RedirectUriOtherPath => "redirect_uri_other_path",
            Self::ResourceDefaulted => "resource_defaulted",
            Self::ResourceTrailingSlash => "resource_trailing_slash",
            Self::ResourceWithoutPath => "resource_without_path",
            Self::ScopeNarrowed => "scope_narrowed",
            Self::StateMissing => "state_missing",
        }
    }
}

fn names(notes: impl IntoIterator<Item = (bool, Note)>) -> Vec<&'static str> {
    notes.into_iter().filter(|(noticed, _)| *noticed).map(|(_, note)| note.reason()).collect()
}

/// Of a request that was accepted as this.
pub(super) fn of_accepted(request: &AuthorizationRequest, accepted: &AcceptedRequest) -> Vec<&'static str> {
    let asked: Vec<&str> = match &request.scope {
        Parameter::Once(scope) => scope.split(' ').collect(),
        Parameter::Absent | Parameter::Repeated => Vec::new(),
    };
    let offline = asked.contains(&"offline_access") && !accepted.scope.contains("offline_access");
    let narrowed = asked.iter().any(|token| *token != "offline_access" && !accepted.scope.contains(token));
    names([
        (request.resource.is_empty(), Note::ResourceDefaulted),
        (offline, Note::OfflineAccessDropped),
        (narrowed, Note::ScopeNarrowed),
        (request.state == Parameter::Absent, Note::StateMissing),
        (accepted.from_outside, Note::FromAnotherSite),
    ])
}

/// Of a request that was refused, and our name of the MCP server it may have meant.
pub(super) fn of_refused(
    reason: &'static str,
    request: &AuthorizationRequest,
    client: Option<&Client>,
    settings: &Settings,
) -> (Vec<&'static str>, Option<String>) {
    let server = |text: &str| {
        let resource = ResourceUri::parse(text).ok()?;
        settings.server_of(&resource).map(|server| server.name.clone())
    };
    let named = request.resource.iter().find_map(|text| server(text));
    let without_slash = || request.resource.iter().find_map(|text| server(text.strip_suffix('/')?));
    let meant = match reason {
        "resource_unknown" => without_slash(),
        _ => None,
    };
    let bare = |text: &String| text.strip_suffix('/').unwrap_or(text) == settings.issuer;
    let hostless = reason == "resource_unknown" && request.resource.iter().any(bare);
    let near = match (reason, client, request.redirect_uri.as_ref().once()) {
        ("redirect_uri_unknown", Some(client), Some(uri)) => near(client, uri),
        _ => None,
    };
    let mut notes =
        names([(meant.is_some(), Note::ResourceTrailingSlash), (hostless, Note::ResourceWithoutPath)]);
    notes.extend(near.map(Note::reason));
    (notes, named.or(meant))
}

/// In what a redirect URI differs from one that the client registered, if it nearly is one.
fn near(client: &Client, asked: &str) -> Option<Note> {
    let registered = || client.metadata().redirect_uris.iter().map(|uri| uri.as_str());
    let asked = Parts::of(asked)?;
    let others = || registered().filter_map(Parts::of).filter(|known| known.scheme == asked.scheme);
    if others().any(|known| {
        known.is_loopback() && asked.is_loopback() && known.rest == asked.rest && known.host != asked.host
    }) {
        return Some(Note::RedirectUriOtherHost);
    }
    others().any(|known| known.host == asked.host).then_some(Note::RedirectUriOtherPath)
}

/// A URI cut for comparison; nothing is decided by it.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) | None => authority,
        };
        Some(Self { scheme, host, rest })
    }

    fn is_loopback(&self) -> bool {
        matches!(self.host, "127.0.0.1" | "[::1]" | "localhost")
    }
}
