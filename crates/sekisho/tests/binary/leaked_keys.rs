//! The runbooks of leaked keys, followed to the letter: every command that stands in a page is run as it stands there.

use std::path::Path;
use std::process::Command;

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, Running, http, text};

/// A page, and the Sekisho that it is followed on.
struct Followed {
    folder: Folder,
    running: Option<Running>,
    page: String,
    /// What the last command printed.
    said: String,
}

impl Followed {
    fn new(page: &str, upstream: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks").join(page);
        let folder = Folder::new(upstream);
        let running = Some(folder.serve());
        Self { folder, running, page: std::fs::read_to_string(file).unwrap(), said: String::new() }
    }

    /// Follows the page from the section whose heading begins with `from` up to the one that begins with `to`.
    fn follow(&mut self, from: &str, to: &str) {
        let begin = self.page.find(&format!("\n## {from}")).unwrap_or_else(|| panic!("no section {from}"));
        let rest = &self.page[begin..];
        let end = rest.find(&format!("\n## {to}")).unwrap_or(rest.len());
        let part = rest[..end].to_owned();
        let mut blocks = part.split("\n```").skip(1).step_by(2);
        let mut count = 0;
        for block in &mut blocks {
            let (language, body) = block.split_once('\n').unwrap();
            count += 1;
            match language {
                "sh" => body.lines().for_each(|line| self.run(line)),
                "toml" => self.configure(body),
                other => panic!("a block of `{other}`"),
            }
        }
        assert!(count > 0, "section {from} has no block");
    }

    fn run(&mut self, line: &str) {
        if line == "systemctl restart sekisho" {
            self.running.take().unwrap().kill();
            self.running = Some(self.folder.serve());
            return;
        }
        let key = self.working_key();
        let config = self.folder.config();
        let line = line
            .replace("KEYID", &key)
            .replace("/etc/sekisho/sekisho.toml", &config)
            .replace("/etc/sekisho", &self.folder.folder.path().display().to_string());
        let binary = Path::new(env!("CARGO_BIN_EXE_sekisho")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", binary.display());
        let output = Command::new("sh").args(["-c", &line]).env("PATH", path).output().unwrap();
        self.said = text(&output.stdout);
        assert!(output.status.success(), "{line}\n{}\n{}", self.said, text(&output.stderr));
    }

    /// Writes these master keys in the place of those that are there.
    fn configure(&self, lines: &str) {
        let config = std::fs::read_to_string(self.folder.config()).unwrap();
        let others: Vec<&str> = config.lines().filter(|line| !line.contains("master_key")).collect();
        std::fs::write(self.folder.config(), format!("{lines}\n{}\n", others.join("\n"))).unwrap();
    }

    fn list(&self) -> String {
        text(&self.folder.run(&["keys", "list"]).stdout)
    }

    /// The signing key that works.
    fn working_key(&self) -> String {
        let list = self.list();
        let line = list.lines().find(|line| line.contains(" signing ") && line.contains(" works "));
        line.unwrap_or_else(|| panic!("{list}")).split_whitespace().next().unwrap().to_owned()
    }

    async fn kids(&self) -> String {
        http().get(&format!("{}/oauth/jwks", self.folder.issuer), &[]).await.unwrap().text()
    }

    async fn status(&self, access: &str) -> u16 {
        let bearer = format!("Bearer {access}");
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        http().post(&self.folder.resource(), &headers, ping).await.unwrap().status.as_u16()
    }

    /// Asks until the node has heard of it.
    async fn until_refused(&self, access: &str) {
        while self.status(access).await != 401 {
            tokio::task::yield_now().await;
        }
    }
}

async fn signed_in(followed: &Followed) -> (TestClient, String, String) {
    let issuer = &followed.folder.issuer;
    let client = TestClient::register(&http(), issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http());
    let tokens = client.obtain_tokens(&mut browser, "alice", &followed.folder.resource()).await.unwrap();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    (client, text("access_token"), text("refresh_token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_for_a_leaked_signing_key_works_as_it_is_written() {
    let server = FakeMcpServer::start().await.unwrap();
    let mut followed = Followed::new("leaked-signing-key.md", &server.url);
    let (client, access, refresh) = signed_in(&followed).await;
    assert_eq!(followed.status(&access).await, 200);
    let leaked = followed.working_key();
    assert!(followed.kids().await.contains(&leaked));
    followed.follow("1.", "3.");
    followed.until_refused(&access).await;
    let kids = followed.kids().await;
    let works = followed.working_key();
    assert!(!kids.contains(&leaked) && kids.contains(&works), "{leaked} {works} {kids}");
    let renewed = client.refresh(&refresh).await.unwrap();
    assert_eq!(renewed.status, 200, "people notice nothing: {}", renewed.text());
    assert_eq!(followed.status(renewed.json()["access_token"].as_str().unwrap()).await, 200);
    followed.follow("3.", "4.");
    assert!(followed.said.contains("key_withdrawn"), "{}", followed.said);
    let list = followed.list();
    assert!(list.lines().any(|line| line.contains(&leaked) && line.contains("withdrawn")), "{list}");
    followed.follow("4.", "5.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_for_a_leaked_master_key_works_as_it_is_written() {
    let server = FakeMcpServer::start().await.unwrap();
    let mut followed = Followed::new("leaked-master-key.md", &server.url);
    let (client, access, refresh) = signed_in(&followed).await;
    let before: Vec<String> = followed
        .list()
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert_eq!(before.len(), 6, "{before:?}");
    followed.follow("1.", "5.");
    let old = followed.folder.path("master.key");
    std::fs::remove_file(old).unwrap();
    followed.run("systemctl restart sekisho");
    assert_eq!(followed.status(&access).await, 200, "until here nobody notices anything");
    let renewed = client.refresh(&refresh).await.unwrap();
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    followed.follow("5.", "6.");
    followed.until_refused(&access).await;
    // The key of refresh tokens is withdrawn last, and heard of within five seconds.
    let mut answer = renewed;
    while answer.status == 200 {
        let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
        answer = client.refresh(&refresh).await.unwrap();
    }
    assert!(answer.status.is_client_error(), "{} {}", answer.status, answer.text());
    followed.follow("6.", "7.");
    assert!(followed.said.contains("master_key_rotated"), "{}", followed.said);
    let list = followed.list();
    for key in before {
        let line = list.lines().find(|line| line.contains(&key)).unwrap();
        // Seals that it signed are still to be verified; it signs no more.
        let is_over =
            if line.contains(" audit ") { !line.contains(" works ") } else { line.contains("withdrawn") };
        assert!(is_over, "{key}\n{list}");
    }
    // And everybody comes back by signing in.
    let (_, access, _) = signed_in(&followed).await;
    assert_eq!(followed.status(&access).await, 200);
}

/// What people would notice is said before it is done.
#[test]
fn withdrawing_what_people_would_notice_asks_for_a_yes() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    let list = text(&folder.run(&["keys", "list"]).stdout);
    for (purpose, consequence) in [
        ("client_ids", "registers anew"),
        ("forms", "begin again"),
        ("refresh_tokens", "sign in again"),
        ("sealing", "is lost"),
    ] {
        let line = list.lines().find(|line| line.contains(purpose)).unwrap();
        let key = line.split_whitespace().next().unwrap();
        let output = folder.run(&["keys", "withdraw", key]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(consequence) && said.contains("--yes"), "{said}");
        let output = folder.run(&["keys", "withdraw", purpose]);
        assert!(text(&output.stdout).contains("nothing was done"), "only the working one is there");
    }
    assert_eq!(text(&folder.run(&["keys", "list"]).stdout).matches(" works ").count(), 6);
    let output = folder.run(&["keys", "withdraw", "ffffffff"]);
    assert!(text(&output.stderr).contains("there is no key"), "{}", text(&output.stderr));
    assert_eq!(folder.run(&["keys", "withdraw", "nothing"]).status.code(), Some(2));
}

#[test]
fn a_key_is_rotated_beside_a_running_sekisho_and_waits() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let running = folder.serve();
    let said = text(&folder.run(&["keys", "rotate"]).stdout);
    assert!(said.contains("it works from"), "{said}");
    let again = text(&folder.run(&["keys", "rotate"]).stdout);
    assert!(again.contains("waits already"), "{again}");
    let list = text(&folder.run(&["keys", "list"]).stdout);
    assert!(list.contains("waits, works from"), "{list}");
    running.kill();
}

/// ST-04: neither of two wrong keys makes a new one, and going over needs the right one.
#[test]
fn st_04_a_previous_master_key_that_is_wrong_stops_the_start_too() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    let right = std::fs::read(folder.path("master.key")).unwrap();
    folder.write_key("ff02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let both = format!("previous_master_key_file = \"other.key\"\n{config}");
    std::fs::write(folder.config(), both).unwrap();
    std::fs::copy(folder.path("master.key"), folder.path("other.key")).unwrap();
    let output = folder.run(&["serve"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("previous_master_key"), "{said}");
    std::fs::write(folder.path("other.key"), right).unwrap();
    folder.serve().kill();
}
