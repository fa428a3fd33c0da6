//! `[[trusted_issuer]]`: identity providers whose word is taken in place of a browser (enterprise-managed authorization).

use authorization_server::NewPeople;
use url::Url;

use super::parse;
use super::reader::Section;
use super::settings::settings;

settings! {
    /// An identity provider that says by an ID-JAG which person may use which client at which MCP server, without a browser
    /// (`io.modelcontextprotocol/enterprise-managed-authorization`). Its people are those of one `[[identity_provider]]`,
    /// and must have signed in there once. Nobody is told which issuers are trusted.
    TrustedIssuer = "[[trusted_issuer]]" {
        /// Its issuer identifier, byte for byte as it stands in `iss`.
        issuer: String = required, "an https URL", parse::text;
        /// The `id` of the `[[identity_provider]]` whose people it speaks of: its `sub` is theirs.
        identity_provider: String = required, "the id of an [[identity_provider]]", parse::name;
        /// Where its keys are. Without it, and without `jwks_file`, the issuer's own discovery document says so.
        jwks_uri: Option<String> = optional, "an https URL", parse::text;
        /// Its keys as a JWK set in a file. Read again at a reload.
        jwks_file: Option<String> = optional, "a path", parse::text;
        /// The clients that it may speak of, by their `client_id`. Without any, every confidential client.
        clients: Vec<String> = "[]", "a list of client ids", parse::texts;
        /// What is done about people whom it names and who never signed in here: "refuse" them until they do, or "create" them.
        /// Somebody created has no groups until they sign in by a browser, so that they may use MCP servers for everyone only.
        new_people: NewPeople = "'refuse'", "\"refuse\" or \"create\"", new_people;
        /// Whether somebody it names by a subject that is not known here is the one of the identity provider's people who has the
        /// same address, if it says that it verified it and only one has it. It is remembered, and undone by
        /// `sekisho people unlink`. Whoever can have an address changed there can then become somebody else here: leave it off
        /// unless subjects differ from those of signing in (pairwise ones).
        link_by_email: bool = "false", "true or false", parse::boolean;
        /// The one tenant that is trusted, of an issuer that has several: `tenant` of its assertions must be this. Without it,
        /// assertions that name a tenant are refused.
        tenant: Option<String> = optional, "a text", parse::text;
    }
}

impl TrustedIssuer {
    /// Reads every `[[trusted_issuer]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let read = |mut section: Section<'_>| {
            let issuer = Self::read(&mut section);
            if let Some(issuer) = &issuer {
                issuer.judge(&section);
            }
            section.finish();
            issuer
        };
        root.tables("trusted_issuer").into_iter().map(read).collect()
    }

    fn judge(&self, section: &Section<'_>) {
        if !is_protected(&self.issuer) {
            section.mistake("issuer", "is no https URL", "https, or http on this machine");
        }
        if self.jwks_uri.as_deref().is_some_and(|uri| !is_protected(uri)) {
            section.mistake("jwks_uri", "is no https URL", "https, or http on this machine");
        }
        if self.jwks_uri.is_some() && self.jwks_file.is_some() {
            section.mistake(
                "jwks_file",
                "is not the only place of its keys",
                "one of jwks_uri and jwks_file",
            );
        }
    }
}

fn new_people(value: &toml::de::DeValue<'_>) -> Result<NewPeople, String> {
    match parse::text(value)?.as_str() {
        "create" => Ok(NewPeople::Create),
        "refuse" => Ok(NewPeople::Refuse),
        _ => Err("is neither of the two".to_owned()),
    }
}

/// Whether nobody on the way can exchange the keys.
pub(super) fn is_protected(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.host().is_some()
        && url.fragment().is_none()
        && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
}
