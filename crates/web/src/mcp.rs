//! The MCP endpoints: what a browser could be made to send is refused here (requirements RS-051 to RS-054), everything
//! else is the resource server's.
//!
//! The hot path. The body is handed on as it comes; nothing of it is read, copied or boxed here.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use resource_server::{CallReason, Caller};

use crate::body::Body;
use crate::front::Visit;
use crate::layers::cors;
use crate::layers::limits::Budget;
use crate::layers::origin::Origin;
use crate::respond::{self, Failure};
use crate::router::wants_page;
use crate::routes::MCP;

/// Answers one call.
pub(crate) async fn call<B>(visit: &Visit, server: &str, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    let mut response = admit(visit, server, request).await;
    cors::expose(response.headers_mut(), &visit.origin);
    visit.front.metrics.count_call(response.status());
    response
}

async fn admit<B>(visit: &Visit, server: &str, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    if !visit.names.is_host_of(MCP.visitors) {
        return refuse(visit, "wrong_host", "The request names another host.");
    }
    if visit.origin == Origin::Refused {
        return refuse(visit, "origin_refused", "The origin is not allowed.");
    }
    if cors::is_preflight(request.method(), request.headers()) {
        return cors::preflight(&MCP, &visit.origin, request.headers());
    }
    let is_opened = request.method() == Method::GET && wants_page(request.headers());
    let (limiter, clock) = (&visit.front.limiter, &visit.front.parts.clock);
    let is_suspect = || limiter.is_used_up(Budget::BadTokens, visit.address, clock.monotonic());
    let caller = Caller { address: visit.address, is_suspect: &is_suspect };
    match visit.front.parts.resource_server.call(server, request, caller).await {
        Ok(response) => response.map(Body::call),
        Err(error) => {
            count_bad_token(visit, error.cause());
            Failure {
                blame: error.blame().into(),
                endpoint: MCP.name,
                error: Some(error.cause()),
                reason: error.reason(),
                reference: None,
            }
            .log(visit);
            let is_bare = matches!(error.cause(), CallReason::ServerUnknown | CallReason::TokenMissing);
            if is_opened && is_bare { respond::call_as_page(visit, &error) } else { respond::call(&error) }
        }
    }
}

/// Only what was refused draws on the budget: a token that is right costs its address nothing.
fn count_bad_token(visit: &Visit, reason: &CallReason) {
    if reason.is_of_a_bad_token() {
        let now = visit.front.parts.clock.monotonic();
        // One too many, of several at once, is told at the next.
        let _ = visit.front.limiter.draw(Budget::BadTokens, visit.address, now);
    } else if matches!(reason, CallReason::TokensRefused) {
        visit.front.metrics.limited(Budget::BadTokens);
    }
}

fn refuse(visit: &Visit, reason: &'static str, message: &'static str) -> Response<Body> {
    Failure::at_the_door(MCP.name, reason).log(visit);
    respond::call_at_the_door(StatusCode::FORBIDDEN, message)
}
