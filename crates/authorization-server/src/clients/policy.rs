//! Which clients may ask people at all, in the whole organisation (product.md, P-7): by the host that vouches, by client, or
//! by kind. One pure function; who asks it reads the rules and acts on the answer.
//!
//! The strictest word counts. A fingerprint blocks and never allows (P-5). An approval is for one client and one place, or
//! for a host; it lifts *ask* and nothing else.

use std::time::Duration;

use protocol::oauth::{ClientId, ClientIdKind, Destination};
use store::ClientRule;
use thiserror::Error;

use super::Client;

/// What is done about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It may ask people.
    Allow,
    /// An administrator is asked first.
    Ask,
    /// It may not.
    Block,
}

/// A host, or all hosts below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    below: bool,
}

/// A text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a host such as `client.example`, or `*.client.example` for all below it")]
pub struct NotAHost;

impl HostPattern {
    /// Reads `client.example` or `*.client.example`, in lower case.
    ///
    /// # Errors
    /// [`NotAHost`].
    pub fn parse(text: &str) -> Result<Self, NotAHost> {
        let (host, below) = text.strip_prefix("*.").map_or((text, false), |host| (host, true));
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if host.len() <= 253 && host.split('.').all(label) {
            Ok(Self { host: host.to_owned(), below })
        } else {
            Err(NotAHost)
        }
    }

    pub(super) fn matches(&self, host: &str) -> bool {
        if self.below {
            host.strip_suffix(&self.host).is_some_and(|before| before.ends_with('.') && before.len() > 1)
        } else {
            host == self.host
        }
    }
}

/// Whom a rule of the operator names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// One client.
    Client(ClientId),
    /// Clients that are called back there, or that it vouches for.
    Host(HostPattern),
}

/// The operator's rules.
#[derive(Debug, Clone)]
pub struct ClientPolicy {
    /// The organisation's own hosts: a client that is called back there does not leave it.
    pub inside: Vec<HostPattern>,
    /// Clients that are called back on the person's own machine.
    pub loopback: Standing,
    /// Rules by name.
    pub named: Vec<(Named, Standing)>,
    /// Clients that are called back at any other host.
    pub outside: Standing,
    /// Clients that are called back by a private-use scheme.
    pub private_use: Standing,
    /// How long a person may wait for an administrator.
    pub wait: Duration,
    /// Hosts of clients that many know (`well_known_hosts.txt`).
    pub well_known: Vec<HostPattern>,
}

impl ClientPolicy {
    /// Everybody may ask: for one machine and for tests.
    #[must_use]
    pub const fn everybody() -> Self {
        Self {
            inside: Vec::new(),
            loopback: Standing::Allow,
            named: Vec::new(),
            outside: Standing::Allow,
            private_use: Standing::Allow,
            wait: Duration::from_secs(60 * 60),
            well_known: Vec::new(),
        }
    }

    /// The shipped list of well-known hosts.
    #[must_use]
    pub fn shipped() -> Vec<HostPattern> {
        Self::parse_hosts(include_str!("well_known_hosts.txt")).unwrap_or_default()
    }

    /// Reads a list of hosts: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// The number of the first line that is none.
    pub fn parse_hosts(text: &str) -> Result<Vec<HostPattern>, usize> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(number, line)| (number + 1, line.split_once('#').map_or(line, |(host, _)| host).trim()));
        lines
            .filter(|(_, host)| !host.is_empty())
            .map(|(number, host)| HostPattern::parse(host).map_err(|_| number))
            .collect()
    }

    fn is_inside(&self, host: &str) -> bool {
        self.inside.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether what the client learns leaves the organisation: it is called back at somebody else's host.
    pub(crate) fn leaves(&self, to: &Destination) -> bool {
        match to {
            Destination::Https(host) => !self.is_inside(host),
            Destination::Loopback(_) | Destination::PrivateScheme(_) => false,
        }
    }

    /// Whether the client could be called back at somebody else's host.
    pub(crate) fn may_leave(&self, client: &Client) -> bool {
        client.metadata.redirect_uris.iter().any(|uri| self.leaves(uri.destination()))
    }

    fn of_kind(&self, to: &Destination) -> Standing {
        match to {
            Destination::Https(host) if self.is_inside(host) || self.is_well_known(host) => Standing::Allow,
            Destination::Https(_) => self.outside,
            Destination::Loopback(_) => self.loopback,
            Destination::PrivateScheme(_) => self.private_use,
        }
    }

    fn is_well_known(&self, host: &str) -> bool {
        self.well_known.iter().any(|pattern| pattern.matches(host))
    }
}

/// What is asked.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a Client,
    /// What the MCP server says of clients that lead outside.
    pub(crate) outside_here: Standing,
    pub(crate) to: &'a Destination,
}

/// The answer, from lenient to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judged {
    Allowed,
    Unapproved,
    /// It leads outside, and the MCP server is not for such.
    OutsideHere,
    Blocked,
}

/// Whether nobody may use this client, wherever it leads.
pub(crate) fn is_blocked(policy: &ClientPolicy, rules: &[ClientRule], client: &Client) -> bool {
    let hosts = hosts(client);
    let blocked = |rule: &ClientRule| match rule {
        ClientRule::BlockFingerprint(hash) => *hash == client.metadata.fingerprint(),
        ClientRule::BlockHost(host) => hosts.contains(&host.as_str()),
        ClientRule::AllowClient { .. } | ClientRule::AllowHost(_) => false,
    };
    let named = policy.named.iter().filter(|(_, standing)| *standing == Standing::Block);
    rules.iter().any(blocked) || named.into_iter().any(|(named, _)| is_meant(named, client, &hosts))
}

/// The same of a client of which nothing is known but its id, with the host in it.
pub(super) fn is_blocked_by_id(policy: &ClientPolicy, rules: &[ClientRule], id: &ClientId) -> bool {
    let host = host_of_document(id);
    let blocked = |rule: &ClientRule| match rule {
        ClientRule::BlockHost(blocked) => host == Some(blocked.as_str()),
        ClientRule::AllowClient { .. } | ClientRule::AllowHost(_) | ClientRule::BlockFingerprint(_) => false,
    };
    let is_meant = |named: &Named| match named {
        Named::Client(named) => named == id,
        Named::Host(pattern) => host.is_some_and(|host| pattern.matches(host)),
    };
    let mut named = policy.named.iter().filter(|(_, standing)| *standing == Standing::Block);
    rules.iter().any(blocked) || named.any(|(named, _)| is_meant(named))
}

/// Decides whether this client may ask a person for this MCP server, to be called back there.
pub(crate) fn decide(policy: &ClientPolicy, rules: &[ClientRule], asking: &Asking<'_>) -> Judged {
    let Asking { client, outside_here, to } = asking;
    if is_blocked(policy, rules, client) {
        return Judged::Blocked;
    }
    let limit = if policy.leaves(to) { *outside_here } else { Standing::Allow };
    if limit == Standing::Block {
        return Judged::OutsideHere;
    }
    match by_operator(policy, client, to).max(limit) {
        Standing::Allow => Judged::Allowed,
        Standing::Ask if rules.iter().any(|rule| approves(rule, client, to)) => Judged::Allowed,
        Standing::Ask => Judged::Unapproved,
        Standing::Block => Judged::Blocked,
    }
}

/// The same of a client without any place to be called back at, which is one that the operator wrote down: what is said of it by
/// name. An approval of it, wherever it was to be called back when it was given, lifts *ask*.
pub(crate) fn decide_without_place(policy: &ClientPolicy, rules: &[ClientRule], client: &Client) -> Judged {
    if is_blocked(policy, rules, client) {
        return Judged::Blocked;
    }
    let vouching: Vec<&str> = vouching_host(client).into_iter().collect();
    let named = policy.named.iter().filter(|(named, _)| is_meant(named, client, &vouching));
    let is_of_it = |rule: &ClientRule| matches!(rule, ClientRule::AllowClient { client_id, .. } if *client_id == client.id);
    match named.map(|(_, standing)| *standing).max().unwrap_or(Standing::Allow) {
        Standing::Allow => Judged::Allowed,
        Standing::Ask if rules.iter().any(is_of_it) => Judged::Allowed,
        Standing::Ask => Judged::Unapproved,
        Standing::Block => Judged::Blocked,
    }
}

/// What the configuration says of the client and of where it leads in this request.
fn by_operator(policy: &ClientPolicy, client: &Client, to: &Destination) -> Standing {
    let vouching: Vec<&str> = vouching_host(client).into_iter().chain(https_host(to)).collect();
    let named = policy.named.iter().filter(|(named, _)| is_meant(named, client, &vouching));
    if let Some(strictest) = named.map(|(_, standing)| *standing).max() {
        return strictest;
    }
    if client.id.kind() == ClientIdKind::PreRegistered {
        // The operator wrote it down.
        return Standing::Allow;
    }
    let vouched =
        vouching_host(client).is_some_and(|host| policy.is_inside(host) || policy.is_well_known(host));
    if vouched { Standing::Allow } else { policy.of_kind(to) }
}

/// An approval holds for the place it was given for, or for the host that vouches.
fn approves(rule: &ClientRule, client: &Client, to: &Destination) -> bool {
    match rule {
        ClientRule::AllowClient { client_id, destination } => {
            *client_id == client.id && *destination == destination_text(to)
        }
        ClientRule::AllowHost(host) => {
            https_host(to) == Some(host) || vouching_host(client) == Some(host.as_str())
        }
        ClientRule::BlockFingerprint(_) | ClientRule::BlockHost(_) => false,
    }
}

fn is_meant(named: &Named, client: &Client, hosts: &[&str]) -> bool {
    match named {
        Named::Client(id) => *id == client.id,
        Named::Host(pattern) => hosts.iter().any(|host| pattern.matches(host)),
    }
}

/// The host whose document the client is (draft-ietf-oauth-client-id-metadata-document).
fn vouching_host(client: &Client) -> Option<&str> {
    match client.id.kind() {
        ClientIdKind::MetadataDocument => host_of_document(&client.id),
        ClientIdKind::Dynamic | ClientIdKind::PreRegistered => None,
    }
}

pub(super) fn host_of_document(id: &ClientId) -> Option<&str> {
    let rest = id.as_str().strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(authority.split_once(':').map_or(authority, |(host, _)| host)).filter(|host| !host.is_empty())
}

fn https_host(to: &Destination) -> Option<&str> {
    match to {
        Destination::Https(host) => Some(host),
        Destination::Loopback(_) | Destination::PrivateScheme(_) => None,
    }
}

/// Every host that the client has to do with.
pub(crate) fn hosts(client: &Client) -> Vec<&str> {
    let redirects = client.metadata.redirect_uris.iter().filter_map(|uri| https_host(uri.destination()));
    vouching_host(client).into_iter().chain(redirects).collect()
}

/// Where a client is called back, as an approval says it: any port and spelling of the person's own machine are one place.
#[must_use]
pub fn destination_text(to: &Destination) -> String {
    match to {
        Destination::Https(host) => host.clone(),
        Destination::Loopback(_) => "loopback".to_owned(),
        Destination::PrivateScheme(scheme) => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests;
