use store::{AuditFilter, AuditIntents as _, AuditRow, Failpoint, Outcome};
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::fixture::{PING, World, post, tools_call};

async fn on_their_way(world: &World) -> Vec<AuditRow> {
    world.store.list_intents(AuditFilter::default(), 100).await.unwrap()
}

/// Makes a call and looks at the record at the moment when it has reached the MCP server.
async fn seen_while_forwarded(world: &World, message: &str, scope: &str) -> Vec<AuditRow> {
    let token = world.token(|claims| claims.scope = Some(scope.to_owned()));
    let (asked, mut heard) = unbounded_channel();
    let (feed, body) = crate::fixture::events_body();
    let mut body = Some(body);
    world.upstream.answers(move |seen| {
        if seen.json()["method"] == "tools/list" {
            let tools =
                serde_json::json!({"tools": [{"name": "reads", "annotations": {"readOnlyHint": true}}]});
            let answer = serde_json::json!({"jsonrpc": "2.0", "id": seen.json()["id"], "result": tools});
            return Some(crate::fixture::json(&answer.to_string()));
        }
        asked.send(()).unwrap();
        body.take().map(crate::fixture::events)
    });
    let mut call = Box::pin(world.call(post(&token, message)));
    tokio::select! {
        biased;
        () = async { heard.recv().await.unwrap() } => {}
        answer = &mut call => drop(answer.unwrap()),
    }
    let meanwhile = on_their_way(world).await;
    drop(call);
    feed.closed().await;
    meanwhile
}

#[tokio::test]
async fn a_call_that_may_change_something_is_in_the_record_before_it_is_forwarded_and_leaves_with_its_event()
{
    let world = World::new().await;
    let meanwhile = seen_while_forwarded(&world, &tools_call("writes"), "read write").await;
    let after = world.audited().await;
    let [intent] = meanwhile.as_slice() else { panic!("{meanwhile:?}") };
    assert_eq!((intent.outcome, intent.reason.as_deref()), (Outcome::Unknown, Some("on_its_way")));
    assert_eq!((intent.user, intent.grant), (Some(world.alice), Some(world.grant)));
    assert_eq!((intent.server.as_deref(), intent.detail["name"].as_str()), (Some("files"), "writes"));
    assert_eq!(
        (intent.name.as_deref(), intent.address.as_deref()),
        (Some("alice@example.com"), Some("192.0.2.7"))
    );
    assert_eq!((after.len(), after[0].id, after[0].at), (1, intent.id, intent.at));
    assert!(on_their_way(&world).await.is_empty());
}

#[tokio::test]
async fn a_call_that_only_reads_is_not_written_down_twice() {
    for (message, scope) in [(PING.to_owned(), "read write"), (tools_call("reads"), "read")] {
        let world = World::new().await;
        let meanwhile = seen_while_forwarded(&world, &message, scope).await;
        let after = world.audited().await;
        assert_eq!((meanwhile.len(), after.len()), (0, 1), "{message}");
    }
}

/// Who may write and whose tool said lately that it only reads: what is remembered of it is enough.
#[tokio::test]
async fn what_a_tool_said_lately_is_remembered_for_those_who_may_write() {
    let world = World::new().await;
    drop(seen_while_forwarded(&world, &tools_call("reads"), "read").await);
    let meanwhile = seen_while_forwarded(&world, &tools_call("reads"), "read write").await;
    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    let meanwhile = seen_while_forwarded(&world, &tools_call("unknown"), "read write").await;
    assert_eq!(meanwhile.len(), 1);
}

/// And who calls much is asked for: after a while their reading is known.
#[tokio::test]
async fn who_may_write_and_calls_much_is_soon_known_to_read() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let tools = serde_json::json!({"tools": [{"name": "reads", "annotations": {"readOnlyHint": true}}]});
    world.upstream.answers(move |seen| {
        let asked = seen.json();
        let result = if asked["method"] == "tools/list" { tools.clone() } else { serde_json::json!({}) };
        let answer = serde_json::json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
        Some(crate::fixture::json(&answer.to_string()))
    });
    for _ in 0..40 {
        world.answered(post(&token, &tools_call("reads"))).await;
    }
    let seen = world.upstream.seen();
    let lists = seen.iter().filter(|seen| seen.json()["method"] == "tools/list").count();
    assert_eq!((seen.len(), lists), (41, 1));
    assert_eq!(on_their_way(&world).await.len(), 15, "until then each was written down");
}

/// AD-11, I-8: what cannot be written down is not done.
#[tokio::test]
async fn a_call_that_cannot_be_written_down_is_not_forwarded() {
    let world = World::new().await;
    let token = world.token(|_| {});
    // Who calls is known from here on.
    world.answered(post(&token, PING)).await;
    drop(world.upstream.seen());
    world.store.fail_at(Some(Failpoint::BeforeWrite));
    let error = world.call(post(&token, &tools_call("writes"))).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.reason()), (503, "audit_unavailable"));
    world.answered(post(&token, PING)).await;
    assert_eq!(world.upstream.seen().len(), 1, "what only reads goes on, and nothing else came through");
    world.store.fail_at(None);
    let told: Vec<_> = world.audited().await.into_iter().map(|row| (row.kind, row.reason)).collect();
    assert!(told.contains(&("call".to_owned(), Some("audit_unavailable".to_owned()))), "{told:?}");
}

/// Calls that come at once share their commits, and each of them is in the record before it is let through.
#[tokio::test]
async fn calls_that_come_at_once_share_their_commits() {
    let world = World::new().await;
    let intents = Arc::new(Intents::new(
        Arc::clone(&world.store) as _,
        Arc::clone(&world.clock) as _,
        Arc::clone(&world.entropy) as _,
    ));
    let (audit, _events) = super::super::Audit::new(
        Arc::clone(&world.clock) as _,
        Arc::default(),
        Intents::new(
            Arc::clone(&world.store) as _,
            Arc::clone(&world.clock) as _,
            Arc::clone(&world.entropy) as _,
        ),
    );
    // The turn is taken: all of them wait for one write.
    let turn = intents.turn.lock().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut entry = audit.reserve(crate::fixture::who(&world.clock)).await.unwrap();
        let intents = Arc::clone(&intents);
        tasks.spawn(async move { intents.write(&mut entry).await.unwrap() });
    }
    while intents.lock().len() < 100 {
        tokio::task::yield_now().await;
    }
    // One write, and every other would fail.
    world.store.fail_once_at(Failpoint::BeforeWrite, 2);
    drop(turn);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(on_their_way(&world).await.len(), 100);
    assert!(intents.lock().is_empty());
}

/// Whoever leaves while it waits is not written down by those who come after.
#[tokio::test]
async fn who_leaves_before_its_turn_is_not_written_down() {
    let world = World::new().await;
    let intents = Intents::new(
        Arc::clone(&world.store) as _,
        Arc::clone(&world.clock) as _,
        Arc::clone(&world.entropy) as _,
    );
    let mut entry = super::super::Audit::new(
        Arc::clone(&world.clock) as _,
        Arc::default(),
        Intents::new(
            Arc::clone(&world.store) as _,
            Arc::clone(&world.clock) as _,
            Arc::clone(&world.entropy) as _,
        ),
    )
    .0
    .reserve(crate::fixture::who(&world.clock))
    .await
    .unwrap();
    let turn = intents.turn.lock().await;
    {
        let write = intents.write(&mut entry);
        tokio::pin!(write);
        assert!(futures_util::poll!(&mut write).is_pending());
        assert_eq!(intents.lock().len(), 1);
    }
    assert!(intents.lock().is_empty());
    drop(turn);
}
