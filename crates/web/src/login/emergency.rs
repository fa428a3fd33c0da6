//! The page for signing in while the identity provider is away. It is there only while somebody has been given a code;
//! otherwise there is no such page.

use std::sync::Arc;

use authorization_server::{EmergencyForm, SignedIn};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method};
use protocol::oauth::Form;
use protocol::secret::Secret;

use super::{callback, foreign_form, refuse, refused_form, text};
use crate::cookies;
use crate::form;
use crate::front::Visit;
use crate::pages;
use crate::router::nothing_here;

const NAME: &str = "login_emergency";

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
    match visit.authorization_server().emergency_page(authorization, &visit.browser(&headers)).await {
        Ok(Some(page)) => pages::emergency(visit, &page),
        Ok(None) => nothing_here(visit, &headers),
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
    let form = EmergencyForm {
        authorization: text(&form, "authorization"),
        // Copied from a terminal or read off paper.
        code: Secret::new(text(&form, "code").trim().to_owned()),
        csrf: text(&form, "csrf"),
    };
    let browser = visit.browser(&headers);
    match visit.authorization_server().emergency_login(form, browser, &visit.caller()).await {
        Ok(SignedIn { resume, set_session, .. }) => callback::go_on(visit, resume, set_session),
        Err(error) => refuse(visit, NAME, &error),
    }
}
