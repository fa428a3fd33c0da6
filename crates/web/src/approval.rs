//! The page of somebody who waits for an administrator (product.md, P-7). It needs no script: a button asks again.

use std::sync::Arc;

use authorization_server::Approval;
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;

use crate::consent;
use crate::form;
use crate::front::Visit;
use crate::login::{refused_form, text};
use crate::pages;
use crate::respond;

const NAME: &str = "approval";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let query = match form::query(&request) {
        Ok(query) => query,
        Err(refusal) => return refused_form(&visit, NAME, refusal),
    };
    let authorization = text(&query, "authorization");
    let browser = visit.browser(request.headers());
    match visit.authorization_server().approval_page(&authorization, &browser).await {
        Ok(Approval::Given(id)) => respond::redirect(&format!("/consent?authorization={id}")),
        Ok(Approval::Waiting(page)) => pages::approval(&visit, &page),
        Err(error) => consent::refuse(&visit, NAME, &error, &authorization),
    }
}
