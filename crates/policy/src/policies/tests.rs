//! Policies as an operator would write them, and the mistakes an operator makes.

use protocol::id::Id;
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use super::*;
use crate::{
    Access, AdmittedAccount, Around, Decision, Listed, Person, Question, ReadOnly, ServerRules, decide,
};

const ARGUMENTS: &str = "type Place = { city?: String };\ntype Arguments = {\n    amount?: Long,\n    path?: String,\n    place?: Place,\n    to?: Set<String>\n};";

fn files(cedar: &str) -> Vec<PolicyFile> {
    let file = |name: &str, text: &str| PolicyFile { name: name.to_owned(), text: text.to_owned() };
    vec![file("arguments.cedarschema", ARGUMENTS), file("a.cedar", cedar)]
}

const SERVERS: [KnownServer<'_>; 3] = [
    KnownServer { name: "notes", permits: false },
    KnownServer { name: "ledger", permits: true },
    KnownServer { name: "wiki", permits: true },
];

fn server(name: &str, access: Access, cedar: &str) -> ServerRules {
    let library = Library::read(&files(cedar), &SERVERS).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let permits = SERVERS.iter().any(|server| server.name == name && server.permits);
    ServerRules { permits, policies: library.concerning(name), ..ServerRules::new(name, access) }
}

/// What a question is about, with the answers that most tests want.
#[derive(Clone)]
struct Case<'a> {
    method: &'a str,
    name: Option<&'a str>,
    arguments: Option<&'a str>,
    read_only: ReadOnly,
    scope: &'a str,
    groups: &'a [&'a str],
    email: Option<&'a str>,
    account: Option<&'a str>,
    client: &'a str,
    address: &'a str,
    at: i64,
    user: u8,
}

const CALL: Case<'_> = Case {
    method: "tools/call",
    name: Some("add"),
    arguments: None,
    read_only: ReadOnly::No,
    scope: "read write",
    groups: &["dev"],
    email: Some("alice@example.com"),
    account: None,
    client: "https://client.example",
    address: "192.0.2.1",
    at: 1_800_000_000,
    user: 1,
};

impl Case<'_> {
    fn ask<T>(&self, then: impl FnOnce(Person<'_>, Around<'_>) -> T) -> T {
        let groups: Vec<String> = self.groups.iter().map(|group| (*group).to_owned()).collect();
        let person = Person {
            user: Id::from_bytes([self.user; 16]),
            email: self.email,
            groups: &groups,
            service_account: self.account,
        };
        let scope = Scope::parse(self.scope).unwrap();
        let (address, client, now) =
            (self.address.parse().unwrap(), self.client, Timestamp::from_secs(self.at));
        then(person, Around { address, client, now, scope: &scope })
    }

    fn at(&self, server: &ServerRules) -> String {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let kind = McpCall::read(&http::HeaderMap::new(), text.as_bytes()).unwrap().kind;
        self.sent_as(kind, server)
    }

    fn sent_as(&self, kind: CallKind, server: &ServerRules) -> String {
        let name = self.name.map(str::to_owned);
        let call = McpCall { method: self.method.to_owned(), name, kind, version: None, modern: false };
        let (arguments, read_only) = (self.arguments, self.read_only);
        self.ask(|person, around| {
            said(&decide(&Question::MayCall { call: &call, arguments, person, read_only, around, server }))
        })
    }

    fn connecting_to(&self, server: &ServerRules) -> String {
        self.ask(|person, _| said(&decide(&Question::MayConnect { person, server })))
    }

    fn listing(&self, listed: Listed<'_>, server: &ServerRules) -> bool {
        self.ask(|person, around| {
            matches!(decide(&Question::MayList { listed, person, around, server }), Decision::Allow { .. })
        })
    }
}

fn said(decision: &Decision) -> String {
    match decision {
        Decision::Allow { rule } => format!("allow {rule}"),
        Decision::Deny { rule } => format!("deny {rule}"),
        Decision::NeedScope { rule, scope } => format!("need {scope} {rule}"),
    }
}

fn with(cedar: &str) -> ServerRules {
    server("notes", Access::Everyone, cedar)
}

#[test]
fn a_forbid_wins_over_access_and_names_itself() {
    let server = with(
        r#"@id("no-deletes") forbid (principal, action == Action::"call", resource)
           when { resource.name like "delete*" };
           @id("no-contractors") forbid (principal in Group::"contractors", action == Action::"connect", resource);"#,
    );
    assert_eq!(CALL.at(&server), "allow tool_writes");
    assert_eq!(Case { name: Some("delete_all"), ..CALL }.at(&server), "deny no-deletes");
    // Nobody is sent for a scope that would not help.
    assert_eq!(Case { name: Some("delete_all"), scope: "read", ..CALL }.at(&server), "deny no-deletes");
    assert_eq!(Case { scope: "read", ..CALL }.at(&server), "need write tool_writes");
    let contractor = Case { groups: &["dev", "contractors"], ..CALL };
    assert_eq!(contractor.connecting_to(&server), "deny no-contractors");
    assert_eq!(contractor.at(&server), "deny no-contractors");
}

#[test]
fn a_policy_without_an_id_is_named_by_its_place() {
    let server = with(
        "forbid (principal is ServiceAccount, action, resource);\n\nforbid (principal, action == Action::\"list\", resource);",
    );
    assert_eq!(Case { method: "tools/list", name: None, ..CALL }.at(&server), "deny a.cedar:2");
}

#[test]
fn a_permit_gives_what_it_says_where_permits_count_and_no_scope() {
    let cedar = r#"
        @id("in") permit (principal in Group::"dev", action in [Action::"connect", Action::"list"], resource == McpServer::"ledger");
        @id("one") permit (principal in Group::"dev", action == Action::"call", resource == Tool::"ledger/add");"#;
    let ledger = server("ledger", Access::Groups(vec!["finance".to_owned()]), cedar);
    assert_eq!(CALL.connecting_to(&ledger), "allow in");
    assert_eq!(CALL.at(&ledger), "allow one");
    assert_eq!(Case { scope: "read", ..CALL }.at(&ledger), "need write tool_writes");
    assert_eq!(Case { name: Some("pay"), ..CALL }.at(&ledger), "deny policy_no_permit");
    assert_eq!(Case { method: "vendor/x", name: None, ..CALL }.at(&ledger), "deny policy_no_permit");
    assert_eq!(Case { method: "tools/list", name: None, ..CALL }.at(&ledger), "allow in");
    assert_eq!(Case { method: "ping", name: None, scope: "", ..CALL }.at(&ledger), "allow in");
    assert_eq!(Case { groups: &[], ..CALL }.at(&ledger), "deny access_no_group");
    // Whom `access` names needs no permit.
    assert_eq!(Case { groups: &["finance"], name: Some("pay"), ..CALL }.at(&ledger), "allow tool_writes");
    // The same policies, where permits do not count.
    let deaf = ServerRules { permits: false, ..ledger };
    assert_eq!(CALL.connecting_to(&deaf), "deny access_no_group");
}

/// Lists hold what their reader may call, so that nobody needs a permit for them who was let in.
#[test]
fn whom_a_permit_lets_in_may_list_unless_a_policy_forbids() {
    let cedar = r#"@id("in") permit (principal, action == Action::"connect", resource == McpServer::"ledger");
        @id("no-prompts") forbid (principal, action == Action::"list", resource)
          when { context.method == "prompts/list" };"#;
    let ledger = server("ledger", Access::Groups(Vec::new()), cedar);
    let list = |method| Case { method, name: None, ..CALL };
    assert_eq!(list("tools/list").at(&ledger), "allow in");
    assert_eq!(list("prompts/list").at(&ledger), "deny no-prompts");
    assert_eq!(Case { scope: "", ..list("resources/list") }.at(&ledger), "need read call_reads");
    assert!(!CALL.listing(Listed::Tool("add", ReadOnly::Yes), &ledger));
}

#[test]
fn a_permit_for_people_whom_nothing_lets_in_is_a_mistake() {
    let pay = r#"permit (principal, action == Action::"call", resource == Tool::"ledger/pay");"#;
    let door = |server: &str| {
        format!(
            r#"{pay} permit (principal, action == Action::"connect", resource == McpServer::"{server}");"#
        )
    };
    for cedar in [pay.to_owned(), door("wiki")] {
        let mistakes = Library::read(&files(&cedar), &SERVERS).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        assert!(mistakes[0].problem.contains("Action::\"connect\" too"), "{mistakes:#?}");
    }
    for cedar in [door("ledger"), format!("{pay} permit (principal, action, resource);")] {
        assert!(Library::read(&files(&cedar), &SERVERS).is_ok(), "{cedar}");
    }
}

/// What can differ between two questions that are remembered, one by one.
#[test]
fn what_is_remembered_of_one_question_answers_no_other() {
    let bob = Id::<protocol::id::User>::from_bytes([2; 16]);
    let read =
        Case { method: "resources/read", name: Some("file:///a"), read_only: ReadOnly::NotATool, ..CALL };
    for (condition, one, other) in [
        (format!(r#"principal == User::"{bob}""#), Case { user: 2, ..CALL }, CALL),
        (
            r#"principal has email && principal.email == "bob@example.com""#.to_owned(),
            Case { email: Some("bob@example.com"), ..CALL },
            CALL,
        ),
        (
            r#"principal has email && principal.email == """#.to_owned(),
            Case { email: Some(""), ..CALL },
            Case { email: None, ..CALL },
        ),
        (
            r#"context.method == "resources/subscribe""#.to_owned(),
            Case { method: "resources/subscribe", ..read.clone() },
            read.clone(),
        ),
        (
            r#"context.address.isInRange(ip("192.0.2.0/24"))"#.to_owned(),
            CALL,
            Case { address: "198.51.100.1", ..CALL },
        ),
        (
            r#"context.client == Client::"https://client.example""#.to_owned(),
            CALL,
            Case { client: "https://other.example", ..CALL },
        ),
        (format!(r#"User::"{bob}" in Group::"dev""#), Case { user: 2, ..CALL }, CALL),
        (
            r#"principal in Group::"b""#.to_owned(),
            Case { groups: &["a", "b"], ..CALL },
            Case { groups: &["ab"], ..CALL },
        ),
        (
            r#"context.scopes.contains("read")"#.to_owned(),
            Case { scope: "read write", ..CALL },
            Case { scope: "readwrite write", ..CALL },
        ),
    ] {
        let action = if one.name == read.name { "read" } else { "call" };
        let cedar = format!(
            r#"@id("f") forbid (principal is User, action == Action::"{action}", resource) when {{ {condition} }};"#
        );
        for (first, second) in [(&one, &other), (&other, &one)] {
            let server = with(&cedar);
            for case in [first, second, first, second] {
                let said = case.at(&server);
                assert_eq!(said == "deny f", std::ptr::eq(case, &one), "{condition}: {said}");
            }
        }
    }
}

#[test]
fn a_service_account_is_not_let_in_by_a_permit_and_is_forbidden_like_everybody() {
    let cedar = r#"permit (principal, action, resource in McpServer::"ledger");
        @id("not-ci") forbid (principal == ServiceAccount::"ci", action == Action::"call", resource == Tool::"ledger/pay");"#;
    let mut ledger = server("ledger", Access::Groups(Vec::new()), cedar);
    let ci = Case { account: Some("ci"), groups: &[], email: None, ..CALL };
    assert_eq!(ci.connecting_to(&ledger), "deny access_no_service_account");
    ledger.service_accounts = vec![AdmittedAccount { name: "ci".to_owned(), scope: None }];
    assert_eq!(ci.at(&ledger), "allow tool_writes");
    assert_eq!(Case { name: Some("pay"), ..ci }.at(&ledger), "deny not-ci");
}

#[test]
fn client_address_time_scopes_and_read_only_can_be_asked_for() {
    for (condition, other) in [
        (
            "context.client == Client::\"https://client.example\"",
            Case { client: "https://other.example", ..CALL },
        ),
        ("context.address.isInRange(ip(\"192.0.2.0/24\"))", Case { address: "198.51.100.1", ..CALL }),
        ("context.address.isIpv4()", Case { address: "2001:db8::1", ..CALL }),
        ("context.time < datetime(\"2027-01-15T08:00:01Z\")", Case { at: 1_800_000_001, ..CALL }),
        ("context.scopes.contains(\"write\")", Case { scope: "read", read_only: ReadOnly::Yes, ..CALL }),
        ("!context.readOnly", Case { read_only: ReadOnly::Yes, ..CALL }),
        ("context.method == \"tools/call\" && resource.name == \"add\"", Case { name: Some("get"), ..CALL }),
        ("principal has email && principal.email like \"*@example.com\"", Case { email: None, ..CALL }),
    ] {
        let cedar = format!(
            r#"@id("f") forbid (principal is User, action == Action::"call", resource is Tool) when {{ {condition} }};"#
        );
        let server = with(&cedar);
        assert_eq!(CALL.at(&server), "deny f", "{condition}");
        assert_eq!(CALL.at(&server), "deny f", "{condition}, again");
        assert!(other.at(&server).starts_with("allow"), "{condition}: {}", other.at(&server));
    }
    // An IPv4 address in the clothes of IPv6 is still that address.
    let server =
        with(r#"forbid (principal, action == Action::"call", resource) when { context.address.isIpv4() };"#);
    assert_eq!(Case { address: "::ffff:192.0.2.1", ..CALL }.at(&server), "deny a.cedar:1");
}

#[test]
fn arguments_can_be_asked_for_and_what_cannot_be_judged_goes_against_the_caller() {
    let server = with(
        r#"@id("dear") forbid (principal, action == Action::"call", resource == Tool::"notes/add")
             when { context.arguments has amount && context.arguments.amount > 100 };
           @id("home") forbid (principal in Group::"dev", action == Action::"call", resource == Tool::"notes/add")
             when { context.arguments has place && context.arguments.place has city && context.arguments.place.city == "Oslo" };"#,
    );
    assert!(server.policies.read_arguments("add") && !server.policies.read_arguments("other"));
    for (arguments, expected) in [
        (None, "allow tool_writes"),
        (Some("null"), "allow tool_writes"),
        (Some("{}"), "allow tool_writes"),
        (Some(r#"{"amount": 100, "free": 1.5, "deep": [[{"a": null}]]}"#), "allow tool_writes"),
        (Some(r#"{"amount": null}"#), "allow tool_writes"),
        (Some(r#"{"amount": 101}"#), "deny dear"),
        (Some(r#"{"place": {"city": "Oslo"}}"#), "deny home"),
        (Some(r#"{"place": {"city": "Bergen"}}"#), "allow tool_writes"),
        // Unfit: of the policies that look at arguments and could be meant, each counts.
        (Some(r#"{"amount": 1.0}"#), "deny dear"),
        (Some(r#"{"amount": 1e2}"#), "deny dear"),
        (Some(r#"{"amount": "1"}"#), "deny dear"),
        (Some(r#"{"amount": [1]}"#), "deny dear"),
        (Some(r#"{"amount": 18446744073709551615}"#), "deny dear"),
        (Some(r#"{"amount": 1, "amount": 1000}"#), "deny dear"),
        (Some(r#"{"amount": 1, "\u0061mount": 1000}"#), "deny dear"),
        (Some(r#"{"Amount": 1000}"#), "deny dear"),
        (Some(r#"{"amount": 1, "amount\u0000x": 1000}"#), "deny dear"),
        (Some(r#"{"place": {"city": "Bergen", "city": "Oslo"}}"#), "deny dear"),
        (Some(r#"{"place": {"City": "Oslo"}}"#), "deny dear"),
        (Some(r#"{"path": {"__extn": {"fn": "ip", "arg": "::"}}}"#), "deny dear"),
        (Some(r#"{"to": ["a", null]}"#), "deny dear"),
        (Some("[]"), "deny dear"),
        (Some(""), "deny dear"),
    ] {
        assert_eq!(Case { arguments, ..CALL }.at(&server), expected, "{arguments:?}");
        let other = Case { arguments, name: Some("other"), ..CALL };
        assert_eq!(other.at(&server), "allow tool_writes", "{arguments:?}");
    }
    let large = format!(r#"{{"path": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(Case { arguments: Some(&large), ..CALL }.at(&server), "deny dear");
}

/// Attacks PX-15: a value of another type is no other value.
#[test]
fn px_15_an_argument_of_another_type_is_one_that_cannot_be_judged() {
    for (declared, condition, evil) in [
        ("amount?: Long", "context.arguments.amount == 5", r#"{"amount": "5"}"#),
        (
            "amount?: Long, from?: ipaddr",
            "context.arguments.amount == 5",
            r#"{"amount": "5", "from": "::1"}"#,
        ),
        ("amount?: Set<Long>", "context.arguments.amount.contains(5)", r#"{"amount": ["5"]}"#),
        ("amount?: String", r#"context.arguments.amount == "5""#, r#"{"amount": 5}"#),
        ("amount?: { of?: Long }", "context.arguments.amount has of", r#"{"amount": {"Of": 5}}"#),
    ] {
        let cedar = format!(
            r#"@id("f") forbid (principal, action == Action::"call", resource)
               when {{ context.arguments has amount && {condition} }};"#
        );
        let mut all = files(&cedar);
        all[0].text = format!("type Arguments = {{ {declared} }};");
        let library = Library::read(&all, &SERVERS).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let notes = ServerRules {
            policies: library.concerning("notes"),
            ..ServerRules::new("notes", Access::Everyone)
        };
        assert_eq!(Case { arguments: Some(evil), ..CALL }.at(&notes), "deny f", "{declared}: {evil}");
        assert_eq!(Case { arguments: Some("{}"), ..CALL }.at(&notes), "allow tool_writes", "{declared}");
    }
}

#[test]
fn a_permit_that_looks_at_arguments_permits_nothing_when_they_cannot_be_judged() {
    let cedar = r#"@id("in") permit (principal, action == Action::"connect", resource);
        @id("little") permit (principal, action == Action::"call", resource)
          when { context.arguments has amount && context.arguments.amount < 10 };"#;
    let ledger = server("ledger", Access::Groups(Vec::new()), cedar);
    let with = |arguments| Case { arguments: Some(arguments), ..CALL }.at(&ledger);
    assert_eq!(with(r#"{"amount": 9}"#), "allow little");
    assert_eq!(with(r#"{"amount": 10}"#), "deny policy_no_permit");
    assert_eq!(with(r#"{"amount": 9.5}"#), "deny policy_no_permit");
    assert_eq!(CALL.at(&ledger), "deny policy_no_permit");
}

#[test]
fn px_20_a_forbid_that_fails_is_a_forbid() {
    let server = with(
        r#"@id("overflows") forbid (principal, action == Action::"call", resource)
           when { context.arguments has amount && context.arguments.amount + 9223372036854775807 < 0 };"#,
    );
    assert_eq!(Case { arguments: Some(r#"{"amount": -1}"#), ..CALL }.at(&server), "allow tool_writes");
    assert_eq!(Case { arguments: Some(r#"{"amount": 1}"#), ..CALL }.at(&server), "deny overflows");
}

#[test]
fn a_list_shows_what_could_be_called_and_hides_what_never_can() {
    let server = with(
        r#"forbid (principal, action == Action::"call", resource == Tool::"notes/never");
           forbid (principal, action == Action::"call", resource == Tool::"notes/dear")
             when { context.arguments has amount && context.arguments.amount > 100 };
           forbid (principal, action == Action::"call", resource == Tool::"notes/careful")
             unless { context.scopes.contains("write") };
           forbid (principal, action == Action::"get", resource == Prompt::"notes/secret");
           forbid (principal, action == Action::"read", resource) when { resource.uri like "file:///etc/*" };"#,
    );
    for (listed, expected) in [
        (Listed::Tool("free", ReadOnly::No), true),
        (Listed::Tool("never", ReadOnly::Yes), false),
        (Listed::Tool("dear", ReadOnly::No), true),
        (Listed::Tool("careful", ReadOnly::No), true),
        (Listed::Prompt("open"), true),
        (Listed::Prompt("secret"), false),
        (Listed::Resource("file:///etc/passwd"), false),
        (Listed::Resource("file:///home"), true),
    ] {
        for scope in ["", "read", "read write"] {
            assert_eq!(Case { scope, ..CALL }.listing(listed, &server), expected, "{listed:?} {scope}");
        }
    }
    let closed = ServerRules { access: Access::Groups(Vec::new()), ..server };
    assert!(!CALL.listing(Listed::Tool("free", ReadOnly::Yes), &closed));
}

#[test]
fn a_list_shows_what_a_permit_could_give() {
    let cedar = r#"permit (principal, action == Action::"connect", resource == McpServer::"ledger");
        permit (principal in Group::"dev", action == Action::"call", resource == Tool::"ledger/pay")
          when { context.arguments has amount && context.arguments.amount < 10 };"#;
    let ledger = server("ledger", Access::Groups(Vec::new()), cedar);
    assert!(CALL.listing(Listed::Tool("pay", ReadOnly::No), &ledger));
    assert!(!Case { groups: &[], ..CALL }.listing(Listed::Tool("pay", ReadOnly::No), &ledger));
    assert!(!CALL.listing(Listed::Tool("add", ReadOnly::No), &ledger));
}

#[test]
fn a_service_account_sees_only_what_its_entry_admits() {
    let mut notes = with("");
    notes.service_accounts =
        vec![AdmittedAccount { name: "ci".to_owned(), scope: Some(Scope::parse("read").unwrap()) }];
    let ci = Case { account: Some("ci"), scope: "read", ..CALL };
    assert!(ci.listing(Listed::Tool("get", ReadOnly::Yes), &notes));
    assert!(!ci.listing(Listed::Tool("add", ReadOnly::No), &notes));
    assert!(Case { scope: "read", ..CALL }.listing(Listed::Tool("add", ReadOnly::No), &notes));
}

#[test]
fn a_policy_concerns_the_server_that_its_head_names() {
    let cedar = r#"forbid (principal, action, resource in McpServer::"wiki");"#;
    assert!(with(cedar).policies.is_empty());
    let wiki = server("wiki", Access::Everyone, cedar);
    assert_eq!(CALL.connecting_to(&wiki), "deny a.cedar:1");
}

#[test]
fn a_call_in_disguise_meets_the_same_policies() {
    let server = with(r#"@id("f") forbid (principal, action == Action::"call", resource);"#);
    assert_eq!(CALL.sent_as(CallKind::Notification, &server), "deny f");
    assert_eq!(Case { name: None, ..CALL }.at(&server), "deny call_unnamed");
    let server = with(r#"@id("f") forbid (principal, action == Action::"other", resource);"#);
    assert_eq!(Case { method: "notifications/x", name: None, ..CALL }.at(&server), "deny f");
    assert_eq!(Case { method: "completion/complete", name: None, ..CALL }.at(&server), "deny f");
    let note = |method| Case { method, name: None, ..CALL }.sent_as(CallKind::Notification, &server);
    assert_eq!(note("notifications/acme/wipe"), "deny f");
    assert_eq!(note("notifications/initialized"), "allow call_notification");
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let cedar = "// one\nforbid (principal, action == Action::\"cal\", resource);\n\
        forbid (principal, action == Action::\"call\", resource)\n  when { context.arguments.amount > 1 };\n\
        forbid (principal, action, resource in McpServer::\"nots\");\n\
        forbid (principal, action == Action::\"call\", resource == Tool::\"add\");\n\
        permit (principal, action, resource in McpServer::\"notes\");\n\
        @id(\"x y\") forbid (principal, action, resource);\n\
        @id(\"twice\") forbid (principal, action == Action::\"list\", resource);\n\
        @id(\"twice\") forbid (principal, action == Action::\"list\", resource);\n\
        forbid (principal, action == Action::\"connect\", resource is Tool);\n\
        forbid (principal, action == Action::\"call\", resource) when { context.arguments has amont };";
    let mut all = files(cedar);
    all.push(PolicyFile {
        name: "b.cedar".to_owned(),
        text: "forbid (principal, action,\n resource) when {".to_owned(),
    });
    let mistakes = Library::read(&all, &SERVERS).unwrap_err();
    let lines: Vec<(&str, usize)> = mistakes.iter().map(|one| (one.file.as_str(), one.line)).collect();
    for line in [2, 4, 5, 6, 7, 8, 10, 11, 12] {
        assert!(lines.contains(&("a.cedar", line)), "{line}: {mistakes:#?}");
    }
    assert!(lines.iter().any(|(file, _)| *file == "b.cedar"), "{mistakes:#?}");
    assert!(!lines.contains(&("a.cedar", 9)), "{mistakes:#?}");
}

#[test]
fn only_types_of_arguments_can_be_declared_and_none_is_demanded() {
    for (text, word) in [
        ("type Arguments = { path: String };", "path?"),
        ("type Other = String;", "Arguments"),
        ("type Arguments = {}; entity Friend;", "more than types"),
        ("type Arguments = {}; action x appliesTo { principal: User, resource: Tool };", "more than types"),
        ("type Arguments = { path?: Strin };", "Strin"),
        ("type Arguments = {", "arguments.cedarschema"),
    ] {
        let file = PolicyFile { name: "arguments.cedarschema".to_owned(), text: text.to_owned() };
        let mistakes = Library::read(&[file], &SERVERS).unwrap_err();
        let all = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(all.contains(word), "{text}: {all}");
    }
}

#[test]
fn a_policy_that_looks_where_nobody_can_follow_counts_as_looking_everywhere() {
    let server = with(
        r#"forbid (principal, action == Action::"call", resource) when { {c: context}.c.arguments has amount };"#,
    );
    assert!(server.policies.read_arguments("add"));
    assert_eq!(Case { arguments: Some(r#"{"amount": 1}"#), ..CALL }.at(&server), "deny a.cedar:1");
    assert_eq!(CALL.at(&server), "allow tool_writes");
}
