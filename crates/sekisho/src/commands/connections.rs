//! `sekisho connections list|end`: which accounts people have connected, how old what was given for them is, and the end of one.
//!
//! Works on the record, beside a running Sekisho or without one; a node that runs tells the providers of what ended. Never
//! shows a secret, nor opens one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use authorization_server::Stopping;
use clap::{Args, Subcommand};
use protocol::id::{Id, User};
use protocol::world::Timestamp;
use resource_server::missing_scope;
use serde_json::{Value, json};
use store::{ConnectionRecord, Connections as _, Store, UserRecord};

use super::audit::printable;
use super::clients::list::table;
use super::docs::{moment, print, when};
use super::{Failure, people, servers};
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho connections list --config sekisho.toml
  sekisho connections list --config sekisho.toml --user alice@example.com --json
  sekisho connections end --config sekisho.toml --user alice@example.com --server notes --reason \"asked for it\"

A node that runs tells the provider that what was given is over; the person may connect again.";

/// Which accounts people have connected.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConnectionsArguments {
    /// What to do.
    #[command(subcommand)]
    command: ConnectionsCommand,
}

#[derive(Debug, Subcommand)]
enum ConnectionsCommand {
    /// Say who has connected which account, when, and how long what was given is good
    List(ListArguments),
    /// End a connection of one person
    End(EndArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Of one person only: an id, connector:subject, or e-mail address
    #[arg(long, value_name = "PERSON")]
    user: Option<String>,
    /// For one MCP server only
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct EndArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Whose: an id, connector:subject, or e-mail address
    #[arg(long, value_name = "PERSON")]
    user: String,
    /// For which MCP server, even one that is not in the configuration any more
    #[arg(long, value_name = "NAME")]
    server: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(arguments: &ConnectionsArguments) -> Result<ExitCode, Failure> {
    let runtime = wiring::runtime()?;
    let text = match &arguments.command {
        ConnectionsCommand::List(arguments) => runtime.block_on(list(arguments))?,
        ConnectionsCommand::End(arguments) => runtime.block_on(end(arguments))?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: &ListArguments) -> Result<String, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let store = wiring::open_existing_store(&config).await?;
    let user = match &arguments.user {
        Some(user) => Some(people::find_one(store.as_ref(), user).await?.id),
        None => None,
    };
    if let Some(server) = &arguments.server {
        servers::find(&config, store.as_ref(), server).await?;
    }
    let now = World::of_record(store.as_ref()).await?.clock.now();
    let mut found = all(store.as_ref(), user).await?;
    found.retain(|one| arguments.server.as_ref().is_none_or(|server| *server == one.server));
    let names = names(store.as_ref(), &found).await?;
    let lines = found.iter().map(|one| Line { record: one, person: names.get(&one.user), now });
    if arguments.json {
        let connections: Vec<_> = lines.map(|line| line.json()).collect();
        return Ok(format!("{}\n", json!({ "connections": connections })));
    }
    if found.is_empty() {
        return Ok("No accounts are connected.\n".to_owned());
    }
    let mut table = table([
        "PERSON",
        "MCP SERVER",
        "ACCOUNT",
        "SCOPE",
        "SINCE",
        "LAST EXCHANGED",
        "LAST ROTATED",
        "ENDS",
        "STATE",
    ]);
    for line in lines {
        table.add_row(line.cells());
    }
    Ok(format!("{table}\n"))
}

/// All that live, page by page.
async fn all(store: &dyn Store, user: Option<Id<User>>) -> Result<Vec<ConnectionRecord>, Failure> {
    let mut found: Vec<ConnectionRecord> = Vec::new();
    loop {
        let page = store.list_connections(user, found.last().map(|last| last.id)).await?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

async fn names(
    store: &dyn Store,
    found: &[ConnectionRecord],
) -> Result<HashMap<Id<User>, UserRecord>, Failure> {
    let mut names = HashMap::new();
    for one in found {
        if !names.contains_key(&one.user)
            && let Some(user) = store.find_user(one.user).await?
        {
            names.insert(one.user, user);
        }
    }
    Ok(names)
}

/// A connection, as an administrator sees it.
struct Line<'a> {
    record: &'a ConnectionRecord,
    person: Option<&'a UserRecord>,
    now: Timestamp,
}

impl Line<'_> {
    fn person(&self) -> String {
        self.person.map_or_else(|| self.record.user.to_string(), people::name)
    }

    /// What will happen to it, in one word.
    fn state(&self) -> &'static str {
        let record = self.record;
        let is_over = record.tokens.expires_at.is_some_and(|end| end <= self.now);
        match (&record.needs_sign_in, record.tokens.refresh_token.is_some()) {
            (Some(_), _) => "to be connected again",
            (None, false) if is_over => "over",
            (None, true) if is_over => "exchanged at the next call",
            (None, _) => "good",
        }
    }

    /// When a person has to do something, if that is known.
    fn ends(&self) -> String {
        let renews = self.record.needs_sign_in.is_none() && self.record.tokens.refresh_token.is_some();
        match self.record.tokens.expires_at {
            None => "never".to_owned(),
            Some(_) if renews => "renewed by itself".to_owned(),
            Some(end) => when(end),
        }
    }

    /// What was granted, and what was asked for and was not.
    fn scope(&self) -> String {
        let granted = self.record.tokens.scope.as_deref().map(printable).unwrap_or_default();
        let missing = missing_scope(self.record);
        if missing.is_empty() { granted } else { format!("{granted} (not allowed: {missing})") }
    }

    fn cells(&self) -> [String; 9] {
        let record = self.record;
        [
            printable(&self.person()),
            record.server.clone(),
            record.account.as_deref().map_or_else(|| "(not known)".to_owned(), printable),
            self.scope(),
            when(record.created_at),
            when(record.refreshed_at),
            when(record.rotated_at),
            self.ends(),
            self.state().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let record = self.record;
        json!({
            "id": record.id.to_string(),
            "user": record.user.to_string(),
            "person": self.person(),
            "mcp_server": record.server,
            "account": record.account,
            "scope": record.tokens.scope,
            "not_allowed": missing_scope(record).to_string(),
            "since": moment(record.created_at),
            "age_seconds": self.now.since(record.created_at).as_secs(),
            "last_exchanged": moment(record.refreshed_at),
            "last_rotated": moment(record.rotated_at),
            "exchanges": record.generation,
            "ends": record.tokens.expires_at.map(moment),
            "state": self.state(),
            "why": record.needs_sign_in,
        })
    }
}

async fn end(arguments: &EndArguments) -> Result<String, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let store = wiring::open_existing_store(&config).await?;
    let user = people::find_one(store.as_ref(), &arguments.user).await?;
    let who = people::name(&user);
    let server = arguments.server.as_str();
    let found = store.find_connection(user.id, server).await?;
    let Some(record) = found else {
        return Err(Failure::Arguments(format!("{who} has connected no account for `{server}`")));
    };
    let world = World::of_record(store.as_ref()).await?;
    let stopping = Stopping {
        clock: world.clock.as_ref(),
        entropy: world.entropy.as_ref(),
        issuer: &config.house.public_url,
        store: store.as_ref(),
    };
    let ended = stopping.end_connection(user, &record, arguments.reason.as_deref()).await?;
    Ok(if ended {
        format!(
            "Ended the connection of {who} for {server}. Every node stops using it within seconds, and one of them tells the \
             provider.\n"
        )
    } else {
        format!("Nothing to do: the connection of {who} for {server} had ended.\n")
    })
}
