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
    IdentityAssertions, Malformed, OauthClientError, Place as Where, Rejection, Tokens,
};

use super::connection::PATIENCE;
use super::credential::UpstreamCredential;
use super::givers::{Giver, Source};
use super::taken_back::{Over, TakenBack};
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
    /// The resource that was called.
    resource: String,
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
    /// Itself again, to be taken back one day.
    token: Arc<Secret>,
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

    /// Whether another one would be refused as this one was. One that is everybody's is not replaced again so soon even if it was taken
    /// elsewhere: whoever calls what refuses it would have it taken from all, and have its giver asked as often as they call.
    pub(super) fn is_hopeless(&self, now: Duration) -> bool {
        let is_young = now.saturating_sub(self.came_at) < HOPELESS;
        let was_taken = self.place.caller.is_some() && self.was_taken.load(Ordering::Relaxed);
        self.is_second && is_young && !was_taken
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

    /// Whether whoever gave it gave the very same for another place.
    fn is_the_same_as(&self, other: &Self) -> bool {
        let is_same =
            |one: &Good, other: &Good| one.token.expose(|one| other.token.expose(|other| one == other));
        let both = self.outcome.as_ref().ok().zip(other.outcome.as_ref().ok());
        self.source == other.source && both.is_some_and(|(one, other)| is_same(one, other))
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
    /// What is held no more, and is good at whoever gave it.
    pub(super) over: TakenBack,
}

impl Shelf {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Cache::new(REMEMBERED), stops: AtomicU64::new(0), over: TakenBack::default() }
    }

    /// Somebody was stopped: nothing of theirs is held any more, and what is theirs alone is taken back. What is held for a grant
    /// that ended is found by no call, and ends by itself; so does what is forgotten because a client was stopped, which people may have
    /// by other clients too.
    pub(crate) fn hear(&self, revocation: &Revocation) {
        if revocation.kind == RevocationKind::Grant {
            return;
        }
        // First: whoever puts one there after the look through them compares, and takes it away again.
        self.stops.fetch_add(1, Ordering::AcqRel);
        let user = revocation.id.parse::<Id<User>>().ok();
        let is_theirs = |place: &Place, held: &Obtained| match revocation.kind {
            RevocationKind::Client | RevocationKind::Grant => false,
            RevocationKind::Issuer => true,
            RevocationKind::Resource => held.resource == revocation.id,
            RevocationKind::User => place.caller.as_ref().is_some_and(|caller| Some(caller.user) == user),
        };
        let theirs: Vec<_> = self.known.iter().filter(|(place, held)| is_theirs(place, held)).collect();
        if revocation.kind == RevocationKind::User {
            theirs.iter().for_each(|(_, held)| self.forget(held));
        } else {
            self.known.clear();
        }
        theirs.iter().for_each(|(_, held)| self.end(held));
    }

    /// Has it taken back, unless somebody else has the very same.
    fn end(&self, held: &Obtained) {
        let is_shared = || self.known.iter().any(|(_, other)| other.is_the_same_as(held));
        let Some(good) = held.good(self.clock.now()).filter(|_| !is_shared()) else { return };
        let (server, source) = (held.place.server.clone(), held.source.clone());
        if !self.over.put(Over::new(server, source, Arc::clone(&good.token), good.ends)) {
            tracing::warn!("too much is to be taken back: what is beyond is good until it ends");
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
            resource: wanted.who.verdict.access.resource.clone(),
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
fn good((token, life): Given, asked_at: Timestamp) -> Result<Good, OauthClientError> {
    let credential = UpstreamCredential::bearer(&token).ok_or(Malformed::Token)?;
    let life = life.unwrap_or(LONGEST).min(LONGEST);
    let ends = asked_at.plus(life);
    Ok(Good { credential, token: Arc::new(token), ends, stale_at: ends.minus(AHEAD.min(life / PART)) })
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
            // What came for somebody who was stopped meanwhile.
            if known.place.caller.is_some() && self.revocations.is_dead(&wanted.who.verdict.access) {
                shelf.end(&known);
            }
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
        let outcome = given.and_then(|given| good(given, asked_at));
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
        Ok(vault.opened(record).await?)
    }

    /// The event of it. The call has one of its own, so that one which cannot be written loses nobody's trace.
    async fn write_down(&self, wanted: &Wanted<'_>, error: Option<OauthClientError>) {
        let (server, giver) = (wanted.who.server.name(), wanted.source.0.name());
        let (outcome, word) = match error {
            None => (Outcome::Ok, "given"),
            Some(OauthClientError::Rejected(_)) => (Outcome::Refused, "refused"),
            Some(_) => (Outcome::Failed, "failed"),
        };
        self.vault().credentials.count(server, giver, word);
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
