//! What somebody who wants to break in sends down one connection, written into the socket by hand: bodies that nobody
//! reads, targets that no client names, and promises of a body.

use std::time::Duration;

use serde_json::json;
use testkit::outcomes::Verdict;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::steps::Flow;

/// Writes all of it, and reads until the other side closes or nothing more comes for a second.
async fn converse(address: &str, bytes: &[u8]) -> Result<String, String> {
    let mut socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    // Whoever refuses at the first bytes may not wait for the last.
    drop(socket.write_all(bytes).await);
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count @ 1..)) =
        tokio::time::timeout(Duration::from_secs(1), socket.read(&mut buffer)).await
    {
        said.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn answers(said: &str) -> usize {
    said.matches("HTTP/1.1 ").count()
}

/// A whole call that works, as it would stand in the body of another request.
fn call(host: &str, token: &str) -> String {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {}},
    })
    .to_string();
    format!(
        "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_body_that_was_refused_unread_is_never_the_next_request() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (host, address) = (flow.house.host(), flow.house.address());
    let inside = call(&host, &tokens.access);
    let padding = "x".repeat(300_000);
    let (short, long) = (inside.len(), padding.len() + inside.len());
    let mut conversations = Vec::new();
    for path in ["/notes/mcp", "/oauth/token", "/nothing", "/consent", "/oauth/jwks"] {
        // The second is far more than is read on the way to the next request.
        for (framing, before) in [
            (format!("Content-Length: {short}\r\n"), ""),
            (format!("Content-Length: {long}\r\n"), padding.as_str()),
            (format!("Content-Length: {short}\r\nExpect: 100-continue\r\n"), ""),
        ] {
            let bytes = format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n{framing}\r\n{before}{inside}"
            );
            let address = &address;
            conversations.push(async move {
                let said = converse(address, bytes.as_bytes()).await?;
                // A promise to read on is no answer yet.
                let count = answers(&said) - said.matches("HTTP/1.1 100").count();
                if count <= 1 { Ok(()) } else { Err(format!("{path} {framing}: {said}")) }
            });
        }
    }
    futures_util::future::try_join_all(conversations).await?;
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn two_lengths_and_chunks_with_a_length_end_the_connection() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (host, address) = (flow.house.host(), flow.house.address());
    let inside = call(&host, &tokens.access);
    let head = format!(
        "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n",
        tokens.access
    );
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        // Read by its chunks the first request is over here, and the second begins.
        let said = converse(&address, format!("{head}{framing}\r\n0\r\n\r\n{inside}").as_bytes()).await?;
        assert!(answers(&said) <= 1, "{framing}: {said}");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{framing}: {said}");
    }
    assert_eq!(flow.house.mcp.received().len(), 0);
    // Were the first one in order, the second would be answered too.
    let framing = "Transfer-Encoding: chunked\r\n";
    let said = converse(&address, format!("{head}{framing}\r\n0\r\n\r\n{inside}").as_bytes()).await?;
    assert_eq!((answers(&said), flow.house.mcp.received().len()), (2, 1), "{said}");
    flow.close().await
}

#[tokio::test]
async fn who_has_no_token_is_refused_without_being_asked_for_the_body() -> Verdict {
    let flow = Flow::new().await?;
    let host = flow.house.host();
    let bytes = format!(
        "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    );
    let said = converse(&flow.house.address(), bytes.as_bytes()).await?;
    assert!(said.starts_with("HTTP/1.1 401") && answers(&said) == 1, "{said}");
    flow.close().await
}

#[tokio::test]
async fn targets_that_no_client_names_are_refused_in_peace() -> Verdict {
    let flow = Flow::new().await?;
    let host = flow.house.host();
    for target in [
        "OPTIONS *".to_owned(),
        format!("CONNECT {host}"),
        format!("GET http://{host}/notes/mcp"),
        "GET http://evil.example/notes/mcp".to_owned(),
        "GET /%ff%fe".to_owned(),
        "GET /.well-known/oauth-protected-resource/%ff/mcp".to_owned(),
        "TRACE /notes/mcp".to_owned(),
        format!("HEAD /notes/mcp?{}", "x".repeat(1000)),
    ] {
        let bytes = format!("{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let said = converse(&flow.house.address(), bytes.as_bytes()).await?;
        assert!(said.starts_with("HTTP/1.1 4") && answers(&said) == 1, "{target}: {said}");
    }
    flow.close().await
}
