//! The data plane's client: streams what comes, sends nothing twice, lets go when the caller lets go (PX-26, PX-34).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT_ENCODING, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use upstream::mcp_server::streamable_http::{
    McpServerClient, McpServerSettings, McpServerUrlError, UpstreamError,
};

use crate::lying_server::{LyingServer, read_request, read_to_end};
use crate::world::trust;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";

fn settings(url: String) -> McpServerSettings {
    McpServerSettings {
        url,
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(30),
    }
}

fn client(server: &LyingServer) -> McpServerClient {
    McpServerClient::new(&settings(server.url("/mcp?tenant=1")), trust()).unwrap()
}

fn call(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/").body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

async fn whole(answer: Response<Incoming>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// Answers every request on a connection with `{}`, and reports them.
async fn honest(mut stream: TcpStream, requests: mpsc::UnboundedSender<String>) {
    while let Some(request) = read_request(&mut stream).await {
        requests.send(request).unwrap();
        stream.write_all(OK).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_goes_to_the_configured_url_with_the_callers_headers() {
    let (requests, mut seen) = mpsc::unbounded_channel();
    let server = LyingServer::start(move |stream, _| honest(stream, requests.clone())).await;
    let mut request = call("{\"id\":1}");
    *request.uri_mut() = "https://elsewhere.example/other".parse().unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    request.headers_mut().insert(HOST, "elsewhere.example".parse().unwrap());
    request.headers_mut().insert(ACCEPT_ENCODING, "br".parse().unwrap());
    let answer = client(&server).send(request).await.unwrap();
    assert_eq!(whole(answer).await, "{}");
    let seen = seen.recv().await.unwrap();
    let host = server.url("").replace("http://", "");
    assert!(seen.starts_with("POST /mcp?tenant=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nhost: {host}\r\n")) && !seen.contains("elsewhere"), "{seen}");
    assert!(seen.contains("\r\naccept-encoding: br\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"id\":1}"), "{seen}");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (requests, mut seen) = mpsc::unbounded_channel();
    let server = LyingServer::start(move |stream, _| honest(stream, requests.clone())).await;
    let client = client(&server);
    for _ in 0..10 {
        whole(client.send(call("{}")).await.unwrap()).await;
        seen.recv().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_the_credential_goes_nowhere_else() {
    let canary = LyingServer::answering(OK).await;
    for status in [301, 302, 303, 307, 308] {
        let location = canary.url("/");
        let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = LyingServer::answering(answer).await;
        let mut request = call("{}");
        request.headers_mut().insert("authorization", "Bearer credential".parse().unwrap());
        assert_eq!(client(&server).send(request).await.unwrap().status(), status);
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn events_arrive_one_by_one_and_an_endless_stream_is_no_matter() {
    let (events, next) = mpsc::channel::<()>(1);
    let next = Arc::new(tokio::sync::Mutex::new(next));
    let server = LyingServer::start(move |mut stream, _| {
        let next = Arc::clone(&next);
        async move {
            read_request(&mut stream).await;
            stream.write_all(STREAM).await.unwrap();
            // The next event is sent only when the one before has been seen.
            while next.lock().await.recv().await.is_some() {
                stream.write_all(b"9\r\ndata: 2\n\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let mut body = client(&server).send(call("{}")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    for _ in 0..100 {
        events.send(()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 2\n\n");
    }
}

#[tokio::test]
async fn what_is_not_read_is_not_taken_from_the_server() {
    const CHUNK: usize = 64 * 1024;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let server = LyingServer::start(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'e'; CHUNK]).await.is_ok() {
                count.fetch_add(CHUNK, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut body = client(&server).send(call("{}")).await.unwrap().into_body();
    // The clock stands, and a sleeper wakes only when nobody has anything left to do: the server is stuck.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stuck = written.load(Ordering::SeqCst);
    assert!(stuck < 32 * 1024 * 1024, "{stuck} bytes were taken and nobody had read one");
    let mut read = 0;
    while read < 2 * stuck {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    assert!(written.load(Ordering::SeqCst) > stuck);
}

/// A server that reports when a connection has been closed, after sending `first`.
async fn watched(first: &'static [u8]) -> (LyingServer, Arc<Notify>, Arc<Notify>) {
    let (heard, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_heard, tell_closed) = (Arc::clone(&heard), Arc::clone(&closed));
    let server = LyingServer::start(move |mut stream, _| {
        let (heard, closed) = (Arc::clone(&tell_heard), Arc::clone(&tell_closed));
        async move {
            read_request(&mut stream).await;
            stream.write_all(first).await.unwrap();
            heard.notify_one();
            read_to_end(&mut stream).await;
            closed.notify_one();
        }
    })
    .await;
    (server, heard, closed)
}

#[tokio::test]
async fn dropping_the_call_closes_the_request_at_the_server() {
    let (server, heard, closed) = watched(b"").await;
    let client = client(&server);
    {
        let sending = client.send(call("{}"));
        tokio::select! {
            answer = sending => panic!("{answer:?}"),
            () = heard.notified() => {}
        }
    }
    closed.notified().await;
}

#[tokio::test]
async fn dropping_a_silent_stream_closes_it_at_the_server() {
    let (server, _, closed) = watched(STREAM).await;
    let client = client(&server);
    let mut body = client.send(call("{}")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    // Wait for the next event, which never comes, so that the connection is asleep when the caller leaves.
    assert!(body.frame().now_or_never().is_none());
    tokio::task::yield_now().await;
    drop(body);
    closed.notified().await;
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_deadline() {
    for first in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-"] {
        let (server, heard, closed) = watched(first).await;
        let client = client(&server);
        let (answer, ()) = tokio::join!(client.send(call("{}")), async {
            heard.notified().await;
            tokio::time::pause();
        });
        assert_eq!(answer.unwrap_err(), UpstreamError::TimedOut);
        closed.notified().await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn once_the_head_is_there_the_stream_may_take_its_time() {
    let (server, _, _closed) = watched(STREAM).await;
    let client = client(&server);
    let mut body = client.send(call("{}")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    tokio::time::pause();
    let hour = Duration::from_secs(60 * 60);
    assert!(tokio::time::timeout(hour, body.frame()).await.is_err(), "still open after an hour of silence");
}

#[tokio::test]
async fn a_call_that_may_have_been_heard_is_not_sent_again() {
    let (requests, mut seen) = mpsc::unbounded_channel();
    let server = LyingServer::start(move |mut stream, _| {
        let requests = requests.clone();
        async move {
            // The first is answered; the second is read and the connection closed over it.
            for answer in [OK, b""] {
                let Some(request) = read_request(&mut stream).await else { return };
                requests.send(request).unwrap();
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    let client = client(&server);
    whole(client.send(call("\"first\"")).await.unwrap()).await;
    assert_eq!(client.send(call("\"second\"")).await.unwrap_err(), UpstreamError::Broken);
    assert!(seen.recv().await.unwrap().ends_with("\"first\""));
    assert!(seen.recv().await.unwrap().ends_with("\"second\""));
    assert!(seen.try_recv().is_err());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let (requests, mut seen) = mpsc::unbounded_channel();
    let server = LyingServer::start(move |mut stream, _| {
        let requests = requests.clone();
        async move {
            let request = read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            requests.send(request).unwrap();
        }
    })
    .await;
    let client = client(&server);
    for _ in 0..20 {
        whole(client.send(call("{}")).await.unwrap()).await;
        seen.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_meets_a_closing_connection_unsent_is_sent_on_another() {
    let (closed, mut wait) = mpsc::unbounded_channel();
    let close = Arc::new(Notify::new());
    let order = Arc::clone(&close);
    let server = LyingServer::start(move |mut stream, number| {
        let (closed, order) = (closed.clone(), Arc::clone(&order));
        async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            if number == 0 {
                order.notified().await;
                drop(stream);
                closed.send(()).unwrap();
            }
        }
    })
    .await;
    let client = client(&server);
    whole(client.send(call("{}")).await.unwrap()).await;
    close.notify_one();
    wait.recv().await.unwrap();
    // The pool has not heard of it yet: the call is handed to the dead connection, and comes back from it unsent.
    assert_eq!(client.send(call("{}")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_is_not_http_is_told_from_a_server_that_hangs_up() {
    for (answer, told) in [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", UpstreamError::Malformed),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", UpstreamError::Malformed),
        ("", UpstreamError::Broken),
    ] {
        let server = LyingServer::answering(answer).await;
        assert_eq!(client(&server).send(call("{}")).await.unwrap_err(), told, "{answer}");
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let client = {
        let server = LyingServer::answering("").await;
        client(&server)
    };
    assert_eq!(client.send(call("{}")).await.unwrap_err(), UpstreamError::Unreachable);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_in_the_stream() {
    let server = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = client(&server).send(call("{}")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn the_check_says_what_the_server_answers_to_a_stranger() {
    for (status, meaning) in [
        ("200 OK", "it speaks"),
        ("401 Unauthorized", "it asks for a credential"),
        ("404 Not Found", "is this its mcp endpoint?"),
        ("301 Moved Permanently", "never followed"),
        ("500 Internal Server Error", "does not look well"),
    ] {
        let server = LyingServer::answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        let sentence = client(&server).check().await.unwrap();
        assert!(sentence.contains(&status[..3]) && sentence.contains(meaning), "{sentence}");
    }
}

#[test]
fn a_url_that_is_not_of_an_mcp_endpoint_is_refused() {
    for url in [
        "",
        "/mcp",
        "mcp.internal/mcp",
        "ftp://mcp.internal/",
        "unix:/run/mcp",
        "http://user@mcp.internal/",
        "http://x/#y",
    ] {
        let refused = McpServerClient::new(&settings(url.to_owned()), trust()).err();
        assert_eq!(refused, Some(McpServerUrlError), "{url}");
    }
    for url in ["http://mcp.internal", "https://[::1]:8443/a/b?c=d", "http://münchen.example/ü"] {
        assert!(McpServerClient::new(&settings(url.to_owned()), trust()).is_ok(), "{url}");
    }
}
