//! The rules themselves: who is in, and which scope a call needs (product.md, P-12 and P-13).
//!
//! Each rule has a fixed name; an operator's policy has its id. A policy's `forbid` always wins, and its `permit` never gives
//! what scopes do not. Must never read anything but the question.

use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;

use crate::policies::{Action, Asked, Verdict};
use crate::{Access, Around, Decision, Listed, Person, Question, ReadOnly, Rule, ServerRules};

/// The scope of calls that change nothing.
const READ: &str = "read";
/// The scope of calls that may change something.
const WRITE: &str = "write";

/// Answers a question.
pub fn decide(question: &Question<'_>) -> Decision {
    match question {
        Question::MayConnect { person, server } => match admit(person, server) {
            Admission::ByAccess(rule) | Admission::ByPolicy(rule) => Decision::Allow { rule },
            Admission::Refused(rule) => Decision::Deny { rule },
        },
        Question::MayCall { server, .. } => judge(&asked_of(question), server, || {
            scopes_say(question).unwrap_or(Decision::Deny { rule: Rule::own("call_unknown") })
        }),
        Question::MayList { listed, person, around, server } => may_list(*listed, person, around, server),
    }
}

/// The question to the policies that a question is.
pub(crate) fn asked_of<'a>(question: &'a Question<'_>) -> Asked<'a> {
    match question {
        Question::MayCall { call, arguments, person, read_only, around, .. } => Asked {
            action: Action::of(call),
            name: call.name.as_deref().unwrap_or_default(),
            method: &call.method,
            person,
            read_only: *read_only == ReadOnly::Yes,
            around: Some(*around),
            arguments: *arguments,
            listing: false,
        },
        Question::MayConnect { person, .. } => Asked::to_connect(person),
        Question::MayList { listed, person, around, .. } => to_list(*listed, person, *around),
    }
}

/// What scopes alone say of a call; nothing for what needs none.
pub(crate) fn scopes_say(question: &Question<'_>) -> Option<Decision> {
    match question {
        Question::MayCall { call, person, read_only, around, server, .. } => {
            let decide = |scope: &Scope| decide_call(&call.method, &call.kind, *read_only, scope);
            Some(bounded(person, server, around.scope, decide))
        }
        Question::MayConnect { .. } | Question::MayList { .. } => None,
    }
}

/// May this be shown? Its arguments are not known yet.
fn to_list<'a>(listed: Listed<'a>, person: &'a Person<'a>, around: Around<'a>) -> Asked<'a> {
    let (action, name, method, read_only) = match listed {
        Listed::Prompt(name) => (Action::Get, name, "prompts/get", false),
        Listed::Resource(uri) => (Action::Read, uri, "resources/read", false),
        Listed::Tool(name, read_only) => (Action::Call, name, "tools/call", read_only == ReadOnly::Yes),
    };
    let (around, arguments, listing) = (Some(around), None, true);
    Asked { action, name, method, person, read_only, around, arguments, listing }
}

/// Who lets a person in.
enum Admission {
    ByAccess(Rule),
    ByPolicy(Rule),
    Refused(Rule),
}

fn admit(person: &Person<'_>, server: &ServerRules) -> Admission {
    let access = has_access(person, server);
    if server.policies.is_empty() {
        return access.map_or_else(Admission::Refused, Admission::ByAccess);
    }
    let verdict = server.policies.ask(&Asked::to_connect(person));
    match (verdict.forbidden(), access, verdict.permitted()) {
        (Some(rule), _, _) => Admission::Refused(rule.clone()),
        (None, Ok(rule), _) => Admission::ByAccess(rule),
        // A service account is let in by being spelled out, and by nothing else.
        (None, Err(_), Some(rule)) if server.permits && person.service_account.is_none() => {
            Admission::ByPolicy(rule.clone())
        }
        (None, Err(rule), _) => Admission::Refused(rule),
    }
}

/// The rule of `access` that lets the person in, or the one that does not.
pub(crate) fn has_access(person: &Person<'_>, server: &ServerRules) -> Result<Rule, Rule> {
    if let Some(name) = person.service_account {
        return match server.admitted_account(name) {
            Some(_) => Ok(Rule::own("access_service_account")),
            None => Err(Rule::own("access_no_service_account")),
        };
    }
    match &server.access {
        Access::Everyone => Ok(Rule::own("access_everyone")),
        Access::Groups(admitted) if person.groups.iter().any(|group| admitted.contains(group)) => {
            Ok(Rule::own("access_group"))
        }
        Access::Groups(_) => Err(Rule::own("access_no_group")),
    }
}

/// What is said of whoever is admitted: first the policies, so that nobody is sent for a scope that would not help, then
/// the scopes, which no permit can replace.
fn judge(asked: &Asked<'_>, server: &ServerRules, scopes: impl FnOnce() -> Decision) -> Decision {
    let connected = match admit(asked.person, server) {
        Admission::Refused(rule) => return Decision::Deny { rule },
        Admission::ByAccess(_) => None,
        Admission::ByPolicy(rule) => Some(rule),
    };
    if server.policies.is_empty() {
        return scopes();
    }
    if asked.action.names_something() && asked.name.is_empty() {
        return Decision::Deny { rule: Rule::own("call_unnamed") };
    }
    let verdict = match asked.action {
        Action::Connect => Verdict::default(),
        Action::Call | Action::Get | Action::List | Action::Other | Action::Read => {
            server.policies.ask(asked)
        }
    };
    if let Some(rule) = verdict.forbidden() {
        return Decision::Deny { rule: rule.clone() };
    }
    let permit = match (connected, asked.action) {
        (None, _) => return scopes(),
        (Some(rule), Action::Connect) => Some(rule),
        (Some(_), _) => verdict.permitted().cloned(),
    };
    match (permit, scopes()) {
        (None, _) => Decision::Deny { rule: Rule::own("policy_no_permit") },
        (Some(rule), Decision::Allow { .. }) => Decision::Allow { rule },
        (Some(_), decision @ (Decision::Deny { .. } | Decision::NeedScope { .. })) => decision,
    }
}

/// Decides by scopes, within what a service account may have.
fn bounded(
    person: &Person<'_>,
    server: &ServerRules,
    scope: &Scope,
    decide: impl FnOnce(&Scope) -> Decision,
) -> Decision {
    let account = person.service_account.and_then(|name| server.admitted_account(name));
    match account.and_then(|account| account.scope.as_ref()) {
        Some(most) => within(most, scope, decide),
        None => decide(scope),
    }
}

/// What could be used is shown: with the scopes of this token, or with all that could be had.
fn may_list(listed: Listed<'_>, person: &Person<'_>, around: &Around<'_>, server: &ServerRules) -> Decision {
    let needed = match listed {
        Listed::Tool(_, ReadOnly::No | ReadOnly::NotATool) => WRITE,
        Listed::Prompt(_) | Listed::Resource(_) | Listed::Tool(_, ReadOnly::Yes) => READ,
    };
    let all = Scope::parse("read write").map(|all| around.scope.union(&all));
    let mut decision = Decision::Deny { rule: Rule::own("call_unknown") };
    for scope in [Some(around.scope), all.as_ref().ok()].into_iter().flatten() {
        let asked = to_list(listed, person, Around { scope, ..*around });
        let scopes = |scope: &Scope| needs(needed, "listed", scope);
        decision = match judge(&asked, server, || bounded(person, server, scope, scopes)) {
            Decision::NeedScope { rule, .. } | Decision::Allow { rule } => return Decision::Allow { rule },
            refused @ Decision::Deny { .. } => refused,
        };
    }
    decision
}

/// Decides for a service account that is admitted with this scope at most: a token from before its entry was narrowed is
/// worth no more than one of today, and it is asked for no scope that it cannot have, which would send it for a token
/// again and again.
fn within(most: &Scope, scope: &Scope, decide: impl FnOnce(&Scope) -> Decision) -> Decision {
    match decide(&most.intersection(scope)) {
        Decision::NeedScope { scope, .. } if !scope.is_subset(most) => {
            Decision::Deny { rule: Rule::own("access_service_account_scope") }
        }
        decision @ (Decision::Allow { .. } | Decision::Deny { .. } | Decision::NeedScope { .. }) => decision,
    }
}

fn decide_call(method: &str, kind: &CallKind, read_only: ReadOnly, scope: &Scope) -> Decision {
    match kind {
        // Part of an exchange that a request of its own began.
        CallKind::Response => return Decision::Allow { rule: Rule::own("call_response") },
        CallKind::Notification if method.starts_with("notifications/") => {
            return Decision::Allow { rule: Rule::own("call_notification") };
        }
        CallKind::Notification | CallKind::Request(_) => {}
    }
    match method {
        // What a client must be able to do before it can find out anything, and lists that hold only what their
        // reader may call.
        "initialize" | "logging/setLevel" | "ping" | "prompts/list" | "server/discover" | "tools/list" => {
            Decision::Allow { rule: Rule::own("call_upkeep") }
        }
        "tools/call" => match read_only {
            ReadOnly::Yes => needs(READ, "tool_reads", scope),
            // `NotATool` cannot be said of a tool: whoever says it has not looked.
            ReadOnly::No | ReadOnly::NotATool => needs(WRITE, "tool_writes", scope),
        },
        "completion/complete"
        | "prompts/get"
        | "resources/list"
        | "resources/read"
        | "resources/subscribe"
        | "resources/templates/list"
        | "resources/unsubscribe"
        | "subscriptions/listen"
        | "tasks/get"
        | "tasks/list"
        | "tasks/result" => needs(READ, "call_reads", scope),
        // Nobody knows what it does (product.md, P-16).
        _ => needs(WRITE, "call_unknown", scope),
    }
}

/// Whether a call may change something: whether a token that can only read would not be enough. What a tool is not known to
/// say of itself it does not say.
#[must_use]
pub fn may_change(call: &McpCall, read_only: ReadOnly) -> bool {
    let Ok(read) = Scope::parse(READ) else { return true };
    match decide_call(&call.method, &call.kind, read_only, &read) {
        Decision::Allow { .. } => false,
        Decision::Deny { .. } | Decision::NeedScope { .. } => true,
    }
}

fn needs(name: &str, rule: &'static str, held: &Scope) -> Decision {
    let rule = Rule::own(rule);
    if held.contains(name) {
        return Decision::Allow { rule };
    }
    match Scope::parse(name) {
        Ok(scope) => Decision::NeedScope { rule, scope },
        // The two names are well formed; were they not, nobody would get in.
        Err(_) => Decision::Deny { rule },
    }
}
