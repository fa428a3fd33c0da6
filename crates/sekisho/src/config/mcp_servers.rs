//! `[[mcp_server]]`: the MCP servers behind Sekisho.

use std::time::Duration;

use authorization_server::{AccessTokenAlgorithm, DeviceFlow, Standing};
use protocol::message_signature::SignatureMode;
use protocol::oauth::DpopMode;
use resource_server::definitions::{InputSchemas, ToolsMode};
use upstream::route::{Http2, TlsServerName};
use url::Url;

use super::clients::standing;
use super::credentials::{self, ConnectionConfig, CredentialForm, FixedConfig};
use super::exchange::ExchangeConfig;
use super::id_jag::IdJagConfig;
use super::mcp_server_limits::{Breaker, ServerLimit};
use super::minted::MintedConfig;
use super::outbound_proxy::OutboundProxyChoice;
use super::parse;
use super::reader::Section;
use super::scopes::{self, FirstChallenge, STANDARD, ServerScope};
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// An MCP server behind Sekisho. Clients are given `PUBLIC_URL/NAME/mcp`.
    McpServer = "[[mcp_server]]" {
        /// The name, which is part of its URL. Whoever reaches the first page or the metadata reads it, and `title` too.
        name: String = required, "a letter, then up to 30 letters, digits and -; none of the reserved words", parse::name;
        /// Where it is: its MCP endpoint, as Sekisho reaches it.
        url: Url = required, "an http or https URL", parse::http_url;
        /// The name that people are shown.
        title: Option<String> = optional, "a text", parse::text;
        /// What can be done with it in words, for the consent page: the scope `read`.
        read: Option<String> = optional, "a text such as \"read your notes\"", parse::text;
        /// What can be done with it in words, for the consent page: the scope `write`.
        write: Option<String> = optional, "a text such as \"add notes\"", parse::text;
        /// As `read`, in Japanese. With one of the two, it is shown in both languages.
        read_ja: Option<String> = optional, "a text", parse::text;
        /// As `write`, in Japanese.
        write_ja: Option<String> = optional, "a text", parse::text;
        /// Which scopes a client is told to ask for before its first call. `all`: whatever calls can need, and the person unticks
        /// what the client shall not have; many clients cannot ask for more later. `least`: `read`, and more when a call
        /// needs it.
        challenge: FirstChallenge = "'all'", "\"all\" or \"least\"", scopes::challenge;
        /// What its access tokens are signed by, for MCP servers that check them themselves. `RS256` if its library knows nothing
        /// else: each token costs some ten times as much to sign. The first MCP server with it needs a restart, of a release that
        /// knows it on every node.
        access_tokens: AccessTokenAlgorithm = "'ES256'", "\"ES256\" or \"RS256\"", access_tokens;
        /// As `refresh_repeat` in `[tokens]`, for this MCP server.
        refresh_repeat: Option<Duration> = optional, "0s to 5m", parse::duration::<0, 300>;
        /// Which clients may ask for it without a browser of their own (RFC 8628, device authorization): the person types
        /// a code on a page here. Nothing ties the device to the person, so that anybody can be talked into it from far
        /// away. `known`: clients of `[[client]]`. `any`: also those that made themselves known. `off`: none.
        device_flow: DeviceFlow = "'known'", "\"known\", \"any\" or \"off\"", device_flow;
        /// What is done about clients that are called back outside the organisation, such as those in a vendor's cloud, beyond
        /// what `[clients]` says. With `"block"` the grants that they hold are not refreshed any more.
        outside_clients: Standing = "'allow'", "\"allow\", \"ask\" or \"block\"", standing;
        /// Whether its access tokens are bound to a key of the client (DPoP, RFC 9449), so that a stolen one is worth
        /// nothing. `optional`: if the client proves a key. `required`: clients that do not are refused.
        dpop: DpopMode = "'optional'", "\"off\", \"optional\" or \"required\"", dpop;
        /// Experimental: whether clients sign their calls by a key of their own (RFC 9421, docs/message-signatures.md).
        /// `optional`: a signature that is there must hold. `required`: there must be one, by the key that the access token
        /// or the session is bound to.
        message_signatures: SignatureMode = "'off'", "\"off\", \"optional\" or \"required\"", message_signatures;
        /// What the MCP server is sent to say who asks; never the client's token. `assertion`: a signed identity assertion
        /// (docs/who-is-calling.md). `fixed`: one secret for everybody, by `[mcp_server.fixed]`. `connection`: the person's own
        /// account at its provider, which they connect once, by `[mcp_server.connection]`. `exchange`: what a token endpoint gives
        /// for the person, by `[mcp_server.exchange]`. `id_jag`: what the MCP server's authorization server gives for an
        /// ID-JAG about the person, by `[mcp_server.id_jag]`. `minted`: a short-lived token of an app, the same for everybody, by
        /// `[mcp_server.minted]`. `none`: nothing.
        credential: CredentialForm = "'assertion'", "\"assertion\", \"connection\", \"exchange\", \"fixed\", \"id_jag\", \"minted\" or \"none\"", credentials::form;
        /// Whether the identity assertion is sent beside another credential. It names the person, so that it is for MCP servers
        /// of the house.
        assertion: Option<bool> = optional, "true or false", parse::boolean;
        /// What becomes of what its tools say of themselves when it is new or changed (docs/tools.md). `follow`: clients are
        /// shown it at once, and it is written down. `approve`: it is kept from clients until `sekisho tools accept`. A
        /// `readOnlyHint` that becomes another one waits in either case.
        tools: ToolsMode = "'follow'", "\"follow\" or \"approve\"", tools;
        /// What becomes of arguments that the input schema of a tool does not allow (docs/tools.md). `ignore`: they are the MCP
        /// server's business. `enforce`: the call is refused, and says which argument it is.
        input_schemas: InputSchemas = "'ignore'", "\"ignore\" or \"enforce\"", input_schemas;
        /// How long to wait for a connection.
        connect_timeout: Duration = "'5s'", "1s to 1m", parse::duration::<1, 60>;
        /// How long to wait for the first byte of an answer.
        first_byte_timeout: Duration = "'60s'", "1s to 1h", parse::duration::<1, 3_600>;
        /// Certificate authorities of the MCP server, in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// The certificate that Sekisho shows to the MCP server, with its chain, in PEM, its own first; together with
        /// `client_key_file`. Both are read again at a reload.
        client_certificate_file: Option<String> = optional, "a path", parse::text;
        /// The private key of that certificate, in PEM. Only its owner may be able to read it.
        client_key_file: Option<String> = optional, "a path", parse::text;
        /// The name that the certificate of the MCP server must be for, and that is asked for (SNI), if it is not the
        /// host of `url`.
        tls_server_name: Option<String> = optional, "a host name or an address", tls_server_name;
        /// Which versions of HTTP are spoken. `auto`: HTTP/2 where TLS negotiates it. `off`: HTTP/1.1 alone.
        /// `prior-knowledge`: HTTP/2 in clear from the first byte, for an http `url` whose server is known to speak it.
        http2: Http2 = "'auto'", "\"auto\", \"off\" or \"prior-knowledge\"", http2;
    }
}

/// `access`: who may use an MCP server. Nobody may until it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessConfig {
    /// Which people.
    pub people: PeopleConfig,
    /// `service-account:NAME` and `service-account:NAME:SCOPE`, each name once.
    pub service_accounts: Vec<AdmittedAccountConfig>,
    /// `"policy"`: also whom a `permit` of the policies lets in.
    pub permits: bool,
}

/// Which people may use an MCP server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeopleConfig {
    /// `"everyone who may log in"`.
    Everyone,
    /// `["group:…"]`; empty if only service accounts may.
    Groups(Vec<String>),
}

/// A service account that may use an MCP server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdmittedAccountConfig {
    /// Its name.
    pub name: String,
    /// The scopes it may have; none for all of them.
    pub scopes: Vec<String>,
}

/// One MCP server, read.
#[derive(Clone, Debug, PartialEq)]
pub struct McpServerConfig {
    /// The settings.
    pub settings: McpServer,
    /// Who may use it.
    pub access: AccessConfig,
    /// By which it may ask about access tokens (`introspection_secret_file`, `…_env` or `…_command`).
    pub introspection_secret: Option<SecretSource>,
    /// `[mcp_server.connection]`, if the credential is of that form.
    pub connection: Option<ConnectionConfig>,
    /// `[mcp_server.exchange]`, if the credential is of that form.
    pub exchange: Option<ExchangeConfig>,
    /// `[mcp_server.fixed]`, if the credential is of that form.
    pub fixed: Option<FixedConfig>,
    /// `[mcp_server.id_jag]`, if the credential is of that form.
    pub id_jag: Option<IdJagConfig>,
    /// `[mcp_server.minted]`, if the credential is of that form.
    pub minted: Option<MintedConfig>,
    /// `[[mcp_server.limits]]`.
    pub limits: Vec<ServerLimit>,
    /// `[mcp_server.breaker]`.
    pub breaker: Breaker,
    /// `[[mcp_server.scope]]`.
    pub scopes: Vec<ServerScope>,
    /// `outbound_proxy`, or a table of that name.
    pub outbound_proxy: OutboundProxyChoice,
}

/// First segments of paths that are Sekisho's own, now or later.
pub const RESERVED: [&str; 15] = [
    "account",
    "admin",
    "assets",
    "authorize",
    "connect",
    "consent",
    "device",
    "healthz",
    "login",
    "mcp",
    "metrics",
    "oauth",
    "readyz",
    "register",
    "scim",
];

const EVERYONE: &str = "everyone who may log in";
const POLICY: &str = "policy";
const ACCESS: &str = "[\"group:NAME\", \"service-account:NAME\", \"service-account:NAME:SCOPE\", \"policy\", …] or \"everyone who may log in\"";

impl McpServerConfig {
    /// The title that people see.
    pub fn title(&self) -> &str {
        self.settings.title.as_deref().unwrap_or(&self.settings.name)
    }

    /// Whether it is sent the identity assertion.
    pub fn is_sent_an_assertion(&self) -> bool {
        let alone = self.settings.credential == CredentialForm::Assertion;
        self.settings.assertion.unwrap_or(alone)
    }

    /// Reads every `[[mcp_server]]`.
    pub(super) fn read(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let servers: Vec<_> = root.tables("mcp_server").into_iter().map(Self::read_one).collect();
        if servers.is_empty() {
            root.mistake(
                "mcp_server",
                "is missing: there is nothing to guard",
                "[[mcp_server]] with name, url and access",
            );
            return vec![None];
        }
        servers
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = McpServer::read(&mut section);
        let access = section.required("access", ACCESS, access);
        let introspection_secret = SecretSource::read(&mut section, "introspection_secret", false);
        let outbound_proxy = OutboundProxyChoice::read(&mut section);
        let form = settings.as_ref().map(|settings| settings.credential);
        let credentials = Credentials::read(&mut section, form);
        let limits = ServerLimit::read_all(&mut section);
        let breaker = Breaker::read_one(&mut section);
        let scopes = ServerScope::read_all(&mut section);
        let bound = access.as_ref().zip(scopes.as_ref());
        let bound = bound.is_none_or(|(access, scopes)| judge_bounds(&section, access, scopes));
        let reserved = settings.as_ref().is_some_and(|settings| is_reserved(&settings.name));
        if reserved {
            section.mistake("name", "is a path of Sekisho's own", "any other name");
        }
        let judged = settings
            .as_ref()
            .is_some_and(|settings| judge_tls(&section, settings) && judge_assertion(&section, settings));
        section.finish();
        let Credentials { connection, exchange, fixed, id_jag, minted } = credentials?;
        let whole = Self {
            settings: settings?,
            access: access?,
            introspection_secret: introspection_secret?,
            connection,
            exchange,
            fixed,
            id_jag,
            minted,
            limits: limits?,
            breaker: breaker?,
            scopes: scopes?,
            outbound_proxy: outbound_proxy?,
        };
        Some(whole).filter(|_| judged && bound && !reserved)
    }
}

/// The table of the form of credential, if it has one.
struct Credentials {
    connection: Option<ConnectionConfig>,
    exchange: Option<ExchangeConfig>,
    fixed: Option<FixedConfig>,
    id_jag: Option<IdJagConfig>,
    minted: Option<MintedConfig>,
}

impl Credentials {
    fn read(server: &mut Section<'_>, form: Option<CredentialForm>) -> Option<Self> {
        use CredentialForm::{Connection, Exchange, Fixed, IdJag, Minted};
        use credentials::table;
        let connection = table(server, form, ("connection", Connection, true), ConnectionConfig::read_one);
        let exchange = table(server, form, ("exchange", Exchange, false), ExchangeConfig::read_one);
        let fixed = table(server, form, ("fixed", Fixed, false), FixedConfig::read_one);
        let minted = table(server, form, ("minted", Minted, false), MintedConfig::read_one);
        let id_jag = table(server, form, ("id_jag", IdJag, false), IdJagConfig::read_one);
        Some(Self {
            connection: connection?,
            exchange: exchange?,
            fixed: fixed?,
            id_jag: id_jag?,
            minted: minted?,
        })
    }
}

/// A service account is bound by scopes that are there.
fn judge_bounds(section: &Section<'_>, access: &AccessConfig, scopes: &[ServerScope]) -> bool {
    let known = |scope: &String| {
        STANDARD.contains(&scope.as_str()) || scopes.iter().any(|known| known.name == *scope)
    };
    let unknown = access.service_accounts.iter().flat_map(|account| &account.scopes).any(|name| !known(name));
    if unknown {
        section.mistake(
            "access",
            "binds a service account by a scope that is not there",
            "read, write, or the name of a [[mcp_server.scope]]",
        );
    }
    !unknown
}

/// Without the assertion, which is then the credential, nothing would be sent: that has a name of its own.
fn judge_assertion(section: &Section<'_>, settings: &McpServer) -> bool {
    let nothing = settings.credential == CredentialForm::Assertion && settings.assertion == Some(false);
    if nothing {
        section.mistake("assertion", "leaves nothing to be sent", "credential = \"none\"");
    }
    !nothing
}

/// What is told of TLS is used, or it is a mistake: nobody is to believe that it is.
fn judge_tls(section: &Section<'_>, settings: &McpServer) -> bool {
    let tls = settings.url.scheme() == "https";
    let certificate = settings.client_certificate_file.is_some();
    let (key, problem, allowed) = if certificate != settings.client_key_file.is_some() {
        (
            if certificate { "client_certificate_file" } else { "client_key_file" },
            "is of use only together with the other one",
            "both client_certificate_file and client_key_file, or neither",
        )
    } else if certificate && !tls {
        ("client_certificate_file", "is of no use over http", "an https url, or no client certificate")
    } else if settings.tls_server_name.is_some() && !tls {
        ("tls_server_name", "is of no use over http", "an https url, or no tls_server_name")
    } else if settings.http2 == Http2::PriorKnowledge && tls {
        ("http2", "is for http; over https the version is negotiated", "\"auto\" or \"off\"")
    } else {
        return true;
    };
    section.mistake(key, problem, allowed);
    false
}

fn tls_server_name(value: &toml::de::DeValue<'_>) -> Result<String, String> {
    let name = parse::text(value)?;
    match TlsServerName::parse(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err("is neither a host name nor an address".to_owned()),
    }
}

fn access_tokens(value: &toml::de::DeValue<'_>) -> Result<AccessTokenAlgorithm, String> {
    match parse::text(value)?.as_str() {
        "ES256" => Ok(AccessTokenAlgorithm::Es256),
        "RS256" => Ok(AccessTokenAlgorithm::Rs256),
        _ => Err("is neither of the two".to_owned()),
    }
}

fn dpop(value: &toml::de::DeValue<'_>) -> Result<DpopMode, String> {
    DpopMode::parse(&parse::text(value)?).map_err(|error| error.to_string())
}

fn message_signatures(value: &toml::de::DeValue<'_>) -> Result<SignatureMode, String> {
    SignatureMode::parse(&parse::text(value)?).map_err(|error| error.to_string())
}

fn tools(value: &toml::de::DeValue<'_>) -> Result<ToolsMode, String> {
    match parse::text(value)?.as_str() {
        "approve" => Ok(ToolsMode::Approve),
        "follow" => Ok(ToolsMode::Follow),
        _ => Err("is neither of the two".to_owned()),
    }
}

fn input_schemas(value: &toml::de::DeValue<'_>) -> Result<InputSchemas, String> {
    match parse::text(value)?.as_str() {
        "enforce" => Ok(InputSchemas::Enforce),
        "ignore" => Ok(InputSchemas::Ignore),
        _ => Err("is neither of the two".to_owned()),
    }
}

fn http2(value: &toml::de::DeValue<'_>) -> Result<Http2, String> {
    match parse::text(value)?.as_str() {
        "auto" => Ok(Http2::Auto),
        "off" => Ok(Http2::Off),
        "prior-knowledge" => Ok(Http2::PriorKnowledge),
        _ => Err("is none of the three".to_owned()),
    }
}

fn device_flow(value: &toml::de::DeValue<'_>) -> Result<DeviceFlow, String> {
    match parse::text(value)?.as_str() {
        "any" => Ok(DeviceFlow::Any),
        "known" => Ok(DeviceFlow::Known),
        "off" => Ok(DeviceFlow::Off),
        _ => Err("is none of the three".to_owned()),
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name == "token"
}

fn access(value: &toml::de::DeValue<'_>) -> Result<AccessConfig, String> {
    if let Some(written) = value.as_str() {
        let only = |people, permits| Ok(AccessConfig { people, service_accounts: Vec::new(), permits });
        return match written {
            EVERYONE => only(PeopleConfig::Everyone, false),
            POLICY => only(PeopleConfig::Groups(Vec::new()), true),
            _ => Err("is not an access rule".to_owned()),
        };
    }
    let entries = parse::texts(value)?;
    if entries.is_empty() {
        return Err("names nobody".to_owned());
    }
    let (mut everyone, mut groups, mut service_accounts, mut permits) =
        (false, Vec::new(), Vec::new(), false);
    for entry in &entries {
        if entry == EVERYONE {
            everyone = true;
        } else if entry == POLICY {
            permits = true;
        } else if let Some(group) = entry.strip_prefix("group:").filter(|group| !group.is_empty()) {
            groups.push(group.to_owned());
        } else if let Some(account) = entry.strip_prefix("service-account:") {
            admit(&mut service_accounts, account)?;
        } else {
            return Err("holds something that is neither group:NAME nor service-account:NAME".to_owned());
        }
    }
    if everyone && permits {
        return Err("admits everyone already: a permit could add nobody".to_owned());
    }
    let people = if everyone { PeopleConfig::Everyone } else { PeopleConfig::Groups(groups) };
    Ok(AccessConfig { people, service_accounts, permits })
}

/// `NAME` or `NAME:SCOPE`. Who may write may read.
fn admit(accounts: &mut Vec<AdmittedAccountConfig>, entry: &str) -> Result<(), String> {
    let (name, scope) = entry.split_once(':').map_or((entry, None), |(name, scope)| (name, Some(scope)));
    if !parse::is_name(name) || scope.is_some_and(|scope| !scopes::is_scope(scope)) {
        return Err(
            "holds something that is neither service-account:NAME nor service-account:NAME:SCOPE".to_owned()
        );
    }
    let wanted: &[&str] = match scope {
        None => &[],
        Some("write") => &STANDARD,
        Some(ref scope) => std::slice::from_ref(scope),
    };
    let wanted: Vec<String> = wanted.iter().map(|&scope| scope.to_owned()).collect();
    match accounts.iter_mut().find(|account| account.name == name) {
        Some(known) if known.scopes.is_empty() != wanted.is_empty() => {
            return Err("admits a service account both with every scope and with one".to_owned());
        }
        Some(known) => {
            let more: Vec<_> = wanted.into_iter().filter(|scope| !known.scopes.contains(scope)).collect();
            known.scopes.extend(more);
        }
        None => accounts.push(AdmittedAccountConfig { name: name.to_owned(), scopes: wanted }),
    }
    Ok(())
}
