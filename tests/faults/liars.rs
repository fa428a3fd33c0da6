//! F-16: an MCP server that lies about its answer, or dies in the middle of it. What cannot be passed on is an error that
//! answers the call; what broke off looks broken; and whatever it said beyond its answer is nobody's: the next caller, over the
//! same connection or another, hears their own answer.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt as _;
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
    /// All of it.
    Whole(String),
}

/// One lie: what is written for the answer `{text}`, whether the connection is closed then, and what comes of it.
struct Lie {
    name: &'static str,
    bytes: Vec<u8>,
    closes: bool,
    comes_to: Came,
}

const OWN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"own"}]}}"#;
const STOLEN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"stolen"}]}}"#;

fn lie(name: &'static str, head: &str, body: &str, closes: bool, comes_to: Came) -> Lie {
    let bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n{body}").into_bytes();
    Lie { name, bytes, closes, comes_to }
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
        Lie { name: "nothing, and gone", bytes: Vec::new(), closes: true, comes_to: Came::Error(502) },
        Lie {
            name: "half a head, and gone",
            bytes: b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec(),
            closes: true,
            comes_to: Came::Error(502),
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
    let answer = flow.house.http.stream(request).await?;
    let status = answer.status();
    let Ok(body) = answer.into_body().collect().await else { return Ok(Came::Broken) };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if status == StatusCode::OK {
        return Ok(Came::Whole(text));
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
    for lie in lies() {
        let lie = Arc::new(lie);
        let (url, tasks) = server(Arc::clone(&lie)).await?;
        let mut flow = Flow::with(Plan { mcp_url: Some(url), ..Plan::default() }).await?;
        let alice = flow.tokens().await?;
        flow.login = "bob";
        flow.browser = flow.house.browser();
        let bob = flow.tokens().await?;
        for round in 0..3 {
            let lied = tokio::time::timeout(IN_TIME, call(&flow, &alice, "lie"));
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
