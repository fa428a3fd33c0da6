//! What one address may hold, what is done with a connection on which nothing happens, and who may say that he comes for
//! somebody else.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use web::{ConnectionLimits, KnownNetwork, Listener, Rates};

use crate::house::{House, LOOPBACK};
use crate::listeners::{Served, get, read_to_end, serve_as, serve_house};

/// Deadlines that are over at once, for tests in which somebody waits for one.
fn short() -> ConnectionLimits {
    ConnectionLimits {
        header_timeout: Duration::from_millis(300),
        unread: Duration::from_millis(100),
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()].into(),
        proxy_idle_timeout: Duration::from_millis(300),
        ..ConnectionLimits::default()
    }
}

fn behind_a_balancer(socket: tokio::net::TcpListener) -> Listener {
    Listener { proxy_protocol: true, ..Listener::from(socket) }
}

/// The header of a balancer that comes for this address.
fn on_behalf_of(source: &str) -> Vec<u8> {
    let own = if source.starts_with('[') { "[2001:db8:ffff::1]:443" } else { "192.0.2.1:443" };
    let address = ProxiedAddress::stream(source.parse().unwrap(), own.parse().unwrap());
    let mut header = vec![0; 256];
    let length = ProxyHeader::with_address(address).encode_to_slice_v2(&mut header).unwrap();
    header.truncate(length);
    header
}

async fn arrive(served: &Served, source: &str) -> TcpStream {
    let mut stream = served.connect().await;
    stream.write_all(&on_behalf_of(source)).await.unwrap();
    stream
}

async fn ask(stream: &mut TcpStream) -> String {
    // Who was turned away may be gone already.
    let _ = stream.write_all(&get("/healthz", "")).await;
    read_to_end(stream).await
}

#[tokio::test]
async fn a_balancer_says_for_whom_it_comes_and_nobody_else_does() {
    let (served, _house) = serve_as(short(), behind_a_balancer).await;
    assert!(ask(&mut arrive(&served, "203.0.113.7:4711").await).await.starts_with("HTTP/1.1 200 "));
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"[..], &get("/healthz", "")].concat();
    assert!(served.exchange(&local).await.starts_with("HTTP/1.1 200 "), "health checks speak for themselves");
    for bytes in [get("/healthz", ""), b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n".to_vec(), Vec::new()]
    {
        assert_eq!(served.exchange(&bytes).await, "", "closed without a word");
    }
    let stranger =
        ConnectionLimits { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()].into(), ..short() };
    let (served, _house) = serve_as(stranger, behind_a_balancer).await;
    assert_eq!(ask(&mut arrive(&served, "203.0.113.7:4711").await).await, "");
}

/// A balancer that sees no HTTP writes no header of HTTP: what stands there is the word of whoever is behind it. PX-11.
#[tokio::test]
async fn a_balancer_that_names_nobody_does_not_vouch_for_what_its_caller_writes() {
    let once = |settings: &mut web::Settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.rates = Rates { register: Some(web::Rate::per_second(1, 1)), ..Rates::unlimited() };
    };
    let nobody = [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0"];
    for header in nobody.map(<[u8]>::to_vec).into_iter().chain([on_behalf_of("203.0.113.7:4711")]) {
        let (served, _house) =
            serve_house(House::with(LOOPBACK, once).await, short(), behind_a_balancer).await;
        let mut answers = Vec::new();
        for claimed in ["198.51.100.1", "198.51.100.2"] {
            let body = "{\"redirect_uris\":[\"https://client.example/cb\"]}";
            let request = format!(
                "POST /oauth/register HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\nx-forwarded-for: {claimed}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = served.exchange(&[header.as_slice(), request.as_bytes()].concat()).await;
            answers.push(answer.split(' ').nth(1).unwrap_or_default().to_owned());
        }
        assert_eq!(answers, ["201", "429"], "one caller, whatever it claims: {header:?}");
    }
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_is_no_request_where_none_is_expected() {
    let (served, _house) = serve_as(short(), Listener::from).await;
    let answer = ask(&mut arrive(&served, "203.0.113.7:4711").await).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn one_address_takes_its_own_places_and_leaves_those_of_others() {
    let cloud = KnownNetwork {
        name: "cloud".to_owned(),
        networks: vec!["198.51.100.0/24".parse().unwrap()],
        rates: Rates::unlimited(),
        connections: 3,
    };
    let limits = ConnectionLimits {
        connections_per_address: 2,
        networks: vec![cloud].into(),
        header_timeout: Duration::from_secs(60),
        proxy_idle_timeout: Duration::from_secs(60),
        ..short()
    };
    let (served, _house) = serve_as(limits, behind_a_balancer).await;
    let mut held = Vec::new();
    for (source, places) in [("203.0.113.7:1", 2), ("[2001:db8::1]:1", 2), ("198.51.100.1:1", 3)] {
        for _ in 0..places {
            let mut stream = arrive(&served, source).await;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n").await.unwrap();
            // Answered, so it has its place.
            stream.readable().await.unwrap();
            held.push(stream);
        }
    }
    for source in ["203.0.113.7:2", "[2001:db8::2]:1", "198.51.100.2:1"] {
        assert_eq!(ask(&mut arrive(&served, source).await).await, "", "{source} has no place left");
    }
    assert!(ask(&mut arrive(&served, "203.0.113.8:1").await).await.starts_with("HTTP/1.1 200 "));
    held.clear();
    loop {
        if ask(&mut arrive(&served, "203.0.113.7:3").await).await.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2(served: &Served) -> (Sender, JoinSet<hyper::Result<()>>) {
    let stream = TokioIo::new(served.connect().await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    (sender, tasks)
}

fn health() -> http::Request<Empty<Bytes>> {
    http::Request::get("http://127.0.0.1:8080/healthz").body(Empty::new()).unwrap()
}

#[tokio::test]
async fn an_http_2_connection_on_which_nothing_is_asked_is_told_to_go() {
    let (served, _house) = serve_as(short(), Listener::from).await;
    let (mut sender, mut tasks) = http2(&served).await;
    let answer = sender.send_request(health()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    // It ends in good order: GOAWAY, no error.
    assert!(tasks.join_next().await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn an_http_2_connection_that_asks_nothing_at_all_is_closed() {
    let (served, _house) = serve_as(short(), Listener::from).await;
    let (_sender, mut tasks) = http2(&served).await;
    drop(tasks.join_next().await.unwrap());
}

#[tokio::test]
async fn a_listener_without_h2c_speaks_http_1_only() {
    let (served, _house) =
        serve_as(short(), |socket| Listener { h2c: false, ..Listener::from(socket) }).await;
    assert!(served.exchange(&get("/healthz", "")).await.starts_with("HTTP/1.1 200 "));
    let answer = served.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505 "),
        "{answer}"
    );
}
