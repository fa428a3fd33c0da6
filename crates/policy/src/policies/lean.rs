//! A policy without what its slice knows already: whom its head means, which action, and which MCP server.
//!
//! The questions that reach a slice are of its MCP server and its action, and a policy is asked only of whom its head means.
//! What of a head says no more than that is left out, for Cedar asks heads one after another; so is where each word stood in
//! its file, which Cedar carries along. Must never leave out what could be false.

use std::collections::HashMap;

use cedar_policy::{EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use protocol::id::{Id, User};
use serde_json::{Value, json};

use super::action::Names;
use super::reads::Reads;
use super::typed::Typed;
use crate::Person;

/// A policy as its slice asks it.
#[derive(Debug)]
pub(super) struct Lean {
    pub(super) policy: Policy,
    pub(super) reads: Reads,
    /// The same without conditions: true of whatever it could be true of.
    pub(super) head: Policy,
    pub(super) head_reads: Reads,
}

impl Lean {
    pub(super) fn of(policy: &Policy, names: &Names, typed: &Typed) -> Result<Self, String> {
        let mut json = policy.to_json().map_err(|error| error.to_string())?;
        let all = || json!({ "op": "All" });
        let mut head_reads = Reads::default();
        let Value::Object(parts) = &mut json else { return Err("has no form".to_owned()) };
        parts.insert("action".to_owned(), all());
        if Whom::says_all(&policy.principal_constraint(), names) {
            parts.insert("principal".to_owned(), all());
        } else {
            head_reads.principal = true;
        }
        if resource_is_known(&policy.resource_constraint(), names) {
            parts.insert("resource".to_owned(), all());
        } else {
            head_reads.resource = true;
        }
        let read = |json: Value| {
            Policy::from_json(Some(policy.id().clone()), json).map_err(|error| error.to_string())
        };
        let mut head = json.clone();
        if let Value::Object(parts) = &mut head {
            parts.insert("conditions".to_owned(), json!([]));
        }
        let policy = read(json)?;
        let mut reads = Reads::of(&policy).with(head_reads);
        // An argument may be somebody, or something.
        if reads.arguments && typed.leaves_something_to_the_schema() {
            (reads.principal, reads.resource) = (true, true);
        }
        Ok(Self { policy, reads, head: read(head)?, head_reads })
    }
}

/// Whether a policy with this is in a slice only if it is true of every question there.
fn resource_is_known(constraint: &ResourceConstraint, names: &Names) -> bool {
    let ours = [&names.mcp_server, &names.prompt, &names.resource, &names.tool];
    match constraint {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(kind) => ours.contains(&kind),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => ours.contains(&uid.type_name()),
        ResourceConstraint::IsIn(kind, uid) => {
            ours.contains(&kind) && (uid.type_name() == kind || *uid.type_name() == names.mcp_server)
        }
    }
}

/// Whom the head of a policy means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    Account(String),
    Accounts,
    Anybody,
    Group(String),
    User(Id<User>),
    Users,
}

impl Whom {
    /// What is not understood means anybody: then Cedar says.
    pub(super) fn of(policy: &Policy, names: &Names) -> Self {
        match policy.principal_constraint() {
            PrincipalConstraint::Is(kind) if kind == names.user => Self::Users,
            PrincipalConstraint::Is(kind) if kind == names.service_account => Self::Accounts,
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => Self::Anybody,
            PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::In(uid)
            | PrincipalConstraint::IsIn(_, uid) => Self::one(&uid, names),
        }
    }

    fn one(uid: &EntityUid, names: &Names) -> Self {
        let (kind, id) = (uid.type_name(), uid.id().unescaped());
        match id.parse::<Id<User>>() {
            _ if *kind == names.group => Self::Group(id.to_owned()),
            _ if *kind == names.service_account => Self::Account(id.to_owned()),
            // No other way to write an id is that of anybody.
            Ok(user) if *kind == names.user && user.to_string() == id => Self::User(user),
            Ok(_) | Err(_) => Self::Anybody,
        }
    }

    /// Whether this says of a principal what [`Self::of`] tells of it, and nothing more.
    fn says_all(constraint: &PrincipalConstraint, names: &Names) -> bool {
        let is_somebody = |uid: &EntityUid| {
            *uid.type_name() == names.service_account
                || *uid.type_name() == names.user && matches!(Self::one(uid, names), Self::User(_))
        };
        match constraint {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => *kind == names.user || *kind == names.service_account,
            PrincipalConstraint::Eq(uid) => is_somebody(uid),
            PrincipalConstraint::In(uid) => *uid.type_name() == names.group || is_somebody(uid),
            PrincipalConstraint::IsIn(kind, uid) => {
                let in_a_group = *kind == names.user && *uid.type_name() == names.group;
                in_a_group || uid.type_name() == kind && is_somebody(uid)
            }
        }
    }
}

/// Which parts mean whom.
#[derive(Debug, Default)]
pub(super) struct ByWhom {
    anybody: Option<usize>,
    accounts: Option<usize>,
    users: Option<usize>,
    account: HashMap<String, usize>,
    group: HashMap<String, usize>,
    user: HashMap<Id<User>, usize>,
}

impl ByWhom {
    /// The number of the part for these; `next` if there is none yet.
    pub(super) fn part_of(&mut self, whom: &Whom, next: usize) -> usize {
        match whom {
            Whom::Account(name) => *self.account.entry(name.clone()).or_insert(next),
            Whom::Accounts => *self.accounts.get_or_insert(next),
            Whom::Anybody => *self.anybody.get_or_insert(next),
            Whom::Group(name) => *self.group.entry(name.clone()).or_insert(next),
            Whom::User(id) => *self.user.entry(*id).or_insert(next),
            Whom::Users => *self.users.get_or_insert(next),
        }
    }

    /// The numbers of the parts that mean this person, each once and in their order.
    pub(super) fn meaning(&self, person: &Person<'_>) -> Vec<usize> {
        let mut parts: Vec<usize> = self.anybody.into_iter().collect();
        match person.service_account {
            Some(name) => {
                parts.extend(self.accounts);
                parts.extend(self.account.get(name));
            }
            None => {
                parts.extend(self.users);
                parts.extend(self.user.get(&person.user));
                if !self.group.is_empty() {
                    parts.extend(person.groups.iter().filter_map(|group| self.group.get(group)));
                }
            }
        }
        parts.sort_unstable();
        parts.dedup();
        parts
    }
}
