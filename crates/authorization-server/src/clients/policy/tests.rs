use protocol::oauth::{ClientMetadata, RedirectPolicy};
use serde_json::json;

use super::*;

fn client(id: &str, uris: &[&str]) -> Client {
    let policy = RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() };
    let metadata = json!({"redirect_uris": uris, "client_name": "Client"}).to_string();
    let metadata = ClientMetadata::parse_registration(metadata.as_bytes(), &policy).unwrap();
    Client::registered(ClientId::parse(id).unwrap(), metadata)
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

/// As `serve` has it by default.
fn of_serve() -> ClientPolicy {
    ClientPolicy {
        inside: vec![host("example.com"), host("*.example.com")],
        outside: Standing::Ask,
        well_known: ClientPolicy::shipped(),
        ..ClientPolicy::everybody()
    }
}

fn judged(policy: &ClientPolicy, rules: &[ClientRule], client: &Client, to: usize, here: Standing) -> Judged {
    let to = client.metadata.redirect_uris[to].destination().clone();
    decide(policy, rules, &Asking { client, outside_here: here, to: &to })
}

/// The first redirect URI of a client that registered itself.
fn at(policy: &ClientPolicy, uri: &str) -> Judged {
    judged(policy, &[], &client("dcr_a", &[uri]), 0, Standing::Allow)
}

#[test]
fn the_shipped_list_is_read_whole() {
    let hosts = ClientPolicy::shipped();
    assert!(hosts.len() >= 5 && hosts.contains(&host("claude.ai")), "{hosts:?}");
    assert_eq!(ClientPolicy::parse_hosts("a.example\n# none\n\nnot a host # why"), Err(4));
}

/// product.md, P-7.
#[test]
fn by_default_the_own_machine_and_well_known_hosts_are_allowed_and_others_are_asked_about() {
    let policy = of_serve();
    for uri in [
        "http://127.0.0.1:1/cb",
        "http://localhost/cb",
        "cursor://anysphere/cb",
        "https://claude.ai/api/mcp/auth_callback",
        "https://example.com/cb",
        "https://portal.example.com/cb",
    ] {
        assert_eq!(at(&policy, uri), Judged::Allowed, "{uri}");
    }
    for uri in [
        "https://client.example/cb",
        "https://claude.ai.evil.example/cb",
        "https://evilclaude.ai/cb",
        "https://sub.claude.ai/cb",
        "https://notexample.com/cb",
        "https://example.com.evil.example/cb",
    ] {
        assert_eq!(at(&policy, uri), Judged::Unapproved, "{uri}");
    }
}

#[test]
fn each_kind_has_a_setting() {
    let strict = ClientPolicy {
        loopback: Standing::Ask,
        private_use: Standing::Block,
        outside: Standing::Allow,
        ..of_serve()
    };
    assert_eq!(at(&strict, "http://127.0.0.1/cb"), Judged::Unapproved);
    assert_eq!(at(&strict, "cursor://x/cb"), Judged::Blocked);
    assert_eq!(at(&strict, "https://client.example/cb"), Judged::Allowed);
}

#[test]
fn the_strictest_word_of_the_operator_counts() {
    let named = |named, standing| ClientPolicy { named, ..of_serve() }.with(standing);
    let one = |text: &str| Named::Host(host(text));
    let uri = "https://a.client.example/cb";
    let policy = named(vec![(one("*.client.example"), Standing::Allow)], None);
    assert_eq!(at(&policy, uri), Judged::Allowed);
    let policy = named(
        vec![(one("*.client.example"), Standing::Allow), (one("a.client.example"), Standing::Ask)],
        None,
    );
    assert_eq!(at(&policy, uri), Judged::Unapproved);
    let policy = named(
        vec![(one("a.client.example"), Standing::Allow), (one("*.client.example"), Standing::Block)],
        None,
    );
    assert_eq!(at(&policy, uri), Judged::Blocked);
    let id = ClientId::parse("dcr_a").unwrap();
    let policy = named(vec![(Named::Client(id), Standing::Block)], None);
    assert_eq!(at(&policy, "http://127.0.0.1/cb"), Judged::Blocked);
}

impl ClientPolicy {
    fn with(self, outside: Option<Standing>) -> Self {
        Self { outside: outside.unwrap_or(self.outside), ..self }
    }
}

#[test]
fn an_approval_is_for_one_client_at_one_place_or_for_a_host() {
    let policy = of_serve();
    let both = ["https://one.example/cb", "https://two.example/cb"];
    let rule = |id: &str, place: &str| ClientRule::AllowClient {
        client_id: ClientId::parse(id).unwrap(),
        destination: place.to_owned(),
    };
    let known = client("dcr_a", &both);
    let rules = [rule("dcr_a", "one.example")];
    assert_eq!(judged(&policy, &rules, &known, 0, Standing::Allow), Judged::Allowed);
    assert_eq!(judged(&policy, &rules, &known, 1, Standing::Allow), Judged::Unapproved, "another place");
    let twin = client("dcr_b", &both);
    assert_eq!(twin.metadata.fingerprint(), known.metadata.fingerprint());
    assert_eq!(
        judged(&policy, &rules, &twin, 0, Standing::Allow),
        Judged::Unapproved,
        "another of the same metadata"
    );
    let rules = [ClientRule::AllowHost("one.example".to_owned())];
    assert_eq!(judged(&policy, &rules, &twin, 0, Standing::Allow), Judged::Allowed);
    assert_eq!(judged(&policy, &rules, &twin, 1, Standing::Allow), Judged::Unapproved);
}

#[test]
fn a_block_reaches_every_client_that_has_to_do_with_it_and_no_approval_lifts_it() {
    let policy = of_serve();
    let known = client("dcr_a", &["http://127.0.0.1/cb", "https://bad.example/cb"]);
    let allowed = [
        ClientRule::AllowHost("bad.example".to_owned()),
        ClientRule::AllowClient { client_id: known.id.clone(), destination: "bad.example".to_owned() },
    ];
    for block in [
        ClientRule::BlockHost("bad.example".to_owned()),
        ClientRule::BlockFingerprint(known.metadata.fingerprint()),
    ] {
        let rules = [allowed.as_slice(), std::slice::from_ref(&block)].concat();
        assert!(is_blocked(&policy, &rules, &known), "{block:?}");
        for place in [0, 1] {
            assert_eq!(judged(&policy, &rules, &known, place, Standing::Allow), Judged::Blocked, "{block:?}");
        }
        let other = client("dcr_a", &["http://127.0.0.1/cb"]);
        assert!(!is_blocked(&policy, &rules, &other), "{block:?}");
    }
}

#[test]
fn an_mcp_server_can_be_kept_from_clients_that_lead_outside() {
    let policy = of_serve();
    let cloud = client("dcr_a", &["https://claude.ai/cb"]);
    let inside = client("dcr_a", &["https://portal.example.com/cb"]);
    let local = client("dcr_a", &["http://127.0.0.1/cb"]);
    for (here, of_cloud) in [
        (Standing::Allow, Judged::Allowed),
        (Standing::Ask, Judged::Unapproved),
        (Standing::Block, Judged::OutsideHere),
    ] {
        assert_eq!(judged(&policy, &[], &cloud, 0, here), of_cloud);
        assert_eq!(judged(&policy, &[], &inside, 0, here), Judged::Allowed);
        assert_eq!(judged(&policy, &[], &local, 0, here), Judged::Allowed);
    }
    let rules = [ClientRule::AllowHost("claude.ai".to_owned())];
    assert_eq!(judged(&policy, &rules, &cloud, 0, Standing::Ask), Judged::Allowed);
    assert_eq!(judged(&policy, &rules, &cloud, 0, Standing::Block), Judged::OutsideHere);
}

#[test]
fn the_host_of_a_document_vouches_for_its_client_and_its_redirect_host_for_itself() {
    let policy = of_serve();
    let of = |id: &str, uri: &str| judged(&policy, &[], &client(id, &[uri]), 0, Standing::Allow);
    assert_eq!(of("https://claude.ai/client.json", "https://elsewhere.example/cb"), Judged::Allowed);
    assert_eq!(of("https://claude.ai:8443/client.json", "https://elsewhere.example/cb"), Judged::Allowed);
    assert_eq!(
        of("https://claude.ai.evil.example/client.json", "https://evil.example/cb"),
        Judged::Unapproved
    );
    let rules = [ClientRule::BlockHost("doc.example".to_owned())];
    let blocked = client("https://doc.example/client.json", &["http://127.0.0.1/cb"]);
    assert!(is_blocked(&policy, &rules, &blocked));
}

#[test]
fn the_operators_own_clients_are_not_asked_about_and_can_be_blocked() {
    let policy = of_serve();
    let own = client("portal", &["https://client.example/cb"]);
    assert_eq!(judged(&policy, &[], &own, 0, Standing::Allow), Judged::Allowed);
    assert_eq!(judged(&policy, &[], &own, 0, Standing::Block), Judged::OutsideHere);
    let rules = [ClientRule::BlockHost("client.example".to_owned())];
    assert_eq!(judged(&policy, &rules, &own, 0, Standing::Allow), Judged::Blocked);
}

#[test]
fn hosts_are_read_in_one_spelling() {
    for good in ["a", "client.example", "*.client.example", "xn--bcher-kva.example", "127.0.0.1"] {
        assert!(HostPattern::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "*",
        "*.",
        "Client.example",
        "a..b",
        ".a",
        "a.",
        "a/b",
        "https://a",
        "a:1",
        "*.*.a",
        "a b",
        "ü.example",
    ] {
        assert_eq!(HostPattern::parse(bad), Err(NotAHost), "{bad}");
    }
    assert!(host("*.a.example").matches("b.c.a.example"));
    for other in ["a.example", ".a.example", "ba.example", "b.a.example."] {
        assert!(!host("*.a.example").matches(other), "{other}");
    }
}
