//! Traces: what a call did here is part of the trace of whoever called, and the MCP server goes on from it.

use serde_json::{Value, json};
use testkit::collector::{FakeCollector, Span, attribute};
use testkit::house::Plan;
use testkit::http::{Answer, request};
use testkit::outcomes::Verdict;

use crate::steps::{Flow, Tokens};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1bf7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const CANARY: &str = "c4n4ry";

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One call of the tool `echo` with these positions in the message and in the header.
async fn call(
    flow: &Flow,
    tokens: &Tokens,
    message: Option<&str>,
    header: Option<&str>,
) -> Result<Answer, String> {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    if let Some(message) = message {
        meta["traceparent"] = Value::from(message);
    }
    let params = json!({"name": "echo", "arguments": {"said": CANARY}, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let bearer = format!("Bearer {}", tokens.access);
    let mut headers = vec![
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    headers.extend(header.map(|header| ("traceparent", header)));
    let asked =
        request(http::Method::POST, &flow.house.resource("notes"), &headers, body.to_string().into())?;
    let answer = flow.house.http.send(asked).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(answer)
}

/// What the MCP server was told by the last call.
fn told(flow: &Flow) -> String {
    flow.house
        .mcp
        .received()
        .last()
        .map(|received| received.header("traceparent").to_owned())
        .unwrap_or_default()
}

async fn house(new_one_in: u32) -> Result<(FakeCollector, Flow, Tokens), String> {
    let collector = FakeCollector::start().await.map_err(|error| error.to_string())?;
    let plan = Plan { collector: Some((collector.url.clone(), new_one_in)), ..Plan::default() };
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    Ok((collector, flow, tokens))
}

/// The spans after everything was sent.
async fn spans(collector: &FakeCollector, flow: Flow) -> Result<Vec<Span>, String> {
    let Flow { house, log, .. } = flow;
    drop(log);
    house.close().await?;
    Ok(collector.spans())
}

/// The client's trace, our span in it, and the MCP server after that: by the message (MCP 2026-07-28, "_meta"), and by the
/// header (W3C Trace Context, section 3.2).
#[tokio::test]
async fn a_call_is_a_span_of_the_clients_trace_and_the_mcp_server_goes_on_from_it() -> Verdict {
    let (collector, flow, tokens) = house(0).await?;
    let (sampled, other) = (traceparent(TRACE, "01"), traceparent(OTHER, "01"));
    let mut received = Vec::new();
    for (message, header) in [
        (Some(sampled.as_str()), None),
        (None, Some(sampled.as_str())),
        // The message says which trace it is.
        (Some(sampled.as_str()), Some(other.as_str())),
    ] {
        call(&flow, &tokens, message, header).await?;
        received.push(told(&flow));
    }
    // The bytes of the message are those of the client.
    let forwarded = flow.house.mcp.received().first().map(|received| received.json()).unwrap_or_default();
    assert_eq!(forwarded["params"]["_meta"]["traceparent"], sampled.as_str());
    let secrets = flow.secrets();
    let spans = spans(&collector, flow).await?;
    let ours: Vec<String> =
        spans.iter().map(|span| format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))).collect();
    assert_eq!(ours, received, "the MCP server was told of our span");
    for span in &spans {
        assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, PARENT));
        assert_eq!(span.name, "tools/call echo");
        let said = |name: &str| attribute(&span.attributes, name);
        assert_eq!(
            (said("sekisho.server"), said("sekisho.outcome")),
            ("notes".to_owned(), "answered".to_owned())
        );
        assert_eq!(said("http.response.status_code"), "200");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        // I-9: nothing of what was said, of who said it, or of what let them in.
        let all = format!("{span:?}");
        for never in secrets.iter().map(String::as_str).chain([CANARY, "alice", "127.0.0.1"]) {
            assert!(!all.contains(never), "{never} in {all}");
        }
    }
    Ok(())
}

/// W3C Trace Context, section 3.2.2.5: whoever began the trace says whether it is recorded. What they did not want is passed on
/// as it was, and what is no position is none.
#[tokio::test]
async fn a_trace_that_its_client_does_not_record_is_passed_on_and_not_recorded() -> Verdict {
    let (collector, flow, tokens) = house(0).await?;
    let unsampled = traceparent(TRACE, "00");
    call(&flow, &tokens, None, Some(&unsampled)).await?;
    assert_eq!(told(&flow), unsampled);
    for (message, header) in
        [(Some(unsampled.as_str()), None), (None, None), (Some("00-x"), Some("nonsense"))]
    {
        call(&flow, &tokens, message, header).await?;
        assert_eq!(told(&flow), "");
    }
    assert!(spans(&collector, flow).await?.is_empty());
    Ok(())
}

/// `new_traces_one_in`.
#[tokio::test]
async fn one_call_in_so_many_begins_a_trace() -> Verdict {
    let (collector, flow, tokens) = house(2).await?;
    for _ in 0..3 {
        call(&flow, &tokens, None, None).await?;
    }
    let spans = spans(&collector, flow).await?;
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty()));
    assert_ne!(spans.first().map(|span| &span.trace_id), spans.last().map(|span| &span.trace_id));
    Ok(())
}

/// Off unless it is wanted: then a position goes on as the client wrote it.
#[tokio::test]
async fn without_a_collector_a_position_is_passed_on_as_it_is() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let sampled = traceparent(TRACE, "01");
    call(&flow, &tokens, None, Some(&sampled)).await?;
    assert_eq!(told(&flow), sampled);
    Ok(())
}
