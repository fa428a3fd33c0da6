//! A collector that is slow, refuses or is away: no call waits for it, and what the record holds is sent when it is back.

use std::collections::BTreeSet;

use http::StatusCode;
use store::{AuditFilter, AuditRow, Queries as _};
use testkit::collector::{FakeCollector, LogRecord, Mood, attribute};
use testkit::house::Plan;
use testkit::outcomes::Verdict;

use crate::record::on_postgres;
use crate::steps::Flow;

const CALLS: usize = 20;
const CANARY: &str = "c4n4ry";

/// F-25, I-9, I-10.
#[tokio::test]
async fn f_25_a_collector_that_is_away_holds_no_call_up_and_gets_every_event_once_it_is_back() -> Verdict {
    away(Plan::default()).await
}

#[tokio::test]
async fn f_25_a_collector_that_is_away_gets_every_event_once_it_is_back_from_postgres() -> Verdict {
    on_postgres(|url| away(Plan { postgres: Some(url), ..Plan::default() })).await
}

async fn away(plan: Plan) -> Verdict {
    let collector = FakeCollector::start().await.map_err(|error| error.to_string())?;
    let mut flow = Flow::with(Plan { collector: Some((collector.url.clone(), 0)), ..plan }).await?;
    let tokens = flow.tokens().await?;
    let moods =
        [Mood::Hangs, Mood::Refuses(StatusCode::SERVICE_UNAVAILABLE), Mood::Refuses(StatusCode::BAD_REQUEST)];
    for mood in moods {
        let asked = collector.asked();
        collector.is_now(mood);
        for number in 0..CALLS {
            let arguments = serde_json::json!({"said": format!("{CANARY} {number}")});
            let call = serde_json::json!({"name": "echo", "arguments": arguments});
            let answer = flow.house.call("notes", &tokens.access, "tools/call", call).await?;
            assert_eq!(answer.status, 200, "{mood:?}: {}", answer.text());
        }
        // It is asked, and does what it does, before the next.
        collector.until(|collector| collector.asked() > asked).await;
    }
    // What was written down while it was away is sent by the next node.
    let secrets = flow.secrets();
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    collector.is_now(Mood::Takes);
    let all = house
        .store
        .list_audit(AuditFilter::default(), None, 10_000)
        .await
        .map_err(|error| error.to_string())?;
    let calls = all.iter().filter(|row| row.kind == "call").count();
    assert_eq!(calls, CALLS * moods.len());
    let wanted: BTreeSet<String> = all.iter().map(|row| row.id.to_string()).collect();
    collector.until(|collector| sent(collector).is_superset(&wanted)).await;
    judge(&collector, &all)?;
    let told = collector.bytes();
    let holds = |secret: &str| told.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!holds(CANARY), "an argument reached the collector");
    assert!(secrets.iter().all(|secret| !holds(secret)), "a secret reached the collector");
    assert!(collector.authorizations().iter().all(|shown| shown == "Bearer of-the-collector"));
    // From where it ended: a later start sends nothing twice.
    let before = collector.logs().len();
    let house = house.restart().await?;
    assert_eq!(house.echo("notes", &tokens.access).await?.status, 200);
    collector.until(|collector| collector.logs().len() > before).await;
    let ids: Vec<String> = collector.logs()[before..].iter().map(id).collect();
    assert!(ids.iter().all(|id| !wanted.contains(id)), "{ids:?}");
    house.close().await
}

/// F-25: one event that a collector calls wrong keeps none of the others back, and neither does a batch that is too much at once.
#[tokio::test]
async fn f_25_an_event_that_a_collector_calls_wrong_keeps_none_of_the_others_back() -> Verdict {
    let collector = FakeCollector::start().await.map_err(|error| error.to_string())?;
    collector.is_now(Mood::IsFussy("sekisho.audit.consent_given", 3));
    let mut flow =
        Flow::with(Plan { collector: Some((collector.url.clone(), 0)), ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    for _ in 0..CALLS {
        assert_eq!(flow.house.echo("notes", &tokens.access).await?.status, 200);
    }
    let calls = |collector: &FakeCollector| {
        let logs = collector.logs();
        logs.iter().filter(|log| log.event_name == "sekisho.audit.call").count()
    };
    collector.until(|collector| calls(collector) >= CALLS).await;
    let all = flow.house.store.list_audit(AuditFilter::default(), None, 10_000).await;
    let all = all.map_err(|error| error.to_string())?;
    let refused: Vec<String> =
        all.iter().filter(|row| row.kind == "consent_given").map(|row| row.id.to_string()).collect();
    let sent: Vec<String> = collector.logs().iter().map(id).collect();
    assert!(!refused.is_empty() && refused.iter().all(|id| !sent.contains(id)), "{refused:?}");
    let once: BTreeSet<&String> = sent.iter().collect();
    assert_eq!(once.len(), sent.len(), "each is sent once");
    flow.close().await
}

/// What an operator has the audit keep of arguments stays in the record, where it can be held and removed.
#[tokio::test]
async fn an_argument_that_is_kept_is_not_sent_to_a_collector() -> Verdict {
    let collector = FakeCollector::start().await.map_err(|error| error.to_string())?;
    let kept_arguments = vec![("notes", "write", vec!["said"])];
    let plan = Plan { collector: Some((collector.url.clone(), 0)), kept_arguments, ..Plan::default() };
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    let call = serde_json::json!({"name": "write", "arguments": {"said": CANARY}});
    assert_eq!(flow.house.call("notes", &tokens.access, "tools/call", call).await?.status, 200);
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let all = house.store.list_audit(AuditFilter::default(), None, 10_000).await;
    let all = all.map_err(|error| error.to_string())?;
    let keeps = |row: &&AuditRow| row.detail.iter().any(|(_, value)| value.contains(CANARY));
    let kept = all.iter().find(keeps).ok_or("the record keeps no argument")?.id.to_string();
    collector.until(|collector| sent(collector).contains(&kept)).await;
    let told = collector.bytes();
    let holds = told.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
    assert!(!holds, "a kept argument reached the collector");
    house.close().await
}

fn id(log: &LogRecord) -> String {
    attribute(&log.attributes, "sekisho.audit.id")
}

fn sent(collector: &FakeCollector) -> BTreeSet<String> {
    collector.logs().iter().map(id).collect()
}

/// Each event says what it says in the audit, and those of a person come in the order of the seals.
fn judge(collector: &FakeCollector, all: &[AuditRow]) -> Verdict {
    let logs = collector.logs();
    for row in all {
        let Some(log) = logs.iter().find(|log| id(log) == row.id.to_string()) else {
            return Err(format!("not sent: {row:?}"));
        };
        assert_eq!(log.event_name, format!("sekisho.audit.{}", row.kind));
        assert_eq!(attribute(&log.attributes, "user.name"), row.name.clone().unwrap_or_default());
        assert_eq!(attribute(&log.attributes, "sekisho.server"), row.server.clone().unwrap_or_default());
        assert_eq!(log.time_unix_nano, u64::try_from(row.at.micros()).unwrap_or_default() * 1000);
    }
    let seals: Vec<u64> = logs
        .iter()
        .map(|log| attribute(&log.attributes, "sekisho.audit.seal").parse().unwrap_or_default())
        .collect();
    assert!(seals.is_sorted(), "{seals:?}");
    Ok(())
}
