//! An OpenTelemetry collector, spoken to by OTLP over HTTP (OTLP specification 1.x, "OTLP/HTTP"): logs and spans, in batches,
//! each answered before the next.
//!
//! The types are those of the protocol. Must never be handed a secret or an argument of a call: what goes in here leaves the
//! house.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as WireLog, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, Status};
use prost::Message as _;
use protocol::secret::Secret;
use protocol::world::Timestamp;

use crate::egress::{Egress, FetchError, Limits};

/// A batch is taken in this time, or it is tried again.
const LIMITS: Limits = Limits { total: Duration::from_secs(10), max_body: 64 * 1024 };
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const SCOPE: &str = "sekisho";
/// What a collector asks us to wait is believed up to this.
const LONGEST_WAIT: u64 = 300;

/// What is said of a log or a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// How serious a log is (OpenTelemetry logs data model, "Severity").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something broke.
    Error,
    /// In the ordinary course.
    Info,
    /// A rule said no, or nobody knows.
    Warn,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// When it happened.
    pub at: Timestamp,
    /// How serious it is.
    pub severity: Severity,
    /// What kind of event it is.
    pub event: String,
    /// In words.
    pub body: &'static str,
    /// What else is known.
    pub attributes: Vec<(String, Attribute)>,
}

/// One part of a trace: what we did for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which trace.
    pub trace: [u8; 16],
    /// Its id.
    pub id: [u8; 8],
    /// The flags of the trace.
    pub flags: u8,
    /// Whose part it is.
    pub parent: Option<[u8; 8]>,
    /// What was done.
    pub name: String,
    /// From when.
    pub start: Timestamp,
    /// How long.
    pub duration: Duration,
    /// Whether something broke.
    pub failed: bool,
    /// What else is known.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    /// There is no answer.
    #[error("the collector does not answer: {0}")]
    NoAnswer(#[from] FetchError),
    /// It wants less, or later.
    #[error("the collector is busy (status {0})")]
    Busy(StatusCode, Option<Duration>),
    /// It does not take what it gets.
    #[error("the collector refuses what it gets (status {0})")]
    Refused(StatusCode),
}

/// A collector.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    authorization: Option<Secret>,
    egress: Arc<dyn Egress>,
    resource: Vec<(&'static str, String)>,
}

impl Collector {
    /// The one at this URL, under which `/v1/logs` and `/v1/traces` are. `resource` says who we are.
    #[must_use]
    pub fn new(
        endpoint: &str,
        authorization: Option<Secret>,
        egress: Arc<dyn Egress>,
        resource: Vec<(&'static str, String)>,
    ) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), authorization, egress, resource }
    }

    /// Sends logs. How many of them it took for wrong: these it does not want again.
    ///
    /// # Errors
    /// [`CollectorError`]; then all of them may be sent again.
    pub async fn send_logs(&self, logs: &[Log]) -> Result<u64, CollectorError> {
        let scope = Some(InstrumentationScope { name: SCOPE.to_owned(), ..InstrumentationScope::default() });
        let scope_logs = vec![ScopeLogs {
            scope,
            log_records: logs.iter().map(wire_log).collect(),
            ..ScopeLogs::default()
        }];
        let resource_logs =
            vec![ResourceLogs { resource: self.resource(), scope_logs, ..ResourceLogs::default() }];
        let answer =
            self.post("/v1/logs", ExportLogsServiceRequest { resource_logs }.encode_to_vec()).await?;
        // "If the request is only partially accepted": with status 200.
        let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_log_records);
        Ok(u64::try_from(rejected).unwrap_or_default())
    }

    /// The same for spans.
    ///
    /// # Errors
    /// As [`Self::send_logs`].
    pub async fn send_spans(&self, spans: &[Span]) -> Result<u64, CollectorError> {
        let scope = Some(InstrumentationScope { name: SCOPE.to_owned(), ..InstrumentationScope::default() });
        let scope_spans =
            vec![ScopeSpans { scope, spans: spans.iter().map(wire_span).collect(), ..ScopeSpans::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: self.resource(), scope_spans, ..ResourceSpans::default() }];
        let answer =
            self.post("/v1/traces", ExportTraceServiceRequest { resource_spans }.encode_to_vec()).await?;
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or_default())
    }

    fn resource(&self) -> Option<Resource> {
        let attributes =
            self.resource.iter().map(|(name, value)| attribute(name, &Attribute::Text(value.clone())));
        Some(Resource { attributes: attributes.collect(), ..Resource::default() })
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Bytes, CollectorError> {
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            format!("{}{path}", self.endpoint).parse().map_err(|_| FetchError::Unreachable)?;
        request.headers_mut().insert(CONTENT_TYPE, PROTOBUF);
        if let Some(authorization) = &self.authorization {
            let mut value = authorization
                .expose(HeaderValue::from_str)
                .map_err(|_| CollectorError::NoAnswer(FetchError::Unreachable))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.egress.fetch(request, LIMITS).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            // OTLP/HTTP, "Retryable Response Codes".
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let wait = wait.and_then(|text| text.parse::<u64>().ok());
                Err(CollectorError::Busy(
                    status,
                    wait.map(|wait| Duration::from_secs(wait.min(LONGEST_WAIT))),
                ))
            }
            status => Err(CollectorError::Refused(status)),
        }
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.micros()).unwrap_or_default().saturating_mul(1000)
}

fn attribute(name: &str, value: &Attribute) -> KeyValue {
    let value = match value {
        Attribute::Number(number) => Value::IntValue(*number),
        Attribute::Text(text) => Value::StringValue(text.clone()),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn wire_log(log: &Log) -> WireLog {
    let (number, text) = match log.severity {
        Severity::Info => (9, "INFO"),
        Severity::Warn => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    WireLog {
        time_unix_nano: nanos(log.at),
        observed_time_unix_nano: nanos(log.at),
        severity_number: number,
        severity_text: text.to_owned(),
        event_name: log.event.clone(),
        body: Some(AnyValue { value: Some(Value::StringValue(log.body.to_owned())) }),
        attributes: log.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..WireLog::default()
    }
}

fn wire_span(span: &Span) -> WireSpan {
    let duration = u64::try_from(span.duration.as_nanos()).unwrap_or(u64::MAX);
    let code = if span.failed { SpanStatus::Error } else { SpanStatus::Unset };
    WireSpan {
        trace_id: span.trace.to_vec(),
        span_id: span.id.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        flags: u32::from(span.flags),
        name: span.name.clone(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start).saturating_add(duration),
        attributes: span.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..WireSpan::default()
    }
}
