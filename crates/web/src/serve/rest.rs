//! What of an HTTP/1.1 request's body nobody has read when its answer is ready (RFC 9112, section 9.6).
//!
//! A small rest that arrives in time is read for nothing, so that the connection can go on. Otherwise the answer says that
//! the connection ends, for hyper would end it without a word, and a client would send its next request into it; and what
//! is still on its way is heard out before the socket is closed (`linger.rs`), for a reset would take the answer with it.
//! HTTP/2 ends a stream by itself. Must never make a client wait for long that sends nothing, nor ask for a body that the
//! client holds back (`Expect: 100-continue`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;

/// The most that is read for nothing before an answer.
const SMALL: u64 = 64 * 1024;
/// How long an answer waits for that.
const BRIEFLY: Duration = Duration::from_millis(500);

/// The body of the one request that an HTTP/1.1 connection has at a time, once its reader let go of it.
#[derive(Debug, Default)]
pub(super) struct Rest {
    left: Mutex<Option<Incoming>>,
    is_unread: AtomicBool,
}

impl Rest {
    /// Whether the connection ends although something was still on its way.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    fn put(&self, body: Option<Incoming>) -> Option<Incoming> {
        std::mem::replace(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner), body)
    }
}

/// The body of a request, as it is handed to whoever answers.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Option<Incoming>,
    rest: Option<Arc<Rest>>,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let (Some(rest), Some(body)) = (&self.rest, self.body.take())
            && !body.is_end_stream()
        {
            rest.put(Some(body));
        }
    }
}

/// A service that may answer before it has read what it was sent.
#[derive(Debug)]
pub(super) struct Heard<S> {
    pub(super) inner: S,
    pub(super) rest: Arc<Rest>,
}

impl<S, B> Service<Request<Incoming>> for Heard<S>
where
    S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible>,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Hearing<S::Future, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_over = request.version() == Version::HTTP_2 || request.body().is_end_stream();
        let rest = (!is_over).then(|| Arc::clone(&self.rest));
        if rest.is_some() {
            self.rest.put(None);
        }
        let held_back = request.headers().contains_key(EXPECT);
        let request = request.map(|body| Arriving { body: Some(body), rest: rest.clone() });
        Hearing { inner: self.inner.call(request), rest, held_back, settling: None }
    }
}

type Settling<B> = Pin<Box<dyn Future<Output = Response<B>> + Send>>;

pin_project! {
    /// An answer that is being made, and then held until the rest is settled.
    pub(super) struct Hearing<F, B> {
        #[pin]
        inner: F,
        rest: Option<Arc<Rest>>,
        held_back: bool,
        settling: Option<Settling<B>>,
    }
}

impl<F, B> Future for Hearing<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Send + 'static,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.settling.is_none() {
            let Ok(response) = ready!(this.inner.poll(cx));
            let Some(rest) = this.rest.take() else { return Poll::Ready(Ok(response)) };
            let Some(left) = rest.put(None) else { return Poll::Ready(Ok(response)) };
            *this.settling = Some(Box::pin(settle(response, left, *this.held_back, rest)));
        }
        match this.settling {
            Some(settling) => settling.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

async fn settle<B>(
    mut response: Response<B>,
    left: Incoming,
    held_back: bool,
    rest: Arc<Rest>,
) -> Response<B> {
    if held_back || !drain(left).await {
        rest.is_unread.store(true, Ordering::Relaxed);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads a small rest to its end; whether it came to that.
async fn drain(mut body: Incoming) -> bool {
    if body.size_hint().lower() > SMALL {
        return false;
    }
    let to_its_end = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(SMALL));
            if read > SMALL {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(BRIEFLY, to_its_end).await.unwrap_or(false)
}
