//! The listeners themselves: what a connection may cost, and how serving ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web::{ConnectionLimits, Drained, Listener};

use crate::house::{House, LOOPBACK};

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: JoinSet<Drained>,
}

async fn serve(limits: ConnectionLimits) -> (Served, House) {
    serve_as(limits, Listener::from).await
}

/// The same at a listener of some kind.
pub(crate) async fn serve_as(
    limits: ConnectionLimits,
    kind: impl FnOnce(TcpListener) -> Listener,
) -> (Served, House) {
    serve_house(House::new(LOOPBACK).await, limits, kind).await
}

/// The same of this house.
pub(crate) async fn serve_house(
    house: House,
    limits: ConnectionLimits,
    kind: impl FnOnce(TcpListener) -> Listener,
) -> (Served, House) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let fronts = web::Fronts::new(std::sync::Arc::clone(&house.front));
    tasks.spawn(web::serve(vec![kind(listener)], fronts, limits, shutdown.clone()));
    (Served { address, shutdown, tasks }, house)
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own, and reads until the other side closes it.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The other side may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
        }
    }
}

pub(crate) fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

#[tokio::test]
async fn a_request_is_answered_over_http_1() {
    let (served, _house) = serve(ConnectionLimits::default()).await;
    let answer = served.exchange(&get("/healthz", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{\"status\":\"alive\"}"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_same_port_speaks_http_2() {
    let (served, _house) = serve(ConnectionLimits::default()).await;
    let stream = hyper_util::rt::TokioIo::new(served.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let ask = |host: &str| {
        let uri = format!("http://{host}/.well-known/oauth-authorization-server");
        http::Request::get(uri).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap()
    };
    assert_eq!(sender.send_request(ask("127.0.0.1:8080")).await.unwrap().status(), 200);
    // PX-31: the authority of HTTP/2 is a host like any other.
    assert_eq!(sender.send_request(ask("evil.example")).await.unwrap().status(), 421);
}

/// AZ-26.
#[tokio::test]
async fn a_url_that_is_too_long_is_414_and_too_many_headers_are_431() {
    let (served, _house) = serve(ConnectionLimits::default()).await;
    let long = served.exchange(&get(&format!("/{}", "a".repeat(128 * 1024)), "")).await;
    assert!(long.starts_with("HTTP/1.1 414 "), "{long}");
    let many = (0..200).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let answer = served.exchange(&get("/healthz", &many)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let large = served.exchange(&get("/healthz", &format!("x: {}\r\n", "y".repeat(300 * 1024)))).await;
    assert!(large.starts_with("HTTP/1.1 431 "), "{large}");
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let limits =
        ConnectionLimits { header_timeout: Duration::from_millis(50), ..ConnectionLimits::default() };
    let (served, _house) = serve(limits).await;
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "GET /healthz HTTP/1.1\r\nhost: 127.0", "GET"] {
        let answer = served.exchange(start.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{start}: {answer}");
    }
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let limits = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let (served, _house) = serve(limits).await;
    let first = served.connect().await;
    let mut second = served.connect().await;
    second.write_all(&get("/healthz", "")).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), second.readable()).await;
    assert!(early.is_err(), "the second was served beside the first");
    drop(first);
    assert!(read_to_end(&mut second).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn an_answer_in_progress_is_finished_when_serving_ends() {
    let (mut served, _house) = serve(ConnectionLimits::default()).await;
    let mut stream = served.connect().await;
    let body = "grant_type=x";
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so the request is with its handler.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    served.shutdown.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(served.tasks.join_next().await.unwrap().unwrap(), Drained::Finished);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_cut_off_when_serving_ends() {
    let limits = ConnectionLimits { drain: Duration::from_millis(50), ..ConnectionLimits::default() };
    let (mut served, _house) = serve(limits).await;
    let mut stream = served.connect().await;
    let head = "POST /oauth/token HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();
    served.shutdown.cancel();
    assert_eq!(served.tasks.join_next().await.unwrap().unwrap(), Drained::CutOff);
}

#[tokio::test]
async fn the_metrics_have_a_listener_of_their_own() {
    let house = House::new(LOOPBACK).await;
    house.get("/", &[]).await;
    house.get("/nothing", &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let front = web::Fronts::new(std::sync::Arc::clone(&house.front));
    tasks.spawn(web::serve_metrics(vec![listener], front, ConnectionLimits::default(), shutdown.clone()));
    let served = Served { address, shutdown, tasks };
    let text = served.exchange(&get("/metrics", "")).await;
    for line in [
        "sekisho_requests_total{route=\"index\",status=\"2xx\"} 1",
        "sekisho_requests_total{route=\"none\",status=\"4xx\"} 1",
        "sekisho_build_info{version=\"0.0.0-test\"} 1",
        "sekisho_open_streams 0",
        "sekisho_audit_send_failures_total 0",
        "sekisho_audit_retries_total 0",
        "sekisho_mcp_server_calls_total{server=\"notes\",outcome=\"answered\"} 0",
        "sekisho_mcp_server_call_duration_seconds_bucket{le=\"0.005\",server=\"notes\"} 0",
        "sekisho_mcp_server_call_duration_seconds_bucket{le=\"+Inf\",server=\"notes\"} 0",
        "sekisho_clock_differs 0",
        "sekisho_spans_total{outcome=\"dropped\"} 0",
        "sekisho_calls_total{outcome=\"answered\"} 0",
        "sekisho_connections_total{outcome=\"refreshed\"} 0",
        "# TYPE sekisho_credentials counter",
        "# EOF",
    ] {
        assert!(text.lines().any(|served| served == line), "{line} in {text}");
    }
    let pages = served.exchange(&get("/", "")).await;
    assert!(pages.starts_with("HTTP/1.1 404 "), "{pages}");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let is_served: BTreeSet<&str> = types.collect();
    // Dashboard and alerts name only what is there, and the documentation all of it.
    for file in ["deploy/grafana/sekisho.json", "deploy/prometheus/sekisho.rules.yml"] {
        let named = families(file);
        assert!(named.len() > 5, "{file}: {named:?}");
        for family in &named {
            assert!(
                is_served.contains(family.as_str()),
                "{file} names {family}, which is not served:\n{text}"
            );
        }
    }
    let documented = families("docs/telemetry.md");
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert_eq!(documented, is_served, "docs/telemetry.md, and what is served");
}

/// The metrics that a file of the tree names.
fn families(file: &str) -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(file)).unwrap();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("sekisho_"));
    let bare = |name: &str| {
        let ends = ["_total", "_info", "_bucket"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    names.map(bare).collect()
}
