//! What the operator says about one provider, and which settings would be a mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::oauth::TokenEndpointAuthMethod;
use protocol::secret::Secret;
use url::Url;

use super::super::ConnectorId;
use super::super::answer::protected;
use super::directory::Directory;
use crate::egress::Limits;

/// Where Microsoft keeps private accounts.
const PRIVATE_MICROSOFT: &str = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
/// Verifies addresses of any domain for private accounts too, and marks accounts of organisations by `hd`.
const GOOGLE: &str = "https://accounts.google.com";
/// Issuers at which anybody can get an account: without a restriction they would admit the whole world (P-13).
const OPEN_TO_THE_WORLD: [&str; 14] = [
    GOOGLE,
    PRIVATE_MICROSOFT,
    "https://access.line.me",
    "https://account.apple.com",
    "https://api.login.yahoo.com",
    "https://appleid.apple.com",
    "https://gitlab.com",
    "https://id.twitch.tv/oauth2",
    "https://limited.facebook.com",
    "https://slack.com",
    "https://www.amazon.com",
    "https://www.facebook.com",
    "https://www.linkedin.com",
    "https://www.linkedin.com/oauth",
];

/// One OpenID provider, as configured.
#[derive(Debug)]
pub struct OidcSettings {
    /// Its name.
    pub id: ConnectorId,
    /// What its button says.
    pub title: String,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there, if we have one.
    pub client_secret: Option<Secret>,
    /// How we authenticate; if absent, the first of basic, post that the provider advertises.
    pub authentication: Option<TokenEndpointAuthMethod>,
    /// Scopes beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that holds the groups, if there is one.
    pub groups_claim: Option<String>,
    /// Whether to ask the userinfo endpoint for what the ID token lacks.
    pub userinfo: bool,
    /// If not empty: only people with a verified e-mail address in one of these domains are admitted.
    pub email_domains: Vec<String>,
    /// Only people whose claims have one of these values each (`hd`, `tid`) are admitted.
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// For all that one step of a sign-in asks of the provider.
    pub deadline: Duration,
    /// Whether the provider is asked later about people who signed in, and how that is asked for.
    pub offline: Option<Offline>,
    /// Where it differs from the standard, or adds to it.
    pub quirks: Quirks,
}

/// How a provider is asked for a refresh token that outlives the session.
#[derive(Clone, Debug, Default)]
pub struct Offline {
    /// Further scopes.
    pub scopes: Vec<String>,
    /// Further parameters of the authentication request.
    pub parameters: Vec<(String, String)>,
}

/// Where a provider differs from the standard, or adds to it. The default is the standard.
#[derive(Debug, Default)]
pub struct Quirks {
    /// Further parameters of the authentication request.
    pub parameters: Vec<(String, String)>,
    /// The claims that make the subject, joined by a full stop; if empty, `sub`.
    pub subject: Vec<String>,
    /// The claim that says whether the address is verified, if it is not `email_verified`.
    pub email_verified_claim: Option<String>,
    /// If people of several tenants are admitted, each with an issuer of its own.
    pub tenants: Option<Tenants>,
    /// Who is asked for the groups.
    pub directory: Option<Directory>,
}

/// Several tenants of one provider.
#[derive(Debug)]
pub struct Tenants {
    /// What the discovery document says, and what each issuer is made from: with `{tenantid}` in it.
    pub issuer: String,
    /// Those that are admitted.
    pub admitted: Vec<String>,
}

impl Tenants {
    fn issuer_of(&self, tenant: &str) -> String {
        self.issuer.replace("{tenantid}", tenant)
    }

    /// Whether a token of that tenant is of that issuer, and the tenant is admitted.
    pub(super) fn issued(&self, issuer: &str, tenant: Option<&str>) -> bool {
        tenant.is_some_and(|tenant| {
            self.admitted.iter().any(|one| one == tenant) && self.issuer_of(tenant) == issuer
        })
    }

    /// Whether it is the issuer of a tenant that is admitted.
    pub(super) fn admits(&self, issuer: &str) -> bool {
        self.admitted.iter().any(|tenant| self.issuer_of(tenant) == issuer)
    }

    /// Whether a key that is for this issuer alone may be used.
    pub(super) fn knows(&self, issuer: &str) -> bool {
        issuer == self.issuer || self.admits(issuer)
    }
}

/// The settings cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcSettingsError {
    /// Anybody in the world can have an account there.
    #[error(
        "anybody can have an account at this issuer: name `email_domains` or a required claim such as `hd`"
    )]
    AdmitsEverybody,
    /// The method of authentication and the secret do not fit.
    #[error("client_secret_basic and client_secret_post need a secret, none must not have one")]
    Authentication,
    /// The client identifier is empty.
    #[error("the client id is empty")]
    ClientId,
    /// Not an issuer identifier (OpenID Connect Discovery 1.0, section 3).
    #[error("the issuer is an https url without userinfo, query and fragment; http only on loopback")]
    Issuer,
}

impl OidcSettings {
    pub(super) fn verify(&self) -> Result<(), OidcSettingsError> {
        let issuer = Url::parse(&self.issuer).map_err(|_| OidcSettingsError::Issuer)?;
        let plain = issuer.username().is_empty()
            && issuer.password().is_none()
            && issuer.query().is_none()
            && issuer.fragment().is_none();
        if !plain || !protected(&issuer) {
            return Err(OidcSettingsError::Issuer);
        }
        if self.quirks.tenants.as_ref().is_some_and(|tenants| tenants.admitted.is_empty()) {
            return Err(OidcSettingsError::AdmitsEverybody);
        }
        if self.client_id.is_empty() {
            return Err(OidcSettingsError::ClientId);
        }
        let fits = match self.authentication {
            Some(TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost) => {
                self.client_secret.is_some()
            }
            Some(TokenEndpointAuthMethod::None) => self.client_secret.is_none(),
            // There is no key of ours that a provider would know.
            Some(TokenEndpointAuthMethod::PrivateKeyJwt) => false,
            None => true,
        };
        if !fits {
            return Err(OidcSettingsError::Authentication);
        }
        let open = OPEN_TO_THE_WORLD.contains(&self.issuer.trim_end_matches('/'));
        if open && self.email_domains.is_empty() && self.required_claims.is_empty() {
            return Err(OidcSettingsError::AdmitsEverybody);
        }
        Ok(())
    }

    /// Whether a verified address in a domain does not yet say that the domain's owner knows the account: somebody
    /// who has left may keep a private account with the address that was theirs.
    pub(super) fn marks_organisations(&self) -> bool {
        self.issuer.trim_end_matches('/') == GOOGLE
    }

    /// For what is asked on behalf of one person.
    pub(super) fn limits(&self, max_body: usize) -> Limits {
        Limits { total: self.deadline, max_body }
    }

    /// For a document that others wait for too: it fails while they still have time to be told.
    pub(super) fn shared_limits(&self, max_body: usize) -> Limits {
        Limits { total: self.deadline / 2, max_body }
    }

    /// Whether a callback or token may come from there.
    pub(super) fn is_issuer(&self, issuer: &str) -> bool {
        match &self.quirks.tenants {
            Some(tenants) => tenants.admits(issuer),
            None => self.issuer == issuer,
        }
    }

    pub(super) fn scope(&self) -> String {
        let mut scope = String::from("openid");
        let offline = self.offline.iter().flat_map(|offline| &offline.scopes);
        for token in self.scopes.iter().chain(offline).filter(|token| token.as_str() != "openid") {
            scope.push(' ');
            scope.push_str(token);
        }
        scope
    }
}
