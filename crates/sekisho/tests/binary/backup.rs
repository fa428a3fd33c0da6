use std::path::Path;

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::request;

use crate::process::{Folder, MASTER_KEY, http, mode, sekisho, text};

const NOWHERE: &str = "http://127.0.0.1:9/mcp";

fn ran(folder: &Folder, arguments: &[&str], code: i32) -> String {
    let output = folder.run(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains(MASTER_KEY) && !said.contains("panicked"), "{said}");
    said
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn calls(folder: &Folder, token: &str) -> u16 {
    let body =
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let bearer = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
    ];
    let asked = request(http::Method::POST, &folder.resource(), &headers, body.into()).unwrap();
    crate::process::http().send(asked).await.unwrap().status.as_u16()
}

/// The whole way: backed up beside a running Sekisho, lost, restored, started; and what becomes of everybody.
#[tokio::test]
async fn f_24_after_a_restore_everybody_signs_in_once_and_nobody_is_a_thief() {
    let folder = Folder::new(NOWHERE);
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let backup = folder.path("sekisho.backup");
    let said = ran(&folder, &["backup", "--to", name(&backup)], 0);
    assert!(said.contains("THE MASTER KEY IS NOT IN IT") && said.contains("1 people, 1 grants"), "{said}");
    assert_eq!(mode(&backup), 0o600);
    let bytes = std::fs::read(&backup).unwrap();
    for secret in [MASTER_KEY, tokens["refresh_token"].as_str().unwrap()] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    // What comes after is lost: a rotation, a revocation, a grant.
    let next = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap().json();
    let later = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let revoked =
        [("token", next["refresh_token"].as_str().unwrap()), ("client_id", client.client_id.as_str())];
    let answer = http().post_form(&format!("{}/oauth/revoke", folder.issuer), &[], &revoked).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(calls(&folder, next["access_token"].as_str().unwrap()).await, 401);
    running.kill();
    let said = ran(&folder, &["restore", "--from", name(&backup)], 1);
    assert!(said.contains("--replace"), "{said}");
    let said = ran(&folder, &["restore", "--from", name(&backup), "--replace"], 0);
    assert!(said.contains("epoch 1") && said.contains("1 grants") && said.contains("LOST"), "{said}");
    assert!(folder.path("record.db.before-epoch-1").exists(), "{said}");
    assert_eq!(mode(&folder.path("record.db")), 0o600);
    let running = folder.serve();
    let client = TestClient { http: http(), ..client };
    for tokens in [&tokens, &next, &later] {
        assert_eq!(calls(&folder, tokens["access_token"].as_str().unwrap()).await, 401);
        let refused = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_grant"));
    }
    let mut fresh = Browser::new(http());
    fresh.cookies = browser.cookies.clone();
    // The old session is worth nothing: a page to sign in on, once; and then all is as before.
    let new = client.obtain_tokens(&mut fresh, "alice", &folder.resource()).await.unwrap();
    assert_ne!(calls(&folder, new["access_token"].as_str().unwrap()).await, 401);
    assert_eq!(client.refresh(new["refresh_token"].as_str().unwrap()).await.unwrap().status, 200);
    let audit = ran(&folder, &["audit", "--json", "--limit", "0"], 0);
    assert!(audit.contains("\"refresh_set_back\"") && audit.contains("record_restored"), "{audit}");
    assert!(audit.contains("\"restored\"") && !audit.contains("refresh_reused"), "{audit}");
    running.kill();
}

#[test]
fn a_backup_is_not_overwritten_and_one_that_is_damaged_or_of_another_house_changes_nothing() {
    let folder = Folder::new(NOWHERE);
    folder.serve().kill();
    let backup = folder.path("sekisho.backup");
    ran(&folder, &["backup", "--to", name(&backup)], 0);
    let said = ran(&folder, &["backup", "--to", name(&backup)], 2);
    assert!(said.contains("is there already"), "{said}");
    let verify = |path: &Path| sekisho(&["backup", "--verify", name(path)]);
    assert!(text(&verify(&backup).stdout).contains("whole"));
    let mut bytes = std::fs::read(&backup).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = folder.path("damaged.backup");
    std::fs::write(&damaged, bytes).unwrap();
    assert_eq!(verify(&damaged).status.code(), Some(1));
    let before = std::fs::read(folder.path("record.db")).unwrap();
    let refused = |from: &Path, why: &str| {
        let said = ran(&folder, &["restore", "--from", name(from), "--replace"], 1);
        assert!(said.contains(why), "{said}");
        assert_eq!(std::fs::read(folder.path("record.db")).unwrap(), before, "{why}");
    };
    refused(&damaged, "damaged");
    folder.write_key(&MASTER_KEY.replace("00", "ff"));
    refused(&backup, "master key is not the one of this record");
    folder.write_key(MASTER_KEY);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config.replacen("http://localhost", "http://127.0.0.1", 1)).unwrap();
    refused(&backup, "`public_url` is");
    std::fs::write(folder.config(), config).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.folder.path())
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("partial") || name.contains("restoring") || name.contains("before"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // A running Sekisho is in the way.
    let running = folder.serve();
    let said = ran(&folder, &["restore", "--from", name(&backup), "--replace"], 1);
    assert!(said.contains("stop Sekisho first"), "{said}");
    running.kill();
}
