//! The resource server: the steps that every call goes through, in their order.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use protocol::jose::dpop::Memory;
use protocol::message_signature::SignatureMode;
use protocol::oauth::{DpopRules, ProtectedResourceMetadata};
use protocol::world::{Clock, Entropy};
use store::{Revocation, Seen, SignInStep, Store, Timeline};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use upstream::collector::Span;
use upstream::mcp_server::streamable_http::McpServerClient;
use upstream::oauth_client::OauthClient;

use crate::assertion::Assertions;
use crate::audit::{Audit, AuditWriter, Entry, Intents, Keeping, Who};
use crate::bearer::{self, Bearer, Scheme};
use crate::body::Body;
use crate::call::{Asked, Verb};
use crate::caller::Caller;
use crate::counts::{CallCounts, Counters, Counting, Ending};
use crate::definitions::ToolKeeper;
use crate::error::CallError;
use crate::feed::WAITING;
use crate::held_keys::HeldKeys;
use crate::line::{TurnWriter, Turns};
use crate::lists::Ours;
use crate::mcp_server::McpServer;
use crate::people::People;
use crate::permit::{self, Hint, Permit};
use crate::presence::Bounds;
use crate::proof;
use crate::reason::CallReason;
use crate::revocations::Revocations;
use crate::session::{Session, Sessions};
use crate::settings::{OtherIssuer, Parts, ServerSettings, Settings, SettingsError};
use crate::streams::Streams;
use crate::tools::Catalogue;
use crate::trace::Tracer;
use crate::vault::connection::Vault;

/// The MCP servers behind us, guarded.
pub struct ResourceServer {
    pub(crate) servers: Servers,
    /// The MCP servers as they stand now, whichever configuration this one was made from.
    pub(crate) standing: Arc<ArcSwap<Servers>>,
    pub(crate) assertions: Arc<Assertions>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) stream_grace: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) held_keys: Arc<HeldKeys>,
    pub(crate) parts: Lasting,
    pub(crate) dpop: DpopRules,
    message_bytes: usize,
    /// Where our pages for people are.
    pub(crate) pages_url: String,
    /// Tells our own pages from others.
    pub(crate) ours: Arc<Ours>,
    record_reading: bool,
    pub(crate) keeping: Arc<Keeping>,
}

/// The MCP servers by name.
pub(crate) type Servers = HashMap<String, Arc<McpServer>>;

/// What a change of the configuration leaves as it is.
#[derive(Clone)]
pub(crate) struct Lasting {
    pub(crate) audit: Audit,
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) people: Arc<People>,
    /// What is remembered of proofs of possession.
    pub(crate) proofs: Arc<Memory>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tools: Arc<ToolKeeper>,
    /// Places for those who wait for revocations.
    pub(crate) readers: Arc<Semaphore>,
    /// Makes spans, if anybody is told.
    pub(crate) tracer: Option<Arc<Tracer>>,
    pub(crate) spans: Arc<Mutex<Option<Receiver<Span>>>>,
    timeline: Arc<Timeline>,
    /// Where it is told that an MCP server's circuit opened or closed, and who writes that down.
    pub(crate) turns: Turns,
    turn_writer: Arc<TurnWriter>,
    vault: Arc<Vault>,
    writer: Arc<Mutex<Option<AuditWriter>>>,
}

impl ResourceServer {
    /// Puts it together. From here on it hears of every revocation that the store commits; it serves nothing before
    /// [`Revocations::run`] has read them all.
    ///
    /// # Errors
    /// If the settings do not fit together.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, SettingsError> {
        let Parts { store, keys, keys_read, mcp_servers, clock, entropy, timeline } = parts;
        let (bounds, ours) = (Bounds::of(&settings), Ours::of(&settings));
        let Settings { issuer, other_issuers, servers, .. } = settings;
        let (turns, turn_writer) = Turns::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&entropy));
        let tools = ToolKeeper::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&entropy));
        let servers = guard((&issuer, &other_issuers), servers, mcp_servers, (&*tools, &turns))?;
        let streams = Arc::new(Streams::new(settings.open_streams));
        let (record, time) = (Arc::clone(&store), Arc::clone(&clock));
        let freshness = settings.revocation_freshness;
        let revocations = Arc::new(Revocations::new(record, time, Arc::clone(&streams), freshness));
        let (record, time) = (Arc::clone(&store), Arc::clone(&clock));
        let vault = Arc::new(Vault::new(record, Arc::clone(&keys), time, Arc::clone(&entropy)));
        hear(store.as_ref(), &revocations, &vault);
        let held_keys =
            Arc::new(HeldKeys::new(Arc::clone(&keys), keys_read, Arc::clone(&clock), Arc::clone(&streams)));
        let counters = Arc::new(Counters::default());
        let intents = Intents::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&entropy));
        let (audit, events) = Audit::new(Arc::clone(&clock), Arc::clone(&counters), intents);
        let (record, time, chance) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&entropy));
        let writer = AuditWriter::new(events, record, time, chance, Arc::clone(&counters));
        let traced =
            settings.traces.map(|traces| Tracer::new(traces, Arc::clone(&entropy), Arc::clone(&counters)));
        let (tracer, spans) = traced.unzip();
        Ok(Self {
            standing: Arc::new(ArcSwap::from_pointee(servers.clone())),
            servers,
            assertions: Arc::new(Assertions::new(issuer, Arc::clone(&keys), Arc::clone(&clock))),
            sessions: Arc::new(Sessions::new(Arc::clone(&keys), Arc::clone(&clock), Arc::clone(&entropy))),
            streams,
            stream_grace: settings.stream_grace,
            revocations,
            held_keys,
            parts: Lasting {
                audit,
                bearer: Arc::new(Bearer::new(keys, Arc::clone(&clock)).telling(Arc::clone(&timeline))),
                counters,
                entropy,
                people: Arc::new(People::new(Arc::clone(&store), Arc::clone(&clock), bounds)),
                proofs: Arc::default(),
                store,
                tools,
                readers: Arc::new(Semaphore::new(WAITING)),
                tracer,
                spans: Arc::new(Mutex::new(spans)),
                timeline,
                turns,
                turn_writer: Arc::new(turn_writer),
                vault,
                writer: Arc::new(Mutex::new(Some(writer))),
            },
            clock,
            dpop: settings.dpop,
            message_bytes: settings.message_bytes,
            ours,
            pages_url: settings.pages_url,
            record_reading: settings.record_reading,
            keeping: Arc::new(Keeping::new(settings.kept_arguments)),
        })
    }

    /// The same resource server with other settings: what it knows and counts, its streams and its audit are shared
    /// (see `reconfigure.rs`).
    pub(crate) fn with(&self, settings: Settings, servers: Servers) -> Self {
        Self {
            servers,
            standing: Arc::clone(&self.standing),
            assertions: Arc::clone(&self.assertions),
            sessions: Arc::clone(&self.sessions),
            streams: Arc::clone(&self.streams),
            stream_grace: settings.stream_grace,
            clock: Arc::clone(&self.clock),
            revocations: Arc::clone(&self.revocations),
            held_keys: Arc::clone(&self.held_keys),
            parts: self.parts.clone(),
            dpop: settings.dpop,
            message_bytes: settings.message_bytes,
            ours: Ours::of(&settings),
            pages_url: settings.pages_url,
            record_reading: settings.record_reading,
            keeping: Arc::new(Keeping::new(settings.kept_arguments)),
        }
    }

    /// Takes one request to the MCP endpoint of `server` through all steps. `Origin` and `Host` were judged before.
    ///
    /// # Errors
    /// [`CallError`], which says what the client is to be told.
    pub async fn call<B>(
        &self,
        server: &str,
        request: Request<B>,
        caller: Caller<'_>,
    ) -> Result<Response<Body>, CallError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if !request.headers().contains_key(proof::HEADER) {
            return self.take(server, request, &caller).await;
        }
        // Whoever proves a key is told the nonce for the next proof, whatever becomes of this one.
        let nonce = self.dpop_nonce().and_then(|nonce| HeaderValue::try_from(nonce).ok());
        match (self.take(server, request, &caller).await, nonce) {
            (Ok(mut response), Some(nonce)) => {
                response.headers_mut().insert(proof::NONCE, nonce);
                Ok(response)
            }
            (Err(error), nonce) => Err(error.with_nonce(nonce)),
            (answer @ Ok(_), None) => answer,
        }
    }

    async fn take<B>(
        &self,
        server: &str,
        request: Request<B>,
        caller: &Caller<'_>,
    ) -> Result<Response<Body>, CallError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (server, verb) = self.resolve(server, &request)?;
        let head = (request.method(), request.headers(), bearer::is_in_query(request.uri()));
        let entry = self.admit(server, head, caller).await?;
        let mut asked = Asked::read(entry, verb, request, self.message_bytes).await?;
        self.trace(&mut asked);
        self.keep_arguments(&mut asked);
        let permit = self.decide(asked).await?;
        self.forward(permit).await
    }

    /// The metadata document of one MCP server (RFC 9728).
    #[must_use]
    pub fn protected_resource_metadata(&self, server: &str) -> Option<ProtectedResourceMetadata> {
        self.servers.get(server).map(|server| server.metadata().clone())
    }

    pub(crate) const fn vault(&self) -> &Arc<Vault> {
        &self.parts.vault
    }

    /// Where people connect accounts for an MCP server, as the configuration has it now.
    pub(crate) fn oauth_client(&self, server: &str) -> Option<Arc<OauthClient>> {
        self.standing.load().get(server).and_then(|server| server.oauth_client()).map(Arc::clone)
    }

    /// The names of all MCP servers, in no order.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// What has been withdrawn. Its [`Revocations::run`] is a task that somebody must own.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What is known of tools. Its [`ToolKeeper::run`] is a task that somebody must own.
    #[must_use]
    pub const fn tools(&self) -> &Arc<ToolKeeper> {
        &self.parts.tools
    }

    /// Whether the keys still hold. Its [`HeldKeys::run`] is a task that somebody must own.
    #[must_use]
    pub const fn held_keys(&self) -> &Arc<HeldKeys> {
        &self.held_keys
    }

    /// Whether calls can be served: all revocations were read, and lately, and the keys too.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.revocations.is_fresh() && self.held_keys.are_fresh()
    }

    /// Whether our clock was found to be another than that of the record: then calls are not served either.
    #[must_use]
    pub fn clock_differs(&self) -> bool {
        self.held_keys.clock_differs()
    }

    /// Writes the audit events of calls into the record; a task that somebody must own. To be stopped after the last
    /// connection, since it then waits for calls in progress only briefly. Called again, it does nothing.
    pub async fn write_audit(&self, shutdown: CancellationToken) {
        let writer = self.parts.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let turns = self.parts.turn_writer.run(&shutdown);
            tokio::join!(self.parts.audit.be_heard(&shutdown), turns, writer.run(shutdown.clone()));
        }
    }

    /// Ends the open streams that bring no answer to a call, so that their connections can be closed. Answers may
    /// finish.
    pub fn end_streams(&self) {
        self.streams.end_subscriptions();
        self.revocations.end_waiting();
    }

    /// The counters, for whoever shows them whatever happens to the configuration.
    #[must_use]
    pub fn counting(&self) -> Counting {
        let (counters, streams) = (Arc::clone(&self.parts.counters), Arc::clone(&self.streams));
        let (connections, credentials) =
            (Arc::clone(&self.vault().counts), Arc::clone(&self.vault().credentials));
        Counting::new(counters, streams, Arc::clone(&self.standing), connections, credentials)
    }

    /// How many calls ended how.
    #[must_use]
    pub fn counts(&self) -> CallCounts {
        self.counting().snapshot()
    }

    /// Step 1: a path and a method that there are.
    fn resolve<B>(&self, server: &str, request: &Request<B>) -> Result<(&Arc<McpServer>, Verb), CallError> {
        let bare = |reason| CallError::new(reason, None, None);
        let server = self.servers.get(server).ok_or_else(|| bare(CallReason::ServerUnknown))?;
        let verb = Verb::of(request.method()).ok_or_else(|| bare(CallReason::MethodNotAllowed))?;
        Ok((server, verb))
    }

    /// Step 2: a live access token of a live person, with its proof if it is bound to a key, and a place in the audit. Before anything else is looked at, so
    /// that who has none learns nothing (requirements RS-023).
    async fn admit(
        &self,
        server: &Arc<McpServer>,
        (method, headers, in_query): (&Method, &HeaderMap, bool),
        caller: &Caller<'_>,
    ) -> Result<Entry, CallError> {
        self.try_admit(server, (method, headers, in_query), caller).await.map_err(|reason| {
            let ending = match reason.status() {
                StatusCode::UNAUTHORIZED => Ending::Unauthenticated,
                _ => reason.ending(),
            };
            self.parts.counters.count(ending, 0);
            server.tally().count(ending, None);
            if ending == Ending::Unauthenticated {
                self.saw_challenge(server, &reason, caller);
            }
            let scheme = bearer::present(headers).map_or(Scheme::Bearer, |presented| presented.scheme);
            let challenge = server.challenges().for_reason(&reason, scheme, (None, None));
            let beside = server.challenges().beside(&reason);
            CallError::new(reason, None, challenge).beside(beside)
        })
    }

    /// Off the way of calls that are let through: the timeline hears of who was sent to sign in.
    fn saw_challenge(&self, server: &McpServer, reason: &CallReason, caller: &Caller<'_>) {
        self.parts.timeline.saw(
            caller.address,
            Seen {
                at: self.clock.now(),
                step: SignInStep::Challenged,
                reason: Some(reason.reason()),
                server: Some(server.settings().name.clone()),
            },
        );
    }

    async fn try_admit(
        &self,
        server: &Arc<McpServer>,
        (method, headers, in_query): (&Method, &HeaderMap, bool),
        caller: &Caller<'_>,
    ) -> Result<Entry, CallReason> {
        let presented = bearer::present(headers)?;
        if in_query {
            return Err(CallReason::AuthorizationRepeated);
        }
        let verdict = match self.parts.bearer.verify(presented.token, server.identities(), caller) {
            // It may be of a key that was made since we last heard of keys: then it is we who cannot tell.
            Err(CallReason::TokenInvalid) if !self.held_keys.are_fresh() => {
                return Err(CallReason::RevocationsStale);
            }
            verdict => verdict?,
        };
        if !server.is_low_risk() && !self.ready() {
            return Err(CallReason::RevocationsStale);
        }
        if self.revocations.is_dead(&verdict.access) {
            return Err(CallReason::TokenRevoked);
        }
        self.prove(server, (&presented, &verdict.access), method, headers).await?;
        let person = self.parts.people.find_live(verdict.access.user).await?;
        for actor in &verdict.access.actors {
            self.parts.people.find_live(actor.user).await?;
        }
        self.parts
            .audit
            .reserve(Who { server: Arc::clone(server), verdict, person, address: caller.address })
            .await
    }

    /// Step 4: the policy's leave. Whom it does not admit at all causes no request to the MCP server.
    async fn decide(&self, mut asked: Asked) -> Result<Permit, CallError> {
        if !permit::may_connect(&mut asked) {
            return Err(asked.refuse(CallReason::PersonNotAllowed));
        }
        // At once: to find out what a tool is would be to wait for an MCP server that does not answer.
        if let Some(wait) = asked.who().server.line().closed_for(asked.who().verdict.access.user) {
            return Err(asked.refuse(CallReason::CircuitOpen(wait)));
        }
        asked.signer = match self.signer(&asked).await {
            Ok(signer) => signer,
            Err(reason) => return Err(asked.refuse(reason)),
        };
        let session = match self.open_session(&asked) {
            Ok(session) => session,
            Err(reason) => return Err(asked.refuse(reason)),
        };
        let read_only = match permit::hint(&asked, self.record_reading) {
            Hint::Ask(tool) => match self.hint(tool, &asked, &session).await {
                Ok(read_only) => read_only,
                Err(reason) => return Err(self.without_credential(asked, &session, reason)),
            },
            Hint::Known(read_only) => read_only,
        };
        let said = match permit::tool_to_recall(&asked, read_only) {
            Some(tool) => self.recall(tool, &asked, &session).await,
            None => read_only,
        };
        let now = self.clock.now();
        let mut permit = self.if_it_counts(Permit::ask(asked, session, read_only, now)?).await?;
        if !self.record_reading {
            permit.unrecorded_if_it_reads(read_only);
        }
        permit.intended_if_it_changes(said);
        Ok(permit)
    }

    fn open_session(&self, asked: &Asked) -> Result<Session, CallReason> {
        if !asked.may_name_a_session() {
            return Ok(Session::None);
        }
        let may_be_unsigned = asked.who().server.settings().message_signatures == SignatureMode::Optional;
        let by = (asked.signer.as_ref(), may_be_unsigned);
        self.sessions.open(&asked.headers, asked.who(), by).map_err(|reason| {
            // GET and DELETE of 2026-07-28 with a session id that is none of ours: it is to be ignored, and then
            // there is no such method.
            if asked.is_modern() { CallReason::MethodNotAllowed } else { reason }
        })
    }
}

/// Has both told of every revocation that the store commits.
fn hear(store: &dyn Store, revocations: &Arc<Revocations>, vault: &Arc<Vault>) {
    revocations.tell(vault);
    let revocations = Arc::downgrade(revocations);
    store.on_revocation(Arc::new(move |revocation: &Revocation| {
        if let Some(revocations) = Weak::upgrade(&revocations) {
            revocations.apply(revocation);
        }
    }));
}

/// Each MCP server with the way to it. `names` are the issuer and the other ones.
pub(crate) fn guard(
    names: (&str, &[OtherIssuer]),
    servers: Vec<ServerSettings>,
    mut ways: HashMap<String, Arc<McpServerClient>>,
    (keeper, turns): (&ToolKeeper, &Turns),
) -> Result<Servers, SettingsError> {
    let mut guarded = HashMap::new();
    for server in servers {
        let name = server.name.clone();
        let Place::Vacant(place) = guarded.entry(name.clone()) else {
            return Err(SettingsError::NameRepeated(name));
        };
        let client = ways.remove(&name).ok_or(SettingsError::NoWay(name))?;
        let (clock, entropy) = keeper.world();
        let catalogue = Catalogue::new(Arc::clone(clock), Arc::clone(entropy));
        let tools = keeper.server(&server.name);
        let server = McpServer::new(names, server, client, (catalogue, tools), (clock, turns));
        place.insert(Arc::new(server));
    }
    Ok(guarded)
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer")
            .field("servers", &self.servers.keys())
            .field("revocations", &self.revocations)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
