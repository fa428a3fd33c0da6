//! Keeps the keys in memory as they are in the record: reads them every two seconds, changes them when a time has come or
//! somebody rotated or withdrew one, and makes the next signing key when the last is old enough.
//!
//! While the record is away the last keys stay; but a key may have been withdrawn meanwhile, so what was read too long
//! ago is not fresh ([`Freshness`]), and who relies on it answers 503 (product.md, P-2). Must never make a key where
//! there was none: a record without keys is an error.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::keys::{KeyId, KeyRing, Keys, MasterKey};
use protocol::world::{CLOCK_MAY_DIFFER, Clock, Entropy, Freshness, Timestamp};
use store::{KeyPurpose, KeyRecord, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::reseal::Sealing;
use super::{Change, KeysError, Rotated, When, lifecycle, load_or_create, open};

/// How often the keys are read. With what a reading may take, it is less than the T of product.md, P-2.
const EVERY: Duration = Duration::from_secs(2);
/// The same while they cannot be read.
const AGAIN: Duration = Duration::from_millis(500);
/// Nodes that start together do not read together for ever.
const JITTER_MILLIS: u64 = 200;

/// From what on a difference of clocks is told.
const JUMPED: Duration = Duration::from_secs(30);

/// In how many readings it is once looked whether something is to be sealed anew.
const GO_OVER_EVERY: u64 = 15;

/// What the keeper is told.
#[derive(Debug, Clone, Copy)]
pub struct KeeperSettings {
    /// How old a signing key gets; `None` if it is rotated by command only.
    pub signing_rotation: Option<Duration>,
    /// How long a new signing key is published before it signs.
    pub lead_time: Duration,
    /// How long a reading counts (product.md, P-2: T).
    pub freshness: Duration,
    /// Whether an MCP server is to have access tokens that are signed by RS256, so that there must be a key for them.
    pub rs256: bool,
    /// How far our clock may be from that of the record; `None` if nobody is to look.
    pub clocks_apart: Option<Duration>,
}

impl Default for KeeperSettings {
    fn default() -> Self {
        Self {
            signing_rotation: Some(Duration::from_secs(90 * 24 * 60 * 60)),
            lead_time: Duration::from_secs(10 * 60),
            freshness: Duration::from_secs(5),
            rs256: false,
            clocks_apart: Some(CLOCK_MAY_DIFFER),
        }
    }
}

/// What the keeper works with.
#[derive(Debug, Clone)]
pub struct KeeperParts {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The master key, and the previous one while the record goes over.
    pub masters: Arc<KeyRing<MasterKey>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// Keeps the keys.
pub struct Keeper {
    parts: KeeperParts,
    settings: KeeperSettings,
    keys: Arc<ArcSwap<Keys>>,
    freshness: Arc<Freshness>,
    /// Which keys `keys` were made of.
    plan: Mutex<Vec<(KeyId, bool)>>,
    started: Duration,
    /// Held by whoever reads: keys that were read earlier must not come after those that were read later.
    turn: tokio::sync::Mutex<()>,
    /// Somebody changed the keys: read now and not only when the time has come.
    woken: Arc<Notify>,
}

impl Keeper {
    /// Reads the keys, making them if the record is empty.
    ///
    /// # Errors
    /// [`KeysError`] if the master key is another one, or keys are missing or damaged.
    pub async fn open(parts: KeeperParts, settings: KeeperSettings) -> Result<Self, KeysError> {
        let begun = parts.clock.monotonic();
        compare_clocks(&parts, settings.clocks_apart).await?;
        let records =
            load_or_create(&*parts.store, &parts.masters, (&*parts.clock, &*parts.entropy), settings.rs256)
                .await?;
        let now = parts.clock.now();
        let keys = open(&parts.masters, &records, now)?;
        let freshness = Freshness::new(settings.freshness);
        freshness.note(begun);
        Ok(Self {
            parts,
            settings,
            keys: Arc::new(ArcSwap::from_pointee(keys)),
            freshness: Arc::new(freshness),
            plan: Mutex::new(lifecycle::plan(&records, now)),
            started: begun,
            turn: tokio::sync::Mutex::default(),
            woken: Arc::default(),
        })
    }

    /// The keys, exchanged whenever they change.
    #[must_use]
    pub const fn keys(&self) -> &Arc<ArcSwap<Keys>> {
        &self.keys
    }

    /// How lately they were read.
    #[must_use]
    pub const fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// Reads once, and rotates the signing keys if it is time.
    ///
    /// # Errors
    /// If the record does not answer, or a new key does not open: the keys stay as they were, and grow stale.
    pub async fn read(&self) -> Result<(), KeysError> {
        let records = self.take_over().await?;
        for purpose in [KeyPurpose::Signing, KeyPurpose::SigningRs256] {
            if !self.is_due(&records, purpose) {
                continue;
            }
            let lead = When::AfterLead(self.settings.lead_time);
            let now = self.parts.clock.earliest();
            match self.change().add(&records, purpose, now, lead).await? {
                Rotated::Made { id, from } => {
                    tracing::info!(key = %id, ?from, "a new signing key was made");
                }
                // Another node was first, as is usual.
                Rotated::Lost | Rotated::Waiting { .. } => {}
            }
            self.take_over().await?;
        }
        Ok(())
    }

    /// Reads until it is told to stop; its owner runs it as a task of its own.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let woken = Arc::clone(&self.woken);
        self.parts.store.on_keys_changed(Arc::new(move || woken.notify_one()));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.read_for_ever() => {}
        }
    }

    async fn take_over(&self) -> Result<Vec<KeyRecord>, KeysError> {
        let _turn = self.turn.lock().await;
        let begun = self.parts.clock.monotonic();
        let compared = compare_clocks(&self.parts, self.settings.clocks_apart).await;
        match compared {
            Ok(()) => self.freshness.note_clock(false),
            Err(KeysError::ClocksApart { .. }) => self.freshness.note_clock(true),
            // Nobody knows, so what was known stays.
            Err(_) => {}
        }
        compared?;
        let records = self.parts.store.list_keys().await?;
        let now = self.parts.clock.now();
        let plan = lifecycle::plan(&records, now);
        if *self.plan.lock().unwrap_or_else(PoisonError::into_inner) != plan {
            let keys = open(&self.parts.masters, &records, now)?;
            tracing::info!(signing = %keys.signing.active().id(), "the keys have changed");
            self.keys.store(Arc::new(keys));
            *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        }
        self.freshness.note(begun);
        Ok(records)
    }

    /// Whether the youngest signing key will be old when its successor can begin. By the earlier time, if it is in doubt: a
    /// key from ten years ahead would be the youngest for ten years.
    fn is_due(&self, records: &[KeyRecord], purpose: KeyPurpose) -> bool {
        let Some(age) = self.settings.signing_rotation else { return false };
        let ahead: Timestamp = self.parts.clock.earliest().plus(self.settings.lead_time);
        let youngest = records
            .iter()
            .filter(|key| key.purpose == purpose && key.withdrawn_at.is_none())
            .map(|key| key.activates_at)
            .max();
        youngest.is_some_and(|begun| begun.plus(age) <= ahead)
    }

    fn change(&self) -> Change<'_> {
        let parts = &self.parts;
        Change {
            store: &*parts.store,
            masters: &parts.masters,
            clock: &*parts.clock,
            entropy: &*parts.entropy,
        }
    }

    async fn read_for_ever(&self) {
        let (mut failing, mut in_doubt) = (false, false);
        for round in 0_u64.. {
            in_doubt = self.tell_of_jump(in_doubt);
            match tokio::time::timeout(self.settings.freshness, self.read()).await {
                Ok(Ok(())) if failing => {
                    failing = false;
                    tracing::info!("the keys are read again");
                }
                Ok(Ok(())) => {}
                Ok(Err(error @ KeysError::ClocksApart { .. })) => {
                    failing = true;
                    tracing::error!(%error, "nothing is served by a wrong clock");
                }
                Ok(Err(error)) => {
                    failing = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "the keys cannot be read");
                }
                Err(_) => {
                    failing = true;
                    tracing::warn!("the keys cannot be read: the record does not answer");
                }
            }
            if round % GO_OVER_EVERY == 0 {
                self.go_over().await;
            }
            // Sooner while it fails: until the keys are read again nobody is served.
            let pause = if failing { self.pause().min(AGAIN) } else { self.pause() };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.woken.notified() => {}
            }
        }
    }

    /// Says once that the time of day was set, and by how much; whether it is in doubt now.
    fn tell_of_jump(&self, told: bool) -> bool {
        let clock = &self.parts.clock;
        let by = clock.now().since(clock.earliest());
        let in_doubt = by >= JUMPED;
        if in_doubt && !told {
            tracing::warn!(
                seconds = by.as_secs(),
                "the time of day was set: until it has stayed for more than an hour, what ends ends by the later time and \
                 what is removed is removed by the earlier one; a restart believes it at once"
            );
        }
        in_doubt
    }

    /// Seals anew what is still under the previous master key. Not before the lead time has passed since the start: until
    /// then other nodes may be without the new one.
    async fn go_over(&self) {
        let up = self.parts.clock.monotonic().saturating_sub(self.started);
        if self.parts.masters.iter().nth(1).is_none() || up < self.settings.lead_time {
            return;
        }
        let sealing = Sealing { change: self.change(), progress: &|_, _| {} };
        if let Err(error) = sealing.go_over_to_master().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "keys could not be sealed under the new master key; it will be tried again"
            );
        }
    }

    fn pause(&self) -> Duration {
        let mut chance = [0; 1];
        self.parts.entropy.fill(&mut chance);
        let [chance] = chance;
        let less = u64::from(chance) * JITTER_MILLIS / u64::from(u8::MAX);
        EVERY.saturating_sub(Duration::from_millis(less))
    }
}

/// Two nodes of which each is within the bound of the record agree well enough on what is over.
async fn compare_clocks(parts: &KeeperParts, bound: Option<Duration>) -> Result<(), KeysError> {
    let Some(bound) = bound else { return Ok(()) };
    let asked_at = parts.clock.now();
    let Some(there) = parts.store.time().await? else { return Ok(()) };
    // The answer is of some moment between the two.
    let (ahead, behind) = (asked_at.since(there), there.since(parts.clock.now()));
    if ahead.max(behind) <= bound {
        return Ok(());
    }
    Err(KeysError::ClocksApart { ahead: ahead.as_secs(), behind: behind.as_secs(), bound: bound.as_secs() })
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}
