//! The tower layer: serves the metadata document, and lets a request through with its [`crate::Caller`], or answers it.
//!
//! A POST is read whole, bounded, before it goes on: which scope it needs stands in its body. What was read is what goes on.
//! An answer that is open is watched (`watched.rs`).

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use protocol::mcp::McpCall;
use protocol::oauth::{ErrorCode, Scope};
use tower::Layer;
use tower::Service;

use crate::access::Caller;
use crate::calls::needed;
use crate::guard::{Admitted, Guard, Refused};
use crate::watched::Watched;

type Answered<B> = Response<Either<Full<Bytes>, Watched<B>>>;

/// Guards a service.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    guard: Guard,
}

impl GuardLayer {
    pub(crate) const fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.guard.clone(), inner }
    }
}

/// A guarded service.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Guarded<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Out>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    In: Body<Data = Bytes> + Send + 'static,
    In::Error: Into<Box<dyn Error + Send + Sync>>,
    Out: Body + Send + 'static,
{
    type Response = Answered<Out>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answered<Out>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // The one that is ready is taken; its copy waits for the next call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let guard = self.guard.clone();
        Box::pin(async move {
            match judge(&guard, request).await {
                Ok((request, admitted)) => {
                    let answer = inner.call(request).await?;
                    Ok(answer.map(|body| Either::Right(Watched::new(body, guard, admitted))))
                }
                Err(answer) => Ok(answer.map(Either::Left)),
            }
        })
    }
}

/// A request that may go on, and by what.
type Judged = (Request<Full<Bytes>>, Admitted);

/// The request as it may go on, or the answer.
async fn judge<B>(guard: &Guard, request: Request<B>) -> Result<Judged, Response<Full<Bytes>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let inside = &guard.inside;
    if request.method() == Method::GET && request.uri().path() == inside.metadata_path {
        return Err(json(StatusCode::OK, inside.metadata.clone(), &[(CACHE_CONTROL, "public, max-age=300")]));
    }
    let admitted = inside.admit(request.headers()).await.map_err(|refused| refuse(guard, refused))?;
    let caller = &admitted.caller;
    let (mut parts, body) = request.into_parts();
    let body = match Limited::new(body, inside.settings.message_bytes).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(plain(StatusCode::PAYLOAD_TOO_LARGE)),
    };
    if parts.method == Method::POST {
        let call = McpCall::read(&parts.headers, &body)
            .map_err(|refused| json(StatusCode::BAD_REQUEST, refused.to_error().to_body().to_vec(), &[]))?;
        let lacking = needed(&call, &inside.settings.read_only).filter(|scope| !suffices(caller, scope));
        if let Some(scope) = lacking {
            return Err(insufficient(guard, caller, scope));
        }
    } else if !suffices(caller, "read") {
        return Err(insufficient(guard, caller, "read"));
    }
    // The credential ends here: the MCP server has no use for it.
    parts.headers.remove(http::header::AUTHORIZATION);
    parts.headers.remove(http::header::TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    parts.extensions.insert(caller.clone());
    Ok((Request::from_parts(parts, Full::new(body)), admitted))
}

/// `write` holds what `read` does, as at the gateway.
fn suffices(caller: &Caller, scope: &str) -> bool {
    caller.may(scope) || (scope == "read" && caller.may("write"))
}

fn refuse(guard: &Guard, refused: Refused) -> Response<Full<Bytes>> {
    let status = match refused {
        Refused::TokenBound | Refused::TokenInvalid | Refused::TokenMissing => StatusCode::UNAUTHORIZED,
        Refused::Stale => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = plain(status);
    match guard.inside.challenge_of(refused) {
        Some(challenge) => answer.headers_mut().insert(WWW_AUTHENTICATE, challenge),
        None => answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1")),
    };
    answer
}

/// RFC 6750, section 3.1. The challenge names what the token has already too: clients of 2025-11-25 ask for exactly what it
/// names, and would lose the rest.
fn insufficient(guard: &Guard, caller: &Caller, scope: &str) -> Response<Full<Bytes>> {
    let wanted = Scope::parse(scope).unwrap_or_default().union(caller.scope());
    let mut answer = plain(StatusCode::FORBIDDEN);
    let challenge = guard.inside.challenge(Some(ErrorCode::InsufficientScope), wanted);
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn json(status: StatusCode, body: Vec<u8>, more: &[(HeaderName, &'static str)]) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in more {
        answer.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    answer
}
