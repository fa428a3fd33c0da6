//! Tables: one row for each rule, and the properties every rule keeps.

use protocol::id::Id;
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use super::*;

fn request() -> CallKind {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    McpCall::read(&http::HeaderMap::new(), text.as_bytes()).unwrap().kind
}

fn call(method: &str, kind: CallKind) -> McpCall {
    McpCall { method: method.to_owned(), name: None, kind, version: None, modern: false }
}

fn server(access: Access) -> ServerRules {
    ServerRules::new("notes", access)
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn rule(decision: &Decision) -> (&'static str, &str, String) {
    match decision {
        Decision::Allow { rule } => ("allow", rule.as_str(), String::new()),
        Decision::Deny { rule } => ("deny", rule.as_str(), String::new()),
        Decision::NeedScope { rule, scope } => ("need", rule.as_str(), scope.to_string()),
    }
}

fn around(scope: &Scope) -> Around<'_> {
    Around {
        address: [192, 0, 2, 1].into(),
        client: "https://client.example",
        now: Timestamp::from_secs(1_800_000_000),
        scope,
    }
}

fn may_call(method: &str, kind: CallKind, read_only: ReadOnly, scope: &str) -> Decision {
    let (call, server, scope) = (call(method, kind), server(Access::Everyone), Scope::parse(scope).unwrap());
    let person = Person { user: Id::from_bytes([1; 16]), email: None, groups: &[], service_account: None };
    let around = around(&scope);
    decide(&Question::MayCall { call: &call, arguments: None, person, read_only, around, server: &server })
}

#[test]
fn a_person_is_admitted_by_one_common_group_or_because_everyone_is() {
    let table = [
        (Access::Everyone, groups(&[]), ("allow", "access_everyone")),
        (Access::Groups(groups(&["dev", "ops"])), groups(&["x", "ops"]), ("allow", "access_group")),
        (Access::Groups(groups(&["dev"])), groups(&["Dev", "devs", ""]), ("deny", "access_no_group")),
        (Access::Groups(groups(&["dev"])), groups(&[]), ("deny", "access_no_group")),
        (Access::Groups(groups(&[])), groups(&["dev"]), ("deny", "access_no_group")),
    ];
    for (access, mine, (answer, name)) in table {
        let server = server(access);
        let person =
            Person { user: Id::from_bytes([1; 16]), email: None, groups: &mine, service_account: None };
        let decision = decide(&Question::MayConnect { person, server: &server });
        assert_eq!(rule(&decision), (answer, name, String::new()), "{server:?} {mine:?}");
    }
}

#[test]
fn a_call_needs_the_scope_of_what_it_does() {
    let table = [
        ("initialize", ReadOnly::NotATool, "", ("allow", "call_upkeep", "")),
        ("tools/list", ReadOnly::NotATool, "write", ("allow", "call_upkeep", "")),
        ("tools/call", ReadOnly::Yes, "read", ("allow", "tool_reads", "")),
        ("tools/call", ReadOnly::Yes, "write", ("need", "tool_reads", "read")),
        ("tools/call", ReadOnly::No, "read", ("need", "tool_writes", "write")),
        ("tools/call", ReadOnly::No, "read write", ("allow", "tool_writes", "")),
        ("tools/call", ReadOnly::NotATool, "read", ("need", "tool_writes", "write")),
        ("resources/read", ReadOnly::NotATool, "", ("need", "call_reads", "read")),
        ("resources/read", ReadOnly::NotATool, "read", ("allow", "call_reads", "")),
        ("vendor/format-disk", ReadOnly::NotATool, "read", ("need", "call_unknown", "write")),
        ("TOOLS/LIST", ReadOnly::NotATool, "read", ("need", "call_unknown", "write")),
    ];
    for (method, read_only, scope, (answer, name, needed)) in table {
        let decision = may_call(method, request(), read_only, scope);
        assert_eq!(rule(&decision), (answer, name, needed.to_owned()), "{method} {read_only:?} {scope:?}");
    }
}

#[test]
fn responses_and_notifications_need_no_scope_but_a_call_in_disguise_does() {
    assert_eq!(rule(&may_call("", CallKind::Response, ReadOnly::NotATool, "")).1, "call_response");
    let notification = may_call("notifications/cancelled", CallKind::Notification, ReadOnly::NotATool, "");
    assert_eq!(rule(&notification).1, "call_notification");
    let disguised = may_call("tools/call", CallKind::Notification, ReadOnly::No, "");
    assert_eq!(rule(&disguised), ("need", "tool_writes", "write".to_owned()));
    let request = may_call("notifications/cancelled", request(), ReadOnly::NotATool, "");
    assert_eq!(rule(&request).1, "call_unknown");
}

#[test]
fn whoever_may_not_connect_may_not_call_whatever_the_scope() {
    let (server, scope) = (server(Access::Groups(groups(&["dev"]))), Scope::parse("read write").unwrap());
    let person = Person { user: Id::from_bytes([1; 16]), email: None, groups: &[], service_account: None };
    for (method, kind) in [("tools/call", request()), ("initialize", request()), ("", CallKind::Response)] {
        let call = call(method, kind);
        let question = Question::MayCall {
            call: &call,
            person,
            arguments: None,
            read_only: ReadOnly::Yes,
            around: around(&scope),
            server: &server,
        };
        assert_eq!(rule(&decide(&question)), ("deny", "access_no_group", String::new()));
    }
}

#[test]
fn more_scope_never_turns_a_yes_into_a_no() {
    for method in ["initialize", "tools/call", "resources/read", "vendor/x"] {
        for read_only in [ReadOnly::No, ReadOnly::NotATool, ReadOnly::Yes] {
            for scope in ["", "read", "write"] {
                let less = may_call(method, request(), read_only, scope);
                let more = may_call(method, request(), read_only, "read write other");
                assert!(!matches!(less, Decision::Allow { .. }) || matches!(more, Decision::Allow { .. }));
            }
        }
    }
}

fn own_scopes() -> ServerRules {
    let own = [("pay", &["pay", "move*"][..]), ("abroad", &["move_abroad"]), ("all", &["*_all"])];
    let own = own.map(|(scope, tools)| {
        (scope.parse::<Scope>().unwrap().iter().next().unwrap().clone(), groups(tools))
    });
    // A `*` that is not at the end is a letter like any other.
    ServerRules { scopes: Scopes::with(&own), ..server(Access::Everyone) }
}

fn tool(server: &ServerRules, name: &str, read_only: ReadOnly, scope: &str) -> Decision {
    let call = McpCall { name: Some(name.to_owned()), ..call("tools/call", request()) };
    let scope = Scope::parse(scope).unwrap();
    let person = Person { user: Id::from_bytes([1; 16]), email: None, groups: &[], service_account: None };
    let around = around(&scope);
    decide(&Question::MayCall { call: &call, arguments: None, person, read_only, around, server })
}

#[test]
fn a_tool_with_scopes_of_its_own_needs_all_of_them_and_neither_read_nor_write() {
    let server = own_scopes();
    for (name, read_only, scope, expected) in [
        ("pay", ReadOnly::No, "read write", ("need", "tool_scopes", "pay")),
        ("pay", ReadOnly::Yes, "read write", ("need", "tool_scopes", "pay")),
        ("pay", ReadOnly::No, "pay", ("allow", "tool_scopes", "")),
        ("move", ReadOnly::No, "abroad", ("need", "tool_scopes", "pay")),
        ("move_abroad", ReadOnly::No, "pay", ("need", "tool_scopes", "abroad pay")),
        ("move_abroad", ReadOnly::No, "", ("need", "tool_scopes", "abroad pay")),
        ("move_abroad", ReadOnly::No, "abroad pay", ("allow", "tool_scopes", "")),
        ("payment", ReadOnly::No, "pay", ("need", "tool_writes", "write")),
        ("Pay", ReadOnly::Yes, "pay", ("need", "tool_reads", "read")),
        ("delete_all", ReadOnly::No, "all", ("need", "tool_writes", "write")),
    ] {
        let decision = tool(&server, name, read_only, scope);
        let expected = (expected.0, expected.1, expected.2.to_owned());
        assert_eq!(rule(&decision), expected, "{name} {read_only:?} {scope:?}");
    }
    assert_eq!(server.scopes.known().to_string(), "abroad all pay read write");
}

#[test]
fn a_service_account_is_bound_by_scopes_of_the_operators_own_too() {
    let bound = |scope| ServerRules {
        service_accounts: admitting(&[("ci", scope)]).service_accounts,
        ..own_scopes()
    };
    for (most, expected) in [
        (Some("read write"), ("deny", "access_service_account_scope")),
        (Some("pay"), ("allow", "tool_scopes")),
        (None, ("allow", "tool_scopes")),
    ] {
        let (server, scope) = (bound(most), Scope::parse("pay read write").unwrap());
        let (call, around) =
            (McpCall { name: Some("pay".to_owned()), ..call("tools/call", request()) }, around(&scope));
        let person = service_account("ci");
        let question = Question::MayCall {
            call: &call,
            arguments: None,
            person,
            read_only: ReadOnly::Yes,
            around,
            server: &server,
        };
        let decision = decide(&question);
        let (answer, rule, _) = rule(&decision);
        assert_eq!((answer, rule), expected, "{most:?}");
        // And it sees what it may call.
        let listed = Listed::Tool("pay", ReadOnly::Yes);
        let decision = decide(&Question::MayList { listed, person, around, server: &server });
        assert_eq!(matches!(decision, Decision::Allow { .. }), expected.0 == "allow", "{most:?}");
    }
}

/// What is written down before it is forwarded does not depend on scopes.
#[test]
fn what_may_change_something_is_what_is_not_known_to_only_read() {
    for (method, read_only, expected) in [
        ("tools/call", ReadOnly::Yes, false),
        ("tools/call", ReadOnly::No, true),
        ("tools/call", ReadOnly::NotATool, true),
        ("resources/read", ReadOnly::NotATool, false),
        ("tasks/cancel", ReadOnly::NotATool, true),
        ("tools/list", ReadOnly::NotATool, false),
        ("vendor/x", ReadOnly::NotATool, true),
    ] {
        assert_eq!(may_change(&call(method, request()), read_only), expected, "{method} {read_only:?}");
    }
    assert!(!may_change(&call("", CallKind::Response), ReadOnly::NotATool));
    for of_clients in ["cancelled", "initialized", "progress", "roots/list_changed", "tasks/status"] {
        let note = call(&format!("notifications/{of_clients}"), CallKind::Notification);
        assert!(!may_change(&note, ReadOnly::NotATool), "{of_clients}");
    }
    for unknown in ["notifications/x", "notifications/acme/wipe", "notifications/", "notifications/message"] {
        assert!(may_change(&call(unknown, CallKind::Notification), ReadOnly::NotATool), "{unknown}");
    }
    assert!(may_change(&call("notifications/x", request()), ReadOnly::NotATool));
    assert!(may_change(&call("tools/call", CallKind::Notification), ReadOnly::No));
}

fn admitting(accounts: &[(&str, Option<&str>)]) -> ServerRules {
    let admitted = |&(name, scope): &(&str, Option<&str>)| AdmittedAccount {
        name: name.to_owned(),
        scope: scope.map(|text| Scope::parse(text).unwrap()),
    };
    ServerRules { service_accounts: accounts.iter().map(admitted).collect(), ..server(Access::Everyone) }
}

fn service_account(name: &str) -> Person<'_> {
    Person { user: Id::from_bytes([9; 16]), email: None, groups: &[], service_account: Some(name) }
}

#[test]
fn a_service_account_is_admitted_where_it_is_spelled_out_and_nowhere_else() {
    let named = admitting(&[("ci", None)]);
    let mut grouped = server(Access::Groups(groups(&["service-account:ci", "ci"])));
    for (server, name, expected) in [
        (&named, "ci", ("allow", "access_service_account")),
        (&named, "CI", ("deny", "access_no_service_account")),
        (&server(Access::Everyone), "ci", ("deny", "access_no_service_account")),
        (&grouped, "ci", ("deny", "access_no_service_account")),
    ] {
        // Groups of a service account would be somebody's mistake, and count for nothing.
        let mine = groups(&["ci"]);
        let person = Person { groups: &mine, ..service_account(name) };
        let decision = decide(&Question::MayConnect { person, server });
        let (answer, rule, _) = rule(&decision);
        assert_eq!((answer, rule), expected, "{server:?} {name}");
    }
    // Nor is a person let in by a group that is called like a service account.
    grouped = ServerRules { access: Access::Groups(groups(&["ops"])), ..named };
    let mine = groups(&["ci", "service-account:ci"]);
    let person = Person { user: Id::from_bytes([1; 16]), email: None, groups: &mine, service_account: None };
    let decision = decide(&Question::MayConnect { person, server: &grouped });
    assert_eq!(rule(&decision).1, "access_no_group");
}

#[test]
fn a_service_account_does_no_more_than_its_entry_says_whatever_its_token_holds() {
    let reads = admitting(&[("ci", Some("read"))]);
    let all = admitting(&[("ci", None)]);
    for (server, scope, read_only, expected) in [
        (&reads, "read write", ReadOnly::Yes, ("allow", "tool_reads")),
        (&reads, "read write", ReadOnly::No, ("deny", "access_service_account_scope")),
        (&reads, "read", ReadOnly::No, ("deny", "access_service_account_scope")),
        (&reads, "", ReadOnly::Yes, ("need", "tool_reads")),
        (&all, "read", ReadOnly::No, ("need", "tool_writes")),
        (&all, "read write", ReadOnly::No, ("allow", "tool_writes")),
    ] {
        let (call, scope) = (call("tools/call", request()), Scope::parse(scope).unwrap());
        let person = service_account("ci");
        let around = around(&scope);
        let decision =
            decide(&Question::MayCall { call: &call, arguments: None, person, read_only, around, server });
        let (answer, rule, _) = rule(&decision);
        assert_eq!((answer, rule), expected, "{scope} {read_only:?}");
    }
}
