use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::{Answer, Http, request};
use testkit::mcp_server::FakeMcpServer;
use tokio::task::JoinSet;

use crate::process::{Folder, Running, http, text};

/// T (product.md, P-2).
const T: Duration = Duration::from_secs(5);
const REFUSED: &str = "the last good one stays in use";
const TAKEN: &str = "was read again and is in use";
const CLIENT: &str = "\n[[client]]\nclient_id = \"console\"\nredirect_uris = [\"https://console.example/cb\"]\nsecret_file = \"client.secret\"\n";

struct Scene {
    folder: Folder,
    running: Running,
    server: FakeMcpServer,
    good: String,
    bearer: String,
    http: Http,
}

impl Scene {
    async fn new() -> Self {
        let server = FakeMcpServer::start().await.unwrap();
        let folder = Folder::new(&server.url);
        write_secret(&folder, "client.secret", "a secret that is long enough");
        let metrics = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let config = std::fs::read_to_string(folder.config()).unwrap();
        let good = format!("metrics_listen = \"{metrics}\"\n{config}{CLIENT}");
        std::fs::write(folder.config(), &good).unwrap();
        let running = folder.serve();
        let http = http();
        let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
        let mut browser = Browser::new(http.clone());
        let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        Self { folder, running, server, good, bearer, http }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.config(), text).unwrap();
    }

    fn reload(&self, sign: &str) {
        self.running.send("-HUP");
        self.running.says(sign);
    }

    async fn call(&self, server: &str) -> Answer {
        let url = format!("{}/{server}/mcp", self.folder.issuer);
        call(&self.http, &url, &self.bearer).await.unwrap()
    }

    /// 1 while the file is not the one in use.
    async fn refused(&self) -> String {
        let metrics = self.good.lines().next().unwrap().split('"').nth(1).unwrap();
        let page = self.http.get(&format!("http://{metrics}/metrics"), &[]).await.unwrap().text();
        let line = page.lines().find(|line| line.starts_with("sekisho_configuration_refused ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

fn write_secret(folder: &Folder, name: &str, secret: &str) {
    std::fs::write(folder.path(name), secret).unwrap();
    set_mode(folder, name, 0o600);
}

fn set_mode(folder: &Folder, name: &str, mode: u32) {
    std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

async fn call(http: &Http, url: &str, bearer: &str) -> Result<Answer, String> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let headers = [
        ("authorization", bearer),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    http.post(url, &headers, body).await
}

/// Calls without a pause, none of which may fail.
struct Load {
    going: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    fn begin(scene: &Scene) -> Self {
        let (going, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let (going, calls) = (Arc::clone(&going), Arc::clone(&calls));
            let (http, url, bearer) = (scene.http.clone(), scene.folder.resource(), scene.bearer.clone());
            callers.spawn(async move {
                while going.load(Ordering::Relaxed) {
                    let answer = call(&http, &url, &bearer).await.unwrap();
                    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { going, calls, callers }
    }

    /// After some more calls, so that the last change has met them too.
    async fn end(mut self) {
        let before = self.calls.load(Ordering::Relaxed);
        while self.calls.load(Ordering::Relaxed) < before + 20 {
            tokio::task::yield_now().await;
        }
        self.going.store(false, Ordering::Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
    }
}

/// Each secret gone, empty, and open to others.
async fn spoil_secrets(scene: &Scene) {
    for name in ["client.secret", "master.key"] {
        let before = std::fs::read_to_string(scene.folder.path(name)).unwrap();
        std::fs::remove_file(scene.folder.path(name)).unwrap();
        scene.reload(REFUSED);
        write_secret(&scene.folder, name, "");
        scene.reload(REFUSED);
        write_secret(&scene.folder, name, &before);
        set_mode(&scene.folder, name, 0o644);
        scene.reload(REFUSED);
        set_mode(&scene.folder, name, 0o600);
        assert_eq!(scene.refused().await, "1");
    }
}

/// Whatever is wrong with the file or with what it names: nothing changes, an error and a metric say so, and the next
/// good one is taken. No request that was made meanwhile fails.
#[tokio::test(flavor = "multi_thread")]
async fn f_30_a_bad_configuration_keeps_the_last_good_one_and_the_next_good_one_is_taken() {
    let scene = Scene::new().await;
    let load = Load::begin(&scene);
    assert_eq!(scene.refused().await, "0");
    let half = &scene.good[..scene.good.len() / 2];
    let port = scene.folder.issuer.rsplit(':').next().unwrap();
    for bad in [
        "",
        half,
        "public_url = ",
        &scene.good.replace("sqlite", "sqlit"),
        &scene.good.replace("access = \"everyone who may log in\"\n", ""),
        &scene.good.replace("http://localhost", "http://127.0.0.1"),
        &scene.good.replace(&format!("listen = [\"127.0.0.1:{port}\"]"), "listen = [\"127.0.0.1:1\"]"),
        &scene.good.replace("record.db", "other.db"),
    ] {
        scene.write(bad);
        scene.reload(REFUSED);
        assert_eq!(scene.refused().await, "1");
    }
    std::fs::remove_file(scene.folder.config()).unwrap();
    scene.reload(REFUSED);
    scene.write(&scene.good);
    spoil_secrets(&scene).await;
    write_secret(&scene.folder, "client.secret", "another secret that is long enough");
    assert_eq!(scene.call("extra").await.status, StatusCode::NOT_FOUND);
    let extra = format!(
        "{}[[mcp_server]]\nname = \"extra\"\nurl = \"{}\"\naccess = [\"group:finance\"]\n",
        scene.good, scene.server.url
    );
    scene.write(&extra);
    scene.reload(TAKEN);
    assert_eq!(scene.refused().await, "0");
    assert_eq!(scene.call("extra").await.status, StatusCode::UNAUTHORIZED, "it is there, for other tokens");
    load.end().await;
    assert!(scene.server.connections() <= 8, "the ways to an unchanged MCP server stay open");
}

/// Policies are taken at a reload, all or none: with a mistake in one file, without any file or without the folder the last
/// good ones stay, and the log says what is wrong and where.
#[tokio::test(flavor = "multi_thread")]
async fn f_30_policies_with_a_mistake_leave_the_last_good_ones_in_use() {
    let scene = Scene::new().await;
    let folder = scene.folder.path("policies");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "a.cedar",
        "forbid (principal, action == Action::\"connect\", resource is McpServer) when { principal has email && principal.email == \"nobody\" };",
    );
    scene.write(&format!("{}[policy]\nfolder = \"policies\"\n", scene.good));
    scene.reload(TAKEN);
    assert_eq!(scene.call("notes").await.status, StatusCode::OK);
    write(
        "b.cedar",
        "@id(\"closed\") forbid (principal, action == Action::\"connect\", resource == McpServer::\"notes\");",
    );
    scene.reload(TAKEN);
    assert_eq!(scene.call("notes").await.status, StatusCode::FORBIDDEN);
    write("b.cedar", "\n\nforbid (principal, action == Action::\"conect\", resource);");
    scene.reload("b.cedar:3: ");
    assert_eq!(scene.call("notes").await.status, StatusCode::FORBIDDEN, "the last good ones stay");
    assert_eq!(scene.refused().await, "1");
    let ready = scene.http.get(&format!("{}/readyz", scene.folder.issuer), &[]).await.unwrap();
    assert_eq!((ready.status, &ready.json()["configuration"]), (StatusCode::OK, &"refused".into()));
    let away = scene.folder.path("away");
    std::fs::rename(&folder, &away).unwrap();
    scene.reload(REFUSED);
    std::fs::create_dir(&folder).unwrap();
    scene.reload(REFUSED);
    assert_eq!(scene.call("notes").await.status, StatusCode::FORBIDDEN);
    std::fs::rename(away.join("a.cedar"), folder.join("a.cedar")).unwrap();
    let check = || text(&scene.folder.run(&["check"]).stdout);
    assert!(check().contains("a running Sekisho refused the configuration at 2"), "{}", check());
    scene.reload(TAKEN);
    assert!(!check().contains("a running Sekisho refused"), "{}", check());
    let output = scene.folder.run(&["audit", "--json", "--kind", "configuration_read"]);
    let readings = text(&output.stdout);
    let readings = readings.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut readings: Vec<serde_json::Value> = readings.collect();
    readings.sort_by_key(|event| event["at"].to_string());
    let said = |event: &serde_json::Value| {
        ["outcome", "reason"].map(|key| event[key].as_str().unwrap_or("-").to_owned()).join(" ")
    };
    assert_eq!(
        readings.iter().map(said).collect::<Vec<_>>(),
        [
            "ok -",
            "ok -",
            "refused policy_mistakes",
            "refused not_to_be_taken",
            "refused not_to_be_taken",
            "ok -"
        ]
    );
    assert_eq!(readings[2]["detail"]["policies"], "2", "those that stay: {}", readings[2]);
    let ready = scene.http.get(&format!("{}/readyz", scene.folder.issuer), &[]).await.unwrap();
    assert_eq!(ready.json()["configuration"], "ok");
    assert_eq!(scene.call("notes").await.status, StatusCode::OK);
}

/// The secret of a client is exchanged by replacing its file: the old one is worth nothing from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_clients_new_secret() {
    let scene = Scene::new().await;
    let refused = |secret: &'static str| {
        let (http, url) = (scene.http.clone(), format!("{}/oauth/token", scene.folder.issuer));
        async move {
            let fields = [
                ("grant_type", "refresh_token"),
                ("refresh_token", "skr_none"),
                ("client_id", "console"),
                ("client_secret", secret),
            ];
            http.post_form(&url, &[], &fields).await.unwrap().error()
        }
    };
    assert_eq!(refused("a secret that is long enough").await, "invalid_grant");
    write_secret(&scene.folder, "client.secret", "another secret that is long enough");
    scene.reload(TAKEN);
    assert_eq!(refused("a secret that is long enough").await, "invalid_client");
    assert_eq!(refused("another secret that is long enough").await, "invalid_grant");
}

/// P-12: a node is not ready while it does not know what was accepted of tools. A reload that adds MCP servers reads that before it takes
/// them: no balancer turns away from a node because of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_adds_mcp_servers_leaves_the_node_ready() {
    let scene = Scene::new().await;
    let mut config = scene.good.clone();
    // The record is read every two seconds: of so many one would meet the time before.
    for number in 0..4 {
        let url = &scene.server.url;
        config.push_str(&format!(
            "\n[[mcp_server]]\nname = \"more{number}\"\nurl = \"{url}\"\naccess = \"everyone who may log in\"\n"
        ));
        scene.write(&config);
        scene.reload(TAKEN);
        let ready = scene.http.get(&format!("{}/readyz", scene.folder.issuer), &[]).await.unwrap();
        assert_eq!(
            (ready.status, &ready.json()["tools"]),
            (StatusCode::OK, &"ok".into()),
            "{}",
            ready.text()
        );
    }
}

/// Streams of an MCP server that is gone, and of people who are not admitted any more, end within T.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_a_reload_takes_their_access_away() {
    let everyone = "access = \"everyone who may log in\"";
    let changes: [fn(&str) -> String; 2] = [
        |good| good.replace("access = \"everyone who may log in\"", "access = [\"group:finance\"]"),
        |good| good.replace("name = \"notes\"", "name = \"elsewhere\""),
    ];
    for change in changes {
        let scene = Scene::new().await;
        assert!(scene.good.contains(everyone));
        let headers = [("authorization", scene.bearer.as_str()), ("accept", "text/event-stream")];
        let asked = request(Method::GET, &scene.folder.resource(), &headers, Bytes::new()).unwrap();
        let mut answer = scene.http.stream(asked).await.unwrap().into_body();
        let stream = scene.server.next_stream().await;
        assert!(stream.send(": open\n\n"));
        answer.frame().await.unwrap().unwrap();
        scene.write(&scene.good.replace("[store]", "# nothing that matters\n[store]"));
        scene.reload(TAKEN);
        assert!(stream.send(": still open\n\n"), "a reload that takes nothing away ends no stream");
        answer.frame().await.unwrap().unwrap();
        scene.write(&change(&scene.good));
        scene.reload(TAKEN);
        tokio::time::timeout(T, stream.closed()).await.unwrap();
        assert!(matches!(scene.call("notes").await.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND));
    }
}

/// What a standing stream tells of was judged when it was opened. By other policies it is to be opened anew, even by somebody
/// whom they still admit; by the same ones it stays.
#[tokio::test(flavor = "multi_thread")]
async fn se_10_a_standing_stream_ends_when_the_policies_change_by_which_it_was_judged() {
    let scene = Scene::new().await;
    let folder = scene.folder.path("policies");
    std::fs::create_dir(&folder).unwrap();
    let write = |tool: &str| {
        let policy =
            format!("forbid (principal, action == Action::\"call\", resource == Tool::\"notes/{tool}\");");
        std::fs::write(folder.join("a.cedar"), policy).unwrap();
    };
    write("wipe");
    scene.write(&format!("{}[policy]\nfolder = \"policies\"\n", scene.good));
    scene.reload(TAKEN);
    let headers = [("authorization", scene.bearer.as_str()), ("accept", "text/event-stream")];
    let asked = request(Method::GET, &scene.folder.resource(), &headers, Bytes::new()).unwrap();
    let mut answer = scene.http.stream(asked).await.unwrap().into_body();
    let stream = scene.server.next_stream().await;
    assert!(stream.send(": open\n\n"));
    answer.frame().await.unwrap().unwrap();
    scene.reload(TAKEN);
    assert!(stream.send(": still open\n\n"), "nothing changed");
    answer.frame().await.unwrap().unwrap();
    write("send");
    scene.reload(TAKEN);
    tokio::time::timeout(T, stream.closed()).await.unwrap();
    assert_eq!(scene.call("notes").await.status, StatusCode::OK, "and who is admitted calls on");
}
