//! The front doors as they stand now: under the public URL, and for a while under those that the house had before
//! (product.md, P-23). The set is exchanged as a whole when the configuration is read again; a request that has begun
//! is answered by the doors it came to.
//!
//! Which set of identifiers answers is told by the host that a request names, and by nothing else in it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use protocol::world::Timestamp;

use crate::body::Body;
use crate::front::Front;
use crate::layers::host;
use crate::listener::{Peer, Serves};
use crate::serve::Arriving;

/// The doors of a public URL that the house had before.
#[derive(Clone, Debug)]
pub struct FormerFront {
    /// Its doors.
    pub front: Arc<Front>,
    /// From this moment on it is another host like any other.
    pub until: Timestamp,
}

#[derive(Debug)]
struct Standing {
    current: Arc<Front>,
    former: Vec<FormerFront>,
}

/// The front doors as they stand now.
pub struct Fronts {
    standing: ArcSwap<Standing>,
}

impl Fronts {
    /// The doors of one house that never moved.
    #[must_use]
    pub fn new(front: Arc<Front>) -> Arc<Self> {
        Self::with_former(front, Vec::new())
    }

    /// The doors of a house, and those it had before.
    #[must_use]
    pub fn with_former(current: Arc<Front>, former: Vec<FormerFront>) -> Arc<Self> {
        Arc::new(Self { standing: ArcSwap::from_pointee(Standing { current, former }) })
    }

    /// Exchanges all of them: from here on new requests come to these.
    pub fn exchange(&self, current: Arc<Front>, former: Vec<FormerFront>) {
        self.standing.store(Arc::new(Standing { current, former }));
    }

    /// The doors of the public URL.
    #[must_use]
    pub fn current(&self) -> Arc<Front> {
        Arc::clone(&self.standing.load().current)
    }

    /// Counts a reading of the configuration: whether it was taken, or refused and the last good one kept.
    pub fn count_reload(&self, taken: bool) {
        self.standing.load().current.metrics.reloaded(taken);
    }

    /// Answers one request of a peer.
    pub async fn answer<B>(&self, peer: SocketAddr, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        self.for_request(&request).answer(peer, request).await
    }

    fn for_request<B>(&self, request: &Request<B>) -> Arc<Front> {
        let standing = self.standing.load();
        let meant = standing.former.iter().find(|former| {
            host::is_named(request.uri(), request.headers(), &former.front.settings.public_url)
                && former.front.parts.clock.now() < former.until
        });
        Arc::clone(meant.map_or(&standing.current, |former| &former.front))
    }
}

impl fmt::Debug for Fronts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fronts").field(&self.standing.load()).finish()
    }
}

/// The doors of one connection, for hyper.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) fronts: Arc<Fronts>,
    pub(crate) peer: Peer,
    pub(crate) serves: Serves,
}

impl hyper::service::Service<Request<Arriving>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Arriving>) -> Self::Future {
        Box::pin(self.fronts.for_request(&request).answer_at(self.serves, self.peer, request))
    }
}
