use http::StatusCode;
use serde_json::Value;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::{Answer, Http};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, Running, http, text};

/// A house that was made under `localhost` and lives under `127.0.0.1` now.
struct Moved {
    folder: Folder,
    server: FakeMcpServer,
    old: String,
    new: String,
    client: TestClient,
    tokens: Value,
}

impl Moved {
    async fn new() -> Self {
        let server = FakeMcpServer::start().await.unwrap();
        let folder = Folder::new(&server.url);
        let old = folder.issuer.clone();
        let new = old.replace("localhost", "127.0.0.1");
        let running = folder.serve();
        let client = TestClient::register(&http(), &old, LOOPBACK_REDIRECT).await.unwrap();
        let mut browser = Browser::new(http());
        let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
        running.kill();
        let config = std::fs::read_to_string(folder.config()).unwrap();
        std::fs::write(folder.config(), config.replace(&old, &new)).unwrap();
        Self { folder, server, old, new, client, tokens }
    }

    fn list_until(&self, day: &str) {
        let config = std::fs::read_to_string(self.folder.config()).unwrap();
        let entry = format!("[[former_public_url]]\nurl = \"{}\"\naccepted_until = {day}\n", self.old);
        std::fs::write(self.folder.config(), format!("{config}{entry}")).unwrap();
    }

    fn serve(&self) -> Running {
        self.folder.serve()
    }

    /// The client at an issuer, with connections of its own.
    fn at(&self, issuer: &str) -> TestClient {
        TestClient { http: http(), issuer: issuer.to_owned(), ..self.client.clone() }
    }
}

async fn echo(http: &Http, issuer: &str, token: &Value) -> Answer {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    http.post(&format!("{issuer}/notes/mcp"), &headers, body).await.unwrap()
}

async fn document(issuer: &str, path: &str) -> Value {
    http().get(&format!("{issuer}{path}"), &[]).await.unwrap().json()
}

const SERVER: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource/notes/mcp";

/// P-23. Clients compare issuer and resource byte for byte with what they asked (RFC 8414, section 3.3; RFC 9728,
/// section 3.3): each name answers with its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_moved_answers_under_both_names_until_the_date() {
    let moved = Moved::new().await;
    moved.list_until("\"2999-12-31\"");
    let said = text(&moved.folder.run(&["check"]).stdout);
    assert!(said.contains(&moved.old) && said.contains("2999-12-31"), "{said}");
    let running = moved.serve();
    for issuer in [&moved.old, &moved.new] {
        assert_eq!(document(issuer, SERVER).await["issuer"], **issuer);
        let resource = document(issuer, RESOURCE).await;
        assert_eq!(resource["resource"], format!("{issuer}/notes/mcp"));
        assert_eq!(resource["authorization_servers"], serde_json::json!([issuer]));
        let challenge = http().post(&format!("{issuer}/notes/mcp"), &[], "{}").await.unwrap();
        assert!(challenge.header("www-authenticate").contains(&format!("{issuer}{RESOURCE}")));
        assert_eq!(echo(&http(), issuer, &moved.tokens["access_token"]).await.status, StatusCode::OK);
    }
    let old = moved.at(&moved.old).refresh(moved.tokens["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(old.status, StatusCode::OK, "{}", old.text());
    let new = moved.at(&moved.new).refresh(old.json()["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(new.status, StatusCode::OK, "{}", new.text());
    for (answer, issuer) in [(&old, &moved.old), (&new, &moved.new)] {
        let claims = claims(&answer.json()["access_token"]);
        assert_eq!(claims["iss"], **issuer);
        assert_eq!(claims["aud"], format!("{issuer}/notes/mcp"));
    }
    let client = TestClient::register(&http(), &moved.new, LOOPBACK_REDIRECT).await.unwrap();
    for issuer in [&moved.old, &moved.new] {
        let client = TestClient { issuer: issuer.clone(), ..client.clone() };
        let resource = format!("{issuer}/notes/mcp");
        let tokens = client.obtain_tokens(&mut Browser::new(http()), "bob", &resource).await.unwrap();
        assert_eq!(claims(&tokens["access_token"])["iss"], **issuer);
    }
    let fields = [
        ("token", moved.tokens["access_token"].as_str().unwrap()),
        ("client_id", moved.client.client_id.as_str()),
    ];
    let revoked = http().post_form(&format!("{}/oauth/revoke", moved.new), &[], &fields).await.unwrap();
    assert_eq!(revoked.status, StatusCode::OK);
    for issuer in [&moved.old, &moved.new] {
        let answer = echo(&http(), issuer, &new.json()["access_token"]).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "a grant that was ended is ended under every name"
        );
    }
    running.kill();
    let audit = moved.folder.run(&["audit", "--json", "--kind", "house_moved"]);
    assert_eq!(text(&audit.stdout).lines().count(), 1, "{}", text(&audit.stdout));
    assert!(moved.server.connections() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_date_the_old_name_is_a_strangers_and_the_grants_go_on_under_the_new_one() {
    let moved = Moved::new().await;
    moved.list_until("2020-01-01");
    let running = moved.serve();
    assert_eq!(document(&moved.new, SERVER).await["issuer"], moved.new);
    let stranger = http().get(&format!("{}{SERVER}", moved.old), &[]).await.unwrap();
    assert!(stranger.status.is_client_error(), "{}", stranger.status);
    for issuer in [&moved.old, &moved.new] {
        let answer = echo(&http(), issuer, &moved.tokens["access_token"]).await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", moved.tokens["refresh_token"].as_str().unwrap()),
        ("resource", &format!("{}/notes/mcp", moved.old)),
    ];
    let answer = moved.at(&moved.new).token(&fields).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let token = &answer.json()["access_token"];
    assert_eq!(claims(token)["aud"], format!("{}/notes/mcp", moved.new));
    assert_eq!(echo(&http(), &moved.new, token).await.status, StatusCode::OK);
    running.kill();
}

/// A grant keeps the resource that it was made for; the MCP server is the same, and so is what its operator stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_an_mcp_server_ends_the_grants_from_before_the_house_moved() {
    let moved = Moved::new().await;
    let plain = std::fs::read_to_string(moved.folder.config()).unwrap();
    moved.list_until("\"2999-12-31\"");
    moved.serve().kill();
    // Years later, nobody remembers the former name.
    std::fs::write(moved.folder.config(), plain).unwrap();
    let running = moved.serve();
    let client = moved.at(&moved.new);
    let refreshed = client.refresh(moved.tokens["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text());
    let stopped = moved.folder.run(&["stop", "--server", "notes", "--reason", "it lies"]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    let again = client.refresh(refreshed.json()["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!((again.status, again.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    running.kill();
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let bytes: Vec<u8> = data(payload);
    serde_json::from_slice(&bytes).unwrap()
}

/// Base64url without padding (RFC 7515, section 2).
fn data(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter).unwrap();
        bits = (bits << 6) | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}
