//! Lists of an MCP server that gives them in shapes of its own (attacks.md, 1.9: PX-18 to PX-20, PX-25): who may not call a
//! tool never hears of it.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::client::TestClient;
use testkit::house::House;
use testkit::http::{Answer, request};
use testkit::outcomes::Verdict;

use super::people::said;
use crate::steps::{Flow, while_trying};

/// A list of a tool that only reads and of one that writes, with a name that is looked for.
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[{"name":"echo","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"h1dden","inputSchema":{"type":"object"}}],"nextCursor":"page 2","ttlMs":0,"cacheScope":"public"}}"#;
const NOTE: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;

fn answer(media: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static(media));
    answer
}

/// The token of a machine that may only read, ever.
async fn reader(house: &House) -> Result<String, String> {
    let secret = "secret-of-the-night-runner";
    house.remember_secret(secret);
    let client = TestClient {
        http: house.http.clone(),
        issuer: house.issuer.clone(),
        client_id: "night-runner".to_owned(),
        secret: Some(secret.to_owned()),
        redirect_uri: String::new(),
    };
    let resource = house.resource("notes");
    let fields = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    let answer = client.token(&fields).await?;
    let token = answer.json()["access_token"].as_str().map(str::to_owned);
    let token = token.ok_or_else(|| format!("no token: {} {}", answer.status, answer.text()))?;
    house.remember_secret(&token);
    Ok(token)
}

async fn list(house: &House, token: &str, given: Response<Bytes>) -> Result<Answer, String> {
    house.mcp.list_next(given);
    house.call("notes", token, "tools/list", json!({})).await
}

/// The messages of an answer, whichever way they come.
fn messages(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let events = text
        .split("\n\n")
        .filter(|event| answer.header("content-type") != "application/json" && !event.is_empty());
    let data =
        events.map(|event| event.lines().filter_map(|line| line.strip_prefix("data: ")).collect::<String>());
    let mut texts: Vec<String> = data.collect();
    if answer.header("content-type") == "application/json" {
        texts.push(text.clone());
    }
    let messages = texts.iter().filter_map(|text| serde_json::from_str(text).ok());
    messages
        .flat_map(|message| if let Value::Array(batch) = message { batch } else { vec![message] })
        .collect()
}

/// What a client finds, and what went on of it byte by byte.
fn shows_one_tool(answer: &Answer) -> Result<(), String> {
    let found: Vec<Value> =
        messages(answer).into_iter().filter(|message| message["result"]["tools"].is_array()).collect();
    let [list] = found.as_slice() else { return Err(format!("one list is expected: {}", answer.text())) };
    let tools = list["result"]["tools"].as_array().ok_or("no tools")?;
    assert_eq!(tools.len(), 1, "{list}");
    assert_eq!((&tools[0]["name"], &list["result"]["nextCursor"]), (&json!("echo"), &json!("page 2")));
    assert_eq!(list["result"]["cacheScope"], "private", "what one may see is nobody else's");
    if answer.text().contains("h1dden") {
        return Err(format!("it is named: {}", answer.text()));
    }
    Ok(())
}

#[tokio::test]
async fn px_18_px_20_px_25_no_shape_of_an_honest_list_shows_a_tool_that_its_reader_may_not_call() -> Verdict {
    let house = House::new().await?;
    let token = reader(&house).await?;
    let lines = LIST.replace(",\"result\"", ",\ndata: \"result\"");
    let events = "text/event-stream";
    for (shape, given) in [
        ("json", answer("application/json", LIST)),
        ("json, a batch", answer("application/json", format!("[{NOTE},{LIST}]"))),
        ("event", answer(events, format!("data: {LIST}\n\n"))),
        ("after a notification", answer(events, format!("data: {NOTE}\n\ndata: {LIST}\n\n"))),
        ("before a notification", answer(events, format!("data: {LIST}\n\ndata: {NOTE}\n\n"))),
        ("after an empty event", answer(events, format!("id: 7\ndata:\n\nid: 8\ndata: {LIST}\n\n"))),
        ("no space", answer(events, format!("data:{LIST}\n\n"))),
        ("lines end in CRLF", answer(events, format!("event: message\r\ndata: {LIST}\r\n\r\n"))),
        ("lines end in CR", answer(events, format!("data: {LIST}\r\r"))),
        ("in two lines", answer(events, format!("data: {lines}\n\n"))),
        ("byte order mark", answer(events, format!("\u{feff}data: {LIST}\n\n"))),
        ("in a batch", answer(events, format!("data: [{NOTE},{LIST}]\n\n"))),
        ("an escape in the name", answer("application/json", LIST.replace("h1dden", "h\\u0031dden"))),
        ("a comment", answer(events, format!(": h1dden\ndata: {LIST}\n\n"))),
        (
            "another member",
            answer("application/json", LIST.replace("\"ttlMs\"", "\"all\":[\"h1dden\"],\"ttlMs\"")),
        ),
    ] {
        let got = list(&house, &token, given).await?;
        assert_eq!(got.status, StatusCode::OK, "{shape}: {}", got.text());
        shows_one_tool(&got).map_err(while_trying(shape))?;
    }
    // Denied is unknown, word for word.
    let mut heard = Vec::new();
    for name in ["h1dden", "write", "no-such-tool"] {
        let refused =
            house.call("notes", &token, "tools/call", json!({"name": name, "arguments": {}})).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        heard.push(said(&refused));
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
    house.close().await
}

#[tokio::test]
async fn px_18_what_two_readers_could_read_in_two_ways_reaches_nobody_and_is_written_down() -> Verdict {
    let house = House::new().await?;
    let token = reader(&house).await?;
    let long = LIST.replace("page 2", &"x".repeat(10 * 1024 * 1024));
    let mut dropped = 0;
    for (shape, odd) in [
        ("undecodable", LIST.replace("\"jsonrpc\"", "jsonrpc")),
        ("cut off", LIST.trim_end_matches('}').to_owned()),
        ("method and result", LIST.replace("\"id\":1", "\"id\":1,\"method\":\"notifications/message\"")),
        ("no id", LIST.replace("\"id\":1,", "")),
        ("null id", LIST.replace("\"id\":1", "\"id\":null")),
        ("result twice", LIST.replace("\"id\":1", "\"id\":1,\"result\":{\"tools\":[]}")),
        ("tools twice", LIST.replace("\"tools\":[", "\"tools\":[],\"tools\":[")),
        ("tools in another case", LIST.replace("\"tools\"", "\"Tools\"")),
        ("tools with an escape", LIST.replace("\"tools\"", "\"t\\u006fols\"")),
        ("two lists", LIST.replace("\"nextCursor\"", "\"prompts\":[],\"nextCursor\"")),
        ("no list", LIST.replace("\"tools\":[", "\"tools\":{\"x\":[").replace("],\"next", "]},\"next")),
        ("two texts", format!("{LIST}{LIST}")),
        ("byte order mark", format!("\u{feff}{LIST}")),
        ("ten megabytes", long),
    ] {
        let got = list(&house, &token, answer("application/json", odd.clone())).await?;
        assert_eq!(got.status, StatusCode::BAD_GATEWAY, "{shape}: {}", got.text().len());
        assert_eq!(
            (got.json()["id"].clone(), got.json()["error"]["code"].clone()),
            (json!(1), json!(-32603))
        );
        assert!(!got.text().contains("h1dden"), "{shape}");
        let stream = format!("data: {NOTE}\n\ndata: {odd}\n\ndata: {NOTE}\n\n");
        let got = list(&house, &token, answer("text/event-stream", stream)).await?;
        assert!(!got.text().contains("h1dden"), "{shape}");
        let (told, notes): (Vec<Value>, Vec<Value>) =
            messages(&got).into_iter().partition(|message| message["error"].is_object());
        assert_eq!((told.len(), notes.len()), (1, 2), "{shape}: whoever waits is told");
        assert_eq!(told[0]["id"], 1, "{shape}");
        dropped += 1;
    }
    // An error that is no message keeps its status: by 404 an older client knows that its session is over.
    let mut gone = answer("application/json", "{\"error\":\"h1dden\"}");
    *gone.status_mut() = StatusCode::NOT_FOUND;
    let got = list(&house, &token, gone).await?;
    assert_eq!((got.status, got.text().contains("h1dden")), (StatusCode::NOT_FOUND, false));
    let house = house.restart().await?;
    let calls = house.audit(AuditKind::Call).await?;
    let reasons = |reason: &str| calls.iter().filter(|call| call.reason.as_deref() == Some(reason)).count();
    assert_eq!(reasons("filter_dropped"), dropped);
    assert_eq!(reasons("list_unreadable") + reasons("list_too_large"), dropped);
    house.close().await
}

async fn next(client: &mut Response<Incoming>) -> Result<Bytes, String> {
    let frame = client.frame().await.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
    frame.into_data().map_err(|_| "no data".to_owned())
}

/// A list that was asked for elsewhere, on a stream that stands by itself: the one of a subscription, the GET stream of a
/// session, and one that is resumed there.
#[tokio::test]
async fn px_18_a_list_that_strays_to_another_stream_is_judged_there() -> Verdict {
    let house = House::new().await?;
    let token = reader(&house).await?;
    let bearer = format!("Bearer {token}");
    let url = house.resource("notes");
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json, text/event-stream")];
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let begun = house.http.post_json(&url, &headers, &hello).await?;
    let session = begun.header("mcp-session-id").to_owned();
    let listening = |more: &[(&str, &str)]| {
        let own = [
            ("authorization", bearer.as_str()),
            ("accept", "text/event-stream"),
            ("mcp-session-id", session.as_str()),
        ];
        request(Method::GET, &url, &[&own[..], more].concat(), Bytes::new())
    };
    let subscribed = house.call_request("notes", &token, "subscriptions/listen", json!({}))?;
    for asked in [subscribed, listening(&[])?, listening(&[("last-event-id", "7")])?] {
        let mut client = house.http.stream(asked).await?;
        assert_eq!(client.status(), StatusCode::OK);
        let server = house.mcp.next_stream().await;
        let event = format!("id: 8\ndata: {LIST}\n\n");
        let (one, two) = event.split_at(event.len() / 2);
        assert!(server.send(one.to_owned()) && server.send(two.to_owned()));
        let got = String::from_utf8_lossy(&next(&mut client).await?).into_owned();
        assert!(
            got.starts_with("id: 8\ndata: {") && got.contains("\"echo\"") && !got.contains("h1dden"),
            "{got}"
        );
        // Suspicious ones are not there at all; what is no list goes on as it comes.
        for odd in [LIST.replace("\"id\":1,", ""), LIST.replace("\"tools\"", "\"TOOLS\"")] {
            assert!(server.send(format!("data: {odd}\n\n")));
            assert!(server.send(format!("data: {NOTE}\n\n")));
            assert_eq!(next(&mut client).await?, format!("data: {NOTE}\n\n"));
        }
        drop(server);
        assert!(client.frame().await.is_none());
    }
    house.close().await
}

/// The control: who may call everything sees everything, byte for byte.
#[tokio::test]
async fn px_18_who_may_call_every_tool_gets_the_list_as_the_mcp_server_wrote_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let own = LIST.replace("public", "private").replace("\"ttlMs\":0", "\"ttlMs\" :  0, \"x\":1.00e0");
    let got = list(&flow.house, &tokens.access, answer("application/json", own.clone())).await?;
    assert_eq!(got.text(), own);
    let event = format!("id: 7\r\ndata: {own}\r\n\r\n");
    let got = list(&flow.house, &tokens.access, answer("text/event-stream", event.clone())).await?;
    assert_eq!(got.text(), event);
    flow.close().await
}
