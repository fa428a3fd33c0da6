//! A write is a value: a short list of guarded statements, done whole or not at all.
//!
//! No step reads another's result. Nothing above the engine opens a transaction, so none can be left open.

use super::value::{Row, Value};
use super::{Announcement, Patience};
use crate::Revocation;

/// All tables but that of the migrations, in the order in which the steps of a write touch them: two writes that want the
/// same rows then wait for each other and cannot lock each other out. Those come first that others refer to.
pub(crate) const TABLES: [&str; 33] = [
    "clients",
    "client_rules",
    "users",
    "identity_links",
    "offline_access",
    "former_upstream_clients",
    "upstream_clients",
    "tool_lists",
    "tool_definitions",
    "connecting",
    "connections",
    "browser_sessions",
    "emergency_logins",
    "consents",
    "device_authorizations",
    "authorizations",
    "client_requests",
    "registration_tokens",
    "replays",
    "grants",
    "revocations",
    "meta",
    "keys",
    "nodes",
    "audit_intents",
    "settled_intents",
    "audit_subjects",
    "audit_events",
    "audit_blocks",
    "audit_seals",
    "audit_holds",
    "sign_ins",
    "usage_hours",
];

/// A unit of work.
#[derive(Debug, Default)]
pub(crate) struct Write {
    pub(crate) steps: Vec<Step>,
    /// What the listeners hear after the commit.
    pub(crate) announce: Vec<Announcement>,
    /// How long it may take.
    pub(crate) patience: Patience,
}

/// One statement and how many rows it must touch.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value>,
    pub(crate) expect: Expect,
    /// Whether the statement ends in `RETURNING` and its rows are wanted.
    pub(crate) returning: bool,
}

/// How many rows a step must touch. A step that touches another number undoes the whole write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Any,
    AtMost(u64),
    Exactly(u64),
}

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) count: u64,
    pub(crate) rows: Vec<Row>,
}

/// How a write ended. Both are answers, not errors.
#[derive(Debug)]
pub(crate) enum Written {
    /// Committed, durable; what each step did.
    Done(Vec<Touched>),
    /// The guard of this step (its count, or a key that must be unique or exist) was missed; nothing happened.
    Missed(usize),
}

impl Expect {
    pub(crate) const fn allows(self, count: u64) -> bool {
        match self {
            Self::Any => true,
            Self::AtMost(most) => count <= most,
            Self::Exactly(exact) => count == exact,
        }
    }
}

impl Step {
    pub(crate) const fn new(sql: &'static str, params: Vec<Value>, expect: Expect) -> Self {
        Self { sql, params, expect, returning: false }
    }

    /// A step that must touch exactly one row: the form of every promise that is kept at most once.
    pub(crate) const fn one(sql: &'static str, params: Vec<Value>) -> Self {
        Self::new(sql, params, Expect::Exactly(1))
    }

    /// A step that may find its row gone, or there already.
    pub(crate) const fn at_most_one(sql: &'static str, params: Vec<Value>) -> Self {
        Self::new(sql, params, Expect::AtMost(1))
    }

    pub(crate) const fn any(sql: &'static str, params: Vec<Value>) -> Self {
        Self::new(sql, params, Expect::Any)
    }

    pub(crate) const fn returning(mut self) -> Self {
        self.returning = true;
        self
    }
}

impl Write {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        let write = Self { steps, announce: Vec::new(), patience: Patience::Request };
        #[cfg(debug_assertions)]
        debug_assert!(in_order(&write.steps), "steps touch tables out of order: {:?}", tables(&write.steps));
        write
    }

    pub(crate) fn announcing(mut self, revocation: Revocation) -> Self {
        self.announce.push(Announcement::Revocation(revocation));
        self
    }

    /// The same for a change of keys.
    pub(crate) fn announcing_keys(mut self) -> Self {
        self.announce.push(Announcement::Keys);
        self
    }

    /// It may touch very many rows, and nobody's request waits for it.
    pub(crate) const fn long(mut self) -> Self {
        self.patience = Patience::Work;
        self
    }
}

/// The table that each step writes to.
#[cfg(any(test, debug_assertions))]
fn tables(steps: &[Step]) -> Vec<&'static str> {
    let table = |sql: &'static str| {
        ["INSERT INTO ", "UPDATE ", "DELETE FROM "]
            .iter()
            .find_map(|verb| sql.strip_prefix(verb))
            .and_then(|rest| rest.split([' ', '(']).next())
            .unwrap_or("")
    };
    steps.iter().map(|step| table(step.sql)).collect()
}

#[cfg(any(test, debug_assertions))]
fn in_order(steps: &[Step]) -> bool {
    let place = |table: &&str| TABLES.iter().position(|known| known == table);
    let places: Option<Vec<usize>> = tables(steps).iter().map(place).collect();
    places.is_some_and(|places| places.is_sorted())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(sql: &'static str) -> Step {
        Step::any(sql, Vec::new())
    }

    #[test]
    fn steps_touch_tables_in_one_order() {
        let grants = "UPDATE grants SET revoked_at = $1";
        let audit = "INSERT INTO audit_events (id) VALUES ($1)";
        assert!(in_order(&[step(grants), step(grants), step(audit)]));
        assert!(!in_order(&[step(audit), step(grants)]));
        assert!(!in_order(&[step("DELETE FROM nowhere WHERE 1 = 1")]));
    }

    #[test]
    fn a_guard_allows_what_it_says() {
        assert!(
            Expect::Exactly(1).allows(1) && !Expect::Exactly(1).allows(0) && !Expect::Exactly(1).allows(2)
        );
        assert!(Expect::AtMost(1).allows(0) && !Expect::AtMost(1).allows(2));
        assert!(Expect::Any.allows(7));
    }
}
