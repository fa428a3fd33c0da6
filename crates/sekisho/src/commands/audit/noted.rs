//! Who reads the audit is in the audit (product.md, P-18): which account of the machine, and what was asked for. What cannot be
//! written down is not shown.

use protocol::id::{Id, User};
use protocol::world::Clock as _;
use store::{AuditEvent, AuditEvents as _, AuditKind, Engine, Outcome};

use super::super::Failure;
use super::AuditArguments;
use crate::world::{SystemClock, SystemEntropy};

/// Writes down that somebody reads. `filter` must hold no name of a person.
pub(in super::super) async fn note(store: &Engine, what: &str, filter: String) -> Result<(), Failure> {
    let now = SystemClock::default().now();
    let mut event = AuditEvent::new(Id::mint(now, &SystemEntropy), now, AuditKind::AuditRead, Outcome::Ok);
    event.detail.insert("by", account());
    event.detail.insert("what", what.to_owned());
    if !filter.is_empty() {
        event.detail.insert("filter", filter);
    }
    Ok(store.append_audit(vec![event]).await?)
}

#[cfg(unix)]
fn account() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn account() -> String {
    "unknown".to_owned()
}

/// What was asked for. A name is personal data, which no event holds: of it only that there was one.
pub(super) fn filter(arguments: &AuditArguments, user: Option<Id<User>>) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{name}={value}")));
    };
    add("kind", arguments.kind.map(|kind| kind.as_str().to_owned()));
    let by_name = arguments.user.as_ref().map(|_| "by name".to_owned());
    add("user", user.map(|user| user.to_string()).or(by_name));
    add("client", arguments.client.clone());
    add("server", arguments.server.clone());
    add("reference", arguments.reference.as_ref().map(ToString::to_string));
    add("since", arguments.since.map(|age| format!("{}s", age.as_secs())));
    parts.join(" ")
}
