//! The rules of the feed, without anybody to ask.

use serde_json::{Value, json};

use super::*;

fn feed() -> Feed {
    let settings = Settings::new("https://a.example", "https://a.example/notes/mcp", "notes", "s".to_owned());
    Feed::new(&settings.unwrap()).unwrap()
}

fn page(change: Value) -> Page {
    let mut page = json!({
        "epoch": 0, "cursor": "a.1", "reset": false, "more": false, "age": 1000, "max_age": 5000,
        "withdrawn_keys": [], "revocations": [],
    });
    page.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(page).unwrap()
}

fn claims(change: Value) -> AccessTokenClaims {
    let mut claims = json!({
        "iss": "https://a.example", "sub": "alice", "aud": "https://a.example/notes/mcp", "client_id": "c",
        "grant_id": "g", "scope": "read", "iat": 1000, "exp": 1600, "jti": "j",
    });
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(claims).unwrap()
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn entry(kind: &str, id: &str, not_before: i64) -> Value {
    json!({"kind": kind, "id": id, "not_before": not_before, "expires_at": not_before + 3600})
}

#[test]
fn what_was_not_heard_lately_is_not_known() {
    let feed = feed();
    assert_eq!(feed.says("k", &claims(json!({})), at(0)), Heard::Stale);
    feed.hear(page(json!({})), at(100), 1000);
    assert_eq!(
        feed.says("k", &claims(json!({})), at(104)),
        Heard::Nothing,
        "sent at 100, and a second old by then"
    );
    assert_eq!(feed.says("k", &claims(json!({})), at(105)), Heard::Stale);
    feed.hear(page(json!({"more": true})), at(200), 1000);
    assert!(!feed.is_fresh(at(200)), "there is more that was not heard yet");
    feed.hear(page(json!({"max_age": 3_600_000})), at(300), 1000);
    assert!(!feed.is_fresh(at(310)), "no answer makes knowledge live longer than T");
}

#[test]
fn the_rest_is_asked_for_at_once_but_not_after_a_new_beginning() {
    for (more, reset, at_once) in
        [(false, false, false), (true, false, true), (false, true, false), (true, true, false)]
    {
        let heard = feed().hear(page(json!({"more": more, "reset": reset})), at(100), 1000);
        assert_eq!(heard, at_once, "more: {more}, reset: {reset}");
    }
}

#[test]
fn an_entry_names_tokens_from_before_it() {
    for (kind, id) in [
        ("user", "alice"),
        ("client", "c"),
        ("grant", "g"),
        ("resource", "https://a.example/notes/mcp"),
        ("issuer", "x"),
    ] {
        let feed = feed();
        feed.hear(page(json!({"revocations": [entry(kind, id, 1000)]})), at(100), 1000);
        assert_eq!(feed.says("k", &claims(json!({})), at(100)), Heard::Withdrawn, "{kind}");
        assert_eq!(feed.says("k", &claims(json!({"iat": 1001})), at(100)), Heard::Nothing, "{kind}");
        // An older entry of the same name takes nothing back.
        feed.hear(page(json!({"revocations": [entry(kind, id, 900)]})), at(100), 1000);
        assert_eq!(feed.says("k", &claims(json!({})), at(100)), Heard::Withdrawn, "{kind}");
    }
    let feed = feed();
    feed.hear(
        page(json!({"revocations": [entry("user", "bob", 1000)], "withdrawn_keys": ["k"]})),
        at(100),
        1000,
    );
    assert_eq!(feed.says("other", &claims(json!({})), at(100)), Heard::Nothing);
    assert_eq!(feed.says("k", &claims(json!({"iat": 2000})), at(100)), Heard::Withdrawn, "by its key");
}

#[test]
fn all_entries_of_the_issuer_are_one_and_the_last_counts() {
    let feed = feed();
    let entries: Vec<Value> =
        (0..50).map(|number| entry("issuer", &number.to_string(), 1000 - number)).collect();
    feed.hear(page(json!({"revocations": entries})), at(100), 1000);
    assert_eq!(feed.known().entries(), 1);
    assert_eq!(feed.says("k", &claims(json!({})), at(100)), Heard::Withdrawn);
    assert_eq!(feed.says("k", &claims(json!({"iat": 1001})), at(100)), Heard::Nothing);
}

#[test]
fn whoever_acts_for_somebody_can_be_stopped_too() {
    let act = json!({"act": {"sub": "bot", "name": "ci", "client_id": "b", "grant_id": "h",
        "act": {"sub": "other", "name": "cd", "client_id": "d", "grant_id": "i"}}});
    for (kind, id) in [("user", "other"), ("client", "b"), ("grant", "h"), ("grant", "i")] {
        let feed = feed();
        feed.hear(page(json!({"revocations": [entry(kind, id, 1000)]})), at(100), 1000);
        assert_eq!(feed.says("k", &claims(act.clone()), at(100)), Heard::Withdrawn, "{kind} {id}");
    }
}

#[test]
fn an_entry_is_kept_until_no_token_that_it_names_can_be_alive() {
    let feed = feed();
    feed.hear(page(json!({"revocations": [entry("grant", "g", 1000)]})), at(100), 4600 + KEPT - 1);
    assert_eq!(feed.known().entries(), 1);
    // It is looked for now and then.
    feed.hear(page(json!({})), at(100), 4600 + KEPT + SWEEP - 1);
    assert_eq!(feed.known().entries(), 0);
}

#[test]
fn an_answer_of_which_a_word_is_not_understood_is_none() {
    let strange = json!({"epoch": 0, "cursor": "a", "more": false, "age": 0, "max_age": 5000, "withdrawn_keys": [],
        "revocations": [entry("planet", "g", 1000)]});
    assert!(serde_json::from_value::<Page>(strange).is_err());
}
