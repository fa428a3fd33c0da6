//! Its authorization server: the code flow, refresh tokens that turn, registration, revocation, ID-JAGs and exchanges. Strict: what
//! a client may not leave out is refused.

use std::collections::HashMap;

use protocol::oauth::{CodeChallenge, CodeVerifier, TokenEndpointAuthMethod};
use serde_json::{Value, json};
use url::Url;

use super::{Access, Asked, Client, Code, Desk, Held, Knows, Refresh, Reply, basic, claims, lock};
use crate::http::Http;

const ID_JAG: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

type Fields = HashMap<String, String>;

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// For whom a token is.
struct For<'a> {
    client_id: &'a str,
    family: usize,
    person: &'a str,
    scope: &'a str,
    refresh: bool,
}

impl Desk {
    pub(super) async fn authorize(&self, asked: &Asked) -> Reply {
        let query = &asked.query;
        let client_id = field(query, "client_id");
        if self.knows == Knows::Documents
            && let Some(client) = document(client_id).await
        {
            lock(&self.held).clients.insert(client_id.to_owned(), client);
        }
        let mut held = lock(&self.held);
        let redirect_uri = field(query, "redirect_uri").to_owned();
        let fits = held.clients.get(client_id).is_some_and(|client| {
            client.redirect_uris.is_empty() || client.redirect_uris.contains(&redirect_uri)
        });
        let Some(mut back) = Url::parse(&redirect_uri).ok().filter(|_| fits) else {
            return Reply::status(400);
        };
        let challenge = field(query, "code_challenge");
        let is_whole =
            CodeChallenge::parse(challenge, query.get("code_challenge_method").map(String::as_str)).is_ok()
                && field(query, "response_type") == "code"
                && field(query, "resource") == format!("{}/mcp", self.origin)
                && !field(query, "state").is_empty();
        if !is_whole {
            return Reply::status(400);
        }
        let outcome = match held.refusal {
            Some(error) => ("error", error.to_owned()),
            None => ("code", held.code(query, &redirect_uri)),
        };
        {
            let mut pairs = back.query_pairs_mut();
            pairs.append_pair(outcome.0, &outcome.1).append_pair("state", field(query, "state"));
            match held.iss.as_deref() {
                Some("") => {}
                iss => drop(pairs.append_pair("iss", iss.unwrap_or(&self.origin))),
            }
        }
        Reply { headers: vec![("location", back.into())], ..Reply::status(302) }
    }

    pub(super) fn register(&self, asked: &Asked) -> Reply {
        let metadata: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let Some(uris) = metadata["redirect_uris"].as_array().filter(|uris| !uris.is_empty()) else {
            return Reply::error(400, "invalid_redirect_uri");
        };
        let method = metadata["token_endpoint_auth_method"].as_str();
        let Some(method) = method.and_then(TokenEndpointAuthMethod::parse) else {
            return Reply::error(400, "invalid_client_metadata");
        };
        let mut held = lock(&self.held);
        held.counts.registrations += 1;
        let id = format!("registered-{}", held.counts.registrations);
        let secret = (method != TokenEndpointAuthMethod::None).then(|| held.mint("client-secret"));
        let redirect_uris = uris.iter().filter_map(|uri| uri.as_str().map(str::to_owned)).collect();
        held.clients.insert(id.clone(), Client { secret: secret.clone(), method, redirect_uris });
        let mut answer = metadata;
        answer["client_id"] = id.into();
        answer["client_secret"] = secret.into();
        answer["client_secret_expires_at"] = 0.into();
        Reply::json(201, &answer)
    }

    pub(super) async fn token(&self, asked: &Asked) -> Reply {
        let form = asked.form();
        let (delay, gate, instead) = {
            let mut held = lock(&self.held);
            let gate = held.gate.clone().filter(|_| field(&form, "grant_type") != "authorization_code");
            held.token_requests.push(form.clone());
            (held.delay, gate, held.token_answers.pop_front())
        };
        self.came.notify_waiters();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(gate) = gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        if let Some((status, answer)) = instead {
            return Reply::json(status, &answer);
        }
        let mut held = lock(&self.held);
        let granted = self.grant(&mut held, &form, asked);
        if granted.status != 200 {
            held.counts.refused += 1;
        }
        granted
    }

    fn grant(&self, held: &mut Held, form: &Fields, asked: &Asked) -> Reply {
        let Some(client_id) = held.authenticated(form, asked, self.clock.now().secs()) else {
            return Reply::error(401, "invalid_client");
        };
        if field(form, "resource") != format!("{}/mcp", self.origin) {
            return Reply::error(400, "invalid_target");
        }
        match field(form, "grant_type") {
            "authorization_code" => self.redeem(held, form, &client_id),
            "refresh_token" => self.refresh(held, form, &client_id),
            ID_JAG if self.knows == Knows::IdJag => {
                let claims = claims(field(form, "assertion"));
                let is_ours = claims["aud"] == self.origin && claims["client_id"] == client_id.as_str();
                let person = claims["sub"].as_str().filter(|_| is_ours);
                self.at_once(held, person, form, &client_id)
            }
            EXCHANGE => {
                let claims = claims(field(form, "subject_token"));
                let lives = claims["exp"].as_i64().is_some_and(|exp| exp > self.clock.now().secs());
                let person = claims["sub"].as_str().filter(|_| lives && claims["aud"] == self.origin);
                let mut reply = self.at_once(held, person, form, &client_id);
                if reply.status == 200 {
                    let mut answer: Value = serde_json::from_str(&reply.body).unwrap_or_default();
                    answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token".into();
                    reply.body = answer.to_string();
                }
                reply
            }
            _ => Reply::error(400, "unsupported_grant_type"),
        }
    }

    fn redeem(&self, held: &mut Held, form: &Fields, client_id: &str) -> Reply {
        let Some(code) = held.codes.get(field(form, "code")).cloned() else {
            return Reply::error(400, "invalid_grant");
        };
        if code.used {
            held.counts.reuses += 1;
            held.end(&[code.family]);
            return Reply::error(400, "invalid_grant");
        }
        let verifier = CodeVerifier::parse(field(form, "code_verifier")).ok();
        let challenge = CodeChallenge::parse(&code.challenge, Some("S256")).ok();
        let answers =
            verifier.zip(challenge).is_some_and(|(verifier, challenge)| challenge.is_answered_by(&verifier));
        if !answers || code.client_id != client_id || code.redirect_uri != field(form, "redirect_uri") {
            return Reply::error(400, "invalid_grant");
        }
        if let Some(code) = held.codes.get_mut(field(form, "code")) {
            code.used = true;
        }
        held.counts.codes += 1;
        let (family, person, scope) = (code.family, code.person.as_str(), code.scope.as_str());
        self.tokens(held, &For { client_id, family, person, scope, refresh: true })
    }

    fn refresh(&self, held: &mut Held, form: &Fields, client_id: &str) -> Reply {
        let presented = field(form, "refresh_token");
        let Some(one) = held.refresh.get(presented).filter(|one| one.client_id == client_id).cloned() else {
            return Reply::error(400, "invalid_grant");
        };
        if one.used {
            held.counts.reuses += 1;
            held.end(&[one.family]);
        }
        if one.used || held.families.get(&one.family) != Some(&true) {
            return Reply::error(400, "invalid_grant");
        }
        if let Some(one) = held.refresh.get_mut(presented) {
            one.used = true;
        }
        held.counts.refreshes += 1;
        let (family, person, scope) = (one.family, one.person.as_str(), one.scope.as_str());
        self.tokens(held, &For { client_id, family, person, scope, refresh: true })
    }

    /// Without a browser, and without a refresh token.
    fn at_once(&self, held: &mut Held, person: Option<&str>, form: &Fields, client_id: &str) -> Reply {
        let Some(person) = person else { return Reply::error(400, "invalid_grant") };
        let family = held.family();
        held.counts.exchanges += 1;
        self.tokens(held, &For { client_id, family, person, scope: field(form, "scope"), refresh: false })
    }

    fn tokens(&self, held: &mut Held, to: &For<'_>) -> Reply {
        let scope = held.granted.clone().unwrap_or_else(|| to.scope.to_owned());
        let access = held.mint("access");
        let ends = self.clock.now().plus(held.lifetime);
        let (family, person) = (to.family, to.person.to_owned());
        held.access
            .insert(access.clone(), Access { ends, family, person: person.clone(), scope: scope.clone() });
        let mut answer = json!({"access_token": access, "token_type": "Bearer",
            "expires_in": held.lifetime.as_secs(), "scope": scope});
        if to.refresh {
            let text = held.mint("refresh");
            let client_id = to.client_id.to_owned();
            held.refresh.insert(text.clone(), Refresh { client_id, family, person, scope, used: false });
            answer["refresh_token"] = text.into();
        }
        for (name, value) in &held.token_members {
            answer[name] = value.clone();
        }
        Reply::json(200, &answer)
    }

    pub(super) fn revoke(&self, asked: &Asked) -> Reply {
        let form = asked.form();
        let mut held = lock(&self.held);
        if let Some(status) = held.revocation_answers.pop_front() {
            return Reply::status(status);
        }
        if held.refuses_revocations || held.authenticated(&form, asked, self.clock.now().secs()).is_none() {
            return Reply::error(401, "invalid_client");
        }
        held.counts.revocations += 1;
        let token = field(&form, "token");
        let family = held.refresh.get(token).map(|one| one.family);
        let family = family.or_else(|| held.access.get(token).map(|one| one.family));
        let person =
            held.refresh.values().find(|one| Some(one.family) == family).map(|one| one.person.clone());
        let all = held.refresh.values().filter(|one| Some(&one.person) == person.as_ref());
        let all: Vec<_> = all.map(|one| one.family).filter(|_| held.revokes_all).collect();
        held.end(&all);
        held.end(family.as_slice());
        Reply::status(200)
    }
}

impl Held {
    pub(super) fn family(&mut self) -> usize {
        let family = self.families.len();
        self.families.insert(family, true);
        family
    }

    fn code(&mut self, query: &Fields, redirect_uri: &str) -> String {
        self.counts.authorizations += 1;
        let family = self.family();
        let text = self.mint("code");
        let code = Code {
            challenge: field(query, "code_challenge").to_owned(),
            client_id: field(query, "client_id").to_owned(),
            family,
            person: self.person.clone(),
            redirect_uri: redirect_uri.to_owned(),
            scope: field(query, "scope").to_owned(),
            used: false,
        };
        self.codes.insert(text.clone(), code);
        text
    }

    /// The client, by the one method that it registered.
    fn authenticated(&mut self, form: &Fields, asked: &Asked, now: i64) -> Option<String> {
        let in_header = basic(asked.header("authorization"));
        let id = in_header.as_ref().map_or_else(|| form.get("client_id"), |(id, _)| Some(id))?;
        let client = self.clients.get(id)?;
        let in_form = form.get("client_secret");
        let good = match client.method {
            TokenEndpointAuthMethod::ClientSecretBasic => {
                in_form.is_none() && in_header.as_ref().map(|(_, secret)| secret) == client.secret.as_ref()
            }
            TokenEndpointAuthMethod::ClientSecretPost => {
                in_header.is_none() && in_form == client.secret.as_ref()
            }
            TokenEndpointAuthMethod::None => in_header.is_none() && in_form.is_none(),
            TokenEndpointAuthMethod::PrivateKeyJwt => {
                let proof = (field(form, "client_assertion_type"), field(form, "client_assertion"));
                let keys = self.client_keys.as_mut().filter(|_| in_header.is_none() && in_form.is_none());
                keys.is_some_and(|keys| keys.take(id, proof, now))
            }
        };
        good.then(|| id.clone())
    }
}

/// A client ID metadata document, fetched from where the id says that it is.
async fn document(client_id: &str) -> Option<Client> {
    let answer = Http::default().get(client_id, &[("accept", "application/json")]).await.ok()?;
    let document = answer.json();
    let is_it = answer.status == 200 && document["client_id"] == client_id;
    let uris = document["redirect_uris"].as_array().filter(|_| is_it)?;
    Some(Client {
        secret: None,
        method: TokenEndpointAuthMethod::None,
        redirect_uris: uris.iter().filter_map(|uri| uri.as_str().map(str::to_owned)).collect(),
    })
}
