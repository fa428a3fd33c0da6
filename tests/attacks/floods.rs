//! Who is slow, and who is huge (attacks.md, F-18 and F-19), over one house with somebody healthy in it.
//!
//! Attackers are let go by a deadline or refused by a size; the healthy are answered and a quiet stream lives on.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;
use testkit::house::Plan;
use testkit::http::{Http, request};
use testkit::outcomes::Verdict;
use testkit::raw;
use testkit::raw_http2::{self as http2, Frames, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use web::ConnectionLimits;

use super::proxy::{HEADERS, bearer, echo};
use crate::steps::{Flow, while_trying};

/// Attackers of each kind. Each holds a descriptor on both sides.
const ATTACKERS: usize = 40;

/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// A house whose deadlines are over soon.
async fn impatient() -> Result<Flow, String> {
    let connections = ConnectionLimits {
        header_timeout: Duration::from_millis(500),
        unread: Duration::from_millis(500),
        ..Plan::default().connections
    };
    Flow::with(Plan { connections, body_timeout: Duration::from_millis(500), ..Plan::default() }).await
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Says this, and then one byte after the other, until the other side has had enough.
async fn drip(address: &str, start: &[u8]) -> Result<String, String> {
    let mut socket = TcpStream::connect(address).await.map_err(text)?;
    socket.write_all(start).await.map_err(text)?;
    let (mut reader, mut writer) = socket.into_split();
    let mut said = Vec::new();
    let drips = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            if writer.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = reader.read_to_end(&mut said) => Ok(String::from_utf8_lossy(&said).into_owned()),
        () = drips => Err("unreachable".to_owned()),
        () = tokio::time::sleep(Duration::from_secs(60)) => Err("it was never let go".to_owned()),
    }
}

#[tokio::test]
async fn f_18_slow_headers_and_slow_bodies_are_let_go_and_nobody_else() -> Verdict {
    let mut flow = impatient().await?;
    let tokens = flow.tokens().await?;
    let call = flow.house.call_request(
        "notes",
        &tokens.access,
        "tools/call",
        json!({"name": "stream", "arguments": {}}),
    )?;
    let mut stream = flow.house.http.another().stream(call).await?.into_body();
    let open = flow.house.mcp.next_stream().await;

    let host = flow.house.host();
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: ");
    let body = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n"
    );
    let chunks = body.replace("Content-Length: 60000", "Transfer-Encoding: chunked") + "ffff\r\n";
    let mut attackers = tokio::task::JoinSet::new();
    for start in [String::new(), "PRI * HTTP/2.0\r\n\r\nSM".to_owned(), head, body, chunks] {
        for _ in 0..ATTACKERS {
            let (address, start) = (flow.house.address(), start.clone());
            attackers.spawn(async move { drip(&address, start.as_bytes()).await });
        }
    }
    let mut healthy = 0;
    loop {
        tokio::select! {
            ended = attackers.join_next() => match ended {
                Some(ended) => {
                    let said = ended.map_err(text)??;
                    if said.starts_with("HTTP/1.1 200") {
                        return Err(format!("a slow one was answered: {said}"));
                    }
                }
                None => break,
            },
            answer = flow.house.echo("notes", &tokens.access) => {
                if answer?.status != 200 {
                    return Err("a healthy call was refused".to_owned());
                }
                healthy += 1;
            }
        }
    }
    if !open.send("data: {}\n\n") {
        return Err("the quiet stream was let go of".to_owned());
    }
    let frame = stream.frame().await.ok_or("the stream ended")?.map_err(text)?;
    match (frame.into_data(), healthy) {
        (Ok(data), 1..) if data == "data: {}\n\n" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn call_stream(flow: &Flow, bearer: &str) -> String {
    let mut message = echo("x");
    message["params"]["name"] = json!("stream");
    let message = message.to_string();
    let mut text =
        format!("POST /notes/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: {bearer}\r\n", flow.house.host());
    text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", message.len()));
    for (name, value) in HEADERS {
        text.push_str(&format!("{name}: {}\r\n", if name == "mcp-name" { "stream" } else { value }));
    }
    format!("{text}\r\n{message}")
}

#[tokio::test]
async fn f_18_whoever_asks_for_much_and_reads_nothing_is_let_go() -> Verdict {
    const PIECES: usize = 48;
    let mut flow = impatient().await?;
    let tokens = flow.tokens().await?;
    let socket = TcpSocket::new_v4().map_err(text)?;
    socket.set_recv_buffer_size(4096).map_err(text)?;
    let address = flow.house.address().parse().map_err(text)?;
    let mut slow = socket.connect(address).await.map_err(text)?;
    slow.write_all(call_stream(&flow, &bearer(&tokens)).as_bytes()).await.map_err(text)?;
    let open = flow.house.mcp.next_stream().await;
    // Far more than the sockets between here and there hold.
    let piece = Bytes::from(format!("data: {{\"x\":\"{}\"}}\n\n", "a".repeat(1024 * 1024)));
    for _ in 0..PIECES {
        open.send(piece.clone());
    }
    // Others are served all the time.
    tokio::select! {
        () = open.closed() => {}
        refused = async {
            loop {
                match flow.house.echo("notes", &tokens.access).await {
                    Ok(answer) if answer.status == 200 => {}
                    other => return format!("a healthy call: {other:?}"),
                }
            }
        } => return Err(refused),
    }
    let mut got = Vec::new();
    drop(slow.read_to_end(&mut got).await);
    if got.len() < PIECES * piece.len() { Ok(()) } else { Err("it was all sent in the end".to_owned()) }
}

#[tokio::test]
async fn f_18_whoever_takes_nothing_over_http_2_is_let_go() -> Verdict {
    let flow = impatient().await?;
    let mut frames = Frames::open(&flow.house.address(), &[(http2::INITIAL_WINDOW_SIZE, 0)]).await?;
    let host = flow.house.host();
    let list: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":path", b"/oauth/jwks"),
        (":authority", host.as_bytes()),
    ];
    for stream in [1, 3, 5] {
        frames
            .send(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, stream, &http2::fields(&list))
            .await;
    }
    if frames.outcome(1).await? != Outcome::Answered {
        return Err("it was not answered at all".to_owned());
    }
    frames.closed().await
}

#[tokio::test]
async fn f_18_streams_that_are_opened_and_reset_end_the_connection() -> Verdict {
    let flow = impatient().await?;
    let host = flow.house.host();
    let list: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", host.as_bytes())];
    let block = http2::fields(&list);
    // All in one piece, so that they are there before anybody looks at the first of them (CVE-2023-44487).
    let mut flood = Vec::new();
    for stream in (1..200).step_by(2) {
        flood.extend(http2::frame(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, stream, &block));
        flood.extend(http2::frame(http2::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut frames = Frames::open(&flow.house.address(), &[]).await?;
    frames.send_all(&flood).await;
    if frames.ended().await? != Some(ENHANCE_YOUR_CALM) {
        return Err("nobody minded that streams were opened and reset".to_owned());
    }
    // CVE-2024-27316: fields that never end.
    let mut frames = Frames::open(&flow.house.address(), &[]).await?;
    frames.send(http2::HEADERS, 0, 1, &block).await;
    let more = http2::fields(&[("x", &[b'a'; 8000])]);
    for _ in 0..10_000 {
        if !frames.send(http2::CONTINUATION, 0, 1, &more).await {
            break;
        }
    }
    frames.closed().await?;
    if flow.house.http.get(&format!("{}/healthz", flow.house.issuer), &[]).await?.status == 200 {
        Ok(())
    } else {
        Err("nobody else is answered any more".to_owned())
    }
}

/// What this process holds in memory.
fn resident() -> Result<usize, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(text)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<usize>()
        .map(|kilobytes| kilobytes * 1024)
        .map_err(text)
}

#[tokio::test]
async fn f_19_what_is_too_large_is_told_so_at_once() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (host, address, bearer) = (flow.house.host(), flow.house.address(), bearer(&tokens));
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
    };
    let megabyte = "a".repeat(1024 * 1024);
    let many: String = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let cookie = format!("Cookie: a={}\r\n", "b".repeat(64 * 1024));
    let huge = "Content-Length: 1073741824\r\nConnection: close\r\n\r\n";
    let form = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let registration =
        form.replace("/oauth/token", "/oauth/register").replace("x-www-form-urlencoded", "json");
    let message = format!(
        "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    );
    for (name, bytes, statuses) in [
        ("a header of 1 MB", get("/", &format!("X: {megabyte}\r\n")), &[431][..]),
        ("10,000 headers", get("/", &many), &[431]),
        ("a URL of 1 MB", get(&format!("/{megabyte}"), ""), &[414, 431]),
        ("a cookie of 64 kB", get("/consent", &cookie), &[400, 403, 404, 431]),
        ("a form of 1 GB", format!("{form}{huge}"), &[413]),
        ("a registration of 1 GB", format!("{registration}{huge}"), &[413]),
        ("a message of 1 GB", format!("{message}{huge}"), &[413]),
        ("a compressed form", format!("{form}Content-Encoding: gzip\r\n{huge}"), &[413, 415]),
    ] {
        let answer = raw::send(&address, bytes.as_bytes()).await.map_err(while_trying(name))?;
        if !statuses.contains(&answer.status.as_u16()) {
            return Err(format!("{name}: {}", answer.status));
        }
    }
    let chunk = format!("100000\r\n{megabyte}\r\n");
    let before = resident()?;
    for (name, head) in [("a form", &form), ("a registration", &registration), ("a message", &message)] {
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(16));
            let address = address.clone();
            senders.spawn(async move { raw::send(&address, bytes.as_bytes()).await });
        }
        while let Some(sent) = senders.join_next().await {
            // Told so, or cut off while it went on sending.
            if let Ok(answer) = sent.map_err(text)?
                && answer.status != 413
            {
                return Err(format!("{name} without an end: {}", answer.status));
            }
        }
    }
    // What the senders hold is freed; a cap for each of them, and what the allocator keeps, is what may stay.
    let grown = resident()?.saturating_sub(before);
    if grown < 256 * 1024 * 1024 { Ok(()) } else { Err(format!("{grown} bytes more are held")) }
}

#[tokio::test]
async fn f_19_a_body_over_http_2_has_the_same_bounds() -> Verdict {
    let flow = Flow::new().await?;
    let url = format!("{}/oauth/token", flow.house.issuer);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let post = |body: Vec<u8>| request(Method::POST, &url, &[form], Bytes::from(body));
    let answer = Http::http2().send(post(vec![b'a'; 8 * 1024 * 1024])?).await;
    // Told so, or reset while it went on sending.
    if let Ok(answer) = answer
        && answer.status != 413
    {
        return Err(format!("8 MB: {}", answer.status));
    }
    let small = Http::http2().send(post(b"grant_type=x".to_vec())?).await?;
    if small.status.is_client_error() { Ok(()) } else { Err(format!("a small one: {}", small.status)) }
}

#[tokio::test]
async fn f_19_depth_and_number_of_members_overflow_nothing() -> Verdict {
    let mut flow = Flow::with(Plan { message_bytes: 32 * 1024 * 1024, ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let bearer = bearer(&tokens);
    let deep =
        |open: &str, close: &str, count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
    let members: String = (0..1_000_000).map(|number| format!("\"k{number}\":1,")).collect();
    let arguments = |arguments: &str| echo("x").to_string().replace("{\"said\":\"x\"}", arguments);
    let bodies = [
        ("lists", deep("[", "]", 1_000_000)),
        ("objects", deep("{\"a\":", "}", 1_000_000)),
        ("lists in arguments", arguments(&format!("{{\"said\":{}}}", deep("[", "]", 1_000_000)))),
        ("lists that do not end", "[".repeat(4_000_000)),
        ("members", arguments(&format!("{{{members}\"said\":\"x\"}}"))),
    ];
    for (name, body) in bodies {
        let headers =
            [&HEADERS[..], &[("authorization", bearer.as_str()), ("content-type", "application/json")]]
                .concat();
        let http = &flow.house.http;
        let answer = http
            .post(&flow.house.resource("notes"), &headers, body.clone())
            .await
            .map_err(while_trying(name))?;
        // Many members are many, and no mistake; everything else is.
        let expected: &[u16] = if name == "members" { &[200, 400, 413] } else { &[400, 413] };
        if !expected.contains(&answer.status.as_u16()) {
            return Err(format!("{name}: {} {}", answer.status, answer.text()));
        }
        let registrations = format!("{}/oauth/register", flow.house.issuer);
        let answer = http.post(&registrations, &[("content-type", "application/json")], body).await;
        if let Ok(answer) = answer
            && !matches!(answer.status.as_u16(), 400 | 413)
        {
            return Err(format!("{name} as a registration: {}", answer.status));
        }
    }
    if flow.house.echo("notes", &tokens.access).await?.status == 200 {
        Ok(())
    } else {
        Err("it is not well".to_owned())
    }
}
