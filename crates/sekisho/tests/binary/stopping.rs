//! `sekisho stop` and `sekisho allow` beside a running Sekisho, and the runbooks that use them, done.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::{Answer, request};
use testkit::mcp_server::{FakeMcpServer, OpenStream};

use crate::process::{Folder, Running, http, text};
use crate::runbook::{commands, run};

/// T (product.md, P-2).
const T: Duration = Duration::from_secs(5);

struct Scene {
    folder: Folder,
    running: Running,
    server: FakeMcpServer,
    client: TestClient,
}

impl Scene {
    async fn new() -> Self {
        let server = FakeMcpServer::start().await.unwrap();
        let folder = Folder::new(&server.url);
        let running = folder.serve();
        let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
        Self { folder, running, server, client }
    }

    async fn sign_in(&self, login: &str) -> Result<Held, String> {
        let client = TestClient { http: http(), ..self.client.clone() };
        let mut browser = Browser::new(http());
        let tokens = client.obtain_tokens(&mut browser, login, &self.folder.resource()).await?;
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Ok(Held { client, access: token("access_token"), refresh: token("refresh_token") })
    }

    async fn call(&self, held: &Held) -> Answer {
        let body =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
        let bearer = format!("Bearer {}", held.access);
        let headers = [
            ("authorization", bearer.as_str()),
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
        ];
        http().post(&self.folder.resource(), &headers, body).await.unwrap()
    }

    /// A stream that stays open until somebody ends it.
    async fn listen(&self, held: &Held) -> (OpenStream, http::Response<hyper::body::Incoming>) {
        let bearer = format!("Bearer {}", held.access);
        let headers = [("authorization", bearer.as_str()), ("accept", "text/event-stream")];
        let asked = request(Method::GET, &self.folder.resource(), &headers, Bytes::new()).unwrap();
        let answer = http().stream(asked).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        (self.server.next_stream().await, answer)
    }

    /// Within T the stream is closed, the access token refused, and the refresh token worth nothing.
    async fn is_over(&self, held: &Held, stream: &OpenStream) {
        tokio::time::timeout(T, stream.closed()).await.unwrap();
        let refused = async { while self.call(held).await.status == StatusCode::OK {} };
        tokio::time::timeout(T, refused).await.unwrap();
        let client = TestClient { http: http(), ..held.client.clone() };
        assert_eq!(client.refresh(&held.refresh).await.unwrap().error(), "invalid_grant");
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.folder.run(arguments);
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    fn audited(&self, kind: &str) -> usize {
        let output = self.folder.run(&["audit", "--json", "--limit", "0", "--kind", kind]);
        text(&output.stdout).lines().count()
    }
}

struct Held {
    client: TestClient,
    access: String,
    refresh: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn rv_07_a_person_who_is_stopped_is_cut_off_within_t_and_others_are_not() {
    let scene = Scene::new().await;
    let alice = scene.sign_in("alice").await.unwrap();
    let bob = scene.sign_in("bob").await.unwrap();
    let (of_alice, _body) = scene.listen(&alice).await;
    let (of_bob, _other) = scene.listen(&bob).await;
    let (code, said) = scene.run(&["stop", "--user", "alice@example.com", "--reason", "laptop stolen"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 grants, 0 codes, 1 browser sessions"), "{said}");
    scene.is_over(&alice, &of_alice).await;
    assert!(of_bob.send(": still here\n\n"));
    assert_eq!(scene.call(&bob).await.status, StatusCode::OK);
    let again = scene.sign_in("alice").await.unwrap();
    assert_eq!(scene.call(&again).await.status, StatusCode::OK, "what is given afterwards works at once");
    let events = text(&scene.folder.run(&["audit", "--json", "--kind", "stopped"]).stdout);
    assert_eq!(events.lines().count(), 1, "{events}");
    assert!(events.contains("laptop stolen") && events.contains("alice@example.com"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rv_07_a_client_a_server_and_everybody_are_stopped_within_t() {
    let scene = Scene::new().await;
    let client = scene.client.client_id.clone();
    for target in [["--client", client.as_str()], ["--server", "notes"], ["--all", "--yes"]] {
        let alice = scene.sign_in("alice").await.unwrap();
        let (stream, _body) = scene.listen(&alice).await;
        let (code, said) = scene.run(&["stop", target[0], target[1]]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("1 grants"), "{said}");
        scene.is_over(&alice, &stream).await;
    }
    assert_eq!(scene.audited("stopped"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_stays_out_until_allowed_again() {
    let scene = Scene::new().await;
    let client = scene.client.client_id.clone();
    scene.sign_in("alice").await.unwrap();
    for target in [["--user", "development:alice"], ["--client", client.as_str()]] {
        let (code, said) = scene.run(&["stop", target[0], target[1], "--block"]);
        assert_eq!(code, Some(0), "{said}");
        scene.sign_in("alice").await.map(drop).unwrap_err();
        let (code, said) = scene.run(&["allow", target[0], target[1]]);
        assert!(code == Some(0) && said.contains("in again"), "{said}");
        let (_, said) = scene.run(&["allow", target[0], target[1]]);
        assert!(said.contains("was not blocked"), "{said}");
        scene.sign_in("alice").await.unwrap();
    }
    for kind in ["user_blocked", "client_blocked", "user_allowed", "client_allowed"] {
        assert_eq!(scene.audited(kind), 1, "{kind}");
    }
}

#[test]
fn a_stop_says_what_it_needs() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    for (arguments, sentence) in [
        (vec!["stop"], "required"),
        (vec!["stop", "--all"], "--yes"),
        (vec!["stop", "--all", "--user", "alice"], "cannot be used with"),
        (vec!["stop", "--all", "--yes", "--block"], "cannot be used with"),
        (vec!["stop", "--server", "NOTES"], "not the name"),
        (vec!["stop", "--user", "nobody@example.com"], "nobody here is"),
        (vec!["stop", "--client", ""], "not a client id"),
        (vec!["allow"], "required"),
    ] {
        let output = folder.run(&arguments);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(sentence), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_of_a_stolen_refresh_token_ends_what_the_thief_has() {
    let scene = Scene::new().await;
    let client = scene.client.client_id.clone();
    let all = commands("stolen-refresh-token");
    let put = [("CLIENT_ID", client.as_str())];
    assert_eq!(all.len(), 10, "{all:#?}");
    // Who is looked for is somebody who was here.
    scene.sign_in("alice").await.unwrap();
    for command in &all {
        let held = match command.starts_with("stop") {
            true => Some(scene.sign_in("alice").await.unwrap()),
            false => None,
        };
        let output = run(&scene.folder, command, &put);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        if let Some(held) = held {
            let refused = async { while scene.call(&held).await.status == StatusCode::OK {} };
            tokio::time::timeout(T, refused).await.unwrap();
            // What blocks is taken back at the end of the page; here the next step must be able to sign in.
            scene.run(&["allow", "--user", "alice@example.com"]);
            scene.run(&["allow", "--client", &client]);
        }
    }
    assert_eq!(scene.audited("stopped"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_of_a_bad_mcp_server_cuts_it_off() {
    let scene = Scene::new().await;
    let alice = scene.sign_in("alice").await.unwrap();
    let (stream, _body) = scene.listen(&alice).await;
    let good = std::fs::read_to_string(scene.folder.config()).unwrap();
    std::fs::write(scene.folder.config(), good.replace("name = \"notes\"", "name = \"other\"")).unwrap();
    // What `systemctl reload` sends.
    scene.running.send("-HUP");
    scene.running.says("was read again");
    tokio::time::timeout(T, stream.closed()).await.unwrap();
    assert_eq!(scene.call(&alice).await.status, StatusCode::NOT_FOUND);
    for command in commands("bad-mcp-server") {
        let output = run(&scene.folder, &command, &[]);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    std::fs::write(scene.folder.config(), good).unwrap();
    scene.running.send("-HUP");
    scene.running.says("was read again");
    // Nothing comes back with it, once this node has heard of the stop.
    let refused = async { while scene.call(&alice).await.status != StatusCode::UNAUTHORIZED {} };
    tokio::time::timeout(T, refused).await.unwrap();
    let again = scene.sign_in("alice").await.unwrap();
    assert_eq!(scene.call(&again).await.status, StatusCode::OK);
}
