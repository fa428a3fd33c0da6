//! What the two pages of a sign-in show, as plain data for the templates.
//!
//! Text that a client chose stands here as it came and is escaped by the template. Must never hold a code, a token
//! or a cookie.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use protocol::id::{Authorization, Id, Reference, User};
use protocol::oauth::{Destination, ResourceUri, ScopeToken, VerifiedRedirectUri};
use store::UserRecord;

use crate::consent::ConsentAnswer;
use crate::settings::Words;

/// What a request to the authorization endpoint leads to.
#[derive(Debug)]
pub enum Next {
    /// The person allowed it before, and that counts: the client is answered without a page (product.md, P-9).
    Answer(Box<ConsentAnswer>),
    /// An administrator must say first whether the client may be used (product.md, P-7).
    Approval(Id<Authorization>),
    /// A browser session is there: ask for consent.
    Consent(Box<ConsentPage>),
    /// Nobody is signed in, or must sign in again: the approval of this client before the upstream leg
    /// (product.md, P-10).
    Login(Box<LoginPage>),
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOnPage {
    /// The name it gave itself, or the operator gave it.
    pub name: Option<String>,
    /// Who stands behind that name.
    pub vouched: Vouching,
    /// The address that it asked from, if it is a device elsewhere that the person lets in (RFC 8628).
    pub asked_from: Option<String>,
    /// Where the browser goes afterwards: scheme, host and port are what a person should read.
    pub destination: Destination,
    /// The same, whole.
    pub redirect_uri: VerifiedRedirectUri,
}

/// Who stands behind a client's name (product.md, P-9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouching {
    /// The host (and port, if it is not the usual one) on which the client's metadata document lies. It vouches for what
    /// stands in it, not for the name.
    Host(String),
    /// Nobody: the client registered itself, and the name is its own claim.
    Nobody,
    /// The operator, who wrote the client into the configuration.
    Operator,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOnPage {
    /// The server's name in URLs.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its resource identifier, which is its URL.
    pub resource: ResourceUri,
}

/// The page before the upstream leg: names the client, where it leads and the MCP server, and lets the person
/// choose an identity provider.
#[derive(Debug)]
pub struct LoginPage {
    /// The sign-in.
    pub authorization: Id<Authorization>,
    /// Who is asking.
    pub client: ClientOnPage,
    /// What the client says of the person, if it has the form of an address: `Some` if people are led by their address.
    pub address: Option<String>,
    /// The identity providers that people choose.
    pub connectors: Vec<ConnectorOnPage>,
    /// Goes into the form.
    pub csrf: FormToken,
    /// Whether somebody may sign in by an emergency code at the moment.
    pub has_emergency: bool,
    /// Whether nobody is signed in in this browser: then the page goes on by itself when that changes.
    pub nobody: bool,
    /// Who is signed in already and may not use this MCP server: the reason why this page is shown.
    pub not_admitted: Option<Account>,
    /// For people to read out.
    pub reference: Reference,
    /// What is asked for.
    pub server: ServerOnPage,
}

/// One identity provider to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorOnPage {
    /// Its id, the value of the form.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// The page on which a person decides (product.md, P-9).
#[derive(Debug)]
pub struct ConsentPage {
    /// Who is signed in.
    pub account: Account,
    /// The sign-in.
    pub authorization: Id<Authorization>,
    /// Who is asking.
    pub client: ClientOnPage,
    /// Goes into the form.
    pub csrf: FormToken,
    /// Other MCP servers that may be allowed to the same client at once, each with what it would be allowed there.
    pub further: Vec<FurtherServer>,
    /// How long the permission lasts if it is used, and how long without use.
    pub lifetime: GrantLifetime,
    /// How long the person may allow it instead, shortest first.
    pub lives: Vec<Duration>,
    /// For people to read out.
    pub reference: Reference,
    /// What may be ticked.
    pub scopes: Vec<ScopeOnPage>,
    /// What is asked for.
    pub server: ServerOnPage,
}

/// The person who is signed in in this browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Verified e-mail address.
    pub email: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Our own id, shown when there is neither name nor address.
    pub user: Id<User>,
}

impl Account {
    pub(crate) fn of(user: &UserRecord) -> Self {
        Self { email: user.email.clone(), name: user.name.clone(), user: user.id }
    }
}

/// How long a permission lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantLifetime {
    /// Without use.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
}

/// One scope on the consent page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeOnPage {
    /// Whether it is ticked at first.
    pub ticked: bool,
    /// The scope token, the value of the form.
    pub token: ScopeToken,
    /// The operator's words for it, if there are any.
    pub words: Words,
}

/// Another MCP server on the consent page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherServer {
    /// Which.
    pub server: ServerOnPage,
    /// What the client would be allowed there.
    pub scopes: Vec<ScopeOnPage>,
}

/// Ties a form to one sign-in in one browser. Not a secret from the person; kept out of logs all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct FormToken(String);

impl FormToken {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The value of the hidden field.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormToken(..)")
    }
}

/// Who is calling: the address, after trusted proxies were believed.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The address.
    pub address: IpAddr,
    /// Under which reference they will be told if this is refused, where that is settled before: the event has it too.
    pub told: Option<Reference>,
}

impl Caller {
    /// The address that stands for all that cost the caller nothing: itself for IPv4, the first of its /64 for IPv6,
    /// since whoever has one address there has them all (product.md, P-20).
    pub(crate) fn network(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_an_ipv6_address_has_its_network() {
        let network =
            |text: &str| Caller { address: text.parse().unwrap(), told: None }.network().to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
