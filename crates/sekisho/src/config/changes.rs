//! What of a configuration may become another one while Sekisho runs, and what needs a restart.
//!
//! Every part is named here, so that a new one cannot be forgotten: what is not known to be safe to change is not
//! changed.

use super::Config;
use super::audit::Audit;
use super::house::House;
use super::limits::{Limits, NetworkLimits};

/// Which settings differ that cannot be changed while Sekisho runs, by name.
#[must_use]
pub fn needing_a_restart(running: &Config, read: &Config) -> Vec<&'static str> {
    let Config {
        // Roles and doors are made anew from these.
        clients: _,
        kept_arguments: _,
        trusted_issuers: _,
        documents: _,
        former_public_urls: _,
        present_public_url: _,
        identity_providers: _,
        mcp_servers: _,
        outbound_proxy: _,
        policy: _,
        policies: _,
        pre_registered: _,
        service_accounts: _,
        consent: _,
        tokens: _,
        workload_issuers: _,
        // Judged below, setting by setting.
        audit,
        house,
        limits,
        networks,
        telemetry,
        // Keys, record and sockets are opened once.
        acme,
        folder,
        keys,
        listeners,
        master_key,
        previous_master_key,
        store,
    } = read;
    let mut names = Vec::new();
    let mut fixed = |name: &'static str, differs: bool| {
        if differs {
            names.push(name);
        }
    };
    fixed("the folder of the file", *folder != running.folder);
    fixed("master_key", *master_key != running.master_key);
    fixed("previous_master_key", *previous_master_key != running.previous_master_key);
    fixed("[keys]", *keys != running.keys);
    // The key is made at the start.
    fixed("the first access_tokens = \"RS256\"", read.has_rs256() && !running.has_rs256());
    fixed("[store]", *store != running.store);
    fixed("[[listener]]", *listeners != running.listeners);
    fixed("[telemetry]", *telemetry != running.telemetry);
    fixed("[acme]", *acme != running.acme);
    fixed("[[limits.network]] (but for its rates)", !connections_as_before(&running.networks, networks));
    fixed(
        "audit.keep_calls, keep_tokens, keep_sign_ins, keep_security and keep_usage",
        kept(audit) != kept(&running.audit),
    );
    house_needs(&running.house, house, &mut fixed);
    limits_need(&running.limits, limits, &mut fixed);
    names
}

/// How long events are kept: the one who removes them was told at the start.
const fn kept(audit: &Audit) -> [Option<std::time::Duration>; 5] {
    let Audit { read_only_calls: _, keep_calls, keep_tokens, keep_sign_ins, keep_security, keep_usage } =
        audit;
    [*keep_calls, *keep_tokens, *keep_sign_ins, *keep_security, *keep_usage]
}

fn house_needs(running: &House, read: &House, fixed: &mut impl FnMut(&'static str, bool)) {
    let House {
        allowed_origins: _,
        default_server: _,
        forwarded_header: _,
        trusted_proxies: _,
        pages_url,
        public_url,
        listen,
        metrics_listen,
    } = read;
    fixed("public_url", *public_url != running.public_url);
    fixed("pages_url", *pages_url != running.pages_url);
    fixed("listen", *listen != running.listen);
    fixed("metrics_listen", *metrics_listen != running.metrics_listen);
}

fn limits_need(running: &Limits, read: &Limits, fixed: &mut impl FnMut(&'static str, bool)) {
    let Limits {
        registrations_per_second: _,
        pages_per_second: _,
        token_requests_per_second: _,
        client_requests_per_second: _,
        bad_tokens_per_second: _,
        introspections_per_second: _,
        pending_per_address: _,
        pending_in_all: _,
        message_bytes: _,
        stream_grace: _,
        connections,
        connections_per_address,
        calls_per_person,
        streams_per_person,
        stop_grace,
    } = read;
    fixed("limits.calls_per_person", *calls_per_person != running.calls_per_person);
    fixed("limits.streams_per_person", *streams_per_person != running.streams_per_person);
    fixed("limits.connections", *connections != running.connections);
    fixed("limits.connections_per_address", *connections_per_address != running.connections_per_address);
    fixed("limits.stop_grace", *stop_grace != running.stop_grace);
}

/// What the listeners were told of the known networks: where they are, and how many connections each may hold.
fn connections_as_before(running: &[NetworkLimits], read: &[NetworkLimits]) -> bool {
    running.len() == read.len()
        && running.iter().zip(read).all(|(old, new)| {
            (&old.name, &old.networks, old.connections) == (&new.name, &new.networks, new.connections)
        })
}
