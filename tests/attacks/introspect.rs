//! Introspection (attacks.md, 1.8) and the revocation feed (product.md, P-2): who may ask, about what, and how soon a
//! revocation is heard of.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use store::{AuditEvent, AuditKind, Revocation, RevocationKind};
use testkit::house::{Plan, introspection_secret};
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, tok400, tok401};

use crate::record;
use crate::steps::{Flow, basic, while_trying};

/// How long an MCP server may keep an answer (docs/verify-tokens-yourself.md).
const KEPT: Duration = Duration::from_secs(2);

/// Who asks, with which header and which fields.
type Stranger<'a> = (&'a str, Option<String>, Vec<(&'a str, &'a str)>);

impl Flow {
    /// Asks as an MCP server of the house.
    async fn introspect(&self, server: &str, token: &str) -> Result<Answer, String> {
        let credentials = basic(server, &introspection_secret(server));
        self.ask(&[("authorization", &credentials)], &[("token", token)]).await
    }

    async fn ask(&self, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Result<Answer, String> {
        self.house.http.post_form(&self.at("/oauth/introspect"), headers, fields).await
    }

    async fn is_active(&self, server: &str, token: &str) -> Result<bool, String> {
        let answer = self.introspect(server, token).await?;
        match answer.json() {
            said if said == json!({"active": false}) => Ok(false),
            said if said["active"] == true => Ok(true),
            _ => Err(format!("{} {}", answer.status, answer.text())),
        }
    }

    /// Reads the feed as an MCP server of the house.
    async fn feed(&self, server: &str, query: &str) -> Result<Answer, String> {
        let credentials = basic(server, &introspection_secret(server));
        let url = format!("{}?{query}", self.at("/oauth/revocations"));
        self.house.http.get(&url, &[("authorization", &credentials)]).await
    }

    /// What the feed tells after this cursor, and the next one.
    async fn heard(&self, cursor: &str) -> Result<(Vec<Value>, String), String> {
        let answer = self.feed(self.server, &format!("cursor={cursor}")).await?;
        let page = answer.json();
        let entries = page["revocations"].as_array().ok_or_else(|| answer.text())?.clone();
        Ok((entries, page["cursor"].as_str().ok_or("no cursor")?.to_owned()))
    }

    async fn stop(&self, kind: RevocationKind, id: &str) -> Verdict {
        use protocol::world::Clock as _;
        let now = self.house.clock.now();
        let expires_at = now.plus(Duration::from_secs(3600));
        let revocation = Revocation { kind, id: id.to_owned(), not_before: now, expires_at };
        let chance = testkit::world::TestEntropy::seeded(77);
        let event = AuditEvent::new(
            protocol::id::Id::mint(now, &chance),
            now,
            AuditKind::Stopped,
            store::Outcome::Ok,
        );
        store::Revocations::stop(&*self.house.store, revocation, event)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

/// AS-190: everybody who is no MCP server with its own secret is told the same, whatever the token.
#[tokio::test]
async fn in_01_nobody_but_an_mcp_server_of_the_house_is_answered() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let id = flow.client.client_id.clone();
    let right = introspection_secret("notes");
    let strangers: [Stranger<'_>; 9] = [
        ("no credentials", None, vec![]),
        ("a public client", None, vec![("client_id", &id)]),
        ("a known client", Some(basic("known-confidential", "secret-of-the-known-client")), vec![]),
        ("the name alone", None, vec![("client_id", "notes")]),
        ("no secret", Some(basic("notes", "")), vec![]),
        ("another's secret", Some(basic("ledger", &right)), vec![]),
        ("a guess", Some(basic("notes", &right[1..])), vec![]),
        ("a server that is not there", Some(basic("nothing", &right)), vec![]),
        ("a guess in the body", None, vec![("client_id", "notes"), ("client_secret", "x")]),
    ];
    for (who, header, mut fields) in strangers {
        fields.push(("token", &tokens.access));
        let headers: Vec<(&str, &str)> =
            header.as_deref().map(|value| ("authorization", value)).into_iter().collect();
        let answer = flow.ask(&headers, &fields).await?;
        tok401(&answer, header.is_some()).map_err(while_trying(who))?;
        assert!(!answer.text().contains("active"), "{who}: {}", answer.text());
        let url = flow.at("/oauth/revocations");
        let answer = flow.house.http.get(&url, &headers).await?;
        tok401(&answer, header.is_some()).map_err(while_trying(who))?;
    }
    // A person's own token is no credential, and neither is one in the URL.
    for bearer in [&tokens.access, &tokens.refresh] {
        let answer =
            flow.ask(&[("authorization", &format!("Bearer {bearer}"))], &[("token", &tokens.access)]).await?;
        tok401(&answer, false)?;
    }
    let escaped = right.replace(' ', "+");
    let url = format!("{}?client_id=notes&client_secret={escaped}&token=x", flow.at("/oauth/introspect"));
    let answer = flow.house.http.post_form(&url, &[], &[("token", &tokens.access)]).await?;
    tok401(&answer, false)?;
    let url = format!("{}?client_id=notes&client_secret={escaped}", flow.at("/oauth/revocations"));
    tok401(&flow.house.http.get(&url, &[]).await?, false)?;
    // By header and by body it is the same server; both at once is neither.
    let by_body = [("client_id", "notes"), ("client_secret", right.as_str()), ("token", &tokens.access)];
    assert_eq!(flow.ask(&[], &by_body).await?.json()["active"], true);
    let header = basic("notes", &right);
    tok400(&flow.ask(&[("authorization", &header)], &by_body).await?, "invalid_request")?;
    for fields in [&[][..], &[("token", "")], &[("token", "a"), ("token", "a")]] {
        tok400(&flow.ask(&[("authorization", &header)], fields).await?, "invalid_request")?;
    }
    for method in [Method::GET, Method::PUT] {
        let asked =
            request(method, &flow.at("/oauth/introspect"), &[("authorization", &header)], Bytes::new())?;
        assert_eq!(flow.house.http.send(asked).await?.status, 405);
    }
    flow.close().await
}

/// A wrong secret, however often, shuts nobody out who has the right one.
#[tokio::test]
async fn in_01_guessing_at_a_secret_does_not_shut_its_server_out() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    for guess in 0..200 {
        let header = basic("notes", &format!("a guess at the secret, number {guess}"));
        tok401(&flow.ask(&[("authorization", &header)], &[("token", &tokens.access)]).await?, true)?;
    }
    assert!(flow.is_active("notes", &tokens.access).await?);
    flow.close().await
}

/// AS-191, AS-192, AS-193.
#[tokio::test]
async fn in_02_a_server_learns_only_of_living_tokens_for_itself() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.login = "dario";
    let tokens = flow.tokens().await?;
    let answer = flow.introspect("notes", &tokens.access).await?;
    assert_eq!(answer.header("cache-control"), "no-store");
    let (said, claims) = (answer.json(), tokens.claims()?);
    for name in ["iss", "aud", "sub", "client_id", "grant_id", "scope", "iat", "exp"] {
        assert_eq!(said[name], claims[name], "{name}");
    }
    assert_eq!(said["groups"], json!(["engineering", "finance"]));
    assert_eq!((&said["username"], &said["token_type"]), (&"Dario Conti".into(), &"Bearer".into()));
    // The same person may use the ledger; a token for the notes still says nothing there.
    let foreign = flow.introspect("ledger", &tokens.access).await?;
    assert_eq!((foreign.status.as_u16(), foreign.text().as_str()), (200, r#"{"active":false}"#));
    let next = flow.lives(&tokens).await?;
    let cut = &tokens.access[..tokens.access.len() - 2];
    let unsigned = format!("{}.", tokens.access.rsplit_once('.').ok_or("no JWT")?.0);
    let others = [
        &tokens.refresh,
        &next.refresh,
        cut,
        &unsigned,
        "garbage",
        "a.b.c",
        &"x".repeat(60_000),
        "\u{1f6aa}",
    ];
    for token in others {
        let answer = flow.introspect("notes", token).await?;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"active":false}"#), "{token}");
    }
    flow.house.advance(Duration::from_secs(601)).await?;
    assert!(!flow.is_active("notes", &tokens.access).await?, "it is over");
    flow.close().await
}

#[tokio::test]
async fn in_02_the_token_of_a_person_who_is_gone_or_stopped_is_dead() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let user = tokens.claims()?["sub"].as_str().ok_or("no sub")?.to_owned();
    assert!(flow.is_active("notes", &tokens.access).await?);
    flow.stop(RevocationKind::User, &user).await?;
    assert!(!flow.is_active("notes", &tokens.access).await?);
    let mut flow = {
        flow.close().await?;
        Flow::new().await?
    };
    let tokens = flow.tokens().await?;
    record::tamper(&flow.house, "PRAGMA foreign_keys = OFF; DELETE FROM users")?;
    flow.house.advance(Duration::from_secs(31)).await?;
    assert!(!flow.is_active("notes", &tokens.access).await?);
    flow.close().await
}

/// The MCP server keeps answers for as long as it may, and asks another node than the one that heard of the revocation.
#[tokio::test]
async fn in_04_an_answer_that_was_kept_is_refused_within_t() -> Verdict {
    record::on_postgres(|url| kept(Plan { postgres: Some(url), ..Plan::default() })).await
}

async fn kept(plan: Plan) -> Verdict {
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    let second = flow.house.second_node().await?;
    let header = basic("notes", &introspection_secret("notes"));
    let (url, headers, fields) = (
        flow.at("/oauth/introspect"),
        [("authorization", header.as_str())],
        [("token", tokens.access.as_str())],
    );
    let ask = async || {
        let answer = second.http.post_form(&url, &headers, &fields).await;
        answer.map(|answer| answer.json()["active"] == true)
    };
    assert!(ask().await?);
    let revoked = flow.revoke(&[("client_id", &flow.client.client_id), ("token", &tokens.refresh)]).await?;
    assert_eq!(revoked.status, 200);
    // What was kept is good for this long at most; by then the other node has read the record, every 2 s.
    assert!(KEPT + Duration::from_secs(2) < Duration::from_secs(5));
    second.advance(KEPT).await?;
    assert!(!ask().await?);
    second.close().await?;
    flow.house.close().await
}

#[tokio::test]
async fn in_04_a_revocation_is_heard_of_at_once_where_it_was_made() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (before, cursor) = flow.heard("").await?;
    assert!(before.is_empty());
    assert!(flow.is_active("notes", &tokens.access).await?);
    flow.revoke(&[("client_id", &flow.client.client_id), ("token", &tokens.access)]).await?;
    assert!(!flow.is_active("notes", &tokens.access).await?);
    let (entries, cursor) = flow.heard(&cursor).await?;
    let claims = tokens.claims()?;
    assert_eq!((&entries[0]["kind"], &entries[0]["id"]), (&"grant".into(), &claims["grant_id"]));
    assert!(entries[0]["not_before"].as_i64() >= claims["iat"].as_i64());
    assert_eq!(flow.heard(&cursor).await?.0.len(), 0, "nothing is told twice");
    // Whoever comes with a cursor of another node or process is told everything, and that it is everything.
    for foreign in ["", "0123456789abcdef.1", "x", "-1", &format!("{cursor}9")] {
        let page = flow.feed("notes", &format!("cursor={foreign}")).await?.json();
        assert_eq!(
            (&page["reset"], page["revocations"].as_array().map(Vec::len)),
            (&true.into(), Some(1)),
            "{foreign}"
        );
    }
    flow.close().await
}

/// Whoever waits hears of it when it happens; and waits no longer than T.
#[tokio::test]
async fn in_04_whoever_waits_is_told_when_it_happens() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (_, cursor) = flow.heard("").await?;
    let query = format!("cursor={cursor}&wait=60");
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    let (told, revoked) = tokio::join!(flow.feed("notes", &query), flow.revoke(&fields));
    assert_eq!(revoked?.status, 200);
    assert_eq!(told?.json()["revocations"][0]["kind"], "grant");
    for malformed in ["wait=-1", "wait=x", "wait=1&wait=2", "cursor=a&cursor=b"] {
        tok400(&flow.feed("notes", malformed).await?, "invalid_request").map_err(while_trying(malformed))?;
    }
    flow.close().await
}

/// P-2: what names another resource is nobody else's business, and whoever knows too little says nothing.
#[tokio::test]
async fn in_04_a_node_that_knows_too_little_answers_nobody() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    flow.stop(RevocationKind::Resource, &flow.house.resource("ledger")).await?;
    assert_eq!(flow.heard("").await?.0.len(), 0);
    assert_eq!(flow.feed("ledger", "").await?.json()["revocations"].as_array().map(Vec::len), Some(1));
    record::tamper(&flow.house, "ALTER TABLE revocations RENAME TO away")?;
    flow.house.clock.advance(Duration::from_secs(6));
    for answer in [flow.feed("notes", "").await?, flow.introspect("notes", &tokens.access).await?] {
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (503, "temporarily_unavailable"));
        assert!(!answer.header("retry-after").is_empty());
    }
    record::tamper(&flow.house, "ALTER TABLE away RENAME TO revocations")?;
    flow.house.read().await?;
    assert!(flow.is_active("notes", &tokens.access).await?);
    flow.house.close().await
}
