use store::{AuditFilter, Queries};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fixture::{CLIENT, PING, START, World, post, tools_call};

#[tokio::test]
async fn each_call_is_one_event() {
    let world = World::new().await;
    let token = world.token(|_| {});
    world.clock.advance(Duration::from_secs(1));
    let clock = Arc::clone(&world.clock);
    world.upstream.answers(move |_| {
        clock.advance(Duration::from_millis(42));
        Some(crate::fixture::json("{\"x\":1}"))
    });
    world.answered(post(&token, &tools_call("list_files"))).await;
    let rows = world.audited().await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.kind.as_str(), row.outcome, row.reason.as_deref()), ("call", store::Outcome::Ok, None));
    assert_eq!(row.at, START.plus(Duration::from_secs(1)));
    assert_eq!((row.user, row.grant), (Some(world.alice), Some(world.grant)));
    assert_eq!((row.client_id.as_deref(), row.server.as_deref()), (Some(CLIENT), Some("files")));
    assert_eq!((row.name.as_deref(), row.address.as_deref()), (Some("alice@example.com"), Some("192.0.2.7")));
    let detail: Vec<_> = row.detail.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        detail,
        [
            ("bytes", "7"),
            ("duration_ms", "42"),
            ("method", "tools/call"),
            ("name", "list_files"),
            ("status", "200")
        ]
    );
    let servers = world.server.counting().servers();
    let calls = &servers.iter().find(|server| server.name == "files").unwrap().calls;
    assert!(calls.endings.contains(&("answered", 1)), "{calls:?}");
    assert_eq!(calls.together, Duration::from_millis(42));
}

#[tokio::test]
async fn refusals_with_a_live_token_are_written_down_and_those_without_are_counted() {
    let world = World::new().await;
    let token = world.token(|claims| claims.scope = Some("read".to_owned()));
    world.call(post("nonsense", PING)).await.unwrap_err();
    world.call(post(&token, "[]")).await.unwrap_err();
    world.clock.advance(Duration::from_millis(1));
    world.call(post(&token, r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#)).await.unwrap_err();
    let counts = world.server.counts();
    assert_eq!((counts.unauthenticated, counts.refused, counts.answered), (1, 2, 0));
    let servers = world.server.counting().servers();
    let calls = &servers.iter().find(|server| server.name == "files").unwrap().calls;
    assert!(calls.endings.contains(&("unauthenticated", 1)) && calls.endings.contains(&("refused", 2)));
    assert!(calls.durations.iter().all(|(_, count)| *count == 0), "none of them went there");
    let rows = world.audited().await;
    let told: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.reason.as_deref())).collect();
    assert_eq!(told, [("call_refused", Some("batch")), ("call_refused", Some("scope_insufficient"))]);
    assert_eq!(rows[1].detail["status"], "403");
}

#[tokio::test]
async fn what_the_mcp_server_did_not_do_is_a_failure() {
    let world = World::new().await;
    let token = world.token(|_| {});
    world.upstream.answers(|_| None);
    world.call(post(&token, PING)).await.unwrap_err();
    world.clock.advance(Duration::from_millis(1));
    world.upstream.always(500, "application/json", "{}");
    world.answered(post(&token, PING)).await;
    let rows = world.audited().await;
    let told: Vec<_> = rows.iter().map(|row| (row.outcome, row.reason.as_deref())).collect();
    assert_eq!(
        told,
        [
            (store::Outcome::Failed, Some("upstream_broken")),
            (store::Outcome::Failed, Some("upstream_status"))
        ]
    );
    assert_eq!(world.server.counts().upstream_failed, 2);
}

#[tokio::test]
async fn a_client_that_goes_away_is_written_down() {
    let world = World::new().await;
    let (feed, body) = crate::fixture::events_body();
    let mut body = Some(body);
    world.upstream.answers(move |_| body.take().map(crate::fixture::events));
    let response = world.call(post(&world.token(|_| {}), PING)).await.unwrap();
    drop(response);
    feed.closed().await;
    assert_eq!(world.server.counts().client_gone, 1);
    let rows = world.audited().await;
    assert_eq!(rows[0].reason.as_deref(), Some("client_gone"));
}

/// A client that leaves before the MCP server has answered: the call is over there as well, and written down.
#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_is_written_down() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let (asked, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let (feed, body) = crate::fixture::events_body();
    let mut body = Some(body);
    world.upstream.answers(move |_| {
        asked.send(()).unwrap();
        body.take().map(crate::fixture::events)
    });
    {
        let call = world.call(post(&token, PING));
        tokio::pin!(call);
        tokio::select! {
            biased;
            () = async { heard.recv().await.unwrap() } => {}
            _ = &mut call => {}
        }
    }
    feed.closed().await;
    let rows = world.audited().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].reason.as_deref(), Some("client_gone"));
}

#[tokio::test]
async fn every_kind_of_request_has_a_name_in_the_audit() {
    let world = World::new().await;
    let token = world.token(|_| {});
    world.upstream.always(202, "", "");
    world.answered(post(&token, r#"{"jsonrpc":"2.0","id":9,"result":{}}"#)).await;
    world.clock.advance(Duration::from_millis(1));
    world.answered(post(&token, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)).await;
    world.clock.advance(Duration::from_millis(1));
    world.upstream.always(405, "", "");
    world.answered(crate::fixture::request(http::Method::GET, &token, "")).await;
    let named: Vec<_> = world.audited().await.iter().map(|row| row.detail["method"].clone()).collect();
    assert_eq!(named, ["response", "notifications/initialized", "GET"]);
}

#[tokio::test]
async fn texts_of_the_client_are_short_and_do_nothing() {
    let world = World::new().await;
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{"uri":"{}"}}}}"#,
        "é".repeat(400)
    );
    world.answered(post(&world.token(|_| {}), &message)).await;
    assert_eq!(world.audited().await[0].detail["name"].chars().count(), 256);
    assert_eq!(printable("a\u{0}b\nc"), "a\u{fffd}b\u{fffd}c");
}

/// `[audit] read_only_calls = false`: what only reads and comes through leaves no event; all the rest does.
#[tokio::test]
async fn calls_that_only_read_are_left_out_if_they_are_to_be() {
    let tools = serde_json::json!({"tools": [
        {"name": "reads", "annotations": {"readOnlyHint": true}}, {"name": "writes"}]});
    for (record_reading, expected) in
        [(true, &["ping", "reads", "writes", "call_refused"][..]), (false, &["writes", "call_refused"])]
    {
        let world = World::with(|settings| settings.record_reading = record_reading).await;
        world.read().await;
        let token = world.token(|_| {});
        let tools = tools.clone();
        world.upstream.answers(move |seen| {
            let answer = serde_json::json!({"jsonrpc": "2.0", "id": seen.json()["id"], "result": tools});
            Some(crate::fixture::json(&answer.to_string()))
        });
        for message in [PING.to_owned(), tools_call("reads"), tools_call("writes")] {
            world.answered(post(&token, &message)).await;
            world.clock.advance(Duration::from_millis(1));
        }
        world.call(post(&token, "[]")).await.unwrap_err();
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.server.counts().answered, 3, "counted all the same");
        let told = |row: &store::AuditRow| match row.kind.as_str() {
            "call" => row.detail.get("name").unwrap_or(&row.detail["method"]).clone(),
            other => other.to_owned(),
        };
        assert_eq!(world.audited().await.iter().map(told).collect::<Vec<_>>(), expected);
    }
}

/// What only reads and fails is written down.
#[tokio::test]
async fn a_call_that_only_reads_and_fails_is_not_left_out() {
    let world = World::with(|settings| settings.record_reading = false).await;
    world.read().await;
    world.upstream.always(500, "application/json", "{}");
    world.answered(post(&world.token(|_| {}), PING)).await;
    assert_eq!(world.audited().await[0].reason.as_deref(), Some("upstream_status"));
}

/// Events of one person and address share their personal data; it is written once.
#[tokio::test]
async fn personal_data_is_kept_beside_the_events() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let before = world.store.counts().await.unwrap().audit_subjects;
    for _ in 0..3 {
        world.answered(post(&token, PING)).await;
    }
    assert_eq!(world.audited().await.len(), 3);
    assert_eq!(world.store.counts().await.unwrap().audit_subjects - before, 1);
}

#[tokio::test]
async fn a_full_batch_is_written_without_waiting() {
    let world = World::new().await;
    let token = world.token(|_| {});
    for _ in 0..256 {
        world.answered(post(&token, PING)).await;
    }
    let shutdown = CancellationToken::new();
    let server = Arc::clone(&world.server);
    let mut tasks = tokio::task::JoinSet::new();
    let told = shutdown.clone();
    tasks.spawn(async move { server.write_audit(told).await });
    let filter = AuditFilter { kind: Some(store::AuditKind::Call), ..AuditFilter::default() };
    while world.store.list_audit(filter.clone(), None, 1000).await.unwrap().len() < 256 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

/// Back-pressure rather than loss: a call in progress keeps its place, and without a place there is no call.
#[tokio::test(start_paused = true)]
async fn without_a_place_there_is_no_call() {
    let clock = crate::fixture::TestClock::new();
    let (queue, mut events) = mpsc::channel(1);
    let intents = Arc::new(crate::fixture::no_intents(&clock));
    let audit = Audit { queue, clock: Arc::clone(&clock) as _, counters: Arc::default(), intents };
    let who = crate::fixture::who(&clock);
    let first = audit.reserve(who.clone()).await.unwrap();
    assert_eq!(audit.reserve(who.clone()).await.unwrap_err().reason(), "audit_unavailable");
    drop(first);
    assert_eq!(
        audit.reserve(who.clone()).await.unwrap_err().reason(),
        "audit_unavailable",
        "not written yet"
    );
    assert_eq!(events.recv().await.unwrap().reason, Some("client_gone"));
    let mut second = audit.reserve(who).await.unwrap();
    second.finish(Ending::Answered, None);
    second.finish(Ending::Cut, Some("only the first word counts"));
    drop(second);
    assert_eq!(events.recv().await.unwrap().ending, Ending::Answered);
    assert!(events.try_recv().is_err());
}

/// P-20: while nothing is written, one person cannot take all places.
#[tokio::test]
async fn one_person_cannot_take_all_places() {
    let clock = crate::fixture::TestClock::new();
    let (audit, mut events) =
        Audit::new(Arc::clone(&clock) as _, Arc::default(), crate::fixture::no_intents(&clock));
    // Of 1000 for each person in these tests.
    let (mine, others) = (crate::fixture::who(&clock), crate::fixture::who(&clock));
    for _ in 0..1000 {
        drop(audit.reserve(mine.clone()).await.unwrap());
    }
    assert_eq!(audit.reserve(mine.clone()).await.unwrap_err().reason(), "person_calls_exhausted");
    drop(audit.reserve(others).await.unwrap());
    drop(events.recv().await.unwrap());
    drop(audit.reserve(mine).await.unwrap());
}

/// A record that fails for a while: the same events, once each, when it is back.
#[tokio::test]
async fn events_outlive_a_record_that_fails() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config =
        store::EngineConfig::Sqlite { path: folder.path().join("empty.db"), synchronous_full: false };
    let store = store::Engine::connect(config).await.unwrap();
    let counters = Arc::new(Counters::default());
    let (audit, events) = Audit::new(
        Arc::clone(&world.clock) as _,
        Arc::clone(&counters),
        crate::fixture::no_intents(&world.clock),
    );
    let (clock, entropy) = (Arc::clone(&world.clock) as Arc<dyn Clock>, Arc::clone(&world.entropy) as _);
    let writer = AuditWriter::new(events, Arc::new(store.clone()), clock, entropy, Arc::clone(&counters));
    let who = crate::fixture::who(&world.clock);
    for _ in 0..256 {
        audit.reserve(who.clone()).await.unwrap().finish(Ending::Answered, None);
    }
    let shutdown = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(writer.run(shutdown.clone()));
    while counters.snapshot(0).audit_retries == 0 {
        tokio::task::yield_now().await;
    }
    store.migrate().await.unwrap();
    while store.counts().await.unwrap().audit_events < 256 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(store.counts().await.unwrap().audit_events, 256);
}
