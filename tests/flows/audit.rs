//! The audit: exactly one event for each thing that was done, whatever was tried beside it (attacks.md, I-10).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http_body_util::BodyExt as _;
use policy::PolicyFile;
use protocol::world::Clock as _;
use serde_json::json;
use store::{AuditFilter, AuditIntents as _, AuditRow, Outcome, Queries as _};
use testkit::client::deny;
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401, tok400};

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

const ANSWER: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

/// AS-244.
#[tokio::test]
async fn everything_that_is_done_has_exactly_one_event_on_sqlite() -> Verdict {
    counted(Plan::default()).await
}

#[tokio::test]
async fn everything_that_is_done_has_exactly_one_event_on_postgres() -> Verdict {
    on_postgres(|url| counted(Plan { postgres: Some(url), ..Plan::default() })).await
}

async fn all(house: &House) -> Result<Vec<AuditRow>, String> {
    house.store.list_audit(AuditFilter::default(), None, 10_000).await.map_err(|error| error.to_string())
}

/// Does so many of each, and says which.
async fn work(flow: &mut Flow) -> Result<(), String> {
    // Four sign-ins' worth of consent in one browser: one sign-in, three yes, one no.
    let tokens = flow.tokens().await?;
    let code = flow.code().await?;
    let second = flow.redeemed(&code).await?;
    let third = flow.tokens().await?;
    let challenge = flow.pkce().challenge;
    let page = flow.consent(&challenge).await?;
    deny(&mut flow.browser, &page).await?;
    // Refreshes: two rotations of the first, and the last of them once more.
    let next = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    let last = Tokens::of(&flow.refresh(&next.refresh).await?)?;
    assert_eq!(Tokens::of(&flow.refresh(&next.refresh).await?)?.refresh, last.refresh);
    // Five calls, one of which is not allowed and one of which is nobody's.
    for token in [&tokens.access, &second.access, &third.access, &last.access] {
        flow.calls(token).await?;
    }
    rs401(&flow.house.echo("notes", "nonsense").await?)?;
    let narrow =
        [("grant_type", "refresh_token"), ("refresh_token", third.refresh.as_str()), ("scope", "read")];
    let narrow = Tokens::of(&flow.client.token(&narrow).await?)?;
    let writing = serde_json::json!({"name": "write", "arguments": {}});
    assert_eq!(flow.house.call("notes", &narrow.access, "tools/call", writing).await?.status, 403);
    // One grant is revoked, twice; one ends by a replay; one attempt at a code is refused.
    for _ in 0..2 {
        assert_eq!(
            flow.revoke(&[("client_id", &flow.client.client_id), ("token", &second.refresh)]).await?.status,
            200
        );
    }
    tok400(&flow.refresh(&tokens.refresh).await?, "invalid_grant")?;
    let unredeemed = flow.code().await?;
    tok400(&flow.client.redeem(&unredeemed.code, "wrong").await?, "invalid_grant")?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    Ok(())
}

async fn counted(plan: Plan) -> Verdict {
    let mut flow = Flow::with(plan).await?;
    work(&mut flow).await?;
    let secrets = flow.secrets();
    // What calls left behind is written in batches, and in full before a house ends.
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let events = all(&house).await?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.kind.as_str()).or_default() += 1;
    }
    let expected = BTreeMap::from([
        ("call", 4),
        ("call_refused", 1),
        ("code_replayed", 1),
        ("consent_denied", 1),
        ("consent_given", 4),
        ("grant_revoked", 1),
        ("key_created", counts.get("key_created").copied().unwrap_or_default()),
        ("refresh_repeated", 1),
        ("refresh_reused", 1),
        ("sign_in", 1),
        ("token_issued", 3),
        ("token_refreshed", 3),
        ("token_refused", 1),
        // What the MCP server says of its tools is new to the house.
        ("tools_changed", 1),
    ]);
    assert_eq!(counts, expected);
    let ids: BTreeSet<String> = events.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(ids.len(), events.len());
    judge(&events)?;
    let told = format!("{events:?}");
    assert!(secrets.iter().all(|secret| !told.contains(secret)), "a secret stands in an event");
    house.close().await
}

/// P-18, I-9: of arguments the audit has what the operator named, without what looks like a secret; and of every other call
/// nothing.
#[tokio::test]
async fn of_arguments_the_audit_keeps_what_the_operator_named_and_no_secret() -> Verdict {
    let kept = ("notes", "write", vec!["said", "to"]);
    let mut flow = Flow::with(Plan { kept_arguments: vec![kept], ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    for (tool, arguments) in [
        ("write", json!({"said": "invoice 42", "to": "Bearer c4n4ry", "note": "c4n4ry"})),
        ("write", json!({"note": "c4n4ry", "said": {"c4n4ry": 1}})),
        ("echo", json!({"said": "c4n4ry", "to": "c4n4ry"})),
    ] {
        let call = json!({"name": tool, "arguments": arguments});
        assert_eq!(flow.house.call("notes", &tokens.access, "tools/call", call).await?.status, 200);
    }
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let events = all(&house).await?;
    assert!(!format!("{events:?}").contains("c4n4ry"), "{events:?}");
    let calls: Vec<&AuditRow> = events.iter().filter(|event| event.kind == "call").collect();
    let told =
        |event: &&AuditRow| (event.detail.get("name").cloned(), event.detail.get("arguments").cloned());
    let mut told: Vec<_> = calls.iter().map(told).collect();
    told.sort();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            (text("echo"), None),
            (text("write"), text(r#"{"said":"[object]"}"#)),
            (text("write"), text(r#"{"said":"invoice 42","to":"[redacted]"}"#)),
        ]
    );
    let of_a_call =
        |event: &&&AuditRow| event.name.is_some() && event.address.is_some() && event.grant.is_some();
    assert_eq!(calls.iter().filter(of_a_call).count(), 3);
    // The intents of these calls are over.
    assert!(
        house
            .store
            .list_intents(AuditFilter::default(), 10)
            .await
            .map_err(|error| error.to_string())?
            .is_empty()
    );
    house.close().await
}

/// F-13, I-10: a node that is held for longer than others wait for it is taken for gone, and its calls for lost. When it goes
/// on, how they ended is told beside the one event that each of them has.
#[tokio::test]
async fn f_13_a_call_of_a_node_that_was_held_is_one_event_and_how_it_ended_is_told_beside_it() -> Verdict {
    let kept = ("notes", "write", vec!["said"]);
    let mut flow = Flow::with(Plan { kept_arguments: vec![kept], ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let params = json!({"name": "stream", "arguments": {}});
    let asked = flow.house.call_request("notes", &tokens.access, "tools/call", params)?;
    let mut answer = flow.house.http.stream(asked).await?;
    let open = flow.house.mcp.next_stream().await;
    let later = flow.house.time.now().plus(Duration::from_secs(180));
    let settled = flow.house.store.settle_intents(later, [5; 16]).await.map_err(|error| error.to_string())?;
    assert_eq!(settled, 1);
    assert!(open.send(ANSWER), "the call went on");
    drop(open);
    while let Some(frame) = answer.frame().await {
        frame.map_err(|error| error.to_string())?;
    }
    // In the same batch as others, of which nobody thought that they were lost.
    let call = json!({"name": "write", "arguments": {"said": "invoice 42"}});
    assert_eq!(flow.house.call("notes", &tokens.access, "tools/call", call).await?.status, 200);
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let events = all(&house).await?;
    let of_calls: Vec<&AuditRow> = events.iter().filter(|event| event.kind.starts_with("call")).collect();
    let lost = of_calls.iter().find(|event| event.outcome == Outcome::Unknown).ok_or("no event of it")?;
    assert_eq!((lost.kind.as_str(), lost.reason.as_deref(), lost.at), ("call", Some("node_gone"), later));
    let ended: Vec<_> = of_calls.iter().filter(|event| event.kind == "call_ended").collect();
    let [ended] = ended.as_slice() else { return Err(format!("how it ended, once: {of_calls:?}")) };
    assert_eq!((ended.outcome, &ended.detail["call"]), (Outcome::Ok, &lost.id.to_string()));
    assert_eq!((ended.user, ended.grant, &ended.client_id), (lost.user, lost.grant, &lost.client_id));
    let own: BTreeMap<&str, usize> = of_calls.iter().fold(BTreeMap::new(), |mut own, event| {
        *own.entry(event.detail["name"].as_str()).or_default() += usize::from(event.kind == "call");
        own
    });
    assert_eq!(own, BTreeMap::from([("stream", 1), ("write", 1)]), "each call has one event of its own");
    house.close().await
}

/// P-18: of a call that may change something and whose client left before its answer, nobody knows how it ended. Of one that only
/// reads nobody asks, and what was answered is known.
#[tokio::test]
async fn p_18_a_writing_call_whose_client_left_before_the_answer_is_of_unknown_outcome() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let asked = |name: &str| {
        let params = json!({"name": name, "arguments": {}});
        flow.house.call_request("notes", &tokens.access, "tools/call", params)
    };
    let already = flow.house.mcp.received().len();
    tokio::select! {
        answered = flow.house.http.stream(asked("silent")?) => return Err(format!("{answered:?}")),
        () = async { flow.house.mcp.arrived(already + 1).await } => {}
    }
    // The answer began, as a stream of events, and the answer itself is on it or is not.
    for is_answered in [false, true] {
        let mut answer = flow.house.http.stream(asked("stream")?).await?;
        let open = flow.house.mcp.next_stream().await;
        let note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n";
        assert!(open.send(if is_answered { ANSWER } else { note }));
        answer.frame().await.ok_or("nothing came")?.map_err(|error| error.to_string())?;
        drop(answer);
        open.closed().await;
    }
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let mut told: Vec<_> = all(&house)
        .await?
        .into_iter()
        .filter(|event| event.kind == "call" && event.reason.as_deref() == Some("client_gone"))
        .map(|event| (event.detail["name"].clone(), event.outcome.as_str()))
        .collect();
    told.sort_unstable();
    let expected = [("silent", "unknown"), ("stream", "ok"), ("stream", "unknown")];
    assert_eq!(told, expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    house.close().await
}

/// P-13, P-18: which policy forbade a call is told of every call in one place, whether its arguments are kept or not.
#[tokio::test]
async fn a_refused_call_whose_arguments_are_kept_names_the_policy_like_any_other() -> Verdict {
    let kept = ("notes", "write", vec!["said"]);
    let cedar = r#"@id("quiet") forbid (principal, action == Action::"call", resource);"#;
    let policies = vec![PolicyFile { name: "a.cedar".to_owned(), text: cedar.to_owned() }];
    let mut flow = Flow::with(Plan { kept_arguments: vec![kept], policies, ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    for tool in ["write", "echo"] {
        let call = json!({"name": tool, "arguments": {"said": "invoice 42"}});
        assert_eq!(flow.house.call("notes", &tokens.access, "tools/call", call).await?.status, 403);
    }
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let events = all(&house).await?;
    let refused: Vec<&AuditRow> = events.iter().filter(|event| event.kind == "call_refused").collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused.iter().filter(|event| event.detail.contains_key("arguments")).count(), 1);
    for event in refused {
        assert_eq!(event.reason.as_deref(), Some("policy:quiet"), "{event:?}");
    }
    house.close().await
}

/// Each event says who, with which client, from where; and those of a flow belong together.
fn judge(events: &[AuditRow]) -> Verdict {
    // Of what the house and an MCP server do by themselves there is no client.
    let by_nobody = ["key_created", "tools_changed"];
    for event in events.iter().filter(|event| !by_nobody.contains(&event.kind.as_str())) {
        let missing = [
            ("client", event.client_id.is_none()),
            ("server", event.server.is_none()),
            ("address", event.address.is_none()),
            ("user", event.user.is_none()),
        ];
        if let Some((what, _)) = missing.iter().find(|(_, missing)| *missing) {
            return Err(format!("no {what} in {event:?}"));
        }
        let of_a_grant =
            ["call", "call_refused", "grant_revoked", "token_issued", "token_refreshed", "refresh_reused"];
        if of_a_grant.contains(&event.kind.as_str()) && event.grant.is_none() {
            return Err(format!("no grant in {event:?}"));
        }
        let of_a_sign_in = ["sign_in", "consent_given", "consent_denied", "token_issued", "code_replayed"];
        if of_a_sign_in.contains(&event.kind.as_str()) && event.reference.is_none() {
            return Err(format!("no reference in {event:?}"));
        }
    }
    Ok(())
}
