//! Traces (OpenTelemetry): what we did for a call is a span in the trace of whoever called, and the MCP server goes on from it.
//! Off unless the operator wants it.
//!
//! Where a client says that it is (`params._meta.traceparent`, or the header) is believed for that alone. A trace that its
//! beginner does not record is not recorded here either. A span says which tool was called, at which MCP server, and how that
//! ended: never an argument, a person, a token, or a URI. When spans are not taken they are dropped, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use protocol::mcp::{TraceParent, traceparent};
use protocol::world::{Entropy, Timestamp};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;
use upstream::collector::{Attribute, Collector, Span};

use crate::call::{Asked, Operation};
use crate::counts::{Counters, Ending};
use crate::media::{TRACEPARENT, single};
use crate::server::ResourceServer;

/// Spans that wait to be sent; one more is dropped.
const WAITING: usize = 8 * 1024;
/// Spans in one request.
const AT_ONCE: usize = 512;
/// How long a batch gathers.
const LINGER: Duration = Duration::from_secs(1);
/// How often a batch is sent before it is dropped, and how long is waited in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// How long the last spans may take when we are told to stop.
const LAST: Duration = Duration::from_secs(2);

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSettings {
    /// Of the calls that belong to no trace, one in so many begins one; none, if 0.
    pub one_in: u32,
}

/// Makes spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    settings: TraceSettings,
    entropy: Arc<dyn Entropy>,
    queue: Sender<Span>,
    counters: Arc<Counters>,
    strangers: AtomicU64,
}

/// The position of one call, while it is on its way.
#[derive(Debug)]
pub(crate) struct Traced {
    tracer: Arc<Tracer>,
    here: TraceParent,
    parent: Option<[u8; 8]>,
}

/// What is known of a call that is over.
#[derive(Debug)]
pub(crate) struct Over<'a> {
    pub(crate) at: Timestamp,
    pub(crate) duration: Duration,
    pub(crate) server: &'a str,
    pub(crate) method: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) ending: Ending,
    pub(crate) reason: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
}

impl Tracer {
    pub(crate) fn new(
        settings: TraceSettings,
        entropy: Arc<dyn Entropy>,
        counters: Arc<Counters>,
    ) -> (Arc<Self>, Receiver<Span>) {
        let (queue, spans) = mpsc::channel(WAITING);
        let strangers = AtomicU64::new(0);
        (Arc::new(Self { settings, entropy, queue, counters, strangers }), spans)
    }

    /// Where the call stands, if that is to be recorded.
    pub(crate) fn enter(self: &Arc<Self>, asked: &Asked) -> Option<Traced> {
        let parent = position(asked);
        let here = match parent {
            Some(parent) if !parent.is_sampled() => return None,
            Some(parent) => parent.then(self.chance()?),
            None => {
                let one_in = u64::from(self.settings.one_in);
                let number = self.strangers.fetch_add(1, Ordering::Relaxed);
                if number.checked_rem(one_in) != Some(0) {
                    return None;
                }
                TraceParent::begin(self.chance()?, self.chance()?)
            }
        };
        Some(Traced { tracer: Arc::clone(self), here, parent: parent.map(|parent| parent.span) })
    }

    /// Anything but zeros, which are no id.
    fn chance<const N: usize>(&self) -> Option<[u8; N]> {
        let mut id = [0; N];
        self.entropy.fill(&mut id);
        (id != [0; N]).then_some(id)
    }
}

impl Traced {
    /// What the MCP server is told.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.here.to_string()).ok()
    }

    /// The call is over.
    pub(crate) fn end(self, over: &Over<'_>) {
        let text = |text: &str| Attribute::Text(text.to_owned());
        let number = |number: u64| Attribute::Number(i64::try_from(number).unwrap_or(i64::MAX));
        // The name of a resource is a URI, which may say anything.
        let name = over.name.filter(|_| matches!(over.method, "tools/call" | "prompts/get"));
        let mut attributes = vec![
            ("mcp.method.name", text(over.method)),
            ("sekisho.server", text(over.server)),
            ("sekisho.outcome", text(over.ending.as_str())),
            ("http.response.status_code", number(u64::from(over.status))),
            ("http.response.body.size", number(over.bytes)),
        ];
        attributes.extend(name.map(|name| ("gen_ai.tool.name", text(name))));
        attributes.extend(over.reason.map(|reason| ("error.type", text(reason))));
        let span = Span {
            trace: self.here.trace,
            id: self.here.span,
            flags: self.here.flags,
            parent: self.parent,
            name: name.map_or_else(|| over.method.to_owned(), |name| format!("{} {name}", over.method)),
            start: over.at,
            duration: over.duration,
            failed: over.ending.outcome() == store::Outcome::Failed,
            attributes,
        };
        if self.tracer.queue.try_send(span).is_err() {
            self.tracer.counters.count_spans_dropped(1);
        }
    }
}

/// Where the client says that it is. The header may be of what carries the message, and then nearer to us, if it is of the same
/// trace.
fn position(asked: &Asked) -> Option<TraceParent> {
    let of_message = match &asked.operation {
        Operation::Call { body, .. } => traceparent(body),
        Operation::EndSession { .. } | Operation::Listen { .. } => None,
    };
    let of_header = header(&asked.headers);
    match (of_message, of_header) {
        (Some(message), Some(header)) if message.trace == header.trace => Some(header),
        (Some(message), _) => Some(message),
        (None, header) => header,
    }
}

/// The header as the client wrote it, if it is one.
pub(crate) fn header(headers: &HeaderMap) -> Option<TraceParent> {
    single(headers, &TRACEPARENT).and_then(|value| TraceParent::parse(value.as_bytes()))
}

impl ResourceServer {
    /// Gives the call its place in a trace, if that is recorded.
    pub(crate) fn trace(&self, asked: &mut Asked) {
        if let Some(tracer) = &self.parts.tracer {
            let traced = tracer.enter(asked);
            asked.entry.trace(traced);
        }
    }

    /// Sends the spans of calls to a collector; a task that somebody must own. Called again, it does nothing.
    pub async fn send_spans(&self, collector: &Collector, shutdown: &CancellationToken) {
        let spans = self.parts.spans.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(spans) = spans {
            send(spans, collector, &self.parts.counters, shutdown).await;
        }
    }
}

/// Sends spans until it is told to stop, then what is left.
async fn send(
    mut spans: Receiver<Span>,
    collector: &Collector,
    counters: &Counters,
    shutdown: &CancellationToken,
) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            count = spans.recv_many(&mut batch, AT_ONCE) => if count == 0 { return },
        }
        if batch.len() < AT_ONCE {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LINGER) => {}
            }
            while batch.len() < AT_ONCE
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = send_batch(&batch, collector, counters, &mut failing) => {}
        }
        batch.clear();
    }
    spans.close();
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
    }
    let last = async {
        for some in batch.chunks(AT_ONCE) {
            send_batch(some, collector, counters, &mut failing).await;
        }
    };
    if !batch.is_empty() && tokio::time::timeout(LAST, last).await.is_err() {
        tracing::warn!("the last spans were not sent");
    }
}

async fn send_batch(batch: &[Span], collector: &Collector, counters: &Counters, failing: &mut bool) {
    let count = u64::try_from(batch.len()).unwrap_or_default();
    for number in 1..=TRIES {
        match collector.send_spans(batch).await {
            Ok(rejected) => {
                counters.count_spans_sent(count.saturating_sub(rejected));
                counters.count_spans_dropped(rejected);
                if std::mem::take(failing) {
                    tracing::info!("the collector takes spans again");
                }
                return;
            }
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    tracing::warn!(%error, "spans are not being sent; what the collector does not take is dropped");
                }
                if number < TRIES {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
    counters.count_spans_dropped(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    /// F-26: nobody waits for a collector that takes nothing.
    #[tokio::test]
    async fn f_26_spans_that_nobody_takes_are_dropped_and_counted() {
        let world = World::new().await;
        let counters = Arc::new(Counters::default());
        let (tracer, spans) =
            Tracer::new(TraceSettings { one_in: 1 }, Arc::clone(&world.entropy) as _, Arc::clone(&counters));
        let here = TraceParent::begin([1; 16], [2; 8]);
        let over = Over {
            at: Timestamp::from_secs(1),
            duration: Duration::from_millis(3),
            server: "docs",
            method: "resources/read",
            name: Some("file:///people/alice/secret"),
            ending: Ending::Answered,
            reason: None,
            status: 200,
            bytes: 7,
        };
        for _ in 0..WAITING + 5 {
            Traced { tracer: Arc::clone(&tracer), here, parent: None }.end(&over);
        }
        assert_eq!((spans.len(), counters.snapshot(0).spans_dropped), (WAITING, 5));
        let mut spans = spans;
        let span = spans.recv().await.unwrap();
        assert_eq!(span.name, "resources/read");
        assert!(
            !format!("{span:?}").contains("alice"),
            "the name of a resource is a URI, which may say anything"
        );
    }
}
