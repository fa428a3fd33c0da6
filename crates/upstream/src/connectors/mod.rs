//! Identity providers, each behind one [`Connector`]: a person is sent away and comes back as an [`Identity`].
//!
//! A connector verifies what the provider says; it never decides whether that person may do anything here, and
//! never sees a client, a grant or one of our tokens.

mod answer;
pub mod atlassian;
pub mod development;
mod error;
pub mod github;
pub mod offline;
pub mod oidc;
mod person;
pub mod profile;
mod returned;

pub(crate) use self::returned::Returned;

use std::fmt;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use protocol::oauth::form::{Form, Parameter};
use protocol::oauth::{CodeChallenge, CodeVerifier};
use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};

use self::development::Development;
pub use self::error::{CheckError, ConnectorError, Denial, Malformation, Refusal};
use self::offline::{Absence, Absent, OfflineToken, Present};

/// Longest authorization code or state that is taken from a callback.
const LONGEST_PARAMETER: usize = 4096;

/// The name of a connector in the configuration, in `/login/callback/{connector}` and in the subject of a user.
///
/// `[a-z][a-z0-9-]{0,30}`, as all names in paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectorId(String);

impl ConnectorId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ConnectorId {
    type Err = ConnectorIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(|c: char| c.is_ascii_lowercase()).ok_or(ConnectorIdError)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if rest.len() > 30 || !rest.bytes().all(allowed) {
            return Err(ConnectorIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ConnectorId {
    type Error = ConnectorIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ConnectorId> for String {
    fn from(id: ConnectorId) -> Self {
        id.0
    }
}

/// The text is not the name of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a connector is named by a lower-case letter and up to 30 lower-case letters, digits and hyphens")]
pub struct ConnectorIdError;

/// What the person is sent to the provider with (OpenID Connect Core 1.0, section 3.1.2.1).
///
/// State, nonce and challenge are minted by the caller, who must remember them for [`Callback`].
#[derive(Clone, Copy)]
pub struct LegRequest<'a> {
    /// Opaque to the provider; finds the authorization again.
    pub state: &'a str,
    /// Comes back inside the ID token.
    pub nonce: &'a str,
    /// S256 challenge of the verifier that the callback brings.
    pub code_challenge: &'a CodeChallenge,
    /// Our `/login/callback/{connector}`, absolute; the same text in the callback.
    pub redirect_uri: &'a str,
    /// Whom the client believes the person to be.
    pub login_hint: Option<&'a str>,
    /// The person must prove who they are again, even with a session at the provider.
    pub reauthenticate: bool,
}

/// What came back to `/login/callback/{connector}`, beside what the leg remembers.
///
/// That `state` belongs to this browser and to this connector has been verified by the caller (CB-01, CB-04).
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// The query of the callback.
    pub form: &'a Form,
    /// As in the [`LegRequest`].
    pub redirect_uri: &'a str,
    /// As in the [`LegRequest`].
    pub nonce: &'a str,
    /// Answers the challenge of the [`LegRequest`].
    pub code_verifier: &'a CodeVerifier,
    /// If the leg demanded reauthentication: when it began. The person must have authenticated since.
    pub not_before_auth: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

// State and nonce are what binds a leg to its browser: neither is printed.
impl fmt::Debug for LegRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegRequest").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

/// Who signed in, as the provider vouches for it (P-11).
///
/// Connector and subject are the identity; everything else may change, and none of it ever links two users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches.
    pub connector: ConnectorId,
    /// The provider's immutable identifier; 1 to 255 characters. Never an e-mail address.
    pub subject: String,
    /// A name to show. Chosen by the person: proves nothing.
    pub name: Option<String>,
    /// An e-mail address, only if the provider verified it.
    pub email: Option<String>,
    /// Groups, sorted, each once.
    pub groups: Vec<String>,
    /// When the person proved who they are, if the provider says so.
    pub authenticated_at: Option<Timestamp>,
    /// The provider's name of the session there (`sid`), by which it may say later that the session is over.
    pub session: Option<String>,
    /// By what the provider can be asked later whether the person is still there, if that is wanted and it gave it.
    pub offline: Option<OfflineToken>,
}

/// One identity provider.
pub trait Connector: Send + Sync + fmt::Debug {
    /// Its name in the configuration.
    fn id(&self) -> &ConnectorId;

    /// What its button says.
    fn title(&self) -> &str;

    /// Where to send the person.
    ///
    /// # Errors
    /// If the provider's endpoints are not known and cannot be learnt now.
    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>>;

    /// Verifies what came back and says who it is.
    ///
    /// # Errors
    /// Whatever keeps the person from being known; nothing is half believed.
    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>>;

    /// Whether it can be asked later about people who signed in: then [`Identity::offline`] is what it is asked by.
    fn keeps_offline_access(&self) -> bool {
        false
    }

    /// Asks whether a person who signed in is still there.
    ///
    /// # Errors
    /// [`Absence`], which says whether the provider said no, or nothing.
    fn ask_again<'a>(&'a self, _: Absent<'a>) -> BoxFuture<'a, Result<Present, Absence>> {
        Box::pin(async { Err(ConnectorError::Unreachable.into()) })
    }

    /// Tries the provider out for `sekisho check` and says in one sentence what was found. `redirect_uri` is that of the
    /// legs.
    ///
    /// # Errors
    /// If nobody could sign in as things are, and which setting is wrong if that can be told.
    fn check<'a>(&'a self, redirect_uri: &'a str) -> BoxFuture<'a, Result<String, CheckError>>;

    /// The connector that has its login page on our side, if it is that one.
    fn development(&self) -> Option<&Development> {
        None
    }
}

/// Reads a parameter that may occur at most once (RFC 6749, section 3.1); too long is as bad as twice.
fn single<'a>(form: &'a Form, name: &str) -> Result<Option<&'a str>, Malformation> {
    match form.get(name) {
        Parameter::Absent => Ok(None),
        Parameter::Once(value) if value.len() <= LONGEST_PARAMETER => Ok(Some(value)),
        Parameter::Once(_) => Err(Malformation::CallbackIncomplete),
        Parameter::Repeated => Err(Malformation::CallbackRepeated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_is_named_as_a_path_segment_can_be() {
        for name in ["a", "idp", "okta-2", &format!("a{}", "b".repeat(30))] {
            assert_eq!(name.parse::<ConnectorId>().map(String::from).as_deref(), Ok(name));
        }
        for name in ["", "-a", "2a", "A", "a_b", "a/b", "a.b", "é", &format!("a{}", "b".repeat(31))] {
            assert_eq!(name.parse::<ConnectorId>(), Err(ConnectorIdError), "{name}");
        }
    }
}
