use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use protocol::world::Clock;
use sekisho::world::SystemClock;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::mcp_server::FakeMcpServer;
use testkit::remote_server::github_app::{APP, INSTALLATION};
use testkit::remote_server::{CLIENT_ID, Knows, RemoteServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::process::{Folder, http, text};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;

/// A house whose MCP server is sent the secret in `key`.
fn keyed(upstream: &str, key: &str) -> Folder {
    let folder = Folder::new(upstream);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let more = "credential = \"fixed\"\n[mcp_server.fixed]\nheader = \"X-API-Key\"\nvalue_file = \"key\"\n";
    std::fs::write(folder.config(), format!("{config}{more}")).unwrap();
    write_key(&folder, key);
    folder
}

fn write_key(folder: &Folder, key: &str) {
    std::fs::write(folder.path("key"), key).unwrap();
    std::fs::set_permissions(folder.path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// P-14, P-15: a secret that is exchanged is sent from the reload on, and stands in no log.
#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_credential_is_sent_and_read_again_at_a_reload() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = keyed(&server.url, "canary-first\n");
    let running = folder.serve();
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    for key in ["canary-first", "canary-second"] {
        let answer = http.post(&folder.resource(), &headers, CALL).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = server.received().pop().unwrap();
        let sent = (seen.header("x-api-key"), seen.header("authorization"), seen.header("sekisho-identity"));
        assert_eq!(sent, (key, "", ""));
        write_key(&folder, "canary-second");
        running.send("-HUP");
        running.says("was read again and is in use");
    }
    // A secret that no header may hold is refused, and the last good one stays.
    write_key(&folder, "two\nlines");
    running.send("-HUP");
    running.says("holds something else than visible ASCII characters");
}

#[test]
fn check_says_how_old_a_fixed_credential_is() {
    let folder = keyed("http://127.0.0.1:9/mcp", "canary");
    let said = text(&folder.run(&["check"]).stdout);
    assert!(
        said.contains(
            "ok    MCP server notes: everybody's calls carry one secret in `X-API-Key`, which is 0 days old"
        ),
        "{said}"
    );
    let now = Duration::from_secs(SystemClock::default().now().secs().unsigned_abs());
    let old = UNIX_EPOCH + now - Duration::from_secs(100 * 86_400 + 3_600);
    File::options().append(true).open(folder.path("key")).unwrap().set_modified(old).unwrap();
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("is 100 days old: older than `max_age` (90 days)"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    std::fs::remove_file(folder.path("key")).unwrap();
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("BAD   MCP server notes: the file"), "{said}");
}

/// A house that is sent a credential which somebody gives, as these settings say.
fn given(upstream: &str, form: &str, settings: &str, key: &str) -> Folder {
    let folder = Folder::new(upstream);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let more = format!("credential = \"{form}\"\n[mcp_server.{form}]\n{settings}");
    std::fs::write(folder.config(), format!("{config}{more}")).unwrap();
    write_key(&folder, key);
    folder
}

/// What `sekisho check` says of the credential, and of nothing else.
fn said_of_it(folder: &Folder) -> String {
    let said = text(&folder.run(&["check"]).stdout);
    let line = said.lines().find(|line| line.contains("credential of MCP server notes"));
    line.unwrap_or(&said).trim().to_owned()
}

/// A host that has nothing at all, for as long as the first is kept.
async fn nothing_there() -> (JoinSet<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 8192]).await;
            let none = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(none.as_bytes()).await;
        }
    });
    (answering, url)
}

/// P-15: whoever gives a credential is tried before anybody's call needs it, and what is wrong is said in words of what to change.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_whether_whoever_gives_a_credential_is_there() {
    let clock = || Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let remote = RemoteServer::start(clock(), Knows::PreRegistered).await.unwrap();
    let issuer = remote.issuer();
    // Nobody listens there: it was free a moment ago.
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (_bare, bare) = nothing_there().await;
    let client = |issuer: &str| {
        format!("authorization_server = \"{issuer}\"\nclient_id = \"us\"\nclient_secret_file = \"key\"\n")
    };
    let by_key = |issuer: &str| {
        let whole = client(issuer);
        whole.replace("client_secret_file = \"key\"", "client_authentication = \"private_key_jwt\"")
    };
    for form in ["exchange", "id_jag"] {
        let what = if form == "exchange" { "assertions about people are" } else { "ID-JAGs of Sekisho are" };
        for (url, settings, expected) in [
            (
                &remote.url,
                client(issuer),
                format!(
                    "ok    credential of MCP server notes: somebody answers at {issuer}/token, where {what}"
                ),
            ),
            (
                &remote.url,
                by_key(issuer),
                format!(
                    "ok    credential of MCP server notes: somebody answers at {issuer}/token, where {what}"
                ),
            ),
            (
                &remote.url,
                client("https://other.example"),
                "does not name the configured `authorization_server`".to_owned(),
            ),
            (&nobody, client(&nobody), "the mcp server cannot be reached".to_owned()),
            (
                &nobody,
                format!("{}token_endpoint = \"{nobody}/token\"\n", client(&nobody)),
                "the token endpoint cannot be reached".to_owned(),
            ),
            (&bare, client(&bare), "it publishes no usable metadata".to_owned()),
        ] {
            let folder = given(url, form, &settings, "canary-secret");
            let said = said_of_it(&folder);
            assert!(said.contains(&expected), "{form} {settings}: {said}");
            assert_eq!(said.starts_with("BAD"), !expected.starts_with("ok"), "{said}");
            let by_key = settings.contains("private_key_jwt");
            assert_eq!(said.ends_with(&format!("{}/oauth/jwks", folder.issuer)), by_key, "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
    assert!(remote.change(|held| held.token_requests.is_empty()), "nobody is told anything about anybody");
}

/// The same of an app: what is minted for it says that its key, its installation and what it may are good.
#[tokio::test(flavor = "multi_thread")]
async fn check_mints_a_token_of_an_app_and_says_what_github_refuses() {
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let remote = RemoteServer::start(clock, Knows::GithubApp).await.unwrap();
    let key = remote.app_key().unwrap();
    let app = |api: &str, installation: u64, more: &str| {
        format!(
            "app_id = \"{APP}\"\ninstallation_id = {installation}\nprivate_key_file = \"key\"\napi_url = \"{api}\"\n{more}"
        )
    };
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let stranger = RemoteServer::start(Arc::new(SystemClock::default()), Knows::GithubApp).await.unwrap();
    for (settings, key, expected) in [
        (
            app(remote.issuer(), INSTALLATION, ""),
            &key,
            "ok    credential of MCP server notes: a token was minted",
        ),
        (app(remote.issuer(), 8, ""), &key, "the grant is not good any more"),
        (
            app(remote.issuer(), INSTALLATION, "permissions = [\"contents:admin\"]\n"),
            &key,
            "it refuses the scope",
        ),
        (app(remote.issuer(), INSTALLATION, ""), &stranger.app_key().unwrap(), "the key of the app"),
        (app(&nobody, INSTALLATION, ""), &key, "the token endpoint cannot be reached"),
        (
            app(remote.issuer(), INSTALLATION, ""),
            &"no key".to_owned(),
            "the private key is not an RSA key in PEM",
        ),
    ] {
        let folder = given(&remote.url, "minted", &settings, key);
        let said = said_of_it(&folder);
        assert!(said.contains(expected), "{settings}: {said}");
        assert!(!said.contains("BEGIN") && !said.contains("no key"), "{said}");
    }
}

/// P-2, RFC 7009: a command stops the person, which nobody announces to the node that serves; it hears of it all the same, and takes back
/// at whoever gave it what it holds of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_holds_of_a_person_is_taken_back_when_a_command_stops_them() {
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let remote = RemoteServer::start(clock, Knows::PreRegistered).await.unwrap();
    let issuer = remote.issuer();
    let settings = format!(
        "authorization_server = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret_file = \"key\"\n"
    );
    let folder = given(&remote.url, "exchange", &settings, remote.client_secret());
    let running = folder.serve();
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    let answer = http.post(&folder.resource(), &headers, CALL).await.unwrap();
    assert!(answer.status == 200 && answer.text().contains("canary-of-"), "{}", answer.text());
    let stopped = folder.run(&["stop", "--user", "alice@example.com"]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    remote.until(|held| held.counts.revocations == 1).await;
    assert_eq!(remote.counts().exchanges, 1);
    drop(running);
}
