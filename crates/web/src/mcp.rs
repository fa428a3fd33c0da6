//! The MCP endpoints: what a browser could be made to send is refused here (requirements RS-051 to RS-054), everything
//! else is the resource server's.
//!
//! The hot path. The body is handed on as it comes; nothing of it is read, copied or boxed here.

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::body::Body;
use crate::front::Visit;
use crate::layers::cors;
use crate::layers::origin::Origin;
use crate::respond::{self, Failure};
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
    match visit.front.parts.resource_server.call(server, request, visit.address).await {
        Ok(response) => response.map(Body::call),
        Err(error) => {
            Failure {
                blame: error.blame().into(),
                endpoint: MCP.name,
                error: Some(error.cause()),
                reason: error.reason(),
                reference: None,
            }
            .log(visit);
            respond::call(&error)
        }
    }
}

fn refuse(visit: &Visit, reason: &'static str, message: &'static str) -> Response<Body> {
    Failure::at_the_door(MCP.name, reason).log(visit);
    respond::call_at_the_door(StatusCode::FORBIDDEN, message)
}
