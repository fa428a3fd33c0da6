//! `[[identity_provider]]`: where people log in.

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// An identity provider: `kind = "oidc"` for any OpenID provider, `kind = "development"` for example
    /// people without passwords, which is refused unless everything is on the loopback interface.
    IdentityProvider = "[[identity_provider]]" {
        /// The name of the connector. People are known by it and the provider's identifier, so a change
        /// makes everybody somebody else.
        id: String = required, "a name: a letter, then letters, digits and -", parse::name;
        /// What it is.
        kind: String = required, "\"oidc\" or \"development\"", parse::text;
        /// What people are shown.
        title: Option<String> = optional, "a text", parse::text;
    }
}

settings! {
    /// The settings of `kind = "oidc"`. Register Sekisho there with the redirect URI
    /// `PUBLIC_URL/login/callback/ID`.
    Oidc = "[[identity_provider]]" {
        /// The issuer; `/.well-known/openid-configuration` is read from it.
        issuer: String = required, "an https URL", parse::issuer;
        /// The id of Sekisho at the provider.
        client_id: String = required, "a text", parse::text;
        /// What is asked for.
        scopes: Vec<String> = "['openid', 'profile', 'email']", "a list that holds openid", parse::texts;
        /// The claim of the ID token that lists the person's groups.
        groups_claim: Option<String> = optional, "the name of a claim", parse::text;
        /// Only people with a verified e-mail address of these domains may log in.
        email_domains: Vec<String> = "[]", "a list of domains", parse::texts;
        /// Read the claims of the person from the userinfo endpoint as well.
        userinfo: bool = "false", "true or false", parse::boolean;
        /// Certificate authorities of the provider, in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
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
    /// Example people.
    Development(Vec<ExamplePerson>),
    /// An OpenID provider, and Sekisho's secret there.
    Oidc {
        /// The settings.
        settings: Oidc,
        /// `client_secret_file`, `client_secret_env` or `client_secret_command`.
        client_secret: Option<SecretSource>,
    },
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
        self.settings.title.as_deref().unwrap_or(&self.settings.id)
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
            Some("oidc") => Self::oidc(&mut section),
            Some(_) => {
                section.mistake("kind", "is not a kind of identity provider", "\"oidc\" or \"development\"");
                return None;
            }
            None => return None,
        };
        section.finish();
        Some(Self { settings: settings?, kind: kind? })
    }

    fn oidc(section: &mut Section<'_>) -> Option<IdentityProviderKind> {
        let settings = Oidc::read(section);
        let client_secret = SecretSource::read(section, "client_secret", false);
        let settings = settings?;
        if !settings.scopes.iter().any(|scope| scope == "openid") {
            section.mistake("scopes", "does not hold openid", "a list that holds openid");
            return None;
        }
        Some(IdentityProviderKind::Oidc { settings, client_secret: client_secret? })
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
