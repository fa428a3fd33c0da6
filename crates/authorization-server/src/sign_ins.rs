//! What this role and its doors tell the timeline of sign-ins (product.md, P-19; `store::Timeline`).
//!
//! Every refusal that somebody is told of has a reference of its own, and the timeline knows it. A token request is told one
//! that was just made, whatever is known of its code or client: so two answers tell nothing about what was presented.
//! Must never carry a code, a token, a `state` or a URL.

mod notes;

use protocol::id::{Authorization, Grant, Id, Reference, SignIn, User};
use protocol::oauth::{AuthorizationRequest, ClientAuthentication, ClientId, Form, refresh_token};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{AuthorizationRecord, Begun, NewSignIn, NextStep, PartOf, Seen, SignInEvent, SignInStep, StepOf};

use crate::AuthorizationServer;
use crate::clients::Client;
use crate::grants::device_code::DeviceCodeRefusal;
use crate::grants::refresh_token::RefreshRefusal;
use crate::pages::Caller;
use crate::token::TokenError;

/// A step that was taken now, and no more than that.
const fn event(step: SignInStep, reason: Option<&'static str>, at: Timestamp) -> SignInEvent {
    SignInEvent { at, step, reason, notes: Vec::new(), times: 1 }
}

/// The attempt that an authorization belongs to has its id.
pub(crate) const fn attempt(authorization: Id<Authorization>) -> Id<SignIn> {
    Id::from_bytes(*authorization.as_bytes())
}

impl AuthorizationServer {
    /// A refusal that somebody was told of under this reference: a step of the attempt that has it, or an attempt of its own.
    pub fn refused_at(&self, step: SignInStep, reason: &'static str, reference: &Reference, caller: &Caller) {
        let refused = event(step, Some(reason), self.parts.clock.now());
        let new = self.new_sign_in(reference.clone(), caller, refused);
        self.parts.timeline.refused(Begun { new, address: caller.address });
    }

    /// The same where nothing is known but that somebody asked. Returns the reference to tell.
    pub fn refused_stranger(&self, step: SignInStep, reason: &'static str, caller: &Caller) -> Reference {
        let reference = self.new_reference();
        self.refused_at(step, reason, &reference, caller);
        reference
    }

    /// A reference to tell, under which nothing is known yet.
    #[must_use]
    pub fn new_reference(&self) -> Reference {
        Reference::mint(&*self.parts.entropy)
    }

    /// An account was not connected, and the person was told so under this reference.
    pub fn connect_refused(
        &self,
        reason: &'static str,
        reference: &Reference,
        server: Option<&str>,
        caller: &Caller,
    ) {
        let refused = event(SignInStep::ConnectRefused, Some(reason), self.parts.clock.now());
        let server = server.map(str::to_owned);
        let new = NewSignIn { server, ..self.new_sign_in(reference.clone(), caller, refused) };
        self.parts.timeline.refused(Begun { new, address: caller.address });
    }

    /// A token request was refused. Returns the reference to tell; none if the client only has to wait.
    ///
    /// It is the one that was settled before, which the event has.
    pub fn token_refused(
        &self,
        error: &TokenError,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Option<Reference> {
        if is_patience(error) {
            return None;
        }
        let reference = caller.told.clone().unwrap_or_else(|| self.new_reference());
        let refused = event(SignInStep::TokenRefused, Some(error.reason()), self.parts.clock.now());
        let presented = ClientAuthentication::parse(authorization, form);
        let claimed = presented.ok().map(|presented| presented.client_id.as_str().to_owned());
        let new = NewSignIn {
            part_of: part_of(error, form),
            client_id: claimed,
            ..self.new_sign_in(reference.clone(), caller, refused)
        };
        self.parts.timeline.begin(Begun { new, address: caller.address });
        Some(reference)
    }

    /// A client registered itself.
    pub fn registered(&self, client_id: &ClientId, caller: &Caller) {
        self.parts.timeline.registered(caller.address, client_id.as_str(), self.parts.clock.now());
    }

    /// Somebody read a metadata document: that of an MCP server, or our own.
    pub fn saw_metadata(&self, server: Option<&str>, caller: &Caller) {
        let at = self.parts.clock.now();
        let server = server.map(str::to_owned);
        self.parts
            .timeline
            .saw(caller.address, Seen { at, step: SignInStep::MetadataRead, reason: None, server });
    }

    fn new_sign_in(&self, reference: Reference, caller: &Caller, event: SignInEvent) -> NewSignIn {
        NewSignIn {
            id: Id::mint(event.at, &*self.parts.entropy),
            reference,
            part_of: PartOf::Nothing,
            client_id: None,
            client_name: None,
            server: None,
            user: None,
            address: caller.address.to_string(),
            events: vec![event],
        }
    }

    /// An authorization request was accepted: the attempt has a reference, a client and an MCP server from here on.
    pub(crate) fn sign_in_begun(
        &self,
        record: &AuthorizationRecord,
        client: &Client,
        request: &AuthorizationRequest,
        caller: &Caller,
    ) {
        let notes = notes::of_accepted(request, &record.request);
        let asked = SignInEvent { notes, ..event(SignInStep::Asked, None, record.created_at) };
        let new = NewSignIn {
            id: attempt(record.id),
            client_id: Some(client.id().as_str().to_owned()),
            client_name: client.metadata().client_name.clone(),
            server: Some(record.request.server.clone()),
            ..self.new_sign_in(record.reference.clone(), caller, asked)
        };
        self.parts.timeline.begin(Begun { new, address: caller.address });
    }

    /// An authorization request was refused, by whichever way the refusal goes.
    pub(crate) fn authorize_refused(
        &self,
        reason: &'static str,
        reference: &Reference,
        (request, client): (&AuthorizationRequest, Option<&Client>),
        caller: &Caller,
    ) {
        let now = self.parts.clock.now();
        let (notes, server) = notes::of_refused(reason, request, client, &self.settings);
        let refused = SignInEvent { notes, ..event(SignInStep::AuthorizeRefused, Some(reason), now) };
        let claimed = request.client_id.as_ref().once().and_then(|id| ClientId::parse(id).ok());
        let new = NewSignIn {
            client_id: claimed.map(|id| id.as_str().to_owned()),
            client_name: client.and_then(|client| client.metadata().client_name.clone()),
            server,
            ..self.new_sign_in(reference.clone(), caller, refused)
        };
        self.parts.timeline.refused(Begun { new, address: caller.address });
    }

    /// An attempt goes on.
    pub(crate) fn sign_in_next(
        &self,
        id: Id<Authorization>,
        step: SignInStep,
        (user, at): (Option<Id<User>>, Timestamp),
    ) {
        let of = StepOf::SignIn(attempt(id));
        self.parts.timeline.next(NextStep { of, event: event(step, None, at), user, grant: None });
    }

    /// A code was redeemed: what happens under this grant belongs to the attempt.
    pub(crate) fn sign_in_issued(
        &self,
        record: &AuthorizationRecord,
        (grant, user): (Id<Grant>, Id<User>),
        caller: &Caller,
        at: Timestamp,
    ) {
        let other = caller.address.to_string() != record.address;
        let notes = other.then_some("other_address").into_iter().collect();
        let event = SignInEvent { notes, ..event(SignInStep::TokenIssued, None, at) };
        let of = StepOf::SignIn(attempt(record.id));
        let next = NextStep { of, event, user: Some(user), grant: Some(grant) };
        self.parts.timeline.issued(caller.address, next, &record.request.server);
    }
}

/// Whether nothing is wrong but that a person has not decided yet (RFC 8628, section 3.5).
const fn is_patience(error: &TokenError) -> bool {
    matches!(error, TokenError::DeviceCode(DeviceCodeRefusal::Pending | DeviceCodeRefusal::TooOften))
}

/// What a refused token request belongs to: the attempt of its code, or that of its grant if it showed that it is of it;
/// else that of the client which it claims to come from. Total on purpose: a new way to a token has to say.
fn part_of(error: &TokenError, form: &Form) -> PartOf {
    let code = || form.get("code").once().map(|code| PartOf::Code(Hash::of(code.as_bytes())));
    let grant = || {
        form.get("refresh_token")
            .once()
            .and_then(refresh_token::parse)
            .map(|token| PartOf::Grant(token.grant))
    };
    match error {
        TokenError::Code(_) | TokenError::CodeCorrupt(_) => code().unwrap_or(PartOf::Client),
        TokenError::Refresh(
            RefreshRefusal::Foreign | RefreshRefusal::Malformed | RefreshRefusal::Unknown,
        )
        | TokenError::Client(_)
        | TokenError::ClientCredentials(_)
        | TokenError::DeviceCode(_)
        | TokenError::Exchange(_)
        | TokenError::GrantTypeNotRegistered
        | TokenError::IdJag(_)
        | TokenError::Proof(_)
        | TokenError::Request(_)
        | TokenError::Signing
        | TokenError::Store(_)
        | TokenError::Workload(_) => PartOf::Client,
        TokenError::Refresh(_) => grant().unwrap_or(PartOf::Client),
    }
}
