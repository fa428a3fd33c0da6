//! `[clients]` and `[[client]]`: what clients may register, and those that are known beforehand.

use std::time::Duration;

use authorization_server::{HostPattern, Named, Registration, Standing};
use protocol::oauth::ClientId;
use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;
use super::trusted_issuers::is_protected;

settings! {
    /// Which clients may ask people, and what they may register (product decision P-7; docs/clients.md).
    Clients = "[clients]" {
        /// Private-use URI schemes that desktop applications may be called back by, beside https and the
        /// loopback interface (RFC 8252 section 7.1).
        private_schemes: Vec<String> = "['cursor', 'vscode', 'vscode-insiders', 'com.raycast', 'windsurf', 'zed']", "a list of schemes without `:`", parse::texts;
        /// What is done about clients that are called back on the person's own machine: they may ask, an administrator is
        /// asked first (`sekisho clients approve`), or they may not.
        loopback: Standing = "'allow'", "\"allow\", \"ask\" or \"block\"", standing;
        /// The same for clients that are called back by a scheme of `private_schemes`.
        private_use: Standing = "'allow'", "\"allow\", \"ask\" or \"block\"", standing;
        /// The same for clients that are called back at a host that is neither of `inside` nor well known.
        outside: Standing = "'ask'", "\"allow\", \"ask\" or \"block\"", standing;
        /// The organisation's own hosts: a client that is called back there does not leave it, and may ask. The hosts of
        /// `public_url` and `pages_url` are among them.
        inside: Vec<HostPattern> = "[]", "a list of hosts, such as client.example, or *.client.example for all below it", hosts;
        /// Clients that may ask, by the host that vouches for them or by their id.
        allow: Vec<Named> = "[]", "a list of host:HOST, host:*.HOST and client:CLIENT_ID", named;
        /// Clients about which an administrator is asked first, by name.
        ask: Vec<Named> = "[]", "a list of host:HOST, host:*.HOST and client:CLIENT_ID", named;
        /// Clients that may not be used, by name. The strictest word counts: `block` before `ask` before `allow`.
        block: Vec<Named> = "[]", "a list of host:HOST, host:*.HOST and client:CLIENT_ID", named;
        /// A list of well-known hosts in place of the shipped one: one a line, `#` begins a comment. Read again at a reload.
        well_known_hosts_file: Option<String> = optional, "a path", parse::text;
        /// How long a person may wait for an administrator.
        approval_wait: Duration = "'1h'", "10m to 1d", parse::duration::<600, 86_400>;
        /// Whether every client must push its authorization requests (RFC 9126). Hardly any MCP client does so yet.
        require_pushed_authorization_requests: bool = "false", "true or false", parse::boolean;
        /// Who may register a client: everybody; whoever holds an initial access token
        /// (`sekisho clients registration-token`); or nobody.
        registration: Registration = "'open'", "\"open\", \"token\" or \"closed\"", registration;
    }
}

/// What is done about a kind of clients.
pub(super) fn standing(value: &DeValue<'_>) -> Result<Standing, String> {
    match parse::text(value)?.as_str() {
        "allow" => Ok(Standing::Allow),
        "ask" => Ok(Standing::Ask),
        "block" => Ok(Standing::Block),
        _ => Err("is none of the three".to_owned()),
    }
}

fn hosts(value: &DeValue<'_>) -> Result<Vec<HostPattern>, String> {
    let texts = parse::texts(value)?;
    texts.iter().map(|text| HostPattern::parse(text).map_err(|error| error.to_string())).collect()
}

fn named(value: &DeValue<'_>) -> Result<Vec<Named>, String> {
    let one = |text: &String| match text.split_once(':') {
        Some(("host", host)) => HostPattern::parse(host).map(Named::Host).map_err(|error| error.to_string()),
        Some(("client", id)) => ClientId::parse(id).map(Named::Client).map_err(|error| error.to_string()),
        Some(_) | None => Err("holds something that begins with neither host: nor client:".to_owned()),
    };
    parse::texts(value)?.iter().map(one).collect()
}

fn registration(value: &DeValue<'_>) -> Result<Registration, String> {
    match parse::text(value)?.as_str() {
        "closed" => Ok(Registration::Closed),
        "open" => Ok(Registration::Open),
        "token" => Ok(Registration::InitialAccessToken),
        _ => Err("is none of the three".to_owned()),
    }
}

settings! {
    /// A client that is known beforehand. Most need no entry: they register by themselves.
    PreRegistered = "[[client]]" {
        /// Its `client_id`. That of a client with a metadata document pins it: the document is not fetched any more, and what
        /// stands here is all that counts. Such a client has no secret.
        client_id: String = required, "printable ASCII, not beginning with dcr_, and no UUID; or the URL of a metadata document", parse::text;
        /// The name that people are shown.
        name: Option<String> = optional, "a text", parse::text;
        /// Where it may be called back. A loopback URI matches with any port. A client of a service account has none, every
        /// other client has one or more.
        redirect_uris: Vec<String> = "[]", "a list of https, loopback or private-use URIs", parse::texts;
        /// Its public keys as a JWK set: then it authenticates by `private_key_jwt` (RFC 7523) and has no secret. The file is
        /// read again at a reload.
        jwks_file: Option<String> = optional, "a path", parse::text;
        /// The same keys, written here.
        jwks: Option<String> = optional, "a JWK set: '{\"keys\": [...]}'", parse::text;
        /// Where the same keys are, in place of them: fetched when an assertion comes, and kept as long as their host says
        /// (a minute to an hour; a day while the host is away).
        jwks_uri: Option<String> = optional, "an https URL", parse::text;
        /// Whether its assertions may be for the URL of the token endpoint. By default they are for the issuer alone
        /// (RFC 7523bis section 4); some clients still follow RFC 7523 of 2015.
        token_endpoint_audience: bool = "false", "true or false", parse::boolean;
        /// Whether every token request of it must carry a proof of a key (RFC 9449 section 5.2; docs/dpop.md).
        dpop_bound_access_tokens: bool = "false", "true or false", parse::boolean;
        /// Whether it must push its authorization requests (RFC 9126).
        require_pushed_authorization_requests: bool = "false", "true or false", parse::boolean;
    }
}

impl PreRegistered {
    fn ways_to_keys(&self) -> usize {
        [&self.jwks, &self.jwks_file, &self.jwks_uri].into_iter().flatten().count()
    }
}

/// One pre-registered client, read.
#[derive(Clone, Debug, PartialEq)]
pub struct PreRegisteredConfig {
    /// The settings.
    pub settings: PreRegistered,
    /// Its secret, if it is confidential (`secret_file`, `secret_env` or `secret_command`).
    pub secret: Option<SecretSource>,
}

impl PreRegisteredConfig {
    /// Reads every `[[client]]`.
    pub(super) fn read(root: &mut Section<'_>) -> Vec<Option<Self>> {
        root.tables("client").into_iter().map(Self::read_one).collect()
    }

    /// Whether it proves that it is itself: only such a client may act as a service account.
    pub fn is_confidential(&self) -> bool {
        self.secret.is_some() || self.settings.ways_to_keys() > 0
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = PreRegistered::read(&mut section);
        let secret = SecretSource::read(&mut section, "secret", false);
        let is_id = |id: &str| id.parse::<protocol::id::Id<protocol::id::User>>().is_ok();
        let is_url = |id: &str| ClientId::parse(id).is_ok_and(|id| id.document_url().is_ok());
        let reserved =
            |id: &str| id.starts_with("dcr_") || (id.starts_with("https://") && !is_url(id)) || is_id(id);
        let taken = settings.as_ref().is_some_and(|settings| reserved(&settings.client_id));
        if taken {
            section.mistake(
                "client_id",
                "begins like an id of another kind",
                "anything but dcr_…, an https://… that is no URL of a document, and a UUID, which could be taken for a person",
            );
        }
        let keys = settings.as_ref().map_or(0, PreRegistered::ways_to_keys);
        if keys + usize::from(secret.as_ref().is_some_and(Option::is_some)) > 1 {
            section.mistake(
                "jwks_file",
                "is not the only way in which it proves who it is",
                "one of jwks_file, jwks, jwks_uri and secret_file (or secret_env, secret_command)",
            );
        }
        let uri = settings.as_ref().and_then(|settings| settings.jwks_uri.as_deref());
        if uri.is_some_and(|uri| !is_protected(uri)) {
            section.mistake("jwks_uri", "is no https URL", "https, or http on this machine");
        }
        section.finish();
        Some(Self { settings: settings?, secret: secret? }).filter(|_| !taken)
    }
}
