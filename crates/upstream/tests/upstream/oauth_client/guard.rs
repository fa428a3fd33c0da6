//! An authorization server that a document names, on another host: asked through the guard alone, or not at all (CL-079, CL-080).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use protocol::oauth::CodeVerifier;
use protocol::oauth::form::Form;
use protocol::secret::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use upstream::guarded::{GuardedFetcher, GuardedSettings};
use upstream::oauth_client::{OauthClient, OauthWorld, Obstacle, Rejection, Ways};

use super::remote::{RESOURCE, Remote, Reply, VERIFIER, begin, tokens};
use crate::guarded::{HOST, Scene};
use crate::world::fetcher;

/// An MCP server here whose authorization server is elsewhere, over TLS.
struct Elsewhere {
    remote: Remote,
    scene: Scene,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere {
    async fn new() -> Self {
        let remote = Remote::honest().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&seen);
        let scene = Scene::with(move |mut stream| {
            let heard = Arc::clone(&heard);
            async move {
                let request = request(&mut stream).await;
                let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                let (status, body) = answer(&format!("https://{host}"), &request);
                heard.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} So\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        })
        .await;
        let mut resource = remote.resource();
        resource["authorization_servers"] = json!([format!("https://{HOST}:{}", scene.port())]);
        remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
        Self { remote, scene, seen }
    }

    fn client(&self, change: impl FnOnce(&mut GuardedSettings)) -> OauthClient {
        let mut settings = self.scene.settings();
        change(&mut settings);
        let guarded = Some(GuardedFetcher::new(&settings, self.remote.clock.clone()));
        let world = OauthWorld {
            clock: self.remote.clock.clone(),
            registrations: self.remote.registrations.clone(),
            ways: Ways { egress: fetcher(), guarded },
        };
        OauthClient::new(self.remote.settings(), world).unwrap()
    }
}

async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = String::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.unwrap_or(0);
        read.push_str(&String::from_utf8_lossy(&chunk[..count]));
        let Some((head, body)) = read.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        if count == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return read;
        }
    }
}

fn answer(origin: &str, request: &str) -> (u16, String) {
    let metadata = json!({"issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
        "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"]});
    let (status, said): (u16, Value) = match request.split(' ').nth(1).unwrap_or_default() {
        "/.well-known/oauth-authorization-server" => (200, metadata),
        "/register" => (201, json!({"client_id": "there", "token_endpoint_auth_method": "none"})),
        "/token" if request.contains("refresh_token=dead") => (400, json!({"error": "invalid_grant"})),
        "/token" => (200, tokens()),
        _ => (404, Value::Null),
    };
    (status, said.to_string())
}

#[tokio::test]
async fn an_authorization_server_on_another_host_is_asked_through_the_guard() {
    let elsewhere = Elsewhere::new().await;
    let client = elsewhere.client(|_| {});
    let begun = begin(&client).await.unwrap();
    let form = Form::parse(b"code=the-code&state=s").unwrap();
    let given = client.redeem(&begun.leg, &form, &CodeVerifier::parse(VERIFIER).unwrap()).await.unwrap();
    assert_eq!(given.binding.issuer, format!("https://{HOST}:{}", elsewhere.scene.port()));
    let dead = Secret::new("dead".to_owned());
    let refused = client.refresh(&dead, &given.binding, &given.scope).await;
    assert_eq!(refused.err(), Some(Rejection::Grant.into()), "what it says with another status is heard");
    let seen = elsewhere.seen.lock().unwrap();
    let lines: Vec<_> = seen.iter().filter_map(|one| one.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "GET /.well-known/oauth-authorization-server HTTP/1.1",
            "POST /register HTTP/1.1",
            "POST /token HTTP/1.1",
            "POST /token HTTP/1.1"
        ]
    );
    assert!(elsewhere.remote.seen("/token").is_empty());
}

#[tokio::test]
async fn where_strangers_may_not_lead_no_document_leads_either() {
    let elsewhere = Elsewhere::new().await;
    let unnamed = elsewhere.client(|settings| settings.private_hosts.clear());
    assert_eq!(begin(&unnamed).await.err(), Some(Obstacle::Address.into()), "another port than 443");
    for inside in [[169, 254, 169, 254], [0, 0, 0, 0]] {
        elsewhere.scene.names.leads(HOST, &[&[IpAddr::V4(Ipv4Addr::from(inside))]]);
        assert_eq!(
            begin(&elsewhere.client(|_| {})).await.err(),
            Some(Obstacle::Address.into()),
            "{inside:?}"
        );
    }
    assert_eq!(elsewhere.scene.server.connections(), 0, "nobody was dialled");
}
