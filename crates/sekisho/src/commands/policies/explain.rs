//! `sekisho policy explain`: what decides about a person of the record at one tool, prompt or resource.

use std::net::IpAddr;

use clap::{ArgGroup, Args};
use policy::{Around, Decision, Explanation, Person, Question, ReadOnly, Rule};
use protocol::id::Id;
use protocol::mcp::McpCall;
use resource_server::definitions::ToolsMode;
use store::{Queries, SERVICE_ACCOUNT, Store, UserRecord};

use super::what::{self, What};
use crate::commands::{ConfigArgument, Failure, people};
use crate::config::Config;
use crate::wiring::{self, World, mcp_servers};

/// Who, and what.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").multiple(false)))]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Who: an id, connector:subject or an e-mail address; service-account:NAME for a service account
    #[arg(long, value_name = "PERSON")]
    user: String,
    /// The MCP server; without anything of it, whether the person may connect
    #[arg(long, value_name = "NAME")]
    server: String,
    /// The tool that is called
    #[arg(long, group = "what", value_name = "NAME")]
    tool: Option<String>,
    /// The prompt that is asked for
    #[arg(long, group = "what", value_name = "NAME")]
    prompt: Option<String>,
    /// The resource that is read
    #[arg(long, group = "what", value_name = "URI")]
    resource: Option<String>,
    /// Another method, such as tools/list; of a resource, such as resources/subscribe, beside --resource
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// The arguments of the call
    #[arg(long, value_name = "JSON", requires = "tool")]
    arguments: Option<String>,
    /// The tool says of itself that it only reads; without this, what is known of it counts
    #[arg(long, requires = "tool")]
    read_only: bool,
    /// The client
    #[arg(long, value_name = "CLIENT_ID", default_value = "a client")]
    client: String,
    /// The scopes of the access token
    #[arg(long, value_name = "SCOPES", default_value = "read write")]
    scopes: String,
    /// From where
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// When, such as 2026-01-01T12:00:00Z; now if it is left out
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(super) async fn said(arguments: &ExplainArguments) -> Result<String, Failure> {
    let config = wiring::load(&arguments.config.config)?;
    let store = wiring::open_existing_store(&config).await?;
    let asking = Asking::find(&config, store.as_ref(), &arguments.user).await?;
    let server = config.mcp_servers.iter().find(|server| server.settings.name == arguments.server);
    let server = server.ok_or_else(|| {
        Failure::Arguments(format!("there is no MCP server `{}` in the configuration", arguments.server))
    })?;
    let rules = mcp_servers::rules(&config, server)?;
    let wrong = |name: &str, why: String| Failure::Arguments(format!("{name}: {why}"));
    let scope = what::scopes(&arguments.scopes, &rules).map_err(|why| wrong("--scopes", why))?;
    if let Some(text) = &arguments.arguments {
        what::arguments(text).map_err(|why| wrong("--arguments", why))?;
    }
    let now = match &arguments.at {
        Some(text) => super::time(text).map_err(|why| wrong("--at", why))?,
        None => World::real().clock.now(),
    };
    let (address, client) = (arguments.address, arguments.client.as_str());
    let around = Around { address, client, now, scope: &scope };
    let call = call(arguments).map_err(Failure::Arguments)?;
    let hint = hint(arguments, store.as_ref(), server.settings.tools).await?;
    let person = asking.person();
    let question = match &call {
        None => Question::MayConnect { person, server: &rules },
        Some(call) => Question::MayCall {
            call,
            arguments: arguments.arguments.as_deref(),
            person,
            read_only: hint.0,
            around,
            server: &rules,
        },
    };
    Ok(words(&config, &asking, (call.as_ref(), hint.1), &policy::explain(&question)))
}

/// Whether the tool that is asked about only reads, and the words for it.
async fn hint(
    arguments: &ExplainArguments,
    store: &dyn Store,
    mode: ToolsMode,
) -> Result<(ReadOnly, Option<&'static str>), Failure> {
    let Some(tool) = &arguments.tool else { return Ok((ReadOnly::NotATool, None)) };
    if arguments.read_only {
        return Ok((ReadOnly::Yes, Some("only reads, as was said")));
    }
    let known = store.list_tools(&arguments.server).await?.tools;
    Ok(match known.iter().find(|known| known.tool == *tool).map(|known| what::read_only(known, mode)) {
        Some(ReadOnly::Yes) => (ReadOnly::Yes, Some("only reads, as it says of itself")),
        Some(ReadOnly::No | ReadOnly::NotATool) => (ReadOnly::No, Some("writes, as far as it says")),
        None => (ReadOnly::No, Some("is not known here, and counts as one that writes")),
    })
}

/// The call that is asked about; none if only about being connected.
fn call(arguments: &ExplainArguments) -> Result<Option<McpCall>, String> {
    let what = What {
        tool: arguments.tool.as_deref(),
        prompt: arguments.prompt.as_deref(),
        resource: arguments.resource.as_deref(),
        method: arguments.method.as_deref(),
    };
    what.call()
}

/// Who is asked about: of the record, or a service account that was configured and was not here yet.
struct Asking {
    record: Option<UserRecord>,
    service_account: Option<String>,
}

impl Asking {
    async fn find(config: &Config, store: &dyn Queries, text: &str) -> Result<Self, Failure> {
        let Some((SERVICE_ACCOUNT, name)) = text.split_once(':') else {
            let record = people::find_one(store, text).await?;
            let service_account = record.service_account().map(str::to_owned);
            return Ok(Self { record: Some(record), service_account });
        };
        if !config.service_accounts.iter().any(|account| account.settings.name == name) {
            let why = format!("there is no service account `{name}` in the configuration");
            return Err(Failure::Arguments(why));
        }
        let record = store.find_people(text).await?.pop();
        Ok(Self { record, service_account: Some(name.to_owned()) })
    }

    fn person(&self) -> Person<'_> {
        let record = self.record.as_ref();
        Person {
            user: record.map_or_else(|| Id::from_bytes([0; 16]), |record| record.id),
            email: record.and_then(|record| record.email.as_deref()),
            groups: record.map_or(&[], |record| &record.groups),
            service_account: self.service_account.as_deref(),
        }
    }

    fn words(&self) -> String {
        let shut_out = match self.record.as_ref().and_then(|record| record.disabled_at) {
            Some(_) => "; shut out: gets nothing before `sekisho allow`",
            None => "",
        };
        match (&self.service_account, &self.record) {
            (Some(name), _) => format!("service account {name}{shut_out}"),
            (None, Some(person)) if person.groups.is_empty() => {
                format!("{} (no group){shut_out}", people::name(person))
            }
            (None, Some(person)) => {
                format!("{} ({}){shut_out}", people::name(person), person.groups.join(", "))
            }
            (None, None) => String::new(),
        }
    }
}

fn words(
    config: &Config,
    asking: &Asking,
    (call, hint): (Option<&McpCall>, Option<&str>),
    why: &Explanation,
) -> String {
    let (answer, rule) = match &why.decision {
        Decision::Allow { rule } => ("allowed".to_owned(), rule),
        Decision::Deny { rule } => ("refused".to_owned(), rule),
        Decision::NeedScope { rule, scope } => (format!("asked for the scope `{scope}`"), rule),
    };
    let mut lines = Vec::new();
    let mut line = |label: &str, words: String| lines.push(format!("{label:<11}{words}\n"));
    line("who", asking.words());
    line(
        "what",
        match call.map(|call| (&call.method, &call.name)) {
            Some((method, Some(name))) => format!("{method} {name}"),
            Some((method, None)) => method.clone(),
            None => "connect".to_owned(),
        },
    );
    if let Some(hint) = hint {
        line("tool", hint.to_owned());
    }
    line("answer", format!("{answer}, by {}", place(config, rule)));
    match &why.access {
        Ok(rule) => line("access", format!("lets in ({rule})")),
        Err(rule) => line("access", format!("does not let in ({rule})")),
    }
    for rule in &why.forbidding {
        line("forbids", place(config, rule));
    }
    for rule in &why.permitting {
        line("permits", place(config, rule));
    }
    match &why.scopes {
        Some(Decision::Allow { .. }) => line("scopes", "are enough".to_owned()),
        Some(Decision::NeedScope { scope, .. }) => line("scopes", format!("lack `{scope}`")),
        Some(Decision::Deny { rule }) => line("scopes", format!("cannot be enough ({rule})")),
        None => {}
    }
    lines.concat()
}

/// The rule, with its place and what it says of itself if it is a policy.
fn place(config: &Config, rule: &Rule) -> String {
    match config.policies.place(rule.as_str()) {
        Some((place, Some(words))) => format!("{rule} ({place}): {words}"),
        Some((place, None)) => format!("{rule} ({place})"),
        None => rule.to_string(),
    }
}
