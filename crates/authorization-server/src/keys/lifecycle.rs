//! The life of a key: it waits, works, is still read, and is gone (product.md, P-15), as a pure function of the record
//! and the time.
//!
//! Of the keys of one purpose the one that works is the last whose time has come and that was not withdrawn; those before
//! it are read as long as anything they made can be alive. Must never depend on which node asks.

use std::time::Duration;

use protocol::keys::KeyId;
use protocol::world::Timestamp;
use store::{KeyPurpose, KeyRecord};

use crate::Lifetimes;

/// How far clocks of nodes and of MCP servers that check tokens themselves may differ.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// No form of ours is older than the longest sign-in that can be configured.
const FORMS: Duration = Duration::from_secs(2 * 60 * 60);
/// No grant lives longer, whatever is configured.
const GRANTS: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It makes.
    Active,
    /// Nothing that it made can be alive: it is read no more.
    Gone {
        /// Since when.
        since: Timestamp,
    },
    /// It is known and published, so that it can be read everywhere when it begins to make.
    Pending {
        /// When it begins.
        from: Timestamp,
    },
    /// It makes nothing new and is still read.
    Retired {
        /// Until when; `None` for ever.
        until: Option<Timestamp>,
    },
    /// What it made counts no more.
    Withdrawn {
        /// Since when.
        since: Timestamp,
    },
}

impl KeyState {
    /// Whether it is read: verifies, opens, or is published.
    #[must_use]
    pub const fn is_read(self) -> bool {
        match self {
            Self::Active | Self::Pending { .. } | Self::Retired { .. } => true,
            Self::Gone { .. } | Self::Withdrawn { .. } => false,
        }
    }
}

/// How long a key is read after it has stopped making.
///
/// The audit may be kept for ever, client ids have no end (P-4), and sessions of MCP servers, which are sealed and stand in no table, have none that we
/// know of.
#[must_use]
pub const fn read_for(purpose: KeyPurpose) -> Option<Duration> {
    match purpose {
        KeyPurpose::Audit | KeyPurpose::ClientIds | KeyPurpose::Sealing => None,
        KeyPurpose::Forms => Some(FORMS),
        KeyPurpose::RefreshTokens => Some(GRANTS),
        // An access token; an identity assertion is shorter.
        KeyPurpose::Signing | KeyPurpose::SigningRs256 => {
            Some(Lifetimes::LONGEST_ACCESS_TOKEN.saturating_add(SKEW))
        }
    }
}

/// The keys of one purpose in the order in which they work, each with its state.
#[must_use]
pub fn states(records: &[KeyRecord], purpose: KeyPurpose, now: Timestamp) -> Vec<(&KeyRecord, KeyState)> {
    let mut of_purpose: Vec<&KeyRecord> = records.iter().filter(|key| key.purpose == purpose).collect();
    of_purpose.sort_by_key(|key| (key.activates_at, key.created_at, key.id));
    let counting: Vec<&KeyRecord> =
        of_purpose.iter().copied().filter(|key| key.withdrawn_at.is_none()).collect();
    let working = working(&counting, now).map(|key| key.id);
    let mut before = true;
    let mut state = |key: &KeyRecord| {
        if let Some(since) = key.withdrawn_at {
            return KeyState::Withdrawn { since };
        }
        if working == Some(key.id) {
            before = false;
            return KeyState::Active;
        }
        let retired = retired_since(&counting, key).filter(|_| before || key.retired_at.is_some());
        match (retired, read_for(purpose)) {
            (None, _) => KeyState::Pending { from: key.activates_at },
            (Some(_), None) => KeyState::Retired { until: None },
            (Some(since), Some(longer)) if since.plus(longer) <= now => {
                KeyState::Gone { since: since.plus(longer) }
            }
            (Some(since), Some(longer)) => KeyState::Retired { until: Some(since.plus(longer)) },
        }
    };
    of_purpose.into_iter().map(|key| (key, state(key))).collect()
}

/// The last one whose time has come. A node whose clock is far behind takes the first there is: it must have one.
fn working<'a>(counting: &[&'a KeyRecord], now: Timestamp) -> Option<&'a KeyRecord> {
    let able = || counting.iter().copied().filter(|key| key.retired_at.is_none_or(|at| at > now));
    able().rfind(|key| key.activates_at <= now).or_else(|| able().next())
}

/// When the next one took over, or when it was told to stop.
fn retired_since(counting: &[&KeyRecord], key: &KeyRecord) -> Option<Timestamp> {
    let next = counting.iter().skip_while(|other| other.id != key.id).nth(1).map(|next| next.activates_at);
    match (next, key.retired_at) {
        (Some(next), Some(told)) => Some(next.min(told)),
        (next, told) => next.or(told),
    }
}

/// Which keys are read and which one makes: the same list means the same keys, whatever else was written.
#[must_use]
pub(super) fn plan(records: &[KeyRecord], now: Timestamp) -> Vec<(KeyId, bool)> {
    let of = |purpose| states(records, purpose, now);
    KeyPurpose::ALL
        .into_iter()
        .flat_map(of)
        .filter(|(_, state)| state.is_read())
        .map(|(key, state)| (key.id, state == KeyState::Active))
        .chain(withdrawn(records).into_iter().map(|id| (id, false)))
        .collect()
}

/// The signing keys that were withdrawn.
pub(super) fn withdrawn(records: &[KeyRecord]) -> Vec<KeyId> {
    let of_signing =
        records.iter().filter(|key| matches!(key.purpose, KeyPurpose::Signing | KeyPurpose::SigningRs256));
    of_signing.filter(|key| key.withdrawn_at.is_some()).map(|key| key.id).collect()
}
