//! The wiring: from the configuration to rooms that know each other only by what they are given.

pub mod acme;
pub mod assembly;
pub mod certificates;
pub mod client_policy;
pub mod connectors;
pub mod credentials;
pub mod descriptors;
pub mod documents;
pub mod front;
pub mod givers;
pub mod listeners;
pub mod master_keys;
pub mod mcp_servers;
pub mod outward;
pub mod policies;
pub mod private_file;
pub mod provider_signals;
pub mod providers;
mod reload;
pub mod roles;
mod running;
pub mod signals;
mod sweeping;
pub mod telemetry;
pub mod trusted_issuers;
pub mod workloads;

use std::path::Path;
use std::sync::Arc;

use protocol::world::{Clock, Entropy, Steady};
use store::{Engine, EngineConfig, Store};

pub use self::master_keys::master_keys;
pub use self::outward::Trusts;
pub use self::running::{Running, start};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::store::StoreAt;
use crate::world::{self, SystemClock, SystemEntropy};

/// The two powers that are handed to every room.
#[derive(Clone, Debug)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl World {
    /// The real ones.
    pub fn real() -> Self {
        Self { clock: Arc::new(Steady::new(SystemClock::default())), entropy: Arc::new(SystemEntropy) }
    }

    /// Those of a command that writes into a record beside its nodes.
    pub async fn of_record(store: &dyn Store) -> Result<Self, Failure> {
        let clock = world::clock_of(store).await.map_err(|error| Failure::Wiring(error.to_string()))?;
        Ok(Self { clock, entropy: Arc::new(SystemEntropy) })
    }
}

/// Reads a configuration file for a command that asks no policy: a mistake in one must keep nobody from stopping a person or
/// reading the audit. Whoever asked all the same would hear that everything is forbidden.
pub fn load_to_tend(file: &Path) -> Result<Config, Failure> {
    let config = read(file)?;
    match policies::folder(&config) {
        Some(_) => policies::with_policies(config, vec![policies::closed()]),
        None => Ok(config),
    }
}

fn read(file: &Path) -> Result<Config, Failure> {
    let bytes =
        std::fs::read(file).map_err(|why| Failure::ConfigurationFile { file: file.to_owned(), why })?;
    parse(bytes, file)
}

/// Reads a configuration file.
pub fn load(file: &Path) -> Result<Config, Failure> {
    let config = read(file)?;
    match policies::folder(&config) {
        Some(folder) => {
            let files = policies::files(&folder)?;
            policies::with_policies(config, files)
        }
        None => Ok(config),
    }
}

/// The configuration that these bytes of a file are.
fn parse(bytes: Vec<u8>, file: &Path) -> Result<Config, Failure> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let why = std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error());
        Failure::ConfigurationFile { file: file.to_owned(), why }
    })?;
    Ok(Config::parse(&text, file)?)
}

/// The runtime of every command.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))
}

/// How the record is reached.
pub fn engine(config: &Config) -> Result<EngineConfig, Failure> {
    Ok(match &config.store.at {
        StoreAt::Sqlite(path) => EngineConfig::Sqlite { path: path.clone(), synchronous_full: true },
        StoreAt::Postgres(source) => EngineConfig::Postgres {
            url: source.load("the PostgreSQL connection string")?,
            pool_size: usize::try_from(config.store.settings.pool_size).unwrap_or(16),
            ca: config.store.settings.postgres_ca_file.as_ref().map(|file| config.folder.join(file)),
        },
    })
}

/// Opens the record, making it if it is new.
pub async fn open_store(config: &Config) -> Result<Engine, Failure> {
    Engine::open(engine(config)?).await.map_err(|error| Failure::Wiring(error.to_string()))
}

/// Opens a record that must be there, to look at it: it is left as it is, and may be of an older version.
pub async fn look_at_store(config: &Config) -> Result<Arc<Engine>, Failure> {
    if let StoreAt::Sqlite(path) = &config.store.at
        && !path.exists()
    {
        return Err(Failure::Arguments(format!("there is no store at `{}` yet", path.display())));
    }
    let engine = Engine::connect(engine(config)?).await;
    engine.map(Arc::new).map_err(|error| Failure::Wiring(error.to_string()))
}

/// Opens a record that must be there and of this version, to read it beside a running Sekisho: bringing it up to date
/// is for the start alone.
pub async fn open_existing_store(config: &Config) -> Result<Arc<Engine>, Failure> {
    let store = look_at_store(config).await?;
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => Ok(store),
        Ok(_) => Err(Failure::Arguments(
            "the store is of an older version, or empty; it is brought up to date when Sekisho starts"
                .to_owned(),
        )),
        Err(error) => Err(Failure::Wiring(error.to_string())),
    }
}
