//! Stopping people, clients, MCP servers or everybody at once, and letting people and clients in again: what an operator
//! does when something leaked or somebody left (product.md, P-2).
//!
//! A stop ends grants, codes and browser sessions in one write, and says so to every node.
//!
//! # Clocks
//! The entry that the nodes hear says up to which issue time tokens are dead. It lies [`CLOCKS_APART`] *before* the
//! stop, so that a token which somebody is given right afterwards works, although the clock of the node that issues it
//! may go behind. What was issued in between is not missed: each grant that the stop ended is named to the nodes by
//! itself ([`store::Revocations::list_stopped_grants`]), and no token of an ended grant is ever good, whatever its node's
//! clock said (attacks.md, RV-05).

use protocol::id::Id;
use protocol::oauth::{ClientId, ResourceUri};
use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Timestamp};
use store::{
    AuditEvent, AuditKind, AuditSubject, ClientRecord, ConnectionRecord, Outcome, Revocation, RevocationKind,
    StopCounts, Store, StoreError, UserRecord,
};

use crate::grants::CLOCKS_APART;
use crate::settings::Lifetimes;

/// What an operator's words are cut to in the audit.
const LONGEST_NOTE: usize = 500;

/// Whom or what a stop is about.
#[derive(Debug, Clone)]
pub enum Target {
    /// Everybody and everything.
    All,
    /// One client.
    Client(ClientId),
    /// One MCP server: its name, and its resource identifiers (more than one while the house moves).
    Server(String, Vec<ResourceUri>),
    /// One person.
    User(Box<UserRecord>),
}

/// Works on the record, whether or not a Sekisho runs beside.
#[derive(Debug, Clone, Copy)]
pub struct Stopping<'a> {
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub entropy: &'a dyn Entropy,
    /// The issuer.
    pub issuer: &'a str,
    /// The record.
    pub store: &'a dyn Store,
}

impl Stopping<'_> {
    /// Ends all that the target has. With `block`, a person or client is kept out afterwards too. `note` is written down.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer: nothing may have happened, and to stop again is safe.
    pub async fn stop(
        &self,
        target: &Target,
        block: bool,
        note: Option<&str>,
    ) -> Result<StopCounts, StoreError> {
        let now = self.clock.now();
        match target {
            Target::All => {
                let entry = revocation(RevocationKind::Issuer, self.issuer.to_owned(), now);
                self.store.stop(entry, self.event(AuditKind::Stopped, target, note, now)).await
            }
            Target::Client(id) => {
                let entry = revocation(RevocationKind::Client, id.as_str().to_owned(), now);
                if !block {
                    return self.store.stop(entry, self.event(AuditKind::Stopped, target, note, now)).await;
                }
                let known = self.store.find_client(id).await?;
                let record = known.unwrap_or_else(|| tombstone(id, now));
                let event = self.event(AuditKind::ClientBlocked, target, note, now);
                self.store.block_client(record, entry, event).await
            }
            Target::Server(_, resources) => {
                let mut ended = StopCounts::default();
                for resource in resources {
                    let entry = revocation(RevocationKind::Resource, resource.as_str().to_owned(), now);
                    let event = self.event(AuditKind::Stopped, target, note, now);
                    let counts = self.store.stop(entry, event).await?;
                    ended.codes += counts.codes;
                    ended.grants += counts.grants;
                }
                Ok(ended)
            }
            Target::User(user) => {
                let entry = revocation(RevocationKind::User, user.id.to_string(), now);
                if block {
                    let event = self.event(AuditKind::UserBlocked, target, note, now);
                    self.store.block_user(user.id, entry, event).await
                } else {
                    self.store.stop(entry, self.event(AuditKind::Stopped, target, note, now)).await
                }
            }
        }
    }

    /// Lets a person in again. Whether they were shut out.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn allow_user(&self, user: UserRecord, note: Option<&str>) -> Result<bool, StoreError> {
        let id = user.id;
        let target = Target::User(Box::new(user));
        let event = self.event(AuditKind::UserAllowed, &target, note, self.clock.now());
        self.store.allow_user(id, event).await
    }

    /// Lets people consent to a client again. Whether it was blocked.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn allow_client(&self, id: &ClientId, note: Option<&str>) -> Result<bool, StoreError> {
        let target = Target::Client(id.clone());
        let event = self.event(AuditKind::ClientAllowed, &target, note, self.clock.now());
        self.store.allow_client(id, event).await
    }

    /// Ends the connection of a person, be it of an MCP server that is not configured any more. Whether it lived.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn end_connection(
        &self,
        user: UserRecord,
        connection: &ConnectionRecord,
        note: Option<&str>,
    ) -> Result<bool, StoreError> {
        let target = Target::User(Box::new(user));
        let mut event = self.event(AuditKind::ConnectionEnded, &target, note, self.clock.now());
        event.server = Some(connection.server.clone());
        self.store.end_connection(connection.id, event).await
    }

    pub(crate) fn event(
        &self,
        kind: AuditKind,
        target: &Target,
        note: Option<&str>,
        now: Timestamp,
    ) -> AuditEvent {
        let mut event = AuditEvent::new(Id::mint(now, self.entropy), now, kind, Outcome::Ok);
        event.reason = Some("by_operator");
        let what = match target {
            Target::All => "all",
            Target::Client(id) => {
                event.client_id = Some(id.as_str().to_owned());
                "client"
            }
            Target::Server(name, _) => {
                event.server = Some(name.clone());
                "server"
            }
            Target::User(user) => {
                event.user = Some(user.id);
                let mut salt = [0; 16];
                self.entropy.fill(&mut salt);
                let name = user.email.clone().or_else(|| user.name.clone());
                event.subject = Some(AuditSubject { salt, name, address: None });
                "user"
            }
        };
        event.detail.insert("what", what.to_owned());
        self::note(&mut event, note);
        event
    }
}

/// Writes an operator's words down.
pub(crate) fn note(event: &mut AuditEvent, note: Option<&str>) {
    if let Some(note) = note {
        let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        event.detail.insert("note", note.chars().take(LONGEST_NOTE).map(clean).collect());
    }
}

pub(crate) fn revocation(kind: RevocationKind, id: String, now: Timestamp) -> Revocation {
    // A token by a clock that goes ahead ends as much later, and so does the entry.
    let expires_at = now.plus(Lifetimes::LONGEST_ACCESS_TOKEN + 2 * CLOCKS_APART);
    Revocation { kind, id, not_before: now.minus(CLOCKS_APART), expires_at }
}

/// Of a client that nobody consented to yet: all that is known is its id, and that is what is blocked.
fn tombstone(id: &ClientId, now: Timestamp) -> ClientRecord {
    ClientRecord {
        client_id: id.clone(),
        kind: id.kind(),
        metadata: "{}".to_owned(),
        fingerprint: Hash::of(b"{}"),
        name: None,
        first_consented_at: now,
        last_used_at: now,
        blocked_at: None,
    }
}
