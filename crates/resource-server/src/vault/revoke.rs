//! Connections that ended are taken back at who gave them (RFC 7009), from the record, so that neither a provider that is away
//! nor a node that dies loses one: one at a time, over all nodes, further and further apart. And streams that were opened by
//! them end, on every node within T (product.md, P-2).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::secret::{Hash, Secret};
use protocol::world::between_nodes;
use store::{AuditKind, ConnectionRecord, StoreError};
use tokio_util::sync::CancellationToken;
use upstream::oauth_client::{Binding, OauthClient, Revoked, Tokens};

use super::connection::{Vault, bound};
use super::counts::Became;
use crate::server::ResourceServer;

/// How often the record is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long a claim holds.
const LEASE: Duration = between_nodes(Duration::from_secs(60));
/// The first pause after a provider did not answer; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// After so long nobody tries any more.
const GIVEN_UP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl ResourceServer {
    /// Has providers told of connections that ended, and ends their streams, until then; a task that somebody must own. What was
    /// begun for a call is waited for.
    pub async fn tend_connections(&self, shutdown: CancellationToken) {
        let vault = self.vault();
        let pause = async || {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        };
        let revoking = async {
            while !shutdown.is_cancelled() {
                if let Err(error) = self.revoke_ended().await {
                    tracing::warn!(%error, "connections that ended could not be read");
                }
                pause().await;
            }
        };
        // Apart: a provider may take its time.
        let ending = async {
            while !shutdown.is_cancelled() {
                if let Err(error) = self.end_streams_of_ended().await {
                    tracing::warn!(%error, "it is not known which connections ended");
                }
                pause().await;
            }
        };
        let taking_back = async {
            while !shutdown.is_cancelled() {
                self.take_back_what_is_over().await;
                pause().await;
            }
        };
        tokio::join!(revoking, ending, taking_back);
        vault.tasks.close();
        vault.tasks.wait().await;
    }

    /// One look at which streams outlasted their connection. An end here is heard of at once; this is for those of other nodes
    /// and of commands.
    async fn end_streams_of_ended(&self) -> Result<(), StoreError> {
        let open = self.streams.connections();
        if open.is_empty() {
            return Ok(());
        }
        let living: HashSet<_> =
            self.vault().store.list_living_connections(open.clone()).await?.into_iter().collect();
        let over: HashSet<_> = open.into_iter().filter(|id| !living.contains(id)).collect();
        if !over.is_empty() {
            self.streams.end_disconnected(|id| over.contains(&id));
        }
        Ok(())
    }

    /// One look at what ended.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer.
    pub async fn revoke_ended(&self) -> Result<(), StoreError> {
        if self.clock_differs() {
            return Ok(());
        }
        let vault = self.vault();
        for record in vault.store.list_ended_connections(vault.clock.now()).await? {
            let claim = Secret::random("", &*vault.entropy).hash();
            let now = vault.clock.now();
            if vault.store.claim_connection(record.clone(), claim, now.plus(LEASE), now).await? {
                if vault.is_superseded(&record).await? {
                    let event = vault.event(&record, AuditKind::ConnectionEnded, "connection_superseded");
                    vault.store.forget_connection(record.id, claim, Some(event)).await?;
                    continue;
                }
                let client = self.oauth_client(&record.server);
                vault.revoke(&record, claim, client).await?;
            }
        }
        Ok(())
    }
}

impl Vault {
    /// Whether the person has a living connection of the same client at the same provider. There are providers that end
    /// everything which they gave a client for a person when one of its tokens is revoked: GitHub, Google and Auth0 say so of
    /// themselves. What the person has just connected must not end with what was there before.
    async fn is_superseded(&self, ended: &ConnectionRecord) -> Result<bool, StoreError> {
        match bound(ended) {
            Some(before) => self.stands_for(ended.user, &before.binding).await,
            None => Ok(false),
        }
    }

    async fn stands_for(&self, user: Id<User>, before: &Binding) -> Result<bool, StoreError> {
        let living = self.store.list_connections(Some(user), None).await?;
        let is_same = |one: &ConnectionRecord| {
            bound(one).is_some_and(|now| {
                now.binding.issuer == before.issuer && now.binding.client_id == before.client_id
            })
        };
        Ok(living.iter().any(is_same))
    }

    /// What a provider gave and is written nowhere, so that nobody could take it back later, is taken back at once; unless
    /// that would end what is in use, or nobody can tell whether it would.
    pub(super) async fn take_back(&self, user: Id<User>, client: &OauthClient, tokens: &Tokens) {
        let server = client.server_name();
        match self.stands_for(user, &tokens.binding).await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                tracing::warn!(server, %error, "what came too late is not taken back: it may be in use");
                return;
            }
        }
        let revoked = Revoked {
            access_token: &tokens.access_token,
            refresh_token: tokens.refresh_token.as_ref(),
            binding: &tokens.binding,
        };
        if let Err(error) = client.revoke(revoked).await {
            tracing::warn!(server, %error, "what came too late could not be taken back");
        }
    }

    async fn revoke(
        &self,
        record: &ConnectionRecord,
        claim: Hash,
        client: Option<Arc<OauthClient>>,
    ) -> Result<(), StoreError> {
        let told = match (client, bound(record), self.open_both(record)) {
            (Some(client), Some(bound), Ok((access, refresh))) => {
                let revoked = Revoked {
                    access_token: &access,
                    refresh_token: refresh.as_ref(),
                    binding: &bound.binding,
                };
                client
                    .revoke(revoked)
                    .await
                    .map(|_| ())
                    .map_err(|error| (error.reason(), error.ends_credential()))
            }
            // Not configured here; at another node it may be, or here again.
            (None, _, _) => Err(("connection_server_gone", false)),
            // It does not open: nobody can tell.
            (Some(_), None, _) | (Some(_), Some(_), Err(_)) => Err(("connection_seal_broken", true)),
        };
        let now = self.clock.now();
        let is_old = record.ended_at.is_some_and(|ended| now.since(ended) > GIVEN_UP);
        match told {
            Ok(()) => {
                self.counts.count(Became::Revoked);
                self.store.forget_connection(record.id, claim, None).await?
            }
            Err((reason, is_final)) if is_old || is_final => {
                tracing::warn!(
                    server = record.server,
                    reason,
                    "a connection ended, and its provider cannot be told"
                );
                let event = self.event(record, AuditKind::ConnectionEnded, reason);
                self.store.forget_connection(record.id, claim, Some(event)).await?
            }
            Err(_) => {
                let pause = PAUSE.saturating_mul(1 << record.tries.min(16)).min(LONGEST);
                self.store.postpone_connection(record.id, claim, now.plus(pause)).await?
            }
        };
        Ok(())
    }
}
