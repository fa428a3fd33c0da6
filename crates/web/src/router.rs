//! The table of routes as a router: each row with its guard, and each endpoint with its handler.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use axum::{Extension, Router, middleware};
use http::{HeaderMap, StatusCode, header};
use store::SignInStep;

use crate::front::Visit;
use crate::layers::guard::guard;
use crate::respond::{self, Failure};
use crate::routes::{Endpoint, ROUTES, Route};
use crate::text::Trouble;
use crate::{
    acme, approval, assets, connect, consent, device, health, index, login, oauth, signals, well_known,
};

/// Everything but the MCP endpoints.
pub(crate) fn router() -> Router {
    let rows = ROUTES.iter().fold(Router::new(), |router, route| {
        // Methods are refused by the guard, from the table, so the handler takes any.
        router.route(route.path, handler(route).layer(middleware::from_fn_with_state(route, guard)))
    });
    rows.fallback(not_found)
}

fn handler(route: &Route) -> MethodRouter {
    match route.endpoint {
        Endpoint::AcmeChallenge => any(acme::answer),
        Endpoint::Approval => any(approval::answer),
        Endpoint::Asset => any(assets::answer),
        Endpoint::Authorize => any(oauth::authorize::answer),
        Endpoint::AuthorizationServerMetadata => any(well_known::authorization_server),
        Endpoint::BackchannelLogout => any(signals::backchannel_logout::answer),
        Endpoint::Callback => any(login::callback::answer),
        Endpoint::Connect => any(connect::answer),
        Endpoint::ConnectCallback => any(connect::callback),
        Endpoint::ConnectClient => any(connect::client),
        Endpoint::Connections => any(connect::connections),
        Endpoint::Consent => any(consent::answer),
        Endpoint::Device => any(device::answer),
        Endpoint::DeviceAuthorization => any(oauth::device_authorization::answer),
        Endpoint::DeviceDone => any(device::done),
        Endpoint::Emergency => any(login::emergency::answer),
        Endpoint::GlobalTokenRevocation => any(signals::global_token_revocation::answer),
        Endpoint::Health => any(health::alive),
        Endpoint::Index => any(index::answer),
        Endpoint::Introspect => any(oauth::introspect::answer),
        Endpoint::Jwks => any(oauth::jwks::answer),
        Endpoint::Login => any(login::answer),
        Endpoint::LoginDevelopment => any(login::development::answer),
        // Dispatched before the router; were it to come here, it would not be found.
        Endpoint::Mcp => any(not_found),
        Endpoint::OpenidConfiguration => any(well_known::openid_configuration),
        Endpoint::Par => any(oauth::par::answer),
        Endpoint::ProtectedResourceMetadata => any(well_known::protected_resource),
        Endpoint::Ready => any(health::ready),
        Endpoint::Register => any(oauth::register::answer),
        Endpoint::Revocations => any(oauth::revocations::answer),
        Endpoint::Revoke => any(oauth::revoke::answer),
        Endpoint::SecurityEvents => any(signals::security_events::answer),
        Endpoint::Token => any(oauth::token::answer),
    }
}

/// Any other path: a page for whoever reads pages, JSON for all else.
pub(crate) async fn not_found(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    Failure::at_the_door("none", "not_found").log(&visit);
    visit.front.metrics.count_unmatched(StatusCode::NOT_FOUND);
    if LEGACY_PATHS.contains(&request.uri().path()) {
        return legacy_path(&visit, request.headers());
    }
    nothing_here(&visit, request.headers())
}

/// Where clients of MCP 2025-03-26 look that read no metadata ("Fallbacks for Servers without Metadata Discovery").
const LEGACY_PATHS: [&str; 3] = ["/authorize", "/register", "/token"];

/// Still a 404, but whoever looks for the reason finds it.
fn legacy_path(visit: &Visit, headers: &HeaderMap) -> Response {
    let role = visit.authorization_server();
    let reference = role.refused_stranger(SignInStep::PathUnknown, "legacy_path", &visit.caller());
    if wants_page(headers) {
        return respond::trouble(visit, Trouble::NotFound, Some(&reference));
    }
    let told =
        format!("There is nothing at this path. The metadata names the endpoints. Reference {reference}.");
    respond::json(
        StatusCode::NOT_FOUND,
        &serde_json::json!({ "error": "not_found", "error_description": told }),
    )
}

/// The 404 of a path that exists in form only, such as the metadata of an MCP server that is not here.
pub(crate) fn nothing_here(visit: &Visit, headers: &HeaderMap) -> Response {
    if wants_page(headers) {
        return respond::trouble(visit, Trouble::NotFound, None);
    }
    respond::json(StatusCode::NOT_FOUND, &serde_json::json!({ "error": "not_found" }))
}

/// Whether a person reads the answer.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| range.trim().starts_with("text/html"))
}
