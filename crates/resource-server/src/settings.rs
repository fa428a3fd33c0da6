//! What the resource server is told and given at start. The configuration is read elsewhere; nothing here parses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::ServerRules;
use protocol::keys::Keys;
use protocol::message_signature::SignatureMode;
use protocol::oauth::{DpopMode, DpopRules, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Freshness, Timestamp};
use store::{Store, Timeline};
use thiserror::Error;
use upstream::mcp_server::streamable_http::McpServerClient;

use crate::audit::KeptArguments;
use crate::breaker::BreakerSettings;
use crate::definitions::{InputSchemas, ToolsMode};
use crate::limits::Limit;
use crate::trace::TraceSettings;
use crate::vault::credential::Credential;

/// What the resource server is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer of the access tokens: `public_url`, byte for byte.
    pub issuer: String,
    /// Other issuers whose access tokens are good here too, because the house moved (product.md, P-23).
    pub other_issuers: Vec<OtherIssuer>,
    /// How proofs of possession are taken (RFC 9449).
    pub dpop: DpopRules,
    /// The MCP servers behind us.
    pub servers: Vec<ServerSettings>,
    /// How long a stream may outlive its access token (product.md, P-16).
    pub stream_grace: Duration,
    /// The age of our knowledge of revocations above which nothing is served (product.md, P-2: T).
    pub revocation_freshness: Duration,
    /// Where our pages for people are: an origin.
    pub pages_url: String,
    /// The largest MCP message, in bytes; one more is 413.
    pub message_bytes: usize,
    /// How many streams may be open at the same time; one more is 503.
    pub open_streams: usize,
    /// How many calls of one person may be in progress; one more is 429.
    pub calls_per_person: u32,
    /// How many streams of one person may be open that stand by themselves; one more is 429.
    pub streams_per_person: u32,
    /// Whether calls are written down that only read and come through (product.md, P-18: they are).
    pub record_reading: bool,
    /// Which arguments of calls the audit keeps (product.md, P-18: none unless configured).
    pub kept_arguments: Vec<KeptArguments>,
    /// Which calls are recorded in traces; none, if there is nobody to tell.
    pub traces: Option<TraceSettings>,
}

impl Settings {
    /// The defaults of product.md for these MCP servers.
    #[must_use]
    pub fn new(issuer: String, servers: Vec<ServerSettings>) -> Self {
        Self {
            pages_url: issuer.clone(),
            issuer,
            other_issuers: Vec::new(),
            dpop: DpopRules::default(),
            servers,
            stream_grace: Duration::from_secs(60 * 60),
            revocation_freshness: Duration::from_secs(5),
            message_bytes: 4 * 1024 * 1024,
            open_streams: 16 * 1024,
            calls_per_person: 1024,
            streams_per_person: 64,
            record_reading: true,
            kept_arguments: Vec::new(),
            traces: None,
        }
    }
}

/// Another issuer of this same house, and until when its access tokens are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherIssuer {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// From this moment on its tokens are those of a stranger; never, if it is the one that is in use now.
    pub until: Option<Timestamp>,
}

/// What the resource server is told of one MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Its name in paths and in the audit.
    pub name: String,
    /// The name that people are shown: `resource_name` (RFC 9728, section 2).
    pub title: String,
    /// Its resource identifier, the one audience of its access tokens.
    pub resource: ResourceUri,
    /// Who may connect.
    pub rules: ServerRules,
    /// The scopes that a challenge names, and `scopes_supported` (product.md, P-12).
    pub challenge_scope: Scope,
    /// Whether it is sent an identity assertion (product.md, P-14).
    pub assertion: bool,
    /// The audience of the identity assertions that it is sent.
    pub assertion_audience: String,
    /// Which credential it is sent.
    pub credential: Credential,
    /// Whether its access tokens are bound to a key (RFC 9449).
    pub dpop: DpopMode,
    /// Whether calls are signed by their clients (RFC 9421).
    pub message_signatures: SignatureMode,
    /// What becomes of definitions of its tools that are new or changed.
    pub tools: ToolsMode,
    /// What becomes of arguments that the input schemas of its tools do not allow.
    pub input_schemas: InputSchemas,
    /// Hash of the secret by which it may ask us about access tokens; none, and it may not.
    pub introspection_secret: Option<Hash>,
    /// What may be used of it; what is not limited is not.
    pub limits: Vec<Limit>,
    /// When nothing is sent to it for a while, because it does not answer; none, and that never happens.
    pub breaker: Option<BreakerSettings>,
    /// It may go on being served while our knowledge of revocations is too old (product.md, P-2: low-risk).
    pub low_risk: bool,
}

/// What the resource server is given.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The keys of the house; they rotate.
    pub keys: Arc<ArcSwap<Keys>>,
    /// How lately the keys were read: one may have been withdrawn since.
    pub keys_read: Arc<Freshness>,
    /// The way to each MCP server, by name.
    pub mcp_servers: HashMap<String, Arc<McpServerClient>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What is seen of sign-ins.
    pub timeline: Arc<Timeline>,
}

/// The settings do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Two MCP servers have one name.
    #[error("two mcp servers are named `{0}`")]
    NameRepeated(String),
    /// There is no way to an MCP server.
    #[error("there is no way to the mcp server `{0}`")]
    NoWay(String),
}
