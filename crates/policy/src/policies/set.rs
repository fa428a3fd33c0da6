//! The policies that one kind of question meets, in three readings of what is not known.
//!
//! *Exact*: all is known. *Hopeful*: the arguments are not known yet, as for a list; a forbid that looks at them may not
//! come true, and a permit may. *Fearful*: the arguments cannot be judged; a forbid that looks at them counts as true,
//! and a permit does not.

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect, Entities, PolicyId, PolicySet, Request,
};

use super::library::{Loaded, Whom};
use super::reads::Reads;
use super::slice::Verdict;
use crate::{Person, Rule};

/// The policies that one kind of question meets.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) exact: Reading,
    /// Only where a policy looks at arguments.
    pub(super) hopeful: Option<Reading>,
    pub(super) fearful: Option<Reading>,
}

/// One reading of them.
#[derive(Debug, Default)]
pub(super) struct Reading {
    set: PolicySet,
    /// Whom the heads of the policies mean.
    whom: Vec<Whom>,
    pub(super) reads: Reads,
}

impl Set {
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Loaded> + Clone) -> Self {
        let looks = policies.clone().any(|policy| policy.reads.arguments);
        let reading = |of: &dyn Fn(&Loaded) -> Option<(cedar_policy::Policy, Reads)>| {
            let mut reading = Reading::default();
            for policy in policies.clone() {
                if let Some((read, reads)) = of(policy) {
                    reading.reads = reading.reads.with(reads);
                    if !reading.whom.contains(&policy.whom) {
                        reading.whom.push(policy.whom.clone());
                    }
                    // Ids are unique: that was judged when the files were read.
                    drop(reading.set.add(read));
                }
            }
            reading
        };
        let unsure = |policy: &Loaded, counts: Effect| match (policy.reads.arguments, policy.policy.effect())
        {
            (false, _) => Some((policy.policy.clone(), policy.reads)),
            // A head looks at nothing behind it.
            (true, effect) => (effect == counts).then(|| (policy.head.clone(), Reads::default())),
        };
        Self {
            exact: reading(&|policy| Some((policy.policy.clone(), policy.reads))),
            hopeful: looks.then(|| reading(&|policy| unsure(policy, Effect::Permit))),
            fearful: looks.then(|| reading(&|policy| unsure(policy, Effect::Forbid))),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.set.is_empty()
    }
}

impl Reading {
    /// Whether any head means this person. Most policies mean few people, and then nothing has to be asked.
    pub(super) fn means(&self, person: &Person<'_>) -> bool {
        self.whom.iter().any(|whom| whom.is(person))
    }

    /// What they say.
    pub(super) fn judge(&self, request: &Request, entities: &Entities) -> Verdict {
        let response = Authorizer::new().is_authorized(request, &self.set, entities);
        // Cedar passes over a policy that fails; a forbid that does is one that forbids.
        let failed = response.diagnostics().errors().filter_map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => self.if_forbid(error.policy_id()),
        });
        let reasons = response.diagnostics().reason().map(rule);
        match response.decision() {
            Decision::Allow => Verdict::new(failed.collect(), reasons.collect()),
            Decision::Deny => Verdict::new(reasons.chain(failed).collect(), Vec::new()),
        }
    }

    fn if_forbid(&self, id: &PolicyId) -> Option<Rule> {
        let permits = self.set.policy(id).is_some_and(|policy| policy.effect() == Effect::Permit);
        (!permits).then(|| rule(id))
    }
}

fn rule(id: &PolicyId) -> Rule {
    let text: &str = id.as_ref();
    Rule::policy(text.into())
}
