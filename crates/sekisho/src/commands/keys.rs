//! `sekisho keys`: shows the keys, rotates and withdraws them, and takes the record from one master key to another. Works on
//! the record beside a running Sekisho, whose nodes take over what changed within seconds.

mod list;
mod withdraw;
mod wrap;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use authorization_server::keys::{Change, KeysError, Resealed, Rotated, Sealing, When};
use clap::{Args, Subcommand, ValueEnum};
use protocol::keys::{KeyRing, MasterKey};
use protocol::world::Timestamp;
use store::{Engine, KeyPurpose};

use super::docs::{self, print};
use super::progress::Told;
use super::{ConfigArgument, Failure};
use crate::config::Config;
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho keys list --config sekisho.toml
  sekisho keys rotate --config sekisho.toml                 the next signing key, published first
  sekisho keys rotate signing --now --config sekisho.toml   at once
  sekisho keys withdraw 1f0c22aa --config sekisho.toml      a key that leaked
  sekisho keys rotate-master --config sekisho.toml          go over to the master key of the file";

/// What to do with the keys.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KeysArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all keys: what they are for, where they stand, when they go
    List(ConfigArgument),
    /// Make the next key of a purpose; it takes over when everybody can know it
    Rotate(RotateArguments),
    /// Withdraw a key that leaked: what it made counts no more, and another takes its place at once
    Withdraw(withdraw::WithdrawArguments),
    /// Seal every key under the master key of the configuration, coming from `previous_master_key_…`
    RotateMaster(ConfigArgument),
    /// Seal every value in the record with the sealing key that works now
    Reseal(ConfigArgument),
    /// Have the service of `[master_key]` wrap a master key, a new one or that of a file
    Wrap(wrap::WrapArguments),
    /// Have the service unwrap the master key into a file, which is the way back
    Unwrap(wrap::UnwrapArguments),
}

/// Which purpose, and when.
#[derive(Debug, Args)]
struct RotateArguments {
    /// What the key is for
    #[arg(default_value = "signing")]
    purpose: Purpose,
    /// It works at once instead of being published first
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    config: ConfigArgument,
}

/// What a key is for, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Purpose {
    /// Seals over the audit
    Audit,
    /// Client ids of dynamic registration
    ClientIds,
    /// Forms of the pages
    Forms,
    /// Refresh tokens
    RefreshTokens,
    /// Values in the record that must come back
    Sealing,
    /// Access tokens and identity assertions
    Signing,
    /// Access tokens by RS256
    SigningRs256,
}

impl From<Purpose> for KeyPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Audit => Self::Audit,
            Purpose::ClientIds => Self::ClientIds,
            Purpose::Forms => Self::Forms,
            Purpose::RefreshTokens => Self::RefreshTokens,
            Purpose::Sealing => Self::Sealing,
            Purpose::Signing => Self::Signing,
            Purpose::SigningRs256 => Self::SigningRs256,
        }
    }
}

/// What each of these commands works on.
#[derive(Debug)]
struct Desk {
    config: Config,
    store: Arc<Engine>,
    masters: KeyRing<MasterKey>,
    world: World,
}

impl Desk {
    async fn open(file: &Path) -> Result<Self, Failure> {
        let config = wiring::load_to_tend(file)?;
        // A key-management service goes by the time of this machine.
        let masters = wiring::master_keys(&config, &World::real()).await?;
        let store = wiring::open_existing_store(&config).await?;
        let world = World::of_record(store.as_ref()).await?;
        Ok(Self { config, store, masters, world })
    }

    fn change(&self) -> Change<'_> {
        Change {
            store: self.store.as_ref(),
            masters: &self.masters,
            clock: self.world.clock.as_ref(),
            entropy: self.world.entropy.as_ref(),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

pub(super) fn run(arguments: &KeysArguments) -> Result<ExitCode, Failure> {
    wiring::runtime()?.block_on(async {
        match &arguments.action {
            Action::List(config) => print(&list::table(&Desk::open(&config.config).await?).await?)?,
            Action::Rotate(rotate) => print(&rotated(rotate).await?)?,
            Action::Withdraw(arguments) => print(&withdraw::run(arguments).await?)?,
            Action::RotateMaster(config) => {
                let desk = Desk::open(&config.config).await?;
                let told = Told::new("keys sealed anew");
                let sealing = Sealing { change: desk.change(), progress: &|done, all| told.tell(done, all) };
                let made = sealing.go_over_to_master().await?;
                told.finish();
                print(&gone_over(&desk, made)?)?;
            }
            Action::Wrap(arguments) => print(&wrap::wrap(arguments).await?)?,
            Action::Unwrap(arguments) => print(&wrap::unwrap(arguments).await?)?,
            Action::Reseal(config) => {
                let desk = Desk::open(&config.config).await?;
                let told = Told::new("values sealed anew");
                let sealing = Sealing { change: desk.change(), progress: &|done, all| told.tell(done, all) };
                let made = sealing.reseal().await?;
                told.finish();
                print(&resealed(made)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn rotated(arguments: &RotateArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config.config).await?;
    let purpose = KeyPurpose::from(arguments.purpose);
    let when = if arguments.now { When::AtOnce } else { When::AfterLead(desk.config.keys.lead_time) };
    let name = purpose.as_str();
    let rotated = match desk.change().rotate(purpose, when).await {
        Err(KeysError::Absent { .. }) if purpose == KeyPurpose::SigningRs256 => {
            return Err(Failure::Arguments(
                "there is no key for signing_rs256: the first one is made when Sekisho starts with an MCP server that has \
                 `access_tokens = \"RS256\"`"
                    .to_owned(),
            ));
        }
        rotated => rotated?,
    };
    Ok(match rotated {
        Rotated::Lost => {
            return Err(Failure::Wiring(
                "somebody else changed the keys in this moment; look, and try again".to_owned(),
            ));
        }
        Rotated::Made { id, .. } if arguments.now => {
            format!("Key {id} for {name} was made and works within 5 seconds on every node.\n")
        }
        Rotated::Made { id, from } => format!(
            "Key {id} for {name} was made and is known to every node within 5 seconds; it works from {}.\n",
            docs::when(from)
        ),
        Rotated::Waiting { id, from } => format!(
            "Key {id} for {name} waits already and works from {}. Nothing was made; --now makes one that works at once.\n",
            docs::when(from)
        ),
    })
}

fn gone_over(desk: &Desk, made: Resealed) -> Result<String, Failure> {
    let to = desk.masters.active().fingerprint();
    if made.broken > 0 && !made.finished {
        return Err(Failure::Wiring(format!(
            "{} keys open with neither master key and were left as they are; the record stays the previous one's. \
             `sekisho keys list` shows them; withdraw them, and run this again",
            made.broken
        )));
    }
    if !made.finished {
        return Err(Failure::Wiring(
            "another command took the record elsewhere; look, and try again".to_owned(),
        ));
    }
    let then = match desk.masters.iter().nth(1) {
        Some(_) => "`previous_master_key_…` is needed no more: take it out of every node's configuration.",
        None => "There is nothing else to do.",
    };
    Ok(format!("{} keys were sealed anew; all are under the master key {to}. {then}\n", made.done))
}

fn resealed(made: Resealed) -> Result<String, Failure> {
    if made.broken > 0 {
        return Err(Failure::Wiring(format!(
            "{} values were sealed anew; {} open with no key there is and were left as they are (see `sekisho audit --kind seal_broken`)",
            made.done, made.broken
        )));
    }
    Ok(format!("{} values were sealed anew; all are sealed with the key that works now.\n", made.done))
}
