//! `sekisho tools`: what MCP servers say of their tools, what of it waits, and accepting it (docs/tools.md).
//!
//! Works on the record, beside a running Sekisho or without one; every node hears of it from the record within seconds.

mod show;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use protocol::id::Id;
use resource_server::definitions::{accepted, named};
use store::{AuditEvent, AuditKind, Outcome, Store, ToolChange, ToolList, ToolRecord};

use super::docs::print;
use super::{ConfigArgument, Failure};
use crate::config::Config;
use crate::wiring::{self, World};
use crate::words::tools::{name, print as fingerprint};

const EXAMPLES: &str = "\
Examples:
  sekisho tools list --config sekisho.toml                    which tools are known, and which wait
  sekisho tools diff --config sekisho.toml                    what the waiting ones say otherwise
  sekisho tools accept notes echo@3f2a9c81d0… --config sekisho.toml
  sekisho tools accept notes --all --config sekisho.toml      all that wait, as at first contact
  sekisho tools forget notes old_tool --config sekisho.toml   begin anew with a tool

The digits are those that `diff` shows, all of them: what came after them is not accepted with it.";

/// Somebody else may change the same between our look and our write; not as often as this.
const TRIES: usize = 8;

/// What to do with the definitions of tools.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ToolsArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the tools that are known, since when they say what they say, and which wait
    List(ShowArguments),
    /// Show what the tools that wait say otherwise than before, and what to look at twice
    Diff(ShowArguments),
    /// Let what tools say count
    Accept(ChangeArguments),
    /// Forget what is known of tools: they are new with the next list that holds them
    Forget(ForgetArguments),
}

/// What to show.
#[derive(Debug, Args)]
struct ShowArguments {
    /// Of this MCP server only
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Of this tool only
    #[arg(value_name = "TOOL")]
    tool: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What to change.
#[derive(Debug, Args)]
struct ChangeArguments {
    /// Of which MCP server
    #[arg(value_name = "SERVER")]
    server: String,
    /// Which tools; TOOL@FINGERPRINT is accepted only as `diff` showed it
    #[arg(value_name = "TOOL", required_unless_present = "all", conflicts_with = "all")]
    tools: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigArgument,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What to forget.
#[derive(Debug, Args)]
struct ForgetArguments {
    /// Of which MCP server
    #[arg(value_name = "SERVER")]
    server: String,
    /// Which tools
    #[arg(value_name = "TOOL", required_unless_present = "all", conflicts_with = "all")]
    tools: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigArgument,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The record, and what is needed to change it.
struct Desk {
    config: Config,
    store: Arc<dyn Store>,
    world: World,
}

impl Desk {
    async fn open(config: &ConfigArgument) -> Result<Self, Failure> {
        let config = wiring::load_to_tend(&config.config)?;
        let store = wiring::open_existing_store(&config).await?;
        let world = World::of_record(store.as_ref()).await?;
        Ok(Self { config, store, world })
    }

    /// The MCP servers of the configuration and those of which something is known, by name; or this one of them.
    async fn servers(&self, wanted: Option<&str>) -> Result<Vec<(String, ToolList)>, Failure> {
        let known = self.store.list_tool_generations().await?.into_iter().map(|(server, _)| server);
        let all: BTreeSet<String> =
            self.config.mcp_servers.iter().map(|server| server.settings.name.clone()).chain(known).collect();
        if let Some(wanted) = wanted
            && !all.contains(wanted)
        {
            return Err(Failure::Arguments(format!(
                "there is no MCP server `{}`; there are: {}",
                name(wanted),
                all.into_iter().collect::<Vec<_>>().join(", ")
            )));
        }
        let mut servers = Vec::new();
        for server in all.into_iter().filter(|server| wanted.is_none_or(|wanted| wanted == server)) {
            let list = self.store.list_tools(&server).await?;
            servers.push((server, list));
        }
        Ok(servers)
    }

    async fn list(&self, server: &str) -> Result<ToolList, Failure> {
        let mut servers = self.servers(Some(server)).await?;
        Ok(servers.pop().map(|(_, list)| list).unwrap_or_default())
    }

    /// Makes a change by what is known. What is made of it and how often it was tried is the caller's.
    async fn change(&self, change: ToolChange, done: (&'static str, Option<&str>)) -> Result<bool, Failure> {
        let now = self.world.clock.now();
        let id = Id::mint(now, self.world.entropy.as_ref());
        let mut event = AuditEvent::new(id, now, AuditKind::ToolsAccepted, Outcome::Ok);
        event.server = Some(change.server.clone());
        let names = change.put.iter().map(|tool| tool.tool.as_str());
        if let Some(names) = named(names.chain(change.forget.iter().map(String::as_str))) {
            event.detail.insert(done.0, names);
        }
        if let Some(why) = done.1 {
            event.detail.insert("why", why.to_owned());
        }
        Ok(self.store.change_tools(ToolChange { audit: vec![event], ..change }).await?)
    }
}

pub(super) fn run(arguments: &ToolsArguments) -> Result<ExitCode, Failure> {
    print(&wiring::runtime()?.block_on(act(&arguments.action))?)?;
    Ok(ExitCode::SUCCESS)
}

async fn act(action: &Action) -> Result<String, Failure> {
    match action {
        Action::List(arguments) => {
            let servers = shown(arguments).await?;
            Ok(if arguments.json { show::list_json(&servers) } else { show::list(&servers) })
        }
        Action::Diff(arguments) => {
            let servers = shown(arguments).await?;
            Ok(if arguments.json { show::diff_json(&servers) } else { show::diff(&servers) })
        }
        Action::Accept(arguments) => accept(arguments).await,
        Action::Forget(arguments) => forget(arguments).await,
    }
}

async fn shown(arguments: &ShowArguments) -> Result<Vec<(String, ToolList)>, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let mut servers = desk.servers(arguments.server.as_deref()).await?;
    if let Some(tool) = &arguments.tool {
        for (server, list) in &mut servers {
            list.tools.retain(|known| known.tool == *tool);
            if list.tools.is_empty() {
                return Err(unknown(server, tool));
            }
        }
    }
    Ok(servers)
}

fn unknown(server: &str, tool: &str) -> Failure {
    Failure::Arguments(format!(
        "nothing is known of a tool `{}` of {server}; `sekisho tools list {server}` shows those that were seen",
        name(tool)
    ))
}

/// The record of a tool, and the fingerprint that was asked for.
fn find<'l, 't>(
    list: &'l ToolList,
    server: &str,
    asked: &'t str,
) -> Result<(&'l ToolRecord, Option<&'t str>), Failure> {
    let by_name = |tool: &str| list.tools.iter().find(|known| known.tool == tool);
    if let Some(tool) = by_name(asked) {
        return Ok((tool, None));
    }
    let split = asked.rsplit_once('@').and_then(|(tool, print)| Some((by_name(tool)?, Some(print))));
    split.ok_or_else(|| unknown(server, asked))
}

async fn accept(arguments: &ChangeArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let server = &arguments.server;
    for _ in 0..TRIES {
        let list = desk.list(server).await?;
        let now = desk.world.clock.now();
        let put: Vec<ToolRecord> = if arguments.all {
            list.tools.iter().filter_map(|tool| accepted(tool, now)).collect()
        } else {
            let wanted = arguments.tools.iter().map(|asked| wanted(&list, server, asked));
            let mut wanted = wanted.collect::<Result<Vec<_>, _>>()?;
            wanted.sort_by(|one, other| one.tool.cmp(&other.tool));
            wanted.dedup_by(|one, other| one.tool == other.tool);
            wanted.into_iter().filter_map(|tool| accepted(tool, now)).collect()
        };
        if put.is_empty() {
            return Ok(format!("Nothing to do: nothing of {server} waits.\n"));
        }
        let told = show::accepted(server, &put);
        let change = ToolChange {
            server: server.clone(),
            generation: list.generation,
            put,
            forget: Vec::new(),
            audit: Vec::new(),
        };
        if desk.change(change, ("accepted", arguments.reason.as_deref())).await? {
            return Ok(told);
        }
    }
    Err(busy())
}

fn wanted<'l>(list: &'l ToolList, server: &str, asked: &str) -> Result<&'l ToolRecord, Failure> {
    let (tool, print) = find(list, server, asked)?;
    let Some(waiting) = &tool.waiting else {
        return Err(Failure::Arguments(format!("`{}` of {server} does not wait", name(&tool.tool))));
    };
    let Some(print) = print.map(str::to_ascii_lowercase) else { return Ok(tool) };
    let whole = fingerprint(&waiting.fingerprint);
    let why = match whole.strip_prefix(&print) {
        Some("") => return Ok(tool),
        // Whoever says what a tool is can find another definition with the same first digits.
        Some(_) => format!(
            "is accepted by all {} digits of what it says, and these are {}",
            whole.len(),
            print.len()
        ),
        None => "says something else by now".to_owned(),
    };
    let name = name(&tool.tool);
    Err(Failure::Arguments(format!("`{name}` of {server} {why}; look again: sekisho tools diff {server}")))
}

async fn forget(arguments: &ForgetArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let server = &arguments.server;
    for _ in 0..TRIES {
        let list = desk.list(server).await?;
        let mut forget = Vec::new();
        for asked in &arguments.tools {
            forget.push(find(&list, server, asked)?.0.tool.clone());
        }
        if arguments.all {
            forget.extend(list.tools.iter().map(|tool| tool.tool.clone()));
        }
        forget.sort_unstable();
        forget.dedup();
        if forget.is_empty() {
            return Ok(format!("Nothing to do: nothing is known of the tools of {server}.\n"));
        }
        let count = forget.len();
        let change = ToolChange {
            server: server.clone(),
            generation: list.generation,
            put: Vec::new(),
            forget,
            audit: Vec::new(),
        };
        if desk.change(change, ("forgotten", arguments.reason.as_deref())).await? {
            return Ok(format!(
                "Forgot {count} tools of {server}. With the next list that holds them they are new: where definitions are accepted, they wait.\n"
            ));
        }
    }
    Err(busy())
}

fn busy() -> Failure {
    Failure::Arguments("what is known of the tools changes all the time; try again".to_owned())
}
