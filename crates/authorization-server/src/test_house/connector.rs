//! An identity provider that says what it is told to, and remembers what it was asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use protocol::world::Timestamp;
use upstream::connectors::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Identity, LegRequest, Malformation,
};

/// The provider.
#[derive(Debug)]
pub(crate) struct Pretending {
    id: ConnectorId,
    /// What it answers at the callback.
    pub(crate) answer: Mutex<Result<Identity, ConnectorError>>,
    /// What it answers at the start.
    pub(crate) start: Mutex<Result<(), ConnectorError>>,
    /// How often it was asked at the callback.
    pub(crate) asked: AtomicUsize,
    /// Nonce, challenge and whether reauthentication was demanded, of the last leg.
    leg: Mutex<Option<(String, String, bool)>>,
    /// `not_before_auth` of the last callback.
    pub(crate) not_before: Mutex<Option<Timestamp>>,
}

impl Pretending {
    pub(crate) fn new() -> Self {
        Self::named("fake")
    }

    pub(crate) fn named(id: &str) -> Self {
        let id: ConnectorId = id.parse().unwrap();
        let alice = Identity {
            connector: id.clone(),
            subject: "alice-1".to_owned(),
            name: Some("Alice".to_owned()),
            email: Some("alice@example.com".to_owned()),
            groups: vec!["dev".to_owned()],
            authenticated_at: None,
            session: None,
            offline: None,
        };
        Self {
            id,
            answer: Mutex::new(Ok(alice)),
            start: Mutex::new(Ok(())),
            asked: AtomicUsize::new(0),
            leg: Mutex::new(None),
            not_before: Mutex::new(None),
        }
    }

    /// Changes who comes back.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Identity)) {
        change(self.answer.lock().unwrap().as_mut().unwrap());
    }

    pub(crate) fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn was_reauthentication_demanded(&self) -> bool {
        self.leg.lock().unwrap().as_ref().unwrap().2
    }
}

impl Connector for Pretending {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn title(&self) -> &'static str {
        "Pretending"
    }

    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>> {
        let kept = (leg.nonce.to_owned(), leg.code_challenge.as_str().to_owned(), leg.reauthenticate);
        *self.leg.lock().unwrap() = Some(kept);
        let answer = *self.start.lock().unwrap();
        let url =
            format!("https://idp.example/authorize?redirect_uri={}&state={}", leg.redirect_uri, leg.state);
        Box::pin(async move { answer.map(|()| url) })
    }

    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.not_before.lock().unwrap() = callback.not_before_auth;
        let leg = self.leg.lock().unwrap();
        let remembered = leg.as_ref().is_some_and(|(nonce, challenge, _)| {
            nonce == callback.nonce && challenge == callback.code_verifier.challenge().as_str()
        });
        let wrong = Err(Malformation::IdTokenNonce.into());
        let answer = if remembered { self.answer.lock().unwrap().clone() } else { wrong };
        Box::pin(async move { answer })
    }

    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, CheckError>> {
        Box::pin(async { Ok("it pretends".to_owned()) })
    }
}
