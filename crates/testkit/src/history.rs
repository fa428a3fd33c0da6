//! What clients did and saw, written down as it happened, and whether any one order of it explains it all
//! (attacks.md, 2.3).
//!
//! A code is a register that is redeemed once. A token family is a register whose value is the live refresh token;
//! revoking is a switch that goes one way. The search is that of Wing and Gong, with a memory of what failed; one key at
//! a time, because histories of one key are short. What was asked and never answered may have happened at any later
//! time, or not at all.

mod check;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::secret::Hash;

pub use check::{Code, Family, Model, explained};

/// A token, known by its hash: a history may be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        let hash = Hash::of(text.as_bytes());
        let bytes = hash.as_bytes().iter().take(8);
        Self(bytes.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A call with an access token of the family.
    Call,
    /// A code, with the right verifier or a wrong one.
    Redeem {
        /// Whether it is the right one.
        right: bool,
    },
    /// A refresh with this token.
    Refresh(Token),
    /// The end of the family.
    Revoke,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is done: a call went through, a revocation is acknowledged.
    Done,
    /// It is refused, and nothing was promised.
    Refused,
    /// Tokens, with this refresh token.
    Tokens(Token),
    /// Nothing, or that the record is away: nobody knows.
    Unknown,
}

/// One request from beginning to end.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The code or family it was about.
    pub key: String,
    /// What was asked.
    pub asked: Asked,
    /// What came back.
    pub answered: Answered,
    /// At which node.
    pub node: usize,
    /// Its place among all beginnings and ends.
    pub start: u64,
    /// The same of its end.
    pub end: u64,
    /// When it began, since the history did.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
}

/// A request that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    node: usize,
    start: u64,
    at: Instant,
}

/// What all clients of a test did.
#[derive(Debug)]
pub struct History {
    ticks: AtomicU64,
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Default for History {
    fn default() -> Self {
        Self { ticks: AtomicU64::new(0), begun: now(), entries: Mutex::default() }
    }
}

#[expect(clippy::disallowed_methods, reason = "what a client measures is measured by a real clock")]
fn now() -> Instant {
    Instant::now()
}

impl History {
    /// A request is about to be sent to a node.
    pub fn begin(&self, node: usize) -> Begun {
        Begun { at: now(), node, start: self.ticks.fetch_add(1, Ordering::SeqCst) }
    }

    /// It was answered, or given up.
    pub fn end(&self, begun: Begun, key: &str, asked: Asked, answered: Answered) {
        let end = self.ticks.fetch_add(1, Ordering::SeqCst);
        let (began, ended) = (begun.at.duration_since(self.begun), now().duration_since(self.begun));
        let entry = Entry {
            key: key.to_owned(),
            asked,
            answered,
            node: begun.node,
            start: begun.start,
            end,
            began,
            ended,
        };
        self.lock().push(entry);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written down so far, by key.
    pub fn by_key(&self) -> BTreeMap<String, Vec<Entry>> {
        let mut all: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in self.lock().iter() {
            all.entry(entry.key.clone()).or_default().push(entry.clone());
        }
        all
    }

    /// How long after the end of an acknowledged revocation a call of the family was still begun and went through: the
    /// longest, over all nodes. A revocation that came too late for some node is what this shows (I-3).
    pub fn slowest_revocation(&self) -> Duration {
        let late = |entries: &Vec<Entry>| {
            let revoked = |entry: &&Entry| entry.asked == Asked::Revoke && entry.answered == Answered::Done;
            let at = entries.iter().filter(revoked).map(|entry| entry.ended).min()?;
            let went_through =
                |entry: &&Entry| entry.asked == Asked::Call && entry.answered == Answered::Done;
            entries.iter().filter(went_through).map(|entry| entry.began.saturating_sub(at)).max()
        };
        self.by_key().values().filter_map(late).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
