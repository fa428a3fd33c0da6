//! What an MCP server is sent to say who asks: the identity assertion, a credential, both or neither (product.md, P-14).
//!
//! A credential is made from what the house was given for that MCP server and from nothing else: there is no way here from
//! the client's own token (attacks PX-05; requirements RS-176). Its value is never printed.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use protocol::id::{Connection, Id};
use protocol::secret::Secret;
use thiserror::Error;
use upstream::oauth_client::{OauthClient, OauthClientError};

use super::connection::Held;
use super::givers::Source;
use super::obtained::Obtained;
use super::question::{self, Subject};
use super::told::{self, ToConnect};
use crate::audit::Who;
use crate::call::{Asked, Operation};
use crate::error::CallError;
use crate::media::{IDENTITY, MCP_PARAM};
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::session::Session;

/// What stands before the value in `Authorization` if nothing else is said (RFC 6750, section 2.1).
const BEARER: &str = "Bearer";

/// Headers that are ours to write, or that are of one connection alone (RFC 9110, section 7.6.1).
const TAKEN: [&str; 25] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// What the names of such headers begin with: those of MCP, ours, and those by which proxies say who asks.
const TAKEN_BEGINNINGS: [&str; 4] = ["mcp-", MCP_PARAM, "sekisho-", "x-forwarded-"];

/// A credential that everybody's calls to one MCP server carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedCredential {
    name: HeaderName,
    value: HeaderValue,
}

/// Why there is no such credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FixedCredentialError {
    /// The name is that of no header.
    #[error("is not the name of a header")]
    Name,
    /// The header is one that Sekisho writes itself, or one of the connection.
    #[error("is a header that Sekisho writes itself, or one of the connection alone")]
    Taken,
    /// The scheme is none.
    #[error("is not the name of an authentication scheme")]
    Scheme,
    /// The value holds what no header may hold.
    #[error("holds something else than visible ASCII characters")]
    Value,
}

impl FixedCredential {
    /// The value `secret` in the header `name`, behind `scheme`; `None` is `Bearer` in `Authorization`, and nothing in any
    /// other header.
    ///
    /// # Errors
    /// [`FixedCredentialError`] if no MCP server could be sent this.
    pub fn new(name: &str, scheme: Option<&str>, secret: &Secret) -> Result<Self, FixedCredentialError> {
        let name = Self::header(name)?;
        let scheme = match scheme {
            None if name == AUTHORIZATION => BEARER,
            None => "",
            Some(scheme) => scheme,
        };
        if !scheme.is_empty() && !Self::is_scheme(scheme) {
            return Err(FixedCredentialError::Scheme);
        }
        let value = secret.expose(|secret| {
            let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
            let text = if scheme.is_empty() { secret.to_owned() } else { format!("{scheme} {secret}") };
            if text.bytes().all(is_plain) { HeaderValue::try_from(text).ok() } else { None }
        });
        let mut value = value.ok_or(FixedCredentialError::Value)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// Whether this may be the name of an authentication scheme (RFC 9110, section 11.1).
    #[must_use]
    pub fn is_scheme(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(is_tchar)
    }

    /// The header of this name, if a credential may stand in it.
    ///
    /// # Errors
    /// [`FixedCredentialError::Name`] or [`FixedCredentialError::Taken`].
    pub fn header(name: &str) -> Result<HeaderName, FixedCredentialError> {
        let name = HeaderName::try_from(name).map_err(|_| FixedCredentialError::Name)?;
        let text = name.as_str();
        let taken = TAKEN.contains(&text) || TAKEN_BEGINNINGS.iter().any(|one| text.starts_with(one));
        if taken { Err(FixedCredentialError::Taken) } else { Ok(name) }
    }
}

/// `tchar` (RFC 9110, section 5.6.2), of which the name of a scheme consists.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Which credential the calls to an MCP server carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// None.
    None,
    /// The same one for everybody.
    Fixed(FixedCredential),
    /// The person's own, of the account that they connected at this provider.
    Connection(Provider),
    /// One that is obtained when it is needed, for each person or for all, and held in memory.
    Obtained(Source),
}

/// Where people connect accounts for an MCP server. Two are the same if they are one.
#[derive(Debug, Clone)]
pub struct Provider(pub Arc<OauthClient>);

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Provider {}

/// A credential on its way to the MCP server that it is for.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamCredential {
    name: HeaderName,
    value: HeaderValue,
}

impl UpstreamCredential {
    /// An access token (RFC 6750, section 2.1).
    pub(super) fn bearer(token: &Secret) -> Option<Self> {
        let mut value = token.expose(|token| HeaderValue::try_from(format!("{BEARER} {token}"))).ok()?;
        value.set_sensitive(true);
        Some(Self { name: AUTHORIZATION, value })
    }
}

impl From<&FixedCredential> for UpstreamCredential {
    fn from(fixed: &FixedCredential) -> Self {
        Self { name: fixed.name.clone(), value: fixed.value.clone() }
    }
}

/// All that says to an MCP server who asks.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    assertion: Option<HeaderValue>,
    credential: Option<UpstreamCredential>,
    /// What has to be done about it if the MCP server does not take it.
    pub(crate) behind: Option<Behind>,
}

/// Of what a credential is that can be had anew.
#[derive(Debug, Clone)]
pub(crate) enum Behind {
    /// A person's connection.
    Connection(Arc<Held>),
    /// It was obtained for this.
    Obtained(Arc<Obtained>),
}

impl Behind {
    fn credential(&self) -> Option<UpstreamCredential> {
        match self {
            Self::Connection(held) => Some(held.credential.clone()),
            Self::Obtained(obtained) => obtained.credential(),
        }
    }

    /// The connection, if it is one.
    pub(crate) fn connection(&self) -> Option<Id<Connection>> {
        match self {
            Self::Connection(held) => Some(held.id),
            Self::Obtained(_) => None,
        }
    }

    /// What the MCP server says of a call with it.
    pub(crate) fn answered(&self, status: StatusCode) {
        match self {
            Self::Obtained(obtained) if status != StatusCode::UNAUTHORIZED => obtained.taken(),
            Self::Connection(_) | Self::Obtained(_) => {}
        }
    }
}

impl Credentials {
    /// The same with this credential.
    pub(crate) fn with(self, behind: Behind) -> Self {
        Self { credential: behind.credential(), behind: Some(behind), ..self }
    }

    /// Writes them among the headers of a request.
    pub(crate) fn put(self, headers: &mut HeaderMap) {
        if let Some(assertion) = self.assertion {
            headers.insert(IDENTITY.clone(), assertion);
        }
        if let Some(credential) = self.credential {
            headers.insert(credential.name, credential.value);
        }
    }
}

impl ResourceServer {
    /// What the MCP server of a call is sent to say who asks.
    pub(crate) async fn credentials(&self, who: &Who) -> Result<Credentials, CallReason> {
        let settings = who.server.settings();
        let assertion = if settings.assertion { Some(self.assertions.value(who)?) } else { None };
        let nothing = Credentials { assertion, credential: None, behind: None };
        Ok(match &settings.credential {
            Credential::None => nothing,
            Credential::Fixed(fixed) => {
                Credentials { credential: Some(UpstreamCredential::from(fixed)), ..nothing }
            }
            Credential::Connection(_) => {
                // In a place of its own, as all that few calls wait for: every call's future is as large as its largest wait.
                let found = Box::pin(self.vault().find(who.verdict.access.user, &who.server));
                let held = found.await?;
                nothing.with(Behind::Connection(held))
            }
            Credential::Obtained(source) => {
                nothing.with(Behind::Obtained(Box::pin(self.obtained(who, source)).await?))
            }
        })
    }

    /// Whether the MCP server would take another one as little as this.
    pub(crate) fn is_hopeless(&self, behind: &Behind) -> bool {
        match behind {
            Behind::Connection(_) => false,
            Behind::Obtained(obtained) => obtained.is_hopeless(self.clock.monotonic()),
        }
    }

    /// Another in the place of one that the MCP server takes no more.
    pub(crate) async fn instead_of(&self, behind: &Behind, who: &Who) -> Result<Behind, CallReason> {
        Ok(match behind {
            Behind::Connection(held) => {
                Behind::Connection(self.vault().instead_of(held, who.person.user, &who.server).await?)
            }
            Behind::Obtained(obtained) => Behind::Obtained(self.obtained_instead(obtained, who).await?),
        })
    }

    /// Refuses a call for which there is no credential. If the person has to connect an account, or
    /// to allow more there, the client is told where.
    pub(crate) fn without_credential(
        &self,
        asked: Asked,
        session: &Session,
        reason: CallReason,
    ) -> CallError {
        if let CallReason::Credential(OauthClientError::Rejected(why)) = reason {
            let body = told::refused(&asked, &asked.who().server.settings().title, why);
            let error = asked.refuse(reason);
            return match body {
                Some(body) => error.saying(body),
                None => error,
            };
        }
        let more = matches!(reason, CallReason::ConnectionTooNarrow);
        if !more && !matches!(reason, CallReason::ConnectionMissing | CallReason::ConnectionDead) {
            return asked.refuse(reason);
        }
        let who = asked.who();
        let (server, user) = (&who.server, who.verdict.access.user);
        let state = self.state_of_question(&asked);
        let id = protocol::id::Id::<()>::mint(self.clock.now(), &*self.vault().entropy).to_string();
        let to = ToConnect {
            url: &self.connect_link(user, server.name()),
            title: &server.settings().title,
            more,
            id: &id,
            declared: session.elicits_urls(),
            state: state.as_deref(),
        };
        match told::answer(&asked, &to) {
            Some(body) => asked.refuse(reason).saying(body),
            None => asked.refuse(reason),
        }
    }

    /// The state of the question that the person may be put about this call; none, if it was put and they said no.
    fn state_of_question(&self, asked: &Asked) -> Option<String> {
        let who = asked.who();
        let Operation::Call { call, body } = &asked.operation else { return None };
        let subject = Subject { user: who.verdict.access.user, server: who.server.name(), call, body };
        let (keys, now) = (self.vault().keys.load(), self.clock.now());
        let is_no = asked.answered.as_ref().is_some_and(|one| one.is_no_to(&keys.forms, &subject, now));
        (!is_no).then(|| question::state(&keys.forms, &subject, now))
    }
}

#[cfg(test)]
mod tests;
