//! The page of the development identity provider, which asks no password. It is there only if that provider is
//! configured, which the configuration allows on loopback alone; otherwise there is no such page.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::Method;

use super::{foreign_form, refused_form, text};
use crate::cookies;
use crate::form;
use crate::front::Visit;
use crate::pages::{self, Example};
use crate::respond::{self, Blame, Failure};
use crate::router::nothing_here;
use crate::text::Trouble;

const NAME: &str = "login_development";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let Some(development) = visit.authorization_server().development() else {
        return nothing_here(&visit, request.headers());
    };
    if request.method() == Method::POST {
        return press(&visit, request).await;
    }
    match form::query(&request) {
        Ok(query) => {
            let people = development.people().iter();
            let people =
                people.map(|person| Example { login: person.login.clone(), label: person.name.clone() });
            pages::development(&visit, &text(&query, "state"), people.collect())
        }
        Err(refusal) => refused_form(&visit, NAME, refusal),
    }
}

async fn press(visit: &Visit, request: Request) -> Response {
    if cookies::is_foreign_form(request.headers(), visit.front.settings.pages()) {
        return foreign_form(visit, NAME);
    }
    let form = match form::read(request).await {
        Ok(form) => form,
        Err(refusal) => return refused_form(visit, NAME, refusal),
    };
    let Some(development) = visit.authorization_server().development() else {
        return respond::trouble(visit, Trouble::NotFound, None);
    };
    let parts = &visit.front.parts;
    let (login, state) = (text(&form, "login"), text(&form, "state"));
    match development.authorize(&login, &state, parts.clock.now(), parts.entropy.as_ref()) {
        Ok(callback) => respond::redirect(&callback),
        Err(error) => {
            let reason = error.reason();
            Failure { blame: Blame::User, ..Failure::at_the_door(NAME, reason) }.log(visit);
            let known = development.people().iter().any(|person| person.login == login);
            respond::trouble(visit, if known { Trouble::Unknown } else { Trouble::UnknownPerson }, None)
        }
    }
}
