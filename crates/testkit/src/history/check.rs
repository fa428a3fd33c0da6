//! The search for an order that explains a history, and the two registers it is explained by.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use super::{Answered, Asked, Entry, Token};

/// Longer histories of one key are a mistake of the test: the set of what is ordered is one number.
const LONGEST: usize = 128;

/// What a key holds, and what each request may do to it.
pub trait Model {
    /// What it holds.
    type State: Clone + Debug + Eq + Hash;

    /// What it holds at first.
    fn start(&self) -> Self::State;

    /// What it may hold after this; nothing if this cannot be, as things are.
    fn after(&self, state: &Self::State, entry: &Entry) -> Vec<Self::State>;
}

/// Whether one order explains the history of one key: each request somewhere between its beginning and its end.
///
/// # Errors
/// The history, if none does.
pub fn explained<M: Model>(model: &M, entries: &[Entry]) -> Result<(), String> {
    // Calls are not of the register: how long they may go on is measured, not ordered.
    let mut entries: Vec<&Entry> = entries.iter().filter(|entry| entry.asked != Asked::Call).collect();
    entries.sort_by_key(|entry| entry.start);
    if entries.len() > LONGEST {
        return Err(format!("{} requests of one key are more than the search takes", entries.len()));
    }
    let mut search = Search { model, entries: &entries, failed: HashSet::new() };
    if search.from(0, &model.start()) {
        return Ok(());
    }
    let lines: Vec<String> = entries
        .iter()
        .map(|e| format!("  {:>5}..{:<5} node {} {:?} -> {:?}", e.start, e.end, e.node, e.asked, e.answered))
        .collect();
    Err(format!("no order explains this history:\n{}", lines.join("\n")))
}

struct Search<'a, M: Model> {
    model: &'a M,
    entries: &'a [&'a Entry],
    failed: HashSet<(u128, M::State)>,
}

impl<M: Model> Search<'_, M> {
    /// Whether the rest can be ordered, when these (as bits) are and the key holds this.
    fn from(&mut self, done: u128, state: &M::State) -> bool {
        let left = || (0..self.entries.len()).filter(move |at| done & (1 << at) == 0);
        let known = |at: &usize| self.entries[*at].answered != Answered::Unknown;
        // Nothing may go before what had ended before it began; what was never answered ends never.
        let Some(first_end) = left().filter(known).map(|at| self.entries[at].end).min() else { return true };
        if self.failed.contains(&(done, state.clone())) {
            return false;
        }
        let mut next: Vec<usize> = left().filter(|at| self.entries[*at].start < first_end).collect();
        // Of those that ask the same and got the same, the one that ended first is the most urgent.
        next.sort_by_key(|at| self.entries[*at].end);
        // What changes nothing hinders nothing: if any order is right, then one that begins with it.
        let changes_nothing =
            |at: &usize| self.model.after(state, self.entries[*at]).as_slice() == std::slice::from_ref(state);
        if let Some(at) = next.iter().copied().find(changes_nothing) {
            next = vec![at];
        }
        let mut tried: Vec<(Asked, Answered)> = Vec::new();
        for at in next {
            let kind = (self.entries[at].asked, self.entries[at].answered);
            if tried.contains(&kind) {
                continue;
            }
            tried.push(kind);
            let after = self.model.after(state, self.entries[at]);
            if after.iter().any(|after| self.from(done | (1 << at), after)) {
                return true;
            }
        }
        self.failed.insert((done, state.clone()));
        false
    }
}

/// A code: redeemed once; dead after so many wrong attempts (attacks.md, D-2).
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// How many wrong attempts it bears.
    pub attempts: u8,
}

impl Model for Code {
    /// Whether it is redeemed, and how many wrong attempts there were.
    type State = (bool, u8);

    fn start(&self) -> (bool, u8) {
        (false, 0)
    }

    fn after(&self, &(redeemed, wrong): &(bool, u8), entry: &Entry) -> Vec<(bool, u8)> {
        let spent = redeemed || wrong >= self.attempts;
        let counted = (redeemed, if redeemed { wrong } else { wrong.saturating_add(1) });
        match (entry.asked, entry.answered) {
            (Asked::Redeem { right: true }, Answered::Tokens(_)) if !spent => vec![(true, wrong)],
            (Asked::Redeem { right: true }, Answered::Unknown) if !spent => {
                vec![(true, wrong), (redeemed, wrong)]
            }
            (Asked::Redeem { .. }, Answered::Refused | Answered::Unknown) if spent => vec![(redeemed, wrong)],
            (Asked::Redeem { right: false }, Answered::Refused) => vec![counted],
            (Asked::Redeem { right: false }, Answered::Unknown) => vec![counted, (redeemed, wrong)],
            (
                Asked::Redeem { .. } | Asked::Call | Asked::Refresh(_) | Asked::Revoke,
                Answered::Done | Answered::Refused | Answered::Tokens(_) | Answered::Unknown,
            ) => Vec::new(),
        }
    }
}

/// A token family, from its first refresh token on. A repeat of the last token is answered with the same successor: the
/// history is shorter than the time in which that holds.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its first refresh token.
    pub first: Token,
}

/// What a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The live token, unless nobody has seen it yet.
    live: Option<Token>,
    /// The one before.
    last: Option<Token>,
    ended: bool,
}

impl Family {
    fn refreshed(held: &Held, token: Token, answered: Answered) -> Vec<Held> {
        let is_live = held.live == Some(token);
        let is_last = held.last == Some(token);
        let over = Held { ended: true, ..*held };
        let rotated = |live| Held { live, last: Some(token), ended: false };
        match answered {
            Answered::Refused | Answered::Unknown if held.ended => vec![*held],
            Answered::Tokens(next) if !held.ended && is_live && next != token => vec![rotated(Some(next))],
            // The same successor once more, or the first time that it is seen.
            Answered::Tokens(next) if !held.ended && is_last && held.live.is_none_or(|live| live == next) => {
                vec![rotated(Some(next))]
            }
            // An older one is a theft, and ends the family.
            Answered::Refused if !is_live && !is_last => vec![over],
            Answered::Unknown if is_live => vec![rotated(None), *held],
            Answered::Unknown if !is_last => vec![over, *held],
            Answered::Unknown => vec![*held],
            Answered::Done | Answered::Refused | Answered::Tokens(_) => Vec::new(),
        }
    }
}

impl Model for Family {
    type State = Held;

    fn start(&self) -> Held {
        Held { live: Some(self.first), last: None, ended: false }
    }

    fn after(&self, held: &Held, entry: &Entry) -> Vec<Held> {
        let over = Held { ended: true, ..*held };
        match (entry.asked, entry.answered) {
            (Asked::Refresh(token), answered) => Self::refreshed(held, token, answered),
            (Asked::Revoke, Answered::Done) => vec![over],
            (Asked::Revoke, Answered::Unknown) => vec![over, *held],
            (Asked::Revoke, Answered::Refused | Answered::Tokens(_))
            | (
                Asked::Call | Asked::Redeem { .. },
                Answered::Done | Answered::Refused | Answered::Tokens(_) | Answered::Unknown,
            ) => Vec::new(),
        }
    }
}
