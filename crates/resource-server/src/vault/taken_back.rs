//! What is held of a person who was stopped, or for an MCP server that was, is taken back at whoever gave it (RFC 7009, and GitHub's own
//! way), aside and as far as it goes: in memory alone, a few times, further and further apart, and not longer than it is good.
//!
//! Must never hold up a stop, or take back what somebody else's calls carry.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::secret::Secret;
use protocol::world::Timestamp;
use upstream::oauth_client::Revocated;

use super::givers::Source;
use crate::server::ResourceServer;

/// So many wait at most; what is beyond ends by itself, within the hour.
const MOST: usize = 2_000;
/// The first pause after one that was not taken back; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(5);
/// So often it is tried.
const TRIES: u32 = 6;

/// One that nobody holds any more.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) server: String,
    pub(super) source: Source,
    pub(super) token: Arc<Secret>,
    pub(super) ends: Timestamp,
    tries: u32,
    due: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct TakenBack(Mutex<VecDeque<Over>>);

impl Over {
    pub(super) const fn new(server: String, source: Source, token: Arc<Secret>, ends: Timestamp) -> Self {
        Self { server, source, token, ends, tries: 0, due: Duration::ZERO }
    }
}

impl TakenBack {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Over>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it taken back soon, once. Whether there is room.
    pub(super) fn put(&self, over: Over) -> bool {
        let mut waiting = self.waiting();
        let is_there = waiting.iter().any(|one| Arc::ptr_eq(&one.token, &over.token));
        let has_room = waiting.len() < MOST;
        if has_room && !is_there {
            waiting.push_back(over);
        }
        has_room || is_there
    }

    fn take(&self, now: Duration) -> Vec<Over> {
        let mut waiting = self.waiting();
        let (due, later) = waiting.drain(..).partition::<Vec<_>, _>(|one| one.due <= now);
        waiting.extend(later);
        due
    }
}

impl ResourceServer {
    /// One look at what is to be taken back. Who does not answer is asked about the next one later.
    pub async fn take_back_what_is_over(&self) {
        let (vault, mut away) = (self.vault(), Vec::new());
        let shelf = &vault.shelf;
        for mut over in shelf.over.take(vault.clock.monotonic()) {
            if over.ends <= vault.clock.now() {
                continue;
            }
            let (server, giver) = (over.server.as_str(), over.source.0.name());
            let failed = if away.contains(&over.source) {
                None
            } else {
                match over.source.0.take_back(&over.token).await {
                    Ok(Revocated::NotOffered) => continue,
                    Ok(Revocated::Done) => {
                        vault.credentials.count(server, giver, "revoked");
                        continue;
                    }
                    Err(error) => Some(error),
                }
            };
            if failed.is_some_and(|error| error.is_passing()) {
                away.push(over.source.clone());
            }
            let is_passing = failed.is_none_or(|error| error.is_passing());
            if is_passing && over.tries < TRIES {
                let pause = PAUSE.saturating_mul(1 << over.tries);
                over.tries += 1;
                over.due = vault.clock.monotonic().saturating_add(pause);
                shelf.over.put(over);
                continue;
            }
            vault.credentials.count(server, giver, "not_revoked");
            let reason = failed.map_or("connection_revocation_unreachable", |error| error.reason());
            tracing::warn!(
                server,
                giver,
                reason,
                "a credential of somebody who was stopped is good until it ends"
            );
        }
    }
}
