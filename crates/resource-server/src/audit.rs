//! One event per MCP call (product.md, P-18): a place in the queue is taken before anything is forwarded, and filled
//! when the answer has ended, whichever way. A call that may change something is written down before that (`intents.rs`).
//!
//! Nothing is lost while we run: when the record does not take events the queue fills up, and then calls wait and at
//! last are refused. Must never hold tokens or answers, and of arguments only what the operator
//! has named (`arguments.rs`).

mod arguments;
mod intents;
mod sealer;
mod sending;
mod verify;
mod writer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::Rule;
use protocol::id::Id;
use protocol::world::{Clock, Timestamp};
use store::Outcome;
use tokio::sync::mpsc::{self, OwnedPermit, Sender};
use tokio_util::sync::CancellationToken;

pub(crate) use arguments::Keeping;
pub use arguments::KeptArguments;
pub(crate) use intents::Intents;
pub use sealer::{Keep, Round, SealClaims, SealError, Sealer, read_checkpoint};
pub use verify::{Fault, Findings, Named, verify_audit};
pub(crate) use writer::AuditWriter;

use crate::counts::{Counters, Ending};
use crate::error::CallError;
use crate::limits::Toll;
use crate::mcp_server::McpServer;
use crate::people::Person;
use crate::presence::Held;
use crate::reason::CallReason;
use crate::trace::{Over, Traced};
use crate::verdicts::{Ended, Verdict};

/// Events in waiting and calls in progress. Well above the number of streams that may be open, since each of these
/// holds a place for as long as it is open.
const PLACES: usize = 64 * 1024;
/// Of these one person may hold so many.
pub(crate) const PLACES_OF_A_PERSON: u32 = 16 * 1024;
/// How long a call waits for a place.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is kept of a method or of the name of a tool: the client chose them.
const LONGEST_TEXT: usize = 256;

/// Who calls, as the event will say it.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) server: Arc<McpServer>,
    pub(crate) verdict: Arc<Verdict>,
    pub(crate) person: Arc<Person>,
    pub(crate) address: IpAddr,
}

/// One call that is over.
#[derive(Debug)]
pub(crate) struct CallRecord {
    at: Timestamp,
    who: Who,
    method: String,
    name: Option<String>,
    pub(crate) ending: Ending,
    /// Nobody knows how it ended at the MCP server.
    is_unknown: bool,
    pub(crate) reason: Option<&'static str>,
    /// The operator's policy that forbade it.
    policy: Option<Box<str>>,
    status: u16,
    duration: Duration,
    bytes: u64,
    /// Arguments that are to be kept, as JSON.
    arguments: Option<String>,
    /// The id of its intent, and of its event, if it was written down before it was forwarded.
    intended: Option<Id<protocol::id::AuditEvent>>,
    /// Given back when the event is written.
    _event: Option<Held>,
}

impl CallRecord {
    /// How the audit says it.
    const fn outcome(&self) -> Outcome {
        if self.is_unknown { Outcome::Unknown } else { self.ending.outcome() }
    }
}

/// Where calls take their places.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    queue: Sender<CallRecord>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    intents: Arc<Intents>,
}

impl Audit {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        intents: Intents,
    ) -> (Self, mpsc::Receiver<CallRecord>) {
        let (queue, events) = mpsc::channel(PLACES);
        (Self { queue, clock, counters, intents: Arc::new(intents) }, events)
    }

    /// Has a call that may change something written down before it is forwarded; of one that only reads nothing.
    pub(crate) async fn intend(&self, entry: &mut Entry) -> Result<(), CallReason> {
        if entry.changes { self.intents.write(entry).await } else { Ok(()) }
    }

    /// Tells that this node is there, until it is told to stop.
    pub(crate) async fn be_heard(&self, shutdown: &CancellationToken) {
        self.intents.be_heard(shutdown).await;
    }

    /// Takes a place for one call; nobody may hold all of them.
    pub(crate) async fn reserve(&self, who: Who) -> Result<Entry, CallReason> {
        let presence = &who.person.presence;
        let (Some(call), Some(event)) = (presence.call(), presence.event()) else {
            return Err(CallReason::PersonCallsExhausted);
        };
        let place = match self.queue.clone().try_reserve_owned() {
            Ok(place) => place,
            Err(_) => match tokio::time::timeout(PATIENCE, self.queue.clone().reserve_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Err(CallReason::AuditUnavailable),
            },
        };
        Ok(Entry {
            who,
            at: self.clock.now(),
            started: self.clock.monotonic(),
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&self.counters),
            method: String::new(),
            name: None,
            policy: None,
            status: 0,
            bytes: 0,
            place: Some(place),
            _call: call,
            event: Some(event),
            toll: None,
            recorded: true,
            dropped: false,
            changes: false,
            waits: true,
            intended: None,
            traced: None,
            arguments: None,
        })
    }
}

/// The place of one call, and what is known of it so far. Dropped before it was finished, the client is gone.
#[derive(Debug)]
pub(crate) struct Entry {
    who: Who,
    at: Timestamp,
    started: Duration,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    method: String,
    name: Option<String>,
    policy: Option<Box<str>>,
    status: u16,
    bytes: u64,
    place: Option<OwnedPermit<CallRecord>>,
    _call: Held,
    event: Option<Held>,
    /// What it holds of the MCP server's budgets.
    toll: Option<Box<Toll>>,
    recorded: bool,
    /// Something of the answer was taken out because it is suspicious.
    dropped: bool,
    /// Whether it may change something, and is written down before it is forwarded.
    changes: bool,
    /// Whether the MCP server has not answered yet.
    waits: bool,
    intended: Option<Id<protocol::id::AuditEvent>>,
    /// Its place in a trace, if that is recorded.
    traced: Option<Traced>,
    /// Arguments that are to be kept, as JSON.
    arguments: Option<String>,
}

impl Entry {
    pub(crate) const fn who(&self) -> &Who {
        &self.who
    }

    /// These arguments are to be kept, as JSON.
    pub(crate) fn keep(&mut self, arguments: Option<String>) {
        self.arguments = arguments;
    }

    /// The call is part of a trace that is recorded.
    pub(crate) fn trace(&mut self, traced: Option<Traced>) {
        self.traced = traced;
    }

    /// Its place in a trace.
    pub(crate) const fn traced(&self) -> Option<&Traced> {
        self.traced.as_ref()
    }

    /// What is called. Both texts are the client's.
    pub(crate) fn describe(&mut self, method: &str, name: Option<&str>) {
        self.method = printable(method);
        self.name = name.map(printable);
    }

    /// The rule that refuses it: the operator will want to know which policy that was.
    pub(crate) fn denied_by(&mut self, rule: &Rule) {
        self.policy = rule.policy_id().map(|id| format!("policy:{id}").into());
    }

    /// The call only reads, and such calls are not to be written down unless they fail.
    pub(crate) const fn unrecorded(&mut self) {
        self.recorded = false;
    }

    /// The call may change something.
    pub(crate) const fn changes(&mut self) {
        self.changes = true;
    }

    /// The answer has begun.
    pub(crate) const fn begun(&mut self, status: u16) {
        (self.status, self.waits) = (status, false);
    }

    /// Whether the answer itself is still to come, of one that began with something else.
    pub(crate) const fn waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Of a call that may have changed something and was given up before its answer nobody knows how it ended (product.md, P-18).
    fn is_unknown(&self, ending: Ending) -> bool {
        let is_given_up = matches!(ending, Ending::ClientGone | Ending::Outlived | Ending::Revoked);
        is_given_up && self.waits && self.intended.is_some()
    }

    /// So much of the answer has gone through.
    pub(crate) fn passed(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(toll) = &self.toll {
            toll.passed(bytes);
        }
    }

    /// What the call holds of the MCP server's budgets until it is over.
    pub(crate) fn pays(&mut self, toll: Option<Box<Toll>>) {
        self.toll = toll;
    }

    /// So many parts of the answer were taken out because they are suspicious (attacks PX-18).
    pub(crate) const fn filtered(&mut self, dropped: u32) {
        self.dropped |= dropped > 0;
    }

    /// Whether it waits for what the MCP server may say some time, which says nothing of how long that takes.
    fn listens(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "subscriptions/listen")
    }

    /// The call was not answered by the MCP server.
    pub(crate) fn refused(mut self, error: &CallError) {
        self.status = error.status().as_u16();
        self.finish(error.cause().ending(), Some(error.reason()));
    }

    /// The call is over. Only the first word counts.
    pub(crate) fn finish(&mut self, ending: Ending, reason: Option<&'static str>) {
        let Some(place) = self.place.take() else { return };
        self.toll = None;
        let is_unknown = self.is_unknown(ending);
        let suspicious = self.dropped;
        let reason = reason.or(suspicious.then_some("filter_dropped"));
        self.counters.count(ending, self.bytes);
        let duration = self.clock.monotonic().saturating_sub(self.started);
        let took = (ending.is_of_mcp_server() && !self.listens()).then_some(duration);
        self.who.server.tally().count(ending, took);
        let (at, address, status) = (self.at, self.who.address, self.status);
        self.who.verdict.tell(&Ended { at, address, ending, reason, status });
        self.end_trace(ending, reason);
        if !self.recorded && !suspicious && !is_unknown && ending.outcome() == Outcome::Ok {
            return;
        }
        place.send(CallRecord {
            at: self.at,
            who: self.who.clone(),
            method: std::mem::take(&mut self.method),
            name: self.name.take(),
            ending,
            is_unknown,
            reason,
            policy: self.policy.take(),
            status: self.status,
            duration,
            bytes: self.bytes,
            arguments: self.arguments.take(),
            intended: self.intended,
            _event: self.event.take(),
        });
    }
}

impl Entry {
    fn end_trace(&mut self, ending: Ending, reason: Option<&'static str>) {
        let Some(traced) = self.traced.take() else { return };
        traced.end(&Over {
            at: self.at,
            duration: self.clock.monotonic().saturating_sub(self.started),
            server: self.who.server.name(),
            method: &self.method,
            name: self.name.as_deref(),
            ending,
            reason,
            status: self.status,
            bytes: self.bytes,
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.finish(Ending::ClientGone, Some("client_gone"));
    }
}

/// A text of the client's as the record may keep it: short, and without characters that do something.
fn printable(text: &str) -> String {
    // Nearly every text.
    if text.len() <= LONGEST_TEXT && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars()
        .take(LONGEST_TEXT)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
