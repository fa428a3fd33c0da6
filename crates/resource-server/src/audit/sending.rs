//! The audit, sent to an OpenTelemetry collector (product.md, P-18; attacks F-25): every event once it is sealed, in the order
//! of the seals, from where it ended the last time on whichever node.
//!
//! It reads the record beside the calls and holds nothing up. A collector that is slow, refuses or is away is tried again until
//! it takes what it gets: how far it has come stands in the record, and moves only then. After a fall the last seal may come
//! twice; its events have their ids. Must never try a single event again for ever that a collector calls wrong: what comes after it
//! would never be sent (OTLP/HTTP, "Failures").

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use protocol::world::{Clock, Entropy, Freshness};
use store::{AuditKind, AuditRow, Outcome, Store, StoreError};
use tokio_util::sync::CancellationToken;
use upstream::collector::{Attribute, Collector, CollectorError, Log, Severity};

use crate::counts::Counters;
use crate::server::ResourceServer;

/// How often there is a look for new seals.
const EVERY: Duration = Duration::from_secs(1);
/// How long after a failure, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long what is on its way is waited for at the end.
const LAST: Duration = Duration::from_secs(2);
/// How long a node has the turn without a word: longer than the events of one seal take at the slowest.
const TURN: Duration = Duration::from_secs(300);
/// Events in one request.
const AT_ONCE: usize = 1000;

/// Sends the audit; its owner runs it as a task of its own.
#[derive(Debug)]
struct Sending {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    collector: Arc<Collector>,
    freshness: Arc<Freshness>,
    node: [u8; 16],
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Collector(#[from] CollectorError),
    #[error("the record did not answer: {0}")]
    Store(#[from] StoreError),
}

impl ResourceServer {
    /// Sends the audit to a collector; a task that somebody must own.
    pub async fn send_audit(&self, collector: Arc<Collector>, shutdown: CancellationToken) {
        let (store, counters) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.counters));
        let world = (Arc::clone(&self.clock), &*self.parts.entropy, Arc::clone(self.held_keys.freshness()));
        Sending::new(store, world, counters, collector).run(&shutdown).await;
    }
}

impl Sending {
    fn new(
        store: Arc<dyn Store>,
        (clock, entropy, freshness): (Arc<dyn Clock>, &dyn Entropy, Arc<Freshness>),
        counters: Arc<Counters>,
        collector: Arc<Collector>,
    ) -> Self {
        let mut node = [0; 16];
        entropy.fill(&mut node);
        Self { store, clock, counters, collector, freshness, node }
    }

    /// Sends until it is told to stop. What is sealed after that is sent after the next start.
    async fn run(&self, shutdown: &CancellationToken) {
        let mut failed_for = None;
        loop {
            let mut pass = pin!(self.pass());
            let sent = tokio::select! {
                sent = &mut pass => sent,
                () = shutdown.cancelled() => {
                    // What the collector has taken is written down, so that it does not come twice.
                    if let Ok(Err(error)) = tokio::time::timeout(LAST, pass).await {
                        tracing::debug!(%error, "the audit was not sent to its end");
                    }
                    break;
                }
            };
            let pause = match sent {
                Ok(true) => {
                    if failed_for.take().is_some() {
                        tracing::info!("the collector takes the audit again");
                    }
                    Duration::ZERO
                }
                Ok(false) => EVERY,
                Err(error) => self.stand_back(&error, &mut failed_for),
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        // The next node need not wait until the turn is over.
        if let Err(error) = self.store.take_sending_turn(self.node, self.clock.now(), self.clock.now()).await
        {
            tracing::debug!(%error, "the turn to send the audit was not given back");
        }
    }

    /// How long until it is tried again. Told once, and once a minute.
    fn stand_back(&self, error: &SendError, failed_for: &mut Option<Duration>) -> Duration {
        self.counters.count_audit_send_failure();
        let before = *failed_for;
        let pause = before.map_or(FIRST_PAUSE, |before| before.saturating_mul(2).min(LONGEST_PAUSE));
        *failed_for = Some(pause);
        if before.is_none() || pause == LONGEST_PAUSE {
            tracing::warn!(%error, "the audit is not being sent; it stays in the record and will be tried again");
        }
        match error {
            SendError::Collector(CollectorError::Busy(_, Some(wait))) => pause.max(*wait),
            SendError::Collector(_) | SendError::Store(_) => pause,
        }
    }

    /// Sends what is under the next seal. Whether there was one.
    async fn pass(&self) -> Result<bool, SendError> {
        if self.freshness.clock_differs() {
            return Ok(false);
        }
        let now = self.clock.now();
        let Some(sent) = self.store.take_sending_turn(self.node, now, now.plus(TURN)).await? else {
            return Ok(false);
        };
        let Some(seal) = self.store.list_seals(sent, 1).await?.into_iter().next() else {
            self.counters.set_audit_unsent(0);
            return Ok(false);
        };
        let seal = seal.seal.sealing.id;
        if let Some(last) = self.store.last_seal().await? {
            self.counters.set_audit_unsent(last.seal.sealing.id.saturating_sub(sent));
        }
        let rows = self.store.audit_under_seal(seal).await?;
        for some in rows.chunks(AT_ONCE) {
            self.send(some, seal).await?;
        }
        let until = self.clock.now().plus(TURN);
        if !self.store.sent_audit(self.node, (sent, seal), until).await? {
            tracing::debug!(seal, "another node sends the audit");
        }
        Ok(true)
    }
}

impl Sending {
    /// Sends these, in their order. What is too much at once, or has something wrong in it, is halved until it is one event; that one
    /// is passed over.
    async fn send(&self, rows: &[AuditRow], seal: u64) -> Result<(), CollectorError> {
        let mut left = vec![rows];
        let mut takes_others = false;
        while let Some(some) = left.pop() {
            let logs: Vec<Log> = some.iter().map(|row| log(row, seal)).collect();
            match (self.collector.send_logs(&logs).await, some) {
                (Ok(rejected), _) => {
                    if rejected > 0 {
                        tracing::warn!(
                            rejected,
                            seal,
                            "the collector takes some events for wrong and does not want them again"
                        );
                    }
                    self.counters.count_audit_sent(u64::try_from(some.len()).unwrap_or_default());
                }
                (Err(CollectorError::Refused(status)), [row, more @ ..]) if is_of_contents(status) => {
                    // One that refuses nothing at all refuses everything: it is tried again, like one that is away.
                    if !takes_others {
                        self.collector.send_logs(&[]).await?;
                        takes_others = true;
                    }
                    if more.is_empty() {
                        self.counters.count_audit_send_failure();
                        tracing::warn!(event = %row.id, seal, %status, "the collector refuses an event, which is not sent again");
                    } else {
                        let (first, second) = some.split_at(some.len() / 2);
                        left.extend([second, first]);
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a collector says that something is wrong with what it got, so that to send the same again would help nobody
/// (OTLP/HTTP, "Failures": a 400 must not be retried; RFC 9110, section 15.5.14).
fn is_of_contents(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE)
}

/// An event as a log (docs/telemetry.md).
fn log(row: &AuditRow, seal: u64) -> Log {
    let severity = match row.outcome {
        _ if row.is_unreadable() => Severity::Error,
        Outcome::Failed => Severity::Error,
        Outcome::Ok => Severity::Info,
        Outcome::Refused | Outcome::Unknown => Severity::Warn,
    };
    let mut attributes = Vec::with_capacity(16);
    let mut add = |name: &str, value: Option<String>| {
        attributes.extend(value.map(|value| (name.to_owned(), Attribute::Text(value))));
    };
    add("sekisho.audit.id", Some(row.id.to_string()));
    add("sekisho.audit.outcome", Some(row.outcome.as_str().to_owned()));
    add("sekisho.audit.reason", row.reason.clone());
    add("sekisho.reference", row.reference.as_ref().map(ToString::to_string));
    add("user.id", row.user.map(|user| user.to_string()));
    add("user.name", row.name.clone());
    add("client.address", row.address.clone());
    add("sekisho.client_id", row.client_id.clone());
    add("sekisho.server", row.server.clone());
    add("sekisho.grant", row.grant.map(|grant| grant.to_string()));
    // What the operator keeps of arguments stays in the house, where it can be held and removed.
    for (name, value) in row.detail.iter().filter(|(name, _)| *name != "arguments") {
        add(&format!("sekisho.detail.{name}"), Some(value.clone()));
    }
    attributes
        .push(("sekisho.audit.seal".to_owned(), Attribute::Number(i64::try_from(seal).unwrap_or(i64::MAX))));
    let known = AuditKind::ALL.iter().find(|kind| kind.as_str() == row.kind);
    Log {
        at: row.at,
        severity,
        event: format!("sekisho.audit.{}", row.kind),
        body: match known {
            Some(kind) => kind.sentence(),
            None if row.is_unreadable() => "A row of the audit was altered and cannot be read.",
            None => "An event of a newer release.",
        },
        attributes,
    }
}

#[cfg(test)]
mod tests;
