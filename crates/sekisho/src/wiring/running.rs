//! A Sekisho that runs: its parts, its tasks, and the order in which it stops.

use std::sync::Arc;

use arc_swap::ArcSwap;
use authorization_server::Registrations;
use authorization_server::keys::{Keeper, KeeperParts, KeeperSettings};
use protocol::keys::Keys;
use resource_server::{Keep, Sealer};
use store::{AuditClass, Store, Timeline};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{ConnectionLimits, Fronts, TrustedProxies};

use super::acme::AcmeKeeper;
use super::assembly::Assembly;
use super::certificates::CertificateFiles;
use super::front::{known_networks, many};
use super::listeners::Doors;
use super::roles::Shared;
use super::{World, credentials, descriptors, listeners, master_keys, open_store, sweeping, telemetry};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::audit::Audit;

/// A Sekisho that runs.
#[derive(Debug)]
pub struct Running {
    shared: Shared,
    pub(super) fronts: Arc<Fronts>,
    /// Whom the listeners take for a proxy.
    pub(super) proxies: TrustedProxies,
    /// Roles and doors as they stand; exchanged by `reload.rs`.
    pub(super) assembly: ArcSwap<Assembly>,
    /// Accepts and answers; ends when `stop` is cancelled and answers have finished.
    doors: TaskTracker,
    /// Works behind the doors.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when the doors are closed, so that the events of the last answers are written.
    close_audit: CancellationToken,
    audit: TaskTracker,
    /// Cancelled when the last events are written, so that they are sealed.
    close_seals: CancellationToken,
    certificates: Vec<Arc<CertificateFiles>>,
}

/// Starts everything and is ready when it returns.
pub async fn start(config: &Config, world: World, listeners: Vec<TcpListener>) -> Result<Running, Failure> {
    let doors = Doors::open(config, listeners).await?;
    let masters = Arc::new(master_keys(config, &world).await?);
    let store: Arc<dyn Store> = Arc::new(open_store(config).await?);
    let parts = KeeperParts {
        store: Arc::clone(&store),
        masters,
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    };
    let keeper = Arc::new(Keeper::open(parts, keeper_settings(config)).await?);
    claim_public_url(config, store.as_ref(), &world).await?;
    let (clock, entropy) = (Arc::clone(&world.clock), Arc::clone(&world.entropy));
    let registrations = Registrations::new(Arc::clone(&store), clock, entropy);
    let timeline = Timeline::new(Arc::clone(&store));
    let shared = Shared {
        store,
        keeper,
        proofs: Arc::default(),
        registrations,
        world,
        timeline,
        givers: Arc::default(),
        providers: Arc::default(),
        trusts: Arc::default(),
        documents: Arc::default(),
    };
    let assembly = Assembly::first(Arc::new(config.clone()), &shared)?;
    credentials::warn_of_old_ones(config, shared.world.clock.now());
    assembly.resource_server.revocations().read().await?;
    assembly.resource_server.tools().read().await?;
    let running = Running {
        fronts: assembly.fronts(),
        proxies: config.house.trusted_proxies.clone().into(),
        assembly: ArcSwap::from_pointee(assembly),
        shared,
        doors: TaskTracker::new(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        close_audit: CancellationToken::new(),
        audit: TaskTracker::new(),
        close_seals: CancellationToken::new(),
        certificates: doors.files.clone(),
    };
    running.work();
    running.tell(config)?;
    running.keep_certificates(config, &doors)?;
    running.open_doors(config, doors).await?;
    Ok(running)
}

/// The record belongs to this public URL, or moves to it.
async fn claim_public_url(config: &Config, store: &dyn Store, world: &World) -> Result<(), Failure> {
    let (url, former) = (&config.house.public_url, config.former_names());
    let world = (world.clock.as_ref(), world.entropy.as_ref());
    if authorization_server::keys::claim_public_url(store, url, &former, world).await? {
        tracing::warn!(public_url = url, "the house has moved to another public URL");
    }
    Ok(())
}

impl Running {
    /// The keys.
    pub fn keys(&self) -> &Arc<ArcSwap<Keys>> {
        self.shared.keeper.keys()
    }

    /// What all roles share.
    pub(super) const fn shared(&self) -> &Shared {
        &self.shared
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
        self.assembly.load().resource_server.end_streams();
        self.doors.close();
        self.doors.wait().await;
        self.close_audit.cancel();
        self.audit.close();
        self.audit.wait().await;
        self.close_seals.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn work(&self) {
        let resource_server = Arc::clone(&self.assembly.load().resource_server);
        // Until the last answer is out: what is withdrawn meanwhile must end as soon as at any other time.
        self.tasks.spawn(Arc::clone(resource_server.revocations()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(resource_server.held_keys()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(&self.shared.keeper).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(resource_server.tools()).run(self.close_audit.clone()));
        let close = self.close_audit.clone();
        self.audit.spawn(async move { resource_server.write_audit(close).await });
        self.audit.spawn(Arc::clone(&self.shared.registrations).run(self.close_audit.clone()));
        self.audit.spawn(Arc::clone(&self.shared.timeline).run(self.close_audit.clone().cancelled_owned()));
        let (store, keys) = (Arc::clone(&self.shared.store), Arc::clone(self.shared.keeper.keys()));
        let world = &self.shared.world;
        let sealer = Sealer::new(store, keys, Arc::clone(&world.clock), Arc::clone(&world.entropy));
        let sealer = sealer.keeping(keep(&self.assembly.load().config.audit));
        let sealer = sealer.by_the_clock_of(Arc::clone(self.shared.keeper.freshness()));
        self.tasks.spawn(sealer.run(self.close_seals.clone()));
        let (resource_server, close) =
            (Arc::clone(&self.assembly.load().resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { resource_server.tend_connections(close).await });
        self.tasks.spawn(sweeping::sweep(self.shared.clone(), self.stop.clone()));
    }

    /// Tells a collector of the audit and of calls, if there is one.
    fn tell(&self, config: &Config) -> Result<(), Failure> {
        let Some(collector) = telemetry::collector(config, &self.shared.trusts)? else { return Ok(()) };
        if config.telemetry.as_ref().is_some_and(|telemetry| telemetry.settings.audit) {
            let (resource_server, collector) =
                (Arc::clone(&self.assembly.load().resource_server), Arc::clone(&collector));
            let stop = self.close_seals.clone();
            self.tasks.spawn(async move { resource_server.send_audit(collector, stop).await });
        }
        let (resource_server, stop) =
            (Arc::clone(&self.assembly.load().resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { resource_server.send_spans(&collector, &stop).await });
        Ok(())
    }

    fn keep_certificates(&self, config: &Config, doors: &Doors) -> Result<(), Failure> {
        doors.watch(&self.tasks, &self.stop);
        let Some(acme) = &config.acme else { return Ok(()) };
        let world = (self.shared.trusts.as_ref(), &self.shared.world.clock);
        let keeper = AcmeKeeper::open(config, acme, &doors.acme, world)?;
        // What it shows there is shown at every later one too.
        let (front, stop) = (self.fronts.current(), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(keeper.run(front)).await });
        Ok(())
    }

    async fn open_doors(&self, config: &Config, doors: Doors) -> Result<(), Failure> {
        let limits = ConnectionLimits {
            connections: many(descriptors::connections(config.limits.connections)),
            connections_per_address: many(config.limits.connections_per_address),
            networks: known_networks(config),
            trusted_proxies: self.proxies.clone(),
            drain: config.limits.stop_grace,
            ..ConnectionLimits::default()
        };
        if let Some(address) = config.house.metrics_listen {
            let sockets = listeners::bind(&[address]).await?;
            let metrics =
                web::serve_metrics(sockets, Arc::clone(&self.fronts), limits.clone(), self.stop.clone());
            self.doors.spawn(async move { report(metrics.await) });
        }
        let doors = web::serve(doors.listeners, Arc::clone(&self.fronts), limits, self.stop.clone());
        self.doors.spawn(async move { report(doors.await) });
        Ok(())
    }
}

fn keeper_settings(config: &Config) -> KeeperSettings {
    KeeperSettings {
        signing_rotation: config.keys.signing_rotation,
        lead_time: config.keys.lead_time,
        rs256: config.has_rs256(),
        ..KeeperSettings::default()
    }
}

/// How long events are kept, by class.
fn keep(audit: &Audit) -> Keep {
    let classes = [
        (AuditClass::Block, audit.keep_calls),
        (AuditClass::Call, audit.keep_calls),
        (AuditClass::Token, audit.keep_tokens),
        (AuditClass::SignIn, audit.keep_sign_ins),
        (AuditClass::Security, audit.keep_security),
    ];
    let classes = classes.into_iter().filter_map(|(class, keep)| Some((class, keep?))).collect();
    Keep { classes, usage: audit.keep_usage }
}

fn report(ended: web::Drained) {
    match ended {
        web::Drained::CutOff => tracing::warn!("some answers were cut off: `limits.stop_grace` was over"),
        web::Drained::Finished => {}
    }
}
