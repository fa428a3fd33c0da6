//! Connecting an account of a person's own: the page that says where they will be sent, the way back, and what is connected
//! (product.md, P-10 and P-15; attacks CB-15).
//!
//! Only the POST of its button sets the cookie of the way to the provider. Who is signed in is the authorization server's to
//! say, and what may be connected the resource server's. No page is shown under a URL that holds a code.

use std::sync::Arc;

use authorization_server::{AtConnect, AuthorizationServer, Browser};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use protocol::id::{Id, Reference, User};
use protocol::oauth::Form;
use protocol::secret::Secret;
use resource_server::ConnectError;

use crate::cookies::{self, Cookie};
use crate::form;
use crate::front::Visit;
use crate::login::{foreign_form, refused_form, text};
use crate::pages;
use crate::respond::{self, Blame, Failure};
use crate::router::nothing_here;
use crate::routes::{self, CONNECT, CONNECT_CALLBACK, CONNECT_CLIENT};
use crate::text::Trouble;

const NAME: &str = "connect";
const CONNECTIONS: &str = "/account/connections";

/// The name of the MCP server in a path of these.
fn server_of<'a>(path: &'a str, suffix: &str) -> Option<&'a str> {
    path.strip_prefix(CONNECT)?.strip_suffix(suffix).filter(|name| routes::is_name(name))
}

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let Some(server) = server_of(request.uri().path(), "").map(str::to_owned) else {
        return nothing_here(&visit, request.headers());
    };
    if request.method() == Method::POST {
        return press(&visit, &server, request).await;
    }
    match form::query(&request) {
        Ok(query) => show(&visit, &server, request.headers().clone(), &query).await,
        Err(refusal) => refused_form(&visit, NAME, refusal),
    }
}

async fn show(visit: &Visit, server: &str, headers: HeaderMap, query: &Form) -> Response {
    let browser = visit.browser(&headers);
    let link = query.get("for").once();
    match visit.authorization_server().at_connect(server, &browser).await {
        Ok(Some(at)) => {
            let user = at.account.user;
            match visit.front.parts.resource_server.connect_page(user, server, link).await {
                Ok(page) => bound(visit, pages::connect::connect(visit, &page, &at), at),
                Err(error) => refuse_at(visit, &error, server),
            }
        }
        Ok(None) => sign_in(visit, server, link, &browser).await,
        Err(error) => refuse(visit, &error.into()),
    }
}

/// Sets the cookie that ties the forms of a page to this browser.
fn bound(visit: &Visit, response: Response, at: AtConnect) -> Response {
    with(visit, response, Cookie::Binding, at.set_binding)
}

fn with(visit: &Visit, mut response: Response, which: Cookie, value: Option<Secret>) -> Response {
    // The way there and back lives no longer than a sign-in, and what binds forms ends with the browser.
    let life = visit.authorization_server().settings().lifetimes.authorization;
    let life = (which == Cookie::Leg).then_some(life);
    let cookie = value.and_then(|value| visit.front.cookies.set(which, value, life));
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Nobody is signed in: by the usual way, and back to this page.
async fn sign_in(visit: &Visit, server: &str, link: Option<&str>, browser: &Browser) -> Response {
    // Nothing of the URL is passed on but what can be a link of ours.
    let is_mark = |text: &&str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let query = link.filter(is_mark).map_or_else(String::new, |mark| format!("?for={mark}"));
    let role = visit.authorization_server();
    match role.sign_in_to_connect((server, &query), browser, &visit.caller()).await {
        Ok(Some(begun)) => {
            let to = respond::redirect(&format!("/login?authorization={}", begun.authorization));
            with(visit, to, Cookie::Binding, begun.set_binding)
        }
        Ok(None) => refuse(visit, &ConnectError::ServerUnknown),
        Err(error) => refuse(visit, &error.into()),
    }
}

/// Who pressed a button of the page called `place`; or the answer to whoever did not.
async fn pressed(
    visit: &Visit,
    place: &str,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Id<User>, Box<Response>> {
    let browser = visit.browser(headers);
    let role = visit.authorization_server();
    match role.pressed_at_connect(place, &text(form, "csrf"), &browser).await {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(Box::new(foreign_form(visit, NAME))),
        Err(error) => Err(Box::new(refuse(visit, &error.into()))),
    }
}

async fn read(visit: &Visit, request: Request) -> Result<(HeaderMap, Form), Box<Response>> {
    let headers = request.headers().clone();
    if cookies::is_foreign_form(&headers, visit.front.settings.pages()) {
        return Err(Box::new(foreign_form(visit, NAME)));
    }
    let form = form::read(request).await;
    let form = form.map_err(|refusal| Box::new(refused_form(visit, NAME, refusal)))?;
    Ok((headers, form))
}

async fn press(visit: &Visit, server: &str, request: Request) -> Response {
    let (headers, form) = match read(visit, request).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let user = match pressed(visit, server, &headers, &form).await {
        Ok(user) => user,
        Err(answer) => return *answer,
    };
    let leg = visit.authorization_server().leg_to_connect(&visit.browser(&headers));
    match visit.front.parts.resource_server.begin_connecting(user, server, leg.hash()).await {
        Ok(url) => with(visit, respond::redirect(&url), Cookie::Leg, Some(leg)),
        Err(error) => refuse_at(visit, &error, server),
    }
}

/// The way back from a provider.
pub(crate) async fn callback(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let Some(server) = server_of(request.uri().path(), CONNECT_CALLBACK) else {
        return nothing_here(&visit, request.headers());
    };
    let form = match form::query(&request) {
        Ok(form) => form,
        Err(refusal) => return refused_form(&visit, NAME, refusal),
    };
    let browser = visit.browser(request.headers());
    // Where nobody is signed in it is another browser's as well, and is written down as that.
    let user = match visit.authorization_server().signed_in(&browser).await {
        Ok(user) => user,
        Err(error) => return refuse(&visit, &error.into()),
    };
    let who = (user, AuthorizationServer::leg_of(&browser));
    let reference = visit.authorization_server().new_reference();
    match visit.front.parts.resource_server.complete_connecting(who, server, &form, &reference).await {
        Ok(()) => respond::redirect(&format!("{CONNECTIONS}?connected={server}")),
        Err(error) => refuse_under(&visit, &error, Some(server), &reference),
    }
}

/// Who we are to the providers that read it (client ID metadata document).
pub(crate) async fn client(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    /// Seconds for which it may be kept.
    const LIFE: u32 = 300;
    let server = server_of(request.uri().path(), CONNECT_CLIENT);
    match server.and_then(|server| visit.front.parts.resource_server.client_document(server)) {
        Some(document) => respond::document(&document, LIFE),
        None => nothing_here(&visit, request.headers()),
    }
}

/// What a person has connected, and the end of it.
pub(crate) async fn connections(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    if request.method() == Method::POST {
        return disconnect(&visit, request).await;
    }
    let query = match form::query(&request) {
        Ok(query) => query,
        Err(refusal) => return refused_form(&visit, NAME, refusal),
    };
    let browser = visit.browser(request.headers());
    let at = match visit.authorization_server().at_connect(CONNECTIONS, &browser).await {
        Ok(Some(at)) => at,
        // Nobody is signed in: there is no page to begin from but that of an MCP server.
        Ok(None) => return respond::trouble(&visit, Trouble::NotSignedIn, None),
        Err(error) => return refuse(&visit, &error.into()),
    };
    match visit.front.parts.resource_server.connections_of(at.account.user).await {
        Ok(found) => {
            let is_new = query.contains("connected");
            bound(&visit, pages::connect::connections(&visit, &found, &at, is_new), at)
        }
        Err(error) => refuse(&visit, &error.into()),
    }
}

async fn disconnect(visit: &Visit, request: Request) -> Response {
    let (headers, form) = match read(visit, request).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let user = match pressed(visit, CONNECTIONS, &headers, &form).await {
        Ok(user) => user,
        Err(answer) => return *answer,
    };
    match visit.front.parts.resource_server.disconnect(user, &text(&form, "server")).await {
        Ok(_) => respond::redirect(CONNECTIONS),
        Err(error) => refuse(visit, &error.into()),
    }
}

fn refuse(visit: &Visit, error: &ConnectError) -> Response {
    refuse_under(visit, error, None, &visit.authorization_server().new_reference())
}

/// The same at an MCP server.
fn refuse_at(visit: &Visit, error: &ConnectError, server: &str) -> Response {
    let server = Some(server).filter(|_| !matches!(error, ConnectError::ServerUnknown));
    refuse_under(visit, error, server, &visit.authorization_server().new_reference())
}

/// What the person is told has a reference, under which whoever runs the place finds it: among the sign-ins, and in the audit.
fn refuse_under(
    visit: &Visit,
    error: &ConnectError,
    server: Option<&str>,
    reference: &Reference,
) -> Response {
    let ((trouble, blame), reason) = (trouble_of(error), error.reason());
    visit.authorization_server().connect_refused(reason, reference, server, &visit.caller());
    Failure { blame, endpoint: NAME, error: Some(error), reason, reference: Some(reference) }.log(visit);
    respond::trouble(visit, trouble, Some(reference))
}

const fn trouble_of(error: &ConnectError) -> (Trouble, Blame) {
    match error {
        ConnectError::AttemptUnknown => (Trouble::ConnectOver, Blame::User),
        ConnectError::CallbackMalformed => (Trouble::RequestBroken, Blame::Upstream),
        ConnectError::NotAllowed => (Trouble::NotAdmitted, Blame::User),
        ConnectError::OtherBrowser => (Trouble::ConnectOtherBrowser, Blame::User),
        ConnectError::OtherPerson => (Trouble::ConnectOtherPerson, Blame::User),
        ConnectError::Provider(_) if error.is_provider_away() => (Trouble::ConnectAway, Blame::Upstream),
        ConnectError::Provider(_) => (Trouble::ConnectProvider, Blame::Upstream),
        ConnectError::SealBroken => (Trouble::House, Blame::House),
        ConnectError::ServerUnknown => (Trouble::NotFound, Blame::User),
        ConnectError::Stopped => (Trouble::PersonDisabled, Blame::User),
        ConnectError::Store(_) => (Trouble::HouseAway, Blame::House),
        ConnectError::TooMany => (Trouble::TooMany, Blame::User),
    }
}
