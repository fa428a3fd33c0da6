//! A credential that is obtained when a call needs it, and held in memory alone (product.md, P-14 and P-15).
//!
//! One call asks for it and all who come meanwhile share what comes of it; whoever finds one visits nobody, and not the record. It
//! is renewed before it ends; while whoever gives it is away, the one at hand serves as long as it is good. A refusal stands for a
//! while, so that nobody is asked in a loop. Must never go to another place than it was obtained for, in another person's call, or
//! on after the person was stopped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use quick_cache::sync::Cache;
use store::{AuditKind, Outcome, Revocation, RevocationKind};
use upstream::identity_assertion::Subject;
use upstream::oauth_client::{
    IdentityAssertions, Malformed, Minter, OauthClientError, OwnAssertions, Place as Where, Rejection,
    TokenExchange, Tokens,
};

use super::connection::PATIENCE;
use super::credential::UpstreamCredential;
use crate::audit::Who;
use crate::people::Person;
use crate::reason::CallReason;
use crate::server::ResourceServer;

/// Credentials that are remembered.
const REMEMBERED: usize = 50_000;
/// None is held for longer, whatever was said: what the person may at whoever gave it changes.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// What must be left of its life, or it is renewed.
const AHEAD: Duration = Duration::from_secs(60);
/// Of one that lives shortly this part of its life.
const PART: u32 = 5;
/// How long all calls are told that there is none, if whoever gives it is away.
const AWAY: Duration = Duration::from_secs(1);
/// The same if it said no.
const REFUSED: Duration = Duration::from_secs(10);
/// How long the one at hand serves before somebody who was away is asked again.
const LATER: Duration = Duration::from_secs(5);
/// How long another one is not asked for, if the MCP server takes not even the one that came in place of another.
const HOPELESS: Duration = Duration::from_secs(30);

/// Who gives it.
#[derive(Debug)]
pub enum Giver {
    /// A token endpoint, in exchange for our word about the person (RFC 8693).
    Exchange(Box<TokenExchange>),
    /// The MCP server's authorization server, for an ID-JAG that the person's identity provider gives.
    IdJag {
        /// The connector of the identity provider.
        connector: String,
        /// The way from there.
        at: Box<IdentityAssertions>,
        /// Whether it is asked for whoever acts for the person too, although it is told of the person alone.
        for_agents: bool,
    },
    /// The same, for an ID-JAG of our own.
    OwnIdJag {
        /// Where it is presented.
        at: Box<OwnAssertions>,
        /// Whether it tells the person's address.
        with_address: bool,
        /// Whether there is one for whoever acts for the person too, which says so; what becomes of that is not said anywhere.
        for_agents: bool,
    },
    /// A mint: the same credential for everybody, short-lived.
    Minted(Box<Minter>),
}

impl Giver {
    /// Whether whoever gives it is there, in words for the operator. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        match self {
            Self::Exchange(exchange) => exchange.check().await,
            Self::IdJag { at, .. } => at.check().await,
            Self::OwnIdJag { at, .. } => at.check().await,
            Self::Minted(minter) => {
                minter.mint().await.map(|_| "a token was minted, as it will be for calls".to_owned())
            }
        }
    }

    /// As the audit names it, after the form of the credential in the configuration.
    const fn name(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::IdJag { .. } | Self::OwnIdJag { .. } => "id_jag",
            Self::Minted(_) => "minted",
        }
    }

    /// Whether one is asked for in the name of a person for whom somebody acts. An assertion that is exchanged says who does.
    const fn is_for_agents(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::Minted(_) => true,
            Self::IdJag { for_agents, .. } | Self::OwnIdJag { for_agents, .. } => *for_agents,
        }
    }
}

/// From where the credentials for an MCP server come. Two are the same if they are one.
#[derive(Debug, Clone)]
pub struct Source(pub Arc<Giver>);

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Source {}

/// Who calls, as far as that makes another credential: what was said about them when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Caller {
    user: Id<User>,
    /// The grant, its scope, and who acts for the person, if that is said.
    more: String,
}

/// For which MCP server, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    server: String,
    /// Nobody, if it is the same for all.
    caller: Option<Caller>,
}

impl Place {
    fn of(who: &Who, giver: &Giver) -> Self {
        let (server, access) = (who.server.name().to_owned(), &who.verdict.access);
        let caller = match giver {
            Giver::Exchange(_) => Some(format!("{} {}", access.grant, access.scope)),
            // An ID-JAG tells the person and nothing of their client here.
            Giver::IdJag { .. } | Giver::OwnIdJag { .. } => Some(String::new()),
            Giver::Minted(_) => None,
        };
        // What is had for whoever acts for the person is another's than the person's own.
        let caller = caller.map(|more| {
            let acting = access.actors.iter().map(|actor| format!(" {}", actor.grant));
            Caller { user: access.user, more: acting.fold(more, |more, actor| more + &actor) }
        });
        Self { server, caller }
    }
}

/// What came of asking.
pub(crate) struct Obtained {
    place: Place,
    source: Source,
    /// Scheme, host and port of the MCP server.
    at: String,
    person: Arc<Person>,
    came_at: Duration,
    /// Whether it came in the place of one that the MCP server did not take.
    is_second: bool,
    /// Whether the MCP server ever took it.
    was_taken: AtomicBool,
    outcome: Result<Good, OauthClientError>,
}

/// One that may be used.
#[derive(Clone)]
struct Good {
    credential: UpstreamCredential,
    ends: Timestamp,
    stale_at: Timestamp,
}

impl Obtained {
    /// Itself, where it goes.
    pub(super) fn credential(&self) -> Option<UpstreamCredential> {
        self.outcome.as_ref().ok().map(|good| good.credential.clone())
    }

    /// The MCP server took it.
    pub(crate) fn taken(&self) {
        if !self.was_taken.load(Ordering::Relaxed) {
            self.was_taken.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another one would be refused as this one was.
    pub(super) fn is_hopeless(&self, now: Duration) -> bool {
        let is_young = now.saturating_sub(self.came_at) < HOPELESS;
        self.is_second && is_young && !self.was_taken.load(Ordering::Relaxed)
    }

    fn is_for(&self, wanted: &Wanted<'_>) -> bool {
        let person = &wanted.who.person;
        let is_of_person = || Arc::ptr_eq(&self.person, person) || self.person.is_described_as(person);
        self.source == *wanted.source
            && self.at == wanted.who.server.origin()
            && (self.place.caller.is_none() || is_of_person())
    }

    fn is_fresh(&self, clock: &dyn Clock) -> bool {
        let pause = match &self.outcome {
            Ok(good) => return good.stale_at > clock.now(),
            Err(error) if error.is_passing() => AWAY,
            Err(_) => REFUSED,
        };
        clock.monotonic().saturating_sub(self.came_at) < pause
    }

    /// What is good of it at this time.
    fn good(&self, now: Timestamp) -> Option<&Good> {
        self.outcome.as_ref().ok().filter(|good| good.ends > now)
    }

    fn given(self: Arc<Self>) -> Result<Arc<Self>, CallReason> {
        match self.outcome {
            Ok(_) => Ok(self),
            Err(error) => Err(CallReason::Credential(error)),
        }
    }
}

/// What a call wants.
struct Wanted<'a> {
    who: &'a Who,
    source: &'a Source,
    place: Place,
    is_second: bool,
}

impl<'a> Wanted<'a> {
    fn new(who: &'a Who, source: &'a Source, is_second: bool) -> Self {
        Self { who, source, place: Place::of(who, &source.0), is_second }
    }
}

/// All that is held.
pub(crate) struct Shelf {
    clock: Arc<dyn Clock>,
    known: Cache<Place, Arc<Obtained>>,
    /// How often somebody was stopped: what was asked for before is not held after.
    stops: AtomicU64,
}

impl Shelf {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Cache::new(REMEMBERED), stops: AtomicU64::new(0) }
    }

    /// Somebody was stopped: nothing of theirs is held any more. What is held for a grant that ended is found by no call, and
    /// ends by itself.
    pub(crate) fn hear(&self, revocation: &Revocation) {
        if revocation.kind == RevocationKind::Grant {
            return;
        }
        // First: whoever puts one there after the look through them compares, and takes it away again.
        self.stops.fetch_add(1, Ordering::AcqRel);
        match revocation.kind {
            RevocationKind::Grant => {}
            RevocationKind::Client | RevocationKind::Issuer | RevocationKind::Resource => self.known.clear(),
            RevocationKind::User => {
                let user = revocation.id.parse::<Id<User>>().ok();
                self.known
                    .retain(|place, _| place.caller.as_ref().is_none_or(|caller| Some(caller.user) != user));
            }
        }
    }

    /// What is held; or what is left of it, which is then not held any more.
    fn look(&self, wanted: &Wanted<'_>) -> Result<Arc<Obtained>, Option<Arc<Obtained>>> {
        match self.known.get(&wanted.place) {
            Some(known) if known.is_for(wanted) && known.is_fresh(&*self.clock) => Ok(known),
            Some(known) => {
                self.forget(&known);
                Err(Some(known).filter(|known| known.is_for(wanted)))
            }
            None => Err(None),
        }
    }

    /// Forgets this one, if it is still the one.
    fn forget(&self, obtained: &Arc<Obtained>) {
        self.known.remove_if(&obtained.place, |known| Arc::ptr_eq(known, obtained));
    }

    fn keep(&self, wanted: &Wanted<'_>, outcome: Result<Good, OauthClientError>) -> Arc<Obtained> {
        Arc::new(Obtained {
            place: wanted.place.clone(),
            source: wanted.source.clone(),
            at: wanted.who.server.origin().to_owned(),
            person: Arc::clone(&wanted.who.person),
            came_at: self.clock.monotonic(),
            is_second: wanted.is_second,
            was_taken: AtomicBool::new(false),
            outcome,
        })
    }
}

/// What was given: a token, and how long it is good, if that was said.
type Given = (Secret, Option<Duration>);

/// What a token is worth that was asked for at this time.
fn good((token, life): &Given, asked_at: Timestamp) -> Result<Good, OauthClientError> {
    let credential = UpstreamCredential::bearer(token).ok_or(Malformed::Token)?;
    let life = life.unwrap_or(LONGEST).min(LONGEST);
    let ends = asked_at.plus(life);
    Ok(Good { credential, ends, stale_at: ends.minus(AHEAD.min(life / PART)) })
}

impl ResourceServer {
    /// The credential for a call.
    pub(super) async fn obtained(&self, who: &Who, source: &Source) -> Result<Arc<Obtained>, CallReason> {
        Box::pin(self.obtain(&Wanted::new(who, source, false))).await
    }

    /// Another than this one, which the MCP server takes no more: one call asks for it, and the others wait.
    pub(super) async fn obtained_instead(
        &self,
        useless: &Arc<Obtained>,
        who: &Who,
    ) -> Result<Arc<Obtained>, CallReason> {
        self.vault().shelf.forget(useless);
        Box::pin(self.obtain(&Wanted::new(who, &useless.source, true))).await
    }

    async fn obtain(&self, wanted: &Wanted<'_>) -> Result<Arc<Obtained>, CallReason> {
        let shelf = &self.vault().shelf;
        let before = match shelf.look(wanted) {
            Ok(known) => return known.given(),
            Err(before) => before,
        };
        let stops = shelf.stops.load(Ordering::Acquire);
        let see_to_it = async {
            let outcome = match self.ask(wanted).await? {
                Err(error) if error.is_passing() && !wanted.is_second => {
                    // Whoever gives it is away: the one at hand serves on.
                    let now = shelf.clock.now();
                    let at_hand = before.as_ref().and_then(|before| before.good(now)).cloned();
                    at_hand.map(|good| Good { stale_at: good.ends.min(now.plus(LATER)), ..good }).ok_or(error)
                }
                outcome => outcome,
            };
            Ok::<_, CallReason>(shelf.keep(wanted, outcome))
        };
        let nobody = || CallReason::Credential(OauthClientError::Unreachable(Where::Token));
        let waiting = shelf.known.get_or_insert_async(&wanted.place, see_to_it);
        let known = tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| nobody())??;
        if shelf.stops.load(Ordering::Acquire) != stops {
            shelf.forget(&known);
        }
        if known.is_for(wanted) { known.given() } else { Err(nobody()) }
    }

    /// Asks whoever gives it, and has that written down.
    async fn ask(&self, wanted: &Wanted<'_>) -> Result<Result<Good, OauthClientError>, CallReason> {
        let asked_at = self.clock.now();
        let is_acted_for = !wanted.who.verdict.access.actors.is_empty();
        let given: Result<Given, OauthClientError> = match &*wanted.source.0 {
            giver if is_acted_for && !giver.is_for_agents() => Err(Rejection::Acted.into()),
            Giver::Exchange(exchange) => {
                let assertion = self.assertions.about(wanted.who, exchange.issuer())?;
                exchange.obtain(&assertion).await.map(|tokens| (tokens.access_token, tokens.expires_in))
            }
            Giver::IdJag { connector, at, .. } => {
                let outcome = self.by_what_is_kept(wanted.who, connector, at).await?;
                outcome.map(|tokens| (tokens.access_token, tokens.expires_in))
            }
            Giver::OwnIdJag { at, with_address, .. } => {
                let jti = Id::<()>::mint(asked_at, &*self.vault().entropy).to_string();
                let id_jag = self.assertions.id_jag(wanted.who, at.addressed(), (jti, *with_address))?;
                at.obtain(&id_jag).await.map(|tokens| (tokens.access_token, tokens.expires_in))
            }
            Giver::Minted(minter) => {
                minter.mint().await.map(|minted| (minted.token, Some(minted.ends.since(asked_at))))
            }
        };
        let outcome = given.and_then(|given| good(&given, asked_at));
        self.write_down(wanted, outcome.as_ref().err().copied()).await;
        Ok(outcome)
    }

    /// By what the identity provider gave at the sign-in. A recheck may have had another one for it since it was read: then the one that
    /// is on record now is shown, once.
    async fn by_what_is_kept(
        &self,
        who: &Who,
        connector: &str,
        at: &IdentityAssertions,
    ) -> Result<Result<Tokens, OauthClientError>, CallReason> {
        let needed = || OauthClientError::from(Rejection::SignInNeeded);
        let Some(kept) = self.kept(who, connector).await? else { return Ok(Err(needed())) };
        let shown = kept.hash();
        match at.obtain(Subject::RefreshToken(kept), None).await {
            Err(error) if error == needed() => {}
            outcome => return Ok(outcome),
        }
        match self.kept(who, connector).await? {
            Some(newer) if newer.hash() != shown => Ok(at.obtain(Subject::RefreshToken(newer), None).await),
            Some(_) | None => Ok(Err(needed())),
        }
    }

    /// What the identity provider gave at the sign-in to be asked by later; nothing, if the person signed in elsewhere, or before
    /// that was kept.
    async fn kept(&self, who: &Who, connector: &str) -> Result<Option<Secret>, CallReason> {
        let vault = self.vault();
        let kept = vault.store.list_offline_access(who.verdict.access.user).await?;
        let Some(record) = kept.into_iter().find(|one| one.connector == connector) else { return Ok(None) };
        let context: [&[u8]; 3] = [b"offline_access", b"sealed", record.id.as_bytes()];
        let opened = vault.keys.load().sealing.open(&context, &record.sealed);
        let Ok(opened) = opened else {
            tracing::error!(connector, "what an identity provider is asked by does not open");
            return Ok(None);
        };
        let text = std::str::from_utf8(&opened).ok().map(str::to_owned);
        Ok(text.map(Secret::new))
    }

    /// The event of it. The call has one of its own, so that one which cannot be written loses nobody's trace.
    async fn write_down(&self, wanted: &Wanted<'_>, error: Option<OauthClientError>) {
        let (server, giver) = (wanted.who.server.name(), wanted.source.0.name());
        let outcome = match error {
            None => Outcome::Ok,
            Some(OauthClientError::Rejected(_)) => Outcome::Refused,
            Some(_) => Outcome::Failed,
        };
        if let Some(error) = error {
            tracing::warn!(server, giver, reason = error.reason(), %error, "a credential could not be obtained");
        }
        let access = &wanted.who.verdict.access;
        let mut event = self.vault().told(AuditKind::CredentialObtained, outcome, access.user, server);
        event.reason = error.map(OauthClientError::reason);
        if wanted.place.caller.is_some() {
            event.client_id = Some(access.client.as_str().to_owned());
            event.grant = Some(access.grant);
        } else {
            event.user = None;
        }
        event.detail.insert("giver", giver.to_owned());
        if let Some(actor) = access.actors.first().filter(|_| wanted.place.caller.is_some()) {
            event.detail.insert("actor", actor.claims.name.clone());
        }
        if let Err(error) = self.parts.store.append_audit(vec![event]).await {
            tracing::error!(server, %error, "that a credential was obtained could not be written down");
        }
    }
}

impl fmt::Debug for Obtained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.outcome.as_ref().err();
        f.debug_struct("Obtained").field("place", &self.place).field("error", &error).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("known", &self.known.len()).finish_non_exhaustive()
    }
}
