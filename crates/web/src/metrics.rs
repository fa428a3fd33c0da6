//! What the house counts, in the text format of OpenMetrics. Labels are from closed lists: no name of a person, a
//! client, a tool or a path that somebody made up is ever one.
//!
//! Served on a listener of its own, never beside the pages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use authorization_server::AuthorizationServer;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use resource_server::{CallCounts, CallTally, Circuit, Counting, CredentialCount, ServerCounts};

use crate::fronts::Fronts;
use crate::health::{self, Health};
use crate::layers::limits::Budget;
use crate::routes::{MCP, ROUTES, Route};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const UNMATCHED: &str = "none";
const KEPT: &str = "kept_the_last_good";
const TAKEN: &str = "taken";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabels {
    outcome: &'static str,
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    server: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CredentialLabels {
    server: String,
    giver: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    server: String,
    limit: &'static str,
}

/// The counters of one route by status class, ready to be added to: the hot path looks nothing up.
struct ByClass([Counter; CLASSES.len()]);

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl ByClass {
    fn new(family: &Family<RequestLabels, Counter>, route: &'static str) -> Self {
        Self(CLASSES.map(|status| family.get_or_create(&RequestLabels { route, status }).clone()))
    }

    fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.0.get(class) {
            counter.inc();
        }
    }
}

/// All counters.
pub(crate) struct Metrics {
    registry: Registry,
    mcp: ByClass,
    routes: Vec<ByClass>,
    unmatched: ByClass,
    tokens: Family<OutcomeLabels, Counter>,
    signals: Family<SignalLabels, Counter>,
    limited: Family<BudgetLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
    stale: Gauge,
    ready: Gauge,
    clock_differs: Gauge,
}

impl Metrics {
    pub(crate) fn new(
        version: &'static str,
        counting: Counting,
        authorization_server: &Arc<AuthorizationServer>,
    ) -> Self {
        let mut registry = Registry::with_prefix("sekisho");
        let requests = Family::<RequestLabels, Counter>::default();
        let tokens = Family::<OutcomeLabels, Counter>::default();
        let signals = Family::<SignalLabels, Counter>::default();
        let limited = Family::<BudgetLabels, Counter>::default();
        registry.register("build", "The version that runs", Info::new([("version", version)]));
        registry.register("requests", "Requests by route and class of status", requests.clone());
        registry.register("token_requests", "Requests to the token endpoint by outcome", tokens.clone());
        registry.register(
            "limited_requests",
            "Requests refused because a budget was used up",
            limited.clone(),
        );
        registry.register(
            "signals",
            "What identity providers said of people who are out, by outcome",
            signals.clone(),
        );
        let reloads = Family::<OutcomeLabels, Counter>::default();
        for outcome in [KEPT, TAKEN] {
            drop(reloads.get_or_create(&OutcomeLabels { outcome }));
        }
        begin(&tokens, &signals, &limited);
        registry.register(
            "configuration_reloads",
            "Readings of the configuration while running: taken, or refused and the last good one kept",
            reloads.clone(),
        );
        let stale = Gauge::<i64>::default();
        registry.register(
            "configuration_refused",
            "1 while the file of the configuration is not the one that is in use, because it was refused",
            stale.clone(),
        );
        let (ready, clock_differs) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        registry.register("ready", "1 while `/readyz` answers 200", ready.clone());
        let help = "1 while our clock is not that of the record, so that nothing is served";
        registry.register("clock_differs", help, clock_differs.clone());
        registry.register_collector(Box::new(Servers(counting.clone())));
        registry.register_collector(Box::new(Calls(counting)));
        registry.register_collector(Box::new(Asked(Arc::clone(authorization_server))));
        Self {
            mcp: ByClass::new(&requests, MCP.name),
            routes: ROUTES.iter().map(|route| ByClass::new(&requests, route.name)).collect(),
            unmatched: ByClass::new(&requests, UNMATCHED),
            registry,
            tokens,
            signals,
            limited,
            reloads,
            stale,
            ready,
            clock_differs,
        }
    }

    /// Counts an answer of a route.
    pub(crate) fn count(&self, route: &'static Route, status: StatusCode) {
        let at = ROUTES.iter().position(|row| std::ptr::eq(row, route));
        at.and_then(|at| self.routes.get(at)).unwrap_or(&self.mcp).count(status);
    }

    /// Counts an answer of the MCP endpoints.
    pub(crate) fn count_call(&self, status: StatusCode) {
        self.mcp.count(status);
    }

    /// Counts an answer to a path that is none.
    pub(crate) fn count_unmatched(&self, status: StatusCode) {
        self.unmatched.count(status);
    }

    /// Counts a token request by its outcome: `issued`, or the reason.
    pub(crate) fn token(&self, outcome: &'static str) {
        self.tokens.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts what an identity provider said, by what became of it: `done`, `repeated`, `stranger`, or the reason.
    pub(crate) fn signal(&self, signal: &'static str, outcome: &'static str) {
        self.signals.get_or_create(&SignalLabels { outcome, signal }).inc();
    }

    /// Counts a reading of the configuration.
    pub(crate) fn reloaded(&self, taken: bool) {
        let outcome = if taken { TAKEN } else { KEPT };
        self.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        self.stale.set(i64::from(!taken));
    }

    /// Whether the file of the configuration is another than the one in use, because that was refused.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.get() != 0
    }

    /// Counts a refusal of a budget.
    pub(crate) fn limited(&self, budget: Budget) {
        self.limited.get_or_create(&BudgetLabels { budget: budget.as_str() }).inc();
    }

    /// What was found when somebody asked whether we can do our work.
    fn found(&self, health: &Health) {
        self.ready.set(i64::from(health.is_ready()));
        self.clock_differs.set(i64::from(health.clock_differs));
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What has not happened yet is served as zero: an alert cannot be held against what is not there.
fn begin(
    tokens: &Family<OutcomeLabels, Counter>,
    signals: &Family<SignalLabels, Counter>,
    limited: &Family<BudgetLabels, Counter>,
) {
    drop(tokens.get_or_create(&OutcomeLabels { outcome: "issued" }));
    for signal in crate::signals::NAMES {
        drop(signals.get_or_create(&SignalLabels { outcome: "done", signal }));
    }
    for budget in Budget::ALL {
        drop(limited.get_or_create(&BudgetLabels { budget: budget.as_str() }));
    }
}

/// How often identity providers were asked whether people are still there, read when somebody asks.
#[derive(Debug)]
struct Asked(Arc<AuthorizationServer>);

impl Collector for Asked {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let kind = ConstCounter::new(0_u64).metric_type();
        let help = "Questions to identity providers whether a person is still there, by outcome";
        let mut asked = encoder.encode_descriptor("provider_rechecks", help, None, kind)?;
        for (outcome, count) in self.0.rechecks().counts() {
            ConstCounter::new(count).encode(asked.encode_family(&OutcomeLabels { outcome })?)?;
        }
        Ok(())
    }
}

/// What the resource server counts, read when somebody asks.
#[derive(Debug)]
struct Calls(Counting);

impl Collector for Calls {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let counts = self.0.snapshot();
        let outcomes = [
            ("answered", counts.answered),
            ("client_gone", counts.client_gone),
            ("cut", counts.cut),
            ("outlived", counts.outlived),
            ("refused", counts.refused),
            ("revoked", counts.revoked),
            ("unauthenticated", counts.unauthenticated),
            ("unavailable", counts.unavailable),
            ("upstream_failed", counts.upstream_failed),
        ];
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut calls = encoder.encode_descriptor("calls", "Calls to MCP servers by outcome", None, kind)?;
        for (outcome, count) in outcomes {
            ConstCounter::new(count).encode(calls.encode_family(&OutcomeLabels { outcome })?)?;
        }
        let bytes = ConstCounter::new(counts.bytes);
        let help = "Bytes of answers of MCP servers";
        let unit = Some(&Unit::Bytes);
        bytes.encode(encoder.encode_descriptor("answer", help, unit, bytes.metric_type())?)?;
        let help = "What became of accounts that people connect, by outcome";
        let mut connections = encoder.encode_descriptor("connections", help, None, kind)?;
        for (outcome, count) in self.0.connections() {
            ConstCounter::new(count).encode(connections.encode_family(&OutcomeLabels { outcome })?)?;
        }
        told(&mut encoder, &counts)?;
        let streams = ConstGauge::new(i64::try_from(counts.open_streams).unwrap_or(i64::MAX));
        let help = "Streams that are open now";
        streams.encode(encoder.encode_descriptor("open_streams", help, None, streams.metric_type())?)
    }
}

/// What is counted of each MCP server, read when somebody asks. Their names are the configuration's, so there are few.
#[derive(Debug)]
struct Servers(Counting);

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let servers = self.0.servers();
        calls_of(&mut encoder, &servers)?;
        let label = |server: &ServerCounts| ServerLabels { server: server.name.clone() };
        let kind = ConstGauge::new(0_i64).metric_type();
        let help = "Where the circuit breaker of an MCP server stands: 0 closed, 1 half open, 2 open";
        let mut circuits = encoder.encode_descriptor("mcp_server_circuit", help, None, kind)?;
        for server in &servers {
            let stands = match server.circuit {
                Circuit::Closed => 0_i64,
                Circuit::HalfOpen => 1,
                Circuit::Open => 2,
            };
            ConstGauge::new(stands).encode(circuits.encode_family(&label(server))?)?;
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let help = "How often the circuit breaker of an MCP server has opened";
        let mut opened = encoder.encode_descriptor("mcp_server_circuit_opened", help, None, kind)?;
        for server in &servers {
            ConstCounter::new(server.opened).encode(opened.encode_family(&label(server))?)?;
        }
        let help = "Calls refused because a limit of the MCP server was reached";
        let mut limited = encoder.encode_descriptor("mcp_server_limited_calls", help, None, kind)?;
        for server in &servers {
            for (exhausted, count) in server.limited {
                let labels = LimitLabels { server: server.name.clone(), limit: exhausted.reason() };
                ConstCounter::new(count).encode(limited.encode_family(&labels)?)?;
            }
        }
        let help =
            "What became of credentials that are obtained for an MCP server, by their form and outcome";
        let mut credentials = encoder.encode_descriptor("credentials", help, None, kind)?;
        for CredentialCount { server, giver, outcome, count } in self.0.credentials() {
            let labels = CredentialLabels { server, giver, outcome };
            ConstCounter::new(count).encode(credentials.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// How the calls of each ended, and how long they took.
fn calls_of(encoder: &mut DescriptorEncoder<'_>, servers: &[ServerCounts]) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0_u64).metric_type();
    let help = "Calls to an MCP server by outcome";
    let mut calls = encoder.encode_descriptor("mcp_server_calls", help, None, kind)?;
    for server in servers {
        for (outcome, count) in &server.calls.endings {
            let labels = CallLabels { server: server.name.clone(), outcome };
            ConstCounter::new(*count).encode(calls.encode_family(&labels)?)?;
        }
    }
    let help = "How long calls took that an MCP server had, to the end of the answer; streams that only listen are left out";
    let (name, unit) = ("mcp_server_call_duration", Some(&Unit::Seconds));
    let mut durations = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    for server in servers {
        let labels = ServerLabels { server: server.name.clone() };
        Durations(&server.calls).encode(durations.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A histogram that was counted elsewhere.
struct Durations<'a>(&'a CallTally);

impl EncodeMetric for Durations<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let CallTally { durations, together, .. } = self.0;
        let count = durations.iter().map(|(_, count)| count).sum();
        // The end of the last is written as `+Inf`.
        let bucket = |(bound, count): &(Option<Duration>, u64)| {
            (bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()), *count)
        };
        let buckets: Vec<_> = durations.iter().map(bucket).collect();
        encoder.encode_histogram::<NoLabelSet>(together.as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// What a collector took, and what it did not.
fn told(encoder: &mut DescriptorEncoder<'_>, counts: &CallCounts) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0_u64).metric_type();
    let numbers = [
        ("audit_retries", "Attempts to write audit events that failed", counts.audit_retries),
        ("audit_events_sent", "Audit events that the collector took", counts.audit_sent),
        ("audit_send_failures", "Attempts to send audit events that failed", counts.audit_send_failures),
    ];
    for (name, help, count) in numbers {
        ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, kind)?)?;
    }
    let unsent = ConstGauge::new(i64::try_from(counts.audit_unsent_seals).unwrap_or(i64::MAX));
    let help = "Seals of the audit that are not sent yet, on the node that sends";
    unsent.encode(encoder.encode_descriptor("audit_unsent_seals", help, None, unsent.metric_type())?)?;
    let mut spans = encoder.encode_descriptor("spans", "Spans by what became of them", None, kind)?;
    for (outcome, count) in [("dropped", counts.spans_dropped), ("sent", counts.spans_sent)] {
        ConstCounter::new(count).encode(spans.encode_family(&OutcomeLabels { outcome })?)?;
    }
    Ok(())
}

/// The listener of the metrics: `/metrics` and `/healthz`, for whoever can reach it.
pub(crate) fn router(fronts: Arc<Fronts>) -> Router {
    let metrics = get(move || async move {
        let front = fronts.current();
        front.metrics.found(&Health::of(&front).await);
        match front.metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    });
    Router::new().route("/metrics", metrics).route("/healthz", get(alive))
}

async fn alive() -> Response {
    health::alive().await
}
