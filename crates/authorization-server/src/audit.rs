//! Audit events of this role (product.md, P-18): each starts here, with its time, its id and its sign-in.
//!
//! Names and addresses go into the subject beside the event, nowhere else; codes and tokens go nowhere.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::world::Timestamp;
use store::{AuditEvent, AuditKind, AuditSubject, AuthorizationRecord, GrantRecord, Outcome, UserRecord};

use crate::AuthorizationServer;

/// How many refusals are stored in a minute, of those without a person and of those with one. Registering is free, so a
/// refusal of a known client is nearly free too; a flood of them takes nothing from what people are refused.
const REFUSALS_A_MINUTE: u32 = 120;

/// How many refusals may still be stored in this minute.
#[derive(Debug)]
pub(crate) struct Refusals {
    of_nobody: Budget,
    of_people: Budget,
}

impl Refusals {
    pub(crate) const fn new() -> Self {
        Self { of_nobody: Budget::new(), of_people: Budget::new() }
    }

    const fn budget(&self, event: &AuditEvent) -> &Budget {
        if event.user.is_some() { &self.of_people } else { &self.of_nobody }
    }
}

#[derive(Debug)]
struct Budget {
    minute_and_spent: Mutex<(u64, u32)>,
}

impl Budget {
    const fn new() -> Self {
        Self { minute_and_spent: Mutex::new((0, 0)) }
    }

    /// Takes one out, if there is one left.
    fn spend(&self, monotonic: Duration) -> bool {
        let minute = monotonic.as_secs() / 60;
        let mut held = self.minute_and_spent.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != minute {
            *held = (minute, 0);
        }
        held.1 = held.1.saturating_add(1);
        held.1 <= REFUSALS_A_MINUTE
    }
}

impl AuthorizationServer {
    /// Stores that something was refused. The refusal stands even if this fails or there are too many: nothing was
    /// changed that would have to be told.
    pub(crate) async fn append_refusal(&self, event: AuditEvent) {
        let (kind, reason) = (event.kind.as_str(), event.reason.unwrap_or_default());
        if !self.refusals.budget(&event).spend(self.parts.clock.monotonic()) {
            tracing::warn!(kind, reason, "too many refusals in this minute to store this one");
            return;
        }
        if let Err(error) = self.parts.store.append_audit(vec![event]).await {
            tracing::error!(kind, reason, %error, "a refusal could not be stored");
        }
    }

    /// An event that says what and when.
    pub(crate) fn event(&self, kind: AuditKind, outcome: Outcome, now: Timestamp) -> AuditEvent {
        AuditEvent::new(protocol::id::Id::mint(now, &*self.parts.entropy), now, kind, outcome)
    }

    /// An event of a sign-in: its reference, client, MCP server and the address it began at.
    pub(crate) fn event_of(
        &self,
        record: &AuthorizationRecord,
        kind: AuditKind,
        outcome: Outcome,
        now: Timestamp,
    ) -> AuditEvent {
        AuditEvent {
            reference: Some(record.reference.clone()),
            client_id: Some(record.client_id.as_str().to_owned()),
            server: Some(record.request.server.clone()),
            subject: Some(self.subject(None, Some(record.address.clone()))),
            ..self.event(kind, outcome, now)
        }
    }

    /// An event of a grant, at the address that asked.
    pub(crate) fn event_of_grant(
        &self,
        grant: &GrantRecord,
        (kind, outcome): (AuditKind, Outcome),
        address: &str,
        now: Timestamp,
    ) -> AuditEvent {
        AuditEvent {
            user: Some(grant.user),
            client_id: Some(grant.client_id.as_str().to_owned()),
            server: Some(grant.server.clone()),
            grant: Some(grant.id),
            subject: Some(self.subject(None, Some(address.to_owned()))),
            ..self.event(kind, outcome, now)
        }
    }

    /// Personal data, of one event alone so that it can be blotted out alone.
    pub(crate) fn subject(&self, user: Option<&UserRecord>, address: Option<String>) -> AuditSubject {
        let mut salt = [0; 16];
        self.parts.entropy.fill(&mut salt);
        let name = user.and_then(|user| user.email.clone().or_else(|| user.name.clone()));
        AuditSubject { salt, name, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_refusals_are_stored_in_a_minute_and_no_more() {
        let budget = Budget::new();
        let stored = |second: u64| (0..500).filter(|_| budget.spend(Duration::from_secs(second))).count();
        assert_eq!(stored(0), 120);
        assert_eq!(stored(59), 0);
        assert_eq!(stored(60), 120);
        assert_eq!(stored(6000), 120);
    }
}
