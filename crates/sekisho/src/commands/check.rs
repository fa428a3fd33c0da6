//! `sekisho check`: starts nothing and says in words whether the set-up would work.

mod credentials;
mod doors;
mod files;
mod issuers;
mod outward;
mod report;

use std::path::Path;
use std::process::ExitCode;

use protocol::keys::{KeyRing, MasterKey};
use protocol::world::Clock as _;
use resource_server::definitions::ToolsMode;
use store::{AuditFilter, AuditKind, Outcome, Queries, ToolDefinitions as _};

use self::report::Report;
use super::docs::print;
use super::{ConfigArgument, Failure};
use crate::config::Config;
use crate::config::master_key::MasterKeySource;
use crate::config::store::StoreAt;
use crate::wiring::{self, Trusts, World};
use crate::world::SystemClock;

/// Which configuration, and for whom the findings are.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sekisho check --config /etc/sekisho.toml
  sekisho check --config /etc/sekisho.toml --json | jq '.findings[] | select(.state != \"ok\")'

Run it where Sekisho will run, as the same user: it says what is reachable from there.

Exit codes: 0 it would work; 2 the configuration is wrong; 3 something would not work.";

pub(super) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let file = &arguments.config.config;
    let config = wiring::load(file)?;
    let report = wiring::runtime()?.block_on(examine(&config, file));
    print(&if arguments.json { report.json(file) } else { report.text(file) })?;
    Ok(if report.bad_ones() == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

async fn examine(config: &Config, file: &Path) -> Report {
    let mut report = Report::default();
    report.good("configuration", "no mistakes");
    if let Some(folder) = wiring::policies::folder(config) {
        let (number, folder) = (config.policies.len(), folder.display().to_string());
        report.good("policies", format!("no mistakes in the {number} of `{folder}`"));
    }
    public_url(config, &mut report);
    doors::examine(config, &mut report);
    files::examine(config, file, &mut report);
    let trusts = Trusts::default();
    credentials::examine(config, &trusts, &mut report).await;
    record(config, &mut report).await;
    outward::examine(config, &trusts, &mut report).await;
    report
}

fn public_url(config: &Config, report: &mut Report) {
    let url = &config.house.public_url;
    report.good("public URL", format!("clients are given {url}/NAME/mcp"));
    if url.starts_with("http://") {
        report.note("public URL", "http is for trying it out; clients elsewhere need https");
    } else {
        report.note("public URL", "a proxy in front must end TLS and pass `Host` on unchanged");
    }
    for former in &config.former_public_urls {
        let last = jiff::Timestamp::from_microsecond(former.accepted_until.micros() - 1).unwrap_or_default();
        let day = last.strftime("%Y-%m-%d");
        if former.accepted_until <= SystemClock::default().now() {
            let said = format!("{} was accepted until {day}; the entry can go", former.url);
            report.note("former public URL", said);
        } else {
            let said = format!(
                "{} is answered with its own issuer and resources until {day} (UTC); it must lead here, and identity \
                 providers must know its redirect URIs too. After that its tokens are refused, and clients that \
                 were not given {url}/NAME/mcp have to be",
                former.url
            );
            report.good("former public URL", said);
        }
    }
    if config.house.default_server.is_none() && config.mcp_servers.len() > 1 {
        report.note(
            "default server",
            "clients of MCP revision 2025-03-26 name no MCP server and will be refused; `default_server` names one for them",
        );
    }
}

async fn record(config: &Config, report: &mut Report) {
    let master_key = match wiring::master_keys(config, &World::real()).await {
        Ok(key) => {
            report.good("master key", key_is_had(config));
            key
        }
        Err(failure) => {
            report.bad("master key", failure.to_string());
            return;
        }
    };
    if let StoreAt::Sqlite(path) = &config.store.at
        && !path.exists()
    {
        return new_file(path, report);
    }
    match wiring::look_at_store(config).await {
        Ok(store) => opened(store.as_ref(), &master_key, config, report).await,
        Err(failure) => report.bad("store", failure.to_string()),
    }
}

/// What tools say of themselves, and waits until somebody accepts it.
async fn tools(store: &store::Engine, config: &Config, report: &mut Report) {
    let servers = match store.list_tool_generations().await {
        Ok(servers) => servers,
        Err(error) => return report.bad("tools", error.to_string()),
    };
    let approved = config.mcp_servers.iter().filter(|server| server.settings.tools == ToolsMode::Approve);
    for name in approved.map(|server| &server.settings.name) {
        if !servers.iter().any(|(known, _)| known == name) {
            let said = format!(
                "nothing is known of the tools of {name} yet, so nobody can call one: they can be accepted (`sekisho tools accept {name}`) once a client has asked for the list"
            );
            report.note("tools", said);
        }
    }
    for (server, _) in servers {
        let Ok(list) = store.list_tools(&server).await else { continue };
        let waiting = list.tools.iter().filter(|tool| tool.waiting.is_some()).count();
        if waiting > 0 {
            let said = format!(
                "{waiting} of {server} wait until what they say of themselves is accepted: `sekisho tools diff {server}`"
            );
            report.note("tools", said);
        }
    }
}

/// From where the master key was had.
fn key_is_had(config: &Config) -> String {
    match &config.master_key {
        MasterKeySource::Secret(_) => "can be read".to_owned(),
        MasterKeySource::Service(service) => {
            let endpoint = service.settings.endpoint.as_ref();
            let service = service.settings.service.name();
            match endpoint {
                Some(endpoint) => {
                    format!("was unwrapped by {service} at {}", endpoint.origin().ascii_serialization())
                }
                None => format!("was unwrapped by {service}"),
            }
        }
    }
}

fn new_file(path: &Path, report: &mut Report) {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if folder.is_dir() {
        report.good("store", format!("`{}` will be created", path.display()));
    } else {
        report.bad("store", format!("the folder `{}` does not exist", folder.display()));
    }
}

/// Whether a running Sekisho took what it read last. Every node writes its own event of it.
async fn last_reading(store: &store::Engine, report: &mut Report) {
    let readings = AuditFilter { kind: Some(AuditKind::ConfigurationRead), ..AuditFilter::default() };
    let Ok(rows) = store.list_audit(readings, None, 1).await else { return };
    let Some(last) = rows.first().filter(|row| row.outcome == Outcome::Refused) else { return };
    let at = jiff::Timestamp::from_microsecond(last.at.micros()).unwrap_or_default();
    report.note(
        "reload",
        format!(
            "a running Sekisho refused the configuration at {} ({}), and goes on with the one before until it reads a good one",
            at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            last.reason.as_deref().unwrap_or("unknown"),
        ),
    );
}

async fn opened(store: &store::Engine, masters: &KeyRing<MasterKey>, config: &Config, report: &mut Report) {
    match store.check().await {
        Ok(sentence) => report.good("store", sentence),
        Err(error) => report.bad("store", error.to_string()),
    }
    if store.pending_migrations().await.is_ok_and(|pending| !pending.is_empty()) {
        report.note("keys", "not looked at: the store is brought up to date at the next start");
        return;
    }
    match authorization_server::keys::examine(
        store,
        masters,
        &SystemClock::default(),
        &config.house.public_url,
        &config.former_names(),
    )
    .await
    {
        Ok(sentence) => report.good("keys", sentence),
        Err(error) => report.bad("keys", error.to_string()),
    }
    last_reading(store, report).await;
    tools(store, config, report).await;
    if let Ok(counts) = store.counts().await {
        report.note(
            "store",
            format!(
                "{} people, {} grants, {} audit events",
                counts.users, counts.grants, counts.audit_events
            ),
        );
    }
}
