//! The account of what happened, from outside: a call that was on its way when the process was killed, and an audit that is
//! sealed and verified beside a running Sekisho.

use std::time::Duration;

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::request;

use crate::process::{Folder, http, text};

fn ran(folder: &Folder, arguments: &[&str], code: i32) -> String {
    let output = folder.run(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Repeats a command until it says something. It writes down itself that somebody looked, which takes up to a second to be sealed.
fn until(folder: &Folder, arguments: &[&str], sign: &str) -> String {
    for _ in 0..20 {
        let output = folder.run(arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        if said.contains(sign) {
            return said;
        }
        std::thread::sleep(Duration::from_millis(1500));
    }
    panic!("{arguments:?} never said {sign}");
}

/// I-8, P-18: the MCP server has the call, and the process is killed. Nobody knows how it ended, and the audit says so.
#[tokio::test]
async fn a_call_that_was_on_its_way_when_the_process_was_killed_is_in_the_audit() {
    // Takes the call, and never answers.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let folder = Folder::new(&format!("http://{}/mcp", listener.local_addr().unwrap()));
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let tokens = client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "pay_the_invoice", "arguments": {"canary": "c4n4ry"}}});
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
    ];
    let asked = request(http::Method::POST, &folder.resource(), &headers, body.to_string().into()).unwrap();
    let client_of_the_call = crate::process::http();
    let mut call = Box::pin(client_of_the_call.send(asked));
    let held = tokio::select! {
        held = listener.accept() => held.unwrap(),
        _ = &mut call => panic!("nobody answers"),
    };
    let said = ran(&folder, &["audit"], 0);
    assert!(said.contains("outcome unknown") && said.contains("pay_the_invoice (on_its_way)"), "{said}");
    running.kill();
    drop((call, held));
    let said = ran(&folder, &["audit", "--kind", "call", "--user", "alice"], 0);
    assert!(said.contains("outcome unknown") && said.contains("pay_the_invoice"), "{said}");
    assert!(!said.contains("c4n4ry"), "{said}");
}

/// Everything that happened is sealed within a second or two, and what was kept of it fits.
#[tokio::test]
async fn the_audit_is_sealed_and_verified_beside_a_running_sekisho() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    let said = until(&folder, &["audit", "verify"], " 0 not sealed yet");
    assert!(said.contains("The audit is what was sealed."), "{said}");
    let checkpoint = ran(&folder, &["audit", "checkpoint"], 0);
    let file = folder.path("checkpoint.json");
    std::fs::write(&file, &checkpoint).unwrap();
    let verify = ["audit", "verify", "--checkpoint", file.to_str().unwrap(), "--json"];
    let said = ran(&folder, &verify, 0);
    let found: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((&found["ok"], &found["faults_in_all"]), (&serde_json::json!(true), &serde_json::json!(0)));
    // Each event goes out once, in however many runs.
    let (to, at) = (folder.path("events.jsonl"), folder.path("cursor"));
    let export = ["audit", "export", "--cursor", at.to_str().unwrap(), "--to", to.to_str().unwrap()];
    ran(&folder, &export, 0);
    until(&folder, &["audit", "verify"], " 0 not sealed yet");
    ran(&folder, &export, 0);
    let lines = std::fs::read_to_string(&to).unwrap();
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: std::collections::HashSet<String> =
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), events.len());
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((of("sign_in"), of("consent_given"), of("token_issued")), (1, 1, 1), "{lines}");
    assert!(of("audit_read") > 2, "who reads is in it: {lines}");
    assert!(ran(&folder, &["usage"], 0).contains("No calls in this time"));
    // And a person is forgotten, unless something is held.
    let said =
        ran(&folder, &["audit", "hold", "add", "--user", "alice@example.com", "--reason", "case 7"], 0);
    assert!(ran(&folder, &["audit", "forget", "alice@example.com"], 2).contains("legal hold"), "{said}");
    let hold = said.split_whitespace().nth(2).unwrap().trim_end_matches(':').to_owned();
    ran(&folder, &["audit", "hold", "end", &hold], 0);
    assert!(ran(&folder, &["audit", "forget", "alice@example.com"], 0).contains("Forgotten"));
    assert!(!ran(&folder, &["audit", "--json", "--limit", "0"], 0).contains("alice@example.com"));
    assert!(until(&folder, &["audit", "verify"], " 0 not sealed yet").contains("is what was sealed"));
    running.kill();
    // Of another record it is no checkpoint.
    let other = Folder::new("http://127.0.0.1:9/mcp");
    other.serve().kill();
    let verify = ["audit", "verify", "--checkpoint", file.to_str().unwrap()];
    assert!(ran(&other, &verify, 2).contains("holds no checkpoint of this record"));
    for lies in ["", "{}", "{\"checkpoint\":7}", "a.b.c"] {
        std::fs::write(&file, lies).unwrap();
        assert!(ran(&folder, &verify, 2).contains("holds no checkpoint of this record"), "{lies}");
    }
}

/// ST-19, F-25: of rows that somebody altered so that they cannot be read each is told, and everything else goes on.
#[tokio::test]
async fn st_19_rows_that_cannot_be_read_are_told_and_hold_up_nothing_else() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let tokens = client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
    ];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let asked = request(http::Method::POST, &folder.resource(), &headers, body.into()).unwrap();
    http().send(asked).await.unwrap();
    until(&folder, &["audit", "verify"], " 0 not sealed yet");
    running.kill();
    let record = rusqlite::Connection::open(folder.path("record.db")).unwrap();
    let tampered = record.execute("UPDATE audit_blocks SET packed = x'ff00'", []).unwrap();
    assert_eq!(tampered, 1);
    record.execute("UPDATE audit_events SET detail = 'x' WHERE kind = 'sign_in'", []).unwrap();
    record.execute("UPDATE audit_seals SET signature = NULL, key_id = NULL WHERE id = 1", []).unwrap();
    drop(record);
    let said = ran(&folder, &["audit", "verify"], 3);
    for finding in ["altered: block of calls ", "altered: event ", "altered: seal 1\n"] {
        assert!(said.contains(finding), "{said}");
    }
    assert!(said.contains("The audit was changed."), "{said}");
    let (to, at) = (folder.path("events.jsonl"), folder.path("cursor"));
    let export = ["audit", "export", "--cursor", at.to_str().unwrap(), "--to", to.to_str().unwrap()];
    let said = ran(&folder, &export, 3);
    assert!(
        said.contains("cannot be read: block of calls ") && said.contains("2 rows of the audit"),
        "{said}"
    );
    let lines = std::fs::read_to_string(&to).unwrap();
    let all = ran(&folder, &["audit", "--json", "--limit", "0"], 3);
    for lines in [&lines, &all] {
        let of = |kind: &str| lines.matches(&format!(r#""kind":"{kind}""#)).count();
        assert_eq!((of("unreadable"), of("sign_in"), of("token_issued")), (2, 0, 1), "{lines}");
    }
    assert!(ran(&folder, &["audit"], 3).contains("block of calls, altered"));
    // What is told is told once, and the export goes on from there.
    assert!(!ran(&folder, &export, 0).contains("cannot be read"));
    let said = ran(&folder, &["audit", "forget", "alice@example.com"], 1);
    assert!(said.contains("Forgotten") && said.contains("1 block of calls cannot be read"), "{said}");
}

/// What was exported stays, whatever becomes of the cursor and whatever file is named by mistake.
#[test]
fn an_export_empties_no_file() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    let (to, at, mine) = (folder.path("events.jsonl"), folder.path("cursor"), folder.path("notes.txt"));
    let export = |to: &std::path::Path, code: i32| {
        let (to, at) = (to.to_str().unwrap(), at.to_str().unwrap());
        ran(&folder, &["audit", "export", "--cursor", at, "--to", to], code)
    };
    std::fs::write(&mine, "mine").unwrap();
    assert!(export(&mine, 2).contains("there is something in the file"));
    export(&to, 0);
    // More than the cursor knows of, as if it were an old one.
    let seen = std::fs::read_to_string(&to).unwrap() + "{\"id\":\"of a later export\"}\n";
    std::fs::write(&to, &seen).unwrap();
    std::fs::remove_file(&at).unwrap();
    assert!(export(&to, 2).contains("there is something in the file"));
    assert!(!at.exists(), "no cursor that would pass for the one of that file");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), seen);
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
}
