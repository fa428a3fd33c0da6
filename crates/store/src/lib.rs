//! The record: the only room with SQL. It remembers what the roles decided, and keeps the promises that must
//! hold between requests: at most once, all or nothing, durable before it is answered.
//!
//! A method is a whole unit of work. Time, ids and hashes are handed in: there is no clock, no chance and no
//! rule in here. What is not found is an `Option`, a lost race is an outcome; [`StoreError`] is only for what no
//! caller can repair. Text with a NUL byte is refused at the edges; here it is an error, never a truncated row.

mod audit_blocks;
mod audit_events;
mod audit_intents;
mod audit_keeping;
mod audit_seals;
mod audit_sending;
mod authorizations;
mod backup;
mod browser_sessions;
mod client_requests;
mod client_rules;
mod clients;
mod codec;
mod connecting;
mod connections;
mod consents;
mod device_authorizations;
mod emergency_logins;
mod engine;
mod error;
mod grants;
mod identity_links;
mod keys;
mod maintenance;
mod offline_access;
mod queries;
mod registration_tokens;
mod replays;
mod revocations;
mod sealed;
mod sign_ins;
mod signals;
mod standing;
mod statements;
mod stop;
mod tool_definitions;
mod upstream_clients;
mod usage;
mod users;

use std::fmt::Debug;

use futures_util::future::BoxFuture;

pub use audit_blocks::{Appended, AuditBlock, AuditBlocks, CallBatch, CallEvent, SharedSubject};
pub use audit_events::{AuditEvent, AuditEvents, AuditKind, AuditSubject, Outcome};
pub use audit_intents::{AuditIntents, CallIntent};
pub use audit_keeping::{AuditHold, AuditKeeping, Forget, Forgotten};
pub use audit_seals::{
    AuditClass, AuditSeals, Cutoffs, FoundSeal, NameState, Outside, Seal, SealEntry, SealedAuditRow,
    SealedName, Sealing,
};
pub use audit_sending::{AuditSending, NodeId};
pub use authorizations::{
    AcceptedRequest, AuthorizationRecord, AuthorizationState, Authorizations, Consent, ConsentOutcome,
    NewAuthorization, PendingCaps, PutOutcome, Redeem, RedeemOutcome, UpstreamLeg,
};
pub use backup::{BackupError, Contents, Header, Progress, Restore, Restored, verify, verify_file};
pub use browser_sessions::{BrowserSessionRecord, BrowserSessions};
pub use client_requests::{ClientRequest, ClientRequests, ParkOutcome, WaitingRequest};
pub use client_rules::{ClientRule, ClientRules};
pub use clients::{ClientRecord, Clients, ListedClient};
pub use connecting::{ConnectingRecord, ConnectingRecords};
pub use connections::{
    ConnectOutcome, ConnectionRecord, Connections, GivenTokens, NewConnection, RenewOutcome, Renewed,
    TokensPlace,
};
pub use consents::{ConsentKind, ConsentRecord, Consents};
pub use device_authorizations::{DeviceAuthorizationRecord, DeviceAuthorizations, PutDeviceOutcome};
pub use emergency_logins::{EmergencyLoginRecord, EmergencyLogins, UseEmergencyLogin};
pub use engine::{Engine, EngineConfig, OpenError};
#[cfg(feature = "failpoints")]
pub use engine::{FAILPOINT_MARK, Failpoint, become_later_release, watch_failpoints};
pub use error::StoreError;
pub use grants::{EndGrant, GrantRecord, Grants, Rotate, RotateOutcome};
pub use identity_links::{IdentityLinkRecord, IdentityLinks, LinkOutcome};
pub use keys::{KeyChange, KeyPurpose, KeyRecord, KeysListener, KeysRecord, NewKey};
pub use maintenance::{Maintenance, SweepCounts};
pub use offline_access::{Asked, NewOfflineAccess, OfflineAccess, OfflineAccessRecord, OfflinePlace};
pub use queries::{AuditFilter, AuditRow, Counts, Queries};
pub use registration_tokens::{RegistrationToken, RegistrationTokens};
pub use replays::{ReplayKind, Replays};
pub use revocations::{Revocation, RevocationKind, RevocationListener, Revocations, StopCounts};
pub use sealed::{SealedColumn, SealedRow, SealedRows};
pub use sign_ins::{
    Begun, NewSignIn, NextStep, PartOf, Seen, SignInEvent, SignInFilter, SignInRow, SignInStep,
    SignInStepRow, SignInWrite, SignIns, StepOf, Timeline,
};
pub use signals::{Ending, OfSession, Reach, Signals};
pub use standing::{Once, Stand, StandOutcome, StandingGrants};
pub use statements::{Statement, statements};
pub use tool_definitions::{
    AcceptedBy, AcceptedDefinition, SeenDefinition, ToolChange, ToolDefinitions, ToolList, ToolRecord,
};
pub use upstream_clients::{Replaced, UpstreamClientRecord, UpstreamClients};
pub use usage::{LATENCIES_MS, Usage, UsageBy, UsageOf, UsageRecord};
pub use users::{
    AnsweredLeg, NewIdentity, NewServiceAccount, SERVICE_ACCOUNT, SignIn, SignInOutcome, UserRecord, Users,
};

/// What every method of the record returns.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The whole record, as the roles hold it: `Arc<dyn Store>`.
pub trait Store:
    Clients
    + ClientRequests
    + ClientRules
    + Users
    + BrowserSessions
    + ConnectingRecords
    + Connections
    + DeviceAuthorizations
    + EmergencyLogins
    + IdentityLinks
    + OfflineAccess
    + Authorizations
    + Consents
    + Grants
    + RegistrationTokens
    + Replays
    + StandingGrants
    + Revocations
    + KeysRecord
    + SealedRows
    + SignIns
    + Signals
    + ToolDefinitions
    + UpstreamClients
    + AuditBlocks
    + AuditEvents
    + AuditIntents
    + AuditKeeping
    + AuditSeals
    + AuditSending
    + Queries
    + Maintenance
    + UsageRecord
    + Debug
{
}

impl Store for Engine {}
