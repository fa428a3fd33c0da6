//! MCP servers without an end (attacks.md, PX-34): what they send is taken as fast as the client takes it, and no more of it
//! is kept; what never comes is not waited for.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::json;
use testkit::house::Plan;
use testkit::http::Http;
use testkit::outcomes::Verdict;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::steps::{Flow, while_trying};

const MEBI: usize = 1024 * 1024;
/// What stands in the buffers of three sockets and two HTTP libraries, at most.
const UNDERWAY: usize = 32 * MEBI;
/// As much as an answer without an end is read here.
const READ: usize = 128 * MEBI;

/// Bytes of this process that are in memory.
fn resident() -> Result<usize, String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).ok_or("no number")?;
    Ok(pages * 4096)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn px_34_an_answer_without_an_end_is_taken_no_faster_than_the_client_takes_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    for http in [flow.house.http.another(), Http::http2()] {
        for media in ["application/json", "text/event-stream"] {
            let params = json!({"name": "flood", "arguments": {"media": media}});
            let asked = flow.house.call_request("notes", &tokens.access, "tools/call", params)?;
            let begun = flow.house.mcp.flooded();
            let mut client = http.stream(asked).await?;
            assert_eq!(client.status(), StatusCode::OK);
            let (before, mut read) = (resident()?, 0);
            while read < READ {
                let frame = client.frame().await.ok_or("it ended")?.map_err(|error| error.to_string())?;
                read += frame.into_data().map_err(|_| "no data")?.len();
                let underway = flow.house.mcp.flooded() - begun - read;
                assert!(underway <= UNDERWAY, "{media}: {underway} bytes underway after {read}");
            }
            let grown = resident()?.saturating_sub(before);
            assert!(grown <= UNDERWAY, "{media}: {grown} bytes more in memory");
            // Whoever reads no more is forgotten, at both ends.
            drop(client);
            let dammed = tokio::time::timeout(Duration::from_secs(10), flow.house.mcp.dammed()).await;
            assert!(dammed.is_ok(), "{media}: it is still being read");
        }
    }
    flow.calls(&tokens.access).await?;
    flow.house.close().await
}

#[tokio::test]
async fn px_34_an_answer_that_never_begins_is_not_waited_for() -> Verdict {
    let mut flow =
        Flow::with(Plan { first_byte_timeout: Duration::from_millis(200), ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let silent = json!({"name": "silent", "arguments": {}});
    let answer = flow.house.call("notes", &tokens.access, "tools/call", silent).await?;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{}", answer.text());
    assert_eq!(answer.json()["id"], 1, "{}", answer.text());
    flow.calls(&tokens.access).await?;
    flow.house.close().await
}

/// Listens, and answers each request with the head and then, without an end, with what follows it.
async fn server(head: &'static [u8], more: &'static [u8]) -> Result<(String, JoinSet<()>), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}/mcp", listener.local_addr().map_err(|error| error.to_string())?);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut buffer = [0; 4096];
                drop(socket.read(&mut buffer).await);
                drop(socket.write_all(head).await);
                while !more.is_empty() && socket.write_all(more).await.is_ok() {}
                if head.windows(17).any(|window| window == b"Connection: close") {
                    return;
                }
                // Until the other side has had enough.
                while let Ok(1..) = socket.read(&mut buffer).await {}
            });
        }
    });
    Ok((url, tasks))
}

#[tokio::test]
async fn px_34_a_head_without_an_end_and_one_that_is_none_are_refused() -> Verdict {
    let heads: [(&str, &[u8], &[u8]); 9] = [
        ("header lines", b"HTTP/1.1 200 OK\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        ("one header", b"HTTP/1.1 200 OK\r\nX-A: ", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("a reason", b"HTTP/1.1 200 ", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("interim answers", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("early hints", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        ("no HTTP", b"", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("another protocol", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b""),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b""),
        ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{}", b""),
    ];
    for (what, head, more) in heads {
        let (url, tasks) = server(head, more).await?;
        let plan = Plan { mcp_url: Some(url), first_byte_timeout: Duration::from_secs(1), ..Plan::default() };
        let mut flow = Flow::with(plan).await?;
        let tokens = flow.tokens().await?;
        let answer = flow.house.echo("notes", &tokens.access).await.map_err(while_trying(what))?;
        assert!(
            matches!(answer.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(answer.json()["jsonrpc"], "2.0", "{what}");
        drop(tasks);
        flow.house.close().await?;
    }
    Ok(())
}

/// Of a body that lies about its length the client gets a break, and never the next answer of the connection.
#[tokio::test]
async fn px_34_a_body_that_is_shorter_or_longer_than_it_says_is_a_break_and_no_other_answer() -> Verdict {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let cases: [(&str, String); 4] = [
        (
            "longer",
            format!(
                "{head}Content-Length: 2\r\n\r\n{{}}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"c4n4ry\""
            ),
        ),
        (
            "chunks and more",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"c4n4ry\""
            ),
        ),
        (
            "a chunk that is none",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\nzz\r\nc4n4ry"),
        ),
        (
            "an interim answer before",
            format!(
                "HTTP/1.1 102 Processing\r\nX: c4n4ry\r\n\r\n{head}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
        ),
    ];
    for (what, bytes) in cases {
        let (url, tasks) = server(bytes.into_bytes().leak(), b"").await?;
        let mut flow = Flow::with(Plan { mcp_url: Some(url), ..Plan::default() }).await?;
        let tokens = flow.tokens().await?;
        for _ in 0..3 {
            let params = json!({"name": "echo", "arguments": {}});
            let asked = flow.house.call_request("notes", &tokens.access, "tools/call", params)?;
            let (head, body) = flow.house.http.stream(asked).await?.into_parts();
            assert_eq!(head.status, StatusCode::OK, "{what}");
            assert!(!head.headers.contains_key("x"), "{what}: {:?}", head.headers);
            let body = body.collect().await.map_or(Bytes::new(), |body| body.to_bytes());
            assert!(body.is_empty() || body.as_ref() == b"{}", "{what}: {body:?}");
        }
        drop(tasks);
        flow.house.close().await?;
    }
    Ok(())
}
