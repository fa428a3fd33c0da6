//! Reading the configuration again while Sekisho runs (SIGHUP). Either the whole file is taken or none of it.
//!
//! A file that cannot be read, is being written, holds a mistake, names a secret that cannot be had, or changes what
//! only a restart can change is refused: the last good configuration stays, and an error and a metric say so
//! (attacks F-30, CS-18). Nothing ever falls back to a default.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::Id;
use store::{AuditEvent, AuditKind, Outcome};

use super::assembly::Assembly;
use super::roles::Shared;
use super::{Running, credentials, master_keys, parse, policies};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::changes::needing_a_restart;

/// A file that is the same after this long is not being written.
const REST: Duration = Duration::from_millis(100);
/// How often it is looked at before that is given up.
const LOOKS: u32 = 20;

impl Running {
    /// Reads the file again, and takes it or keeps what is there.
    pub async fn reload(&self, file: &Path) {
        self.reload_certificates();
        let (file, shared, before) = (file.to_owned(), self.shared().clone(), self.assembly.load_full());
        // Secrets may come from programs that take their time.
        let next = tokio::task::spawn_blocking(move || prepare(&file, &shared, &before)).await;
        let next = next.unwrap_or_else(|error| Err(Failure::Wiring(error.to_string())));
        match next {
            Ok(next) => {
                // Or at a new MCP server no tool would only read, and this node not be ready, until the next look.
                if let Err(error) = next.resource_server.tools().read().await {
                    tracing::warn!(%error, "what is known of tools could not be read; it will be tried again");
                }
                next.take_over(&self.fronts);
                self.write_down((Outcome::Ok, None), &next.config).await;
                self.proxies.exchange(next.config.house.trusted_proxies.clone());
                credentials::warn_of_old_ones(&next.config, self.shared().world.clock.now());
                self.assembly.store(Arc::new(next));
                self.fronts.count_reload(true);
                tracing::info!("the configuration was read again and is in use");
            }
            Err(failure) => {
                self.fronts.count_reload(false);
                let kept = self.assembly.load_full();
                self.write_down((Outcome::Refused, Some(reason(&failure))), &kept.config).await;
                tracing::error!(%failure, "the configuration was refused; the last good one stays in use");
            }
        }
    }
}

impl Running {
    /// The event of a reading, with what is in use after it. What cannot be written down is in the log at least.
    async fn write_down(&self, (outcome, reason): (Outcome, Option<&'static str>), used: &Config) {
        let (store, world) = (&self.shared().store, &self.shared().world);
        let (now, kind) = (world.clock.now(), AuditKind::ConfigurationRead);
        let mut event = AuditEvent::new(Id::mint(now, world.entropy.as_ref()), now, kind, outcome);
        event.reason = reason;
        event.detail.insert("policies", used.policies.len().to_string());
        if let Err(error) = store.append_audit(vec![event]).await {
            tracing::error!(%error, "the reading of the configuration could not be written down");
        }
    }
}

/// What was wrong with the files.
const fn reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::Arguments(_) | Failure::Nobody(_) => "not_to_be_taken",
        Failure::Configuration(_) => "mistakes",
        Failure::ConfigurationFile { .. } | Failure::Io { .. } => "unreadable",
        Failure::Policies(_) => "policy_mistakes",
        Failure::Secret(_) => "secret",
        Failure::Backup(_)
        | Failure::BackupFile { .. }
        | Failure::Keys(_)
        | Failure::Store(_)
        | Failure::Wiring(_) => "wiring",
    }
}

fn prepare(file: &Path, shared: &Shared, before: &Assembly) -> Result<Assembly, Failure> {
    let config = load_at_rest(file)?;
    let fixed = needing_a_restart(&before.config, &config);
    if !fixed.is_empty() {
        return Err(Failure::Arguments(format!(
            "{} cannot be changed while Sekisho runs; nothing of the file was taken. Restart Sekisho, or set {} back",
            fixed.join(" and "),
            if fixed.len() == 1 { "it" } else { "them" },
        )));
    }
    // Not taken anew; but what the next start would stumble over is told now.
    master_keys::try_at_hand(&config)?;
    before.next(Arc::new(config), shared)
}

/// The configuration, once two looks at the file find the same: half of a file may be a good configuration that says
/// something else. The same goes for the policies.
fn load_at_rest(file: &Path) -> Result<Config, Failure> {
    let read =
        || std::fs::read(file).map_err(|why| Failure::ConfigurationFile { file: file.to_owned(), why });
    let now = at_rest(file, read)?;
    // What was seen, and not what stands there by now.
    let config = parse(now, file)?;
    let Some(folder) = policies::folder(&config) else { return Ok(config) };
    let files = at_rest(&folder, || policies::files(&folder))?;
    policies::with_policies(config, files)
}

/// What two looks, one after the other, find the same.
fn at_rest<T: PartialEq>(what: &Path, look: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut seen = look()?;
    for _ in 0..LOOKS {
        std::thread::sleep(REST);
        let now = look()?;
        if now == seen {
            return Ok(now);
        }
        seen = now;
    }
    Err(Failure::Arguments(format!("`{}` is still being written", what.display())))
}
