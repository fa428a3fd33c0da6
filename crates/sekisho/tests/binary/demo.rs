use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};

use crate::process::{Running, http, mode, sekisho, text};

fn start(data: &str) -> Running {
    Running::start(&["demo", "--port", "0", "--data", data], "Ctrl-C stops it")
}

fn issuer(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("Sekisho is running at ")).unwrap().to_owned()
}

#[tokio::test]
async fn the_demo_prints_what_to_paste_and_a_person_can_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let running = start(data);
    let issuer = issuer(&running.said);
    for line in [
        "claude mcp add --transport http notes",
        "code --add-mcp",
        "~/.cursor/mcp.json",
        "@modelcontextprotocol/inspector",
    ] {
        assert!(running.said.contains(line), "{line}:\n{}", running.said);
    }
    let http = http();
    let client = TestClient::register(&http, &issuer, LOOPBACK_REDIRECT).await.unwrap();
    let notes = format!("{issuer}/notes/mcp");
    let tokens = client.obtain_tokens(&mut Browser::new(http.clone()), "alice", &notes).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "who_am_i", "arguments": {},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}},
    }});
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "who_am_i"),
    ];
    let answer = http.post_json(&notes, &headers, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("Alice Tanaka"), "{}", answer.text());
    assert!(answer.text().contains("engineering"), "{}", answer.text());
    running.send("-INT");
    let (code, _) = running.ended();
    assert_eq!(code, Some(0));
    let audit = sekisho(&["audit", "--config", &format!("{data}/sekisho.toml"), "--json"]);
    let said = text(&audit.stdout);
    for kind in ["sign_in", "consent_given", "token_issued", "call"] {
        assert_eq!(said.matches(&format!("\"kind\":\"{kind}\"")).count(), 1, "{kind}:\n{said}");
    }
    // One person has one name, whoever wrote the event, and is found by it.
    let table = sekisho(&["audit", "--config", &format!("{data}/sekisho.toml"), "--user", "alice"]);
    let shown = text(&table.stdout);
    for event in ["sign_in", "consent_given", "token_issued", "who_am_i"] {
        let line = shown.lines().find(|line| line.contains(event));
        assert!(line.is_some_and(|line| line.contains("alice@example.com")), "{event}:\n{shown}");
    }
}

#[test]
fn an_editor_finds_the_schema_that_the_configuration_of_the_demo_names() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    start(data.to_str().unwrap()).kill();
    let written = std::fs::read_to_string(data.join("sekisho.toml")).unwrap();
    let named = written.lines().find_map(|line| line.strip_prefix("#:schema ")).unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(data.join(named)).unwrap()).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let mut config = serde_json::to_value(written.parse::<toml::Table>().unwrap()).unwrap();
    assert!(validator.is_valid(&config), "{written}");
    config["lissen"] = true.into();
    assert!(!validator.is_valid(&config));
}

#[test]
fn st_04_the_demo_makes_a_master_key_only_beside_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let key = data.join("master.key");
    start(data.to_str().unwrap()).kill();
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(&data), 0o700);
    std::fs::remove_file(&key).unwrap();
    let output = sekisho(&["demo", "--port", "0", "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no master key"), "{}", text(&output.stderr));
    assert!(!key.exists());
}

#[test]
fn a_port_that_is_taken_is_said_in_words() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = sekisho(&["demo", "--port", &port, "--data", folder.path().join("data").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--port"), "{}", text(&output.stderr));
}

#[test]
fn the_demo_writes_over_no_configuration_of_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml");
    std::fs::write(&file, "public_url = \"https://mcp.example.com\"\n").unwrap();
    let output = sekisho(&["demo", "--port", "0", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--data"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "public_url = \"https://mcp.example.com\"\n");
    assert!(!folder.path().join("master.key").exists());
}
