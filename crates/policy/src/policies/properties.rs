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

use serde_json::json;

use super::action::Names;
use super::common::Common;
use super::reads::Reads;
use super::typed::Untold;
use super::*;
use crate::{Access, Around, Decision, Listed, Person, Question, ReadOnly, ServerRules, decide};

mod unfit;

const SERVERS: [KnownServer<'_>; 2] =
    [KnownServer { name: "notes", permits: true }, KnownServer { name: "wiki", permits: true }];
const DECLARED: &str = "type Place = { city: String, street?: String };
    type Arguments = { amount?: Long, done?: Bool, path?: String, place?: Place, to?: Set<String>, all?: Set<Place> };";
/// With types that only the schema can tell.
const MORE: &str = "type Place = { city: String, street?: String };
    type Arguments = { amount?: Long, done?: Bool, path?: String, place?: Place, to?: Set<String>, all?: Set<Place>,
        from?: ipaddr, owner?: User };";
/// The person who asks most.
const ME: &str = "01010101-0101-0101-0101-010101010101";

/// Action, resource and condition.
type Rest = (&'static str, &'static str, &'static str);

/// That fit each other: the others are refused when they are read.
fn rest() -> impl Strategy<Value = Rest> {
    prop_oneof![
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
        Just(("action == Action::\"call\"", "resource", "context.time < datetime(\"2027-01-15T08:00:01Z\")")),
        Just((
            "action == Action::\"call\"",
            "resource",
            "context.time.toTime().toMilliseconds() + 9223372036825975807 > 0"
        )),
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
    ]
}

/// Those that look at who asks, at what is asked for and at arguments in ways that slices could overlook.
fn odd_rest() -> impl Strategy<Value = Rest> {
    prop_oneof![
        Just(("action", "resource is Tool in Prompt::\"notes/a\"", "")),
        Just(("action == Action::\"call\"", "resource", "principal in Group::\"ops\"")),
        Just(("action", "resource", "principal has email && principal.email like \"*@example.com\"",)),
        Just((
            "action == Action::\"call\"",
            "resource",
            "User::\"01010101-0101-0101-0101-010101010101\" in Group::\"dev\""
        )),
        Just(("action == Action::\"call\"", "resource", "Tool::\"notes/a\" in McpServer::\"notes\"")),
        Just(("action == Action::\"call\"", "resource", "resource in McpServer::\"notes\"")),
        Just(("action == Action::\"call\"", "resource", "context.time.toTime() > duration(\"12h\")")),
        Just(("action in [Action::\"call\", Action::\"get\"]", "resource", "context has arguments")),
        Just((
            "action == Action::\"call\"",
            "resource",
            "context.arguments has place && context.arguments.place.city == \"Oslo\" \
             || context.arguments has to && context.arguments.to.contains(\"a\")"
        )),
        Just((
            "action == Action::\"call\"",
            "resource in Tool::\"notes/b\"",
            "context.arguments has from && context.arguments.from.isLoopback()"
        )),
        Just((
            "action == Action::\"call\"",
            "resource",
            "context.arguments has owner && context.arguments.owner has email && context.arguments.owner.email like \"*\""
        )),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        Just("principal"),
        Just("principal is User"),
        Just("principal in Group::\"dev\""),
        Just("principal == ServiceAccount::\"ci\""),
        Just("principal is ServiceAccount"),
        Just("principal is User in Group::\"ops\""),
        Just("principal in User::\"01010101-0101-0101-0101-010101010101\""),
        Just("principal == User::\"nobody\""),
        Just("principal is ServiceAccount in Group::\"dev\""),
        Just("principal == Group::\"dev\""),
    ];
    let rest = prop_oneof![rest(), odd_rest()];
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
    user: u8,
    email: Option<&'static str>,
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
        prop::option::of(one_of(&[
            "{}",
            r#"{"amount":1}"#,
            r#"{"amount":9}"#,
            r#"{"path":"a","x":1.5}"#,
            r#"{"place":{"city":"Oslo"},"to":["a","b","a"]}"#,
            r#"{"to":[],"from":"127.0.0.1"}"#,
            r#"{"owner":{"type":"User","id":"01010101-0101-0101-0101-010101010101"},"amount":7}"#,
        ])),
    );
    let way = (
        any::<bool>(),
        one_of(&["", "read", "read write"]),
        prop::collection::vec(one_of(&["dev", "ops"]).prop_map(str::to_owned), 0..3),
        (
            1_u8..3,
            prop::option::of(one_of(&["alice@example.com", "bob@example.org"])),
            prop::bool::weighted(0.2),
        ),
        one_of(&["one", "two"]),
        one_of(&["192.0.2.1", "2001:db8::1"]),
        prop_oneof![Just(1_700_000_000), Just(1_800_000_000), Just(1_800_000_001), Just(1_800_030_000)],
    );
    (call, way).prop_map(
        |((server, method, name, arguments), (read_only, scope, groups, who, client, address, at))| {
            let arguments = arguments.filter(|_| method == "tools/call");
            let (user, email, account) = who;
            Ask {
                server,
                method,
                name,
                arguments,
                read_only,
                scope,
                groups,
                user,
                email,
                account,
                client,
                address,
                at,
            }
        },
    )
}

impl Ask {
    fn person(&self) -> Person<'_> {
        Person {
            user: Id::from_bytes([self.user; 16]),
            email: self.email,
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
    fn reference(&self, set: &PolicySet, declared: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let common = if declared == MORE { &*WITH_MORE } else { &*PLAIN };
        let call = self.call();
        let (request, ground) = self.with(|person, around| {
            let asked = self.asked(&call, person, around);
            let context = if asked.action == Action::Call {
                let arguments = arguments::declared(self.arguments, &common.arguments).unwrap();
                asked::context_by_schema(&asked, arguments, common).unwrap()
            } else {
                asked::context(&asked, None, Reads::EVERYTHING, common).unwrap()
            };
            let ground = asked::Ground::of(&asked, self.server, Reads::EVERYTHING, &common.names).unwrap();
            (ground.put(common.names.action(asked.action), context).unwrap(), ground)
        });
        let entities = &ground.entities;
        let response = Authorizer::new().is_authorized(&request, set, entities);
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

const ASK: Ask = Ask {
    server: "notes",
    method: "tools/call",
    name: "a",
    arguments: None,
    read_only: false,
    scope: "read",
    groups: Vec::new(),
    user: 1,
    email: None,
    account: false,
    client: "one",
    address: "192.0.2.1",
    at: 1_800_000_000,
};

/// Declared arguments with values of all kinds, as they are after they were read.
fn arguments_of_any_kind() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop::sample::select(vec![
        json!(true),
        json!(0),
        json!(i64::MAX),
        json!("a"),
        json!("127.0.0.1"),
        json!({"city": "Oslo"}),
        json!({"type": "User", "id": ME}),
    ]);
    let value = leaf.prop_recursive(3, 8, 3, |inner| {
        let names = one_of(&["city", "street", "amount"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::btree_map(names, inner, 0..3).prop_map(|members| json!(members)),
        ]
    });
    let names = one_of(&["all", "amount", "done", "from", "owner", "path", "place", "to"]);
    prop::collection::btree_map(names.prop_map(str::to_owned), value, 0..4).prop_map(|all| json!(all))
}

fn numbered(policies: &[String]) -> String {
    policies.iter().enumerate().map(|(index, policy)| format!("@id(\"p{index}\") {policy}\n")).collect()
}

fn files(texts: &[String], declared: &str) -> Vec<PolicyFile> {
    let file = |name: &str, text: String| PolicyFile { name: name.to_owned(), text };
    vec![file("arguments.cedarschema", declared.to_owned()), file("a.cedar", texts.concat())]
}

fn common(declared: &str) -> Common {
    let declarations = declarations::read(&files(&[], declared)).unwrap();
    Common::new(Names::new().unwrap(), declarations, String::new())
}

static PLAIN: LazyLock<Common> = LazyLock::new(|| common(DECLARED));
static WITH_MORE: LazyLock<Common> = LazyLock::new(|| common(MORE));

/// With a permit for somebody who never asks: permits without any to come in are a mistake.
const DOOR: &str =
    "@id(\"door\") permit (principal == User::\"nobody\", action == Action::\"connect\", resource);";

fn library(text: &str, remembers: bool) -> Library {
    library_with(text, remembers, DECLARED)
}

fn library_with(text: &str, remembers: bool, declared: &str) -> Library {
    let care = library::Care { remembers, validates: false };
    Library::read_with(&files(&[format!("{text}{DOOR}")], declared), &SERVERS, care).unwrap()
}

fn rules(library: &Library, server: &str, groups: &[&str]) -> ServerRules {
    let access = Access::Groups(groups.iter().map(|&group| group.to_owned()).collect());
    ServerRules { permits: true, policies: library.concerning(server), ..ServerRules::new(server, access) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn slices_and_memory_change_no_answer(
        policies in prop::collection::vec(policy(), 0..12),
        asks in prop::collection::vec(ask(), 1..12),
        declared in one_of(&[DECLARED, MORE]),
    ) {
        let library = library_with(&numbered(&policies), true, declared);
        let set: PolicySet = numbered(&policies).parse().unwrap();
        // Twice: what was remembered of one question must be the answer to no other.
        for ask in asks.iter().chain(&asks) {
            let sliced = ask.verdict(&library.concerning(ask.server));
            prop_assert_eq!(sliced, ask.reference(&set, declared), "{:?}", ask);
        }
    }

    /// What is told without the schema is what the schema tells.
    #[test]
    fn arguments_are_what_the_schema_says(value in arguments_of_any_kind()) {
        let call = ASK.call();
        ASK.with(|person, around| {
            let asked = ASK.asked(&call, person, around);
            let by_schema = |value| asked::context_by_schema(&asked, value, &WITH_MORE);
            let of = |context: &cedar_policy::Context| context.get("arguments").unwrap();
            match (WITH_MORE.typed.express(&value), by_schema(value)) {
                (Ok(here), Ok(there)) => {
                    let here = cedar_policy::Context::from_pairs([("arguments".to_owned(), here)]).unwrap();
                    prop_assert_eq!(of(&here), of(&there));
                }
                (Err(Untold::Unfit), Err(_)) | (Err(Untold::Elsewhere), _) => {}
                (here, there) => prop_assert!(false, "{here:?}, but {there:?}"),
            }
            Ok(())
        })?;
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
