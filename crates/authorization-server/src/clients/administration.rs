//! What an administrator decides about clients, on the record, beside a running Sekisho or without one (product.md, P-7).
//!
//! A block is written before anything is ended: from then on nothing new gets in, and what is there is then ended client by
//! client. To do it again is safe.

use std::time::Duration;

use protocol::id::Id;
use protocol::oauth::ClientId;
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, ClientRecord, ClientRule, ListedClient, Outcome, RegistrationToken, StopCounts,
    StoreError,
};

use crate::stop::{Stopping, Target, note};

/// What begins an initial access token, so that one is recognised where it lies about.
const TOKEN_PREFIX: &str = "ski_";

/// Whom a block is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// One client.
    Client(ClientId),
    /// All clients of these metadata.
    Fingerprint(Hash),
    /// All clients that have to do with this host.
    Host(String),
}

/// How much a block did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Clients whose grants and codes were ended.
    pub clients: u64,
    /// What was ended.
    pub ended: StopCounts,
    /// Whether it was not blocked before.
    pub new: bool,
}

/// Decides about clients.
#[derive(Debug, Clone, Copy)]
pub struct ClientAdministration<'a>(pub Stopping<'a>);

impl ClientAdministration<'_> {
    /// Lets a client ask people, to be called back there and nowhere else. Whether it might not before.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn approve_client(
        &self,
        client_id: &ClientId,
        destination: &str,
        why: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut event = self.event(AuditKind::ClientApproved, "client", why);
        event.client_id = Some(client_id.as_str().to_owned());
        event.detail.insert("destination", destination.to_owned());
        let rule =
            ClientRule::AllowClient { client_id: client_id.clone(), destination: destination.to_owned() };
        self.0.store.put_client_rule(rule, event).await
    }

    /// Lets every client ask people that is called back at this host, or that it vouches for. Whether they might not before.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn approve_host(&self, host: &str, why: Option<&str>) -> Result<bool, StoreError> {
        let mut event = self.event(AuditKind::ClientApproved, "host", why);
        event.detail.insert("host", host.to_owned());
        self.0.store.put_client_rule(ClientRule::AllowHost(host.to_owned()), event).await
    }

    /// Blocks, and ends what is there.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer: block again.
    pub async fn block(&self, blocked: &Blocked, why: Option<&str>) -> Result<BlockCounts, StoreError> {
        let rule = match blocked {
            Blocked::Client(id) => {
                let known = self.0.store.find_client(id).await?;
                let new = known.is_none_or(|client| client.blocked_at.is_none());
                let ended = self.0.stop(&Target::Client(id.clone()), true, why).await?;
                return Ok(BlockCounts { clients: 1, ended, new });
            }
            Blocked::Fingerprint(hash) => ClientRule::BlockFingerprint(*hash),
            Blocked::Host(host) => ClientRule::BlockHost(host.clone()),
        };
        let new =
            self.0.store.put_client_rule(rule, self.event_of(AuditKind::ClientBlocked, blocked, why)).await?;
        let mut counts = BlockCounts { new, ..BlockCounts::default() };
        for ListedClient { client, .. } in self.0.store.list_clients(self.0.clock.now()).await? {
            if !concerns(blocked, &client) {
                continue;
            }
            let ended = self.0.stop(&Target::Client(client.client_id), false, why).await?;
            counts.clients += 1;
            counts.ended.codes += ended.codes;
            counts.ended.grants += ended.grants;
        }
        Ok(counts)
    }

    /// Takes a block away: from then on the policy decides again. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn unblock(&self, blocked: &Blocked, why: Option<&str>) -> Result<bool, StoreError> {
        let rule = match blocked {
            Blocked::Client(id) => return self.0.allow_client(id, why).await,
            Blocked::Fingerprint(hash) => ClientRule::BlockFingerprint(*hash),
            Blocked::Host(host) => ClientRule::BlockHost(host.clone()),
        };
        self.0.store.remove_client_rule(rule, self.event_of(AuditKind::ClientAllowed, blocked, why)).await
    }

    /// An initial access token (RFC 7591, section 3) for so many registrations, and until when it is good.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn registration_token(
        &self,
        uses: u32,
        life: Duration,
        why: Option<&str>,
    ) -> Result<(Secret, Timestamp), StoreError> {
        let now = self.0.clock.now();
        let (token, expires_at) = (Secret::random(TOKEN_PREFIX, self.0.entropy), now.plus(life));
        let mut event = self.event(AuditKind::RegistrationTokenMade, "registration_token", why);
        event.detail.insert("uses", uses.to_string());
        let record = RegistrationToken { hash: token.hash(), created_at: now, expires_at, uses };
        self.0.store.put_registration_token(record, event).await?;
        Ok((token, expires_at))
    }

    fn event_of(&self, kind: AuditKind, blocked: &Blocked, why: Option<&str>) -> AuditEvent {
        match blocked {
            Blocked::Client(id) => {
                let mut event = self.event(kind, "client", why);
                event.client_id = Some(id.as_str().to_owned());
                event
            }
            Blocked::Fingerprint(hash) => {
                let mut event = self.event(kind, "fingerprint", why);
                event.detail.insert("fingerprint", fingerprint_text(hash));
                event
            }
            Blocked::Host(host) => {
                let mut event = self.event(kind, "host", why);
                event.detail.insert("host", host.clone());
                event
            }
        }
    }

    fn event(&self, kind: AuditKind, what: &str, why: Option<&str>) -> AuditEvent {
        let now = self.0.clock.now();
        let mut event = AuditEvent::new(Id::mint(now, self.0.entropy), now, kind, Outcome::Ok);
        event.reason = Some("by_operator");
        event.detail.insert("what", what.to_owned());
        note(&mut event, why);
        event
    }
}

/// Whether a client that people consented to is one of those that are blocked.
fn concerns(blocked: &Blocked, client: &ClientRecord) -> bool {
    match blocked {
        Blocked::Client(id) => client.client_id == *id,
        Blocked::Fingerprint(hash) => client.fingerprint == *hash,
        Blocked::Host(host) => super::hosts_of_record(client).contains(host),
    }
}

/// A fingerprint as people see it.
#[must_use]
pub fn fingerprint_text(hash: &Hash) -> String {
    hash.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
