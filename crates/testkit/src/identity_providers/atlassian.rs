//! Atlassian, 3LO. Read on 2026-11-26 at developer.atlassian.com:
//!
//! - cloud/jira/platform/oauth-2-3lo-apps – `audience` and `prompt=consent` in the authorization request, the token request in
//!   JSON, an answer without `token_type` that cannot be told from one with it, `accessible-resources` by cloud id, which
//!   lists the sites for which a scope of their product was granted;
//! - cloud/oauth/getting-started/implementing-oauth-3lo and the User Identity API – `GET /me` with the scope `read:me`;
//! - the scope `offline_access` and rotating refresh tokens; one that is not good is 403 `unauthorized_client`;
//! - refused codes are 403 `invalid_grant`, a wrong secret is 401 `access_denied`.

use serde_json::{Value, json};

use super::{Asked, CLIENT_ID, CLIENT_SECRET, Desk, Held, Reply};

pub(super) fn answer(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        "/authorize" => {
            let known =
                asked.field("client_id") == CLIENT_ID && asked.field("audience") == "api.atlassian.com";
            if known { desk.back(held, asked, &[]) } else { Reply::status(400) }
        }
        "/oauth/token" => token(desk, held, asked),
        "/me" | "/oauth/token/accessible-resources" => api(held, asked),
        _ => Reply::status(404),
    }
}

fn token(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    let body = asked.json();
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if member("client_id") != CLIENT_ID || member("client_secret") != CLIENT_SECRET {
        return Reply::json(401, &json!({"error": "access_denied", "error_description": "Unauthorized"}));
    }
    if member("grant_type") == "refresh_token" {
        if !Desk::exchange(held, &member("refresh_token")) {
            let told = "refresh_token is invalid";
            return Reply::json(403, &json!({"error": "unauthorized_client", "error_description": told}));
        }
        return given(desk, held, "read:me read:jira-user offline_access");
    }
    let code = desk.redeem(held, &member("code"), &member("redirect_uri"), &member("code_verifier"));
    let Some(code) = code else {
        return Reply::json(
            403,
            &json!({"error": "invalid_grant", "error_description": "Invalid authorization code"}),
        );
    };
    let scope = code.asked.get("scope").cloned().unwrap_or_default();
    given(desk, held, &scope)
}

fn given(desk: &Desk, held: &mut Held, scope: &str) -> Reply {
    let token = desk.token(held, &format!("{} ", scope.replace(' ', "+")).replace(' ', "-"));
    let mut answer = json!({"access_token": token, "expires_in": 3600, "scope": scope});
    if scope.contains("offline_access") {
        answer["refresh_token"] = desk.refresh_token(held, "rotating-").into();
    }
    Reply::json(200, &answer)
}

fn api(held: &Held, asked: &Asked) -> Reply {
    let token = asked.bearer();
    if !held.tokens.iter().any(|known| known == token) {
        return Reply::json(401, &json!({"code": 401, "message": "Unauthorized"}));
    }
    if asked.path == "/me" {
        let mut me = held.person.clone();
        if let Some(me) = me.as_object_mut() {
            me.remove("sites");
        }
        let allowed = token.contains("read:me");
        return if allowed { Reply::json(200, &me) } else { Reply::json(403, &json!({"code": 403})) };
    }
    let sites = held.person["sites"].as_array().cloned().unwrap_or_default();
    let site = |id: &Value| json!({"id": id, "name": "a site", "url": "https://acme.atlassian.net", "scopes": ["read:jira-user"]});
    // Without a scope of the product there is no site.
    let listed: Vec<Value> =
        if token.contains("read:jira-user") { sites.iter().map(site).collect() } else { Vec::new() };
    Reply::json(200, &Value::Array(listed))
}
