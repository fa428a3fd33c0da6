//! People who do not allow all that is asked for at a provider: what they allowed is used, and what they did not is asked for
//! when a call needs it.

use http::StatusCode;
use serde_json::{Value, json};
use store::{AuditKind, Connections as _};
use testkit::http::Answer;
use testkit::remote_server::canary;

use super::connections::{Done, Scene, connect, link_in, text, token, user_of};

impl Scene {
    async fn write(&self) -> Result<Answer, String> {
        let tool = json!({"name": "write", "arguments": {"x": 1}});
        self.house.call("notes", &self.token, "tools/call", tool).await
    }

    /// What is in the record of the connection: what was granted, and what was not.
    async fn scopes(&self) -> Result<(String, String), String> {
        let user = user_of(self).await?;
        let found = self.house.store.find_connection(user, "notes").await.map_err(text)?;
        let found = found.ok_or("no connection")?;
        let missing = resource_server::missing_scope(&found).to_string();
        Ok((found.tokens.scope.unwrap_or_default(), missing))
    }

    /// What the page says that is asked for.
    async fn asked(&mut self, link: &str) -> Result<String, String> {
        Ok(self.browser.open(link).await?.page()?.words())
    }

    /// The person connects an account of which they allow only this.
    async fn allowing(only: Option<&str>) -> Result<Self, String> {
        let mut scene = Self::new().await?;
        scene.remote.change(|held| held.granted = only.map(str::to_owned));
        let link = scene.link().await?;
        connect(&mut scene.browser, &link).await?;
        Ok(scene)
    }
}

/// CL-036, CL-074, RS-171: what was un-ticked is recorded as not granted; what needs less works, what needs more is answered with
/// the link, and whoever allows it there has it.
#[tokio::test]
async fn cb_19_what_a_person_unticks_is_asked_for_when_a_call_needs_it() -> Done {
    let mut scene = Scene::allowing(Some("read")).await?;
    assert_eq!(scene.scopes().await?, ("read".to_owned(), "write".to_owned()));
    let page = format!("{}/account/connections", scene.house.issuer);
    assert!(scene.asked(&page).await?.contains("Not allowed there write"), "{}", scene.asked(&page).await?);
    assert!(scene.is("ada").await?);
    for _ in 0..3 {
        let told = scene.write().await?;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text());
        assert_eq!(told.json()["result"]["isError"], true, "{}", told.text());
        assert!(told.text().contains("needs more than you allowed"), "{}", told.text());
        assert!(
            told.header("www-authenticate").is_empty(),
            "the MCP server's own challenge is not for the client"
        );
    }
    let counts = scene.remote.counts();
    assert_eq!((counts.insufficient, counts.refreshes), (3, 0), "each was sent once");
    assert_eq!(scene.house.audit(AuditKind::ConnectionDead).await?.len(), 0);
    // They allow it now.
    let link = link_in(&scene.write().await?)?;
    let words = scene.asked(&link).await?;
    assert!(words.contains("read") && words.contains("write"), "{words}");
    scene.remote.change(|held| held.granted = None);
    connect(&mut scene.browser, &link).await?;
    assert_eq!(scene.scopes().await?, ("read write".to_owned(), String::new()));
    let done = scene.write().await?;
    assert!(done.status == StatusCode::OK && done.text().contains(&canary("ada")), "{}", done.text());
    scene.house.close().await
}

/// The client is asked in the way that it declared, as for a connection that is missing.
#[tokio::test]
async fn cb_19_a_client_that_takes_urls_is_put_the_question() -> Done {
    let scene = Scene::allowing(Some("read")).await?;
    let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "write", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
        },
    }});
    let bearer = format!("Bearer {}", scene.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "write"),
    ];
    let answer = scene.house.http.post_json(&scene.house.resource("notes"), &headers, &message).await?.json();
    let question = &answer["result"]["inputRequests"]["connect"]["params"];
    assert!(question["url"].as_str().unwrap_or_default().contains("/connect/notes?for="), "{answer}");
    scene.house.close().await
}

/// Nobody knows what will be needed: what the MCP server names only when it is called is asked for beside what was granted. What
/// it goes on to want though it was granted is not asked for again.
#[tokio::test]
async fn cb_19_what_nobody_named_before_is_asked_for_once() -> Done {
    let mut scene = Scene::allowing(None).await?;
    assert_eq!(scene.scopes().await?, ("read write".to_owned(), String::new()));
    scene.remote.change(|held| held.needs = "admin");
    let link = link_in(&scene.write().await?)?;
    assert_eq!(scene.scopes().await?, ("read write".to_owned(), "admin".to_owned()));
    let words = scene.asked(&link).await?;
    assert!(["read", "write", "admin"].iter().all(|scope| words.contains(scope)), "{words}");
    connect(&mut scene.browser, &link).await?;
    assert!(scene.write().await?.text().contains(&canary("ada")));
    // Somebody else's connection asks for nothing more than before.
    let mut other = scene.house.browser();
    let bob = token(&scene.house, &mut other, "bob").await?;
    let page = other.open(&link_in(&scene.house.echo("notes", &bob).await?)?).await?.page()?;
    assert!(!page.words().contains("admin"), "{}", page.words());
    // What is said to be granted and is refused all the same.
    let access = scene.remote.secrets();
    scene.remote.change(|held| held.narrow_all("read"));
    let refused = scene.write().await?;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (StatusCode::BAD_GATEWAY, &json!(-32603)));
    assert!(access.iter().all(|secret| !refused.text().contains(secret.as_str())));
    assert_eq!(refused.json()["result"], Value::Null);
    scene.house.close().await
}

/// Of two nodes one still holds what was given before: whoever has allowed more is not asked again.
#[tokio::test]
async fn cb_19_who_has_just_allowed_more_is_not_asked_again_at_another_node() -> Done {
    let mut scene = Scene::allowing(Some("read")).await?;
    let other = scene.house.second_node().await?;
    let tool = || json!({"name": "write", "arguments": {"x": 1}});
    let told = other.call("notes", &scene.token, "tools/call", tool()).await?;
    let link = link_in(&told)?;
    scene.remote.change(|held| held.granted = None);
    connect(&mut scene.browser, &link).await?;
    let done = other.call("notes", &scene.token, "tools/call", tool()).await?;
    assert!(done.text().contains(&canary("ada")), "{}", done.text());
    other.close().await?;
    scene.house.close().await
}
