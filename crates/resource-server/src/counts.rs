//! Counters of calls, for `/metrics`. Only numbers: no name of a person, client or tool is ever a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::breaker::Circuit;
use crate::limits::Exhausted;
use crate::server::Servers;
use crate::streams::Streams;
use crate::tally::CallTally;
use crate::vault::counts::{ConnectionCounts, CredentialCount, CredentialCounts};
use store::Outcome;

/// How many calls ended how, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCounts {
    /// Answered in full.
    pub answered: u64,
    /// The client went away before the end of the answer.
    pub client_gone: u64,
    /// The MCP server broke off in the middle of its answer.
    pub cut: u64,
    /// The MCP server did not answer, or not as it should.
    pub upstream_failed: u64,
    /// A stream that ended because its access token was long over.
    pub outlived: u64,
    /// Refused with a live access token: 400, 403, 404 and the like.
    pub refused: u64,
    /// A stream that ended because access was withdrawn.
    pub revoked: u64,
    /// Refused without a live access token.
    pub unauthenticated: u64,
    /// We could not serve: 500, 503.
    pub unavailable: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// Streams open now.
    pub open_streams: u64,
    /// How often audit events had to be written again, because the record did not take them.
    pub audit_retries: u64,
    /// Audit events that a collector took.
    pub audit_sent: u64,
    /// How often audit events could not be sent.
    pub audit_send_failures: u64,
    /// Seals that are not sent yet, as the node knows that sends.
    pub audit_unsent_seals: u64,
    /// Spans that a collector took.
    pub spans_sent: u64,
    /// Spans that were dropped, because no collector took them.
    pub spans_dropped: u64,
}

/// What is counted of one MCP server: of its calls since the start, of the rest since it was configured as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCounts {
    /// Its name.
    pub name: String,
    /// How its calls ended, and how long they took.
    pub calls: CallTally,
    /// Where its circuit breaker stands.
    pub circuit: Circuit,
    /// How often that has opened.
    pub opened: u64,
    /// Calls that were refused because a budget was used up.
    pub limited: [(Exhausted, u64); Exhausted::ALL.len()],
}

/// What the counters say whenever somebody asks; it outlives every configuration.
#[derive(Debug, Clone)]
pub struct Counting {
    counters: Arc<Counters>,
    streams: Arc<Streams>,
    standing: Arc<ArcSwap<Servers>>,
    connections: Arc<ConnectionCounts>,
    credentials: Arc<CredentialCounts>,
}

impl Counting {
    pub(crate) const fn new(
        counters: Arc<Counters>,
        streams: Arc<Streams>,
        standing: Arc<ArcSwap<Servers>>,
        connections: Arc<ConnectionCounts>,
        credentials: Arc<CredentialCounts>,
    ) -> Self {
        Self { counters, streams, standing, connections, credentials }
    }

    /// How often what became of credentials that are obtained, until now.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialCount> {
        self.credentials.snapshot()
    }

    /// How often what became of connections, until now.
    pub fn connections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.connections.snapshot()
    }

    /// The MCP servers as they stand now, by name.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerCounts> {
        let standing = self.standing.load();
        let count = |(name, server): (&String, &Arc<crate::mcp_server::McpServer>)| ServerCounts {
            name: name.clone(),
            calls: server.tally().snapshot(),
            circuit: server.line().breaker().circuit(),
            opened: server.line().breaker().opened(),
            limited: server.limits().refused(),
        };
        let mut servers: Vec<_> = standing.iter().map(count).collect();
        servers.sort_by(|one, other| one.name.cmp(&other.name));
        servers
    }

    /// How many calls ended how, until now.
    #[must_use]
    pub fn snapshot(&self) -> CallCounts {
        self.counters.snapshot(u64::try_from(self.streams.len()).unwrap_or(u64::MAX))
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    ClientGone,
    Cut,
    Outlived,
    Refused,
    Revoked,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
}

impl Ending {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Answered,
        Self::ClientGone,
        Self::Cut,
        Self::Outlived,
        Self::Refused,
        Self::Revoked,
        Self::Unauthenticated,
        Self::Unavailable,
        Self::UpstreamFailed,
    ];

    /// Whether the MCP server had the call until it ended.
    pub(crate) const fn is_of_mcp_server(self) -> bool {
        match self {
            Self::Answered | Self::Cut | Self::UpstreamFailed => true,
            Self::ClientGone
            | Self::Outlived
            | Self::Refused
            | Self::Revoked
            | Self::Unauthenticated
            | Self::Unavailable => false,
        }
    }

    /// As metrics and spans say it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClientGone => "client_gone",
            Self::Cut => "cut",
            Self::Outlived => "outlived",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Unauthenticated => "unauthenticated",
            Self::Unavailable => "unavailable",
            Self::UpstreamFailed => "upstream_failed",
        }
    }

    /// How the audit says it.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::Refused | Self::Unauthenticated => Outcome::Refused,
            Self::Answered | Self::ClientGone | Self::Outlived | Self::Revoked => Outcome::Ok,
            Self::Cut | Self::Unavailable | Self::UpstreamFailed => Outcome::Failed,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    answered: AtomicU64,
    client_gone: AtomicU64,
    cut: AtomicU64,
    outlived: AtomicU64,
    refused: AtomicU64,
    revoked: AtomicU64,
    unauthenticated: AtomicU64,
    unavailable: AtomicU64,
    upstream_failed: AtomicU64,
    bytes: AtomicU64,
    audit_retries: AtomicU64,
    audit_sent: AtomicU64,
    audit_send_failures: AtomicU64,
    audit_unsent_seals: AtomicU64,
    spans_sent: AtomicU64,
    spans_dropped: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, ending: Ending, bytes: u64) {
        let counter = match ending {
            Ending::Answered => &self.answered,
            Ending::ClientGone => &self.client_gone,
            Ending::Cut => &self.cut,
            Ending::Outlived => &self.outlived,
            Ending::Refused => &self.refused,
            Ending::Revoked => &self.revoked,
            Ending::Unauthenticated => &self.unauthenticated,
            Ending::Unavailable => &self.unavailable,
            Ending::UpstreamFailed => &self.upstream_failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_audit_retry(&self) {
        self.audit_retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_audit_sent(&self, events: u64) {
        self.audit_sent.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn count_audit_send_failure(&self) {
        self.audit_send_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_audit_unsent(&self, seals: u64) {
        self.audit_unsent_seals.store(seals, Ordering::Relaxed);
    }

    pub(crate) fn count_spans_sent(&self, spans: u64) {
        self.spans_sent.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn count_spans_dropped(&self, spans: u64) {
        self.spans_dropped.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, open_streams: u64) -> CallCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallCounts {
            answered: read(&self.answered),
            client_gone: read(&self.client_gone),
            cut: read(&self.cut),
            upstream_failed: read(&self.upstream_failed),
            outlived: read(&self.outlived),
            refused: read(&self.refused),
            revoked: read(&self.revoked),
            unauthenticated: read(&self.unauthenticated),
            unavailable: read(&self.unavailable),
            bytes: read(&self.bytes),
            open_streams,
            audit_retries: read(&self.audit_retries),
            audit_sent: read(&self.audit_sent),
            audit_send_failures: read(&self.audit_send_failures),
            audit_unsent_seals: read(&self.audit_unsent_seals),
            spans_sent: read(&self.spans_sent),
            spans_dropped: read(&self.spans_dropped),
        }
    }
}
