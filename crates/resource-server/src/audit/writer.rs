//! The one task that writes the audit events of calls into the record, in batches, each batch packed into a block.
//!
//! The task sleeps while a batch gathers: being woken by every event would cost more than writing it. A batch is
//! written when its first event is a quarter of a second old, in pieces, so that other writes get between. If the
//! record fails, the same block is tried again until it is there: an event may come late, but not never, and an id is
//! made once. A call that another node took for lost meanwhile has its event already: how it ended is told beside it.
//! Must never drop an event while the process is to go on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::world::{Clock, Entropy, Timestamp};
use store::{
    Appended, AuditBlock, AuditEvent, AuditKind, AuditSubject, CallBatch, CallEvent, Outcome, SharedSubject,
    Store,
};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::CallRecord;
use crate::counts::Counters;

const BATCH: usize = 1024;
const LINGER: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long calls in progress may take to end once we are told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How often the last batches are tried when we are told to stop.
const LAST_TRIES: u32 = 5;
/// How many pairs of person and address share their personal data with earlier events.
const SUBJECTS: usize = 4096;
const HOUR: i64 = 3600;

type EventId = Id<protocol::id::AuditEvent>;

/// Writes the events of calls; its owner runs it as a task of its own.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    events: Receiver<CallRecord>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counters: Arc<Counters>,
    batch: Vec<CallRecord>,
    subjects: Subjects,
    closed_at: Option<Duration>,
}

/// A batch, and under which ids it is told: they are made once.
#[derive(Debug)]
struct Batch<'a> {
    records: &'a [CallRecord],
    /// Of each record that of its event, and that of its personal data if it shares it.
    ids: Vec<(EventId, Option<[u8; 16]>)>,
    subjects: Vec<SharedSubject>,
    /// Whose intents are over.
    over: Vec<EventId>,
    /// Of these, the ones that have an event already.
    late: Vec<EventId>,
}

/// The same as the record takes it.
#[derive(Debug)]
struct Packed {
    blocks: Vec<AuditBlock>,
    /// Calls of which arguments are kept, and late ones: rows of their own.
    rows: Vec<AuditEvent>,
}

impl AuditWriter {
    pub(crate) fn new(
        events: Receiver<CallRecord>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        counters: Arc<Counters>,
    ) -> Self {
        let (batch, subjects) = (Vec::with_capacity(BATCH), Subjects::default());
        Self { events, store, clock, entropy, counters, batch, subjects, closed_at: None }
    }

    /// Writes until it is told to stop, then what is still in the queue. Stop it after the last connection.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while self.gather(&shutdown).await {
            let records = std::mem::take(&mut self.batch);
            let batch = self.name(&records);
            if !self.write(batch, &shutdown).await {
                tracing::error!(lost = records.len(), "audit events lost");
            }
            // The room is kept for the next batch.
            self.batch = records;
            self.batch.clear();
        }
    }

    /// Waits for a batch. `false` when there will be none any more.
    async fn gather(&mut self, shutdown: &CancellationToken) -> bool {
        if self.closed_at.is_none() {
            tokio::select! {
                biased;
                count = self.events.recv_many(&mut self.batch, BATCH) => if count == 0 { return false },
                () = shutdown.cancelled() => {
                    self.events.close();
                    self.closed_at = Some(self.clock.monotonic());
                }
            }
        }
        if let Some(closed_at) = self.closed_at {
            let left = DRAIN.saturating_sub(self.clock.monotonic().saturating_sub(closed_at));
            let count = tokio::time::timeout(left, self.events.recv_many(&mut self.batch, BATCH)).await;
            return count.is_ok_and(|count| count > 0);
        }
        // A full piece means that more is waiting, and has waited long enough.
        if self.batch.len() < BATCH {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LINGER) => {}
            }
            while self.batch.len() < BATCH
                && let Ok(record) = self.events.try_recv()
            {
                self.batch.push(record);
            }
        }
        true
    }

    fn name<'a>(&mut self, records: &'a [CallRecord]) -> Batch<'a> {
        let chance = Chance::new(&*self.entropy);
        let mut subjects = Vec::new();
        let mut ids = Vec::with_capacity(records.len());
        for record in records {
            let shares = record.arguments.is_none();
            let subject = shares.then(|| self.subjects.subject(record, &*self.entropy, &mut subjects));
            ids.push((record.intended.unwrap_or_else(|| Id::mint(record.at, &chance)), subject));
        }
        let over = records.iter().filter_map(|record| record.intended).collect();
        Batch { records, ids, subjects, over, late: Vec::new() }
    }

    fn pack(&self, batch: &Batch<'_>) -> Packed {
        let mut events = Vec::with_capacity(batch.records.len());
        let mut rows = Vec::new();
        for (record, (id, subject)) in batch.records.iter().zip(&batch.ids) {
            match subject {
                _ if batch.late.contains(id) => rows.push(self.late(record, *id)),
                Some(subject) => events.push(event(record, *id, *subject)),
                None => rows.push(row(record, *id, &*self.entropy)),
            }
        }
        Packed { blocks: AuditBlock::pack(events), rows }
    }

    /// How a call ended of which an event says already that nobody knows. It is of the time when it is told.
    fn late(&self, record: &CallRecord, call: EventId) -> AuditEvent {
        let now = self.clock.now();
        let mut event = row(record, Id::mint(now, &*self.entropy), &*self.entropy);
        (event.at, event.kind) = (now, AuditKind::CallEnded);
        event.detail.insert("call", call.to_string());
        event
    }

    /// Tries until it is written. `false` if it was given up, which is only when we are told to stop.
    async fn write(&self, mut batch: Batch<'_>, shutdown: &CancellationToken) -> bool {
        let mut packed = self.pack(&batch);
        let mut pause = FIRST_PAUSE;
        let mut last_tries = 0;
        loop {
            let calls = CallBatch {
                blocks: &packed.blocks,
                rows: &packed.rows,
                subjects: &batch.subjects,
                over: &batch.over,
                late: &batch.late,
            };
            let error = match self.store.append_calls(calls).await {
                Ok(Appended::Done) => return true,
                Ok(Appended::Settled(late)) => {
                    tracing::warn!(
                        calls = late.len(),
                        "this node was taken for gone while these calls went on"
                    );
                    batch.late = late;
                    packed = self.pack(&batch);
                    continue;
                }
                Err(error) => error,
            };
            self.counters.count_audit_retry();
            last_tries += u32::from(shutdown.is_cancelled());
            tracing::warn!(error = &error as &dyn std::error::Error, "audit not written");
            if last_tries >= LAST_TRIES {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

fn event(record: &CallRecord, id: EventId, subject: [u8; 16]) -> CallEvent<'_> {
    let who = &record.who;
    let access = &who.verdict.access;
    CallEvent {
        id,
        at: record.at,
        outcome: record.outcome(),
        reason: record.policy.as_deref().or(record.reason),
        user: Some(access.user),
        client_id: Some(access.client.as_str()),
        server: Some(who.server.name()),
        grant: Some(access.grant),
        subject: Some(subject),
        method: &record.method,
        name: record.name.as_deref(),
        status: record.status,
        duration_ms: u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX),
        bytes: record.bytes,
    }
}

/// The same as a row, with the arguments that are kept. Its personal data is its own, and goes with it.
fn row(record: &CallRecord, id: EventId, entropy: &dyn Entropy) -> AuditEvent {
    let (who, outcome) = (&record.who, record.outcome());
    let access = &who.verdict.access;
    let kind = match outcome {
        Outcome::Refused => AuditKind::CallRefused,
        Outcome::Failed | Outcome::Ok | Outcome::Unknown => AuditKind::Call,
    };
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let mut event = AuditEvent::new(id, record.at, kind, outcome);
    event.reason = record.reason;
    event.policy = record.policy.as_deref().map(str::to_owned);
    event.user = Some(access.user);
    event.client_id = Some(access.client.as_str().to_owned());
    event.server = Some(who.server.name().to_owned());
    event.grant = Some(access.grant);
    event.subject = Some(AuditSubject {
        salt,
        name: who.person.email.clone().or_else(|| who.person.name.clone()),
        address: Some(who.address.to_string()),
    });
    event.detail = [
        ("arguments", record.arguments.clone()),
        ("bytes", Some(record.bytes.to_string())),
        ("duration_ms", Some(record.duration.as_millis().to_string())),
        ("method", Some(record.method.clone())),
        ("name", record.name.clone()),
        ("status", Some(record.status.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    event
}

/// Chance for the ids of one batch, drawn in large pieces: an id is no secret, and a draw costs more than the rest of it.
#[derive(Debug)]
struct Chance<'a> {
    source: &'a dyn Entropy,
    drawn: Mutex<Vec<u8>>,
}

impl<'a> Chance<'a> {
    /// Enough for some thirty ids.
    const PIECE: usize = 320;

    const fn new(source: &'a dyn Entropy) -> Self {
        Self { source, drawn: Mutex::new(Vec::new()) }
    }
}

impl Entropy for Chance<'_> {
    fn fill(&self, buffer: &mut [u8]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() > Self::PIECE {
            return self.source.fill(buffer);
        }
        if drawn.len() < buffer.len() {
            drawn.resize(Self::PIECE, 0);
            self.source.fill(&mut drawn);
        }
        let rest = drawn.len() - buffer.len();
        for (byte, chance) in buffer.iter_mut().zip(drawn.drain(rest..)) {
            *byte = chance;
        }
    }
}

/// Personal data that several events share, salted with chance: an id made from an address alone would give it away.
/// Forgotten each hour, so that what is blotted out in the record is not what later events point to.
#[derive(Debug, Default)]
struct Subjects {
    known: HashMap<(Id<User>, IpAddr), [u8; 16]>,
    hour: i64,
}

impl Subjects {
    /// Its id; what has not gone to the record before goes to `new`. It is not written again later, or what was
    /// blotted out would come back.
    fn subject(
        &mut self,
        record: &CallRecord,
        entropy: &dyn Entropy,
        new: &mut Vec<SharedSubject>,
    ) -> [u8; 16] {
        let hour = record.at.secs() / HOUR;
        if hour > self.hour || self.known.len() >= SUBJECTS {
            self.known.clear();
            self.hour = self.hour.max(hour);
        }
        // A call that began in the next hour finds none of these.
        let until = Timestamp::from_secs((self.hour + 1) * HOUR);
        let (person, address) = (&record.who.person, record.who.address);
        *self.known.entry((person.user, address)).or_insert_with(|| {
            let mut salt = [0; 16];
            entropy.fill(&mut salt);
            let name = person.email.clone().or_else(|| person.name.clone());
            let subject = AuditSubject { salt, name, address: Some(address.to_string()) };
            let id = subject.id();
            new.push(subject.shared_until(until));
            id
        })
    }
}
