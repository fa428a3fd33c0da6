//! A person's own credential for an MCP server, out of the vault (product.md, P-14 and P-15).
//!
//! Found in memory while it is fresh and was read within T (product.md, P-2): a stop, and an end on another node, count
//! within that. Otherwise one read, however many calls wait. Refreshed ahead of its end; while another node refreshes, the
//! one at hand is used as long as it is good. Must never give out what belongs to another person, or was given for an MCP
//! server that stood elsewhere.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::id::{Connection, Id, User};
use protocol::keys::Keys;
use protocol::oauth::Scope;
use protocol::secret::{Hash, Sealed, Secret};
use protocol::world::{Clock, Entropy, Timestamp};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use store::{ConnectionRecord, GivenTokens, Revocation, RevocationKind, Store, TokensPlace};
use tokio_util::task::TaskTracker;
use upstream::oauth_client::{Binding, Tokens};

use super::counts::{Became, ConnectionCounts, CredentialCounts};
use super::credential::UpstreamCredential;
use super::obtained::Shelf;
use crate::mcp_server::McpServer;
use crate::reason::CallReason;

/// Connections that are remembered.
const REMEMBERED: usize = 50_000;
const STRANGERS: usize = 1_000;
/// How long what was read is believed: T (product.md, P-2).
const LIFE: Duration = Duration::from_secs(5);
/// How long all calls are told that there is none, before one of them tries again.
const AWAY: Duration = Duration::from_secs(1);
/// How long a call waits for a credential.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// What must be left of the life of an access token, or it is refreshed.
const AHEAD: Duration = Duration::from_secs(60);
/// Of one that lives shortly this part of its life: it is not refreshed at every call.
const PART: u32 = 5;
/// To whom a credential was given, and for an MCP server at which place: it goes nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// Scheme, host and port of the MCP server.
    pub(crate) at: String,
    pub(crate) binding: Binding,
}

/// A connection in memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: Id<Connection>,
    pub(crate) generation: u32,
    pub(crate) credential: UpstreamCredential,
    /// Scheme, host and port of the MCP server that it was given for.
    at: String,
    /// From when on it is to be exchanged.
    stale_at: Option<Timestamp>,
    read_at: Duration,
}

/// What is in memory of one.
#[derive(Clone, Debug)]
enum Known {
    /// At this time there was none to be had.
    Away(Duration),
    /// This one.
    Held(Arc<Held>),
}

impl Known {
    fn given(self) -> Result<Arc<Held>, CallReason> {
        match self {
            Self::Away(_) => Err(CallReason::ConnectionUnavailable),
            Self::Held(held) => Ok(held),
        }
    }

    /// Whether nothing in it was given for an MCP server that stood elsewhere.
    fn is_for(&self, server: &McpServer) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Held(held) => held.at == server.origin(),
        }
    }

    /// Whether it is the same credential, or the same lack of one.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Away(one), Self::Away(other)) => one == other,
            (Self::Held(one), Self::Held(other)) => (one.id, one.generation) == (other.id, other.generation),
            (Self::Away(_), Self::Held(_)) | (Self::Held(_), Self::Away(_)) => false,
        }
    }
}

/// Whose, and for which MCP server.
type Place = (Id<User>, String);

/// The vault.
pub(crate) struct Vault {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// What was begun for a call and goes on without it: a refresh whose answer must not be lost with its caller.
    pub(crate) tasks: TaskTracker,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) credentials: Arc<CredentialCounts>,
    /// What is held in memory alone.
    pub(crate) shelf: Shelf,
    known: Cache<Place, Known>,
    /// Attempts that strangers brought back and that are written down, by the state.
    pub(super) strangers: Cache<Hash, ()>,
}

impl Vault {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keys: Arc<ArcSwap<Keys>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            keys,
            shelf: Shelf::new(Arc::clone(&clock)),
            clock,
            entropy,
            tasks: TaskTracker::new(),
            counts: Arc::default(),
            credentials: Arc::default(),
            known: Cache::new(REMEMBERED),
            strangers: Cache::new(STRANGERS),
        }
    }

    /// The credential of a person for an MCP server.
    pub(crate) async fn find(
        self: &Arc<Self>,
        user: Id<User>,
        server: &McpServer,
    ) -> Result<Arc<Held>, CallReason> {
        let place = (user, server.name().to_owned());
        match self.known.get(&place) {
            // An MCP server that was moved is sent nothing that was given for another place.
            Some(known) if self.is_fresh(&known) && known.is_for(server) => known.given(),
            Some(stale) => {
                self.known.remove_if(&place, |known| known.is_same(&stale));
                self.shared(place, server, self.read(user, server)).await
            }
            None => self.shared(place, server, self.read(user, server)).await,
        }
    }

    /// Another credential than this one, which is of no use any more: one call sees to that, and the others wait for it.
    pub(crate) async fn instead_of(
        self: &Arc<Self>,
        held: &Arc<Held>,
        user: Id<User>,
        server: &McpServer,
    ) -> Result<Arc<Held>, CallReason> {
        let (place, useless) = ((user, server.name().to_owned()), Known::Held(Arc::clone(held)));
        // Twice: somebody may have read the same one again in between.
        for _ in 0..2 {
            self.known.remove_if(&place, |known| known.is_same(&useless));
            let next = self.shared(place.clone(), server, self.replaced(held, user, server)).await?;
            if !Known::Held(Arc::clone(&next)).is_same(&useless) {
                return Ok(next);
            }
        }
        Err(CallReason::ConnectionUnavailable)
    }

    /// One call sees to it, and all who come meanwhile are given what comes of it, be it that nothing can be had now. Nobody
    /// waits for longer than a call may.
    async fn shared(
        &self,
        place: Place,
        server: &McpServer,
        see_to_it: impl Future<Output = Result<Arc<Held>, CallReason>>,
    ) -> Result<Arc<Held>, CallReason> {
        let seen_to = async {
            match see_to_it.await {
                Ok(held) => Ok(Known::Held(held)),
                Err(CallReason::ConnectionUnavailable) => {
                    self.counts.count(Became::Unavailable);
                    Ok(Known::Away(self.clock.monotonic()))
                }
                Err(reason) => Err(reason),
            }
        };
        match tokio::time::timeout(PATIENCE, self.known.get_or_insert_async(&place, seen_to)).await {
            Ok(known) => {
                let known = known?;
                if known.is_for(server) { known.given() } else { Err(CallReason::ConnectionUnavailable) }
            }
            Err(_) => Err(CallReason::ConnectionUnavailable),
        }
    }

    /// Whether a connection lives, by the record.
    pub(crate) async fn lives(&self, id: Id<Connection>) -> Result<bool, CallReason> {
        Ok(!self.store.list_living_connections(vec![id]).await?.is_empty())
    }

    /// Forgets what is in memory.
    pub(crate) fn forget(&self, user: Id<User>, server: &str) {
        self.known.remove(&(user, server.to_owned()));
    }

    /// Somebody was stopped: nothing of theirs is in memory any more.
    pub(crate) fn hear(&self, revocation: &Revocation) {
        self.shelf.hear(revocation);
        match revocation.kind {
            RevocationKind::Client | RevocationKind::Grant => {}
            RevocationKind::Issuer | RevocationKind::Resource => self.known.clear(),
            RevocationKind::User => {
                let user = revocation.id.parse::<Id<User>>().ok();
                self.known.retain(|(whose, _), _| Some(*whose) != user);
            }
        }
    }

    fn is_fresh(&self, known: &Known) -> bool {
        let now = self.clock.monotonic();
        match known {
            Known::Away(since) => now.saturating_sub(*since) < AWAY,
            Known::Held(held) => {
                let lately = now.saturating_sub(held.read_at) < LIFE;
                lately && held.stale_at.is_none_or(|at| at > self.clock.now())
            }
        }
    }

    async fn read(self: &Arc<Self>, user: Id<User>, server: &McpServer) -> Result<Arc<Held>, CallReason> {
        let record = self.record(user, server).await?;
        let now = self.clock.now();
        let ends = record.tokens.expires_at;
        if stale_at(&record).is_none_or(|at| at > now) {
            return self.held(&record);
        }
        if record.tokens.refresh_token.is_none() {
            return if ends.is_some_and(|end| end > now) {
                self.held(&record)
            } else {
                self.mark_dead(&record, "connection_expired").await
            };
        }
        self.renewed(record, server).await
    }

    /// The living connection, as far as it is one that may be used.
    pub(crate) async fn record(
        &self,
        user: Id<User>,
        server: &McpServer,
    ) -> Result<ConnectionRecord, CallReason> {
        let found = self.store.find_connection(user, server.name()).await?;
        let record = found.ok_or(CallReason::ConnectionMissing)?;
        let is_dead = record.needs_sign_in.is_some();
        // First: of what was moved, nothing that it says of itself is believed.
        let record = if is_dead { record } else { self.untampered(record).await? };
        if bound(&record).is_none_or(|bound| bound.at != server.origin()) {
            return Err(CallReason::ConnectionMissing);
        }
        if is_dead { Err(CallReason::ConnectionDead) } else { Ok(record) }
    }

    pub(crate) fn held(&self, record: &ConnectionRecord) -> Result<Arc<Held>, CallReason> {
        let access = self.open(record.place(), TokensPlace::ACCESS, &record.tokens.access_token)?;
        Ok(Arc::new(Held {
            id: record.id,
            generation: record.generation,
            credential: UpstreamCredential::bearer(&access).ok_or(CallReason::ConnectionUnavailable)?,
            at: bound(record).ok_or(CallReason::ConnectionMissing)?.at,
            stale_at: stale_at(record),
            read_at: self.clock.monotonic(),
        }))
    }

    /// Opens a token in the row where it stands, and for whom it was put there; elsewhere it does not open.
    fn open(&self, place: TokensPlace<'_>, column: &str, sealed: &Sealed) -> Result<Secret, CallReason> {
        let opened = self.keys.load().sealing.open(&place.context(column), sealed);
        let opened = opened.map_err(|error| {
            tracing::error!(connection = %place.id, %error, "a sealed token does not open");
            CallReason::ConnectionUnavailable
        })?;
        let text = std::str::from_utf8(&opened).map_err(|_| CallReason::ConnectionUnavailable)?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Both tokens of a connection, to be exchanged or revoked.
    pub(crate) fn open_both(
        &self,
        record: &ConnectionRecord,
    ) -> Result<(Secret, Option<Secret>), CallReason> {
        let place = record.place();
        let access = self.open(place, TokensPlace::ACCESS, &record.tokens.access_token)?;
        let refresh = record.tokens.refresh_token.as_ref();
        Ok((access, refresh.map(|sealed| self.open(place, TokensPlace::REFRESH, sealed)).transpose()?))
    }

    /// What was granted, sealed for this row.
    pub(crate) fn seal(&self, place: TokensPlace<'_>, tokens: &Tokens) -> GivenTokens {
        let keys = self.keys.load();
        let seal = |column: &str, secret: &Secret| {
            let context = place.context(column);
            secret.expose(|text| keys.sealing.active().seal(&context, text.as_bytes(), &*self.entropy))
        };
        let refresh = tokens.refresh_token.as_ref();
        GivenTokens {
            access_token: seal(TokensPlace::ACCESS, &tokens.access_token),
            refresh_token: refresh.map(|secret| seal(TokensPlace::REFRESH, secret)),
            expires_at: tokens.expires_in.map(|life| self.clock.now().plus(life)),
            scope: Some(tokens.scope.to_string()),
        }
    }
}

/// From when on the access token is to be exchanged, if it ends.
fn stale_at(record: &ConnectionRecord) -> Option<Timestamp> {
    let ends = record.tokens.expires_at?;
    Some(ends.minus(AHEAD.min(ends.since(record.refreshed_at) / PART)))
}

/// Scheme, host and port of an absolute URL.
pub(crate) fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(authority..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    url.get(..end).unwrap_or(url)
}

/// What was granted, as far as anybody said.
pub(crate) fn granted(record: &ConnectionRecord) -> Scope {
    record.tokens.scope.as_deref().and_then(|scope| Scope::parse(scope).ok()).unwrap_or_default()
}

/// What was asked for and not granted (RFC 6749, section 5.1), and what the MCP server said since that it needs.
#[must_use]
pub fn missing_scope(record: &ConnectionRecord) -> Scope {
    Scope::parse(&record.missing).unwrap_or_default()
}

/// To whom the credential was given.
pub(crate) fn bound(record: &ConnectionRecord) -> Option<Bound> {
    serde_json::from_str(&record.binding).ok()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("known", &self.known.len()).finish_non_exhaustive()
    }
}
