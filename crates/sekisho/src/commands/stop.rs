//! `sekisho stop` and `sekisho allow`: what an operator does when something leaked, or somebody left.
//!
//! Works on the record, beside a running Sekisho or without one; every node hears of it from the record.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use authorization_server::{Stopping, Target};
use clap::{ArgGroup, Args};
use protocol::oauth::{ClientId, ClientIdKind, ResourceUri};
use protocol::world::Timestamp;
use store::{StopCounts, Store};

use super::docs::print;
use super::{Failure, people, servers};
use crate::config::{Config, is_name};
use crate::wiring::{self, World};

/// How long the last node takes to hear of it (product.md, P-2: T).
const EVERYWHERE: Duration = Duration::from_secs(5);

const STOP_EXAMPLES: &str = "\
Examples:
  sekisho stop --config sekisho.toml --user alice@example.com --reason \"laptop stolen\"
  sekisho stop --config sekisho.toml --user okta:00u1 --block --reason \"left the company\"
  sekisho stop --config sekisho.toml --user service-account:ci --block
  sekisho stop --config sekisho.toml --client dcr_AAEC --block
  sekisho stop --config sekisho.toml --server wiki
  sekisho stop --config sekisho.toml --all --yes

Who was stopped may sign in and consent again, unless stopped with --block; `sekisho allow` takes that back.";

const ALLOW_EXAMPLES: &str = "\
Examples:
  sekisho allow --config sekisho.toml --user alice@example.com
  sekisho allow --config sekisho.toml --client dcr_AAEC";

/// Whom or what to stop.
#[derive(Debug, Args)]
#[command(after_help = STOP_EXAMPLES, group(ArgGroup::new("target").required(true).multiple(false)))]
pub struct StopArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Everybody and everything
    #[arg(long, group = "target", conflicts_with = "block")]
    pub all: bool,
    /// All of one person or service account: an id, connector:subject, service-account:NAME, or e-mail address
    #[arg(long, group = "target", value_name = "PERSON")]
    pub user: Option<String>,
    /// All of one client
    #[arg(long, group = "target", value_name = "CLIENT_ID")]
    pub client: Option<String>,
    /// All at one MCP server, even one that is not in the configuration any more
    #[arg(long, group = "target", value_name = "NAME", conflicts_with = "block")]
    pub server: Option<String>,
    /// Keep the person or the client out afterwards
    #[arg(long)]
    pub block: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask before --all
    #[arg(long)]
    pub yes: bool,
}

/// Whom or what to let in again.
#[derive(Debug, Args)]
#[command(after_help = ALLOW_EXAMPLES, group(ArgGroup::new("target").required(true).multiple(false)))]
pub struct AllowArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// A person: an id, connector:subject, or e-mail address
    #[arg(long, group = "target", value_name = "PERSON")]
    pub user: Option<String>,
    /// A client
    #[arg(long, group = "target", value_name = "CLIENT_ID")]
    pub client: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

pub(super) fn run(arguments: &StopArguments) -> Result<ExitCode, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    if arguments.all && !arguments.yes {
        confirm()?;
    }
    print(&wiring::runtime()?.block_on(stop(arguments, &config))?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn allow(arguments: &AllowArguments) -> Result<ExitCode, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    print(&wiring::runtime()?.block_on(let_in(arguments, &config))?)?;
    Ok(ExitCode::SUCCESS)
}

async fn stop(arguments: &StopArguments, config: &Config) -> Result<String, Failure> {
    let store = wiring::open_existing_store(config).await?;
    let world = World::of_record(store.as_ref()).await?;
    let stopping = stopping(config, &world, store.as_ref());
    let target = target(arguments, config, &world, store.as_ref()).await?;
    let ended = stopping.stop(&target, arguments.block, arguments.reason.as_deref()).await?;
    Ok(told(&target, arguments.block, ended, world.clock.now().plus(EVERYWHERE)))
}

fn stopping<'a>(config: &'a Config, world: &'a World, store: &'a dyn Store) -> Stopping<'a> {
    let World { clock, entropy } = world;
    Stopping { clock: clock.as_ref(), entropy: entropy.as_ref(), issuer: &config.house.public_url, store }
}

async fn target(
    arguments: &StopArguments,
    config: &Config,
    world: &World,
    store: &dyn Store,
) -> Result<Target, Failure> {
    if let Some(user) = &arguments.user {
        let found = match people::find_service_account(config, store, world, user).await? {
            Some(account) => account,
            None => people::find_one(store, user).await?,
        };
        return Ok(Target::User(Box::new(found)));
    }
    if let Some(client) = &arguments.client {
        let client = client_id(client)?;
        known_client(&client, arguments.block, config, store).await?;
        return Ok(Target::Client(client));
    }
    let Some(server) = &arguments.server else { return Ok(Target::All) };
    if !is_name(server) {
        return Err(Failure::Arguments(format!("`{server}` is not the name of an MCP server")));
    }
    servers::find(config, store, server).await?;
    let names = std::iter::once(config.house.public_url.clone()).chain(config.former_names());
    let resources = names.map(|name| {
        ResourceUri::parse(&format!("{name}/{server}/mcp"))
            .map_err(|error| Failure::Arguments(error.to_string()))
    });
    Ok(Target::Server(server.clone(), resources.collect::<Result<_, _>>()?))
}

/// A misspelt id must not look like a stop. One that registers itself is not in the record before somebody consents, and may be
/// kept out before that.
async fn known_client(id: &ClientId, block: bool, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let is_configured = config.pre_registered.iter().any(|client| client.settings.client_id == id.as_str())
        || config.service_accounts.iter().any(|one| ClientId::of_service_account(&one.settings.name) == *id);
    if is_configured
        || block && id.kind() != ClientIdKind::PreRegistered
        || store.find_client(id).await?.is_some()
    {
        return Ok(());
    }
    Err(Failure::Arguments(format!(
        "nobody here has used a client `{}` (`sekisho clients list` shows all); one that registers itself can be kept out \
         before anybody does, by --block",
        id.as_str()
    )))
}

fn client_id(text: &str) -> Result<ClientId, Failure> {
    ClientId::parse(text).map_err(|error| Failure::Arguments(format!("that is not a client id: {error}")))
}

/// What was ended, and by when nobody can use it any more.
fn told(target: &Target, block: bool, ended: StopCounts, by: Timestamp) -> String {
    let StopCounts { browser_sessions, codes, grants } = ended;
    let who = match target {
        Target::All => "everybody".to_owned(),
        Target::Client(id) => format!("the client {}", id.as_str()),
        Target::Server(name, _) => format!("the MCP server {name}"),
        Target::User(user) => people::name(user),
    };
    let time = jiff::Timestamp::from_microsecond(by.micros()).unwrap_or_default().strftime("%H:%M:%S");
    let after = match (target, block) {
        (Target::User(user), true) if user.service_account().is_some() => {
            format!("It gets no token until `sekisho allow --user {}`.", user.id)
        }
        (Target::User(user), false) if user.service_account().is_some() => {
            "It may ask for a token again; --block keeps it out.".to_owned()
        }
        (Target::User(user), true) => {
            format!("They cannot sign in until `sekisho allow --user {}`.", user.id)
        }
        (Target::Client(id), true) => {
            format!("Nobody can use it until `sekisho allow --client {}`.", id.as_str())
        }
        (Target::User(_), false) => "They may sign in again; --block keeps them out.".to_owned(),
        (Target::Client(_), false) => "People may consent to it again; --block keeps it out.".to_owned(),
        (Target::Server(name, _), _) => format!(
            "People may connect again as long as the configuration has [[mcp_server]] {name}; take it out and reload."
        ),
        (Target::All, _) => "People may sign in again.".to_owned(),
    };
    format!(
        "Stopped {who}: {grants} grants, {codes} codes, {browser_sessions} browser sessions.\n\
         By {time} UTC every node refuses their access tokens, and their open streams are closed.\n{after}\n"
    )
}

async fn let_in(arguments: &AllowArguments, config: &Config) -> Result<String, Failure> {
    let store = wiring::open_existing_store(config).await?;
    let world = World::of_record(store.as_ref()).await?;
    let stopping = stopping(config, &world, store.as_ref());
    let note = arguments.reason.as_deref();
    let (who, was_out) = if let Some(user) = &arguments.user {
        let user = people::find_one(store.as_ref(), user).await?;
        (people::name(&user), stopping.allow_user(user, note).await?)
    } else {
        let id = client_id(arguments.client.as_deref().unwrap_or_default())?;
        (format!("the client {}", id.as_str()), stopping.allow_client(&id, note).await?)
    };
    Ok(if was_out {
        format!("Let {who} in again. What was stopped stays ended; a new sign-in begins anew.\n")
    } else {
        format!("Nothing to do: {who} was not blocked.\n")
    })
}

/// Everybody is signed out by this: somebody must say so.
fn confirm() -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Arguments("--all signs everybody out; say --yes if that is meant".to_owned()));
    }
    let mut out = anstream::stderr();
    let asked = write!(out, "This signs everybody out and ends every connection. Type yes to go on: ");
    asked.and_then(|()| out.flush()).map_err(Failure::io("cannot ask"))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::io("cannot read the answer"))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::Arguments("nothing was stopped".to_owned())),
    }
}
