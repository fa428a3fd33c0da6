//! The control plane's fetcher: whole within its limits, or not at all (F-14, PX-26).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use upstream::egress::{FetchError, Limits};

use crate::lying_server::{LyingServer, read_request, read_to_end};
use crate::world::fetcher;

const LIMITS: Limits = Limits { total: Duration::from_secs(10), max_body: 1024 };

async fn get(url: &str) -> Result<http::Response<Bytes>, FetchError> {
    fetcher().fetch(Request::get(url).body(Bytes::new()).unwrap(), LIMITS).await
}

/// Lets the fetch begin in real time, and stops the clock when the server has come to where it is silent: from there on
/// time moves only because nobody has anything to do.
async fn get_from_silence(
    server: LyingServer,
    silent: Arc<Notify>,
) -> Result<http::Response<Bytes>, FetchError> {
    let url = server.url("/");
    let (answer, ()) = tokio::join!(get(&url), async {
        silent.notified().await;
        tokio::time::pause();
    });
    answer
}

#[tokio::test]
async fn an_answer_comes_back_whole_with_any_status() {
    let server = LyingServer::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nno no").await;
    let answer = get(&server.url("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.body().as_ref(), b"no no");
}

#[tokio::test]
async fn nothing_compressed_is_asked_for() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let server = LyingServer::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            sender.send(read_request(&mut stream).await.unwrap()).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    get(&server.url("/where?x=1")).await.unwrap();
    let request = receiver.recv().await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /where?x=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let canary = LyingServer::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = canary.url("/");
        let server = LyingServer::answering(format!(
            "HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        assert!(get(&server.url("/")).await.unwrap().status().is_redirection());
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_length_that_is_announced_too_large_is_not_read() {
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let server = LyingServer::start(move |mut stream, _| {
        let told = Arc::clone(&told);
        async move {
            read_request(&mut stream).await;
            // Not one byte of the body follows: who waits for it never comes back.
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n").await.unwrap();
            read_to_end(&mut stream).await;
            told.notify_one();
        }
    })
    .await;
    assert_eq!(get(&server.url("/")).await.unwrap_err(), FetchError::TooLarge);
    ended.notified().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_when_it_is_too_large() {
    let server = LyingServer::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // Endless, until the client hangs up.
        while stream.write_all(b"100\r\n").await.is_ok() && stream.write_all(&[b'x'; 0x102]).await.is_ok() {}
    })
    .await;
    // The chunks above are broken after the first; so the limit must be hit inside it.
    let limits = Limits { max_body: 100, ..LIMITS };
    let request = Request::get(server.url("/")).body(Bytes::new()).unwrap();
    assert_eq!(fetcher().fetch(request, limits).await.unwrap_err(), FetchError::TooLarge);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let body = "y".repeat(1024);
    let server = LyingServer::answering(format!("HTTP/1.1 200 OK\r\n\r\n{body}")).await;
    assert_eq!(get(&server.url("/")).await.unwrap().body().len(), 1024);
    let server = LyingServer::answering(format!("HTTP/1.1 200 OK\r\n\r\n{body}y")).await;
    assert_eq!(get(&server.url("/")).await.unwrap_err(), FetchError::TooLarge);
}

#[tokio::test]
async fn a_server_that_accepts_and_is_silent_costs_the_deadline() {
    let silent = Arc::new(Notify::new());
    let reached = Arc::clone(&silent);
    let server = LyingServer::start(move |mut stream, _| {
        let reached = Arc::clone(&reached);
        async move {
            read_request(&mut stream).await;
            reached.notify_one();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    assert_eq!(get_from_silence(server, silent).await.unwrap_err(), FetchError::TimedOut);
}

#[tokio::test]
async fn half_a_head_costs_the_deadline() {
    let silent = Arc::new(Notify::new());
    let reached = Arc::clone(&silent);
    let server = LyingServer::start(move |mut stream, _| {
        let reached = Arc::clone(&reached);
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-").await.unwrap();
            reached.notify_one();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    assert_eq!(get_from_silence(server, silent).await.unwrap_err(), FetchError::TimedOut);
}

#[tokio::test]
async fn one_byte_a_second_does_not_move_the_deadline() {
    let silent = Arc::new(Notify::new());
    let reached = Arc::clone(&silent);
    let (sent, mut count) = tokio::sync::mpsc::unbounded_channel();
    let server = LyingServer::start(move |mut stream, _| {
        let reached = Arc::clone(&reached);
        let sent = sent.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
            reached.notify_one();
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            while stream.write_all(b"z").await.is_ok() {
                sent.send(()).unwrap();
                seconds.tick().await;
            }
        }
    })
    .await;
    assert_eq!(get_from_silence(server, silent).await.unwrap_err(), FetchError::TimedOut);
    let mut bytes = 0;
    while count.try_recv().is_ok() {
        bytes += 1;
    }
    assert!(bytes <= 13, "{bytes} bytes came within ten seconds");
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable_wherever_it_breaks() {
    for half in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf",
        "<html>not http at all</html>\r\n\r\n",
    ] {
        let server = LyingServer::answering(half).await;
        assert_eq!(get(&server.url("/")).await.unwrap_err(), FetchError::Unreachable, "{half:?}");
    }
}

#[tokio::test]
async fn a_reset_is_unreachable() {
    let server = LyingServer::start(|mut stream, _| async move {
        // Closing with unread bytes in the socket resets the connection.
        stream.readable().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!(get(&server.url("/")).await.unwrap_err(), FetchError::Unreachable);
}

#[tokio::test]
async fn a_closed_port_and_an_url_without_a_host_are_unreachable() {
    let url = {
        let server = LyingServer::answering("").await;
        server.url("/")
    };
    assert_eq!(get(&url).await.unwrap_err(), FetchError::Unreachable);
    assert_eq!(get("/nowhere").await.unwrap_err(), FetchError::Unreachable);
}

#[tokio::test]
async fn a_head_without_end_is_not_collected() {
    let server = LyingServer::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let line = format!("x-endless: {}\r\n", "h".repeat(1000));
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(line.as_bytes()).await;
        }
    })
    .await;
    assert_eq!(get(&server.url("/")).await.unwrap_err(), FetchError::Unreachable);
}
