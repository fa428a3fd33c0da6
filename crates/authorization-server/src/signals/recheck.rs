//! Asking the identity provider, when a client refreshes, whether the person is still there: at most every quarter of an hour for
//! each person and provider.
//!
//! Only a provider that says no to this person ends their access. That it does not answer, or does not accept us, ends nothing; it is
//! logged and counted, and nobody waits for it longer than a few seconds (attacks.md, F-14). One node asks at a time, under a
//! claim in the record; whoever finds it claimed goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::keys::OpenError;
use protocol::secret::{Hash, Sealed, Secret};
use protocol::world::{Entropy, Timestamp, between_nodes};
use store::{
    Asked, AuditEvent, AuditKind, NewIdentity, NewOfflineAccess, OfflineAccessRecord, OfflinePlace, Once,
    Outcome, ReplayKind, StoreError,
};
use upstream::connectors::offline::{Absence, Absent, OfflineToken, Present};
use upstream::connectors::{Connector, ConnectorError, Identity, Malformation};

use crate::AuthorizationServer;
use crate::pages::Caller;

/// Nobody is asked about more often.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// How long a client waits for it.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a claim holds: far longer than anybody waits.
const CLAIM: Duration = between_nodes(Duration::from_secs(60));
/// One that holds for longer was made by a clock that was wrong.
const NO_CLAIM_IS_LONGER: Duration = Duration::from_secs(15 * 60);
/// When a provider that did not answer is asked again.
const LATER: Duration = Duration::from_secs(60);

/// How often providers were asked, by what they said.
#[derive(Debug, Default)]
pub struct Rechecks {
    there: AtomicU64,
    gone: AtomicU64,
    no_answer: AtomicU64,
    useless: AtomicU64,
}

impl Rechecks {
    /// The counts by outcome.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("there", read(&self.there)),
            ("gone", read(&self.gone)),
            ("no_answer", read(&self.no_answer)),
            ("useless", read(&self.useless)),
        ]
    }
}

/// Whether the provider is to be asked now.
fn is_due(record: &OfflineAccessRecord, now: Timestamp) -> bool {
    let is_free = |until| until <= now || until > now.plus(NO_CLAIM_IS_LONGER);
    record.checked_at.plus(EVERY) <= now && record.claimed_until.is_none_or(is_free)
}

/// What a provider's silence is worth: whether a newer token may have been lost with its answer.
const fn may_have_answered(error: ConnectorError) -> bool {
    match error {
        ConnectorError::Unreachable | ConnectorError::Malformed(Malformation::TokenResponse) => true,
        ConnectorError::Malformed(_) | ConnectorError::NotAllowed(_) | ConnectorError::Refused(_) => false,
    }
}

/// What becomes of what the provider said.
#[derive(Debug)]
enum Verdict {
    Gone,
    Write(Asked),
}

impl AuthorizationServer {
    /// What providers said when they were asked.
    #[must_use]
    pub const fn rechecks(&self) -> &Rechecks {
        &self.rechecks
    }

    /// What is kept of a sign-in, to be asked by later: sealed for the person that the record has for this identity, or for the
    /// one that it is to have from now on. Of two who make that person at once, the record keeps that of one.
    pub(crate) async fn seal_offline(
        &self,
        identity: &Identity,
        or: Id<User>,
        now: Timestamp,
    ) -> Result<Option<NewOfflineAccess>, StoreError> {
        let Some(token) = &identity.offline else { return Ok(None) };
        let (connector, subject) = (identity.connector.as_str(), identity.subject.as_str());
        let known = self.parts.store.find_person(connector, subject).await?;
        let (id, user) = (Id::mint(now, &*self.parts.entropy), known.map_or(or, |known| known.id));
        let place = OfflinePlace { id: &id, user: &user, connector, subject };
        let sealed = self.seal_offline_token(place, token);
        Ok(Some(NewOfflineAccess { id, user, sealed }))
    }

    fn seal_offline_token(&self, place: OfflinePlace<'_>, token: &OfflineToken) -> Sealed {
        let keys = self.parts.keys.load();
        token.secret().expose(|text| {
            keys.sealing.active().seal(&place.context(), text.as_bytes(), &*self.parts.entropy)
        })
    }

    fn open_offline_token(&self, record: &OfflineAccessRecord) -> Result<OfflineToken, OpenError> {
        let opened = self.parts.keys.load().sealing.open(&record.place().context(), &record.sealed)?;
        let text = std::str::from_utf8(&opened).map_err(|_| OpenError::NotAuthentic)?.to_owned();
        Ok(OfflineToken::new(Secret::new(text)))
    }

    /// Whether the person is still there, as far as any provider says. If one says no, all that is theirs was ended.
    pub(crate) async fn is_still_there(
        &self,
        user: Id<User>,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // Without a provider that can be asked there is not even a look at the record.
        if !self.parts.connectors.iter().any(|connector| connector.keeps_offline_access()) {
            return Ok(true);
        }
        for record in self.parts.store.list_offline_access(user).await? {
            let connector = self.connector(&record.connector).filter(|one| one.keeps_offline_access());
            let Some(connector) = connector.filter(|_| is_due(&record, now)) else { continue };
            if !self.recheck(connector, record, caller, now).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn recheck(
        &self,
        connector: &dyn Connector,
        record: OfflineAccessRecord,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let store = &self.parts.store;
        let token = match self.open_offline_token(&record) {
            Ok(token) => token,
            Err(OpenError::NotAuthentic) => {
                self.forget_broken(record, now).await?;
                return Ok(true);
            }
            // By a key that was made since we last heard of keys, perhaps: that is waited for.
            Err(error) => {
                tracing::warn!(connector = record.connector, user = %record.user, %error, "what a provider is asked by cannot be opened yet");
                return Ok(true);
            }
        };
        let claim = claim(&*self.parts.entropy);
        if !store.claim_offline_access(record.clone(), claim, now.plus(CLAIM)).await? {
            return Ok(true);
        }
        let verdict = self.ask((connector, token), &record, now).await;
        match verdict {
            Verdict::Gone => {
                self.end_gone(&record, caller, now).await?;
                Ok(false)
            }
            Verdict::Write(asked) => {
                if !store.answer_offline_access(record, claim, asked, self.parts.clock.now()).await? {
                    tracing::warn!("what an identity provider said came after its claim was over");
                }
                Ok(true)
            }
        }
    }

    /// It was changed, or its row was given to somebody else (attacks.md, ST-02): nobody is asked by it, and it says nothing of
    /// anybody.
    async fn forget_broken(&self, broken: OfflineAccessRecord, now: Timestamp) -> Result<(), StoreError> {
        tracing::error!(connector = broken.connector, user = %broken.user, "what a provider is asked by was changed or moved");
        self.rechecks.useless.fetch_add(1, Ordering::Relaxed);
        let id = Id::mint(now, &*self.parts.entropy);
        let mut event = AuditEvent::new(id, now, AuditKind::SealBroken, Outcome::Failed);
        event.reason = Some("offline_access_seal_broken");
        event.user = Some(broken.user);
        event.detail.insert("place", "offline_access.sealed".to_owned());
        event.detail.insert("row", broken.id.to_string());
        self.parts.store.forget_broken_offline_access(broken, event).await.map(drop)
    }

    async fn ask(
        &self,
        (connector, token): (&dyn Connector, OfflineToken),
        record: &OfflineAccessRecord,
        now: Timestamp,
    ) -> Verdict {
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let (name, user) = (record.connector.as_str(), record.user);
        let absent = Absent { token: &token, subject: &record.subject, now };
        let asked = tokio::time::timeout(PATIENCE, connector.ask_again(absent)).await;
        match asked.unwrap_or(Err(Absence::Unknown(ConnectorError::Unreachable))) {
            Ok(Present { identity, next }) => {
                count(&self.rechecks.there);
                let next = next.filter(|next| *next != token);
                let sealed = next.map(|next| self.seal_offline_token(record.place(), &next));
                Verdict::Write(Asked::There(
                    sealed,
                    identity.map(|identity| Box::new(told(record, identity))),
                ))
            }
            // The token may be refused because a newer one was lost with an answer: that is no word about the person.
            Err(Absence::Gone) if record.is_doubtful && record.rotates => {
                count(&self.rechecks.useless);
                tracing::warn!(connector = name, %user, "a provider cannot be asked about a person any more");
                Verdict::Write(Asked::Useless)
            }
            Err(Absence::Gone) => {
                count(&self.rechecks.gone);
                Verdict::Gone
            }
            Err(Absence::Unknown(error)) => {
                count(&self.rechecks.no_answer);
                let reason = error.reason();
                tracing::warn!(
                    connector = name,
                    reason,
                    "a provider did not say whether a person is still there"
                );
                Verdict::Write(Asked::NoAnswer(now.plus(LATER), may_have_answered(error)))
            }
        }
    }

    async fn end_gone(
        &self,
        record: &OfflineAccessRecord,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let user = self.parts.store.find_user(record.user).await?;
        let what = (record.connector.as_str(), "gone_at_provider");
        let audit = self.signal_event(what, user.as_ref(), caller, now);
        // Once for each token that was kept: whoever signs in again has another.
        let hash = Hash::of(format!("{}\n{}", record.connector, record.id).as_bytes());
        let once = Once { kind: ReplayKind::SecurityEvent, hash, expires_at: now.plus(EVERY) };
        self.end_on_signal(once, super::everything(&[record.user], now), vec![audit], now).await.map(drop)
    }
}

fn claim(entropy: &dyn Entropy) -> Hash {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    Hash::from_bytes(bytes)
}

/// What the provider says of the person now.
fn told(record: &OfflineAccessRecord, identity: Identity) -> NewIdentity {
    NewIdentity {
        id: record.user,
        connector: record.connector.clone(),
        subject: record.subject.clone(),
        name: identity.name,
        email: identity.email,
        groups: identity.groups,
    }
}
