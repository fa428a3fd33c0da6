//! The pages: what the roles say, put into the templates. All text comes from the catalogue, and everything that
//! somebody else wrote is escaped by the template engine (attacks CS-04).

pub(crate) mod connect;
mod who;

use std::time::Duration;

use askama::Template;
use authorization_server::{ApprovalPage, ConsentPage, FurtherServer, LoginPage, ScopeOnPage};
use axum::response::Response;
use http::StatusCode;
use protocol::id::Reference;
use protocol::oauth::ErrorCode;

use crate::form::FormRefusal;
use crate::front::Visit;
use crate::layers::body::BodyError;
use crate::layers::security_headers::{Csp, origin_of};
use crate::respond;
use crate::text::{self, Language, Piece, Text, Trouble, TroubleText};
use who::Who;

/// The pictures of the templates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Icon {
    Gate,
    Unverified,
    Vouched,
}

/// What all pages have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) language: Language,
    pub(crate) text: &'static Text,
    /// The host of this site.
    pub(crate) host: &'a str,
}

impl<'a> Frame<'a> {
    fn of(visit: &'a Visit) -> Self {
        Self {
            language: visit.language,
            text: visit.language.text(),
            host: visit.front.settings.pages().authority(),
        }
    }

    fn reference(&self, reference: &str) -> Vec<Piece> {
        text::fill(self.text.reference, &[("reference", reference)])
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    frame: Frame<'a>,
    /// Who is signed in and may not use this MCP server.
    not_admitted: Option<Vec<Piece>>,
    who: Who,
    authorization: String,
    csrf: &'a str,
    /// What stands in the field for the address, if there is one.
    address: Option<&'a str>,
    connectors: Vec<ConnectorLine<'a>>,
    has_emergency: bool,
    /// Whether nobody is signed in: the page goes on by itself when somebody has, in another window.
    nobody: bool,
    reference: Vec<Piece>,
}

struct ConnectorLine<'a> {
    id: &'a str,
    label: Vec<Piece>,
}

/// The approval of a client before anybody is sent to an identity provider.
pub(crate) fn login(visit: &Visit, page: &LoginPage) -> Response {
    let frame = Frame::of(visit);
    let csp = Csp::login(&page.client.redirect_uri, !visit.front.settings.pages().is_https());
    let connectors = page.connectors.iter().map(|connector| ConnectorLine {
        id: &connector.id,
        label: text::fill(frame.text.login_continue, &[("provider", &connector.title)]),
    });
    let not_admitted = page.not_admitted.as_ref().map(|account| {
        let user = account.user.to_string();
        let known = account.email.as_deref().or(account.name.as_deref()).unwrap_or(&user);
        text::fill(frame.text.login_not_admitted, &[("account", known)])
    });
    let template = Login {
        frame,
        not_admitted,
        who: Who::new(frame.text, &page.client, &page.server),
        authorization: page.authorization.to_string(),
        csrf: page.csrf.as_str(),
        address: page.address.as_deref(),
        connectors: connectors.collect(),
        has_emergency: page.has_emergency,
        nobody: page.nobody,
        reference: frame.reference(page.reference.as_str()),
    };
    respond::page(visit, StatusCode::OK, &csp, render(&template))
}

#[derive(Template)]
#[template(path = "emergency.html")]
struct Emergency<'a> {
    frame: Frame<'a>,
    who: Who,
    authorization: String,
    csrf: &'a str,
    reference: Vec<Piece>,
}

/// The page that asks for an emergency code. It names the client as the login page does (product.md, P-10).
pub(crate) fn emergency(visit: &Visit, page: &LoginPage) -> Response {
    let frame = Frame::of(visit);
    let template = Emergency {
        frame,
        who: Who::new(frame.text, &page.client, &page.server),
        authorization: page.authorization.to_string(),
        csrf: page.csrf.as_str(),
        reference: frame.reference(page.reference.as_str()),
    };
    respond::page(visit, StatusCode::OK, &Csp::sign_in(), render(&template))
}

#[derive(Template)]
#[template(path = "approval.html")]
struct Approval<'a> {
    frame: Frame<'a>,
    who: Who,
    authorization: String,
    lead: Vec<Piece>,
    reference_text: &'a str,
    wait: Vec<Piece>,
    reference: Vec<Piece>,
}

/// The page of somebody who waits for an administrator.
pub(crate) fn approval(visit: &Visit, page: &ApprovalPage) -> Response {
    let frame = Frame::of(visit);
    let user = page.account.user.to_string();
    let account = page.account.email.as_deref().or(page.account.name.as_deref()).unwrap_or(&user);
    let wait = (frame.text.duration)(page.wait);
    let template = Approval {
        frame,
        who: Who::new(frame.text, &page.client, &page.server),
        authorization: page.authorization.to_string(),
        lead: text::fill(frame.text.approval_lead, &[("account", account)]),
        reference_text: page.reference.as_str(),
        wait: text::fill(frame.text.approval_wait, &[("wait", &wait)]),
        reference: frame.reference(page.reference.as_str()),
    };
    // The button leads to ourselves, and from there perhaps to consent; to nowhere else.
    respond::page(visit, StatusCode::OK, &Csp::sign_in(), render(&template))
}

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    frame: Frame<'a>,
    who: Who,
    account: AccountLine<'a>,
    authorization: String,
    csrf: &'a str,
    scopes: Vec<ScopeLine<'a>>,
    further: Vec<FurtherLine<'a>>,
    returns_to: &'a str,
    lifetime: Vec<Piece>,
    lives: Vec<Life>,
    reference: Vec<Piece>,
}

struct AccountLine<'a> {
    name: Option<&'a str>,
    email: Option<&'a str>,
    user: String,
}

struct ScopeLine<'a> {
    token: String,
    ticked: bool,
    words: Option<&'a str>,
}

impl<'a> ScopeLine<'a> {
    fn new(frame: Frame<'_>, scope: &'a ScopeOnPage) -> Self {
        let token = scope.token.to_string();
        let ours = match token.as_str() {
            "read" => Some(frame.text.scope_read),
            "write" => Some(frame.text.scope_write),
            _ => None,
        };
        Self { words: words(frame.language, scope).or(ours), ticked: scope.ticked, token }
    }
}

/// The operator's words for a scope: in the person's language, or in the other one.
fn words(language: Language, scope: &ScopeOnPage) -> Option<&str> {
    let (english, japanese) = (scope.words.english.as_deref(), scope.words.japanese.as_deref());
    match language {
        Language::English => english.or(japanese),
        Language::Japanese => japanese.or(english),
    }
}

/// Another MCP server that may be ticked.
struct FurtherLine<'a> {
    name: &'a str,
    title: &'a str,
    scopes: Vec<ScopeLine<'a>>,
}

impl<'a> FurtherLine<'a> {
    fn new(frame: Frame<'_>, further: &'a FurtherServer) -> Self {
        let scopes = further.scopes.iter().map(|scope| ScopeLine::new(frame, scope)).collect();
        Self { name: &further.server.name, title: &further.server.title, scopes }
    }
}

/// A time for which it may be allowed.
struct Life {
    seconds: u64,
    label: String,
}

/// The page on which a person decides.
pub(crate) fn consent(visit: &Visit, page: &ConsentPage) -> Response {
    let frame = Frame::of(visit);
    let (idle, total) =
        ((frame.text.duration)(page.lifetime.idle), (frame.text.duration)(page.lifetime.total));
    let life = |life: &Duration| Life { seconds: life.as_secs(), label: (frame.text.duration)(*life) };
    let template = Consent {
        frame,
        who: Who::new(frame.text, &page.client, &page.server),
        account: AccountLine {
            name: page.account.name.as_deref(),
            email: page.account.email.as_deref(),
            user: page.account.user.to_string(),
        },
        authorization: page.authorization.to_string(),
        csrf: page.csrf.as_str(),
        scopes: page.scopes.iter().map(|scope| ScopeLine::new(frame, scope)).collect(),
        further: page.further.iter().map(|further| FurtherLine::new(frame, further)).collect(),
        lives: page.lives.iter().map(life).collect(),
        returns_to: origin_of(page.client.redirect_uri.as_str()),
        lifetime: text::fill(frame.text.consent_lifetime, &[("total", &total), ("idle", &idle)]),
        reference: frame.reference(page.reference.as_str()),
    };
    respond::page(visit, StatusCode::OK, &Csp::consent(&page.client.redirect_uri), render(&template))
}

#[derive(Template)]
#[template(path = "device.html")]
struct Device<'a> {
    frame: Frame<'a>,
    user_code: &'a str,
    reference: Vec<Piece>,
}

/// The page on which a person types what a device shows.
pub(crate) fn device(visit: &Visit, user_code: &str) -> Response {
    let frame = Frame::of(visit);
    let template = Device { frame, user_code, reference: frame.reference(visit.id.as_str()) };
    respond::page(visit, StatusCode::OK, &Csp::plain(), render(&template))
}

#[derive(Template)]
#[template(path = "device_done.html")]
struct DeviceDone<'a> {
    frame: Frame<'a>,
    title: &'static str,
    sentence: &'static str,
    reference: Vec<Piece>,
}

/// The page on which the way of a device ends.
pub(crate) fn device_done(visit: &Visit, is_allowed: bool) -> Response {
    let frame = Frame::of(visit);
    let text = frame.text;
    let (title, sentence) = if is_allowed {
        (text.device_allowed, text.device_allowed_now)
    } else {
        (text.device_denied, text.device_denied_now)
    };
    let template = DeviceDone { frame, title, sentence, reference: frame.reference(visit.id.as_str()) };
    respond::page(visit, StatusCode::OK, &Csp::plain(), render(&template))
}

#[derive(Template)]
#[template(path = "development.html")]
struct Development<'a> {
    frame: Frame<'a>,
    state: &'a str,
    first: &'a str,
    people: &'a [Example],
}

/// One of the people who may sign in without a password.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) login: String,
    pub(crate) label: String,
}

/// The sign-in for development.
pub(crate) fn development(visit: &Visit, state: &str, people: Vec<Example>) -> Response {
    let first = people.first().map_or("", |person| person.login.as_str());
    let template = Development { frame: Frame::of(visit), state, first, people: &people };
    respond::page(visit, StatusCode::OK, &Csp::development(), render(&template))
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    frame: Frame<'a>,
    trouble: &'static TroubleText,
    link: Option<Link<'a>>,
    reference: Vec<Piece>,
}

struct Link<'a> {
    url: &'a str,
    label: Vec<Piece>,
}

/// A page about what went wrong. Its reference is the sign-in's, or the request's if there is none.
pub(crate) fn trouble(
    visit: &Visit,
    trouble: Trouble,
    reference: Option<&Reference>,
    url: Option<&str>,
) -> String {
    let frame = Frame::of(visit);
    let link = url.map(|url| Link {
        url,
        label: text::fill(frame.text.trouble_act_first, &[("host", origin_of(url))]),
    });
    render(&TroublePage {
        frame,
        trouble: frame.text.troubles.of(trouble),
        link,
        reference: frame.reference(reference.map_or(visit.id.as_str(), Reference::as_str)),
    })
}

/// What a person is told of a failure of ours.
pub(crate) fn trouble_of_house(code: ErrorCode) -> Trouble {
    if code == ErrorCode::TemporarilyUnavailable { Trouble::HouseAway } else { Trouble::House }
}

/// What a person is told of a form that could not be read.
pub(crate) const fn trouble_of_form(refusal: FormRefusal) -> Trouble {
    match refusal {
        FormRefusal::Body(BodyError::TooLarge) => Trouble::TooLarge,
        FormRefusal::Body(BodyError::Broken | BodyError::TooSlow)
        | FormRefusal::MediaType
        | FormRefusal::Parameters(_) => Trouble::RequestBroken,
    }
}

#[derive(Template)]
#[template(path = "index.html")]
struct Index<'a> {
    frame: Frame<'a>,
    servers: Vec<ServerLine<'a>>,
    /// Whether people connect accounts of their own for any of them.
    connects: bool,
}

struct ServerLine<'a> {
    name: &'a str,
    title: &'a str,
    url: &'a str,
    /// What goes into a client's configuration file.
    file: String,
}

/// The list of MCP servers.
pub(crate) fn index(visit: &Visit) -> Response {
    let servers = visit.front.settings.servers.iter().map(|server| {
        let file =
            serde_json::json!({ "mcpServers": { &server.name: { "type": "http", "url": &server.url } } });
        ServerLine {
            name: &server.name,
            title: &server.title,
            url: &server.url,
            file: serde_json::to_string_pretty(&file).unwrap_or_default(),
        }
    });
    let role = &visit.front.parts.resource_server;
    let mut names = visit.front.settings.servers.iter().map(|server| &server.name);
    let connects = names.any(|name| role.client_document(name).is_some());
    let template = Index { frame: Frame::of(visit), servers: servers.collect(), connects };
    respond::page(visit, StatusCode::OK, &Csp::plain(), render(&template))
}

/// Our templates write into memory, which does not fail.
fn render(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}
