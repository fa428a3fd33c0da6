//! A Sekisho that runs: its parts, its tasks, and the order in which it stops.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use authorization_server::keys::{Keeper, KeeperParts, KeeperSettings};
use protocol::keys::Keys;
use resource_server::ResourceServer;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{ConnectionLimits, Front, KnownNetwork, KnownNetworks, ListedServer, PublicUrl, Rate, Rates};

use super::acme::AcmeKeeper;
use super::certificates::CertificateFiles;
use super::listeners::Doors;
use super::roles::{self, Shared};
use super::{World, descriptors, listeners, master_keys, open_store};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::limits::NetworkLimits;

/// How often what has expired is removed from the record.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A Sekisho that runs.
#[derive(Debug)]
pub struct Running {
    keeper: Arc<Keeper>,
    resource_server: Arc<ResourceServer>,
    /// Accepts and answers; ends when `stop` is cancelled and answers have finished.
    doors: TaskTracker,
    /// Works behind the doors.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when the doors are closed, so that the events of the last answers are written.
    close_audit: CancellationToken,
    audit: TaskTracker,
    certificates: Vec<Arc<CertificateFiles>>,
}

/// Starts everything and is ready when it returns.
pub async fn start(config: &Config, world: World, listeners: Vec<TcpListener>) -> Result<Running, Failure> {
    let doors = Doors::open(config, listeners).await?;
    let masters = Arc::new(master_keys(config)?);
    let store: Arc<dyn Store> = Arc::new(open_store(config).await?);
    let parts = KeeperParts {
        store: Arc::clone(&store),
        masters,
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    };
    let keeper = Arc::new(Keeper::open(parts, keeper_settings(config)).await?);
    authorization_server::keys::claim_public_url(store.as_ref(), &config.house.public_url).await?;
    let shared = Shared { store, keeper, world, trusts: Arc::default() };
    let authorization_server = Arc::new(roles::authorization_server(config, &shared)?);
    let resource_server = Arc::new(roles::resource_server(config, &shared)?);
    resource_server.revocations().read().await?;
    let parts = web::Parts {
        authorization_server,
        clock: Arc::clone(&shared.world.clock),
        entropy: Arc::clone(&shared.world.entropy),
        resource_server: Arc::clone(&resource_server),
        store: Arc::clone(&shared.store),
    };
    let running = Running {
        keeper: Arc::clone(&shared.keeper),
        resource_server,
        doors: TaskTracker::new(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        close_audit: CancellationToken::new(),
        audit: TaskTracker::new(),
        certificates: doors.files.clone(),
    };
    running.work(&shared);
    let front = Front::new(front(config)?, parts);
    running.keep_certificates(config, &shared, (&front, &doors))?;
    running.open_doors(config, front, doors).await?;
    Ok(running)
}

impl Running {
    /// The keys.
    pub fn keys(&self) -> &Arc<ArcSwap<Keys>> {
        self.keeper.keys()
    }

    /// Where further tasks are owned.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Reads the certificate files again at once. One that cannot be used is reported, and the last good one stays.
    pub fn reload_certificates(&self) {
        for files in &self.certificates {
            files.reload_and_tell();
        }
    }

    /// Cancelled when Sekisho stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs until `asked` resolves, then stops in order: no new connections, answers finish, the last audit
    /// events are written.
    pub async fn until(self, asked: impl Future<Output = ()>) {
        asked.await;
        tracing::info!("stopping");
        self.stop.cancel();
        self.resource_server.end_streams();
        self.doors.close();
        self.doors.wait().await;
        self.close_audit.cancel();
        self.audit.close();
        self.audit.wait().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn work(&self, shared: &Shared) {
        // Until the last answer is out: what is withdrawn meanwhile must end as soon as at any other time.
        self.tasks.spawn(Arc::clone(self.resource_server.revocations()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(self.resource_server.held_keys()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(&self.keeper).run(self.close_audit.clone()));
        let (resource_server, close) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        self.audit.spawn(async move { resource_server.write_audit(close).await });
        self.tasks.spawn(sweep(shared.clone(), self.stop.clone()));
    }

    fn keep_certificates(
        &self,
        config: &Config,
        shared: &Shared,
        (front, doors): (&Arc<Front>, &Doors),
    ) -> Result<(), Failure> {
        doors.watch(&self.tasks, &self.stop);
        let Some(acme) = &config.acme else { return Ok(()) };
        let keeper = AcmeKeeper::open(config, acme, &doors.acme, (&shared.trusts, &shared.world.clock))?;
        let (front, stop) = (Arc::clone(front), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(keeper.run(front)).await });
        Ok(())
    }

    async fn open_doors(&self, config: &Config, front: Arc<Front>, doors: Doors) -> Result<(), Failure> {
        let limits = ConnectionLimits {
            connections: many(descriptors::connections(config.limits.connections)),
            connections_per_address: many(config.limits.connections_per_address),
            networks: known_networks(config),
            trusted_proxies: config.house.trusted_proxies.clone(),
            drain: config.limits.stop_grace,
            ..ConnectionLimits::default()
        };
        if let Some(address) = config.house.metrics_listen {
            let sockets = listeners::bind(&[address]).await?;
            let metrics = web::serve_metrics(sockets, Arc::clone(&front), limits.clone(), self.stop.clone());
            self.doors.spawn(async move { report(metrics.await) });
        }
        let doors = web::serve(doors.listeners, front, limits, self.stop.clone());
        self.doors.spawn(async move { report(doors.await) });
        Ok(())
    }
}

fn keeper_settings(config: &Config) -> KeeperSettings {
    KeeperSettings {
        signing_rotation: config.keys.signing_rotation,
        lead_time: config.keys.lead_time,
        ..KeeperSettings::default()
    }
}

/// Removes what has expired, now and then, until told to stop.
async fn sweep(shared: Shared, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = shared.store.sweep(shared.world.clock.now()).await {
            tracing::warn!(%error, "what has expired could not be removed; it will be tried again");
        }
    }
}

fn front(config: &Config) -> Result<web::Settings, Failure> {
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
        client: Some(rate(limits.client_requests_per_second)),
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

fn known_networks(config: &Config) -> KnownNetworks {
    let known = |network: &NetworkLimits| KnownNetwork {
        name: network.name.clone(),
        networks: network.networks.clone(),
        rates: Rates {
            authorize: Some(rate(network.pages_per_second)),
            client: Some(rate(network.client_requests_per_second)),
            login: Some(rate(network.pages_per_second)),
            register: Some(rate(network.registrations_per_second)),
            token: Some(rate(network.token_requests_per_second)),
        },
        connections: many(network.connections),
    };
    config.networks.iter().map(known).collect::<Vec<_>>().into()
}

/// Settings are bounded far below this by their parsers.
fn many(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX >> 3)
}

/// So many a second, and ten times as many at once.
fn rate(per_second: u64) -> Rate {
    let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
    Rate::per_second(per_second, per_second.saturating_mul(10))
}

fn report(ended: web::Drained) {
    match ended {
        web::Drained::CutOff => tracing::warn!("some answers were cut off: `limits.stop_grace` was over"),
        web::Drained::Finished => {}
    }
}
