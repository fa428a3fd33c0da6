//! The policies that one kind of question meets, in three readings of what is not known.
//!
//! *Exact*: all is known. *Hopeful*: the arguments are not known yet, as for a list; a forbid that looks at them may not
//! come true, and a permit may. *Fearful*: the arguments cannot be judged; a forbid that looks at them counts as true,
//! and a permit does not.

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect, Entities, Policy, PolicyId, PolicySet, Request,
};

use super::action::Action;
use super::lean::ByWhom;
use super::library::Loaded;
use super::reads::{Lasts, Reads};
use super::slice::Verdict;
use crate::{Person, Rule};

/// The policies that one kind of question meets.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) exact: Reading,
    /// Only where a policy looks at arguments.
    pub(super) hopeful: Option<Reading>,
    /// Of those that look at arguments alone: the others say the same either way.
    pub(super) fearful: Option<Reading>,
}

/// One reading of them, apart by how long their answers last: one that looks at the time has none of the others asked anew.
#[derive(Debug, Default)]
pub(super) struct Reading {
    always: Parts,
    a_second: Parts,
    one_call: Parts,
    /// What any of them looks at.
    pub(super) reads: Reads,
}

/// Policies in parts by whom their heads mean: most mean few people, and are asked of nobody else.
#[derive(Debug, Default)]
struct Parts {
    parts: Vec<Part>,
    by_whom: ByWhom,
}

/// The policies that mean the same people, ready to be asked.
#[derive(Debug, Default)]
struct Part {
    set: PolicySet,
    reads: Reads,
}

/// The parts that mean one person, and whose answers last equally long.
#[derive(Debug)]
pub(super) struct Meant<'a> {
    parts: &'a [Part],
    pub(super) lasts: Lasts,
    /// Their numbers.
    pub(super) numbers: Vec<usize>,
    /// What they look at.
    pub(super) reads: Reads,
}

impl Set {
    pub(super) fn new<'a>(action: Action, policies: impl Iterator<Item = &'a Loaded> + Clone) -> Self {
        // Nothing else has arguments, so that none are missing there.
        let arguments = |policy: &Loaded| action == Action::Call && policy.lean.reads.arguments;
        let reads = |policy: &Loaded| Reads { arguments: arguments(policy), ..policy.lean.reads };
        let looks = policies.clone().any(arguments);
        let reading = |of: &dyn Fn(&'a Loaded) -> Option<(&'a Policy, Reads)>| {
            let mut reading = Reading::default();
            for policy in policies.clone() {
                if let Some((read, reads)) = of(policy) {
                    reading.add(policy, read, reads);
                }
            }
            reading
        };
        let unsure = |policy: &'a Loaded, counts: Effect| {
            let lean = &policy.lean;
            match (arguments(policy), policy.policy.effect()) {
                (false, _) => Some((&lean.policy, reads(policy))),
                (true, effect) => (effect == counts).then_some((&lean.head, lean.head_reads)),
            }
        };
        Self {
            exact: reading(&|policy| Some((&policy.lean.policy, reads(policy)))),
            hopeful: looks.then(|| reading(&|policy| unsure(policy, Effect::Permit))),
            fearful: looks.then(|| {
                reading(&|policy| arguments(policy).then(|| unsure(policy, Effect::Forbid)).flatten())
            }),
        }
    }
}

impl Reading {
    fn add(&mut self, policy: &Loaded, read: &Policy, reads: Reads) {
        self.reads = self.reads.with(reads);
        let parts = match reads.lasts() {
            Lasts::Always => &mut self.always,
            Lasts::ASecond => &mut self.a_second,
            Lasts::OneCall => &mut self.one_call,
        };
        parts.add(policy, read, reads);
    }

    /// Those that mean this person.
    pub(super) fn meant(&self, person: &Person<'_>) -> impl Iterator<Item = Meant<'_>> {
        let all = [
            (Lasts::Always, &self.always),
            (Lasts::ASecond, &self.a_second),
            (Lasts::OneCall, &self.one_call),
        ];
        all.into_iter().filter_map(|(lasts, parts)| parts.meant(lasts, person))
    }
}

impl Parts {
    fn add(&mut self, policy: &Loaded, read: &Policy, reads: Reads) {
        let number = self.by_whom.part_of(&policy.whom, self.parts.len());
        if number == self.parts.len() {
            self.parts.push(Part::default());
        }
        if let Some(part) = self.parts.get_mut(number) {
            part.reads = part.reads.with(reads);
            // Ids are unique: that was judged when the files were read.
            drop(part.set.add(read.clone()));
        }
    }

    /// `None` if none means this person.
    fn meant(&self, lasts: Lasts, person: &Person<'_>) -> Option<Meant<'_>> {
        if self.parts.is_empty() {
            return None;
        }
        let numbers = self.by_whom.meaning(person);
        if numbers.is_empty() {
            return None;
        }
        let meant = Meant { parts: &self.parts, lasts, numbers, reads: Reads::default() };
        let reads = meant.parts().fold(Reads::default(), |reads, part| reads.with(part.reads));
        Some(Meant { reads, ..meant })
    }
}

impl Meant<'_> {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.numbers.iter().filter_map(|number| self.parts.get(*number))
    }

    /// What they say.
    pub(super) fn judge(&self, request: &Request, entities: &Entities) -> Verdict {
        let (mut forbid, mut failed, mut permit) = (Vec::new(), Vec::new(), Vec::new());
        for part in self.parts() {
            let response = Authorizer::new().is_authorized(request, &part.set, entities);
            // Cedar passes over a policy that fails; a forbid that does is one that forbids.
            failed.extend(response.diagnostics().errors().filter_map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => part.if_forbid(error.policy_id()),
            }));
            let reasons = response.diagnostics().reason().map(rule);
            match response.decision() {
                Decision::Allow => permit.extend(reasons),
                Decision::Deny => forbid.extend(reasons),
            }
        }
        let denied = !forbid.is_empty();
        forbid.extend(failed);
        Verdict::new(forbid, permit, denied)
    }
}

impl Part {
    fn if_forbid(&self, id: &PolicyId) -> Option<Rule> {
        let permits = self.set.policy(id).is_some_and(|policy| policy.effect() == Effect::Permit);
        (!permits).then(|| rule(id))
    }
}

fn rule(id: &PolicyId) -> Rule {
    let text: &str = id.as_ref();
    Rule::policy(text.into())
}
