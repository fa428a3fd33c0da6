//! The authorization server: who may get which token (OAuth 2.1; RFC 7591, 7009, 8414, 8707, 9068, 9207).
//!
//! A role: rules, and nothing of HTTP or SQL. Each endpoint is one method of [`AuthorizationServer`] in a file of its
//! own: it reads what it needs, decides in a pure function, and writes once. Each has one error enum with a total
//! `code()`, `blame()` and `reason()`.
//!
//! # What is written down
//! Whatever changes something is an audit event in the same write. Refusals that anybody can cause (an unknown client,
//! a redirect URI that is not the client's, a code or refresh token that is not ours) are logged, not stored; those of a
//! known client or person are stored up to so many a minute and logged beyond: a flood of them must not fill the disk.

mod access_token;
mod approval;
mod audit;
mod authorize;
mod blame;
mod browser;
pub mod capabilities;
mod client_authentication;
mod clients;
mod connecting;
mod consent;
mod device;
mod error;
mod forms;
mod grants;
pub mod keys;
mod linking;
mod login;
mod metadata;
mod pages;
mod pending;
mod prompt;
mod proof;
mod register;
mod revoke;
mod service_accounts;
mod sessions;
mod settings;
mod sign_ins;
mod signals;
mod stop;
#[cfg(test)]
mod test_house;
mod token;
mod trusted_issuers;
mod workloads;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use protocol::jose::dpop::Memory;
use protocol::keys::Keys;
use protocol::world::{Clock, Entropy, Freshness};
use store::{Store, StoreError, Timeline};
use upstream::client_metadata_document::MetadataDocuments;
use upstream::connectors::Connector;

pub use approval::{Approval, ApprovalPage};
pub use authorize::{AuthorizeError, Authorized, PageReason, PushError, PushedRules, RedirectReason};
pub use blame::Blame;
pub use browser::Browser;
pub use client_authentication::{AssertionRefusal, AuthenticatedClient, ClientRefusal, NotAuthenticated};
pub use clients::{
    BlockCounts, Blocked, Client, ClientAdministration, ClientKeys, ClientPolicy, ClientStanding,
    DocumentRules, HostPattern, Named, NotAHost, PreRegisteredClient, PreRegisteredError, Standing,
    UnknownHosts, destination_text, destinations_of_record, fingerprint_text,
};
pub use connecting::{AtConnect, SignInToConnect};
pub use consent::{ConsentAnswer, ConsentError, ConsentForm, ConsentReason, ConsentStep, Verdict};
pub use device::{DeviceEntered, DeviceError, DevicePageError, DevicePageReason};
pub use grants::PersonRefusal;
pub use grants::authorization_code::CodeRefusal;
pub use grants::client_credentials::ClientCredentialsRefusal;
pub use grants::device_code::DeviceCodeRefusal;
pub use grants::id_jag::IdJagRefusal;
pub use grants::refresh_token::RefreshRefusal;
pub use grants::target::TargetRefusal;
pub use grants::token_exchange::ExchangeRefusal;
pub use grants::workload::WorkloadRefusal;
pub use linking::LinkedIdentity;
pub use login::{
    Completed, Emergency, EmergencyCode, EmergencyForm, LegStarted, LoginError, LoginForm, LoginReason,
    Returned, SignedIn,
};
pub use pages::{
    Account, Caller, ClientOnPage, ConnectorOnPage, ConsentPage, FormToken, FurtherServer, GrantLifetime,
    LoginPage, Next, ScopeOnPage, ServerOnPage, Vouching,
};
pub use proof::ProofRefusal;
pub use register::{RegisterError, Registrations};
pub use revoke::RevokeError;
pub use service_accounts::keep_service_account;
pub use settings::{
    AccessTokenAlgorithm, ConsentSettings, DeviceFlow, Lifetimes, MayAct, Registration, ScopeEntry,
    ServerEntry, ServiceAccount, Settings, Words,
};
pub use signals::{
    BackchannelLogout, GlobalTokenRevocation, OnLogout, Rechecks, SecurityEventTransmitter, SignalError,
    SignalRefusal, Signalled,
};
pub use stop::{Stopping, Target};
pub use token::{TokenError, TokenHeaders};
pub use trusted_issuers::{IssuerKeys, NewPeople, TrustedIssuer};
pub use workloads::{Pattern, PatternError, Platform, RuleFlaw, WorkloadIssuer, WorkloadRule};

/// What the authorization server works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The identity providers.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// The metadata documents of clients.
    pub documents: Arc<MetadataDocuments>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The keys, which may be exchanged while we work.
    pub keys: Arc<ArcSwap<Keys>>,
    /// How lately the keys were read: no token is issued by keys that may have been withdrawn.
    pub keys_read: Arc<Freshness>,
    /// The proofs of possession that were seen, and the nonces for them (RFC 9449).
    pub proofs: Arc<Memory>,
    /// What is registered, for the audit.
    pub registrations: Arc<Registrations>,
    /// The record.
    pub store: Arc<dyn Store>,
    /// What is seen of sign-ins.
    pub timeline: Arc<Timeline>,
}

/// The authorization server. One for each issuer; shared by all requests.
pub struct AuthorizationServer {
    parts: Parts,
    guesses: device::Guesses,
    refusals: audit::Refusals,
    rechecks: Rechecks,
    settings: Settings,
}

impl AuthorizationServer {
    /// The authorization server with these settings.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts) -> Self {
        let (guesses, refusals) = (device::Guesses::new(), audit::Refusals::new());
        Self { parts, guesses, refusals, rechecks: Rechecks::default(), settings }
    }

    /// The issuer identifier, byte for byte as in the metadata (RFC 9207, section 2).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether the keys may be relied upon. A node that could not read them lately may hold one that was withdrawn.
    pub(crate) fn rely_on_keys(&self) -> Result<(), StoreError> {
        if self.parts.keys_read.is_fresh(self.parts.clock.monotonic()) {
            return Ok(());
        }
        Err(StoreError::unavailable("the keys were not read lately"))
    }

    /// What it was told.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer").field("issuer", &self.settings.issuer).finish_non_exhaustive()
    }
}
