//! `/healthz`: the process lives. `/readyz`: it can do its work, that is, the record answers and takes writes, revocations are
//! known (product.md, P-2), it is known which tools were accepted, and our clock is that of the record (attacks.md, F-13). It says too whether the configuration in use
//! is the one that was read last (attacks.md, F-30). Both answer in bounded time, to anybody, under any host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::front::{Front, Visit};
use crate::respond;
use axum::Extension;
use axum::response::Response;
use http::StatusCode;
use tokio::sync::Mutex;

/// Whether the record answers, found out once for all who ask meanwhile: anybody may ask, as often as they like, and must
/// not hold the ways to the record of those who have work for it.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    visits: AtomicU64,
    last: Mutex<bool>,
}

impl Readiness {
    /// What a visit to the record found that ended after this was asked.
    async fn ask(&self, visit: impl Future<Output = bool>) -> bool {
        let before = self.visits.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if self.visits.load(Ordering::Acquire) == before {
            *last = visit.await;
            self.visits.fetch_add(1, Ordering::Release);
        }
        *last
    }
}

pub(crate) async fn alive() -> Response {
    respond::json(StatusCode::OK, &serde_json::json!({ "status": "alive" }))
}

/// What is needed for our work, and whether it is there.
pub(crate) struct Health {
    store: bool,
    revocations: bool,
    tools: bool,
    pub(crate) clock_differs: bool,
}

impl Health {
    pub(crate) async fn of(front: &Front) -> Self {
        let parts = &front.parts;
        Self {
            store: front.readiness.ask(async { parts.store.ready().await.is_ok() }).await,
            revocations: parts.resource_server.ready(),
            tools: parts.resource_server.knows_tools(),
            clock_differs: parts.resource_server.clock_differs(),
        }
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.store && self.revocations && self.tools
    }
}

pub(crate) async fn ready(Extension(visit): Extension<Arc<Visit>>) -> Response {
    let health = Health::of(&visit.front).await;
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let Health { store, revocations, tools, clock_differs } = health;
    let word = |good: bool| if good { "ok" } else { "unavailable" };
    let clock = if clock_differs { "differs" } else { "ok" };
    // What was refused at a reload does not end what works: it is said, and the last good one goes on.
    let configuration = if visit.front.metrics.is_stale() { "refused" } else { "ok" };
    let all = serde_json::json!({
        "clock": clock, "configuration": configuration, "revocations": word(revocations), "store": word(store),
        "tools": word(tools),
    });
    respond::json(status, &all)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn however_many_ask_at_once_the_record_is_asked_once() {
        let (readiness, visits, gate) = (Readiness::default(), AtomicU64::new(0), Semaphore::new(0));
        let visit = || async {
            visits.fetch_add(1, Ordering::SeqCst);
            drop(gate.acquire().await);
            true
        };
        let asked = join_all((0..1000).map(|_| readiness.ask(visit())));
        let opened = async {
            tokio::task::yield_now().await;
            gate.add_permits(1);
        };
        let (answers, ()) = tokio::join!(asked, opened);
        assert!(answers.into_iter().all(|good| good));
        assert_eq!(visits.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_was_found_before_is_no_answer_now() {
        let readiness = Readiness::default();
        assert!(readiness.ask(async { true }).await);
        assert!(!readiness.ask(async { false }).await);
        assert!(readiness.ask(async { true }).await);
    }
}
