//! What a consent page shows and offers, and the hash of it (product.md, P-9; attacks.md, CS-16).
//!
//! The offer is made anew when the form comes back, from the same facts: a form can leave out, and add nothing.

use std::time::Duration;

use protocol::secret::Hash;
use store::{AuthorizationRecord, StoreError, UserRecord};

use super::{Facts, standing};
use crate::clients::Client;
use crate::pages::{Account, ConsentPage, FurtherServer, GrantLifetime, ScopeOnPage, ServerOnPage};
use crate::settings::{ScopeEntry, ServerEntry};
use crate::{AuthorizationServer, forms, grants};

/// What a person is offered.
pub(super) struct Offer<'a> {
    /// Other MCP servers that may be allowed at once.
    pub(super) further: Vec<&'a ServerEntry>,
    pub(super) lifetime: GrantLifetime,
    /// How long the person may allow it instead of as long as can be.
    pub(super) lives: Vec<Duration>,
    /// What is asked for, in the order in which people see it.
    pub(super) scopes: Vec<&'a ScopeEntry>,
    /// The MCP server that is asked for.
    pub(super) server: Option<&'a ServerEntry>,
}

/// Bytes of which no two lists are one: each part is framed by its length.
#[derive(Default)]
pub(super) struct Framed(Vec<u8>);

impl Framed {
    pub(super) fn part(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    /// A text that may be missing: an empty one is another.
    pub(super) fn maybe(&mut self, part: Option<&str>) {
        self.part(&[u8::from(part.is_some())]);
        self.part(part.unwrap_or_default().as_bytes());
    }

    /// How many parts of a list follow, so that two lists in a row are not one.
    pub(super) fn count(&mut self, count: usize) {
        self.part(&(count as u64).to_be_bytes());
    }

    /// An MCP server with scopes of it, as people see them.
    pub(super) fn server<'a>(&mut self, server: &ServerEntry, scopes: impl Iterator<Item = &'a ScopeEntry>) {
        self.part(server.name.as_bytes());
        self.part(server.resource.as_str().as_bytes());
        self.part(server.title.as_bytes());
        let scopes: Vec<&ScopeEntry> = scopes.collect();
        self.count(scopes.len());
        for scope in scopes {
            self.part(scope.token.as_str().as_bytes());
            self.maybe(scope.words.english.as_deref());
            self.maybe(scope.words.japanese.as_deref());
        }
    }

    pub(super) fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }
}

/// The hash of what a consent page shows.
pub(super) fn shown(
    record: &AuthorizationRecord,
    client: &Client,
    user: &UserRecord,
    offer: &Offer<'_>,
) -> Hash {
    let mut framed = Framed::default();
    framed.part(client.id().as_str().as_bytes());
    framed.maybe(client.metadata().client_name.as_deref());
    framed.part(record.request.redirect_uri.as_bytes());
    framed.part(user.id.as_bytes());
    framed.part(record.request.resource.as_str().as_bytes());
    framed.part(record.request.scope.to_string().as_bytes());
    framed.count(usize::from(offer.server.is_some()));
    if let Some(server) = offer.server {
        framed.server(server, offer.scopes.iter().copied());
    }
    framed.count(offer.further.len());
    for server in &offer.further {
        framed.server(server, in_advance(server));
    }
    framed.count(offer.lives.len());
    for life in offer.lives.iter().chain([&offer.lifetime.total, &offer.lifetime.idle]) {
        framed.part(&life.as_secs().to_be_bytes());
    }
    framed.hash()
}

/// What a client is allowed at an MCP server for which it has not asked yet: what a request without `scope` asks for.
fn in_advance(server: &ServerEntry) -> impl Iterator<Item = &ScopeEntry> {
    server.scopes.iter().filter(|entry| entry.by_default)
}

fn on_page<'a>(scopes: impl Iterator<Item = &'a ScopeEntry>) -> Vec<ScopeOnPage> {
    let scope = |entry: &ScopeEntry| ScopeOnPage {
        ticked: true,
        token: entry.token.clone(),
        words: entry.words.clone(),
    };
    scopes.map(scope).collect()
}

fn further_on_page(server: &&ServerEntry) -> FurtherServer {
    let (name, title, resource) = (server.name.clone(), server.title.clone(), server.resource.clone());
    FurtherServer { server: ServerOnPage { name, title, resource }, scopes: on_page(in_advance(server)) }
}

impl AuthorizationServer {
    pub(super) async fn show_consent(&self, facts: &Facts<'_>) -> Result<ConsentPage, StoreError> {
        let Facts { client, record, session, to } = *facts;
        let offer = self.offer(facts).await?;
        let shown = shown(record, client, &session.user, &offer);
        let holder = forms::holder(&record.browser, session.user.id);
        let keys = self.parts.keys.load();
        Ok(ConsentPage {
            account: Account::of(&session.user),
            authorization: record.id,
            client: self.on_page(client, to.clone()),
            csrf: forms::consent_token(&keys.forms, record.id, &holder, &shown),
            further: offer.further.iter().map(further_on_page).collect(),
            lifetime: offer.lifetime,
            lives: offer.lives,
            reference: record.reference.clone(),
            scopes: on_page(offer.scopes.into_iter()),
            server: self.server_on_page(record),
        })
    }

    /// What this person is offered for this request.
    pub(super) async fn offer(&self, facts: &Facts<'_>) -> Result<Offer<'_>, StoreError> {
        let record = facts.record;
        let server = self.settings.server(&record.request.server);
        let known = server.map(|server| server.scopes.as_slice()).unwrap_or_default();
        let asked = known.iter().filter(|entry| record.request.scope.contains(entry.token.as_str()));
        let lifetimes = &self.settings.lifetimes;
        let shorter = self.settings.consents.lives.iter().filter(|life| **life < lifetimes.grant);
        let mut lives: Vec<Duration> = shorter.copied().collect();
        lives.sort_unstable();
        lives.dedup();
        Ok(Offer {
            further: self.further(facts).await?,
            lifetime: GrantLifetime { idle: lifetimes.grant_idle, total: lifetimes.grant },
            lives,
            scopes: asked.collect(),
            server,
        })
    }

    /// Other MCP servers to which both the person and the client are admitted: what the policy on clients would stop later
    /// is not offered (product.md, P-7).
    async fn further(&self, facts: &Facts<'_>) -> Result<Vec<&ServerEntry>, StoreError> {
        let Facts { client, record, session, to } = *facts;
        if !standing::may_be_said_ahead(&record.request, &self.settings) {
            return Ok(Vec::new());
        }
        let rules = self.parts.store.find_client_rules(client.id()).await?;
        let may = |server: &&ServerEntry| {
            server.name != record.request.server
                && grants::admit(Some(&session.user), Some(server)).is_ok()
                && self.is_admitted(client, (to, &rules), server)
        };
        Ok(self.settings.servers.iter().filter(may).collect())
    }
}
