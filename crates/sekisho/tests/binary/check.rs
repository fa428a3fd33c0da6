use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use authorization_server::Platform;
use protocol::world::Clock as _;
use rcgen::{CertificateParams, KeyPair};
use sekisho::world::SystemClock;
use testkit::mcp_server::FakeMcpServer;
use testkit::openid_provider::OpenIdProvider;
use testkit::workloads::WorkloadPlatform;
use testkit::world::TestClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::process::{Folder, text};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn add(folder: &Folder, text: &str) {
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), format!("{config}{text}")).unwrap();
}

/// A certificate for `name` whose last day is so many days from now, in `NAME.pem` and `NAME.key`.
fn certificate(folder: &Folder, name: &str, days: i64) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let day = Duration::from_secs(86_400);
    let now = UNIX_EPOCH + Duration::from_secs(SystemClock::default().now().secs().unsigned_abs());
    let far = day * u32::try_from(days.unsigned_abs()).unwrap();
    let end = if days < 0 { now - far } else { now + far + day / 2 };
    (params.not_before, params.not_after) = ((now - day * 90).into(), end.into());
    std::fs::write(folder.path(&format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
    let key_file = folder.path(&format!("{name}.key"));
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    set_mode(&key_file, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_a_good_set_up_would_work_and_starts_nothing() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let output = folder.run(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    for what in [
        "configuration",
        "public URL",
        "listener 127.0.0.1",
        "secret files",
        "master key",
        "store",
        "identity provider development",
        "MCP server notes",
    ] {
        assert!(said.contains(&format!("ok    {what}")), "{what}:\n{said}");
    }
    assert!(!folder.path("record.db").exists(), "check made a store");
}

#[test]
fn check_names_what_would_not_work_and_goes_on_looking() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    std::fs::remove_file(folder.path("master.key")).unwrap();
    let output = folder.run(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("BAD   master key"), "{said}");
    assert!(said.contains("BAD   MCP server notes"), "{said}");
    assert!(said.contains("2 things would not work"), "{said}");
}

#[test]
fn check_of_an_existing_record_tries_the_master_key() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    folder.write_key("ff02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00");
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("BAD   keys"), "{said}");
}

/// A newer binary beside an older one that runs: to look at the record must not change it.
#[test]
fn check_and_audit_leave_a_record_of_another_version_as_it_is() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    std::fs::write(folder.path("record.db"), "").unwrap();
    for _ in 0..2 {
        let said = text(&folder.run(&["check"]).stdout);
        assert!(said.contains("migrations pending") && said.contains("note  keys"), "{said}");
        let audit = folder.run(&["audit"]);
        assert_eq!(audit.status.code(), Some(2), "{}", text(&audit.stderr));
    }
}

#[test]
fn a_wrong_configuration_is_shown_with_all_its_mistakes() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config.replace("public_url", "publc_url").replace("sqlite", "sqlit"))
        .unwrap();
    for command in ["check", "serve"] {
        let output = folder.run(&[command]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("did you mean `public_url`") && said.contains("did you mean `sqlite`"),
            "{said}"
        );
        assert!(said.contains("sekisho.toml:1"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_programs_the_same_as_people() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let output = folder.run(&["check", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &found["would_work"]), (Some(0), &true.into()));
    let lines = text(&folder.run(&["check"]).stdout);
    for finding in found["findings"].as_array().unwrap() {
        let word = finding["state"].as_str().unwrap();
        let line = format!(
            "  {word:<5} {}: {}",
            finding["what"].as_str().unwrap(),
            finding["finding"].as_str().unwrap()
        );
        assert!(lines.contains(&line), "{line}\n{lines}");
    }
    std::fs::remove_file(folder.path("master.key")).unwrap();
    let output = folder.run(&["check", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &found["would_work"]), (Some(3), &false.into()));
}

#[test]
fn check_says_that_a_sekisho_runs_and_where_it_answers() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let away = text(&folder.run(&["check"]).stdout);
    assert!(away.contains("note  public URL: nobody answers there from this machine, directly"), "{away}");
    let running = folder.serve();
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("ok    public URL: a Sekisho answers there from this machine, directly"), "{said}");
    let name = folder.issuer.trim_start_matches("http://");
    let listens = format!("machines at {name}, people at {name}, in clear; somebody listens there already");
    assert!(said.contains(&listens), "{said}");
    drop(running);
}

#[test]
fn check_finds_secrets_and_a_configuration_that_are_open_to_others() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let secret = folder.path("proxy.password");
    std::fs::write(&secret, "c4n4ry").unwrap();
    set_mode(&secret, 0o644);
    add(
        &folder,
        "[outbound_proxy]\nurl = \"http://127.0.0.1:9\"\nusername = \"u\"\npassword_file = \"proxy.password\"\n",
    );
    set_mode(Path::new(&folder.config()), 0o666);
    let said = text(&folder.run(&["check"]).stdout);
    assert!(
        said.contains("BAD   secret files: `") && said.contains("proxy.password` can be read or changed"),
        "{said}"
    );
    assert!(said.contains("ok    secret files: 1 file is for its owner alone"), "{said}");
    assert!(said.contains("BAD   files: everybody may change `"), "{said}");
    assert!(!said.contains("c4n4ry"), "{said}");
    set_mode(folder.folder.path(), 0o777);
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("BAD   files: everybody may exchange files in `"), "{said}");
}

#[test]
fn check_names_certificates_that_expire_soon_have_expired_or_are_for_somebody_else() {
    let folder = Folder::new("https://localhost:9/mcp");
    for (name, days) in [("good.example", 60), ("soon.example", 5), ("late.example", -2), ("localhost", 10)] {
        certificate(&folder, name, days);
    }
    add(&folder, "client_certificate_file = \"soon.example.pem\"\nclient_key_file = \"soon.example.key\"\n");
    for name in ["good.example", "late.example", "localhost"] {
        let tls = format!("certificate_file = \"{name}.pem\"\nkey_file = \"{name}.key\"\n");
        add(&folder, &format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener.tls]]\n{tls}"));
    }
    let said = text(&folder.run(&["check"]).stdout);
    for expected in [
        "good.example.pem: is valid until ",
        "late.example.pem: expired on ",
        "localhost.pem: expires on ",
        ", in 10 days",
        "note  client certificate for MCP server notes: expires on ",
        "none of its certificates is for localhost; who comes",
    ] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    assert_eq!(
        said.matches("none of its certificates is for localhost").count(),
        4,
        "two names, two listeners: {said}"
    );
}

#[test]
fn check_says_how_many_connections_the_open_files_allow() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sekisho"), "check"]);
    let output = command.args(["--config", &folder.config()]).output().unwrap();
    let said = text(&output.stdout);
    assert!(
        said.contains("note  open files: the limit is 256: no more than 80 connections at a time"),
        "{said}"
    );
}

/// A provider whose clock stands still, in another year.
#[tokio::test(flavor = "multi_thread")]
async fn check_compares_the_clock_of_the_identity_provider_with_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let mut provider = JoinSet::new();
    provider.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer =
                "HTTP/1.1 404 Not Found\r\ndate: Fri, 15 Jan 2021 08:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
            // Whoever has heard enough hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    add(
        &folder,
        &format!(
            "[[identity_provider]]\nid = \"idp\"\nkind = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\n"
        ),
    );
    let said = text(&folder.run(&["check"]).stdout);
    assert!(
        said.contains("BAD   identity provider idp: our clock is ") && said.contains("s ahead of its"),
        "{said}"
    );
}

/// The keys of a client that has them elsewhere: had, or not, and how many.
#[tokio::test(flavor = "multi_thread")]
async fn check_fetches_the_keys_of_a_client() {
    let provider = OpenIdProvider::start(&Arc::new(TestClock::default())).await.unwrap();
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    for (id, path) in [("keyed", "keys"), ("gone", "nothing")] {
        let (uris, issuer) = ("redirect_uris = [\"https://a.example/cb\"]", &provider.issuer);
        add(&folder, &format!("[[client]]\nclient_id = \"{id}\"\n{uris}\njwks_uri = \"{issuer}/{path}\"\n"));
    }
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("ok    keys of client keyed: 1 of use; reached directly"), "{said}");
    assert!(said.contains("BAD   keys of client gone: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_whether_the_keys_of_a_platform_can_be_had_and_refuses_a_rule_for_everybody() {
    let server = FakeMcpServer::start().await.unwrap();
    let clock = std::sync::Arc::default();
    let platform = WorkloadPlatform::start(Platform::GitHubActions, &clock).await.unwrap();
    let folder = Folder::new(&server.url);
    let written = std::fs::read_to_string(folder.config()).unwrap();
    let with = |issuer: &str, claim: &str| {
        let more = format!(
            "\n[[service_account]]\nname = \"ci\"\n[[service_account.workload]]\nissuer = \"{issuer}\"\n\
             claims = [\"{claim}\"]\n[[workload_issuer]]\nissuer = \"{issuer}\"\nplatform = \"github-actions\"\n"
        );
        std::fs::write(folder.config(), format!("{written}{more}")).unwrap();
        folder.run(&["check"])
    };
    let output = with(&platform.issuer, "repository=acme/app");
    let said = text(&output.stdout);
    let good = format!("ok    workload issuer {}", platform.issuer);
    assert!(output.status.success() && said.contains(&good), "{said}{}", text(&output.stderr));
    assert_eq!(platform.asked_for_keys(), 1);
    let said = text(&with(&format!("{}/", platform.issuer), "repository=acme/app").stdout);
    assert!(said.contains("BAD   workload issuer") && said.contains("spelled as it spells itself"), "{said}");
    let refused = with(&platform.issuer, "ref=refs/heads/main");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("would let everybody of this issuer in") && said.contains("repository=OWNER"),
        "{said}"
    );
    platform.break_down();
    let said = text(&with(&platform.issuer, "repository=acme/app").stdout);
    assert!(said.contains("BAD   workload issuer"), "{said}");
}

/// Names and addresses do not cross a network in clear because a letter was left out.
#[test]
fn a_collector_elsewhere_is_told_over_tls_unless_somebody_says_otherwise() {
    let folder = Folder::new("http://127.0.0.1:1/mcp");
    let plain = std::fs::read_to_string(folder.config()).unwrap();
    let telemetry = |lines: &str| {
        std::fs::write(folder.config(), format!("{plain}[telemetry]\naudit = true\n{lines}")).unwrap();
        let output = folder.run(&["check"]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = telemetry("otlp_endpoint = \"http://collector.corp.example:4318\"\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("otlp_endpoint") && said.contains("allow_http"), "{said}");
    for allowed in [
        "otlp_endpoint = \"http://127.0.0.1:1\"\n",
        "otlp_endpoint = \"https://127.0.0.1:1\"\n",
        "otlp_endpoint = \"http://localhost:1\"\n",
    ] {
        let (code, said) = telemetry(allowed);
        assert_eq!(code, Some(3), "it is tried, and nobody is there: {said}");
        assert!(said.contains("collector"), "{said}");
    }
    let (code, said) = telemetry("allow_http = true\notlp_endpoint = \"http://collector.invalid:4318\"\n");
    assert_eq!(code, Some(3), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_the_collector_with_nothing_in_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for answer in ["200 OK", "401 Unauthorized"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 16 * 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            let asked = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
            assert!(
                asked.starts_with("post /v1/logs") && asked.contains("application/x-protobuf"),
                "{asked}"
            );
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    add(&folder, &format!("[telemetry]\naudit = true\notlp_endpoint = \"http://{address}\"\n"));
    let output = folder.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("takes the audit"), "{}", text(&output.stdout));
    let output = folder.run(&["check"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("401"), "{}", text(&output.stdout));
}
