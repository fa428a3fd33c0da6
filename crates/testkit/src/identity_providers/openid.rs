//! Those that speak OpenID Connect, and where each departs from it. Read on 2026-11-26:
//!
//! - Okta: developer.okta.com/docs/reference/api/oidc/ – endpoints below `/oauth2/v1` of the org and `/oauth2/{id}/v1` of a
//!   custom authorization server; an ID token that comes beside an access token has the base claims alone, the rest is at
//!   userinfo; a scope that the server does not define is `invalid_scope`; 401 `invalid_client`.
//!   Cross App Access: developer.okta.com/docs/guides/ai-agent-token-exchange and /docs/guides/xaa-validate-id-jag – the org
//!   server exchanges an ID token of the client's own for an ID-JAG (RFC 8693), `token_type` `N_A`, five minutes; an app
//!   connection must have been made for client, audience and resource, or it is `invalid_target`; the `client_id` in it is the
//!   one that the connection names at the resource app; `sub` is the person's.
//! - Google: developers.google.com/identity/openid-connect/openid-connect – `hd` of the request only suggests, `hd` of the token
//!   is there for accounts of organisations alone; the callback carries `scope`, `authuser`, `prompt` and `hd` besides.
//!   developers.google.com/admin-sdk/directory/reference/rest/v1/groups/list – `userKey`, `pageToken`, at most 200 a page;
//!   developers.google.com/identity/protocols/oauth2/service-account – the assertion with `sub`.
//! - Entra: learn.microsoft.com/entra/identity-platform/id-token-claims-reference, /v2-oauth2-auth-code-flow and
//!   /access-tokens – the discovery document of `organizations` has `{tenantid}` in its issuer, keys may be marked with an
//!   issuer, `email` is whatever stands in the directory, above 200 groups there is a pointer; `resource` beside `scope` is
//!   refused (AADSTS9010010). learn.microsoft.com/graph/api/directoryobject-getmemberobjects.
//! - Keycloak: www.keycloak.org/securing-apps/oidc-layers – `/realms/{realm}/protocol/openid-connect/…`; `iss` and
//!   `session_state` in the callback.
//! - Auth0: auth0.com/docs/api/authentication – the issuer ends with a slash; a wrong secret is 401 `access_denied`, a code
//!   that is not good 403 `invalid_grant`; `org_id` only if `organization` was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::world::Clock as _;
use serde_json::{Map, Value, json};
use tokio::sync::SemaphorePermit;

use super::{Asked, Brand, CLIENT_ID, CLIENT_SECRET, Code, Desk, Held, Reply};

const OVERAGE: usize = 200;
const PRIVATE_MICROSOFT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// The paths of one provider.
pub(super) struct Place {
    issuer: String,
    discovery: String,
    authorize: String,
    pub(super) token: String,
    keys: String,
    userinfo: String,
}

impl Place {
    pub(super) fn of(brand: Brand) -> Self {
        let below = |issuer: &str, base: &str, [authorize, token, keys, userinfo]: [&str; 4]| Self {
            issuer: issuer.to_owned(),
            discovery: format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')),
            authorize: format!("{base}/{authorize}"),
            token: format!("{base}/{token}"),
            keys: format!("{base}/{keys}"),
            userinfo: format!("{base}/{userinfo}"),
        };
        let microsoft = |tenant: &str| {
            let paths =
                ["oauth2/v2.0/authorize", "oauth2/v2.0/token", "discovery/v2.0/keys", "oidc/userinfo"];
            below(&format!("/{tenant}/v2.0"), &format!("/{tenant}"), paths)
        };
        match brand {
            Brand::Auth0 => below("/", "", ["authorize", "oauth/token", ".well-known/jwks.json", "userinfo"]),
            Brand::Entra => microsoft(super::TENANTS[0]),
            Brand::EntraOfSeveral => microsoft("organizations"),
            Brand::Google => below("", "", ["o/oauth2/v2/auth", "token", "oauth2/v3/certs", "v1/userinfo"]),
            Brand::Keycloak => below(
                "/realms/staff",
                "/realms/staff/protocol/openid-connect",
                ["auth", "token", "certs", "userinfo"],
            ),
            Brand::OktaCustom => {
                below("/oauth2/default", "/oauth2/default/v1", ["authorize", "token", "keys", "userinfo"])
            }
            Brand::Atlassian | Brand::GitHub | Brand::GitHubApp | Brand::Okta => {
                below("", "/oauth2/v1", ["authorize", "token", "keys", "userinfo"])
            }
        }
    }
}

pub(super) fn answer(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    let place = Place::of(desk.brand);
    match asked.path.as_str() {
        path if path == place.discovery => discovery(desk, &place),
        path if path == place.authorize => authorize(desk, held, asked),
        path if path == place.token => token(desk, held, asked),
        path if path == place.keys => keys(desk),
        path if path == place.userinfo && held.tokens.iter().any(|token| token == asked.bearer()) => {
            Reply::json(200, &held.person)
        }
        path if path == place.userinfo => Reply::status(401),
        "/v1.0/me/getMemberObjects" => graph(held, asked),
        "/admin/directory/v1/groups" => google_directory(held, asked),
        _ => Reply::status(404),
    }
}

fn discovery(desk: &Desk, place: &Place) -> Reply {
    let url = &desk.url;
    let said = match desk.brand {
        Brand::EntraOfSeveral => "/{tenantid}/v2.0",
        Brand::Atlassian
        | Brand::Auth0
        | Brand::Entra
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Google
        | Brand::Keycloak
        | Brand::Okta
        | Brand::OktaCustom => &place.issuer,
    };
    let mut document = json!({
        "issuer": format!("{url}{said}"),
        "authorization_endpoint": format!("{url}{}", place.authorize),
        "token_endpoint": format!("{url}{}", place.token),
        "jwks_uri": format!("{url}{}", place.keys),
        "userinfo_endpoint": format!("{url}{}", place.userinfo),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    match desk.brand {
        // Entra's document does not speak of PKCE, though it verifies it.
        Brand::Entra | Brand::EntraOfSeveral => {
            document["token_endpoint_auth_methods_supported"] =
                json!(["client_secret_post", "private_key_jwt"]);
        }
        Brand::Keycloak => {
            document["code_challenge_methods_supported"] = json!(["plain", "S256"]);
            document["authorization_response_iss_parameter_supported"] = json!(true);
        }
        Brand::Atlassian
        | Brand::Auth0
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Google
        | Brand::Okta
        | Brand::OktaCustom => document["code_challenge_methods_supported"] = json!(["S256"]),
    }
    Reply::json(200, &document)
}

fn keys(desk: &Desk) -> Reply {
    let mut key = desk.public_jwk();
    let mut keys = Vec::new();
    if matches!(desk.brand, Brand::Entra | Brand::EntraOfSeveral) {
        key["issuer"] = format!("{}/{{tenantid}}/v2.0", desk.url).into();
        let mut private = desk.public_jwk();
        private["kid"] = "key-of-private-accounts".into();
        private["issuer"] = format!("{}/{PRIVATE_MICROSOFT}/v2.0", desk.url).into();
        keys.push(private);
    }
    keys.push(key);
    Reply::json(200, &json!({ "keys": keys }))
}

/// The person is signed in and approved Sekisho long ago: back at once.
fn authorize(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    if asked.field("client_id") != CLIENT_ID || asked.field("response_type") != "code" {
        return Reply::status(400);
    }
    let refused = match desk.brand {
        Brand::OktaCustom if asked.field("scope").split(' ').any(|scope| scope == "groups") => {
            Some("invalid_scope")
        }
        Brand::Entra | Brand::EntraOfSeveral if asked.fields.contains_key("resource") => {
            Some("invalid_target")
        }
        Brand::Atlassian
        | Brand::Auth0
        | Brand::Entra
        | Brand::EntraOfSeveral
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Google
        | Brand::Keycloak
        | Brand::Okta
        | Brand::OktaCustom => None,
    };
    if let Some(error) = refused {
        held.callback = vec![("code".to_owned(), String::new()), ("error".to_owned(), error.to_owned())];
    }
    match desk.brand {
        Brand::Google => {
            let besides = [
                ("scope", "email profile openid"),
                ("authuser", "0"),
                ("hd", "acme.example"),
                ("prompt", "none"),
            ];
            desk.back(held, asked, &besides)
        }
        Brand::Keycloak => {
            let issuer = format!("{}/realms/staff", desk.url);
            desk.back(held, asked, &[("session_state", "a-session"), ("iss", &issuer)])
        }
        Brand::Atlassian
        | Brand::Auth0
        | Brand::Entra
        | Brand::EntraOfSeveral
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Okta
        | Brand::OktaCustom => desk.back(held, asked, &[]),
    }
}

fn token(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    if desk.brand == Brand::Google && asked.field("grant_type") != "authorization_code" {
        return service_account_token(desk, held, asked);
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let posted = (asked.field("client_id"), asked.field("client_secret")) == (CLIENT_ID, CLIENT_SECRET);
    if asked.header("authorization") != basic && !posted {
        let error = match desk.brand {
            Brand::Auth0 => "access_denied",
            Brand::Keycloak => "unauthorized_client",
            Brand::Atlassian
            | Brand::Entra
            | Brand::EntraOfSeveral
            | Brand::GitHub
            | Brand::GitHubApp
            | Brand::Google
            | Brand::Okta
            | Brand::OktaCustom => "invalid_client",
        };
        return Reply::json(401, &json!({"error": error, "error_description": "AADSTS7000215"}));
    }
    if asked.field("grant_type") == TOKEN_EXCHANGE {
        return cross_app_access(desk, held, asked);
    }
    if asked.field("grant_type") == "refresh_token" {
        return refreshed(desk, held, asked);
    }
    let verifier = asked.field("code_verifier");
    let Some(code) = desk.redeem(held, asked.field("code"), asked.field("redirect_uri"), verifier) else {
        let status = if desk.brand == Brand::Auth0 { 403 } else { 400 };
        return Reply::json(status, &json!({"error": "invalid_grant"}));
    };
    let access_token = desk.token(held, "access-");
    // Okta gives a refresh token if `offline_access` is asked for (developer.okta.com/docs/guides/refresh-tokens).
    let asked_scope = code.asked.get("scope").map(String::as_str).unwrap_or_default();
    let lasting = desk.brand == Brand::Okta && asked_scope.split(' ').any(|one| one == "offline_access");
    let refresh_token = lasting.then(|| desk.refresh_token(held, "okta-lasting-"));
    match desk.sign(held.key_id, &claims(desk, held, &code)) {
        Ok(id_token) => {
            let mut answer = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 3599,
                "id_token": id_token});
            if let Some(refresh_token) = refresh_token {
                answer["refresh_token"] = refresh_token.into();
            }
            Reply::json(200, &answer)
        }
        Err(_) => Reply::status(500),
    }
}

/// An exchange is told of, and waits, if it is to.
pub(super) async fn hold_up(desk: &Desk, asked: &Asked) {
    let gate = desk.held().exchanges.clone().filter(|_| asked.field("grant_type") == TOKEN_EXCHANGE);
    if let Some([came, go]) = gate {
        came.add_permits(1);
        go.acquire().await.map(SemaphorePermit::forget).unwrap_or_default();
    }
}

/// Okta turns a refresh token where the app is set so: the old one is good for nothing.
fn refreshed(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    if !Desk::exchange(held, asked.field("refresh_token")) {
        return Reply::json(400, &json!({"error": "invalid_grant"}));
    }
    let access_token = desk.token(held, "access-");
    let refresh_token = desk.refresh_token(held, "okta-turned-");
    Reply::json(
        200,
        &json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 3599,
            "refresh_token": refresh_token}),
    )
}

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Whom the exchange is about: of an ID token, or of a refresh token of this client, which stays good.
fn subject_of(desk: &Desk, held: &Held, asked: &Asked) -> Option<Value> {
    let presented = asked.field("subject_token");
    match asked.field("subject_token_type") {
        "urn:ietf:params:oauth:token-type:id_token" => desk.own(presented),
        "urn:ietf:params:oauth:token-type:refresh_token" => {
            let is_known = held.refresh_tokens.iter().any(|known| known == presented);
            let (now, issuer) =
                (desk.clock.now().secs(), format!("{}{}", desk.url, Place::of(desk.brand).issuer));
            // The same as of an ID token that is given now.
            is_known
                .then(|| json!({"iss": issuer, "aud": CLIENT_ID, "exp": now + 60, "sub": held.person["sub"]}))
        }
        _ => None,
    }
}

/// An ID-JAG for an ID token of this client, where the administrator connected the apps.
fn cross_app_access(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    let refused = |error: &str| Reply::json(400, &json!({"error": error, "error_description": "refused"}));
    let supports = matches!(desk.brand, Brand::Okta | Brand::OktaCustom);
    if !supports || asked.field("requested_token_type") != ID_JAG {
        return refused("unsupported_grant_type");
    }
    let Some(subject) = subject_of(desk, held, asked) else { return refused("invalid_grant") };
    let (now, issuer) = (desk.clock.now().secs(), format!("{}{}", desk.url, Place::of(desk.brand).issuer));
    let lives = subject["exp"].as_i64().is_some_and(|exp| exp > now);
    if subject["iss"] != issuer.as_str() || subject["aud"] != CLIENT_ID || !lives {
        return refused("invalid_grant");
    }
    let (audience, resource) = (asked.field("audience"), asked.field("resource"));
    let Some(connection) = held
        .connections
        .iter()
        .find(|one| one.audience == audience && one.resources.iter().any(|known| known == resource))
    else {
        return refused("invalid_target");
    };
    let asked_for = asked.field("scope").split(' ').filter(|scope| !scope.is_empty());
    let scope: Vec<&str> =
        asked_for.filter(|scope| connection.scopes.iter().any(|known| known == scope)).collect();
    if scope.is_empty() && !asked.field("scope").is_empty() {
        return refused("invalid_scope");
    }
    let scope = scope.join(" ");
    let mut claims = json!({
        "iss": issuer, "sub": subject["sub"], "aud": audience, "client_id": connection.client_id,
        "jti": format!("id-jag {} of {}", held.given, desk.url), "iat": now, "exp": now + 300, "resource": resource,
        "scope": scope, "email": held.person["email"], "email_verified": held.person["email_verified"],
        "auth_time": now,
    });
    held.given += 1;
    for (name, value) in &held.assertion_lies {
        claims[name] = value.clone();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    match desk.sign_as(held.assertion_type, held.key_id, &claims) {
        Ok(id_jag) => Reply::json(
            200,
            &json!({
                "access_token": id_jag, "issued_token_type": ID_JAG, "token_type": "N_A", "expires_in": 300,
                "scope": scope,
            }),
        )
        .with("cache-control", "no-store"),
        Err(_) => Reply::status(500),
    }
}

fn claims(desk: &Desk, held: &Held, code: &Code) -> Value {
    let now = desk.clock.now().secs();
    let person = held.person.as_object().cloned().unwrap_or_default();
    let text = |name: &str| person.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut claims = match desk.brand {
        // Thin, because an access token comes with it.
        Brand::Okta | Brand::OktaCustom => Map::from_iter([("sub".to_owned(), json!(text("sub")))]),
        Brand::Entra | Brand::EntraOfSeveral => microsoft(&person),
        Brand::Atlassian
        | Brand::Auth0
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Google
        | Brand::Keycloak => person.clone(),
    };
    if desk.brand == Brand::Auth0 && !code.asked.contains_key("organization") {
        claims.remove("org_id");
    }
    let issuer = match desk.brand {
        Brand::EntraOfSeveral => format!("/{}/v2.0", text("tid")),
        Brand::Atlassian
        | Brand::Auth0
        | Brand::Entra
        | Brand::GitHub
        | Brand::GitHubApp
        | Brand::Google
        | Brand::Keycloak
        | Brand::Okta
        | Brand::OktaCustom => Place::of(desk.brand).issuer,
    };
    let honest = [
        ("iss", json!(format!("{}{issuer}", desk.url))),
        ("aud", json!(CLIENT_ID)),
        ("iat", json!(now)),
        ("exp", json!(now + 3600)),
        ("nonce", json!(code.nonce)),
    ];
    claims.extend(honest.map(|(name, value)| (name.to_owned(), value)));
    claims.extend(held.lies.clone());
    claims.retain(|_, value| !value.is_null());
    Value::Object(claims)
}

/// Groups up to a number, then a pointer to them.
fn microsoft(person: &Map<String, Value>) -> Map<String, Value> {
    let mut claims = person.clone();
    let many = person.get("groups").and_then(Value::as_array).is_some_and(|groups| groups.len() > OVERAGE);
    if many {
        claims.remove("groups");
        let endpoint = "https://graph.microsoft.com/v1.0/users/someone/getMemberObjects";
        claims.insert("_claim_names".to_owned(), json!({"groups": "src1"}));
        claims.insert("_claim_sources".to_owned(), json!({"src1": {"endpoint": endpoint}}));
    }
    claims.insert("ver".to_owned(), json!("2.0"));
    claims
}

fn graph(held: &Held, asked: &Asked) -> Reply {
    if !held.tokens.iter().any(|token| token == asked.bearer()) {
        return Reply::json(401, &json!({"error": {"code": "InvalidAuthenticationToken"}}));
    }
    if asked.method != http::Method::POST || asked.json()["securityEnabledOnly"].as_bool().is_none() {
        return Reply::json(400, &json!({"error": {"code": "BadRequest"}}));
    }
    Reply::json(200, &json!({"@odata.context": "x", "value": held.person["groups"]}))
}

const DIRECTORY: &str = "https://www.googleapis.com/auth/admin.directory.group.readonly";

fn service_account_token(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    let account = desk.account.as_ref();
    let believed = account.and_then(|account| {
        account.believes(asked.field("assertion"), DIRECTORY, Some("admin@acme.example"))
    });
    match believed {
        Some(()) => {
            let token = desk.token(held, "directory-");
            Reply::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599}))
        }
        None => Reply::json(401, &json!({"error": "unauthorized_client"})),
    }
}

fn google_directory(held: &Held, asked: &Asked) -> Reply {
    let token = asked.bearer();
    if !token.starts_with("directory-") || !held.tokens.iter().any(|known| known == token) {
        return Reply::json(401, &json!({"error": {"code": 401}}));
    }
    if asked.field("userKey") != held.person["sub"] {
        return Reply::json(404, &json!({"error": {"code": 404, "errors": [{"reason": "notFound"}]}}));
    }
    let size = asked.field("maxResults").parse::<usize>().unwrap_or(200).min(200);
    let from = asked.field("pageToken").parse::<usize>().unwrap_or(0);
    let page: Vec<Value> = held
        .directory
        .iter()
        .skip(from)
        .take(size)
        .map(|email| json!({"email": email, "name": email}))
        .collect();
    let next = (from + size < held.directory.len()).then(|| (from + size).to_string());
    let mut answer = json!({"kind": "admin#directory#groups", "groups": page});
    if let Some(next) = next {
        answer["nextPageToken"] = next.into();
    }
    Reply::json(200, &answer)
}
