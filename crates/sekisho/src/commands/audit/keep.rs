//! `sekisho audit hold` and `sekisho audit forget`: what must be kept, and who must be forgotten (docs/audit.md).

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use protocol::id::{AuditEvent as EventOf, Id};
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditHold, AuditKeeping as _, AuditKind, Engine, Forget, Forgotten, Outcome, UserRecord,
    Users as _,
};

use super::super::docs::{print, when};
use super::super::progress::Told;
use super::super::{ConfigArgument, Failure, people, servers};
use super::{parse_age, printable};
use crate::config::Config;
use crate::wiring::{self, World};

/// What is done with legal holds.
#[derive(Debug, Subcommand)]
pub(super) enum HoldAction {
    /// Keep what is told of a person, an MCP server or a time from being removed
    Add(AddArguments),
    /// Show what is under a hold
    List(ConfigArgument),
    /// End a hold
    End(EndArguments),
}

/// What is held.
#[derive(Debug, Args)]
pub(super) struct AddArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only events of this person: an id, connector:subject, or e-mail address
    #[arg(long, value_name = "PERSON")]
    user: Option<String>,
    /// Only events at this MCP server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only events of the last so many seconds, minutes, hours or days, and those to come
    #[arg(long, value_name = "30s|10m|2h|7d", value_parser = parse_age)]
    since: Option<Duration>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
}

/// Which hold ends.
#[derive(Debug, Args)]
pub(super) struct EndArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The id that `sekisho audit hold list` shows
    id: String,
}

/// Who is forgotten.
#[derive(Debug, Args)]
pub(super) struct ForgetArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The person: an id, connector:subject, or e-mail address
    person: String,
    /// Although events of this person are under a legal hold
    #[arg(long)]
    force: bool,
}

async fn open(file: &ConfigArgument) -> Result<(Config, std::sync::Arc<Engine>, World), Failure> {
    let config = wiring::load_to_tend(&file.config)?;
    let store = wiring::open_existing_store(&config).await?;
    let world = World::of_record(store.as_ref()).await?;
    Ok((config, store, world))
}

/// Why, in words: whoever ends the hold in a year has nothing else.
fn parse_reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if reason.is_empty() { Err("say why, in a word at least".to_owned()) } else { Ok(reason.to_owned()) }
}

fn event(world: &World, kind: AuditKind) -> AuditEvent {
    let now = world.clock.now();
    AuditEvent::new(Id::mint(now, world.entropy.as_ref()), now, kind, Outcome::Ok)
}

pub(super) async fn hold(action: &HoldAction) -> Result<ExitCode, Failure> {
    let text = match action {
        HoldAction::Add(arguments) => add(arguments).await?,
        HoldAction::List(config) => list(config).await?,
        HoldAction::End(arguments) => end(arguments).await?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn add(arguments: &AddArguments) -> Result<String, Failure> {
    let (config, store, world) = open(&arguments.config).await?;
    if let Some(server) = &arguments.server {
        servers::find_in_audit(&config, store.as_ref(), server).await?;
    }
    let user = match &arguments.user {
        Some(text) => Some(people::find_one(store.as_ref(), text).await?),
        None => None,
    };
    let mut audit = event(&world, AuditKind::AuditHeld);
    let since = arguments.since.map_or(Timestamp::from_micros(i64::MIN), |age| audit.at.minus(age));
    audit.user = user.as_ref().map(|user| user.id);
    audit.server.clone_from(&arguments.server);
    audit.detail.insert("note", arguments.reason.clone());
    let hold = AuditHold {
        id: audit.id,
        user: audit.user,
        server: arguments.server.clone(),
        since,
        until: Timestamp::from_micros(i64::MAX),
        reason: arguments.reason.clone(),
        created_at: audit.at,
    };
    let (id, what) = (hold.id, covered(&hold, user.as_ref()));
    store.put_hold(hold, audit).await?;
    Ok(format!("Held, under {id}: {what}. Nothing of it is removed until `sekisho audit hold end {id}`.\n"))
}

/// What a hold covers, in words.
fn covered(hold: &AuditHold, user: Option<&UserRecord>) -> String {
    let mut text = "every event".to_owned();
    if let Some(user) = user {
        text.push_str(&format!(" of {}", printable(&people::name(user))));
    }
    if let Some(server) = &hold.server {
        text.push_str(&format!(" at {}", printable(server)));
    }
    format!("{text}, from {} on", from(hold))
}

/// From when on it holds, for people.
fn from(hold: &AuditHold) -> String {
    if hold.since == Timestamp::from_micros(i64::MIN) { "the beginning".to_owned() } else { when(hold.since) }
}

async fn list(config: &ConfigArgument) -> Result<String, Failure> {
    let (_, store, _) = open(config).await?;
    let holds = store.list_holds().await?;
    if holds.is_empty() {
        return Ok("Nothing is under a hold.\n".to_owned());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["HOLD", "SINCE", "PERSON", "SERVER", "EVENTS FROM", "WHY"]);
    for hold in holds {
        let person = match hold.user {
            Some(user) => {
                store.find_user(user).await?.as_ref().map_or_else(|| user.to_string(), people::name)
            }
            None => "everybody".to_owned(),
        };
        table.add_row([
            hold.id.to_string(),
            when(hold.created_at),
            printable(&person),
            hold.server.as_ref().map_or_else(|| "all".to_owned(), |server| printable(server)),
            from(&hold),
            printable(&hold.reason),
        ]);
    }
    Ok(format!("{table}\n"))
}

async fn end(arguments: &EndArguments) -> Result<String, Failure> {
    let none = || Failure::Arguments("there is no such hold; `sekisho audit hold list` shows all".to_owned());
    let id: Id<EventOf> = arguments.id.parse().map_err(|_| none())?;
    let (_, store, world) = open(&arguments.config).await?;
    let mut audit = event(&world, AuditKind::AuditHoldEnded);
    audit.detail.insert("hold", id.to_string());
    if store.end_hold(id, audit).await? { Ok("Ended.\n".to_owned()) } else { Err(none()) }
}

pub(super) async fn forget(arguments: &ForgetArguments) -> Result<ExitCode, Failure> {
    let (_, store, world) = open(&arguments.config).await?;
    let person = people::find_one(store.as_ref(), &arguments.person).await?;
    let mut audit = event(&world, AuditKind::PersonForgotten);
    audit.user = Some(person.id);
    let holds = store.list_holds().await?;
    if let Some(hold) = holds.iter().find(|hold| hold.user.is_none_or(|user| user == person.id)) {
        audit.detail.insert("in_spite_of", hold.id.to_string());
    }
    let told = Told::new("blocks of calls read");
    let forget = Forget { user: person.id, in_spite_of_holds: arguments.force, audit };
    let forgotten = store.forget_person(forget, &|blocks, all| told.tell(blocks, all)).await;
    told.finish();
    let Some(Forgotten { names: count, in_log, unreadable }) = forgotten? else {
        return Err(Failure::Arguments(
            "events of this person may be under a legal hold (`sekisho audit hold list`): what is held was not forgotten. \
             `--force` does it all the same"
                .to_owned(),
        ));
    };
    print(&format!(
        "Forgotten: {count} names and addresses beside events of {}. The events stay, under this id, and so do the seals. A \
         next sign-in brings the name back.\n",
        person.id
    ))?;
    if in_log {
        print(
            "The log beside the file of the store was being read: what was forgotten stands in it until it is written over.\n",
        )?;
    }
    if unreadable == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let blocks = if unreadable == 1 { "1 block" } else { &format!("{unreadable} blocks") };
    Err(Failure::Wiring(format!(
        "{blocks} of calls cannot be read: whether the name stands beside one of these is not known. `sekisho audit \
         verify` says what was changed"
    )))
}
