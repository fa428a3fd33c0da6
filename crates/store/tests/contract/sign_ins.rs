use std::net::IpAddr;
use std::sync::Arc;

use protocol::id::Reference;
use store::{
    Begun, Maintenance as _, NewSignIn, NextStep, PartOf, Seen, SignInEvent, SignInFilter, SignInRow,
    SignInStep, SignInWrite, SignIns as _, StepOf, Store, Timeline,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_sign_in_comes_back_step_by_step,
    a_step_is_found_by_its_grant_on_any_node,
    a_part_is_told_apart_and_belongs_to_its_attempt,
    attempts_are_listed_newest_first_by_whom_and_where,
    a_step_of_an_attempt_that_is_not_there_is_nobodys,
    an_attempt_has_an_end_however_long_it_goes_on,
    sign_ins_are_kept_for_14_days_and_their_addresses_go_with_them,
    attempts_of_nobody_are_bounded_and_those_of_people_stay,
    what_was_seen_before_comes_with_the_attempt_at_that_address,
    what_cannot_be_written_waits,
}

fn event(step: SignInStep, seconds: u64) -> SignInEvent {
    let at = NOW.plus(std::time::Duration::from_secs(seconds));
    SignInEvent { at, step, reason: None, notes: Vec::new(), times: 1 }
}

fn refused(step: SignInStep, reason: &'static str, seconds: u64) -> SignInEvent {
    SignInEvent { reason: Some(reason), ..event(step, seconds) }
}

fn new(number: u64) -> NewSignIn {
    NewSignIn {
        id: id(number),
        reference: reference(number),
        part_of: PartOf::Nothing,
        client_id: Some(client_id().as_str().to_owned()),
        client_name: Some("Inspector ✓".to_owned()),
        server: Some("docs".to_owned()),
        user: None,
        address: "192.0.2.7".to_owned(),
        events: vec![event(SignInStep::Asked, number)],
    }
}

fn reference(number: u64) -> Reference {
    Reference::parse(&format!("0000-{number:04}")).unwrap()
}

fn begin(new: NewSignIn) -> SignInWrite {
    SignInWrite::Begin(Box::new(new))
}

fn next(of: StepOf, event: SignInEvent) -> SignInWrite {
    SignInWrite::Next(Box::new(NextStep { of, event, user: None, grant: None }))
}

async fn put(store: &Opened, writes: Vec<SignInWrite>) {
    store.put_sign_ins(writes).await.unwrap();
}

async fn one(store: &Opened, number: u64) -> SignInRow {
    let mut rows = store.find_sign_ins(&reference(number)).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn words(row: &SignInRow) -> Vec<&str> {
    row.steps.iter().map(|step| step.step.as_str()).collect()
}

async fn listed(store: &Opened, filter: SignInFilter) -> Vec<String> {
    let rows = store.list_sign_ins(filter, None, 100).await.unwrap();
    rows.iter().map(|row| row.reference.to_string()).collect()
}

async fn a_sign_in_comes_back_step_by_step(store: Opened) {
    let user = person(&store, 1).await.id;
    let mut begun = new(1);
    begun
        .events
        .insert(0, SignInEvent { times: 3, notes: vec!["same_address"], ..event(SignInStep::Challenged, 0) });
    put(&store, vec![begin(begun.clone())]).await;
    let of = StepOf::SignIn(id(1));
    let signed = NextStep { of, event: event(SignInStep::SignedIn, 20), user: Some(user), grant: None };
    let issued = NextStep { of, event: event(SignInStep::TokenIssued, 30), user: None, grant: Some(id(9)) };
    put(&store, vec![SignInWrite::Next(Box::new(signed)), SignInWrite::Next(Box::new(issued))]).await;
    let row = one(&store, 1).await;
    assert_eq!(words(&row), ["challenged", "asked", "signed_in", "token_issued"]);
    assert_eq!(
        (row.steps[0].times, row.steps[0].notes.as_slice()),
        (3, ["same_address".to_owned()].as_slice())
    );
    assert_eq!((row.user, row.grant, row.name.as_deref()), (Some(user), Some(id(9)), Some("Ada Lovelace")));
    assert_eq!(row.address.as_deref(), Some("192.0.2.7"));
    assert_eq!((row.begun_at, row.connected_at, row.failed), (NOW, None, false));
    // The same again, because an answer was lost: the attempt begins once.
    put(&store, vec![begin(begun)]).await;
    assert_eq!(words(&one(&store, 1).await).len(), 4);
}

async fn a_step_is_found_by_its_grant_on_any_node(store: Opened) {
    put(&store, vec![begin(new(1))]).await;
    let issued = event(SignInStep::TokenIssued, 2);
    let issued = NextStep { of: StepOf::SignIn(id(1)), event: issued, user: None, grant: Some(id(9)) };
    put(&store, vec![SignInWrite::Next(Box::new(issued))]).await;
    let of = StepOf::Grant(id(9));
    put(&store, vec![next(of, refused(SignInStep::CallRefused, "scope_insufficient", 3))]).await;
    let row = one(&store, 1).await;
    assert_eq!((row.failed, row.last_reason.as_deref()), (true, Some("scope_insufficient")));
    put(&store, vec![next(of, event(SignInStep::Called, 4)), next(of, event(SignInStep::Called, 5))]).await;
    let row = one(&store, 1).await;
    assert_eq!(row.connected_at, Some(event(SignInStep::Called, 4).at));
    assert!(!row.failed);
}

async fn a_part_is_told_apart_and_belongs_to_its_attempt(store: Opened) {
    put(&store, vec![begin(new(1))]).await;
    let issued = event(SignInStep::TokenIssued, 2);
    let issued = NextStep { of: StepOf::SignIn(id(1)), event: issued, user: None, grant: Some(id(9)) };
    put(&store, vec![SignInWrite::Next(Box::new(issued))]).await;
    let part = |number, part_of, reason| {
        let events = vec![refused(SignInStep::TokenRefused, reason, number)];
        begin(NewSignIn { part_of, server: None, events, ..new(number) })
    };
    put(&store, vec![part(10, PartOf::Client, "client_secret_wrong")]).await;
    assert!(!one(&store, 1).await.failed, "whoever names a client changes nothing of its attempt");
    put(&store, vec![part(11, PartOf::SignIn(id(1)), "verifier_mismatch")]).await;
    put(&store, vec![part(12, PartOf::Grant(id(9)), "scope_exceeds")]).await;
    let SignInWrite::Begin(lost) = part(13, PartOf::Client, "client_unknown") else { panic!() };
    put(&store, vec![begin(NewSignIn { client_id: Some("nobody".to_owned()), ..*lost })]).await;
    let row = one(&store, 1).await;
    assert_eq!((row.failed, row.last_reason.as_deref()), (true, Some("scope_exceeds")));
    let whole = store.sign_in_and_parts(id(1)).await.unwrap();
    let references: Vec<String> = whole.iter().map(|row| row.reference.to_string()).collect();
    assert_eq!(references, ["0000-0001", "0000-0010", "0000-0011", "0000-0012"]);
    assert_eq!(one(&store, 11).await.part_of, Some(id(1)));
    assert_eq!(listed(&store, SignInFilter::default()).await, ["0000-0013", "0000-0001"]);
}

async fn attempts_are_listed_newest_first_by_whom_and_where(store: Opened) {
    let user = person(&store, 1).await.id;
    let failing = refused(SignInStep::AuthorizeRefused, "resource_unknown", 2);
    let other = NewSignIn { address: "198.51.100.9".to_owned(), events: vec![failing], ..new(2) };
    let wiki = NewSignIn { server: Some("wiki".to_owned()), client_id: Some("other".to_owned()), ..new(3) };
    put(&store, vec![begin(new(1)), begin(other), begin(wiki)]).await;
    let signed = event(SignInStep::Called, 9);
    let signed = NextStep { of: StepOf::SignIn(id(1)), event: signed, user: Some(user), grant: None };
    put(&store, vec![SignInWrite::Next(Box::new(signed))]).await;
    let all = SignInFilter::default;
    assert_eq!(listed(&store, all()).await, ["0000-0003", "0000-0002", "0000-0001"]);
    let text = |text: &str| Some(text.to_owned());
    let narrowed = [
        (SignInFilter { user: Some(user), ..all() }, vec!["0000-0001"]),
        (SignInFilter { address: text("198.51.100.9"), ..all() }, vec!["0000-0002"]),
        (SignInFilter { client: text("other"), ..all() }, vec!["0000-0003"]),
        (SignInFilter { client: text("Inspector ✓"), server: text("wiki"), ..all() }, vec!["0000-0003"]),
        (SignInFilter { failed: Some(NOW), ..all() }, vec!["0000-0002"]),
        (SignInFilter { failed: Some(NOW.plus(MINUTE)), ..all() }, vec!["0000-0003", "0000-0002"]),
        (SignInFilter { since: Some(event(SignInStep::Asked, 3).at), ..all() }, vec!["0000-0003"]),
    ];
    for (filter, expected) in narrowed {
        assert_eq!(listed(&store, filter.clone()).await, expected, "{filter:?}");
    }
    let first = store.list_sign_ins(all(), None, 1).await.unwrap().remove(0);
    let rest = store.list_sign_ins(all(), Some((first.begun_at, first.id)), 5).await.unwrap();
    assert_eq!(rest.len(), 2);
}

async fn a_step_of_an_attempt_that_is_not_there_is_nobodys(store: Opened) {
    put(&store, vec![next(StepOf::SignIn(id(1)), event(SignInStep::SignedIn, 1))]).await;
    put(&store, vec![next(StepOf::Grant(id(1)), event(SignInStep::Called, 1))]).await;
    assert_eq!(listed(&store, SignInFilter::default()).await, [""; 0]);
}

async fn an_attempt_has_an_end_however_long_it_goes_on(store: Opened) {
    put(&store, vec![begin(new(1))]).await;
    for round in 0..3_u64 {
        let again = |n: u64| next(StepOf::SignIn(id(1)), event(SignInStep::SentToProvider, round * 100 + n));
        put(&store, (0..60).map(again).collect()).await;
    }
    assert_eq!(one(&store, 1).await.steps.len(), 100);
}

async fn sign_ins_are_kept_for_14_days_and_their_addresses_go_with_them(store: Opened) {
    put(&store, vec![begin(new(1)), begin(new(2))]).await;
    assert_eq!(store.sweep(NOW.plus(13 * DAY)).await.unwrap().sign_ins, 0);
    let swept = store.sweep(event(SignInStep::Asked, 2).at.plus(14 * DAY)).await.unwrap();
    assert_eq!(swept.sign_ins, 1, "the second is not old enough");
    assert!(store.find_sign_ins(&reference(1)).await.unwrap().is_empty());
    assert_eq!(one(&store, 2).await.address.as_deref(), Some("192.0.2.7"));
    assert_eq!(store.sweep(NOW.plus(15 * DAY)).await.unwrap().sign_ins, 1);
    assert_eq!(counts(&store).await, 0, "no address is left");
}

async fn counts(store: &Opened) -> u64 {
    use store::Queries as _;
    store.counts().await.unwrap().audit_subjects
}

async fn attempts_of_nobody_are_bounded_and_those_of_people_stay(store: Opened) {
    let user = person(&store, 1).await.id;
    put(&store, vec![begin(NewSignIn { user: Some(user), ..new(1) })]).await;
    let many =
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 50010) ";
    let row = "reference, begun_at + n, last_at, failed, last_step, count, steps FROM numbers, sign_ins";
    let columns = "(id, reference, begun_at, last_at, failed, last_step, count, steps)";
    let bytes = if store.is_postgres() { "BYTEA" } else { "BLOB" };
    let id = format!("CAST('of nobody  ' || (10000 + n) AS {bytes})");
    store.tamper(&format!("{many} INSERT INTO sign_ins {columns} SELECT {id}, {row}")).await;
    assert_eq!(store.sweep(NOW.plus(DAY)).await.unwrap().sign_ins, 9);
    assert_eq!(store.sweep(NOW.plus(DAY)).await.unwrap().sign_ins, 0);
    let found = store.find_sign_ins(&reference(1)).await.unwrap();
    let of_people = SignInFilter { user: Some(user), ..SignInFilter::default() };
    assert_eq!((found.len(), listed(&store, of_people).await.len()), (10, 1));
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn seen(step: SignInStep, server: Option<&str>, seconds: u64) -> Seen {
    Seen { at: event(step, seconds).at, step, reason: None, server: server.map(str::to_owned) }
}

fn timeline(store: &Opened) -> Arc<Timeline> {
    let store: Arc<dyn Store> = Arc::new((**store).clone());
    Timeline::new(store)
}

async fn told(timeline: &Timeline, number: u64, at: &str) {
    timeline.begin(Begun { new: new(number), address: address(at) });
    timeline.tell().await.unwrap();
}

async fn what_was_seen_before_comes_with_the_attempt_at_that_address(store: Opened) {
    let timeline = timeline(&store);
    let (here, cloud) = (address("192.0.2.7"), address("203.0.113.5"));
    timeline.saw(here, seen(SignInStep::Challenged, Some("docs"), 0));
    timeline.saw(here, seen(SignInStep::Challenged, Some("docs"), 1));
    timeline.saw(here, seen(SignInStep::Challenged, Some("wiki"), 1));
    timeline.saw(here, seen(SignInStep::MetadataRead, None, 1));
    told(&timeline, 2, "192.0.2.7").await;
    let row = one(&store, 2).await;
    assert_eq!(words(&row), ["challenged", "metadata_read", "asked"]);
    assert_eq!(row.steps[0].times, 2);
    told(&timeline, 3, "192.0.2.7").await;
    assert_eq!(words(&one(&store, 3).await), ["asked"], "it is told once");
    // A client in a vendor's cloud asks from there, and the browser is elsewhere.
    timeline.saw(cloud, seen(SignInStep::Challenged, Some("docs"), 3));
    timeline.registered(cloud, client_id().as_str(), event(SignInStep::Registered, 3).at);
    told(&timeline, 4, "192.0.2.7").await;
    assert_eq!(words(&one(&store, 4).await), ["challenged", "registered", "asked"]);
    // Not what is long ago.
    timeline.saw(cloud, seen(SignInStep::Challenged, Some("docs"), 4));
    told(&timeline, 700, "203.0.113.5").await;
    assert_eq!(words(&one(&store, 700).await), ["asked"]);
    // A flood from one network begins so many and no more.
    for number in 0..200 {
        let new = NewSignIn { id: id(3000 + number), ..new(5) };
        timeline.begin(Begun { new, address: address("198.51.100.1") });
    }
    timeline.tell().await.unwrap();
    assert!(store.list_sign_ins(SignInFilter::default(), None, 1000).await.unwrap().len() < 70);
}

async fn what_cannot_be_written_waits(store: Opened) {
    let timeline = timeline(&store);
    timeline.begin(Begun { new: new(1), address: address("192.0.2.7") });
    store.tamper("ALTER TABLE sign_ins RENAME TO away").await;
    assert!(timeline.tell().await.is_err());
    store.tamper("ALTER TABLE away RENAME TO sign_ins").await;
    timeline.tell().await.unwrap();
    assert_eq!(words(&one(&store, 1).await), ["asked"]);
}
