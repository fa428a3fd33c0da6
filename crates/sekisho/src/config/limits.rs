//! `[limits]`: what one caller, and all together, may use.

use std::time::Duration;

use ipnet::IpNet;

use super::parse;
use super::reader::Section;
use super::settings::settings;

settings! {
    /// What one address (for IPv6, one /64 network, and four times as much a /48), and all together, may use. Over a
    /// rate the answer is 429 with `Retry-After`, over a size 413, over a number of connections they wait. Each node
    /// counts for itself: behind a balancer, N nodes let through up to N times as much.
    Limits = "[limits]" {
        /// Registrations a second from one address; ten times as many at once. Registering stores nothing.
        registrations_per_second: u64 = "20", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Authorization requests and pages a second from one address; ten times as many at once.
        pages_per_second: u64 = "20", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Token and revocation requests a second from one address; ten times as many at once. A whole
        /// office may share one address.
        token_requests_per_second: u64 = "100", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Token and revocation requests a second of one client at one address; ten times as many at once.
        client_requests_per_second: u64 = "10", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Access tokens a second that one address may present at MCP endpoints and that are no good; ten times as many
        /// at once. Over it, tokens that this node has verified before go on working, and any other from there is not
        /// looked at.
        bad_tokens_per_second: u64 = "50", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Introspections and readings of the revocation feed a second from one address, which is where an MCP server of
        /// this house asks from; ten times as many at once.
        introspections_per_second: u64 = "10000", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Sign-ins that one address, or one /64 network of IPv6, may have begun and not finished.
        pending_per_address: u64 = "200", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Sign-ins that may be begun and not finished in all.
        pending_in_all: u64 = "100000", "100 to 10000000", parse::number::<100, 10_000_000>;
        /// Connections at the same time.
        connections: u64 = "20000", "10 to 1000000", parse::number::<10, 1_000_000>;
        /// Connections of one address at the same time; further ones are closed. Trusted proxies and the machine itself
        /// may have any number.
        connections_per_address: u64 = "1000", "10 to 1000000", parse::number::<10, 1_000_000>;
        /// Calls of one person in progress at the same time, on one node; one more is 429.
        calls_per_person: u64 = "1024", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Streams of one person that stand by themselves, on one node: subscriptions, and the GET streams of older
        /// clients. One more is 429. An answer that streams counts as a call.
        streams_per_person: u64 = "64", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// The body of one MCP message, in bytes.
        message_bytes: u64 = "4194304", "1024 to 67108864", parse::number::<1_024, 67_108_864>;
        /// How long a stream may outlive its access token. It ends within 5 seconds when its grant is
        /// revoked, whatever this says.
        stream_grace: Duration = "'1h'", "0s to 1d", parse::duration::<0, 86_400>;
        /// How long answers may take to finish when Sekisho is stopped.
        stop_grace: Duration = "'10s'", "0s to 10m", parse::duration::<0, 600>;
    }
}

settings! {
    /// A known network, which is one caller with budgets of its own in place of those of its addresses: the cloud of a
    /// vendor from which many people's clients call.
    NetworkLimits = "[[limits.network]]" {
        /// How it is called in the log.
        name: String = required, "a letter, then up to 30 letters, digits and -", parse::name;
        /// Its ranges of addresses. An address that is in two known networks belongs to the first.
        networks: Vec<IpNet> = required, "a list of networks such as [\"203.0.113.0/24\"]", parse::networks;
        /// Registrations a second; ten times as many at once.
        registrations_per_second: u64 = "200", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Authorization requests and pages a second; ten times as many at once.
        pages_per_second: u64 = "200", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Token and revocation requests a second; ten times as many at once.
        token_requests_per_second: u64 = "1000", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Token and revocation requests a second of one client there; ten times as many at once.
        client_requests_per_second: u64 = "100", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Access tokens a second that are presented from there and are no good; ten times as many at once.
        bad_tokens_per_second: u64 = "500", "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Connections at the same time.
        connections: u64 = "10000", "10 to 1000000", parse::number::<10, 1_000_000>;
    }
}

/// `[limits]` with its networks.
pub(super) fn read(section: &mut Section<'_>) -> Option<(Limits, Vec<NetworkLimits>)> {
    let limits = Limits::read(section);
    let networks = section.tables("network").into_iter().map(|mut section| {
        let network = NetworkLimits::read(&mut section);
        if network.as_ref().is_some_and(|network| network.networks.is_empty()) {
            section.mistake("networks", "names no network", "a list such as [\"203.0.113.0/24\"]");
        }
        section.finish();
        network
    });
    let networks = networks.collect::<Option<Vec<_>>>();
    Some((limits?, networks?))
}
