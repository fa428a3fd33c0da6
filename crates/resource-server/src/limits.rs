//! What may be used of one MCP server (product.md, P-20): calls a minute, calls in progress, bytes of answers an hour; of all
//! together, of each person, of each client; of everything it offers or of one tool.
//!
//! Asked after the policy, so that whoever is not admitted uses nothing up, and before anything is forwarded. All limits are
//! looked at before any is drawn from, and the narrow ones first, so that who is refused by their own takes nothing from
//! others. Counted in memory, per node; what is whole again is forgotten. Must never cut an answer short that has begun.

mod bucket;

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::mcp::CallKind;
use protocol::secret::Hash;
use protocol::world::Clock;
use thiserror::Error;

use self::bucket::{Bucket, Flow};
use crate::call::{Asked, Operation};
use crate::presence::Held;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// How many budgets that are whole again may be kept before they are looked for.
const SLACK: usize = 1024;
/// When to try again after as many calls as may be were in progress.
const SOON: Duration = Duration::from_secs(1);

/// Whose calls share a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    /// Those of one client, whoever uses it.
    Client,
    /// Those of one person, with whatever client.
    Person,
    /// All of them.
    Server,
}

/// One limit of an MCP server. What it does not name it does not limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Of the calls of this tool alone.
    pub tool: Option<String>,
    /// Whose calls count together.
    pub per: Per,
    /// Calls a minute.
    pub calls_per_minute: Option<NonZeroU32>,
    /// Of these at once; as many as in a minute, if it is not said.
    pub calls_at_once: Option<NonZeroU32>,
    /// Calls that are not answered yet.
    pub calls_in_progress: Option<NonZeroU32>,
    /// Bytes of answers an hour.
    pub bytes_per_hour: Option<NonZeroU64>,
}

/// Which budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exhausted {
    /// That of the client.
    #[error("the client used up what it may use of the mcp server")]
    Client,
    /// That of the person.
    #[error("the person used up what they may use of the mcp server")]
    Person,
    /// That of all together.
    #[error("all together used up what may be used of the mcp server")]
    Server,
    /// One of a tool's.
    #[error("what may be used of the tool is used up")]
    Tool,
}

impl Exhausted {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Client, Self::Person, Self::Server, Self::Tool];

    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Client => "limit_of_client",
            Self::Person => "limit_of_person",
            Self::Server => "limit_of_server",
            Self::Tool => "limit_of_tool",
        }
    }

    /// The sentence that the client is told.
    #[must_use]
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Client => "This client used up what a client may use of this MCP server. Wait a little.",
            Self::Person => "You used up what a person may use of this MCP server. Wait a little.",
            Self::Server => "What may be used of this MCP server is used up. Wait a little.",
            Self::Tool => "What may be used of this tool is used up. Wait a little.",
        }
    }
}

/// A budget is used up, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{exhausted}")]
pub struct LimitReached {
    /// Which one.
    pub exhausted: Exhausted,
    /// When there is room again.
    pub retry_after: Duration,
}

/// The limits of one MCP server, and what was used of them.
#[derive(Debug)]
pub(crate) struct Limits {
    /// As they were told.
    told: Vec<Limit>,
    /// The same, the narrow ones first.
    rules: Vec<Rule>,
    clock: Arc<dyn Clock>,
    /// Calls that were refused, in the order of [`Exhausted::ALL`].
    refused: [AtomicU64; Exhausted::ALL.len()],
}

#[derive(Debug)]
struct Rule {
    limit: Limit,
    budgets: Mutex<Budgets>,
}

#[derive(Debug, Default)]
struct Budgets {
    by_key: HashMap<Key, Arc<Budget>>,
    /// How many there were when those that are whole were last removed.
    used: usize,
}

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Client([u8; 32]),
    Person(Id<User>),
    Server,
}

#[derive(Debug, Default)]
struct Budget {
    calls: Bucket,
    bytes: Bucket,
    in_progress: Arc<AtomicU32>,
}

impl Budget {
    fn is_whole(&self, now: Duration) -> bool {
        self.calls.is_whole(now) && self.bytes.is_whole(now)
    }
}

/// One call, as far as limits look at it.
#[derive(Debug, Clone, Copy)]
struct Drawn<'a> {
    user: Id<User>,
    client: &'a str,
    tool: Option<&'a str>,
    /// Somebody waits for its answer.
    is_request: bool,
}

/// What one call holds of the budgets until it is over.
#[derive(Debug)]
pub(crate) struct Toll {
    clock: Arc<dyn Clock>,
    bytes: Vec<(Arc<Budget>, Flow)>,
    _held: Vec<Held>,
}

impl Toll {
    /// So much of the answer has gone through. It is counted although it may be more than is left: an answer that has begun
    /// comes through.
    pub(crate) fn passed(&self, bytes: u64) {
        for (budget, flow) in &self.bytes {
            budget.bytes.charge(*flow, bytes, self.clock.monotonic());
        }
    }
}

impl Limits {
    pub(crate) fn new(told: Vec<Limit>, clock: Arc<dyn Clock>) -> Self {
        let mut rules: Vec<Rule> = told.iter().cloned().map(Rule::new).collect();
        rules.sort_by_key(|rule| (rule.limit.per, rule.limit.tool.is_none()));
        Self { told, rules, clock, refused: Default::default() }
    }

    /// Whether they were made from the same.
    pub(crate) fn are_as(&self, other: &Self) -> bool {
        self.told == other.told
    }

    /// Draws what the call needs, or says which budget has no room for it. Ending a session frees something: it costs nothing.
    pub(crate) fn draw(&self, asked: &Asked) -> Result<Option<Box<Toll>>, LimitReached> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let (tool, is_request) = match &asked.operation {
            Operation::Call { call, .. } => (
                call.name.as_deref().filter(|_| call.method == "tools/call"),
                asked.is_answered_once() && matches!(call.kind, CallKind::Request(_)),
            ),
            Operation::Listen { .. } => (None, false),
            Operation::EndSession { .. } => return Ok(None),
        };
        let access = &asked.who().verdict.access;
        let call = Drawn { user: access.user, client: access.client.as_str(), tool, is_request };
        let (bytes, held) = self.take(call, self.clock.monotonic()).inspect_err(|reached| {
            let all = Exhausted::ALL.iter().zip(&self.refused);
            for (_, count) in all.filter(|(exhausted, _)| **exhausted == reached.exhausted) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        let needed = !(bytes.is_empty() && held.is_empty());
        Ok(needed.then(|| Box::new(Toll { clock: Arc::clone(&self.clock), bytes, _held: held })))
    }

    /// How many calls were refused for want of which budget.
    pub(crate) fn refused(&self) -> [(Exhausted, u64); Exhausted::ALL.len()] {
        let mut counts = Exhausted::ALL.map(|exhausted| (exhausted, 0));
        for ((_, count), counter) in counts.iter_mut().zip(&self.refused) {
            *count = counter.load(Ordering::Relaxed);
        }
        counts
    }

    #[expect(clippy::type_complexity, reason = "the two halves of a `Toll`, in one place")]
    fn take(
        &self,
        call: Drawn<'_>,
        now: Duration,
    ) -> Result<(Vec<(Arc<Budget>, Flow)>, Vec<Held>), LimitReached> {
        let about = self.rules.iter().filter(|rule| rule.is_about(call));
        let drawn: Vec<_> = about.map(|rule| (rule, rule.budget(call, now))).collect();
        let mut held = Vec::new();
        for (rule, budget) in &drawn {
            held.extend(rule.hold(budget, call)?);
            rule.look(budget, now)?;
        }
        let mut bytes = Vec::new();
        for (rule, budget) in drawn {
            rule.draw(&budget, now)?;
            bytes.extend(rule.bytes().map(|flow| (budget, flow)));
        }
        Ok((bytes, held))
    }
}

impl Rule {
    fn new(limit: Limit) -> Self {
        Self { limit, budgets: Mutex::default() }
    }

    fn is_about(&self, call: Drawn<'_>) -> bool {
        self.limit.tool.as_deref().is_none_or(|tool| call.tool == Some(tool))
    }

    fn key(&self, call: Drawn<'_>) -> Key {
        match self.limit.per {
            Per::Client => Key::Client(*Hash::of(call.client.as_bytes()).as_bytes()),
            Per::Person => Key::Person(call.user),
            Per::Server => Key::Server,
        }
    }

    /// The one budget of whoever calls, for as long as it is not whole or anybody holds something of it.
    fn budget(&self, call: Drawn<'_>, now: Duration) -> Arc<Budget> {
        let key = self.key(call);
        // Nothing that runs under the lock can leave the map half changed.
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.by_key.get(&key) {
            return Arc::clone(budget);
        }
        if budgets.by_key.len() >= budgets.used.saturating_mul(2).saturating_add(SLACK) {
            let in_use = |budget: &Arc<Budget>| {
                Arc::strong_count(budget) > 1
                    || Arc::strong_count(&budget.in_progress) > 1
                    || !budget.is_whole(now)
            };
            budgets.by_key.retain(|_, budget| in_use(budget));
            budgets.used = budgets.by_key.len();
        }
        Arc::clone(budgets.by_key.entry(key).or_default())
    }

    fn hold(&self, budget: &Budget, call: Drawn<'_>) -> Result<Option<Held>, LimitReached> {
        match self.limit.calls_in_progress {
            Some(most) if call.is_request => {
                Held::take(&budget.in_progress, most.get()).map(Some).ok_or_else(|| self.reached(SOON))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn look(&self, budget: &Budget, now: Duration) -> Result<(), LimitReached> {
        if let Some((flow, depth)) = self.calls() {
            budget.calls.look(flow, depth, now).map_err(|wait| self.reached(wait))?;
        }
        match self.bytes() {
            Some(flow) => budget.bytes.look(flow, HOUR, now).map_err(|wait| self.reached(wait)),
            None => Ok(()),
        }
    }

    fn draw(&self, budget: &Budget, now: Duration) -> Result<(), LimitReached> {
        match self.calls() {
            Some((flow, depth)) => budget.calls.draw(flow, depth, now).map_err(|wait| self.reached(wait)),
            None => Ok(()),
        }
    }

    /// How fast calls come back, and how long it takes until as many as may come at once are back.
    fn calls(&self) -> Option<(Flow, Duration)> {
        let flow = Flow { count: self.limit.calls_per_minute?.into(), per: MINUTE };
        let at_once = self.limit.calls_at_once.or(self.limit.calls_per_minute)?;
        Some((flow, flow.time_of(at_once.get().into())))
    }

    fn bytes(&self) -> Option<Flow> {
        self.limit.bytes_per_hour.map(|count| Flow { count, per: HOUR })
    }

    fn reached(&self, retry_after: Duration) -> LimitReached {
        let exhausted = match (&self.limit.tool, self.limit.per) {
            (Some(_), _) => Exhausted::Tool,
            (None, Per::Client) => Exhausted::Client,
            (None, Per::Person) => Exhausted::Person,
            (None, Per::Server) => Exhausted::Server,
        };
        LimitReached { exhausted, retry_after }
    }
}

#[cfg(test)]
mod tests;
