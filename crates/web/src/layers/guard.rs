//! What stands before every handler: is the request for us, may it be asked in this way, and not too often.
//!
//! Made from the row of the table that the router matched, so no route can be without it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{StatusCode, header};
use protocol::oauth::ErrorCode;

use crate::front::Visit;
use crate::layers::cors;
use crate::layers::limits::Budget;
use crate::respond::{self, Failure};
use crate::router;
use crate::routes::{Access, Route, Shape};
use crate::text::Trouble;

/// Refuses, or lets the request on to its handler; counts it either way.
pub(crate) async fn guard(
    State(route): State<&'static Route>,
    Extension(visit): Extension<Arc<Visit>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !visit.serves.includes(route.visitors) {
        return router::not_found(Extension(visit), request).await;
    }
    match route.access {
        Access::Browser => {}
        // Cookies are for pages: nothing else is ever shown one, so nothing else can come to trust one.
        Access::Bearer | Access::Public | Access::Server => {
            request.headers_mut().remove(header::COOKIE);
        }
    }
    let mut response = match admit(route, &visit, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    if route.cors {
        cors::expose(response.headers_mut(), &visit.origin);
    }
    visit.front.metrics.count(route, response.status());
    response
}

fn admit(route: &'static Route, visit: &Visit, request: &Request) -> Result<(), Box<Response>> {
    if !route.any_host && !visit.names.is_host_of(route.visitors) {
        return Err(Box::new(wrong_host(route, visit)));
    }
    if route.cors && cors::is_preflight(request.method(), request.headers()) {
        return Err(Box::new(cors::preflight(route, &visit.origin, request.headers())));
    }
    if !route.methods.contains(request.method()) {
        return Err(Box::new(method_unknown(route, visit)));
    }
    let Some(budget) = route.budget else { return Ok(()) };
    let now = visit.front.parts.clock.monotonic();
    visit.front.limiter.draw(budget, visit.address, now).map_err(|limited| {
        let mut response = too_many(route, visit, budget);
        respond::retry_after(&mut response, limited);
        Box::new(response)
    })
}

fn wrong_host(route: &Route, visit: &Visit) -> Response {
    refuse(route, visit, "wrong_host", (Trouble::WrongHost, StatusCode::MISDIRECTED_REQUEST))
}

fn method_unknown(route: &Route, visit: &Visit) -> Response {
    let mut response =
        refuse(route, visit, "method_unknown", (Trouble::MethodUnknown, StatusCode::METHOD_NOT_ALLOWED));
    response.headers_mut().insert(header::ALLOW, route.allow());
    response
}

/// The refusal of a budget that is used up.
pub(crate) fn too_many(route: &Route, visit: &Visit, budget: Budget) -> Response {
    visit.front.metrics.limited(budget);
    refuse(route, visit, "too_many_requests", (Trouble::TooMany, StatusCode::TOO_MANY_REQUESTS))
}

/// A refusal in the form in which the route answers.
fn refuse(
    route: &Route,
    visit: &Visit,
    reason: &'static str,
    (trouble, status): (Trouble, StatusCode),
) -> Response {
    Failure::at_the_door(route.name, reason).log(visit);
    match route.shape {
        Shape::Page => respond::trouble(visit, trouble, None),
        Shape::Call | Shape::Json => {
            let code = match status {
                StatusCode::TOO_MANY_REQUESTS => ErrorCode::TemporarilyUnavailable,
                _ => ErrorCode::InvalidRequest,
            };
            respond::oauth_with_status(status, code)
        }
    }
}
