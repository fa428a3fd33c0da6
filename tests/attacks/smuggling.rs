//! A second request inside the first (attacks.md, PX-08): whatever two readers could cut in different places.
//!
//! RFC 9112, section 11.2. What is hidden is a whole call with a good token, so that it would be answered if it were read.

use http::StatusCode;
use testkit::house::Plan;
use testkit::outcomes::Verdict;
use testkit::raw;
use testkit::raw_http2::{self as http2, Frames, Outcome};
use web::ConnectionLimits;

use super::proxy::{HEADERS, bearer, echo};
use crate::steps::{Flow, while_trying};

type Fields<'a> = &'a [(&'a str, &'a [u8])];

/// A call as bytes, with these lines in place of `Content-Length`.
fn call(flow: &Flow, bearer: &str, said: &str, framing: &[&str], body: Option<&str>) -> Vec<u8> {
    let message = echo(said).to_string();
    let mut text =
        format!("POST /notes/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: {bearer}\r\n", flow.house.host());
    text.push_str("Content-Type: application/json\r\n");
    for (name, value) in HEADERS {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if framing.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", message.len()));
    }
    for line in framing {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or(&message));
    text.into_bytes()
}

async fn flow() -> Result<Flow, String> {
    // A connection that waits for more is let go of soon.
    let connections = ConnectionLimits {
        header_timeout: std::time::Duration::from_millis(300),
        ..Plan::default().connections
    };
    Flow::with(Plan { connections, ..Plan::default() }).await
}

fn calls(flow: &Flow, said: &str) -> usize {
    let all = flow.house.mcp.received();
    all.iter().filter(|received| received.json()["params"]["arguments"]["said"] == said).count()
}

/// Sends an ambiguous request with a hidden one; nobody may see the hidden one, and the connection must not go on.
async fn hides_nothing(flow: &Flow, name: &str, bytes: &[u8]) -> Verdict {
    let before = flow.house.mcp.received().len();
    let said = raw::converse(&flow.house.address(), bytes).await.map_err(while_trying(name))?;
    let answers = String::from_utf8_lossy(&said).matches("HTTP/1.1 ").count();
    let seen = flow.house.mcp.received().len() - before;
    if calls(flow, "hidden") == 0 && answers <= 1 && seen <= 1 {
        return Ok(());
    }
    Err(format!(
        "{name}: {answers} answers, {seen} requests at the MCP server: {}",
        String::from_utf8_lossy(&said)
    ))
}

#[tokio::test]
async fn px_08_a_request_that_is_hidden_in_another_is_never_read() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let hidden = String::from_utf8_lossy(&call(&flow, &bearer, "hidden", &[], None)).into_owned();
    let message = echo("seen").to_string();
    let chunked = format!("{:x}\r\n{message}\r\n0\r\n\r\n{hidden}", message.len());
    let all = format!("Content-Length: {}", chunked.len());
    let plain = format!("{message}{hidden}");
    let (short, long) =
        (format!("Content-Length: {}", message.len()), format!("Content-Length: {}", plain.len()));
    let te = "Transfer-Encoding: chunked";
    let ways: Vec<(&str, Vec<String>, &String)> = vec![
        ("CL, TE", vec![all.clone(), te.to_owned()], &chunked),
        ("TE, CL", vec![te.to_owned(), all.clone()], &chunked),
        ("TE, CL 0", vec![te.to_owned(), "Content-Length: 0".to_owned()], &chunked),
        ("two CLs", vec![short.clone(), long.clone()], &plain),
        ("two CLs in one line", vec![format!("{short}, {}", plain.len())], &plain),
        ("xchunked", vec![all.clone(), "Transfer-Encoding: xchunked".to_owned()], &chunked),
        ("chunked, identity", vec!["Transfer-Encoding: chunked, identity".to_owned()], &chunked),
        ("identity", vec![all.clone(), "Transfer-Encoding: identity".to_owned()], &chunked),
        ("chunked chunked", vec![te.to_owned(), te.to_owned(), all.clone()], &chunked),
        ("quoted", vec![all.clone(), "Transfer-Encoding: \"chunked\"".to_owned()], &chunked),
        ("vertical tab", vec![all.clone(), "Transfer-Encoding: \u{b}chunked".to_owned()], &chunked),
        ("space before the colon", vec![all.clone(), "Transfer-Encoding : chunked".to_owned()], &chunked),
        ("space before the name", vec![all.clone(), " Transfer-Encoding: chunked".to_owned()], &chunked),
        ("folded", vec![all.clone(), "Transfer-Encoding:\r\n chunked".to_owned()], &chunked),
        ("bare CR", vec![all.clone(), "X: a\rTransfer-Encoding: chunked".to_owned()], &chunked),
        ("bare LF", vec![all.clone(), "X: a\nTransfer-Encoding: chunked".to_owned()], &chunked),
        ("NUL", vec![short.clone(), "X: a\0b".to_owned()], &plain),
        ("signed", vec![format!("Content-Length: +{}", message.len())], &plain),
        ("hexadecimal", vec![format!("Content-Length: 0x{:x}", message.len())], &plain),
        ("empty", vec!["Content-Length:".to_owned()], &plain),
        ("negative", vec!["Content-Length: -1".to_owned()], &plain),
        ("too large", vec!["Content-Length: 18446744073709551617".to_owned()], &plain),
        ("in the body", vec![long.clone()], &plain),
    ];
    for (name, framing, body) in ways {
        let framing: Vec<&str> = framing.iter().map(String::as_str).collect();
        hides_nothing(&flow, name, &call(&flow, &bearer, "seen", &framing, Some(body))).await?;
    }
    // HTTP/1.0 has no chunks, and whoever reads it so sees two requests.
    let old = String::from_utf8_lossy(&call(&flow, &bearer, "seen", &[te], Some(&chunked)))
        .replace("HTTP/1.1", "HTTP/1.0");
    let sent = old.replacen(&hidden.replace("HTTP/1.1", "HTTP/1.0"), &hidden, 1);
    hides_nothing(&flow, "chunks in HTTP/1.0", sent.as_bytes()).await
}

#[tokio::test]
async fn px_08_chunks_are_cut_where_the_standard_cuts_them_or_nowhere() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let hidden = String::from_utf8_lossy(&call(&flow, &bearer, "hidden", &[], None)).into_owned();
    let message = echo("seen").to_string();
    let size = format!("{:x}", message.len());
    let rest = hidden.len();
    let bodies = [
        ("no number", format!("x\r\n{message}\r\n0\r\n\r\n{hidden}")),
        ("signed", format!("+{size}\r\n{message}\r\n0\r\n\r\n{hidden}")),
        ("prefixed", format!("0x{size}\r\n{message}\r\n0\r\n\r\n{hidden}")),
        ("over 64 bits", format!("1{}{size}\r\n{message}\r\n0\r\n\r\n{hidden}", "0".repeat(16))),
        ("LF ends an extension", format!("{size};a\n{message}\r\n0\r\n\r\n{hidden}")),
        ("CR in an extension", format!("{size};a\rb\r\n{message}\r\n0\r\n\r\n{hidden}")),
        ("no line end behind a chunk", format!("{size}\r\n{message}0\r\n\r\n{hidden}")),
        ("the hidden one as a chunk", format!("{size}\r\n{message}\r\n{rest:x}\r\n{hidden}\r\n0\r\n\r\n")),
        (
            "the hidden one as an extension",
            format!("{size};{}\r\n{message}\r\n0\r\n\r\n", hidden.replace("\r\n", "\n")),
        ),
        ("the hidden one as a trailer", format!("{size}\r\n{message}\r\n0\r\n{hidden}\r\n\r\n")),
    ];
    for (name, body) in bodies {
        // It asks for the end of the connection, so what comes behind a good end is not a second request by right.
        let framing = ["Connection: close", "Transfer-Encoding: chunked"];
        hides_nothing(&flow, name, &call(&flow, &bearer, "seen", &framing, Some(&body))).await?;
    }
    Ok(())
}

/// RFC 9112, section 6.1: what is framed in a coding that we do not undo is no body of ours. Neither is what two readers
/// undo differently.
#[tokio::test]
async fn px_08_a_body_in_any_coding_but_chunked_is_refused_and_the_connection_ends() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let hidden = String::from_utf8_lossy(&call(&flow, &bearer, "hidden", &[], None)).into_owned();
    let message = echo("seen").to_string();
    let body = format!("{:x}\r\n{message}\r\n0\r\n\r\n{hidden}", message.len());
    for codings in [
        &["gzip, chunked"][..],
        &["gzip", "chunked"],
        &["x, chunked"],
        &["identity, chunked"],
        &["chunked, chunked"],
        &["chunked", "chunked"],
        &[", chunked"],
        &["chunked,"],
        &["chunked", ""],
        &["chunked;q=1"],
        &[""],
    ] {
        let lines: Vec<String> =
            codings.iter().map(|coding| format!("Transfer-Encoding: {coding}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let bytes = call(&flow, &bearer, "seen", &lines, Some(&body));
        let said = raw::converse(&flow.house.address(), &bytes).await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let refused = said.starts_with("HTTP/1.1 400 ") && said.contains("connection: close");
        if !refused || said.matches("HTTP/1.1 ").count() != 1 {
            return Err(format!("{codings:?}: {said}"));
        }
    }
    match (calls(&flow, "seen"), calls(&flow, "hidden")) {
        (0, 0) => Ok(()),
        seen => Err(format!("{seen:?} calls")),
    }
}

/// RFC 9112, section 6.3: of a length beside chunks the chunks count, and nothing on the connection is read after them.
#[tokio::test]
async fn px_08_a_length_beside_chunks_is_not_believed_and_the_connection_ends() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let hidden = String::from_utf8_lossy(&call(&flow, &bearer, "hidden", &[], None)).into_owned();
    let message = echo("seen").to_string();
    let body = format!("{:x}\r\n{message}\r\n0\r\n\r\n{hidden}", message.len());
    for length in [body.len(), message.len(), 0, 5] {
        let (length, te) = (format!("Content-Length: {length}"), "Transfer-Encoding: chunked");
        for lines in [[length.as_str(), te], [te, length.as_str()]] {
            let bytes = call(&flow, &bearer, "seen", &lines, Some(&body));
            let said = raw::converse(&flow.house.address(), &bytes).await?;
            let said = String::from_utf8_lossy(&said).into_owned();
            if said.matches("HTTP/1.1 ").count() != 1 || !said.contains("connection: close") {
                return Err(format!("{lines:?}: {said}"));
            }
        }
    }
    match (calls(&flow, "seen"), calls(&flow, "hidden")) {
        (8, 0) => Ok(()),
        seen => Err(format!("{seen:?} calls")),
    }
}

/// The control: the same two requests, one honestly behind the other, are two.
#[tokio::test]
async fn px_08_two_honest_requests_on_one_connection_are_two() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    for framing in [&[][..], &["Transfer-Encoding: chunked"]] {
        let message = echo("seen").to_string();
        let body = format!("{:x};ext=\"1\"\r\n{message}\r\n0\r\n\r\n", message.len());
        let body = (!framing.is_empty()).then_some(body.as_str());
        let two =
            [call(&flow, &bearer, "seen", framing, body), call(&flow, &bearer, "hidden", &[], None)].concat();
        let said = raw::converse(&flow.house.address(), &two).await?;
        let answers = String::from_utf8_lossy(&said).matches("HTTP/1.1 200 ").count();
        if answers != 2 {
            return Err(format!("{answers} answers: {}", String::from_utf8_lossy(&said)));
        }
    }
    match (calls(&flow, "seen"), calls(&flow, "hidden")) {
        (2, 2) => Ok(()),
        seen => Err(format!("{seen:?} calls")),
    }
}

#[tokio::test]
async fn px_08_a_request_for_two_hosts_is_refused() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let good = String::from_utf8_lossy(&call(&flow, &bearer, "seen", &[], None)).into_owned();
    let host = format!("Host: {}\r\n", flow.house.host());
    for (name, bytes) in [
        ("two hosts", good.replace(&host, &format!("{host}Host: evil.example\r\n"))),
        ("absolute form", good.replace("POST /notes", "POST http://evil.example/notes")),
        ("no host", good.replace(&host, "")),
    ] {
        let answer = raw::send(&flow.house.address(), bytes.as_bytes()).await.map_err(while_trying(name))?;
        if !matches!(
            answer.status,
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST
        ) {
            return Err(format!("{name}: {}", answer.status));
        }
    }
    if calls(&flow, "seen") == 0 { Ok(()) } else { Err("a call for another host went through".to_owned()) }
}

#[tokio::test]
async fn px_08_over_http_2_lengths_hosts_and_line_ends_are_what_they_say() -> Verdict {
    let mut flow = flow().await?;
    let bearer = bearer(&flow.tokens().await?);
    let (host, message) = (flow.house.host(), echo("seen").to_string());
    let length = message.len().to_string();
    let (less, more) = ((message.len() - 1).to_string(), (message.len() + 1).to_string());
    let evil = format!("x\r\n\r\n{}", String::from_utf8_lossy(&call(&flow, &bearer, "hidden", &[], None)));
    let odd: [(&str, Fields<'_>); 12] = [
        ("the control", &[("content-length", length.as_bytes())]),
        ("more DATA than it says", &[("content-length", less.as_bytes())]),
        ("less DATA than it says", &[("content-length", more.as_bytes())]),
        ("two lengths", &[("content-length", length.as_bytes()), ("content-length", more.as_bytes())]),
        ("a length that is none", &[("content-length", b"+1")]),
        ("line ends in a value", &[("x", evil.as_bytes())]),
        ("line ends in a name", &[("x\r\ny", b"z")]),
        ("a capital in a name", &[("X-Y", b"z")]),
        ("a colon in a name", &[("x: y\r\nz", b"z")]),
        ("transfer-encoding", &[("transfer-encoding", b"chunked")]),
        ("connection", &[("connection", b"close")]),
        ("another host", &[("host", b"evil.example")]),
    ];
    for (name, more) in odd {
        let mut list: Vec<(&str, &[u8])> = vec![
            (":method", b"POST"),
            (":scheme", b"http"),
            (":path", b"/notes/mcp"),
            (":authority", host.as_bytes()),
            ("authorization", bearer.as_bytes()),
            ("content-type", b"application/json"),
        ];
        list.extend(HEADERS.iter().map(|(name, value)| (*name, value.as_bytes())));
        list.extend(more);
        let mut frames = Frames::open(&flow.house.address(), &[]).await?;
        frames.send(http2::HEADERS, http2::END_HEADERS, 1, &http2::fields(&list)).await;
        frames.send(http2::DATA, http2::END_STREAM, 1, message.as_bytes()).await;
        let outcome = frames.outcome(1).await.map_err(while_trying(name))?;
        if (outcome == Outcome::Answered) != (name == "the control") {
            return Err(format!("{name}: {outcome:?}"));
        }
    }
    match (calls(&flow, "seen"), calls(&flow, "hidden")) {
        (1, 0) => Ok(()),
        seen => Err(format!("{seen:?} calls")),
    }
}
