//! `sekisho tools` beside a running Sekisho: an administrator sees what an MCP server says of its tools, and accepts it.

use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use testkit::http::Http;
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, http, text};

fn tools(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.run(&[&["tools"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn listed(folder: &Folder, http: &Http, access: &str) -> Vec<String> {
    let request = mcp_request(&folder.resource(), access, "tools/list", json!({})).unwrap();
    let answer = http.send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tools = answer.json()["result"]["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// A token of Alice's, who came with a client of her own.
async fn access(folder: &Folder, http: &Http) -> String {
    let metadata = json!({
        "client_name": "Clever Notes",
        "redirect_uris": [LOOPBACK_REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    let client = TestClient::register_with(http, &folder.issuer, &metadata).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// What is wrong in what an administrator types is said, and nothing is accepted.
fn wrong_words_accept_nothing(folder: &Folder, one: &str) {
    let other = one.trim_end_matches(|letter: char| letter.is_ascii_hexdigit());
    let (other, short) = (format!("{other}{}", "0".repeat(32)), format!("{other}00000000"));
    for (wrong, why) in [
        (vec!["accept", "notes", other.as_str()], "says something else by now"),
        (vec!["accept", "notes", short.as_str()], "says something else by now"),
        (
            vec!["accept", "notes", &one[..one.len() - 24]],
            "by all 32 digits of what it says, and these are 8",
        ),
        (vec!["accept", "notes", "none"], "nothing is known of a tool"),
        (vec!["accept", "elsewhere", "--all"], "there is no MCP server"),
        (vec!["accept", "notes"], "required"),
    ] {
        let output = folder.run(&[&["tools"], wrong.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_what_tools_say_and_accepts_it_beside_a_running_sekisho() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config + "tools = \"approve\"\n").unwrap();
    let running = folder.serve();
    let http = http();
    assert!(tools(&folder, &["list"]).contains("No tool is known"));
    assert!(tools(&folder, &["diff"]).contains("Nothing waits"));
    let access = access(&folder, &http).await;

    assert_eq!(listed(&folder, &http, &access).await, Vec::<String>::new(), "nobody has accepted anything");
    let waiting = loop {
        let all: Value = serde_json::from_str(&tools(&folder, &["list", "--json"])).unwrap();
        let all = all["tools"].as_array().unwrap().clone();
        if !all.is_empty() {
            break all;
        }
    };
    assert!(waiting.iter().all(|tool| tool["accepted"].is_null() && tool["waiting"].is_object()));
    let table = tools(&folder, &["list"]);
    assert!(
        table.contains("new, waits") && table.contains("echo") && table.contains("sekisho tools diff"),
        "{table}"
    );
    let diff = tools(&folder, &["diff", "notes", "echo"]);
    assert!(diff.contains("notes echo: is new") && !diff.contains("write: is new"), "{diff}");
    let command =
        diff.lines().find_map(|line| line.strip_prefix("  accept it: sekisho tools accept notes ")).unwrap();
    let one = command;
    let output = folder.run(&["check"]);
    assert!(text(&output.stdout).contains("of notes wait"), "{}", text(&output.stdout));

    wrong_words_accept_nothing(&folder, one);
    let said = tools(&folder, &["accept", "notes", one, one, "--reason", "looked at it"]);
    assert!(said.contains("Accepted 1 tool of notes") && said.contains("reads"), "{said}");
    let heard = async { while listed(&folder, &http, &access).await != ["echo"] {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), heard).await.unwrap();
    let said = tools(&folder, &["accept", "notes", "--all"]);
    assert!(said.contains("write@"), "{said}");
    assert!(tools(&folder, &["accept", "notes", "--all"]).contains("Nothing to do"));
    let heard = async { while listed(&folder, &http, &access).await.len() != waiting.len() {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), heard).await.unwrap();
    assert!(tools(&folder, &["forget", "notes", "echo"]).contains("Forgot 1 tools"));
    let audit = folder.run(&["audit", "--json", "--limit", "0"]);
    let audit = text(&audit.stdout);
    let accepted = audit.lines().filter(|line| line.contains("tools_accepted")).count();
    assert_eq!(accepted, 3, "{audit}");
    assert!(audit.contains("looked at it"));
    running.send("-TERM");
    running.ended();
}

/// F-24, ST-06: what was forgotten after a backup counts again after its restore, and whoever restores is told of which MCP servers.
#[tokio::test(flavor = "multi_thread")]
async fn f_24_who_restores_is_told_where_what_was_forgotten_since_counts_again() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let followed = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), followed.clone() + "tools = \"approve\"\n").unwrap();
    let running = folder.serve();
    let http = http();
    let access = access(&folder, &http).await;
    listed(&folder, &http, &access).await;
    let accepted = async { while !tools(&folder, &["accept", "notes", "--all"]).contains("Accepted") {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), accepted).await.unwrap();
    let backup = folder.path("sekisho.backup");
    let backup = backup.to_str().unwrap();
    assert!(folder.run(&["backup", "--to", backup]).status.success());
    assert!(tools(&folder, &["forget", "notes", "echo"]).contains("Forgot 1 tools"));
    running.send("-TERM");
    running.ended();
    let restore = || text(&folder.run(&["restore", "--from", backup, "--replace"]).stdout);
    let said = restore();
    assert!(said.contains("What tools of notes said") && said.contains("forget again"), "{said}");
    assert!(tools(&folder, &["list"]).contains("echo"));
    // Where nothing has to be accepted, nothing is said.
    std::fs::write(folder.config(), followed).unwrap();
    let said = restore();
    assert!(said.contains("epoch 2") && !said.contains("What tools"), "{said}");
}
