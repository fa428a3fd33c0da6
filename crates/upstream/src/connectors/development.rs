//! Example people, for the demo and for tests: an identity provider that asks no password.
//!
//! Walks the same path as a real one: the person is sent to a page (ours, `/login/development`), picks who to be,
//! and comes back with a code that is good once, for 60 seconds, for that state, nonce and verifier. It must
//! never stand on anything but loopback, which is enforced where the configuration is read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use protocol::oauth::CodeChallenge;
use protocol::secret::{Hash, Secret};
use protocol::world::{Entropy, Timestamp};
use url::Url;

use super::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Identity, LegRequest, Malformation,
    Refusal, single,
};

const CODE_LIFE: Duration = Duration::from_secs(60);
/// Legs and codes in memory; the oldest makes room.
const REMEMBERED: usize = 1000;

/// Somebody who may be signed in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What is picked on the page, and the subject.
    pub login: String,
    /// A name to show.
    pub name: String,
    /// An e-mail address, taken as verified.
    pub email: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
}

/// What the connector is made of.
#[derive(Clone, Debug)]
pub struct DevelopmentSettings {
    /// Its name.
    pub id: ConnectorId,
    /// What its button says.
    pub title: String,
    /// Our own `public_url`, where the page is.
    pub public_url: String,
    /// Who there is.
    pub people: Vec<Person>,
}

/// The connector that asks no password.
pub struct Development {
    settings: DevelopmentSettings,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    legs: Remembered<Leg>,
    codes: Remembered<Code>,
}

/// A list by hash that forgets the oldest.
struct Remembered<T>(VecDeque<(Hash, T)>);

#[derive(Clone)]
struct Leg {
    nonce: String,
    code_challenge: CodeChallenge,
    redirect_uri: String,
}

struct Code {
    leg: Leg,
    state: Hash,
    person: Person,
    at: Timestamp,
}

impl Development {
    /// A provider of these people.
    #[must_use]
    pub fn new(settings: DevelopmentSettings) -> Self {
        Self { settings, memory: Mutex::default() }
    }

    /// Who may be picked on the page.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.settings.people
    }

    /// The answer of the page: signs that person in for the leg of this state, and says where to send the browser.
    ///
    /// # Errors
    /// `Refused` if there is nobody of that name, `Malformed` if no leg with that state began here.
    pub fn authorize(
        &self,
        login: &str,
        state: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<String, ConnectorError> {
        let person =
            self.people().iter().find(|person| person.login == login).ok_or(Refusal::UnknownPerson)?;
        let code = Secret::random("", entropy);
        let state_hash = Hash::of(state.as_bytes());
        let mut memory = self.memory();
        // The leg stays: a page that is submitted twice is two answers, as at any provider.
        let leg = memory.legs.find(&state_hash).ok_or(Malformation::CallbackIncomplete)?.clone();
        let mut callback = Url::parse(&leg.redirect_uri).map_err(|_| Malformation::CallbackIncomplete)?;
        memory.codes.put(code.hash(), Code { leg, state: state_hash, person: person.clone(), at: now });
        drop(memory);
        code.expose(|code| {
            callback.query_pairs_mut().append_pair("code", code).append_pair("state", state);
        });
        Ok(callback.into())
    }

    fn begin(&self, leg: &LegRequest<'_>) -> Result<String, ConnectorError> {
        let mut page = Url::parse(&self.settings.public_url).map_err(|_| ConnectorError::Unreachable)?;
        page.set_path("/login/development");
        page.query_pairs_mut().append_pair("state", leg.state);
        let remembered = Leg {
            nonce: leg.nonce.to_owned(),
            code_challenge: leg.code_challenge.clone(),
            redirect_uri: leg.redirect_uri.to_owned(),
        };
        self.memory().legs.put(Hash::of(leg.state.as_bytes()), remembered);
        Ok(page.into())
    }

    fn redeem(&self, callback: &Callback<'_>) -> Result<Identity, ConnectorError> {
        let state = single(callback.form, "state")?.ok_or(Malformation::CallbackIncomplete)?;
        let code = single(callback.form, "code")?.ok_or(Malformation::CallbackIncomplete)?;
        // Taken before it is judged: whoever presents a code ends it.
        let code = self.memory().codes.take(&Hash::of(code.as_bytes())).ok_or(Refusal::CodeRefused)?;
        let good = callback.now.since(code.at) < CODE_LIFE
            && code.state.matches(&Hash::of(state.as_bytes()))
            && code.leg.redirect_uri == callback.redirect_uri
            && code.leg.code_challenge.is_answered_by(callback.code_verifier);
        if !good {
            return Err(Refusal::CodeRefused.into());
        }
        if code.leg.nonce != callback.nonce {
            return Err(Malformation::IdTokenNonce.into());
        }
        let mut groups = code.person.groups;
        groups.sort();
        groups.dedup();
        Ok(Identity {
            connector: self.settings.id.clone(),
            subject: code.person.login,
            name: Some(code.person.name),
            email: code.person.email,
            groups,
            authenticated_at: Some(code.at),
            session: None,
            offline: None,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector for Development {
    fn id(&self) -> &ConnectorId {
        &self.settings.id
    }

    fn title(&self) -> &str {
        &self.settings.title
    }

    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>> {
        Box::pin(future::ready(self.begin(&leg)))
    }

    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>> {
        Box::pin(future::ready(self.redeem(&callback)))
    }

    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, CheckError>> {
        let people = self.people().len();
        Box::pin(future::ready(Ok(format!("signs in {people} example people without a password"))))
    }

    fn development(&self) -> Option<&Self> {
        Some(self)
    }
}

impl fmt::Debug for Development {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Development").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Remembered<T> {
    fn put(&mut self, key: Hash, value: T) {
        self.0.retain(|(known, _)| *known != key);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((key, value));
    }

    fn find(&self, key: &Hash) -> Option<&T> {
        self.0.iter().find(|(known, _)| known.matches(key)).map(|(_, value)| value)
    }

    fn take(&mut self, key: &Hash) -> Option<T> {
        let position = self.0.iter().position(|(known, _)| known.matches(key))?;
        self.0.remove(position).map(|(_, value)| value)
    }
}
