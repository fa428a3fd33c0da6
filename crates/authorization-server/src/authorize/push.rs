//! Pushed authorization requests (RFC 9126): a client sends its request itself, before the browser comes with a name for it.
//!
//! The name is the request, sealed: any node opens it, nothing is written for whoever only asks, and nobody else can read or
//! change it. It is the client's alone, good for 90 seconds, and once: what was used is remembered when the browser brings it,
//! and only if it is accepted. All that is judged when it is pushed is judged again then.

mod error;

use std::time::Duration;

use protocol::oauth::pushed_request::{self, PushedAuthorizationResponse, PushedRequest};
use protocol::oauth::{AuthorizationRequest, ClientId, Form, Parameter};
use protocol::secret::Hash;
use protocol::world::{Timestamp, between_nodes};
use store::{ReplayKind, SignInStep};

pub use error::PushError;

use super::{PageReason, accept, destination};
use crate::AuthorizationServer;
use crate::clients::{Client, Judged};
use crate::pages::Caller;
use crate::token::TokenHeaders;

/// How long a `request_uri` is good: the browser follows at once (RFC 9126, section 2.2: "between 5 and 600 seconds").
const LIFE: Duration = between_nodes(Duration::from_secs(90));
/// The longest request that is sealed: what comes of it stands in a URL.
const LONGEST: usize = 8 * 1024;
/// How far the clock of the node that sealed it may be ahead of ours.
const AHEAD: Duration = between_nodes(Duration::from_secs(60));
/// Where it is, below the issuer: what proofs name.
const PATH: &str = "/oauth/par";
const PLACE: [&[u8]; 2] = [b"authorization", b"request_uri"];

/// Whose requests must be pushed (RFC 9126, sections 5 and 6).
#[derive(Debug, Clone, Default)]
pub struct PushedRules {
    /// Everybody's.
    pub all: bool,
    /// Those of these clients.
    pub clients: Vec<ClientId>,
}

impl PushedRules {
    pub(super) fn demand(&self, client: &Client) -> bool {
        self.all || self.clients.contains(client.id())
    }
}

/// A `request_uri` that is to be used up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    hash: Hash,
    made_at: Timestamp,
}

/// Why a browser's request means none, and what it brought.
type NotMeant = Box<(PageReason, AuthorizationRequest)>;

impl AuthorizationServer {
    /// Answers a pushed authorization request: the headers, the form, and who calls.
    ///
    /// # Errors
    /// [`PushError`] if the client is not authenticated, or the request would be refused at the authorization endpoint.
    pub async fn push(
        &self,
        headers: &TokenHeaders<'_>,
        form: &Form,
        caller: &Caller,
    ) -> Result<PushedAuthorizationResponse, PushError> {
        let client = self.authenticate(headers.authorization, form, caller).await?;
        let client = client.client();
        let mut request = pushed_request::request_of(form, client.id());
        // "the request_uri authorization request parameter is one exception, and it MUST NOT be provided" (section 2.1).
        if request.request_uri != Parameter::Absent {
            return Err(PushError::RequestUri);
        }
        self.judge_pushed(&request, client).await?;
        self.bind(&mut request, headers.dpop).await?;
        let now = self.parts.clock.now();
        let json = PushedRequest::new(client.id(), request, now).to_json();
        if json.len() > LONGEST {
            return Err(PushError::TooLarge);
        }
        let keys = self.parts.keys.load();
        let sealed = keys.sealing.active().seal(&PLACE, json.as_bytes(), &*self.parts.entropy);
        let request_uri = pushed_request::request_uri(&sealed);
        self.saw_pushed(caller);
        Ok(PushedAuthorizationResponse { request_uri, expires_in: LIFE.as_secs() })
    }

    /// "validate the pushed request as it would an authorization request sent to the authorization endpoint" (section 2.1).
    async fn judge_pushed(&self, request: &AuthorizationRequest, client: &Client) -> Result<(), PushError> {
        let to = destination(request, client).map_err(PushError::Page)?;
        if self.settings.redirects.is_own(to.as_str()) {
            return Err(PushError::Page(PageReason::RedirectUriUnknown));
        }
        let accepted = accept::decide(request, client, &to, &self.settings)?;
        match self
            .judge(client, &to, &accepted.server)
            .await
            .map_err(|error| PushError::Page(error.into()))?
        {
            Judged::Blocked => Err(PushError::Page(PageReason::ClientBlocked)),
            Judged::OutsideHere => Err(PushError::Page(PageReason::ClientOutside)),
            // Whoever waits for an administrator waits with a person (product.md, P-7).
            Judged::Allowed | Judged::Unapproved => Ok(()),
        }
    }

    /// RFC 9449, section 10.1: a proof binds the code as `dpop_jkt` does, and both must name one key.
    async fn bind(&self, request: &mut AuthorizationRequest, proofs: &[&str]) -> Result<(), PushError> {
        let Some(key) = self.proven_key(proofs, PATH).await? else { return Ok(()) };
        let key = key.to_string();
        match &request.dpop_jkt {
            Parameter::Once(named) if *named != key => Err(PushError::OtherKey),
            Parameter::Absent | Parameter::Once(_) | Parameter::Repeated => {
                request.dpop_jkt = Parameter::Once(key);
                Ok(())
            }
        }
    }

    /// The request that a browser means: the pushed one that it names, and what is to be used up; else what it brings.
    pub(super) fn meant(
        &self,
        brought: AuthorizationRequest,
        now: Timestamp,
    ) -> Result<(AuthorizationRequest, Option<Used>), NotMeant> {
        let named = brought.request_uri.as_ref().once().filter(|uri| pushed_request::is_pushed(uri));
        let Some(named) = named else { return Ok((brought, None)) };
        let Some((pushed, hash)) = self.open_pushed(named) else {
            return Err(Box::new((PageReason::RequestUriUnknown, brought)));
        };
        let made_at = pushed.made_at();
        if !brought.client_id.as_ref().once().is_some_and(|client| pushed.is_of(client)) {
            return Err(Box::new((PageReason::RequestUriUnknown, brought)));
        }
        if made_at > now.plus(AHEAD) || now >= made_at.plus(LIFE) {
            return Err(Box::new((PageReason::RequestUriExpired, brought)));
        }
        // `request` beside it is refused as everywhere (RFC 9101, section 5).
        let request = AuthorizationRequest { request: brought.request, ..pushed.into_request() };
        Ok((request, Some(Used { hash, made_at })))
    }

    fn open_pushed(&self, request_uri: &str) -> Option<(PushedRequest, Hash)> {
        let sealed = pushed_request::sealed_in(request_uri)?;
        let json = self.parts.keys.load().sealing.open(&PLACE, &sealed).ok()?;
        Some((PushedRequest::parse(&json)?, Hash::of(sealed.as_bytes())))
    }

    /// Uses a `request_uri` up, on all nodes at most once (RFC 9126, sections 4 and 7.3).
    pub(super) async fn use_up(&self, used: Used, now: Timestamp) -> Result<(), PageReason> {
        // Of what was used before a restore nobody knows.
        if self.parts.store.last_restore().await?.is_some_and(|restored| used.made_at <= restored) {
            return Err(PageReason::RequestUriExpired);
        }
        let ends = used.made_at.plus(LIFE);
        let is_first = self.parts.store.use_once(ReplayKind::PushedRequest, used.hash, ends, now).await?;
        if is_first { Ok(()) } else { Err(PageReason::RequestUriUsed) }
    }

    fn saw_pushed(&self, caller: &Caller) {
        let at = self.parts.clock.now();
        let seen = store::Seen { at, step: SignInStep::Pushed, reason: None, server: None };
        self.parts.timeline.saw(caller.address, seen);
    }
}
