//! Properties: cutting into slices and remembering change no answer, a new forbid opens nothing, and order is nothing.
//!
//! The reference is Cedar itself with all policies and the whole context, which remembers nothing.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Decision as CedarDecision, PolicySet};
use proptest::prelude::*;
use protocol::id::Id;
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use super::action::Names;
use super::*;
use crate::{Access, Around, Decision, Listed, Person, Question, ReadOnly, ServerRules, decide};

const SERVERS: [KnownServer<'_>; 2] =
    [KnownServer { name: "notes", permits: true }, KnownServer { name: "wiki", permits: true }];
const DECLARED: &str = "type Arguments = { amount?: Long, path?: String };";

fn policy() -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        Just("principal"),
        Just("principal is User"),
        Just("principal in Group::\"dev\""),
        Just("principal == ServiceAccount::\"ci\""),
    ];
    // Action, resource and condition that fit each other: the others are refused when they are read.
    let rest = prop_oneof![
        Just(("action", "resource", "")),
        Just(("action", "resource in McpServer::\"notes\"", "")),
        Just(("action", "resource in McpServer::\"wiki\"", "")),
        Just(("action == Action::\"connect\"", "resource == McpServer::\"notes\"", "")),
        Just((
            "action in [Action::\"list\", Action::\"other\"]",
            "resource",
            "context.method like \"tools*\""
        )),
        Just(("action == Action::\"list\"", "resource", "context.scopes.contains(\"read\")")),
        Just(("action == Action::\"call\"", "resource == Tool::\"notes/a\"", "")),
        Just(("action == Action::\"call\"", "resource in Tool::\"notes/b\"", "context.readOnly")),
        Just((
            "action == Action::\"call\"",
            "resource is Tool in McpServer::\"wiki\"",
            "resource.name == \"a\""
        )),
        Just(("action == Action::\"call\"", "resource", "context.client == Client::\"one\"")),
        Just(("action == Action::\"call\"", "resource is Tool", "context.address.isIpv4()")),
        Just(("action == Action::\"call\"", "resource", "context.time < datetime(\"2026-01-01T00:00:00Z\")")),
        Just((
            "action == Action::\"call\"",
            "resource",
            "context.arguments has amount && context.arguments.amount > 5"
        )),
        Just((
            "action == Action::\"call\"",
            "resource == Tool::\"notes/a\"",
            "context.arguments has amount && context.arguments.amount + 9223372036854775807 > 0",
        )),
        Just(("action in [Action::\"call\", Action::\"get\"]", "resource", "resource.name like \"b*\"")),
        Just(("action == Action::\"read\"", "resource == Resource::\"notes/a\"", "")),
    ];
    (prop_oneof![Just("forbid"), Just("permit")], principal, rest, any::<bool>()).prop_map(
        |(effect, principal, (action, resource, condition), unless)| {
            let word = if unless { "unless" } else { "when" };
            let condition =
                if condition.is_empty() { String::new() } else { format!(" {word} {{ {condition} }}") };
            format!("{effect} ({principal}, {action}, {resource}){condition};")
        },
    )
}

#[derive(Debug, Clone)]
struct Ask {
    server: &'static str,
    method: &'static str,
    name: &'static str,
    arguments: Option<&'static str>,
    read_only: bool,
    scope: &'static str,
    groups: Vec<String>,
    account: bool,
    client: &'static str,
    address: &'static str,
    at: i64,
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(values)
}

fn ask() -> impl Strategy<Value = Ask> {
    let call = (
        one_of(&["notes", "wiki"]),
        one_of(&[
            "tools/call",
            "tools/call",
            "tools/call",
            "tools/list",
            "prompts/get",
            "resources/read",
            "x/y",
            "ping",
        ]),
        one_of(&["a", "b", "c"]),
        prop::option::of(one_of(&["{}", r#"{"amount":1}"#, r#"{"amount":9}"#, r#"{"path":"a","x":1.5}"#])),
    );
    let way = (
        any::<bool>(),
        one_of(&["", "read", "read write"]),
        prop::collection::vec(one_of(&["dev", "ops"]).prop_map(str::to_owned), 0..3),
        any::<bool>(),
        one_of(&["one", "two"]),
        one_of(&["192.0.2.1", "2001:db8::1"]),
        prop_oneof![Just(1_700_000_000), Just(1_800_000_000)],
    );
    (call, way).prop_map(
        |((server, method, name, arguments), (read_only, scope, groups, account, client, address, at))| {
            let arguments = arguments.filter(|_| method == "tools/call");
            Ask { server, method, name, arguments, read_only, scope, groups, account, client, address, at }
        },
    )
}

impl Ask {
    fn person(&self) -> Person<'_> {
        Person {
            user: Id::from_bytes([1; 16]),
            email: None,
            groups: &self.groups,
            service_account: self.account.then_some("ci"),
        }
    }

    fn call(&self) -> McpCall {
        let named = matches!(self.method, "tools/call" | "prompts/get" | "resources/read");
        let (method, name) = (self.method.to_owned(), named.then(|| self.name.to_owned()));
        McpCall { method, name, kind: CallKind::Notification, version: None, modern: false }
    }

    fn with<T>(&self, then: impl FnOnce(&Person<'_>, Around<'_>) -> T) -> T {
        let scope = Scope::parse(self.scope).unwrap();
        let (address, now) = (self.address.parse().unwrap(), Timestamp::from_secs(self.at));
        then(&self.person(), Around { address, client: self.client, now, scope: &scope })
    }

    fn verdict(&self, policies: &Policies) -> (BTreeSet<String>, BTreeSet<String>) {
        let call = self.call();
        self.with(|person, around| {
            let verdict = policies.ask(&self.asked(&call, person, around));
            let ids = |rules: &[crate::Rule]| rules.iter().map(ToString::to_string).collect();
            (ids(verdict.forbidding()), ids(verdict.permitting()))
        })
    }

    fn asked<'a>(&self, call: &'a McpCall, person: &'a Person<'a>, around: Around<'a>) -> Asked<'a> {
        let action = Action::of(call);
        if action == Action::Connect {
            return Asked::to_connect(person);
        }
        Asked {
            action,
            name: call.name.as_deref().unwrap_or_default(),
            method: &call.method,
            person,
            read_only: self.read_only,
            around: Some(around),
            arguments: self.arguments,
            listing: false,
        }
    }

    fn decision(&self, rules: &ServerRules) -> Decision {
        let (call, arguments) = (self.call(), self.arguments);
        let read_only = if self.read_only { ReadOnly::Yes } else { ReadOnly::No };
        self.with(|person, around| {
            decide(&Question::MayCall {
                call: &call,
                arguments,
                person: *person,
                read_only,
                around,
                server: rules,
            })
        })
    }

    fn is_listed(&self, rules: &ServerRules) -> bool {
        let read_only = if self.read_only { ReadOnly::Yes } else { ReadOnly::No };
        let listed = Listed::Tool(self.name, read_only);
        self.with(|person, around| {
            let question = Question::MayList { listed, person: *person, around, server: rules };
            matches!(decide(&question), Decision::Allow { .. })
        })
    }

    /// What Cedar says with every policy and everything that could be looked at.
    fn reference(&self, set: &PolicySet) -> (BTreeSet<String>, BTreeSet<String>) {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new().unwrap());
        static SCHEMA: LazyLock<cedar_policy::Schema> =
            LazyLock::new(|| declarations::read(&files(&[])).unwrap().schema);
        let (names, schema) = (&*NAMES, &*SCHEMA);
        let call = self.call();
        let (request, entities) = self.with(|person, around| {
            let asked = self.asked(&call, person, around);
            let declared = ["amount".to_owned(), "path".to_owned()].into();
            let context = if asked.action == Action::Call {
                let arguments = arguments::declared(self.arguments, &declared).unwrap();
                asked::context_with(&asked, arguments, schema, &names.action(Action::Call)).unwrap()
            } else {
                asked::context(&asked, reads::Reads::EVERYTHING, names).unwrap()
            };
            asked::put(&asked, self.server, names, context).unwrap()
        });
        let response = Authorizer::new().is_authorized(&request, set, &entities);
        let id = |id: &cedar_policy::PolicyId| set.annotation(id, "id").unwrap().to_owned();
        let failed = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        let failed = failed.filter(|id| set.policy(id).unwrap().effect() == cedar_policy::Effect::Forbid);
        let failed: BTreeSet<String> = failed.map(id).collect();
        let reasons: BTreeSet<String> = response.diagnostics().reason().map(id).collect();
        match response.decision() {
            CedarDecision::Allow => (failed, reasons),
            CedarDecision::Deny => (&failed | &reasons, BTreeSet::new()),
        }
    }
}

fn numbered(policies: &[String]) -> String {
    policies.iter().enumerate().map(|(index, policy)| format!("@id(\"p{index}\") {policy}\n")).collect()
}

fn files(texts: &[String]) -> Vec<PolicyFile> {
    let file = |name: &str, text: String| PolicyFile { name: name.to_owned(), text };
    vec![file("arguments.cedarschema", DECLARED.to_owned()), file("a.cedar", texts.concat())]
}

/// With a permit for somebody who never asks: permits without any to come in are a mistake.
const DOOR: &str =
    "@id(\"door\") permit (principal == User::\"nobody\", action == Action::\"connect\", resource);";

fn library(text: &str, remembers: bool) -> Library {
    let care = library::Care { remembers, validates: false };
    Library::read_with(&files(&[format!("{text}{DOOR}")]), &SERVERS, care).unwrap()
}

fn rules(library: &Library, server: &str, groups: &[&str]) -> ServerRules {
    let access = Access::Groups(groups.iter().map(|&group| group.to_owned()).collect());
    ServerRules { permits: true, policies: library.concerning(server), ..ServerRules::new(server, access) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn slices_and_memory_change_no_answer(
        policies in prop::collection::vec(policy(), 0..12),
        asks in prop::collection::vec(ask(), 1..12),
    ) {
        let library = library(&numbered(&policies), true);
        let set: PolicySet = numbered(&policies).parse().unwrap();
        // Twice: what was remembered of one question must be the answer to no other.
        for ask in asks.iter().chain(&asks) {
            let sliced = ask.verdict(&library.concerning(ask.server));
            prop_assert_eq!(sliced, ask.reference(&set), "{:?}", ask);
        }
    }

    #[test]
    fn a_new_forbid_opens_nothing_and_order_is_nothing(
        policies in prop::collection::vec(policy(), 0..8),
        one_more in policy(),
        asks in prop::collection::vec(ask(), 1..8),
        turn in 0_usize..8,
    ) {
        let before = library(&numbered(&policies), true);
        let forbid = one_more.replacen("permit", "forbid", 1);
        let after = library(&format!("{}@id(\"more\") {forbid}", numbered(&policies)), false);
        let mut lines: Vec<String> = numbered(&policies).lines().map(|line| format!("{line}\n")).collect();
        let by = turn.checked_rem(lines.len()).unwrap_or(0);
        lines.rotate_left(by);
        let turned = library(&lines.concat(), true);
        for ask in &asks {
            let (was, is) = (rules(&before, ask.server, &["ops"]), rules(&after, ask.server, &["ops"]));
            let opened = |was: &Decision, is: &Decision| {
                matches!(is, Decision::Allow { .. }) && !matches!(was, Decision::Allow { .. })
            };
            let (old, new) = (ask.decision(&was), ask.decision(&is));
            prop_assert!(!opened(&old, &new), "{:?}: {:?} became {:?}", ask, old, new);
            prop_assert!(was == is || ask.is_listed(&was) || !ask.is_listed(&is), "{:?} is listed now", ask);
            prop_assert_eq!(ask.decision(&rules(&turned, ask.server, &["ops"])), old, "{:?}", ask);
        }
    }

    /// What a list hides, no call gets; with whatever scopes and arguments.
    #[test]
    fn what_is_not_listed_cannot_be_called(
        policies in prop::collection::vec(policy(), 0..8),
        asks in prop::collection::vec(ask(), 1..8),
    ) {
        let library = library(&numbered(&policies), true);
        for ask in asks.iter().filter(|ask| ask.method == "tools/call") {
            let rules = rules(&library, ask.server, &["ops"]);
            if !ask.is_listed(&rules) {
                for scope in ["", "read", "read write"] {
                    for arguments in [None, Some("{}"), Some(r#"{"amount":1}"#), Some(r#"{"amount":9}"#)] {
                        let decision = Ask { scope, arguments, ..ask.clone() }.decision(&rules);
                        prop_assert!(matches!(decision, Decision::Deny { .. }), "{:?}: {:?}", ask, decision);
                    }
                }
            }
        }
    }
}
