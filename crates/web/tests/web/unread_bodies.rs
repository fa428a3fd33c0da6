//! Requests that are answered before their body was read (RFC 9112, section 9.6): the connection goes on, or the answer
//! says that it does not; and the answer arrives either way.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use web::{ConnectionLimits, Listener};

use crate::house::House;
use crate::listeners::{Served, get, read_to_end, serve_as};

const MEBI: usize = 1024 * 1024;
const IN_TIME: Duration = Duration::from_secs(20);

async fn served() -> (Served, House) {
    serve_as(ConnectionLimits::default(), Listener::from).await
}

/// The head of a call without a token.
fn head(framing: &str) -> String {
    format!(
        "POST /notes/mcp HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    )
}

/// One answer of which the length is known, and no byte of the next.
async fn read_one(stream: &mut TcpStream) -> String {
    let reading = async {
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.unwrap().parse::<usize>().unwrap() {
                    return text;
                }
            }
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "it ended after {text:?}");
            answer.extend_from_slice(&byte);
        }
    };
    tokio::time::timeout(IN_TIME, reading).await.unwrap()
}

fn is_closing(answer: &str) -> bool {
    answer.lines().any(|line| line == "connection: close")
}

#[tokio::test]
async fn a_connection_goes_on_after_a_401_whose_body_was_on_its_way() {
    let (served, _house) = served().await;
    let mut stream = served.connect().await;
    let (small, large) = ("x".repeat(10), "x".repeat(64 * 1024));
    let chunked = "a\r\nxxxxxxxxxx\r\n0\r\nx-trailer: y\r\n\r\n";
    for (framing, body) in [
        ("content-length: 10", small.as_str()),
        ("content-length: 65536", &large),
        ("transfer-encoding: chunked", chunked),
    ] {
        // At once, and as most clients do it: head and body apart.
        for apart in [false, true] {
            stream.set_nodelay(true).unwrap();
            if apart {
                stream.write_all(head(framing).as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(body.as_bytes()).await.unwrap();
            } else {
                stream.write_all([head(framing).as_str(), body].concat().as_bytes()).await.unwrap();
            }
            let answer = read_one(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 401 ") && !is_closing(&answer), "{framing}: {answer}");
        }
    }
    stream.write_all(&get("/healthz", "")).await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 "), "the next request is answered");
}

#[tokio::test]
async fn a_request_that_follows_an_unread_body_is_a_request_of_its_own() {
    let (served, _house) = served().await;
    let hidden = "GET /oauth/jwks HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n";
    let bytes = [
        head(&format!("content-length: {}", hidden.len())).as_bytes(),
        hidden.as_bytes(),
        &get("/healthz", ""),
    ]
    .concat();
    let said = served.exchange(&bytes).await;
    let statuses: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["401", "200"], "the body is not a request: {said}");
    assert!(said.ends_with("{\"status\":\"alive\"}"), "{said}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_and_the_client_is_told() {
    let (served, _house) = served().await;
    for sent in ["", "xxxx"] {
        let mut stream = served.connect().await;
        stream.write_all([&head("content-length: 10"), sent].concat().as_bytes()).await.unwrap();
        let answer = read_one(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && is_closing(&answer), "{answer}");
        // What comes now is the rest of the body, or a request that nobody will answer; no reset comes of it.
        stream.write_all(&get("/healthz", "")).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut more = Vec::new();
        stream.read_to_end(&mut more).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&more), "");
    }
}

/// A client that listens only when it has said everything gets its answer, and no reset instead.
#[tokio::test]
async fn a_large_body_is_not_read_and_its_answer_arrives() {
    let (served, _house) = served().await;
    let form = "POST /oauth/token HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 6291456\r\n\r\n";
    for (head, status) in [(head("content-length: 6291456"), "401"), (form.to_owned(), "413")] {
        let mut stream = served.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; 6 * MEBI]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && is_closing(&answer), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_never_stops_is_let_go() {
    let (served, _house) = served().await;
    let mut stream = served.connect().await;
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
    let chunk = [&b"10000\r\n"[..], &[b'x'; 65536], b"\r\n"].concat();
    let mut sent = 0;
    let writing = async {
        while stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
    };
    tokio::time::timeout(IN_TIME, writing).await.unwrap();
    // What the sockets hold comes on top.
    assert!(sent < 32 * MEBI, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_body_that_was_read_costs_no_connection_whatever_it_was_worth() {
    let (served, _house) = served().await;
    let mut stream = served.connect().await;
    for _ in 0..2 {
        let body = "grant_type=nonsense";
        let request = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_one(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 4") && !is_closing(&answer), "{answer}");
    }
}

/// RFC 9110, section 10.1.1: a final answer in place of 100, and no word of more to come.
#[tokio::test]
async fn a_body_that_is_held_back_is_not_asked_for() {
    let (served, _house) = served().await;
    let answer = served.exchange(head("content-length: 10\r\nexpect: 100-continue").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && is_closing(&answer), "{answer}");
}

#[tokio::test]
async fn http_2_ends_a_stream_and_goes_on() {
    let (served, _house) = served().await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(served.connect().await))
            .await
            .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    for _ in 0..3 {
        let request = http::Request::post("http://127.0.0.1:8080/notes/mcp")
            .body(Full::new(Bytes::from(vec![b'x'; 1000])))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(!answer.headers().contains_key("connection"));
        assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}
