//! Every path, once: what it is called, which methods it has, who may come, how it says no, and which budget it
//! draws on. Everything else about paths is made from this table or checked against it.
//!
//! Paths are matched as they came: no case folding, no decoding, no merging of slashes (attacks AZ-36, PX-10).

use http::{HeaderValue, Method};

use crate::layers::limits::Budget;
use crate::listener::Visitors;

/// Who may come to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever holds an access token for this MCP server; the resource server checks it.
    Bearer,
    /// A person's browser; what it may see depends on its cookies, which the authorization server checks.
    Browser,
    /// Anybody. A client that has a secret proves it to the authorization server.
    Public,
    /// An MCP server of this house, by its own secret; the resource server checks it.
    Server,
}

/// In which form a route answers, refusals of the doors included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// JSON-RPC (MCP transports).
    Call,
    /// A JSON document, and OAuth's JSON errors (RFC 6749, section 5.2).
    Json,
    /// A page for people.
    Page,
}

/// What stands behind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    AcmeChallenge,
    Approval,
    Asset,
    Authorize,
    AuthorizationServerMetadata,
    BackchannelLogout,
    Callback,
    Connect,
    ConnectCallback,
    ConnectClient,
    Connections,
    Consent,
    Device,
    DeviceAuthorization,
    DeviceDone,
    Emergency,
    GlobalTokenRevocation,
    Health,
    Index,
    Introspect,
    Jwks,
    Login,
    LoginDevelopment,
    Mcp,
    OpenidConfiguration,
    Par,
    ProtectedResourceMetadata,
    Ready,
    Register,
    Revocations,
    Revoke,
    SecurityEvents,
    Token,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// The label of metrics and logs.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) methods: &'static [Method],
    pub(crate) access: Access,
    /// Which listeners have it, and under which host it is.
    pub(crate) visitors: Visitors,
    pub(crate) shape: Shape,
    /// Whether scripts of listed origins may read the answers (product.md, P-22).
    pub(crate) cors: bool,
    pub(crate) budget: Option<Budget>,
    /// Whether it answers whatever host it was asked by: probes come by address.
    pub(crate) any_host: bool,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const GET_ONLY: &[Method] = &[Method::GET];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST: &[Method] = &[Method::POST];
const CALL: &[Method] = &[Method::GET, Method::POST, Method::DELETE];

impl Route {
    const fn page(
        endpoint: Endpoint,
        name: &'static str,
        path: &'static str,
        methods: &'static [Method],
    ) -> Self {
        Self {
            endpoint,
            name,
            path,
            methods,
            access: Access::Browser,
            visitors: Visitors::People,
            shape: Shape::Page,
            cors: false,
            budget: Some(Budget::Login),
            any_host: false,
        }
    }

    const fn document(endpoint: Endpoint, name: &'static str, path: &'static str) -> Self {
        Self {
            endpoint,
            name,
            path,
            methods: GET,
            access: Access::Public,
            visitors: Visitors::Machines,
            shape: Shape::Json,
            cors: true,
            budget: None,
            any_host: false,
        }
    }

    const fn oauth(endpoint: Endpoint, name: &'static str, path: &'static str, budget: Budget) -> Self {
        Self {
            endpoint,
            name,
            path,
            methods: POST,
            access: Access::Public,
            visitors: Visitors::Machines,
            shape: Shape::Json,
            cors: true,
            budget: Some(budget),
            any_host: false,
        }
    }

    /// For the MCP servers of this house. No script of a browser holds their secret.
    const fn server(
        endpoint: Endpoint,
        name: &'static str,
        path: &'static str,
        methods: &'static [Method],
    ) -> Self {
        Self {
            access: Access::Server,
            cors: false,
            methods,
            ..Self::oauth(endpoint, name, path, Budget::Introspect)
        }
    }

    /// For identity providers. What they say is signed; no script of a browser says it.
    const fn signal(endpoint: Endpoint, name: &'static str, path: &'static str) -> Self {
        Self { cors: false, ..Self::oauth(endpoint, name, path, Budget::Token) }
    }

    const fn probe(endpoint: Endpoint, name: &'static str, path: &'static str) -> Self {
        Self {
            cors: false,
            any_host: true,
            visitors: Visitors::Anybody,
            ..Self::document(endpoint, name, path)
        }
    }

    const fn open(self) -> Self {
        Self { access: Access::Public, budget: None, ..self }
    }

    /// At every listener: a refusal may be a page, and looks the same wherever it is shown.
    const fn for_anybody(self) -> Self {
        Self { visitors: Visitors::Anybody, ..self }
    }

    const fn drawing_on(self, budget: Budget) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// For `Allow` (RFC 9110, section 10.2.1).
    pub(crate) fn allow(&self) -> HeaderValue {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        names.join(", ").parse().unwrap_or(HeaderValue::from_static(""))
    }
}

/// What stands before the path of an MCP endpoint in the URL of its metadata (RFC 9728, section 3.1).
pub(crate) const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
/// What stands before the token of a certificate authority (RFC 8555, section 8.3).
pub(crate) const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";
/// What stands before the name of a connector in the URL of its callback.
pub(crate) const CALLBACK: &str = "/login/callback/";

/// What stands before the name of an MCP server in the URLs on which accounts are connected for it.
pub(crate) const CONNECT: &str = "/connect/";
/// What stands behind it where a provider sends people back to.
pub(crate) const CONNECT_CALLBACK: &str = "/callback";
/// What stands behind it where a provider reads who we are.
pub(crate) const CONNECT_CLIENT: &str = "/client";

/// What stands before the name of a connector in the URL of its back-channel logout.
pub(crate) const BACKCHANNEL_LOGOUT: &str = "/oauth/backchannel_logout/";
/// The same of its global token revocation.
pub(crate) const GLOBAL_TOKEN_REVOCATION: &str = "/oauth/global_token_revocation/";
/// The same of its security events.
pub(crate) const SECURITY_EVENTS: &str = "/oauth/security_events/";

/// The MCP endpoints, dispatched before the router: they are the hot path.
pub(crate) static MCP: Route = Route {
    endpoint: Endpoint::Mcp,
    name: "mcp",
    path: "/{server}/mcp",
    methods: CALL,
    access: Access::Bearer,
    visitors: Visitors::Machines,
    shape: Shape::Call,
    cors: true,
    budget: None,
    any_host: false,
};

/// Everything else.
pub(crate) static ROUTES: [Route; 32] = [
    Route::page(Endpoint::Index, "index", "/", GET).open(),
    Route::page(Endpoint::Asset, "asset", "/assets/{file}", GET).open().for_anybody(),
    Route::page(Endpoint::Authorize, "authorize", "/oauth/authorize", GET_POST).drawing_on(Budget::Authorize),
    Route::page(Endpoint::Callback, "callback", "/login/callback/{connector}", GET_ONLY),
    Route::page(Endpoint::Connect, "connect", "/connect/{server}", GET_POST),
    Route::page(Endpoint::ConnectCallback, "connect_callback", "/connect/{server}/callback", GET_ONLY),
    Route::document(Endpoint::ConnectClient, "connect_client", "/connect/{server}/client"),
    Route::page(Endpoint::Connections, "connections", "/account/connections", GET_POST),
    Route::page(Endpoint::Consent, "consent", "/consent", GET_POST),
    Route::page(Endpoint::Device, "device", "/device", GET_POST).drawing_on(Budget::Device),
    Route::page(Endpoint::DeviceDone, "device_done", "/device/done", GET_ONLY),
    Route::page(Endpoint::Login, "login", "/login", GET_POST),
    Route::page(Endpoint::Approval, "login_approval", "/login/approval", GET_ONLY),
    Route::page(Endpoint::Emergency, "login_emergency", "/login/emergency", GET_POST),
    Route::page(Endpoint::LoginDevelopment, "login_development", "/login/development", GET_POST),
    Route::oauth(
        Endpoint::DeviceAuthorization,
        "device_authorization",
        "/oauth/device_authorization",
        Budget::Token,
    ),
    Route::oauth(Endpoint::Par, "par", "/oauth/par", Budget::Token),
    Route::oauth(Endpoint::Register, "register", "/oauth/register", Budget::Register),
    Route::oauth(Endpoint::Revoke, "revoke", "/oauth/revoke", Budget::Token),
    Route::oauth(Endpoint::Token, "token", "/oauth/token", Budget::Token),
    Route::signal(Endpoint::BackchannelLogout, "backchannel_logout", "/oauth/backchannel_logout/{connector}"),
    Route::signal(
        Endpoint::GlobalTokenRevocation,
        "global_token_revocation",
        "/oauth/global_token_revocation/{connector}",
    ),
    Route::signal(Endpoint::SecurityEvents, "security_events", "/oauth/security_events/{connector}"),
    Route::server(Endpoint::Introspect, "introspect", "/oauth/introspect", POST),
    Route::server(Endpoint::Revocations, "revocations", "/oauth/revocations", GET_ONLY),
    Route::document(Endpoint::Jwks, "jwks", "/oauth/jwks"),
    Route::document(
        Endpoint::AuthorizationServerMetadata,
        "authorization_server_metadata",
        "/.well-known/oauth-authorization-server",
    ),
    Route::document(
        Endpoint::OpenidConfiguration,
        "openid_configuration",
        "/.well-known/openid-configuration",
    ),
    Route::document(
        Endpoint::ProtectedResourceMetadata,
        "protected_resource_metadata",
        "/.well-known/oauth-protected-resource/{server}/mcp",
    ),
    Route::probe(Endpoint::AcmeChallenge, "acme_challenge", "/.well-known/acme-challenge/{token}"),
    Route::probe(Endpoint::Health, "healthz", "/healthz"),
    Route::probe(Endpoint::Ready, "readyz", "/readyz"),
];

/// The `{server}` of an MCP endpoint's path, if the path is one.
///
/// The name has the letters that a name may have, so a path in any other spelling is simply another path.
pub(crate) fn mcp_server(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.strip_suffix("/mcp").filter(|name| is_name(name))
}

/// Whether this may be the name of a server or connector (product.md: `[a-z][a-z0-9-]{0,30}`).
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.len() <= 31
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_path_and_no_name_stands_twice() {
        let all = || ROUTES.iter().chain([&MCP]);
        assert_eq!(all().map(|route| route.path).collect::<HashSet<_>>().len(), ROUTES.len() + 1);
        assert_eq!(all().map(|route| route.name).collect::<HashSet<_>>().len(), ROUTES.len() + 1);
    }

    #[test]
    fn scripts_may_read_no_page_and_browsers_bring_no_cookie_to_anything_else() {
        for route in ROUTES.iter().chain([&MCP]) {
            let page = route.shape == Shape::Page;
            assert!(!(route.cors && page), "{}: a page must not take part in CORS (P-22)", route.name);
            assert!(route.access != Access::Browser || page, "{}: cookies are for pages", route.name);
            assert!(route.access != Access::Bearer || route.shape == Shape::Call, "{}", route.name);
        }
    }

    #[test]
    fn whatever_costs_something_draws_on_a_budget() {
        for route in &ROUTES {
            let costs = route.methods.contains(&Method::POST)
                || matches!(route.access, Access::Browser | Access::Server);
            assert_eq!(costs, route.budget.is_some(), "{}", route.name);
        }
    }

    #[test]
    fn only_the_canonical_spelling_of_an_mcp_endpoint_is_one() {
        assert_eq!(mcp_server("/git-hub2/mcp"), Some("git-hub2"));
        let others = [
            "/github/mcp/",
            "//github/mcp",
            "/github//mcp",
            "/GitHub/mcp",
            "/github/MCP",
            "/git%68ub/mcp",
            "/github/mcp;x",
            "/github;x/mcp",
            "/a/b/mcp",
            "/mcp",
            "//mcp",
            "/../mcp",
            "/%2e%2e/mcp",
            "/a%2fb/mcp",
            "/2a/mcp",
            "/a.b/mcp",
            "/github/%6dcp",
            "github/mcp",
            "",
            "/",
            "/aaaaaaaaaabbbbbbbbbbccccccccccdd/mcp",
        ];
        for path in others {
            assert_eq!(mcp_server(path), None, "{path}");
        }
    }
}
