//! `[client_id_metadata_documents]`: clients whose id is the URL of a document about themselves (product.md, P-6).

use authorization_server::UnknownHosts;
use toml::de::DeValue;

use super::listeners::is_host_name;
use super::parse;
use super::settings::settings;

settings! {
    /// Clients whose `client_id` is an https URL, at which they publish a document about themselves
    /// (draft-ietf-oauth-client-id-metadata-document). The document is fetched when somebody signs in through such a
    /// client: over https, without redirects, at most 5 KiB within 8 seconds, only from addresses of the Internet, and
    /// only so often from each host. It is kept for as long as its host says, a day at most, and goes on for seven days
    /// while the host fails. A `[[client]]` with such an id is pinned: its document is never fetched, and what stands in
    /// the file is all that counts.
    ///
    /// With `[outbound_proxy]`, the name is resolved and judged here all the same, and the proxy is asked for the address.
    ClientIdMetadataDocuments = "[client_id_metadata_documents]" {
        /// What becomes of a client whose host is none of `known_hosts` and `private_hosts`. `allow`: it may be used.
        /// `ask`: its document is read, and the rules for clients decide. `refuse`: nothing is fetched from there, and the
        /// person is told so. With `refuse` and no known host there are no such clients, and the metadata says so.
        unknown_hosts: UnknownHosts = "'ask'", "\"allow\", \"ask\" or \"refuse\"", unknown_hosts;
        /// Hosts of clients that are known, letter for letter: not those below them. Without it, the well-known ones
        /// (`well_known_hosts_file` of `[clients]`); with it, these alone.
        known_hosts: Option<Vec<String>> = optional, "a list of host names, with `:PORT` unless it is 443", hosts;
        /// Hosts that may lead to addresses inside (loopback, private networks) and, with `:PORT`, use a port of their own.
        /// They are known hosts as well. Nobody else's URL leads there.
        private_hosts: Vec<String> = "[]", "a list of host names, with `:PORT` unless it is 443", hosts;
        /// Certificate authorities of such hosts, in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// Ask `[outbound_proxy]` for names, because names of the Internet cannot be resolved here. Which addresses they
        /// may lead to is then for the proxy to judge: it must keep strangers' names away from what is inside.
        proxy_resolves: bool = "false", "true or false", parse::boolean;
    }
}

impl ClientIdMetadataDocuments {
    /// All hosts that are named here.
    #[must_use]
    pub fn named_hosts(&self) -> Vec<String> {
        self.known_hosts.iter().flatten().chain(&self.private_hosts).cloned().collect()
    }
}

fn unknown_hosts(value: &DeValue<'_>) -> Result<UnknownHosts, String> {
    match parse::text(value)?.as_str() {
        "allow" => Ok(UnknownHosts::Allow),
        "ask" => Ok(UnknownHosts::Ask),
        "refuse" => Ok(UnknownHosts::Refuse),
        _ => Err("is none of the three".to_owned()),
    }
}

fn hosts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let hosts = parse::texts(value)?;
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0 && port != 443) && !port.starts_with('0');
    let is_host = |host: &String| match host.split_once(':') {
        Some((name, port)) => is_name(name) && is_port(port),
        None => is_name(host),
    };
    if hosts.iter().all(is_host) {
        Ok(hosts)
    } else {
        Err("holds something that is neither a host name in small letters, nor one with a port other than 443".to_owned())
    }
}

/// A host name, or an address of IPv4 for tests on one machine.
fn is_name(name: &str) -> bool {
    is_host_name(name) || name.parse::<std::net::Ipv4Addr>().is_ok()
}
