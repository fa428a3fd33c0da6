//! The pages on which a person connects accounts, and sees and ends what is connected.

use askama::Template;
use authorization_server::AtConnect;
use axum::response::Response;
use http::StatusCode;
use protocol::world::Timestamp;
use resource_server::{ConnectPage, ShownConnection};

use super::{Frame, Icon, render};
use crate::front::Visit;
use crate::layers::security_headers::Csp;
use crate::respond;
use crate::text::{self, Piece};

#[derive(Template)]
#[template(path = "connect.html")]
struct Connect<'a> {
    frame: Frame<'a>,
    heading: String,
    title: Vec<Piece>,
    lead: Vec<Piece>,
    server: &'a str,
    csrf: &'a str,
    scopes: &'a [String],
    no_scopes: Vec<Piece>,
    submit: Vec<Piece>,
    reference: Vec<Piece>,
}

/// What will be connected, before anybody is sent away.
pub(crate) fn connect(visit: &Visit, page: &ConnectPage, at: &AtConnect) -> Response {
    let frame = Frame::of(visit);
    let user = at.account.user.to_string();
    let account = at.account.email.as_deref().or(at.account.name.as_deref()).unwrap_or(&user);
    let slots = [("server", page.title.as_str()), ("account", account), ("host", page.host.as_str())];
    let template = Connect {
        frame,
        heading: text::fill(frame.text.connect_title, &slots).into_iter().map(|piece| piece.text).collect(),
        title: text::fill(frame.text.connect_title, &slots),
        lead: text::fill(frame.text.connect_lead, &slots),
        server: &page.server,
        csrf: at.csrf.as_str(),
        scopes: &page.scope,
        no_scopes: text::fill(frame.text.connect_no_scopes, &slots),
        submit: text::fill(frame.text.connect_submit, &slots),
        reference: frame.reference(visit.id.as_str()),
    };
    let csp = Csp::connect(!visit.front.settings.pages().is_https());
    respond::page(visit, StatusCode::OK, &csp, render(&template))
}

#[derive(Template)]
#[template(path = "connections.html")]
struct Connections<'a> {
    frame: Frame<'a>,
    csrf: &'a str,
    is_new: bool,
    connections: Vec<Line<'a>>,
    reference: Vec<Piece>,
}

struct Line<'a> {
    server: &'a str,
    title: &'a str,
    account: Option<&'a str>,
    scope: String,
    missing: String,
    created: String,
    rotated: String,
    expires: Option<String>,
    renews: bool,
    is_dead: bool,
}

/// What is connected. `is_new` is whether the person has just come back from a provider.
pub(crate) fn connections(
    visit: &Visit,
    connections: &[ShownConnection],
    at: &AtConnect,
    is_new: bool,
) -> Response {
    let frame = Frame::of(visit);
    let lines = connections.iter().map(|one| Line {
        server: &one.server,
        title: &one.title,
        account: one.account.as_deref(),
        scope: one.scope.join(" "),
        missing: one.missing.join(" "),
        created: moment(one.created_at),
        rotated: moment(one.rotated_at),
        expires: one.expires_at.map(moment),
        renews: one.renews,
        is_dead: one.is_dead,
    });
    let template = Connections {
        frame,
        csrf: at.csrf.as_str(),
        is_new,
        connections: lines.collect(),
        reference: frame.reference(visit.id.as_str()),
    };
    respond::page(visit, StatusCode::OK, &Csp::plain(), render(&template))
}

/// A moment as everybody reads it, in UTC.
fn moment(at: Timestamp) -> String {
    format!("{:?}", Timestamp::from_secs(at.secs()))
}
