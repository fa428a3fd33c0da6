//! The rules themselves: who is in, and which scope a call needs (product.md, P-12 and P-13).
//!
//! Each rule has a fixed name. Must never read anything but the question.

use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;

use crate::{Access, Decision, Person, Question, ReadOnly, ServerRules};

/// The scope of calls that change nothing.
const READ: &str = "read";
/// The scope of calls that may change something.
const WRITE: &str = "write";

/// Answers a question.
pub fn decide(question: &Question<'_>) -> Decision {
    match question {
        Question::MayConnect { person, server } => admit(person, server),
        Question::MayCall { call, person, read_only, scope, server } => match admit(person, server) {
            Decision::Allow { .. } => {
                let decide = |scope: &Scope| decide_call(&call.method, &call.kind, *read_only, scope);
                let account = person.service_account.and_then(|name| server.admitted_account(name));
                match account.and_then(|account| account.scope.as_ref()) {
                    Some(most) => within(most, scope, decide),
                    None => decide(scope),
                }
            }
            refused @ (Decision::Deny { .. } | Decision::NeedScope { .. }) => refused,
        },
    }
}

fn admit(person: &Person<'_>, server: &ServerRules) -> Decision {
    if let Some(name) = person.service_account {
        return match server.admitted_account(name) {
            Some(_) => Decision::Allow { rule: "access_service_account" },
            None => Decision::Deny { rule: "access_no_service_account" },
        };
    }
    match &server.access {
        Access::Everyone => Decision::Allow { rule: "access_everyone" },
        Access::Groups(admitted) if person.groups.iter().any(|group| admitted.contains(group)) => {
            Decision::Allow { rule: "access_group" }
        }
        Access::Groups(_) => Decision::Deny { rule: "access_no_group" },
    }
}

/// Decides for a service account that is admitted with this scope at most: a token from before its entry was narrowed is
/// worth no more than one of today, and it is asked for no scope that it cannot have, which would send it for a token
/// again and again.
fn within(most: &Scope, scope: &Scope, decide: impl FnOnce(&Scope) -> Decision) -> Decision {
    match decide(&most.intersection(scope)) {
        Decision::NeedScope { scope, .. } if !scope.is_subset(most) => {
            Decision::Deny { rule: "access_service_account_scope" }
        }
        decision @ (Decision::Allow { .. } | Decision::Deny { .. } | Decision::NeedScope { .. }) => decision,
    }
}

fn decide_call(method: &str, kind: &CallKind, read_only: ReadOnly, scope: &Scope) -> Decision {
    match kind {
        // Part of an exchange that a request of its own began.
        CallKind::Response => return Decision::Allow { rule: "call_response" },
        CallKind::Notification if method.starts_with("notifications/") => {
            return Decision::Allow { rule: "call_notification" };
        }
        CallKind::Notification | CallKind::Request(_) => {}
    }
    match method {
        // What a client must be able to do before it can find out anything, and lists that hold only what their
        // reader may call.
        "initialize" | "logging/setLevel" | "ping" | "prompts/list" | "server/discover" | "tools/list" => {
            Decision::Allow { rule: "call_upkeep" }
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
    if held.contains(name) {
        return Decision::Allow { rule };
    }
    match Scope::parse(name) {
        Ok(scope) => Decision::NeedScope { rule, scope },
        // The two names are well formed; were they not, nobody would get in.
        Err(_) => Decision::Deny { rule },
    }
}
