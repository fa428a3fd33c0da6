//! A credential is exchanged for the next one: once, over all calls and nodes (attacks.md, TK-34, TK-35 and F-15).
//!
//! Whoever claims the connection in the record asks the provider, and writes the new pair before anybody uses it. It goes on
//! when the caller is gone: what a provider gave in exchange for a token that is good once must not be lost with a call. If
//! this node dies in between, the claim runs out, the old token is refused, and the person is asked to connect again.

use std::sync::Arc;
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::secret::{Hash, Secret};
use protocol::world::{Timestamp, between_nodes};
use store::{AuditEvent, AuditKind, ConnectionRecord, Outcome, RenewOutcome, Renewed};
use upstream::oauth_client::{OauthClient, OauthClientError, Tokens};

use super::connection::{Held, PATIENCE, Vault, bound, granted};
use super::counts::Became;
use crate::mcp_server::McpServer;
use crate::reason::CallReason;

/// How long a claim holds: longer than one request may take, by every clock.
const LEASE: Duration = between_nodes(Duration::from_secs(60));
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// The pauses before a new pair is written again.
const AGAIN: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// How long a provider that does not answer, or not in words that can be read, is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// The same if it says no, and it is not about the person.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// How long after its end a credential is hoped for, if the provider refuses to renew it and does not say why.
const HOPE: Duration = Duration::from_secs(60 * 60);

impl Vault {
    /// The connection with a credential that is good for a while yet; or the one at hand, as long as that is good.
    pub(crate) async fn renewed(
        self: &Arc<Self>,
        record: ConnectionRecord,
        server: &McpServer,
    ) -> Result<Arc<Held>, CallReason> {
        let is_good = |record: &ConnectionRecord| {
            let now = self.clock.now();
            record.tokens.expires_at.is_some_and(|end| end > now)
        };
        let (user, seen) = (record.user, record.generation);
        let client = Arc::clone(server.oauth_client().ok_or(CallReason::ConnectionUnavailable)?);
        match self.renew(record.clone(), client, !is_good(&record)).await {
            Ok(()) | Err(CallReason::ConnectionMissing) => {}
            Err(_) if is_good(&record) => return self.held(&record),
            Err(reason) => return Err(reason),
        }
        let newer = self.record(user, server).await?;
        if newer.generation != seen || newer.id != record.id || is_good(&newer) {
            return self.held(&newer);
        }
        Err(CallReason::ConnectionUnavailable)
    }

    /// Exchanges it, or waits until somebody else has; in a task of its own.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        record: ConnectionRecord,
        client: Arc<OauthClient>,
        must: bool,
    ) -> Result<(), CallReason> {
        let vault = Arc::clone(self);
        let task = self.tasks.spawn(async move { vault.exchange(record, &client, must).await });
        task.await.unwrap_or(Err(CallReason::ConnectionUnavailable))
    }

    async fn exchange(
        &self,
        record: ConnectionRecord,
        client: &OauthClient,
        must: bool,
    ) -> Result<(), CallReason> {
        // Before it is claimed: to look for a provider can take longer than a claim holds.
        if let Err(error) = client.prepare().await {
            tracing::warn!(server = record.server, reason = error.reason(), %error, "a provider was not found");
            return Err(CallReason::ConnectionUnavailable);
        }
        // And what does not open is not claimed: nobody would give that back.
        let record = self.untampered(record).await?;
        let (_, refresh) = self.open_both(&record)?;
        let claim = Secret::random("", &*self.entropy).hash();
        let now = self.clock.now();
        if !self.store.claim_connection(record.clone(), claim, now.plus(LEASE), now).await? {
            // One that is good for a while yet need not be waited for.
            return if must { self.wait(&record).await } else { Ok(()) };
        }
        let (Some(refresh), Some(bound)) = (refresh, bound(&record)) else {
            return Err(CallReason::ConnectionUnavailable);
        };
        match client.refresh(&refresh, &bound.binding, &granted(&record)).await {
            Ok(tokens) => self.keep(&record, claim, client, tokens).await,
            Err(error) => self.refused(&record, claim, error).await,
        }
    }

    /// Writes the new pair, and again, if the record does not answer: nobody else has it.
    async fn keep(
        &self,
        record: &ConnectionRecord,
        claim: Hash,
        client: &OauthClient,
        tokens: Tokens,
    ) -> Result<(), CallReason> {
        let mut pauses = AGAIN.iter();
        let written = loop {
            let given = Renewed::Given(self.seal(record.place(), &tokens));
            let written = self.store.renew_connection(record.id, claim, given, self.clock.now()).await;
            match (written, pauses.next()) {
                (Err(error), Some(pause)) => {
                    tracing::warn!(server = record.server, %error, "a refreshed credential is not written yet");
                    tokio::time::sleep(*pause).await;
                }
                (written, _) => break written?,
            }
        };
        match written {
            RenewOutcome::Ended | RenewOutcome::Written => {
                self.counts.count(Became::Refreshed);
                return Ok(());
            }
            RenewOutcome::Lost => {}
        }
        // Somebody else had a turn since. If they were given nothing, this is the pair that counts.
        let late = Renewed::Late(self.seal(record.place(), &tokens), record.generation);
        match self.write(record, claim, late).await? {
            RenewOutcome::Ended | RenewOutcome::Written => {
                self.counts.count(Became::Refreshed);
                return Ok(());
            }
            RenewOutcome::Lost => {}
        }
        // Written by a write whose answer was lost, or they were: to revoke this would end what is in use.
        let found = self.store.find_connection(record.user, &record.server).await?;
        if found.is_none_or(|found| found.id != record.id) {
            self.take_back(record.user, client, &tokens).await;
        }
        Ok(())
    }

    /// Somebody else asks: waits for what comes of it, or until they must have given up.
    async fn wait(&self, seen: &ConnectionRecord) -> Result<(), CallReason> {
        let waiting = async {
            loop {
                let found = self.store.find_connection(seen.user, &seen.server).await?;
                match found {
                    None => return Err(CallReason::ConnectionMissing),
                    Some(now) if now.id != seen.id || now.generation != seen.generation => return Ok(()),
                    Some(now) if now.needs_sign_in.is_some() => return Err(CallReason::ConnectionDead),
                    // Nobody asks, be it that the provider is left alone for a while: there is nothing to wait for.
                    Some(now) if !self.is_being_asked(&now) => {
                        return Err(CallReason::ConnectionUnavailable);
                    }
                    Some(_) => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or(Err(CallReason::ConnectionUnavailable))
    }

    fn is_being_asked(&self, record: &ConnectionRecord) -> bool {
        record.is_claimed && record.claimed_until.is_some_and(|until| until > self.clock.now())
    }

    async fn refused(
        &self,
        record: &ConnectionRecord,
        claim: Hash,
        error: OauthClientError,
    ) -> Result<(), CallReason> {
        tracing::warn!(server = record.server, reason = error.reason(), %error, "a credential could not be refreshed");
        let now = self.clock.now();
        if let Some(reason) = end_of(record.tokens.expires_at, error, now) {
            let event = self.event(record, AuditKind::ConnectionDead, reason);
            let refused = Renewed::Refused(reason, Box::new(event));
            return match self.write(record, claim, refused).await? {
                RenewOutcome::Ended | RenewOutcome::Written => {
                    self.counts.count(Became::Dead);
                    Err(CallReason::ConnectionDead)
                }
                // Whoever had it before us came back with another pair.
                RenewOutcome::Lost => Ok(()),
            };
        }
        let is_mute = error.is_passing() || matches!(error, OauthClientError::Malformed(_));
        let pause = if is_mute { PAUSE } else { LONG_PAUSE };
        let until: Timestamp = now.plus(pause);
        self.write(record, claim, Renewed::Silent(until)).await?;
        Err(CallReason::ConnectionUnavailable)
    }

    async fn write(
        &self,
        record: &ConnectionRecord,
        claim: Hash,
        renewed: Renewed,
    ) -> Result<RenewOutcome, CallReason> {
        let now = self.clock.now();
        Ok(self.store.renew_connection(record.id, claim, renewed, now).await?)
    }

    /// The person has to connect again, and is told so from now on.
    pub(crate) async fn mark_dead<T>(
        &self,
        record: &ConnectionRecord,
        reason: &'static str,
    ) -> Result<T, CallReason> {
        let event = self.event(record, AuditKind::ConnectionDead, reason);
        if self.store.mark_connection(record.id, record.generation, reason, vec![event]).await? {
            self.counts.count(Became::Dead);
        }
        self.forget(record.user, &record.server);
        Err(CallReason::ConnectionDead)
    }

    pub(crate) fn event(
        &self,
        record: &ConnectionRecord,
        kind: AuditKind,
        reason: &'static str,
    ) -> AuditEvent {
        let now = self.clock.now();
        let id = Id::mint(now, &*self.entropy);
        let mut event = AuditEvent::new(id, now, kind, Outcome::Failed);
        (event.reason, event.user, event.server) =
            (Some(reason), Some(record.user), Some(record.server.clone()));
        event
    }

    /// The MCP server does not take what the provider has just given.
    pub(crate) async fn give_up<T>(
        &self,
        held: &Held,
        user: Id<User>,
        server: &McpServer,
    ) -> Result<T, CallReason> {
        let record = self.record(user, server).await?;
        if record.id == held.id && record.generation == held.generation {
            return self.mark_dead(&record, "connection_refused_by_mcp_server").await;
        }
        Err(CallReason::ConnectionUnavailable)
    }

    /// The MCP server took the credential of this generation no more (RS-171): the next one, if somebody has it by now or
    /// the provider gives one; otherwise the person has to connect again. Of all calls that were refused one comes here.
    pub(crate) async fn replaced(
        self: &Arc<Self>,
        held: &Held,
        user: Id<User>,
        server: &McpServer,
    ) -> Result<Arc<Held>, CallReason> {
        let record = self.record(user, server).await?;
        if record.id != held.id || record.generation != held.generation {
            return self.held(&record);
        }
        if record.tokens.refresh_token.is_none() {
            return self.mark_dead(&record, "connection_refused_by_mcp_server").await;
        }
        let client = Arc::clone(server.oauth_client().ok_or(CallReason::ConnectionUnavailable)?);
        self.renew(record.clone(), client, true).await?;
        let newer = self.record(user, server).await?;
        if newer.id == record.id && newer.generation == record.generation {
            return Err(CallReason::ConnectionUnavailable);
        }
        self.held(&newer)
    }
}

/// Decides whether only a new sign-in helps, and by which reason: the authorization server said so, or it has refused without a
/// word that says why for as long as [`HOPE`] after the access token was over.
fn end_of(expired_at: Option<Timestamp>, error: OauthClientError, now: Timestamp) -> Option<&'static str> {
    if error.ends_credential() {
        return Some(error.reason());
    }
    let is_long = expired_at.is_some_and(|end| end.plus(HOPE) <= now);
    (is_long && error.is_unexplained()).then_some("connection_refused_for_long")
}
