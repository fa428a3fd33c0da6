//! A person connects an account of an MCP server's own provider, in one browser (product.md, P-10 and P-15; attacks CB-15).
//!
//! Who is signed in, and in which browser, the pages say; here it is compared: the attempt belongs to one person, one browser
//! and one MCP server, and is taken once, before the code is sent anywhere. What a provider gives to somebody who was stopped
//! meanwhile is taken back at once.

use std::sync::Arc;
use std::time::Duration;

use policy::{Decision, Question};
use protocol::id::{Connection, Id, Reference, User};
use protocol::oauth::{CodeVerifier, Form, Parameter, Scope};
use protocol::secret::{Hash, Sealed, Secret};
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, ConnectOutcome, ConnectingRecord, ConnectionRecord, NewConnection, Outcome,
    StoreError, TokensPlace,
};
use thiserror::Error;
use upstream::oauth_client::{Attempt, Leg, OauthClient, OauthClientError, Tokens};

use super::connection::{Bound, Vault, missing_scope, origin};
use super::counts::Became;
use super::{link, partial};
use crate::mcp_server::McpServer;
use crate::reason::CallReason;
use crate::server::ResourceServer;

/// How long a person may take at the provider.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// Attempts of one person that may be under way.
const MOST: u32 = 20;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The attempt was taken, or took too long, or never was.
    #[error("there is no such attempt, or it is over")]
    AttemptUnknown,
    /// The callback is not of this flow.
    #[error("the callback is malformed")]
    CallbackMalformed,
    /// The person may not use the MCP server.
    #[error("the person may not use the mcp server")]
    NotAllowed,
    /// The attempt was begun in another browser.
    #[error("the attempt was begun in another browser")]
    OtherBrowser,
    /// The link or the attempt is somebody else's.
    #[error("the link or the attempt is somebody else's")]
    OtherPerson,
    /// The provider does not connect.
    #[error("the provider does not connect: {0}")]
    Provider(#[from] OauthClientError),
    /// What was sealed does not open.
    #[error("a sealed value does not open")]
    SealBroken,
    /// There is no such MCP server, or none to which accounts are connected.
    #[error("there is no such mcp server to connect to")]
    ServerUnknown,
    /// The person was stopped meanwhile.
    #[error("the person was stopped meanwhile")]
    Stopped,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// Too many attempts of this person are under way.
    #[error("too many attempts of this person are under way")]
    TooMany,
}

impl ConnectError {
    /// Whether the provider did not answer at all, so that the same may work a little later.
    #[must_use]
    pub const fn is_provider_away(&self) -> bool {
        matches!(self, Self::Provider(OauthClientError::Unreachable(_)))
    }

    /// The reason in snake case, for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AttemptUnknown => "connect_attempt_unknown",
            Self::CallbackMalformed => "connect_callback_malformed",
            Self::NotAllowed => "connect_not_allowed",
            Self::OtherBrowser => "connect_other_browser",
            Self::OtherPerson => "connect_other_person",
            Self::Provider(error) => error.reason(),
            Self::SealBroken => "connect_seal_broken",
            Self::ServerUnknown => "connect_server_unknown",
            Self::Stopped => "connect_person_stopped",
            Self::Store(_) => "store_unavailable",
            Self::TooMany => "connect_too_many",
        }
    }
}

/// What is shown before anybody is sent away.
#[derive(Debug, Clone)]
pub struct ConnectPage {
    /// The MCP server, by our name.
    pub server: String,
    /// What people call it.
    pub title: String,
    /// Where the person will be sent.
    pub host: String,
    /// What will be asked for there, as the provider names it.
    pub scope: Vec<String>,
    /// The connection that there is.
    pub connection: Option<ShownConnection>,
}

/// A connection as people and administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownConnection {
    /// Its id.
    pub id: Id<Connection>,
    /// The MCP server, by our name.
    pub server: String,
    /// What people call it.
    pub title: String,
    /// Who the person is there, if that is known.
    pub account: Option<String>,
    /// What was granted.
    pub scope: Vec<String>,
    /// What was asked for, or needed since, and was not granted.
    pub missing: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the credential was last exchanged.
    pub rotated_at: Timestamp,
    /// When the access token ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// Whether the next one is had without the person.
    pub renews: bool,
    /// Whether the person has to connect again.
    pub is_dead: bool,
}

impl ResourceServer {
    /// What a person is shown who may connect an account here. `link` is the mark of the link by which they came.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_page(
        &self,
        user: Id<User>,
        server: &str,
        link: Option<&str>,
    ) -> Result<ConnectPage, ConnectError> {
        let (server, client) = self.connectable(user, server).await?;
        if link.is_some_and(|link| !link::is_for(&self.vault().keys.load().forms, link, user, server.name()))
        {
            return Err(ConnectError::OtherPerson);
        }
        let verifier = CodeVerifier::mint(&*self.vault().entropy);
        let connection = self.vault().store.find_connection(user, server.name()).await?;
        let scope = connection.as_ref().and_then(|record| partial::wanted(record, server));
        // Nobody is sent there: this is to say where it would be.
        let attempt = Attempt { state: "", challenge: &verifier.challenge(), scope: scope.as_ref() };
        let begun = client.begin(attempt).await?;
        Ok(ConnectPage {
            server: server.name().to_owned(),
            title: server.settings().title.clone(),
            host: origin(&begun.url).rsplit('/').next().unwrap_or_default().to_owned(),
            scope: words(&begun.leg.scope),
            connection: connection.map(|record| self.shown(record)),
        })
    }

    /// Sends a person to the provider: the URL. `browser` is what this browser is known by.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn begin_connecting(
        &self,
        user: Id<User>,
        server: &str,
        browser: Hash,
    ) -> Result<String, ConnectError> {
        let (server, client) = self.connectable(user, server).await?;
        let vault = self.vault();
        let (state, verifier) = (Secret::random("", &*vault.entropy), CodeVerifier::mint(&*vault.entropy));
        let told = state.expose(str::to_owned);
        let connection = vault.store.find_connection(user, server.name()).await?;
        let scope = connection.as_ref().and_then(|record| partial::wanted(record, server));
        let attempt = Attempt { state: &told, challenge: &verifier.challenge(), scope: scope.as_ref() };
        let begun = client.begin(attempt).await?;
        let now = vault.clock.now();
        let mut record = ConnectingRecord {
            id: Id::mint(now, &*vault.entropy),
            state_hash: state.hash(),
            browser,
            user,
            server: server.name().to_owned(),
            leg: serde_json::to_string(&begun.leg).map_err(|_| ConnectError::SealBroken)?,
            verifier: Sealed::from_bytes(Vec::new()),
            created_at: now,
            expires_at: now.plus(LIFE),
        };
        record.verifier = vault.seal_verifier(&record, &verifier);
        if vault.store.put_connecting(record, MOST).await? {
            Ok(begun.url)
        } else {
            Err(ConnectError::TooMany)
        }
    }

    /// Takes what a browser brought back from the provider. `user` is who is signed in there, if anybody is, `browser` what it
    /// is known by; if it is refused, that is told under `reference`.
    ///
    /// # Errors
    /// [`ConnectError`]; the refusal is written down, of strangers once for each attempt, and not if they bring nothing that was begun.
    pub async fn complete_connecting(
        &self,
        (user, browser): (Option<Id<User>>, Option<Hash>),
        server: &str,
        form: &Form,
        reference: &Reference,
    ) -> Result<(), ConnectError> {
        let completed = self.complete(user, server, browser, form).await;
        if let Err(error) = &completed
            && (user.is_some() || matches!(error, ConnectError::OtherBrowser) && self.vault().is_news(form))
        {
            self.vault().counts.count(Became::Refused);
            let is_broken = matches!(error, ConnectError::SealBroken);
            let kind = if is_broken { AuditKind::SealBroken } else { AuditKind::ConnectionRefused };
            let event = self.vault().said(kind, Outcome::Refused, server);
            let (reason, reference) = (Some(error.reason()), Some(reference.clone()));
            let event = AuditEvent { reason, reference, user, ..event };
            if let Err(error) = self.vault().store.append_audit(vec![event]).await {
                tracing::warn!(%error, "a refused connection could not be written down");
            }
        }
        completed
    }

    async fn complete(
        &self,
        user: Option<Id<User>>,
        server: &str,
        browser: Option<Hash>,
        form: &Form,
    ) -> Result<(), ConnectError> {
        let vault = self.vault();
        let Parameter::Once(state) = form.get("state") else { return Err(ConnectError::CallbackMalformed) };
        let found = vault.store.find_connecting(Hash::of(state.as_bytes())).await?;
        let found = found.filter(|found| found.server == server).ok_or(ConnectError::AttemptUnknown)?;
        let is_same = browser.is_some_and(|browser| browser.matches(&found.browser));
        let Some(user) = user.filter(|_| is_same) else { return Err(ConnectError::OtherBrowser) };
        if found.user != user {
            return Err(ConnectError::OtherPerson);
        }
        let (server, client) = self.connectable(user, server).await?;
        if !vault.store.take_connecting(found.clone(), vault.clock.now()).await? {
            return Err(ConnectError::AttemptUnknown);
        }
        let verifier = vault.open_verifier(&found).ok_or(ConnectError::SealBroken)?;
        let leg: Leg = serde_json::from_str(&found.leg).map_err(|_| ConnectError::SealBroken)?;
        let tokens = client.redeem(&leg, form, &verifier).await?;
        let missing = partial::missing(&leg, &tokens);
        self.keep((&found, missing), server, &client, tokens).await
    }

    async fn keep(
        &self,
        (attempt, missing): (&ConnectingRecord, Scope),
        server: &McpServer,
        client: &OauthClient,
        tokens: Tokens,
    ) -> Result<(), ConnectError> {
        let vault = self.vault();
        let id = Id::mint(vault.clock.now(), &*vault.entropy);
        let bound = Bound { at: server.origin().to_owned(), binding: tokens.binding.clone() };
        let binding = serde_json::to_string(&bound).map_err(|_| ConnectError::SealBroken)?;
        let place = TokensPlace { id: &id, user: &attempt.user, server: &attempt.server, binding: &binding };
        let sealed = vault.seal(place, &tokens);
        let new = NewConnection {
            id,
            attempt: attempt.id,
            user: attempt.user,
            server: attempt.server.clone(),
            binding,
            missing: missing.to_string(),
            account: tokens.account.clone(),
            tokens: sealed,
        };
        let event = vault.told(AuditKind::ConnectionMade, Outcome::Ok, attempt.user, server.name());
        let kept = vault.store.put_connection(new, event).await;
        vault.forget(attempt.user, server.name());
        let error = match kept {
            // It may have been written, and only the answer was lost.
            Err(error) => match vault.store.find_connection(attempt.user, server.name()).await {
                Ok(Some(found)) if found.id == id => return Ok(()),
                Ok(_) => error.into(),
                // Nobody can tell: what may be in use is not taken back.
                Err(_) => return Err(error.into()),
            },
            Ok(ConnectOutcome::Connected) => {
                vault.counts.count(Became::Made);
                return Ok(());
            }
            Ok(ConnectOutcome::Gone) => ConnectError::Stopped,
        };
        vault.take_back(attempt.user, client, &tokens).await;
        Err(error)
    }

    /// Who we are to the provider of an MCP server, where it reads that (client ID metadata document).
    #[must_use]
    pub fn client_document(&self, server: &str) -> Option<serde_json::Value> {
        Some(self.servers.get(server)?.oauth_client()?.client_metadata_document())
    }

    /// A person's connections.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer.
    pub async fn connections_of(&self, user: Id<User>) -> Result<Vec<ShownConnection>, StoreError> {
        let records = self.vault().store.list_connections(Some(user), None).await?;
        Ok(records.into_iter().map(|record| self.shown(record)).collect())
    }

    /// Ends a connection of this person; the provider is told soon. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer.
    pub async fn disconnect(&self, user: Id<User>, server: &str) -> Result<bool, StoreError> {
        let vault = self.vault();
        let Some(record) = vault.store.find_connection(user, server).await? else { return Ok(false) };
        let event = vault.told(AuditKind::ConnectionEnded, Outcome::Ok, user, server);
        let ended = vault.store.end_connection(record.id, event).await?;
        vault.forget(user, server);
        if ended {
            vault.counts.count(Became::Ended);
            self.streams.end_disconnected(|connection| connection == record.id);
        }
        Ok(ended)
    }

    /// The link by which a person connects an account, for the client of a call.
    pub(crate) fn connect_link(&self, user: Id<User>, server: &str) -> String {
        let mark = link::mark(&self.vault().keys.load().forms, user, server);
        format!("{}/connect/{server}?for={mark}", self.pages_url)
    }

    /// The MCP server, if accounts are connected to it and the person may use it.
    async fn connectable(
        &self,
        user: Id<User>,
        server: &str,
    ) -> Result<(&McpServer, Arc<OauthClient>), ConnectError> {
        let server: &McpServer = self.servers.get(server).ok_or(ConnectError::ServerUnknown)?;
        let client = Arc::clone(server.oauth_client().ok_or(ConnectError::ServerUnknown)?);
        let person = match self.parts.people.find_live(user).await {
            Ok(person) => person,
            Err(CallReason::StoreUnavailable(error)) => return Err(error.into()),
            Err(_) => return Err(ConnectError::NotAllowed),
        };
        let question = Question::MayConnect { person: person.asking(), server: &server.settings().rules };
        match policy::decide(&question) {
            Decision::Allow { .. } => Ok((server, client)),
            Decision::Deny { .. } | Decision::NeedScope { .. } => Err(ConnectError::NotAllowed),
        }
    }

    fn shown(&self, record: ConnectionRecord) -> ShownConnection {
        let title = self.servers.get(&record.server).map(|server| server.settings().title.clone());
        ShownConnection {
            id: record.id,
            title: title.unwrap_or_else(|| record.server.clone()),
            missing: words(&missing_scope(&record).to_string()),
            server: record.server,
            account: record.account,
            scope: words(record.tokens.scope.as_deref().unwrap_or_default()),
            created_at: record.created_at,
            rotated_at: record.rotated_at,
            expires_at: record.tokens.expires_at,
            renews: record.tokens.refresh_token.is_some(),
            is_dead: record.needs_sign_in.is_some(),
        }
    }
}

impl Vault {
    fn seal_verifier(&self, attempt: &ConnectingRecord, verifier: &CodeVerifier) -> Sealed {
        let keys = self.keys.load();
        let seal =
            |text: &str| keys.sealing.active().seal(&attempt.context(), text.as_bytes(), &*self.entropy);
        verifier.expose(seal)
    }

    fn open_verifier(&self, attempt: &ConnectingRecord) -> Option<CodeVerifier> {
        let opened = self.keys.load().sealing.open(&attempt.context(), &attempt.verifier).ok()?;
        CodeVerifier::parse(std::str::from_utf8(&opened).ok()?).ok()
    }

    pub(crate) fn told(&self, kind: AuditKind, outcome: Outcome, user: Id<User>, server: &str) -> AuditEvent {
        AuditEvent { user: Some(user), ..self.said(kind, outcome, server) }
    }

    /// Whether a stranger did not bring this before: who has an attempt's URL must not fill the record with it.
    fn is_news(&self, form: &Form) -> bool {
        let state = Hash::of(form.get("state").once().unwrap_or_default().as_bytes());
        let is_news = self.strangers.get(&state).is_none();
        self.strangers.insert(state, ());
        is_news
    }

    fn said(&self, kind: AuditKind, outcome: Outcome, server: &str) -> AuditEvent {
        let now = self.clock.now();
        let event = AuditEvent::new(Id::mint(now, &*self.entropy), now, kind, outcome);
        AuditEvent { server: Some(server.to_owned()), ..event }
    }
}

fn words(scope: &str) -> Vec<String> {
    scope.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
