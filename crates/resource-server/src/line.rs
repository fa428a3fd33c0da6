//! The line to one MCP server: its breaker between us and it, and whoever is told when that turns.
//!
//! Everything that is sent to an MCP server goes through here. Must never count against the MCP server what a client did:
//! a status below 500 is an answer, and who gives up shows nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use protocol::id::{Id, User};
use protocol::world::{Clock, Entropy, Timestamp};
use store::{AuditEvent, AuditKind, Outcome, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use upstream::mcp_server::streamable_http::{McpServerClient, UpstreamError};

use crate::breaker::{Breaker, Circuit, Showed, Turned};

/// Turns that are not written down yet. A breaker turns a few times a minute at most.
const WAITING: usize = 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// It was tried.
    Failed(UpstreamError),
    /// The breaker is open: it was not tried, and will not be before so long.
    Open(Duration),
}

/// The line to one MCP server.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    client: Arc<McpServerClient>,
    breaker: Arc<Breaker>,
    clock: Arc<dyn Clock>,
    turns: Turns,
}

impl Line {
    pub(crate) const fn new(
        name: String,
        client: Arc<McpServerClient>,
        breaker: Arc<Breaker>,
        clock: Arc<dyn Clock>,
        turns: Turns,
    ) -> Self {
        Self { name, client, breaker, clock, turns }
    }

    pub(crate) const fn client(&self) -> &Arc<McpServerClient> {
        &self.client
    }

    pub(crate) const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// Goes on with what another one to the same MCP server knew of it.
    pub(crate) fn take_over(&mut self, known: &Self) {
        if Arc::ptr_eq(&self.client, &known.client) && self.breaker.is_as(&known.breaker) {
            self.breaker = Arc::clone(&known.breaker);
        }
    }

    /// How long nothing of this person will be sent, if that is so now.
    pub(crate) fn closed_for(&self, user: Id<User>) -> Option<Duration> {
        self.breaker.closed_for(user, self.clock.monotonic())
    }

    /// Sends a request in the name of this person.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        user: Id<User>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let (entered, turned) = self.breaker.enter(user, self.clock.monotonic());
        self.tell(turned, None);
        let tried = entered.map_err(Unanswered::Open)?;
        let answer = self.client.send(request).await;
        let (showed, why) = match &answer {
            Ok(answer) if is_down(answer) => (Showed::Failed(user), Some("upstream_status")),
            Ok(_) => (Showed::Alive, None),
            Err(error @ UpstreamError::Unreachable) => (Showed::Away, Some(error.reason())),
            Err(error @ (UpstreamError::Broken | UpstreamError::Malformed | UpstreamError::TimedOut)) => {
                (Showed::Failed(user), Some(error.reason()))
            }
        };
        self.tell(tried.showed(showed, self.clock.monotonic()), why);
        answer.map_err(Unanswered::Failed)
    }

    fn tell(&self, turned: Option<Turned>, why: Option<&'static str>) {
        let Some(Turned(circuit)) = turned else { return };
        let (server, state) = (self.name.as_str(), circuit.as_str());
        match circuit {
            Circuit::Open => tracing::warn!(server, state, why, "the circuit of an mcp server turned"),
            Circuit::Closed | Circuit::HalfOpen => {
                tracing::info!(server, state, "the circuit of an mcp server turned");
            }
        }
        self.turns.tell(Turn { at: self.clock.now(), server: self.name.clone(), circuit, why });
    }
}

/// A status that says that it is not the request's fault (RFC 9110, section 15.6); 501 and 505 are about the request.
fn is_down(answer: &Response<Incoming>) -> bool {
    matches!(answer.status().as_u16(), 500 | 502 | 503 | 504)
}

/// A breaker that turned.
#[derive(Debug)]
struct Turn {
    at: Timestamp,
    server: String,
    circuit: Circuit,
    why: Option<&'static str>,
}

/// Where turns are told.
#[derive(Debug, Clone)]
pub(crate) struct Turns(mpsc::Sender<Turn>);

impl Turns {
    /// With what writes them down.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> (Self, TurnWriter) {
        let (sender, turns) = mpsc::channel(WAITING);
        (Self(sender), TurnWriter { turns: Mutex::new(Some(turns)), store, clock, entropy })
    }

    /// To nobody, for tests.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(mpsc::channel(1).0)
    }

    fn tell(&self, turn: Turn) {
        // It stands in the log either way.
        if let Err(error) = self.0.try_send(turn) {
            tracing::debug!(%error, "the turn of a circuit was not written down");
        }
    }
}

/// Writes down when circuits open and close.
#[derive(Debug)]
pub(crate) struct TurnWriter {
    turns: Mutex<Option<mpsc::Receiver<Turn>>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl TurnWriter {
    /// Writes until it is told to stop, and then what there is. Called again, it does nothing.
    pub(crate) async fn run(&self, shutdown: &CancellationToken) {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut turns) = turns else { return };
        loop {
            tokio::select! {
                biased;
                turn = turns.recv() => match turn {
                    Some(turn) => self.write(&turn, shutdown).await,
                    None => return,
                },
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn write(&self, turn: &Turn, shutdown: &CancellationToken) {
        let Some(event) = self.event(turn) else { return };
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(error) = self.store.append_audit(vec![event.clone()]).await else { return };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the turn of a circuit is not written down"
            );
            if shutdown.is_cancelled() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// The event of an outage that begins or ends; that somebody tries is none.
    fn event(&self, turn: &Turn) -> Option<AuditEvent> {
        let (kind, outcome) = match turn.circuit {
            Circuit::Closed => (AuditKind::CircuitClosed, Outcome::Ok),
            Circuit::HalfOpen => return None,
            Circuit::Open => (AuditKind::CircuitOpened, Outcome::Failed),
        };
        let id = Id::mint(self.clock.now(), &*self.entropy);
        let server = Some(turn.server.clone());
        let event = AuditEvent::new(id, turn.at, kind, outcome);
        Some(AuditEvent { server, reason: turn.why, ..event })
    }
}
