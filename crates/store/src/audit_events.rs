//! Audit events: what happened, once each, durable (product.md, P-18). An event of a security change is part of
//! the write that makes the change; only calls and refusals are appended on their own.
//!
//! Names and addresses stand beside, in a table of their own, so that they can be blotted out without touching
//! the events. Never a token, a code, a hash or an argument.

use std::collections::{BTreeMap, HashSet};

use protocol::id::{Grant, Id, Reference, User};
use protocol::world::Timestamp;

use crate::codec::json;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError, audit_seals};

macro_rules! audit_kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// What kind of event it is. One list: the documentation is generated from it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl AuditKind {
            /// All of them, by name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written down.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// In words, for the documentation.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

audit_kinds! {
    /// A legal hold began: what it covers is not removed from the audit.
    AuditHeld = "audit_held";
    /// A legal hold ended.
    AuditHoldEnded = "audit_hold_ended";
    /// Somebody read the audit at the command line.
    AuditRead = "audit_read";
    /// Events whose time was over were removed.
    AuditRemoved = "audit_removed";
    /// An authorization request was refused.
    AuthorizeRefused = "authorize_refused";
    /// An MCP call was forwarded, or is about to be.
    Call = "call";
    /// An MCP call that was written down as of unknown outcome, because its node was not heard of, ended after all: how. `call` is
    /// the id of the event of the call.
    CallEnded = "call_ended";
    /// An MCP call was refused.
    CallRefused = "call_refused";
    /// An MCP server answers again: calls are sent to it as before.
    CircuitClosed = "circuit_closed";
    /// An MCP server did not answer so often in a row that calls to it are refused at once for a while.
    CircuitOpened = "circuit_opened";
    /// A client that was blocked may be consented to again.
    ClientAllowed = "client_allowed";
    /// A client, or all of a host, may ask people from now on.
    ClientApproved = "client_approved";
    /// A client was blocked for good, or all of a host or fingerprint.
    ClientBlocked = "client_blocked";
    /// Somebody waits until an administrator says whether a client may be used.
    ClientRequested = "client_requested";
    /// Clients registered: a count for each fingerprint of their metadata and minute; beyond 8, for the others together.
    ClientsRegistered = "clients_registered";
    /// A code was presented again after it had been redeemed.
    CodeReplayed = "code_replayed";
    /// The configuration and the policies were read again while Sekisho ran: taken, or refused, and the last good ones stayed.
    ConfigurationRead = "configuration_read";
    /// A provider, or the MCP server itself, takes no more what a person's connection holds: they have to connect again.
    ConnectionDead = "connection_dead";
    /// A person's connection with an MCP server's own provider was ended. With a failure: the provider was never told.
    ConnectionEnded = "connection_ended";
    /// A person connected an account of an MCP server's own provider.
    ConnectionMade = "connection_made";
    /// A connection was not made.
    ConnectionRefused = "connection_refused";
    /// A credential for an MCP server was asked for, to be held in memory: by an exchange, for example. It was given, or not.
    CredentialObtained = "credential_obtained";
    /// A person said no to a client.
    ConsentDenied = "consent_denied";
    /// A person said yes to a client.
    ConsentGiven = "consent_given";
    /// A code was made by which one person may sign in while the identity provider is away.
    EmergencyLoginMade = "emergency_login_made";
    /// A person signed in by such a code.
    EmergencySignIn = "emergency_sign_in";
    /// A grant was ended.
    GrantRevoked = "grant_revoked";
    /// The public URL of the house became another one.
    HouseMoved = "house_moved";
    /// An identity at another provider was linked to a person: who signs in by it is that person.
    IdentityLinked = "identity_linked";
    /// A link between an identity and a person was undone.
    IdentityUnlinked = "identity_unlinked";
    /// Keys were made.
    KeyCreated = "key_created";
    /// A key was made that takes over from another.
    KeyRotated = "key_rotated";
    /// A key was withdrawn: what it made counts no more.
    KeyWithdrawn = "key_withdrawn";
    /// The record went over to another master key; every key is sealed under the new one.
    MasterKeyRotated = "master_key_rotated";
    /// Name and address of a person were forgotten wherever they stood beside an event.
    PersonForgotten = "person_forgotten";
    /// A person who never signed in here was made, because an issuer that may speaks of them.
    PersonMade = "person_made";
    /// A refresh token was repeated in time and answered with the same successor.
    RefreshRepeated = "refresh_repeated";
    /// A refresh token was used after its successor: the token family was ended.
    RefreshReused = "refresh_reused";
    /// A refresh token is newer than the record: the record was set back.
    RefreshSetBack = "refresh_set_back";
    /// An initial access token was made, by which clients register.
    RegistrationTokenMade = "registration_token_made";
    /// Registrations of clients were refused: a count for each reason and minute.
    RegistrationRefused = "registration_refused";
    /// What was sealed with older keys was sealed anew with the working one.
    Resealed = "resealed";
    /// The record was restored from a backup: everything that was allowed was ended.
    Restored = "restored";
    /// A sealed value could not be opened where it stood.
    SealBroken = "seal_broken";
    /// An identity provider said that somebody is out, and what that ends was ended.
    SignalReceived = "signal_received";
    /// What an identity provider said of somebody was refused.
    SignalRefused = "signal_refused";
    /// A person signed in.
    SignIn = "sign_in";
    /// A sign-in failed.
    SignInRefused = "sign_in_refused";
    /// A person signed out.
    SignOut = "sign_out";
    /// Everything of a person, a client, a resource or the issuer was stopped.
    Stopped = "stopped";
    /// Tokens were issued for a code.
    TokenIssued = "token_issued";
    /// Tokens were issued for a refresh token.
    TokenRefreshed = "token_refreshed";
    /// A token request was refused.
    TokenRefused = "token_refused";
    /// What an MCP server says of tools was accepted, or what was known of them was forgotten, by an operator.
    ToolsAccepted = "tools_accepted";
    /// An MCP server says of tools what it did not say before: they are new, changed, or again as they were accepted.
    ToolsChanged = "tools_changed";
    /// A person who was shut out may sign in again.
    UserAllowed = "user_allowed";
    /// A person was shut out.
    UserBlocked = "user_blocked";
}

/// How what happened ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Something broke.
    Failed,
    /// It was done.
    Ok,
    /// A rule said no.
    Refused,
    /// Nobody knows: the node that did it ended first, or has not said yet.
    Unknown,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Ok, Self::Refused, Self::Unknown];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// Personal data of an event, stored beside it. Several events may share one; it is written the first time.
///
/// The event carries an id that is made of all of it, so that what a seal covers says who it was: whoever changes a name has to
/// change the id too (attacks ST-19). The salt is of chance and goes with the name when that is forgotten: what is left then
/// tells nothing, not even to whoever tries every name there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSubject {
    /// Of chance.
    pub salt: [u8; 16],
    /// The person's e-mail address; where there is none, their name.
    pub name: Option<String>,
    /// Address they came from.
    pub address: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id.
    pub id: Id<protocol::id::AuditEvent>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: AuditKind,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in snake case, from the enum of the endpoint.
    pub reason: Option<&'static str>,
    /// The operator's policy that forbade it, as `policy:` and its id. It is the reason then.
    pub policy: Option<String>,
    /// The reference of the sign-in it belongs to.
    pub reference: Option<Reference>,
    /// Who.
    pub user: Option<Id<User>>,
    /// With which client.
    pub client_id: Option<String>,
    /// At which MCP server, by our name.
    pub server: Option<String>,
    /// Under which grant.
    pub grant: Option<Id<Grant>>,
    /// The personal data of it.
    pub subject: Option<AuditSubject>,
    /// What else is worth knowing.
    pub detail: BTreeMap<&'static str, String>,
}

impl AuditSubject {
    /// The id that the event carries: the first half of SHA-256 of "sekisho audit name v1", 0, the salt, and name and address
    /// as columns of a row (docs/audit.md).
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        audit_seals::name_id(&self.salt, self.name.as_deref(), self.address.as_deref())
    }

    /// The same, named by every call of somebody up to a time.
    #[must_use]
    pub const fn shared_until(self, until: Timestamp) -> crate::SharedSubject {
        crate::SharedSubject { subject: self, until }
    }
}

impl AuditEvent {
    /// An event that says only what and when; the rest is filled in by field.
    #[must_use]
    pub const fn new(
        id: Id<protocol::id::AuditEvent>,
        at: Timestamp,
        kind: AuditKind,
        outcome: Outcome,
    ) -> Self {
        Self {
            id,
            at,
            kind,
            outcome,
            reason: None,
            policy: None,
            reference: None,
            user: None,
            client_id: None,
            server: None,
            grant: None,
            subject: None,
            detail: BTreeMap::new(),
        }
    }
}

/// The audit events in the record, for writing. They are read through [`Queries`](crate::Queries).
pub trait AuditEvents: Send + Sync {
    /// Appends events, all or none; durable when answered.
    fn append_audit(&self, events: Vec<AuditEvent>) -> Answer<'_, ()>;
}

statement_list! {
    // An event is written once, so that a batch whose answer was lost can be sent again. Time and id together are the
    // key, because that is the order in which events are read: a second index would cost every call.
    PUT = "INSERT INTO audit_events (id, at, kind, outcome, reason, reference, client_id, server, grant_id, \
        subject_id, detail, user_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        ON CONFLICT (at, id) DO NOTHING";
    // Of a person whose id only their row knows.
    PUT_OF_PERSON = "INSERT INTO audit_events (id, at, kind, outcome, reason, reference, client_id, server, \
        grant_id, subject_id, detail, user_id) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, id \
        FROM users WHERE id = COALESCE( \
        (SELECT user_id FROM identity_links WHERE connector = $12 AND subject = $13), \
        (SELECT id FROM users WHERE connector = $12 AND subject = $13))";
    PUT_SUBJECT = "INSERT INTO audit_subjects (id, salt, name, address) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (id) DO NOTHING";
    PUT_ADDRESS = "INSERT INTO audit_subjects (id, address) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
}

impl AuditEvents for Engine {
    fn append_audit(&self, events: Vec<AuditEvent>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut steps = Vec::new();
            push_all(&mut steps, &events)?;
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => Err(StoreError::unavailable("an audit event was not taken")),
            }
        })
    }
}

/// Adds the steps of many events: personal data first, and once, since events of one batch share few people and addresses.
pub(crate) fn push_all(steps: &mut Vec<Step>, events: &[AuditEvent]) -> Result<(), StoreError> {
    let mut told = HashSet::new();
    let new = |event: &&AuditEvent| event.subject.as_ref().is_some_and(|subject| told.insert(subject.id()));
    steps.extend(events.iter().filter(new).filter_map(subject));
    for event in events {
        steps.push(Step::at_most_one(PUT, known(event)?));
    }
    Ok(())
}

/// Adds the steps of an event to the write that makes what it tells of.
pub(crate) fn push(steps: &mut Vec<Step>, event: &AuditEvent) -> Result<(), StoreError> {
    steps.extend(subject(event));
    steps.push(Step::at_most_one(PUT, known(event)?));
    Ok(())
}

/// The same, where the person is told by connector and subject.
pub(crate) fn push_of_person(
    steps: &mut Vec<Step>,
    event: &AuditEvent,
    connector: &str,
    of: &str,
) -> Result<(), StoreError> {
    steps.extend(subject(event));
    let mut row = row(event)?;
    row.extend(params![connector, of]);
    steps.push(Step::one(PUT_OF_PERSON, row));
    Ok(())
}

fn subject(event: &AuditEvent) -> Option<Step> {
    event.subject.as_ref().map(put_subject)
}

/// The step that keeps personal data beside the events.
pub(crate) fn put_subject(subject: &AuditSubject) -> Step {
    let row = params![subject.id(), subject.salt, subject.name.as_deref(), subject.address.as_deref()];
    Step::at_most_one(PUT_SUBJECT, row)
}

/// The step that keeps the address of something that is no event of the audit, under the id of that.
pub(crate) fn put_address(id: [u8; 16], address: &str) -> Step {
    Step::at_most_one(PUT_ADDRESS, params![id, address])
}

fn known(event: &AuditEvent) -> Result<Row, StoreError> {
    let mut row = row(event)?;
    row.extend(params![event.user]);
    Ok(row)
}

fn row(event: &AuditEvent) -> Result<Row, StoreError> {
    Ok(params![
        event.id,
        event.at,
        event.kind.as_str(),
        event.outcome.as_str(),
        event.policy.as_deref().or(event.reason),
        event.reference.as_ref().map(Reference::as_str),
        event.client_id.as_deref(),
        event.server.as_deref(),
        event.grant,
        event.subject.as_ref().map(AuditSubject::id),
        json(&event.detail)?,
    ])
}
