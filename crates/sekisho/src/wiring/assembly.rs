//! One configuration made into roles and doors: at the start, and again whenever the file is read anew.
//!
//! Everything that can fail fails here, before anything that runs is touched. Listens to nothing and dials nothing.

use std::collections::HashMap;
use std::sync::Arc;

use resource_server::ResourceServer;
use upstream::mcp_server::streamable_http::McpServerClient;
use web::{FormerFront, Front, Fronts};

use super::front;
use super::roles::{self, Shared};
use crate::commands::Failure;
use crate::config::Config;

/// The ways to the MCP servers, by name.
pub type Ways = HashMap<String, Arc<McpServerClient>>;

/// Roles and doors of one configuration.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// What it was made from.
    pub config: Arc<Config>,
    /// The MCP servers, guarded.
    pub resource_server: Arc<ResourceServer>,
    current: Arc<Front>,
    former: Vec<FormerFront>,
    ways: Ways,
}

impl Assembly {
    /// The first one.
    pub fn first(config: Arc<Config>, shared: &Shared) -> Result<Self, Failure> {
        let ways = roles::ways(&config, shared, &Ways::new())?;
        let resource_server = Arc::new(roles::resource_server(&config, shared, ways.clone())?);
        let parts = front::parts(&config, shared, Arc::clone(&resource_server))?;
        let current = Front::new(front::settings(&config)?, parts);
        Self { config, resource_server, current, former: Vec::new(), ways }.with_former(shared)
    }

    /// The next one, over the same record, streams, audit and counters as this one.
    pub fn next(&self, config: Arc<Config>, shared: &Shared) -> Result<Self, Failure> {
        let ways = roles::ways(&config, shared, &self.ways)?;
        let settings = roles::resource_settings(&config, shared, &config.house.public_url)?;
        let resource_server = self.resource_server.reconfigured(settings, ways.clone());
        let resource_server = Arc::new(resource_server.map_err(|error| Failure::Wiring(error.to_string()))?);
        let parts = front::parts(&config, shared, Arc::clone(&resource_server))?;
        let current = self.current.with(front::settings(&config)?, parts);
        Self { config, resource_server, current, former: Vec::new(), ways }.with_former(shared)
    }

    /// The doors of the names that the house had before: the same house under each of them (product.md, P-23).
    fn with_former(mut self, shared: &Shared) -> Result<Self, Failure> {
        for former in &self.config.former_public_urls {
            let config = self.config.under(&former.url);
            let settings = roles::resource_settings(&config, shared, &self.config.house.public_url)?;
            let resource_server = self.resource_server.reconfigured(settings, self.ways.clone());
            let resource_server = resource_server.map_err(|error| Failure::Wiring(error.to_string()))?;
            let parts = front::parts(&config, shared, Arc::new(resource_server))?;
            let doors = self.current.with(front::settings(&config)?, parts);
            self.former.push(FormerFront { front: doors, until: former.accepted_until });
        }
        Ok(self)
    }

    /// The doors for the listeners.
    pub fn fronts(&self) -> Arc<Fronts> {
        Fronts::with_former(Arc::clone(&self.current), self.former.clone())
    }

    /// Puts these doors in the place of the ones before; streams that are not admitted any more are ended.
    pub fn take_over(&self, fronts: &Fronts) {
        fronts.exchange(Arc::clone(&self.current), self.former.clone());
        self.resource_server.take_over();
    }
}
