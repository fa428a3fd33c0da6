use protocol::id::{Id, Reference};
use protocol::world::Timestamp;

use super::*;

fn row() -> SignInRow {
    let at = Timestamp::from_secs(1_800_000_000);
    let step = |seconds: u64, step: SignInStep, reason: Option<&str>| SignInStepRow {
        at: at.plus(Duration::from_secs(seconds)),
        step: step.as_str().to_owned(),
        reason: reason.map(str::to_owned),
        notes: Vec::new(),
        times: 1,
    };
    SignInRow {
        id: Id::from_bytes([1; 16]),
        reference: Reference::parse("K7Q2-9XWD").unwrap(),
        part_of: None,
        begun_at: at,
        last_at: at.plus(Duration::from_secs(90)),
        connected_at: None,
        client_id: Some("dcr_abcdefghijklmnopqrstuvwxyz".to_owned()),
        client_name: Some("Inspector".to_owned()),
        server: Some("wiki".to_owned()),
        user: None,
        name: None,
        grant: None,
        address: Some("192.0.2.7".to_owned()),
        failed: true,
        last_step: SignInStep::AuthorizeRefused.as_str().to_owned(),
        last_reason: Some("resource_unknown".to_owned()),
        steps: vec![
            step(0, SignInStep::Challenged, Some("token_missing")),
            step(90, SignInStep::AuthorizeRefused, Some("resource_unknown")),
        ],
    }
}

fn said(row: SignInRow) -> String {
    let now = row.last_at.plus(Duration::from_secs(3600));
    told(&Attempt { rows: vec![row], groups: None }, now)
}

#[test]
fn an_attempt_is_told_with_rule_standard_and_remedy() {
    let text = said(row());
    for words in [
        "Sign-in K7Q2-9XWD: refused",
        "Inspector (dcr_abcdefghijkl…)",
        "+1:30  The browser brought an authorization request, and it was refused.",
        "rule: `resource` must be the URL of an MCP server here",
        "standard: RFC 8707, section 2",
        "remedy: Compare the URL in the client",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Names are chosen by strangers, and a newer release may have written what this one does not know.
#[test]
fn nothing_that_a_stranger_chose_moves_the_cursor() {
    let odd = || "\u{1b}[2J\r\u{9b}1A\u{202e}gpj\u{2066}\u{200b}".to_owned();
    let mut row = row();
    (row.client_name, row.client_id, row.name) = (Some(odd()), Some(odd()), Some(odd()));
    row.steps[1].reason = Some(odd());
    row.steps[1].step = odd();
    row.steps[1].notes = vec![odd()];
    row.last_reason = Some(odd());
    let now = row.last_at;
    let shown = table(&[Attempt { rows: vec![row.clone()], groups: None }], now).to_string() + &said(row);
    let odd = |c: char| protocol::oauth::client_metadata::is_hidden(c) && !matches!(c, '\n' | '\u{fffd}');
    assert!(!shown.chars().any(odd), "{shown:?}");
}

#[test]
fn an_attempt_that_came_to_nothing_says_where_it_stopped() {
    let mut row = row();
    (row.failed, row.last_reason) = (false, None);
    for (step, words) in [
        (SignInStep::ConsentGiven, "did not redeem it"),
        (SignInStep::ConsentRemembered, "did not redeem it"),
        (SignInStep::TokenIssued, "has its tokens and did not call"),
        (SignInStep::SentToProvider, "did not come back"),
    ] {
        row.last_step = step.as_str().to_owned();
        let text = said(row.clone());
        assert!(text.contains("unfinished") && text.contains(words), "{text}");
    }
}

#[test]
fn a_part_is_told_where_it_belongs_and_under_which_reference() {
    let mut part = row();
    part.id = Id::from_bytes([2; 16]);
    part.reference = Reference::parse("2222-2222").unwrap();
    part.steps.remove(0);
    part.steps[0].step = SignInStep::TokenRefused.as_str().to_owned();
    part.steps[0].reason = Some("verifier_missing".to_owned());
    let now = part.last_at;
    let text = told(&Attempt { rows: vec![row(), part], groups: Some(Vec::new()) }, now);
    assert!(text.contains("none were told at the last sign-in"), "{text}");
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(place("The token endpoint refused") < place("told under 2222-2222"));
    assert!(place("told under 2222-2222") < place("section 4.6; RFC 9700"));
}
