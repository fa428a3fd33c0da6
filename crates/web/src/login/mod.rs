//! The login page: it names the client before anybody is sent anywhere, and only the POST of its button sets the
//! cookie of the upstream leg (product.md, P-10; attacks CB-02).

pub(crate) mod callback;
pub(crate) mod development;
pub(crate) mod emergency;

use std::sync::Arc;

use authorization_server::{LegStarted, LoginError, LoginForm, LoginReason};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use protocol::id::Reference;
use protocol::oauth::Form;
use store::SignInStep;

use crate::cookies::{self, Cookie};
use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::pages;
use crate::respond::{self, Failure};
use crate::text::Trouble;

const NAME: &str = "login";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    if request.method() == Method::POST {
        return press(&visit, request).await;
    }
    match form::query(&request) {
        Ok(query) => show(&visit, request.headers().clone(), &query).await,
        Err(refusal) => refused_form(&visit, NAME, refusal),
    }
}

async fn show(visit: &Visit, headers: HeaderMap, query: &Form) -> Response {
    let authorization = query.get("authorization").once().unwrap_or_default();
    let browser = visit.browser(&headers);
    match visit.authorization_server().login_page(authorization, &browser).await {
        Ok(page) => pages::login(visit, &page),
        Err(error) => refuse(visit, NAME, &error),
    }
}

async fn press(visit: &Visit, request: Request) -> Response {
    let headers = request.headers().clone();
    if cookies::is_foreign_form(&headers, visit.front.settings.pages()) {
        return foreign_form(visit, NAME);
    }
    let form = match form::read(request).await {
        Ok(form) => form,
        Err(refusal) => return refused_form(visit, NAME, refusal),
    };
    let form = LoginForm {
        address: text(&form, "address"),
        authorization: text(&form, "authorization"),
        connector: text(&form, "connector"),
        csrf: text(&form, "csrf"),
    };
    match visit.authorization_server().start_login(form, visit.browser(&headers)).await {
        Ok(LegStarted { location, set_leg }) => {
            let mut response = respond::redirect(&location);
            // The sign-in lives no longer, so neither does the cookie of its upstream leg (product.md, P-4).
            let life = visit.authorization_server().settings().lifetimes.authorization;
            let cookie = set_leg.and_then(|value| visit.front.cookies.set(Cookie::Leg, value, Some(life)));
            if let Some(cookie) = cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => refuse(visit, NAME, &error),
    }
}

/// A field of a form; one that is missing or repeated is empty, which no role accepts.
pub(crate) fn text(form: &Form, name: &str) -> String {
    form.get(name).once().unwrap_or_default().to_owned()
}

/// A form that was sent by another site's page.
pub(crate) fn foreign_form(visit: &Visit, endpoint: &'static str) -> Response {
    let reference = refused_at_the_door(visit, Failure::at_the_door(endpoint, "form_foreign"));
    respond::trouble(visit, Trouble::FormForeign, Some(&reference))
}

/// A form that could not be read.
pub(crate) fn refused_form(visit: &Visit, endpoint: &'static str, refusal: FormRefusal) -> Response {
    let reference = refused_at_the_door(visit, Failure::at_the_door(endpoint, refusal.reason()));
    respond::trouble(visit, pages::trouble_of_form(refusal), Some(&reference))
}

/// A page of a sign-in that was refused before it was known which: it gets a reference of its own.
pub(crate) fn refused_at_the_door(visit: &Visit, failure: Failure<'_>) -> Reference {
    let step = match failure.endpoint {
        "authorize" => SignInStep::AuthorizeRefused,
        "consent" => SignInStep::ConsentRefused,
        _ => SignInStep::SignInRefused,
    };
    let role = visit.authorization_server();
    let reference = role.refused_stranger(step, failure.reason, &visit.caller());
    Failure { reference: Some(&reference), ..failure }.log(visit);
    reference
}

fn refuse(visit: &Visit, endpoint: &'static str, error: &LoginError) -> Response {
    log_refusal(visit, endpoint, error);
    respond::trouble(visit, trouble_of(&error.reason), Some(&error.reference))
}

fn log_refusal(visit: &Visit, endpoint: &'static str, error: &LoginError) {
    let role = visit.authorization_server();
    role.refused_at(SignInStep::SignInRefused, error.reason(), &error.reference, &visit.caller());
    Failure {
        blame: error.blame().into(),
        endpoint,
        error: Some(error),
        reason: error.reason(),
        reference: Some(&error.reference),
    }
    .log(visit);
}

fn trouble_of(reason: &LoginReason) -> Trouble {
    match reason {
        LoginReason::AddressUnknown => Trouble::ProviderUnknown,
        LoginReason::AlreadyDecided => Trouble::AlreadyDecided,
        LoginReason::CallbackMalformed
        | LoginReason::ConnectorMismatch
        | LoginReason::UpstreamMalformed(_) => Trouble::ProviderUntrusted,
        LoginReason::CallbackUnboundBrowser | LoginReason::OtherBrowser => Trouble::OtherBrowser,
        LoginReason::CallbackUnknown | LoginReason::ConnectorUnknown | LoginReason::Unknown => {
            Trouble::Unknown
        }
        LoginReason::ClientBlocked => Trouble::ClientBlocked,
        LoginReason::ClientGone => Trouble::ClientUnknown,
        LoginReason::CsrfMismatch => Trouble::FormForeign,
        LoginReason::EmergencyCodeUnknown => Trouble::EmergencyCodeUnknown,
        LoginReason::Expired => Trouble::Expired,
        LoginReason::PersonDisabled => Trouble::PersonDisabled,
        LoginReason::SealBroken => Trouble::House,
        LoginReason::Store(_) => pages::trouble_of_house(reason.code()),
        LoginReason::UpstreamNotAllowed(_) => Trouble::ProviderNotAllowed,
        LoginReason::UpstreamRefused(_) => Trouble::ProviderDeclined,
        LoginReason::UpstreamUnreachable => Trouble::ProviderAway,
    }
}
