//! The page on which a person types the code that a device shows (RFC 8628, section 3.3), and the one on which the way ends.
//!
//! A code that came in the URL is filled in and not taken: the person compares it and presses the button (section 3.3.1).

use std::sync::Arc;

use authorization_server::{DeviceEntered, DevicePageError, DevicePageReason};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use protocol::oauth::{Form, UserCode};

use crate::cookies::{self, Cookie};
use crate::form;
use crate::front::Visit;
use crate::login::{foreign_form, refused_form, text};
use crate::pages;
use crate::respond::{self, Failure};
use crate::text::Trouble;

const NAME: &str = "device";
const DONE: &str = "device_done";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    if request.method() == Method::POST {
        return press(&visit, request).await;
    }
    match form::query(&request) {
        Ok(query) => pages::device(&visit, &typed(&query)),
        Err(refusal) => refused_form(&visit, NAME, refusal),
    }
}

/// The code of the URL as we write it; whatever else stands there is nobody's code, and is not shown.
fn typed(query: &Form) -> String {
    UserCode::parse(&text(query, "user_code")).map(|code| code.to_string()).unwrap_or_default()
}

async fn press(visit: &Visit, request: Request) -> Response {
    let headers = request.headers().clone();
    if cookies::is_foreign_form(&headers, visit.front.settings.pages()) {
        return foreign_form(visit, NAME);
    }
    match form::read(request).await {
        Ok(form) => enter(visit, &headers, &text(&form, "user_code")).await,
        Err(refusal) => refused_form(visit, NAME, refusal),
    }
}

async fn enter(visit: &Visit, headers: &HeaderMap, user_code: &str) -> Response {
    let browser = visit.browser(headers);
    match visit.authorization_server().enter_user_code(user_code, &browser, &visit.caller()).await {
        Ok(DeviceEntered { authorization, set_binding }) => {
            let mut response = respond::redirect(&format!("/consent?authorization={authorization}"));
            let cookie = set_binding.and_then(|value| visit.front.cookies.set(Cookie::Binding, value, None));
            if let Some(cookie) = cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => refuse(visit, &error),
    }
}

fn refuse(visit: &Visit, error: &DevicePageError) -> Response {
    Failure {
        blame: error.reason.blame().into(),
        endpoint: NAME,
        error: Some(error),
        reason: error.reason.reason(),
        reference: Some(&error.reference),
    }
    .log(visit);
    respond::trouble(visit, trouble_of(&error.reason), Some(&error.reference))
}

fn trouble_of(reason: &DevicePageReason) -> Trouble {
    match reason {
        DevicePageReason::ClientBlocked => Trouble::ClientBlocked,
        DevicePageReason::ClientGone => Trouble::ClientUnknown,
        DevicePageReason::CodeUnknown => Trouble::UserCodeUnknown,
        DevicePageReason::CodeUsed => Trouble::UserCodeUsed,
        DevicePageReason::ServerGone => Trouble::ServerGone,
        DevicePageReason::Store(_) => pages::trouble_of_house(reason.code()),
        DevicePageReason::TooManyGuesses => Trouble::TooMany,
        DevicePageReason::TooManyPending => Trouble::HouseBusy,
    }
}

/// Where a consent to a device ends. Nothing in the URL is believed but whether it was a yes, and nothing hangs on that.
pub(crate) async fn done(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    match form::query(&request) {
        Ok(query) => pages::device_done(&visit, query.contains("code")),
        Err(refusal) => refused_form(&visit, DONE, refusal),
    }
}
