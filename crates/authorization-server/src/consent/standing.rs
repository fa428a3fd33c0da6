//! Consent that stands: when a person who said yes before is not asked again (product.md, P-9;
//! docs/decisions/0015).
//!
//! Three kinds. To a client that is known to be the same (pre-registered, or by a metadata document, on a host of its
//! own) a consent is remembered for the person. To a client on the person's own machine only if the operator approved of
//! that very client, in the browser in which it was given. And what was ticked in advance for other MCP servers counts
//! once, in the same browser session, for minutes. A client that registered itself is never remembered (OAuth 2.1,
//! section 7.3.1), and nothing counts in a flow to which another site sent the browser (attacks.md, AZ-33).

use std::time::Duration;

use protocol::oauth::{ClientIdKind, Destination, Scope, VerifiedRedirectUri};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{AcceptedRequest, ConsentKind, ConsentOutcome, ConsentRecord, StoreError};

use super::page::Framed;
use super::{ConsentAnswer, Facts, Given};
use crate::browser::Browser;
use crate::clients::Client;
use crate::prompt::Prompt;
use crate::settings::{ConsentSettings, ServerEntry, Settings};
use crate::{AuthorizationServer, device};

/// How a consent to a client is remembered, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembering {
    pub(super) kind: ConsentKind,
    pub(super) life: Option<Duration>,
}

/// Decides whether a consent to this client, answered there, may be remembered at all.
pub(super) fn remembering(
    client: &Client,
    to: &VerifiedRedirectUri,
    settings: &ConsentSettings,
) -> Option<Remembering> {
    match (client.id().kind(), to.destination()) {
        // Anybody can register under any name, and any program can listen on this machine or claim a scheme.
        (ClientIdKind::Dynamic, _) | (_, Destination::PrivateScheme(_)) => None,
        (ClientIdKind::MetadataDocument | ClientIdKind::PreRegistered, Destination::Https(_)) => {
            Some(Remembering { kind: ConsentKind::Person, life: None })
        }
        (ClientIdKind::MetadataDocument | ClientIdKind::PreRegistered, Destination::Loopback(_)) => {
            let life = Some(settings.loopback_life.min(ConsentSettings::LONGEST_LOOPBACK));
            let approved = settings.loopback_clients.contains(client.id());
            approved.then_some(Remembering { kind: ConsentKind::Browser, life })
        }
    }
}

/// Decides whether other MCP servers may be allowed in advance: only to who was opened by the person, since in a flow
/// from another site nothing that was said in advance would count.
pub(super) fn may_be_said_ahead(request: &AcceptedRequest, settings: &Settings) -> bool {
    !request.from_outside && !settings.consents.ahead.is_zero()
}

/// Whether it is a device elsewhere that is let in. Of a yes to one nothing is remembered: whose device it is can only be judged
/// by the person, each time (RFC 8628, section 5.4). That nothing said before counts for one is because its request comes
/// from outside.
pub(super) fn is_of_a_device(request: &AcceptedRequest, settings: &Settings) -> bool {
    device::asked_from(settings, &request.redirect_uri).is_some()
}

/// The hash of all that must still be so for a consent to count: the client with its metadata, where it is answered, and
/// the MCP server with its scopes and their words (attacks.md, CS-08).
fn facts(client: &Client, to: &VerifiedRedirectUri, server: &ServerEntry) -> Hash {
    let mut framed = Framed::default();
    framed.part(client.id().as_str().as_bytes());
    framed.part(client.metadata().to_json().as_bytes());
    framed.part(to.without_port().as_bytes());
    framed.server(server, server.scopes.iter());
    framed.part(server.default_scope().to_string().as_bytes());
    framed.hash()
}

/// What a request brings that a consent must fit.
struct Asked<'a> {
    bindings: Vec<Hash>,
    facts: Hash,
    now: Timestamp,
    remembering: Option<Remembering>,
    scope: &'a Scope,
    session: Hash,
}

/// Decides whether a consent answers a request. What the operator allows is asked anew each time.
fn answers(consent: &ConsentRecord, asked: &Asked<'_>) -> bool {
    let held = match consent.kind {
        ConsentKind::Ahead => consent.holder == asked.session,
        ConsentKind::Browser => asked.bindings.contains(&consent.holder),
        ConsentKind::Person => true,
    };
    let allowed = match consent.kind {
        ConsentKind::Ahead => true,
        ConsentKind::Browser | ConsentKind::Person => {
            asked.remembering.is_some_and(|remembering| remembering.kind == consent.kind)
        }
    };
    let in_time = consent.expires_at > asked.now && consent.grant_expires_at > asked.now;
    held && allowed && in_time && consent.facts == asked.facts && asked.scope.is_subset(&consent.scope)
}

/// Whether this request wants the page whatever was said before, or comes from where nothing counts.
fn wants_page(request: &AcceptedRequest) -> bool {
    let prompt = Prompt::parse(request.prompt.as_deref());
    request.from_outside || prompt.map_or(true, |prompt| prompt.consent)
}

impl AuthorizationServer {
    /// The answer for the client, if what the person said before is one.
    pub(super) async fn answer_by_standing(
        &self,
        facts: &Facts<'_>,
        browser: &Browser,
    ) -> Result<Option<ConsentAnswer>, StoreError> {
        let Facts { client, record, session, to } = *facts;
        let Some(server) = self.settings.server(&record.request.server) else { return Ok(None) };
        if wants_page(&record.request) {
            return Ok(None);
        }
        let (now, user) = (self.parts.clock.now(), session.user.id);
        let resource = &record.request.resource;
        let kept = self.parts.store.list_consents(user, client.id(), resource, now).await?;
        let asked = Asked {
            bindings: browser.binding_hashes().collect(),
            facts: self::facts(client, to, server),
            now,
            remembering: remembering(client, to, &self.settings.consents),
            scope: &record.request.scope,
            session: session.record.hash,
        };
        // What is used up comes last: a remembered consent makes it needless.
        let Some(by) = kept.into_iter().rev().find(|consent| answers(consent, &asked)) else {
            return Ok(None);
        };
        let given = Given {
            scope: record.request.scope.clone(),
            shown: by.shown,
            grant_expires_at: Some(by.grant_expires_at),
            kept: self.remembered_from(&by, &asked).into_iter().collect(),
            by: Some(by),
        };
        Ok(match self.write_yes(facts, given, now).await? {
            (code, ConsentOutcome::Consented) => Some(self.answered(facts, code)),
            // Somebody else used it, or it or the session was ended at this instant: the person is asked.
            (_, ConsentOutcome::ClientBlocked | ConsentOutcome::Lost | ConsentOutcome::SignedOut) => None,
        })
    }

    /// What was said in advance to a client that may be remembered is remembered when it is asked for.
    fn remembered_from(&self, by: &ConsentRecord, asked: &Asked<'_>) -> Option<ConsentRecord> {
        let Remembering { kind, life } = asked.remembering.filter(|_| by.kind == ConsentKind::Ahead)?;
        let holder = match kind {
            ConsentKind::Ahead => return None,
            ConsentKind::Browser => *asked.bindings.first()?,
            ConsentKind::Person => ConsentRecord::NOBODY,
        };
        let longest = life.map_or(by.grant_expires_at, |life| asked.now.plus(life));
        let expires_at = longest.min(by.grant_expires_at);
        Some(ConsentRecord {
            kind,
            holder,
            created_at: asked.now,
            last_used_at: asked.now,
            expires_at,
            ..by.clone()
        })
    }

    /// What is kept of a yes on a page: for this client at this MCP server, and in advance for others.
    pub(super) fn kept(
        &self,
        facts: &Facts<'_>,
        (scope, shown): (&Scope, Hash),
        further: &[&ServerEntry],
        (now, grant_expires_at): (Timestamp, Timestamp),
    ) -> Vec<ConsentRecord> {
        let consents = &self.settings.consents;
        let keep =
            |server: &ServerEntry, scope: &Scope, (kind, holder): (ConsentKind, Hash), until: Timestamp| {
                ConsentRecord {
                    user: facts.session.user.id,
                    client_id: facts.client.id().clone(),
                    resource: server.resource.clone(),
                    kind,
                    holder,
                    server: server.name.clone(),
                    scope: scope.clone(),
                    facts: self::facts(facts.client, facts.to, server),
                    shown,
                    created_at: now,
                    last_used_at: now,
                    expires_at: until.min(grant_expires_at),
                    grant_expires_at,
                }
            };
        let lasting = remembering(facts.client, facts.to, consents)
            .filter(|_| !is_of_a_device(&facts.record.request, &self.settings));
        let remembered = lasting.and_then(|Remembering { kind, life }| {
            let server = self.settings.server(&facts.record.request.server)?;
            let holder =
                if kind == ConsentKind::Browser { facts.record.browser } else { ConsentRecord::NOBODY };
            let until = life.map_or(grant_expires_at, |life| now.plus(life));
            Some(keep(server, scope, (kind, holder), until))
        });
        let ahead = further.iter().map(|server| {
            let holder = (ConsentKind::Ahead, facts.session.record.hash);
            keep(server, &server.default_scope(), holder, now.plus(consents.ahead))
        });
        remembered.into_iter().chain(ahead).collect()
    }
}

#[cfg(test)]
mod tests;
