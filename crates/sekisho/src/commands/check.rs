//! `sekisho check`: starts nothing and says in words whether the set-up would work.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use protocol::keys::{KeyRing, MasterKey};
use protocol::world::Clock;
use store::Queries;

use super::Failure;
use super::docs::print;
use crate::config::Config;
use crate::config::store::StoreAt;
use crate::wiring::{self, Trusts, World};
use crate::world::SystemClock;

/// How long an MCP server may take to answer a question that any of them can answer at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Findings, in the order they were made.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    bad: usize,
}

impl Report {
    fn good(&mut self, what: &str, finding: impl AsRef<str>) {
        self.lines.push(format!("  ok    {what}: {}", finding.as_ref()));
    }

    fn bad(&mut self, what: &str, finding: impl AsRef<str>) {
        self.bad += 1;
        self.lines.push(format!("  BAD   {what}: {}", finding.as_ref()));
    }

    fn note(&mut self, what: &str, finding: impl AsRef<str>) {
        self.lines.push(format!("  note  {what}: {}", finding.as_ref()));
    }
}

pub(super) fn run(file: &Path) -> Result<ExitCode, Failure> {
    let config = wiring::load(file)?;
    let report = wiring::runtime()?.block_on(examine(&config));
    let ending = match report.bad {
        0 => "It would work.".to_owned(),
        1 => "1 thing would not work.".to_owned(),
        bad => format!("{bad} things would not work."),
    };
    print(&format!("{}\n{}\n\n{ending}\n", file.display(), report.lines.join("\n")))?;
    Ok(if report.bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    report.good("configuration", "no mistakes");
    public_url(config, &mut report);
    record(config, &mut report).await;
    let trusts = Trusts::default();
    identity_providers(config, &trusts, &mut report).await;
    mcp_servers(config, &trusts, &mut report).await;
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
            report.good("master key", "can be read");
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

fn new_file(path: &Path, report: &mut Report) {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if folder.is_dir() {
        report.good("store", format!("`{}` will be created", path.display()));
    } else {
        report.bad("store", format!("the folder `{}` does not exist", folder.display()));
    }
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

async fn identity_providers(config: &Config, trusts: &Trusts, report: &mut Report) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    for provider in &config.identity_providers {
        let what = format!("identity provider {}", provider.settings.id);
        match wiring::connectors::one(config, provider, &clock, trusts) {
            Ok(connector) => match connector.check().await {
                Ok(sentence) => report.good(&what, sentence),
                Err(error) => report.bad(&what, error.to_string()),
            },
            Err(failure) => report.bad(&what, failure.to_string()),
        }
        let callback = format!("{}/login/callback/{}", config.house.pages_url(), provider.settings.id);
        report.note(&what, format!("its redirect URI is {callback}"));
    }
}

async fn mcp_servers(config: &Config, trusts: &Trusts, report: &mut Report) {
    for server in &config.mcp_servers {
        let what = format!("MCP server {}", server.settings.name);
        match wiring::mcp_servers::one(config, server, trusts) {
            Ok(client) => match tokio::time::timeout(PATIENCE, client.check()).await {
                Ok(Ok(sentence)) => report.good(&what, sentence),
                Ok(Err(why)) => report.bad(&what, why),
                Err(_) => report.bad(&what, "takes a connection and does not answer"),
            },
            Err(failure) => report.bad(&what, failure.to_string()),
        }
    }
}
