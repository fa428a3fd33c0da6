//! The circuit breaker of one MCP server: while it is down, calls are refused at once instead of waiting for it one by one.
//!
//! It opens after failures in a row: no connection, no answer in time, a broken or unreadable one, a status of 500 and above.
//! Any other answer shows that the MCP server is there, a refusal of somebody's credential too; a call that its client gave up
//! shows nothing. No one person can open it for others: of failures that a call itself may have caused, one person's count
//! for at most half of what is needed. After a pause one call is let through to try; the pause grows while that fails. Nor can
//! one person keep it open: who tried in vain lets others go first, and by failing again puts nothing off for them.
//! Pure but for its lock: time is handed in. Must never be the reason why an MCP server that answers is not called.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::id::{Id, User};

/// The pause grows to at most so many times the first.
const LONGEST: u32 = 8;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row, each at most `within` after the one before.
    pub failures: NonZeroU32,
    /// Failures that lie further apart are not in a row.
    pub within: Duration,
    /// How long nothing is sent before one call tries again.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN),
            within: Duration::from_secs(60),
            pause: Duration::from_secs(5),
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Calls go through.
    Closed,
    /// One call tries whether the MCP server is back.
    HalfOpen,
    /// Calls are refused at once.
    Open,
}

impl Circuit {
    /// In snake case, for log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// What a call showed of the MCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Showed {
    /// It answers.
    Alive,
    /// It could not be reached: no call can be the cause of that.
    Away,
    /// It took the call and gave no answer, or one that says that it is broken: for this person.
    Failed(Id<User>),
}

/// The breaker of one MCP server.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: Option<BreakerSettings>,
    state: Mutex<State>,
    opened: AtomicU64,
    /// Calls that tried so far: each has a number of its own.
    probes: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed(Row),
    /// Nothing is sent until then, and by the person who tried in vain not for a pause longer.
    Open {
        until: Duration,
        pauses: u32,
        vain: Option<Id<User>>,
    },
    /// A call of this person tries, since then; before it one tried in vain.
    HalfOpen {
        since: Duration,
        pauses: u32,
        probe: u64,
        who: Id<User>,
        vain: Option<Id<User>>,
    },
}

/// Failures in a row.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    away: u32,
    /// Each person counts for so many. Never longer than the number of failures that are needed.
    people: Vec<(Id<User>, u32)>,
    last: Duration,
}

impl Row {
    /// Adds one; whether they are enough now.
    fn add(&mut self, showed: Showed, settings: &BreakerSettings, now: Duration) -> bool {
        if now.saturating_sub(self.last) > settings.within {
            *self = Self::default();
        }
        self.last = now;
        let needed = settings.failures.get();
        match showed {
            Showed::Alive => {}
            Showed::Away => self.away = self.away.saturating_add(1),
            Showed::Failed(user) => match self.people.iter_mut().find(|(person, _)| *person == user) {
                Some((_, count)) => *count = count.saturating_add(1).min(needed.div_ceil(2)),
                None => self.people.push((user, 1)),
            },
        }
        let failed = self.people.iter().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        // One person alone is never enough, however few are needed.
        let of_many = if self.people.len() > 1 { failed } else { failed.min(needed.saturating_sub(1)) };
        self.away.saturating_add(of_many) >= needed
    }
}

/// A change of a breaker, to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turned(pub(crate) Circuit);

/// Leave to try: what the call showed is to be said of it. Dropped before, it showed nothing.
#[must_use]
#[derive(Debug)]
pub(crate) struct Try {
    breaker: Arc<Breaker>,
    /// The number of a call that tries whether the MCP server is back.
    probe: Option<u64>,
    is_over: bool,
}

impl Breaker {
    /// Without settings it never opens.
    pub(crate) const fn new(settings: Option<BreakerSettings>) -> Self {
        let state = Mutex::new(State::Closed(Row::NONE));
        Self { settings, state, opened: AtomicU64::new(0), probes: AtomicU64::new(0) }
    }

    /// Whether it was made from the same.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.settings == other.settings
    }

    /// Lets a call of this person through, or says when to come again; and what changed by that.
    pub(crate) fn enter(
        self: &Arc<Self>,
        user: Id<User>,
        now: Duration,
    ) -> (Result<Try, Duration>, Option<Turned>) {
        let pass = |probe| Ok(Try { breaker: Arc::clone(self), probe, is_over: false });
        let Some(settings) = self.settings else { return (pass(None), None) };
        let mut state = self.lock();
        let (until, pauses, vain, turned) = match &*state {
            State::Closed(_) => return (pass(None), None),
            State::Open { until, pauses, vain } => (*until, *pauses, *vain, Some(Turned(Circuit::HalfOpen))),
            // A call that tries may take long, and it may be one that always does: after a pause another one tries.
            State::HalfOpen { since, pauses, who, .. } => {
                (since.saturating_add(settings.pause), *pauses, Some(*who), None)
            }
        };
        let until = if vain == Some(user) { until.saturating_add(settings.pause) } else { until };
        if now < until {
            return (Err(until.saturating_sub(now)), None);
        }
        let probe = self.probes.fetch_add(1, Ordering::Relaxed);
        *state = State::HalfOpen { since: now, pauses, probe, who: user, vain };
        (pass(Some(probe)), turned)
    }

    /// How long this person will not be let through, if that is so now. Lets nobody through itself.
    pub(crate) fn closed_for(&self, user: Id<User>, now: Duration) -> Option<Duration> {
        let pause = self.settings?.pause;
        let (until, vain) = match &*self.lock() {
            State::Closed(_) => return None,
            State::HalfOpen { since, who, .. } => (since.saturating_add(pause), Some(*who)),
            State::Open { until, vain, .. } => (*until, *vain),
        };
        let until = if vain == Some(user) { until.saturating_add(pause) } else { until };
        until.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Where it stands.
    pub(crate) fn circuit(&self) -> Circuit {
        match &*self.lock() {
            State::Closed(_) => Circuit::Closed,
            State::HalfOpen { .. } => Circuit::HalfOpen,
            State::Open { .. } => Circuit::Open,
        }
    }

    /// How often it has opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn saw(&self, showed: Showed, probe: Option<u64>, now: Duration) -> Option<Turned> {
        let settings = self.settings?;
        let mut state = self.lock();
        let next = match (&mut *state, probe) {
            (State::Closed(row), None) => match showed {
                Showed::Alive => {
                    *row = Row::default();
                    None
                }
                Showed::Away | Showed::Failed(_) => {
                    row.add(showed, &settings, now).then(|| open(&settings, 0, None, now))
                }
            },
            // Any call that tries may find it well; only the last of them may find that it is not, so that one that hangs does
            // not undo what a later one may find.
            (State::HalfOpen { .. }, Some(_)) if showed == Showed::Alive => {
                Some(State::Closed(Row::default()))
            }
            (State::HalfOpen { pauses, probe: last, vain, .. }, Some(probe)) if *last == probe => {
                Some(match showed {
                    // It may be this person's call that it does not bear: the next one's shows it.
                    Showed::Failed(user) if *vain == Some(user) => {
                        State::Open { until: now, pauses: *pauses, vain: *vain }
                    }
                    Showed::Failed(user) => open(&settings, pauses.saturating_add(1), Some(user), now),
                    Showed::Alive | Showed::Away => open(&settings, pauses.saturating_add(1), None, now),
                })
            }
            // A call that was on its way when it opened, or a try that was overtaken, tells of another time.
            (State::Closed(_) | State::HalfOpen { .. } | State::Open { .. }, None | Some(_)) => None,
        }?;
        let circuit = match next {
            State::Closed(_) => Circuit::Closed,
            State::HalfOpen { .. } => Circuit::HalfOpen,
            State::Open { .. } => Circuit::Open,
        };
        let was_half_open = matches!(*state, State::HalfOpen { .. });
        if circuit == Circuit::Open && !was_half_open {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        *state = next;
        Some(Turned(circuit))
    }

    /// A try that showed nothing: the next call of somebody else tries at once.
    fn gave_up(&self, probe: u64) {
        let mut state = self.lock();
        match &*state {
            State::HalfOpen { since, pauses, probe: last, who, .. } if *last == probe => {
                *state = State::Open { until: *since, pauses: *pauses, vain: Some(*who) };
            }
            State::Closed(_) | State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    const NONE: Self = Self { away: 0, people: Vec::new(), last: Duration::ZERO };
}

fn open(settings: &BreakerSettings, pauses: u32, vain: Option<Id<User>>, now: Duration) -> State {
    let times = 1_u32.checked_shl(pauses).unwrap_or(LONGEST).min(LONGEST);
    State::Open { until: now.saturating_add(settings.pause.saturating_mul(times)), pauses, vain }
}

impl Try {
    /// What the call showed; and what changed by that.
    pub(crate) fn showed(mut self, showed: Showed, now: Duration) -> Option<Turned> {
        self.is_over = true;
        self.breaker.saw(showed, self.probe, now)
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        if let (Some(probe), false) = (self.probe, self.is_over) {
            self.breaker.gave_up(probe);
        }
    }
}

#[cfg(test)]
mod tests;
