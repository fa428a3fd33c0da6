//! Intent before effect (product.md, P-18; attacks AD-11): a call that may change something is in the record, durable,
//! before it is forwarded. What cannot be written down is not forwarded.
//!
//! Whoever comes while a write is on its way waits for the next one, which takes all that have come: one commit for many
//! calls, and for each call one commit. Must never write for a call that only reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use protocol::id::Id;
use protocol::world::{Clock, Entropy};
use store::{CallIntent, Store};
use tokio_util::sync::CancellationToken;

use super::Entry;
use crate::reason::CallReason;

/// How long a call waits to be written down: who asks us is answered within two seconds also when the record is not.
const PATIENCE: Duration = Duration::from_millis(1800);
/// Most calls in one write.
const AT_ONCE: usize = 256;
/// How often this node tells that it is there, so that its calls are not taken for lost.
const HEARD_EVERY: Duration = Duration::from_secs(15);

/// Calls that are to be written down, and what writes them.
#[derive(Debug)]
pub(crate) struct Intents {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// This process, from its start to its end.
    node: [u8; 16],
    waiting: Mutex<Vec<Arc<Waiting>>>,
    /// Held by the one who writes for all.
    turn: tokio::sync::Mutex<()>,
    /// Whether anything was ever written: only then is there something to be taken for lost.
    has_written: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    intent: CallIntent,
    /// Whether it was written.
    written: OnceLock<bool>,
}

impl Intents {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let mut node = [0; 16];
        entropy.fill(&mut node);
        let (waiting, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { store, clock, entropy, node, waiting, turn, has_written: AtomicBool::new(false) }
    }

    /// Has the call written down before it is forwarded.
    pub(crate) async fn write(&self, entry: &mut Entry) -> Result<(), CallReason> {
        let id = Id::mint(entry.at, &*self.entropy);
        // From here on the event of the call takes the intent away, whether or not we hear that it was written.
        entry.intended = Some(id);
        let access = &entry.who.verdict.access;
        let person = &entry.who.person;
        let intent = CallIntent {
            id,
            at: entry.at,
            user: access.user,
            client_id: access.client.as_str().to_owned(),
            server: entry.who.server.name().to_owned(),
            grant: access.grant,
            method: entry.method.clone(),
            called: entry.name.clone(),
            name: person.email.clone().or_else(|| person.name.clone()),
            address: Some(entry.who.address.to_string()),
        };
        let mine = Arc::new(Waiting { intent, written: OnceLock::new() });
        self.lock().push(Arc::clone(&mine));
        let _leaves = Leaves { intents: self, mine: &mine };
        match tokio::time::timeout(PATIENCE, self.until_written(&mine)).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(CallReason::AuditUnavailable),
        }
    }

    /// Waits until somebody has written it, or writes it with all that wait.
    async fn until_written(&self, mine: &Waiting) -> bool {
        loop {
            let _turn = self.turn.lock().await;
            if let Some(written) = mine.written.get() {
                return *written;
            }
            let some: Vec<Arc<Waiting>> = self.lock().iter().take(AT_ONCE).map(Arc::clone).collect();
            let intents: Vec<CallIntent> = some.iter().map(|one| one.intent.clone()).collect();
            let written = self.store.append_intents(self.node, &intents, self.clock.earliest()).await;
            self.has_written.store(true, Ordering::Relaxed);
            if let Err(error) = &written {
                tracing::warn!(error = error as &dyn std::error::Error, "calls not written down are refused");
            }
            for one in &some {
                // Answered once; a call that left meanwhile hears it no more.
                let _ = one.written.set(written.is_ok());
            }
            self.lock().retain(|one| one.written.get().is_none());
        }
    }

    /// Tells that this node is there, until it is told to stop.
    pub(super) async fn be_heard(&self, shutdown: &CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(HEARD_EVERY) => {}
            }
            if self.has_written.load(Ordering::Relaxed)
                && let Err(error) = self.store.note_node(self.node, self.clock.earliest()).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "this node could not be written down"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever gives up waiting is not written down by others any more.
struct Leaves<'a> {
    intents: &'a Intents,
    mine: &'a Arc<Waiting>,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.intents.lock().retain(|one| !Arc::ptr_eq(one, self.mine));
    }
}

#[cfg(test)]
mod tests;
