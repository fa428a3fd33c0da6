//! What the front doors are told, and what they open to.

use std::sync::Arc;

use resource_server::ResourceServer;
use web::{KnownNetwork, KnownNetworks, ListedServer, PublicUrl, Rate, Rates};

use super::roles::{self, Shared};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::limits::NetworkLimits;

/// What the doors open to.
pub fn parts(
    config: &Config,
    shared: &Shared,
    resource_server: Arc<ResourceServer>,
) -> Result<web::Parts, Failure> {
    Ok(web::Parts {
        authorization_server: Arc::new(roles::authorization_server(config, shared)?),
        clock: Arc::clone(&shared.world.clock),
        entropy: Arc::clone(&shared.world.entropy),
        resource_server,
        store: Arc::clone(&shared.store),
    })
}

/// What they are told.
pub fn settings(config: &Config) -> Result<web::Settings, Failure> {
    let url = |text: &String| -> Result<PublicUrl, Failure> {
        text.parse().map_err(|error: web::PublicUrlError| Failure::Wiring(error.to_string()))
    };
    let public_url = url(&config.house.public_url)?;
    let limits = &config.limits;
    let mut settings = web::Settings::new(public_url);
    settings.pages_url = config.house.pages_url.as_ref().map(url).transpose()?;
    settings.networks = known_networks(config);
    settings.browser_origins.extend(config.house.allowed_origins.iter().cloned());
    settings.rates = Rates {
        authorize: Some(rate(limits.pages_per_second)),
        bad_tokens: Some(rate(limits.bad_tokens_per_second)),
        client: Some(rate(limits.client_requests_per_second)),
        device: Rates::default().device,
        introspect: Some(rate(limits.introspections_per_second)),
        login: Some(rate(limits.pages_per_second)),
        register: Some(rate(limits.registrations_per_second)),
        token: Some(rate(limits.token_requests_per_second)),
    };
    settings.servers = config
        .mcp_servers
        .iter()
        .map(|server| ListedServer {
            name: server.settings.name.clone(),
            title: server.title().to_owned(),
            url: format!("{}/{}/mcp", config.house.public_url, server.settings.name),
        })
        .collect();
    settings.forwarded_header = config.house.forwarded_header;
    settings.trusted_proxies = config.house.trusted_proxies.clone();
    settings.version = env!("CARGO_PKG_VERSION");
    Ok(settings)
}

/// Networks that are one caller each.
pub fn known_networks(config: &Config) -> KnownNetworks {
    let known = |network: &NetworkLimits| KnownNetwork {
        name: network.name.clone(),
        networks: network.networks.clone(),
        rates: Rates {
            authorize: Some(rate(network.pages_per_second)),
            bad_tokens: Some(rate(network.bad_tokens_per_second)),
            client: Some(rate(network.client_requests_per_second)),
            device: Rates::default().device,
            // Our own MCP servers are in nobody's cloud but ours.
            introspect: Some(rate(config.limits.introspections_per_second)),
            login: Some(rate(network.pages_per_second)),
            register: Some(rate(network.registrations_per_second)),
            token: Some(rate(network.token_requests_per_second)),
        },
        connections: many(network.connections),
    };
    config.networks.iter().map(known).collect::<Vec<_>>().into()
}

/// Settings are bounded far below this by their parsers.
pub fn many(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX >> 3)
}

/// So many a second, and ten times as many at once.
fn rate(per_second: u64) -> Rate {
    let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
    Rate::per_second(per_second, per_second.saturating_mul(10))
}
