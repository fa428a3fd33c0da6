//! `sekisho restore`: fills an empty store from a backup, and ends everything that was allowed.
//!
//! Whether the master key opens it and the public URL is its own is looked at before anything is written.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use authorization_server::keys;
use clap::Args;
use resource_server::definitions::ToolsMode;
use store::{Engine, Restore, Restored};

use super::Failure;
use super::backup::{telling, told, verified};
use super::docs::print;
use super::progress::Told;
use crate::config::Config;
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho restore --config sekisho.toml --from /backup/sekisho-2026-11-01.backup
  sekisho restore --config sekisho.toml --from /backup/sekisho-2026-11-01.backup --replace

Stop Sekisho on every node first. A backup of SQLite can be restored into PostgreSQL, and the other way. \
Everybody signs in once more; what was blocked, or forgotten of tools, after the backup was taken must be so again.";

/// From where, and whether over what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// The backup
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Move an SQLite file that is there aside, and put the restored one in its place
    #[arg(long)]
    pub replace: bool,
}

pub(super) fn run(arguments: &RestoreArguments) -> Result<ExitCode, Failure> {
    wiring::runtime()?.block_on(restore(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let world = World::real();
    let masters = wiring::master_keys(&config, &world).await?;
    let World { clock, entropy } = world;
    let contents = verified(&arguments.from)?;
    let now = clock.now();
    let taken_at = contents.header.taken_at();
    let of = (&contents.meta, contents.keys.as_slice());
    let (url, former) = (config.house.public_url.as_str(), config.former_names());
    let mut added = keys::of_backup(of, &masters, (url, &former), now, entropy.as_ref())?;
    added.audit.detail.insert("taken_at", format!("{taken_at:?}"));
    print(&told(&arguments.from, &contents))?;
    let shown = Arc::new(Told::new("rows"));
    let restore = Restore {
        from: arguments.from.clone(),
        contents,
        replace: arguments.replace,
        revocation: added.revocation,
        signing: added.signing,
        audit: added.audit,
        progress: telling(&shown),
    };
    let tools = if restore.contents.counts.get("tool_definitions").is_some_and(|tools| *tools > 0) {
        accepted_again(&config)
    } else {
        String::new()
    };
    let restored = Engine::restore(wiring::engine(&config)?, restore).await;
    shown.finish();
    print(&(ending(&restored?, &format!("{taken_at:?}"), &format!("{now:?}")) + &tools))
}

/// A forgotten definition is in no backup that is older: it counts again, as somebody who was blocked since is blocked no more.
fn accepted_again(config: &Config) -> String {
    let approved = config.mcp_servers.iter().filter(|server| server.settings.tools == ToolsMode::Approve);
    let names: Vec<&str> = approved.map(|server| server.settings.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "What tools of {} said and was accepted by then counts again: forget again what was forgotten in that time \
         (`sekisho tools list`, `sekisho tools forget`), before Sekisho is started.\n",
        names.join(", ")
    )
}

fn ending(restored: &Restored, taken_at: &str, now: &str) -> String {
    let aside = restored.moved_to.as_ref().map_or_else(String::new, |path| {
        format!(
            "The file that was there is now `{}`; it holds what was lost, until you remove it.\n",
            path.display()
        )
    });
    format!(
        "Restored, epoch {}. Everything that was allowed is ended: {} grants, all sessions, all access tokens. Clients \
         send their people to sign in once; nobody is taken for a thief.\n{aside}\n\
         LOST: everything between {taken_at} and {now}. Whoever was blocked or disabled, and whatever key was withdrawn in \
         that time, must be so again, before Sekisho is started.\n",
        restored.epoch, restored.grants_ended,
    )
}
