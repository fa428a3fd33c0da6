//! The consent page: shown by GET, answered by POST, and nothing of what is granted comes from the form but what the
//! person ticked (attacks CS-05, CS-14).

use std::sync::Arc;

use authorization_server::{ConsentAnswer, ConsentError, ConsentForm, ConsentReason, ConsentStep, Verdict};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use protocol::oauth::Form;
use store::SignInStep;

use crate::cookies::{self, Cookie};
use crate::form;
use crate::front::Visit;
use crate::login::{foreign_form, refused_form, text};
use crate::pages;
use crate::respond::{self, Failure};
use crate::text::Trouble;

const NAME: &str = "consent";

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
    let authorization = text(query, "authorization");
    let browser = visit.browser(&headers);
    if let Ok(Some(page)) = visit.authorization_server().page_after(&authorization, &browser).await {
        return respond::redirect(&page);
    }
    match visit.authorization_server().consent_page(&authorization, &browser).await {
        Ok(ConsentStep::Answer(answer)) => answered(visit, *answer),
        Ok(ConsentStep::Page(page)) => pages::consent(visit, &page),
        Err(error) => refuse(visit, NAME, &error, &authorization),
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
    let Some(verdict) = verdict(&form) else { return foreign_form(visit, NAME) };
    let authorization = text(&form, "authorization");
    let form = ConsentForm {
        authorization: authorization.clone(),
        csrf: text(&form, "csrf"),
        decision: verdict,
        scope: texts(&form, "scope"),
        further: texts(&form, "further"),
        // Of two times neither is offered.
        life: form.contains("life").then(|| form.all("life").join(" ")),
    };
    match visit.authorization_server().decide_consent(form, visit.browser(&headers)).await {
        Ok(answer) => answered(visit, answer),
        Err(error) => refuse(visit, NAME, &error, &authorization),
    }
}

fn texts(form: &Form, name: &str) -> Vec<String> {
    form.all(name).into_iter().map(str::to_owned).collect()
}

/// Back to the client. A browser in which the consent is remembered is known for as long.
fn answered(visit: &Visit, answer: ConsentAnswer) -> Response {
    let mut response = respond::redirect(&answer.to.with_response(&answer.response));
    let kept = answer.keep_binding;
    let cookie = kept.and_then(|(value, life)| visit.front.cookies.set(Cookie::Binding, value, Some(life)));
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn verdict(form: &Form) -> Option<Verdict> {
    match form.get("decision").once()? {
        "allow" => Some(Verdict::Allow),
        "deny" => Some(Verdict::Deny),
        _ => None,
    }
}

/// A page that says why; or the way to the page that comes first.
pub(crate) fn refuse(
    visit: &Visit,
    endpoint: &'static str,
    error: &ConsentError,
    authorization: &str,
) -> Response {
    Failure {
        blame: error.blame().into(),
        endpoint,
        error: Some(error),
        reason: error.reason(),
        reference: Some(&error.reference),
    }
    .log(visit);
    // In either case the id was found in the record, so it is one of ours and fits a URL.
    match outcome_of(&error.reason) {
        Outcome::Approval => respond::redirect(&format!("/login/approval?authorization={authorization}")),
        // The session ended, or was somebody else's: sign in, then come back here (attacks CS-07).
        Outcome::SignIn => respond::redirect(&format!("/login?authorization={authorization}")),
        Outcome::Trouble(trouble) => {
            let role = visit.authorization_server();
            role.refused_at(SignInStep::ConsentRefused, error.reason(), &error.reference, &visit.caller());
            respond::trouble(visit, trouble, Some(&error.reference))
        }
    }
}

/// Where the person comes.
enum Outcome {
    /// To the page of those who wait for an administrator.
    Approval,
    /// To the login page.
    SignIn,
    /// To a page that says what is wrong.
    Trouble(Trouble),
}

fn outcome_of(reason: &ConsentReason) -> Outcome {
    Outcome::Trouble(match reason {
        ConsentReason::ApprovalNeeded => return Outcome::Approval,
        ConsentReason::AlreadyDecided => Trouble::AlreadyDecided,
        ConsentReason::ClientBlocked => Trouble::ClientBlocked,
        ConsentReason::ClientGone => Trouble::ClientUnknown,
        ConsentReason::ClientOutside => Trouble::ClientOutside,
        ConsentReason::CsrfMismatch | ConsentReason::LifeUnknown => Trouble::FormForeign,
        ConsentReason::Expired => Trouble::Expired,
        ConsentReason::LoginRequired => return Outcome::SignIn,
        ConsentReason::NotAdmitted => Trouble::NotAdmitted,
        ConsentReason::NothingTicked => Trouble::NothingTicked,
        ConsentReason::OtherBrowser => Trouble::OtherBrowser,
        ConsentReason::PersonDisabled => Trouble::PersonDisabled,
        ConsentReason::ServerGone => Trouble::ServerGone,
        ConsentReason::StalePage => Trouble::StalePage,
        ConsentReason::Store(_) => pages::trouble_of_house(reason.code()),
        ConsentReason::TooManyWaiting => Trouble::TooManyWaiting,
        ConsentReason::Unknown => Trouble::Unknown,
    })
}
