//! `[[identity_provider]]`: where people log in.

use std::collections::{BTreeMap, BTreeSet};

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// An identity provider. `docs/identity-providers` has a page for each kind, with the steps at that provider;
    /// `kind = "oidc"` is any other OpenID provider, and `kind = "development"` example people without passwords, which is
    /// refused unless everything is on the loopback interface. There may be several; people choose among them on the
    /// login page.
    IdentityProvider = "[[identity_provider]]" {
        /// The name of the connector. People are known by it and the provider's identifier, so a change
        /// makes everybody somebody else.
        id: String = required, "a name: a letter, then letters, digits and -", parse::name;
        /// What it is.
        kind: String = required, "\"atlassian\", \"auth0\", \"development\", \"entra\", \"github\", \"google\", \"keycloak\", \"oidc\" or \"okta\"", parse::text;
        /// What people are shown.
        title: Option<String> = optional, "a text", parse::text;
        /// The domains of the e-mail addresses of its people. If any is set, the login page asks for the address and leads to
        /// the provider of its domain; providers without domains keep their buttons.
        home_domains: Vec<String> = "[]", "a list of domains", parse::domains;
    }
}

settings! {
    /// What every kind but `development` needs. Register Sekisho at the provider with the redirect URI
    /// `PAGES_URL/login/callback/ID`, which `sekisho check` prints (`PUBLIC_URL/…` if `pages_url` is not set).
    Registered = "[[identity_provider]]" {
        /// The id of Sekisho at the provider.
        client_id: String = required, "a text", parse::text;
        /// Certificate authorities of the provider, in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// Ask the provider when a client refreshes, at most every 15 minutes for each person, whether the person is still there, and
        /// end what is theirs if it says no. Sekisho then asks for offline access at the sign-in and keeps, sealed, what the provider
        /// gives for that; the provider must allow it (docs/when-somebody-leaves.md).
        recheck: bool = "false", "true or false", parse::boolean;
        /// The audience of a stream of security events (OpenID Shared Signals Framework) that the provider pushes to
        /// `PUBLIC_URL/oauth/security_events/ID`. With it, CAEP's `session-revoked` and what is like it end everything of a person.
        security_event_audience: Option<String> = optional, "a text", parse::text;
        /// The issuer of that stream, if it is not that of the provider; of Okta it is the organisation.
        security_event_issuer: Option<String> = optional, "an https URL", parse::issuer;
        /// Where the keys of that issuer are, if its OpenID discovery document does not say so.
        security_event_jwks_uri: Option<String> = optional, "an https URL", parse::issuer;
    }
}

settings! {
    /// The settings of `kind = "atlassian"`. Without a site nobody could be kept out, so one is needed.
    Atlassian = "[[identity_provider]]" {
        /// The sites whose users may log in, each as the name of a group and the cloud id of the site.
        sites: Vec<String> = required, "a list of NAME:CLOUD_ID", parse::named;
        /// Which product the sites have.
        product: String = "'jira'", "\"confluence\" or \"jira\"", parse::atlassian_product;
    }
}

settings! {
    /// The settings of `kind = "auth0"`. Anybody may sign up at a new tenant, so `organization` or `email_domains` is needed.
    Auth0 = "[[identity_provider]]" {
        /// The domain of the tenant, or its own domain.
        domain: String = required, "a host name", parse::host;
        /// The id of the organisation whose members may log in.
        organization: Option<String> = optional, "a text", parse::text;
        /// Only people with a verified e-mail address of these domains may log in.
        email_domains: Vec<String> = "[]", "a list of domains", parse::texts;
        /// The claim of the ID token that lists the person's groups.
        groups_claim: Option<String> = optional, "the name of a claim", parse::text;
        /// What a back-channel logout of the provider ends: `access` the browser sessions and all that was allowed in them, with
        /// its tokens and open streams; `session` the browser sessions alone.
        on_logout: String = "'access'", "\"access\" or \"session\"", parse::on_logout;
    }
}

settings! {
    /// The settings of `kind = "entra"`.
    Entra = "[[identity_provider]]" {
        /// The directory (tenant) ids whose people may log in.
        tenants: Vec<String> = required, "a list of tenant ids, such as 00000000-0000-0000-0000-000000000000", parse::tenants;
        /// Let guests in, whose accounts are of another tenant or private. Without it, the optional claim `acct` must be
        /// configured in the app registration, which tells them apart.
        guests: bool = "false", "true or false", parse::boolean;
    }
}

settings! {
    /// The settings of `kind = "github"`. Without an organisation nobody could be kept out, so one is needed.
    GitHub = "[[identity_provider]]" {
        /// The organisations whose members may log in, each as its name and its number (`id` at
        /// `https://api.github.com/orgs/NAME`): a name can be given up and taken by somebody else.
        organizations: Vec<String> = required, "a list of NAME:NUMBER", parse::named;
        /// What Sekisho is registered as.
        app: String = "'oauth-app'", "\"github-app\" or \"oauth-app\"", parse::github_app;
        /// The GitHub: a subdomain of ghe.com or a GitHub Enterprise Server, if it is not github.com.
        url: String = "'https://github.com'", "an https URL", parse::issuer;
    }
}

settings! {
    /// The settings of `kind = "google"`. Groups come from the directory, if `directory_admin` and `directory_key_…` are set.
    Google = "[[identity_provider]]" {
        /// The domains of the organisation (the claim `hd`). Private accounts have none, whatever their address.
        hosted_domains: Vec<String> = required, "a list of domains", parse::texts;
        /// The administrator in whose name the service account asks the directory for groups.
        directory_admin: Option<String> = optional, "an e-mail address", parse::text;
    }
}

settings! {
    /// The settings of `kind = "keycloak"`.
    Keycloak = "[[identity_provider]]" {
        /// Where Keycloak is, with the path in front of `/realms` if there is one.
        url: String = required, "an https URL", parse::issuer;
        /// The realm.
        realm: String = required, "a name as it is in the URL", parse::segment;
        /// The claim of the ID token that lists the person's groups.
        groups_claim: String = "'groups'", "the name of a claim", parse::text;
        /// What a back-channel logout of the provider ends: `access` the browser sessions and all that was allowed in them, with
        /// its tokens and open streams; `session` the browser sessions alone.
        on_logout: String = "'access'", "\"access\" or \"session\"", parse::on_logout;
    }
}

settings! {
    /// The settings of `kind = "oidc"`: any OpenID provider.
    Oidc = "[[identity_provider]]" {
        /// The issuer; `/.well-known/openid-configuration` is read from it.
        issuer: String = required, "an https URL", parse::issuer;
        /// What is asked for.
        scopes: Vec<String> = "['openid', 'profile', 'email']", "a list that holds openid", parse::texts;
        /// The claim of the ID token that lists the person's groups.
        groups_claim: Option<String> = optional, "the name of a claim", parse::text;
        /// Only people with a verified e-mail address of these domains may log in.
        email_domains: Vec<String> = "[]", "a list of domains", parse::texts;
        /// Read the claims of the person from the userinfo endpoint as well.
        userinfo: bool = "false", "true or false", parse::boolean;
        /// What a back-channel logout of the provider ends: `access` the browser sessions and all that was allowed in them, with
        /// its tokens and open streams; `session` the browser sessions alone.
        on_logout: String = "'access'", "\"access\" or \"session\"", parse::on_logout;
    }
}

settings! {
    /// The settings of `kind = "okta"`.
    Okta = "[[identity_provider]]" {
        /// The domain of the Okta organisation, or its own domain.
        domain: String = required, "a host name", parse::host;
        /// The id of a custom authorization server, if it is not the organisation's own.
        authorization_server: Option<String> = optional, "an id as it is in the URL", parse::segment;
        /// The claim that lists the person's groups.
        groups_claim: String = "'groups'", "the name of a claim", parse::text;
    }
}

settings! {
    /// One example person of `kind = "development"`.
    ExamplePerson = "[[identity_provider.person]]" {
        /// What is typed to log in.
        login: String = required, "a name", parse::name;
        /// The full name.
        name: String = required, "a text", parse::text;
        /// The e-mail address.
        email: String = required, "a text", parse::text;
        /// The groups.
        groups: Vec<String> = "[]", "a list of names", parse::texts;
    }
}

/// What one identity provider is.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityProviderKind {
    /// Atlassian.
    Atlassian(Atlassian, Registration),
    /// Example people.
    Development(Vec<ExamplePerson>),
    /// GitHub.
    GitHub(GitHub, Registration),
    /// An OpenID provider, of whom there is a profile.
    OpenId(OpenId, Registration),
}

impl IdentityProviderKind {
    /// Who Sekisho is there, if it is elsewhere.
    pub const fn registration(&self) -> Option<&Registration> {
        match self {
            Self::Development(_) => None,
            Self::Atlassian(_, registration)
            | Self::GitHub(_, registration)
            | Self::OpenId(_, registration) => Some(registration),
        }
    }

    /// Where its secrets come from.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let directory = match self {
            Self::OpenId(openid, _) => openid.directory.as_ref().map(|(key, _)| key),
            Self::Atlassian(..) | Self::Development(_) | Self::GitHub(..) => None,
        };
        self.registration()
            .and_then(|registration| registration.client_secret.as_ref())
            .into_iter()
            .chain(directory)
    }
}

/// Who Sekisho is at a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The settings.
    pub settings: Registered,
    /// `client_secret_file`, `client_secret_env` or `client_secret_command`.
    pub client_secret: Option<SecretSource>,
}

/// What was set of an OpenID provider, by the names that its profile has for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenId {
    /// Settings that its profile knows.
    pub values: BTreeMap<String, Vec<String>>,
    /// Switches that are on.
    pub switches: BTreeSet<String>,
    /// In place of the profile's.
    pub groups_claim: Option<String>,
    /// In place of the profile's.
    pub scopes: Option<Vec<String>>,
    /// In place of the profile's.
    pub userinfo: Option<bool>,
    /// Google's directory: key of the service account, and administrator.
    pub directory: Option<(SecretSource, String)>,
    /// What a back-channel logout ends, of a provider that sends them.
    pub on_logout: Option<String>,
}

impl OpenId {
    fn with(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.values.insert(name.to_owned(), values.into_iter().collect());
        self
    }
}

/// One identity provider, read.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityProviderConfig {
    /// The common settings.
    pub settings: IdentityProvider,
    /// What it is.
    pub kind: IdentityProviderKind,
}

impl IdentityProviderConfig {
    /// The title that people see.
    pub fn title(&self) -> &str {
        self.settings.title.as_deref().unwrap_or(match self.settings.kind.as_str() {
            "atlassian" => "Atlassian",
            "entra" => "Microsoft",
            "github" => "GitHub",
            "google" => "Google",
            "okta" => "Okta",
            _ => &self.settings.id,
        })
    }

    /// Reads every `[[identity_provider]]`.
    pub(super) fn read(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let providers: Vec<_> = root.tables("identity_provider").into_iter().map(Self::read_one).collect();
        if providers.is_empty() {
            root.mistake(
                "identity_provider",
                "is missing: nobody could log in",
                "[[identity_provider]] with id and kind",
            );
            return vec![None];
        }
        providers
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = IdentityProvider::read(&mut section);
        if settings.as_ref().is_some_and(|settings| settings.id == store::SERVICE_ACCOUNT) {
            section.mistake("id", "is the name of what vouches for service accounts", "any other name");
            return None;
        }
        let kind = match settings.as_ref().map(|settings| settings.kind.as_str()) {
            Some("development") => Self::development(&mut section),
            Some("atlassian") => Self::atlassian(&mut section),
            Some("auth0") => Self::openid(&mut section, auth0),
            Some("entra") => Self::openid(&mut section, entra),
            Some("github") => Self::github(&mut section),
            Some("google") => Self::openid(&mut section, google),
            Some("keycloak") => Self::openid(&mut section, keycloak),
            Some("oidc") => Self::openid(&mut section, oidc),
            Some("okta") => Self::openid(&mut section, okta),
            Some(_) => {
                section.mistake("kind", "is not a kind of identity provider", KINDS);
                return None;
            }
            None => return None,
        };
        section.finish();
        Some(Self { settings: settings?, kind: kind? })
    }

    fn openid(
        section: &mut Section<'_>,
        read: fn(&mut Section<'_>) -> Option<OpenId>,
    ) -> Option<IdentityProviderKind> {
        let registration = registration(section, false);
        Some(IdentityProviderKind::OpenId(read(section)?, registration?))
    }

    fn github(section: &mut Section<'_>) -> Option<IdentityProviderKind> {
        let (registration, settings) = (registration(section, true), GitHub::read(section));
        let settings = settings?;
        let number = |named: &String| named.split_once(':').is_some_and(|(_, id)| id.parse::<u64>().is_ok());
        if !settings.organizations.iter().all(number) {
            let problem =
                "holds an organisation without its number, which is `id` at https://api.github.com/orgs/NAME";
            section.mistake("organizations", problem, "a list of NAME:NUMBER");
            return None;
        }
        Some(IdentityProviderKind::GitHub(settings, registration?))
    }

    fn atlassian(section: &mut Section<'_>) -> Option<IdentityProviderKind> {
        let (registration, settings) = (registration(section, true), Atlassian::read(section));
        let settings = settings?;
        Some(IdentityProviderKind::Atlassian(settings, registration?))
    }

    fn development(section: &mut Section<'_>) -> Option<IdentityProviderKind> {
        let people = section.tables("person");
        if people.is_empty() {
            return Some(IdentityProviderKind::Development(example_people()));
        }
        let people = people.into_iter().map(|mut person| {
            let read = ExamplePerson::read(&mut person);
            person.finish();
            read
        });
        people.collect::<Option<Vec<_>>>().map(IdentityProviderKind::Development)
    }
}

const KINDS: &str = "\"atlassian\", \"auth0\", \"development\", \"entra\", \"github\", \"google\", \"keycloak\", \"oidc\" or \"okta\"";

fn registration(section: &mut Section<'_>, needs_secret: bool) -> Option<Registration> {
    let settings = Registered::read(section);
    let client_secret = SecretSource::read(section, "client_secret", needs_secret);
    Some(Registration { settings: settings?, client_secret: client_secret? })
}

fn auth0(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Auth0::read(section)?;
    if read.organization.is_none() && read.email_domains.is_empty() {
        let problem = "or email_domains is missing: anybody could sign up and log in";
        section.mistake("organization", problem, "organization or email_domains");
        return None;
    }
    let given =
        OpenId { groups_claim: read.groups_claim, on_logout: Some(read.on_logout), ..OpenId::default() };
    Some(
        given
            .with("domain", [read.domain])
            .with("organization", read.organization)
            .with("email_domains", read.email_domains),
    )
}

fn entra(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Entra::read(section)?;
    let switches = read.guests.then(|| "guests".to_owned()).into_iter().collect();
    Some(OpenId { switches, ..OpenId::default() }.with("tenants", read.tenants))
}

fn google(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Google::read(section);
    let key = SecretSource::read(section, "directory_key", false);
    let (read, key) = (read?, key?);
    if read.hosted_domains.is_empty() {
        let problem = "names no domain: anybody with an account at Google could log in";
        section.mistake("hosted_domains", problem, "a list of domains");
        return None;
    }
    let directory = match (key, read.directory_admin) {
        (Some(key), Some(admin)) => Some((key, admin)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let both = "directory_admin and directory_key_file, or neither";
            section.mistake(
                "directory_admin",
                "is of no use without directory_key_…, nor the other way round",
                both,
            );
            return None;
        }
    };
    Some(OpenId { directory, ..OpenId::default() }.with("hosted_domains", read.hosted_domains))
}

fn keycloak(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Keycloak::read(section)?;
    let given = OpenId {
        groups_claim: Some(read.groups_claim),
        on_logout: Some(read.on_logout),
        ..OpenId::default()
    };
    Some(given.with("url", [read.url]).with("realm", [read.realm]))
}

fn oidc(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Oidc::read(section)?;
    if !read.scopes.iter().any(|scope| scope == "openid") {
        section.mistake("scopes", "does not hold openid", "a list that holds openid");
        return None;
    }
    let given = OpenId {
        groups_claim: read.groups_claim,
        scopes: Some(read.scopes),
        userinfo: Some(read.userinfo),
        on_logout: Some(read.on_logout),
        ..OpenId::default()
    };
    Some(given.with("issuer", [read.issuer]).with("email_domains", read.email_domains))
}

fn okta(section: &mut Section<'_>) -> Option<OpenId> {
    let read = Okta::read(section)?;
    let given = OpenId { groups_claim: Some(read.groups_claim), ..OpenId::default() };
    Some(given.with("domain", [read.domain]).with("authorization_server", read.authorization_server))
}

/// Used when no person is configured: two groups, four people.
pub fn example_people() -> Vec<ExamplePerson> {
    let person = |login: &str, name: &str, groups: &[&str]| ExamplePerson {
        login: login.to_owned(),
        name: name.to_owned(),
        email: format!("{login}@example.com"),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    vec![
        person("alice", "Alice Tanaka", &["engineering"]),
        person("bob", "Bob Lindqvist", &["engineering"]),
        person("chika", "Chika Mori", &["finance"]),
        person("dario", "Dario Conti", &["engineering", "finance"]),
    ]
}

#[cfg(test)]
mod tests;
