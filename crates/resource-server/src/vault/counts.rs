//! How often what became of connections, and of credentials that are obtained, for `/metrics`: nobody's name is ever a label.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// The person has to connect again.
    Dead,
    /// The person ended it.
    Ended,
    /// An account was connected.
    Made,
    /// Another credential was given in exchange.
    Refreshed,
    /// An account was not connected.
    Refused,
    /// The provider was told of its end.
    Revoked,
    /// The provider had nothing to give at the moment.
    Unavailable,
}

/// All of them, with the word for the metric.
const ALL: [(Became, &str); 7] = [
    (Became::Dead, "dead"),
    (Became::Ended, "ended"),
    (Became::Made, "made"),
    (Became::Refreshed, "refreshed"),
    (Became::Refused, "refused"),
    (Became::Revoked, "revoked"),
    (Became::Unavailable, "unavailable"),
];

/// The counters, since the start.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts([AtomicU64; ALL.len()]);

impl ConnectionCounts {
    pub(crate) fn count(&self, became: Became) {
        let place = ALL.iter().position(|(one, _)| *one == became);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every outcome with how often it was.
    pub(crate) fn snapshot(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ALL.iter().zip(&self.0).map(|((_, word), counter)| (*word, counter.load(Ordering::Relaxed)))
    }
}

/// How often what became of credentials that are obtained for one MCP server, since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialCount {
    /// The MCP server, by its name in the configuration.
    pub server: String,
    /// The form of the credential.
    pub giver: &'static str,
    /// What became of it: `given`, `refused` or `failed` when one was asked for; `revoked` or `not_revoked` when it was to be taken back.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

/// The counters of those: no more than there are names in the configuration.
#[derive(Debug, Default)]
pub(crate) struct CredentialCounts(Mutex<BTreeMap<(String, &'static str, &'static str), u64>>);

impl CredentialCounts {
    pub(crate) fn count(&self, server: &str, giver: &'static str, outcome: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((server.to_owned(), giver, outcome)).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Vec<CredentialCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |((server, giver, outcome), count): (&(String, &'static str, &'static str), &u64)| {
            CredentialCount { server: server.clone(), giver, outcome, count: *count }
        };
        counts.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_as_itself() {
        let counts = ConnectionCounts::default();
        for (times, (became, _)) in ALL.iter().enumerate() {
            (0..times).for_each(|_| counts.count(*became));
        }
        let expected: Vec<_> = ALL.iter().zip(0_u64..).map(|((_, word), times)| (*word, times)).collect();
        assert_eq!(counts.snapshot().collect::<Vec<_>>(), expected);
    }
}
