//! The rules themselves: who is in, and which scope a call needs (product.md, P-12 and P-13).
//!
//! Each rule has a fixed name; an operator's policy has its id. A policy's `forbid` always wins, and its `permit` never gives
//! what scopes do not. Must never read anything but the question.

use protocol::mcp::{Effect, McpCall};
use protocol::oauth::Scope;

use crate::policies::{Action, Asked, Verdict};
use crate::scopes::{READ, WRITE};
use crate::{Access, Around, Decision, Listed, Person, Question, ReadOnly, Rule, ServerRules};

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
            let decide = |scope: &Scope| decide_call(call, *read_only, server, scope);
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
        // A list holds only what its reader may call.
        (Some(rule), Action::List) => Some(verdict.permitted().cloned().unwrap_or(rule)),
        (Some(_), Action::Call | Action::Get | Action::Other | Action::Read) => verdict.permitted().cloned(),
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
        Listed::Tool(name, read_only) => of_tool(name, read_only, server).0,
        Listed::Prompt(_) | Listed::Resource(_) => Needed::One(READ),
    };
    let with = |scope: &Scope| {
        let asked = to_list(listed, person, Around { scope, ..*around });
        let scopes = |scope: &Scope| needed.held("listed", scope);
        judge(&asked, server, || bounded(person, server, scope, scopes))
    };
    let decision = match with(around.scope) {
        Decision::Deny { .. } => with(&around.scope.union(server.scopes.known())),
        seen @ (Decision::Allow { .. } | Decision::NeedScope { .. }) => seen,
    };
    match decision {
        Decision::NeedScope { rule, .. } | Decision::Allow { rule } => Decision::Allow { rule },
        refused @ Decision::Deny { .. } => refused,
    }
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

fn decide_call(call: &McpCall, read_only: ReadOnly, server: &ServerRules, scope: &Scope) -> Decision {
    match call.effect() {
        Effect::Responds => Decision::Allow { rule: Rule::own("call_response") },
        Effect::Notifies => Decision::Allow { rule: Rule::own("call_notification") },
        Effect::Upkeep => Decision::Allow { rule: Rule::own("call_upkeep") },
        Effect::CallsATool => {
            let (needed, rule) = of_tool(call.name.as_deref().unwrap_or_default(), read_only, server);
            needed.held(rule, scope)
        }
        Effect::Reads => Needed::One(READ).held("call_reads", scope),
        // Nobody knows what it does (product.md, P-16).
        Effect::Unknown => Needed::One(WRITE).held("call_unknown", scope),
    }
}

/// What a call of the tool needs, and by which rule.
fn of_tool(name: &str, read_only: ReadOnly, server: &ServerRules) -> (Needed, &'static str) {
    match (server.scopes.of_tool(name), read_only) {
        (Some(scope), _) => (Needed::All(scope), "tool_scopes"),
        (None, ReadOnly::Yes) => (Needed::One(READ), "tool_reads"),
        // `NotATool` cannot be said of a tool: whoever says it has not looked.
        (None, ReadOnly::No | ReadOnly::NotATool) => (Needed::One(WRITE), "tool_writes"),
    }
}

/// The scopes that a call needs.
enum Needed {
    All(Scope),
    One(&'static str),
}

impl Needed {
    fn held(&self, rule: &'static str, held: &Scope) -> Decision {
        let rule = Rule::own(rule);
        match self {
            Self::All(needed) if needed.is_subset(held) => Decision::Allow { rule },
            Self::All(needed) => Decision::NeedScope { rule, scope: needed.clone() },
            Self::One(name) if held.contains(name) => Decision::Allow { rule },
            Self::One(name) => match Scope::parse(name) {
                Ok(scope) => Decision::NeedScope { rule, scope },
                // The two names are well formed; were they not, nobody would get in.
                Err(_) => Decision::Deny { rule },
            },
        }
    }
}

/// Whether a call may change something. What a tool is not known to say of itself it does not say.
#[must_use]
pub fn may_change(call: &McpCall, read_only: ReadOnly) -> bool {
    match (call.effect(), read_only) {
        (Effect::Notifies | Effect::Reads | Effect::Responds | Effect::Upkeep, _)
        | (Effect::CallsATool, ReadOnly::Yes) => false,
        (Effect::CallsATool, ReadOnly::No | ReadOnly::NotATool) | (Effect::Unknown, _) => true,
    }
}
