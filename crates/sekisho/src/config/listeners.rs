//! `[[listener]]` and `[acme]`: sockets beside the simple `listen`, and where their certificates come from.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;
use url::Url;
use web::Serves;

use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;
use super::{Config, parse};

settings! {
    /// A socket of its own beside `listen`, which serves everybody in clear: for some only, under TLS, or behind a
    /// load balancer that speaks the PROXY protocol. What a listener does not serve is not found there.
    Listener = "[[listener]]" {
        /// The address to listen on.
        address: SocketAddr = required, "an address such as \"0.0.0.0:443\"", parse::address;
        /// For whom it is. `machines`: metadata, keys, tokens, registration, revocation, MCP endpoints. `people`:
        /// authorization, login and consent. `console`: nothing yet. An empty list is a listener for health checks and
        /// the proofs of HTTP-01 only, which are answered everywhere.
        serves: Serves = "['machines', 'people', 'console']", "a list of \"machines\", \"people\", \"console\"", serves;
        /// Whether every connection begins with a header of the PROXY protocol, version 2. A connection without it, or
        /// from a peer that is not in `trusted_proxies`, is closed.
        proxy_protocol: bool = "'off'", "\"off\" or \"v2\"", proxy_protocol;
        /// Whether a peer may begin with HTTP/2 in clear, as load balancers do. Under TLS the negotiation decides.
        h2c: bool = "true", "true or false", parse::boolean;
    }
}

settings! {
    /// A certificate of the listener above it; several are told apart by the name that a client asks for, and the first
    /// is shown to all others. Or one table `tls = { acme = true }`: a certificate by `[acme]`.
    ///
    /// The files are read again when they change. A file that cannot be used is reported, and the last good one stays.
    TlsFiles = "[[listener.tls]]" {
        /// The certificate and its chain, in PEM, the listener's own first.
        certificate_file: String = required, "a path", parse::text;
        /// The private key, in PEM. Only its owner may be able to read it.
        key_file: String = required, "a path", parse::text;
    }
}

settings! {
    /// Certificates from an authority that speaks ACME (RFC 8555), such as Let's Encrypt, for every listener with
    /// `tls = { acme = true }`. They are kept in a folder and renewed when a third of their time is left. For an
    /// authority that asks for external accounts there are `eab_key_id` and `eab_hmac_key_file` (or `_env`, `_command`).
    Acme = "[acme]" {
        /// Whether the terms of service of the authority are agreed to.
        terms_of_service_agreed: bool = required, "true", agreed;
        /// The directory of the authority.
        directory_url: Url = "'https://acme-v02.api.letsencrypt.org/directory'", "an https URL", https_url;
        /// Whom the authority may write to.
        contact: Vec<String> = "[]", "a list such as [\"mailto:ops@example.com\"]", contacts;
        /// The host names of the certificate, if they are not those of `public_url` and `pages_url`.
        names: Option<Vec<String>> = optional, "a list such as [\"mcp.example.com\"]", names;
        /// How the authority is shown that the names are ours. `tls-alpn-01` needs port 443 of each name to reach a
        /// listener with `acme = true`, `http-01` port 80 to reach any listener without TLS.
        challenge: Challenge = "'tls-alpn-01'", "\"tls-alpn-01\" or \"http-01\"", challenge;
        /// The folder for the account, the key and the certificate. Only its owner may be able to enter it.
        folder: String = "'acme'", "a path", parse::text;
        /// Certificate authorities of the directory itself, in PEM, beside those of the system: for one of your own.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// The key identifier of an external account.
        eab_key_id: Option<String> = optional, "a text", parse::text;
    }
}

/// How an authority is shown that a name is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Challenge {
    /// By an answer under `/.well-known/acme-challenge/` on port 80 (RFC 8555, section 8.3).
    Http01,
    /// By a certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

/// Where a listener's certificates come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TlsConfig {
    /// From `[acme]`.
    Acme,
    /// From files: certificate and key.
    Files(Vec<(PathBuf, PathBuf)>),
}

/// One listener, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// The settings.
    pub settings: Listener,
    /// TLS, if it is spoken here.
    pub tls: Option<TlsConfig>,
}

/// `[acme]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct AcmeConfig {
    /// The settings.
    pub settings: Acme,
    /// The key of an external account.
    pub eab_hmac_key: Option<SecretSource>,
}

impl ListenerConfig {
    /// Reads every `[[listener]]`.
    pub(super) fn read(root: &mut Section<'_>) -> Vec<Option<Self>> {
        root.tables("listener").into_iter().map(Self::read_one).collect()
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = Listener::read(&mut section);
        let tls = tls(&mut section);
        section.finish();
        Some(Self { settings: settings?, tls: tls? })
    }
}

impl AcmeConfig {
    /// Reads `[acme]`, which may be left out.
    pub(super) fn read(root: &mut Section<'_>) -> Option<Option<Self>> {
        if !root.has("acme") {
            return Some(None);
        }
        let mut section = root.table("acme")?;
        let settings = Acme::read(&mut section);
        let eab_hmac_key = SecretSource::read(&mut section, "eab_hmac_key", false);
        let (settings, eab_hmac_key) = (settings?, eab_hmac_key?);
        if settings.eab_key_id.is_some() != eab_hmac_key.is_some() {
            section.mistake(
                "eab_key_id",
                "is of use only together with eab_hmac_key",
                "both eab_key_id and eab_hmac_key_file, or neither",
            );
        }
        section.finish();
        Some(Some(Self { settings, eab_hmac_key }))
    }
}

/// `tls`: one table, or several.
fn tls(section: &mut Section<'_>) -> Option<Option<TlsConfig>> {
    if !section.has("tls") {
        return Some(None);
    }
    let mut tables = if section.is_list("tls") { section.tables("tls") } else { vec![section.table("tls")?] };
    if let [only] = tables.as_mut_slice()
        && only.has("acme")
    {
        let wanted = only.required("acme", "true", agreed);
        tables.pop()?.finish();
        return wanted.map(|_| Some(TlsConfig::Acme));
    }
    let files = tables.into_iter().map(|mut table| {
        let files = TlsFiles::read(&mut table);
        let paths = files
            .map(|files| (table.source.path(&files.certificate_file), table.source.path(&files.key_file)));
        table.finish();
        paths
    });
    let files = files.collect::<Option<Vec<_>>>()?;
    if files.is_empty() {
        section.mistake("tls", "names no certificate", "certificate_file and key_file, or acme = true");
        return None;
    }
    Some(Some(TlsConfig::Files(files)))
}

fn serves(value: &DeValue<'_>) -> Result<Serves, String> {
    let mut serves = Serves::NONE;
    for class in parse::texts(value)? {
        match class.as_str() {
            "console" => serves.console = true,
            "machines" => serves.machines = true,
            "people" => serves.people = true,
            _ => return Err("holds something that is none of the three".to_owned()),
        }
    }
    Ok(serves)
}

fn proxy_protocol(value: &DeValue<'_>) -> Result<bool, String> {
    match parse::text(value)?.as_str() {
        "off" => Ok(false),
        "v2" => Ok(true),
        _ => Err("is neither off nor v2; version 1 is not spoken".to_owned()),
    }
}

fn challenge(value: &DeValue<'_>) -> Result<Challenge, String> {
    match parse::text(value)?.as_str() {
        "http-01" => Ok(Challenge::Http01),
        "tls-alpn-01" => Ok(Challenge::TlsAlpn01),
        _ => Err("is none of the two challenges".to_owned()),
    }
}

fn agreed(value: &DeValue<'_>) -> Result<bool, String> {
    match parse::boolean(value)? {
        true => Ok(true),
        false => Err("is not true".to_owned()),
    }
}

fn https_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = parse::http_url(value)?;
    if url.scheme() == "https" { Ok(url) } else { Err("is not an https URL".to_owned()) }
}

fn contacts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let contacts = parse::texts(value)?;
    let all = contacts.iter().all(|contact| contact.starts_with("mailto:") && contact.contains('@'));
    if all { Ok(contacts) } else { Err("holds something that is not a mailto: URL".to_owned()) }
}

fn names(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let names = parse::texts(value)?;
    if names.is_empty() {
        return Err("names no host".to_owned());
    }
    if names.iter().all(|name| is_host_name(name)) {
        Ok(names)
    } else {
        Err("holds something that is not a host name in small letters".to_owned())
    }
}

/// A name that a certificate authority may certify by these challenges: no address, no wildcard.
pub(super) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253
        && name.split('.').all(is_label)
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

impl Config {
    /// Certificates are asked for by somebody, for names that can have one, with a door for the proof.
    pub(super) fn judge_acme(&self, root: &Section<'_>) {
        let wanted = self.listeners.iter().any(|listener| listener.tls == Some(TlsConfig::Acme));
        let Some(acme) = &self.acme else {
            if wanted {
                root.mistake(
                    "listener",
                    "wants a certificate by ACME, and there is no [acme]",
                    "[acme] with terms_of_service_agreed = true",
                );
            }
            return;
        };
        if !wanted {
            root.mistake(
                "acme",
                "is of no use: no listener has tls = { acme = true }",
                "a listener that has it",
            );
        }
        if !self.acme_names().iter().all(|name| is_host_name(name)) {
            root.mistake(
                "acme",
                "is for host names, and public_url or pages_url has none",
                "names = [\"mcp.example.com\"]",
            );
        }
        let clear =
            !self.house.listen.is_empty() || self.listeners.iter().any(|listener| listener.tls.is_none());
        if acme.settings.challenge == Challenge::Http01 && !clear {
            root.mistake(
                "acme",
                "has the challenge http-01, and no listener is without TLS",
                "a [[listener]] with serves = [] for port 80",
            );
        }
    }
}
