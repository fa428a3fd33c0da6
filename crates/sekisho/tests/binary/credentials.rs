use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use protocol::world::Clock as _;
use sekisho::world::SystemClock;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::mcp_server::FakeMcpServer;

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
