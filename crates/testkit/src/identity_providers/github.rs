//! GitHub as a server of one's own has it (`/api/v3`). Read on 2026-11-26 at docs.github.com:
//!
//! - apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps – the endpoints, `scope` in the answer separated by commas,
//!   form-encoded unless `Accept` asks for JSON;
//! - apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors – errors with status 200;
//! - apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app – tokens that
//!   begin with `ghu_`, and no scopes; refreshing-user-access-tokens – they end, unless that was opted out of, and a refresh token
//!   beside them begins with `ghr_`; `bad_refresh_token`;
//! - rest/using-the-rest-api/getting-started-with-the-rest-api – a request without `User-Agent` is refused;
//! - rest/using-the-rest-api/using-pagination-in-the-rest-api – `Link` with `rel="next"`;
//! - rest/orgs/members, rest/teams/teams, rest/users/emails, rest/orgs/orgs.

use serde_json::{Value, json};

use super::{Asked, Brand, CLIENT_ID, CLIENT_SECRET, Desk, Held, ORGANIZATION, Reply};

pub(super) fn answer(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    match asked.path.as_str() {
        "/login/oauth/authorize" if asked.field("client_id") == CLIENT_ID => desk.back(held, asked, &[]),
        "/login/oauth/access_token" => token(desk, held, asked),
        path => match path.strip_prefix("/api/v3") {
            Some(path) => api(desk, held, asked, path),
            None => Reply::status(404),
        },
    }
}

fn token(desk: &Desk, held: &mut Held, asked: &Asked) -> Reply {
    // Whoever does not ask for JSON gets a form.
    if asked.header("accept") != "application/json" {
        return Reply { status: 200, headers: Vec::new(), body: "error=unsupported".to_owned() };
    }
    let refused = |error: &str| {
        let description = "what GitHub says of it, for whom it may concern";
        Reply::json(200, &json!({"error": error, "error_description": description, "error_uri": "/apps/x"}))
    };
    if asked.field("client_id") != CLIENT_ID || asked.field("client_secret") != CLIENT_SECRET {
        return refused("incorrect_client_credentials");
    }
    if asked.field("grant_type") == "refresh_token" {
        if !Desk::exchange(held, asked.field("refresh_token")) {
            return refused("bad_refresh_token");
        }
        return given(desk, held, "ghu_", "");
    }
    let verifier = asked.field("code_verifier");
    let Some(code) = desk.redeem(held, asked.field("code"), asked.field("redirect_uri"), verifier) else {
        return refused("bad_verification_code");
    };
    let (prefix, scope) = match desk.brand {
        Brand::GitHubApp => ("ghu_", String::new()),
        Brand::Atlassian
        | Brand::Auth0
        | Brand::Entra
        | Brand::EntraOfSeveral
        | Brand::GitHub
        | Brand::Google
        | Brand::Keycloak
        | Brand::Okta
        | Brand::OktaCustom => {
            ("gho_", code.asked.get("scope").map(|scope| scope.replace(' ', ",")).unwrap_or_default())
        }
    };
    given(desk, held, prefix, &scope)
}

fn given(desk: &Desk, held: &mut Held, prefix: &str, scope: &str) -> Reply {
    let token = desk.token(held, prefix);
    let mut answer = json!({"access_token": token, "scope": scope, "token_type": "bearer"});
    if desk.brand == Brand::GitHubApp {
        answer["refresh_token"] = desk.refresh_token(held, "ghr_").into();
        answer["expires_in"] = 28_800.into();
    }
    Reply::json(200, &answer)
}

fn api(desk: &Desk, held: &Held, asked: &Asked, path: &str) -> Reply {
    if asked.header("user-agent").is_empty() {
        return Reply {
            status: 403,
            headers: Vec::new(),
            body: "Request forbidden by administrative rules.".to_owned(),
        };
    }
    if path == format!("/orgs/{}", ORGANIZATION.0) {
        return Reply::json(200, &json!({"login": ORGANIZATION.0, "id": ORGANIZATION.1}));
    }
    if !held.tokens.iter().any(|token| token == asked.bearer()) {
        return Reply::json(401, &json!({"message": "Bad credentials", "status": "401"}));
    }
    let person = &held.person;
    match path {
        "/user" => Reply::json(
            200,
            &json!({"id": person["id"], "login": person["login"], "name": person["name"], "email": null, "type": "User"}),
        ),
        "/user/emails" => Reply::json(200, &person["emails"]),
        "/user/memberships/orgs" => page(desk, asked, &person["memberships"]),
        "/user/teams" => page(desk, asked, &person["teams"]),
        _ => Reply::json(404, &json!({"message": "Not Found"})),
    }
}

/// One page of a list, and where the next one is.
fn page(desk: &Desk, asked: &Asked, list: &Value) -> Reply {
    let size = asked.field("per_page").parse::<usize>().unwrap_or(30).min(100);
    let page = asked.field("page").parse::<usize>().unwrap_or(1).max(1);
    let all = list.as_array().cloned().unwrap_or_default();
    let part: Vec<Value> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
    let reply = Reply::json(200, &Value::Array(part));
    if page * size >= all.len() {
        return reply;
    }
    let next = format!("<{}{}?per_page={size}&page={}>; rel=\"next\"", desk.url, asked.path, page + 1);
    reply.with("link", &format!("{next}, <{}{}?page=9>; rel=\"last\"", desk.url, asked.path))
}
