//! F-16: an MCP server that lies about its answer, or dies in the middle of it. What cannot be passed on is an error that
//! answers the call; what broke off looks broken; and whatever it said beyond its answer is nobody's: the next caller, over the
//! same connection or another, hears their own answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use testkit::house::Plan;
use testkit::outcomes::Verdict;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::steps::{Flow, Tokens, while_trying};

const IN_TIME: Duration = Duration::from_secs(20);

/// What one call came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The head said that it goes well, and then it broke off.
    Broken,
    /// An error of ours with this status, which answers the call.
    Error(u16),
    /// This much on a stream of events, and then an error of ours which answers the call.
    Told(String),
    /// All of it.
    Whole(String),
}

/// One lie: what is written for the answer `{text}`, whether the connection is closed then, and what comes of it.
struct Lie {
    name: &'static str,
    bytes: Vec<u8>,
    closes: bool,
    comes_to: Came,
    /// Whether it is told to a client of the revision before, which has sessions and can come back to a stream.
    to_older: bool,
}

const OWN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"own"}]}}"#;
const STOLEN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"stolen"}]}}"#;

fn lie(name: &'static str, head: &str, body: &str, closes: bool, comes_to: Came) -> Lie {
    let bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n{body}").into_bytes();
    Lie { name, bytes, closes, comes_to, to_older: false }
}

/// The same, where the rest of the head is another one too.
fn raw(name: &'static str, head: &str, body: &str, closes: bool, comes_to: Came) -> Lie {
    let bytes = format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    Lie { name, bytes, closes, comes_to, to_older: true }
}

/// What is no answer to a request, and streams of events that end without one.
fn without_an_answer() -> Vec<Lie> {
    const NOTED: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\
        \"params\":{\"progressToken\":1,\"progress\":1}}\n\n";
    const CHUNKED: &str = "200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
    const UNREADABLE: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"The answer of the MCP server behind the gateway cannot be read."}}"#;
    const HALF: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"resu";
    let empty = "Content-Length: 0";
    let none = |name, status: &str| raw(name, &format!("{status}\r\n{empty}"), "", false, Came::Error(502));
    let json = format!("Content-Type: application/json\r\nContent-Length: {}", OWN.len());
    let no_mcp = |name, status: &str| raw(name, &format!("{status}\r\n{json}"), OWN, false, Came::Error(502));
    let events = |name, text: &str, is_cut, comes_to| {
        let chunk = if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) };
        let end = if is_cut { "ffff\r\ndata: {\"jso" } else { "0\r\n\r\n" };
        let head = "200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked";
        raw(name, head, &format!("{chunk}{end}"), is_cut, comes_to)
    };
    let told = |text: &str| Came::Told(text.to_owned());
    let whole = |text: &str| Came::Whole(text.to_owned());
    let (unended, half_with_id) = (format!("data: {OWN}\n\n\n"), format!("id: 7\n{HALF}"));
    let (answer, with_id) = (format!("data: {OWN}\n\n"), format!("id: 7\n{NOTED}"));
    vec![
        none("nothing", "200 OK\r\nContent-Type: application/json"),
        none("no event", "200 OK\r\nContent-Type: text/event-stream"),
        none("taken, as if it were a notification", "202 Accepted"),
        raw("no content", "204 No Content", "", false, Came::Error(502)),
        no_mcp("a status that is none", "999 Whatever"),
        no_mcp("a part", "206 Partial Content"),
        no_mcp("two sessions", "200 OK\r\nMcp-Session-Id: one\r\nMcp-Session-Id: two"),
        events("a stream without an event", "", false, told("")),
        events("a stream that only notes", NOTED, false, told(NOTED)),
        events("a stream that is cut", NOTED, true, told(NOTED)),
        events("half an event", HALF, false, Came::Told(format!("{HALF}\n\n"))),
        // The answer was there, or can still be fetched.
        events("an answer without its empty line", &format!("data: {OWN}\n"), false, whole(&unended)),
        events("half an event with an id", &half_with_id, false, Came::Told(format!("{half_with_id}\n\n"))),
        raw("nothing in chunks", CHUNKED, "0\r\n\r\n", false, whole(UNREADABLE)),
        events("an answer and no more", &answer, false, whole(&answer)),
        events("an answer, and cut", &answer, true, Came::Broken),
        events("an id to come back by", &with_id, false, whole(&with_id)),
        events("an id to come back by, and cut", &with_id, true, Came::Broken),
        // In 2026-07-28 nobody comes back.
        Lie { to_older: false, ..events("an id", &with_id, false, told(&with_id)) },
        Lie { to_older: false, ..events("an id, and cut", &with_id, true, told(&with_id)) },
        Lie { to_older: false, ..events("no event", "", false, told("")) },
    ]
}

fn lies() -> Vec<Lie> {
    let whole = || Came::Whole(OWN.to_owned());
    let length = |length: usize| format!("Content-Length: {length}");
    let second = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{STOLEN}",
        STOLEN.len()
    );
    let chunk = format!("{:x}\r\n{OWN}\r\n", OWN.len());
    let chunked = "Transfer-Encoding: chunked";
    vec![
        lie(
            "a second answer behind the first",
            &length(OWN.len()),
            &format!("{OWN}{second}"),
            false,
            whole(),
        ),
        lie("bytes behind the end", &length(OWN.len()), &format!("{OWN}{STOLEN}"), false, whole()),
        lie(
            "a second answer behind the last chunk",
            chunked,
            &format!("{chunk}0\r\n\r\n{second}"),
            false,
            whole(),
        ),
        lie("less than it said, and gone", &length(OWN.len() + 10), OWN, true, Came::Broken),
        lie("no last chunk", chunked, &chunk, true, Came::Broken),
        lie("half a chunk", chunked, &format!("ffff\r\n{OWN}"), true, Came::Broken),
        lie("a chunk that is none", chunked, &format!("{chunk}zz\r\n"), false, Came::Broken),
        lie("until it closes", "Connection: close", OWN, true, whole()),
        lie("a page", &format!("Content-Type: text/html\r\n{}", length(4)), "<p/>", false, Came::Error(502)),
        lie(
            "compressed",
            &format!("Content-Encoding: gzip\r\n{}", length(4)),
            "\x1f\x01\x01\x01",
            false,
            Came::Error(502),
        ),
        lie(
            "compressed twice",
            "Content-Encoding: identity, gzip\r\nContent-Length: 1",
            "x",
            false,
            Came::Error(502),
        ),
        Lie {
            name: "nothing, and gone",
            bytes: Vec::new(),
            closes: true,
            comes_to: Came::Error(502),
            to_older: false,
        },
        Lie {
            name: "half a head, and gone",
            bytes: b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec(),
            closes: true,
            comes_to: Came::Error(502),
            to_older: false,
        },
    ]
}

/// Listens; answers a call that says `honest…` with what it says, and every other with the lie.
async fn server(lie: Arc<Lie>) -> Result<(String, JoinSet<()>), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}/mcp", listener.local_addr().map_err(|error| error.to_string())?);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(converse(socket, Arc::clone(&lie)));
        }
    });
    Ok((url, tasks))
}

async fn converse(mut socket: TcpStream, lie: Arc<Lie>) {
    while let Some(said) = next_call(&mut socket).await {
        if said.starts_with("honest") {
            let body =
                json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": said}]}});
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            drop(socket.write_all(head.as_bytes()).await);
            continue;
        }
        drop(socket.write_all(&lie.bytes).await);
        if lie.closes {
            return;
        }
    }
}

/// What the next call on the connection says.
async fn next_call(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            if body.len() >= length {
                let message: Value = serde_json::from_str(body.get(..length)?).ok()?;
                return message["params"]["arguments"]["said"].as_str().map(str::to_owned);
            }
        }
        match socket.read(&mut buffer).await {
            Ok(count @ 1..) => bytes.extend_from_slice(buffer.get(..count)?),
            Ok(_) | Err(_) => return None,
        }
    }
}

async fn call(flow: &Flow, tokens: &Tokens, said: &str) -> Result<Came, String> {
    let params = json!({"name": "echo", "arguments": {"said": said}});
    let request = flow.house.call_request("notes", &tokens.access, "tools/call", params)?;
    come(flow, request).await
}

/// The same, of a client of the revision before.
async fn older_call(flow: &Flow, tokens: &Tokens, said: &str) -> Result<Came, String> {
    let params = json!({"name": "echo", "arguments": {"said": said}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let bearer = format!("Bearer {}", tokens.access);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let (url, body) = (flow.house.resource("notes"), body.to_string().into());
    come(flow, testkit::http::request(http::Method::POST, &url, &headers, body)?).await
}

async fn come(flow: &Flow, request: http::Request<Full<Bytes>>) -> Result<Came, String> {
    let answer = flow.house.http.stream(request).await?;
    let status = answer.status();
    let Ok(body) = answer.into_body().collect().await else { return Ok(Came::Broken) };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if status == StatusCode::OK {
        let last =
            text.rsplit_once("data: ").map(|(before, last)| (before, serde_json::from_str::<Value>(last)));
        return Ok(match last {
            Some((before, Ok(last))) if last["id"] == 1 && last["error"]["code"] == -32603 => {
                Came::Told(before.to_owned())
            }
            Some(_) | None => Came::Whole(text),
        });
    }
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    if json["id"] == 1 && json["error"]["code"].is_i64() && !text.contains("stolen") {
        Ok(Came::Error(status.as_u16()))
    } else {
        Err(format!("{status}: {text}"))
    }
}

#[tokio::test]
async fn f_16_what_an_mcp_server_says_beyond_or_short_of_its_answer_is_nobodys() -> Verdict {
    tell(lies()).await
}

/// F-16, RS-066: a request is answered, be it by an error of ours, and once.
#[tokio::test]
async fn f_16_a_request_that_an_mcp_server_does_not_answer_is_answered_with_an_error() -> Verdict {
    tell(without_an_answer()).await
}

async fn tell(lies: Vec<Lie>) -> Verdict {
    for lie in lies {
        let lie = Arc::new(lie);
        let (url, tasks) = server(Arc::clone(&lie)).await?;
        let mut flow = Flow::with(Plan { mcp_url: Some(url), ..Plan::default() }).await?;
        let alice = flow.tokens().await?;
        flow.login = "bob";
        flow.browser = flow.house.browser();
        let bob = flow.tokens().await?;
        for round in 0..3 {
            let lied = async {
                if lie.to_older {
                    older_call(&flow, &alice, "lie").await
                } else {
                    call(&flow, &alice, "lie").await
                }
            };
            let lied = tokio::time::timeout(IN_TIME, lied);
            let came =
                lied.await.map_err(|_| format!("{}: it hangs", lie.name))?.map_err(while_trying(lie.name))?;
            assert_eq!(came, lie.comes_to, "{}, {round}", lie.name);
            for (tokens, said) in [(&bob, "honest to bob"), (&alice, "honest to alice")] {
                let came = call(&flow, tokens, said).await.map_err(while_trying(lie.name))?;
                let own = matches!(&came, Came::Whole(text) if text.contains(said));
                // A call that was sent into a connection that was being closed may be lost, but is not another's.
                assert!(own || came == Came::Error(502), "{}, {round}: {came:?}", lie.name);
            }
        }
        assert!(
            matches!(call(&flow, &bob, "honest to bob").await?, Came::Whole(text) if text.contains("honest to bob"))
        );
        flow.close().await.map_err(while_trying(lie.name))?;
        drop(tasks);
    }
    Ok(())
}
