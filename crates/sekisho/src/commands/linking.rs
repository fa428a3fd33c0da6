//! `sekisho people link|unlink|list`: which identities are one person. Never by an address; each is an event of the audit.
//!
//! Works on the record, beside a running Sekisho or without one.

use std::path::PathBuf;
use std::process::ExitCode;

use authorization_server::{LinkedIdentity, Stopping};
use clap::{Args, Subcommand};
use store::{IdentityLinks as _, Queries as _, Store, UserRecord};

use super::docs::print;
use super::{Failure, people};
use crate::config::Config;
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho people link --config sekisho.toml github:583231 --to okta:00u1 --reason \"asked in person\"
  sekisho people list --config sekisho.toml okta:00u1
  sekisho people unlink --config sekisho.toml github:583231

From then on who signs in as the linked identity is that person, with the groups that the provider of this sign-in tells. \
Stopping the person stops both. Make links after every node runs a release that knows them.";

/// Which identities are one person.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PeopleArguments {
    /// What to do.
    #[command(subcommand)]
    command: PeopleCommand,
}

#[derive(Debug, Subcommand)]
enum PeopleCommand {
    /// Make who signs in by another identity provider somebody who is known here
    Link(LinkArguments),
    /// Undo that; everything of the person ends, and both sign in again
    Unlink(IdentityArguments),
    /// Say which identities are a person
    List(ListArguments),
}

#[derive(Debug, Args)]
struct LinkArguments {
    #[command(flatten)]
    other: IdentityArguments,
    /// Who that is: an id, or connector:subject
    #[arg(long, value_name = "PERSON")]
    to: String,
}

#[derive(Debug, Args)]
struct IdentityArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The other identity: connector:subject
    #[arg(value_name = "CONNECTOR:SUBJECT")]
    identity: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// A person: an id, connector:subject, or e-mail address
    #[arg(value_name = "PERSON")]
    person: String,
}

pub(super) fn run(arguments: &PeopleArguments) -> Result<ExitCode, Failure> {
    let runtime = wiring::runtime()?;
    let text = match &arguments.command {
        PeopleCommand::Link(arguments) => runtime.block_on(link(arguments))?,
        PeopleCommand::Unlink(arguments) => runtime.block_on(unlink(arguments))?,
        PeopleCommand::List(arguments) => runtime.block_on(list(arguments))?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn identity(text: &str) -> Result<LinkedIdentity, Failure> {
    match text.split_once(':') {
        Some((connector, subject)) if !connector.is_empty() && !subject.is_empty() => {
            Ok(LinkedIdentity { connector: connector.to_owned(), subject: subject.to_owned() })
        }
        Some(_) | None => Err(Failure::Arguments(format!("`{text}` is not connector:subject"))),
    }
}

fn stopping<'a>(config: &'a Config, world: &'a World, store: &'a dyn Store) -> Stopping<'a> {
    let World { clock, entropy } = world;
    Stopping { clock: clock.as_ref(), entropy: entropy.as_ref(), issuer: &config.house.public_url, store }
}

async fn link(LinkArguments { other, to }: &LinkArguments) -> Result<String, Failure> {
    let config = wiring::load_to_tend(&other.config)?;
    let identity = identity(&other.identity)?;
    if !config.identity_providers.iter().any(|provider| provider.settings.id == identity.connector) {
        return Err(Failure::Arguments(format!("`{}` is no [[identity_provider]] here", identity.connector)));
    }
    let by_address = to.contains('@') && !to.contains(':');
    if by_address {
        return Err(Failure::Arguments(
            "an address is not proof of who somebody is: say --to by id or connector:subject".to_owned(),
        ));
    }
    let store = wiring::open_existing_store(&config).await?;
    let world = World::of_record(store.as_ref()).await?;
    let to = people::find_one(store.as_ref(), to).await?;
    let known = store.find_people(&other.identity).await?;
    let is_own = |one: &&UserRecord| one.connector == identity.connector && one.subject == identity.subject;
    let own = known.iter().find(is_own);
    let stopping = stopping(&config, &world, store.as_ref());
    let linked = stopping.link(&identity, own, &to, other.reason.as_deref()).await?;
    let who = people::name(&to);
    let Some(ended) = linked else {
        return Err(Failure::Arguments(format!(
            "{} cannot be linked to {who}: one of them is kept out, linked already, has others linked to it, or both are one",
            other.identity
        )));
    };
    Ok(format!(
        "Who signs in as {} is {who} from now on. What the identity had of its own has ended: {} grants, {} browser sessions.\n",
        other.identity, ended.grants, ended.browser_sessions
    ))
}

async fn unlink(arguments: &IdentityArguments) -> Result<String, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let identity = identity(&arguments.identity)?;
    let store = wiring::open_existing_store(&config).await?;
    let world = World::of_record(store.as_ref()).await?;
    let link = store.find_identity_link(&identity.connector, &identity.subject).await?;
    let link = link.ok_or_else(|| Failure::Arguments(format!("{} is not linked", arguments.identity)))?;
    let user = people::find_one(store.as_ref(), &link.user.to_string()).await?;
    let stopping = stopping(&config, &world, store.as_ref());
    let undone = stopping.unlink(link, &user, arguments.reason.as_deref()).await?;
    let who = people::name(&user);
    let Some(ended) = undone else {
        return Err(Failure::Arguments(format!(
            "{who} is kept out, and what is linked to them stays so: `sekisho allow --user {}` first",
            user.id
        )));
    };
    Ok(format!(
        "{} is a person of its own again. All of {who} has ended, since nobody can tell by which it was begun: {} grants, {} browser sessions.\n",
        arguments.identity, ended.grants, ended.browser_sessions
    ))
}

async fn list(arguments: &ListArguments) -> Result<String, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let store = wiring::open_existing_store(&config).await?;
    let user = people::find_one(store.as_ref(), &arguments.person).await?;
    let mut text = format!("{}  {}:{}\n", user.id, user.connector, user.subject);
    for link in store.list_identity_links(user.id).await? {
        let since = jiff::Timestamp::from_microsecond(link.created_at.micros()).unwrap_or_default();
        text.push_str(&format!(
            "  linked {}:{} since {}\n",
            link.connector,
            link.subject,
            since.strftime("%F %T UTC")
        ));
    }
    Ok(text)
}
