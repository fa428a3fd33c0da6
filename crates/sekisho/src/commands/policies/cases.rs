//! `sekisho policy test`: cases, each a question and the answer that is expected.
//!
//! A case that cannot mean what it says is a mistake, so that nobody believes in a test that tests nothing.

use std::net::IpAddr;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use policy::{Around, Decision, Explanation, Person, Question, ReadOnly};
use protocol::id::{Id, User};
use protocol::mcp::McpCall;
use protocol::oauth::Scope;
use serde::Deserialize;

use super::what::{self, What};
use crate::commands::Failure;
use crate::config::Config;
use crate::wiring::mcp_servers;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

/// One question, and what is expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is about.
    name: Option<String>,
    /// The e-mail address of the person.
    user: Option<String>,
    /// Policies see an address only if the identity provider says that it is verified.
    #[serde(default = "yes")]
    email_verified: bool,
    /// Sekisho's id of the person.
    user_id: Option<Id<User>>,
    #[serde(default)]
    groups: Vec<String>,
    service_account: Option<String>,
    #[serde(default = "nobody")]
    client: String,
    server: String,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    /// Any other method, or one of a resource beside it; with none of the four, whether the person may connect.
    method: Option<String>,
    #[serde(default)]
    read_only: bool,
    /// A table, or JSON as a text.
    arguments: Option<toml::Value>,
    #[serde(default = "all")]
    scopes: Vec<String>,
    #[serde(default = "here")]
    address: IpAddr,
    /// RFC 3339.
    #[serde(default = "then")]
    at: String,
    expect: Expected,
    /// The rule that decides: the id of a policy, or one of Sekisho's own.
    rule: Option<String>,
}

/// `allow`, `deny` or `need SCOPE …`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
enum Expected {
    Allow,
    Deny,
    Need(Scope),
}

impl TryFrom<String> for Expected {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("need ")) {
            ("allow", _) => Ok(Self::Allow),
            ("deny", _) => Ok(Self::Deny),
            (_, Some(scope)) => Scope::parse(scope).map(Self::Need).map_err(|why| why.to_string()),
            (_, None) => Err("`expect` is \"allow\", \"deny\" or \"need SCOPE\"".to_owned()),
        }
    }
}

impl Expected {
    fn is(&self, decision: &Decision) -> bool {
        match (self, decision) {
            (Self::Allow, Decision::Allow { .. }) | (Self::Deny, Decision::Deny { .. }) => true,
            (Self::Need(expected), Decision::NeedScope { scope, .. }) => expected == scope,
            (Self::Allow | Self::Deny | Self::Need(_), _) => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Allow => "allow".to_owned(),
            Self::Deny => "deny".to_owned(),
            Self::Need(scope) => format!("need {scope}"),
        }
    }
}

const fn yes() -> bool {
    true
}

fn nobody() -> String {
    "a client".to_owned()
}

fn all() -> Vec<String> {
    vec!["read".to_owned(), "write".to_owned()]
}

fn here() -> IpAddr {
    [127, 0, 0, 1].into()
}

fn then() -> String {
    "2026-01-01T12:00:00Z".to_owned()
}

/// What is said, and how many answers were not as expected.
pub(super) fn test(config: &Config, file: &Path) -> Result<(String, usize), Failure> {
    let wrong = |why: String| Failure::Arguments(format!("`{}`: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|why| wrong(why.to_string()))?;
    let cases: Cases = toml::from_str(&text).map_err(|why| wrong(why.to_string()))?;
    if cases.case.is_empty() {
        return Err(wrong("it holds no [[case]]".to_owned()));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["CASE", "EXPECTED", "ANSWERED", "RULE"]);
    let mut failed = 0_usize;
    for (index, case) in cases.case.iter().enumerate() {
        let name = case.name.clone().unwrap_or_else(|| format!("case {}", index.saturating_add(1)));
        let answer = answer(config, case).map_err(|why| wrong(format!("{name}: {why}")))?;
        if !fits(case, &answer) {
            failed = failed.saturating_add(1);
            let expected = case.rule.as_ref().map_or(String::new(), |rule| format!(" by {rule}"));
            let (answered, rule) = words(&answer.decision);
            let place =
                config.policies.place(&rule).map_or(String::new(), |(place, _)| format!(" ({place})"));
            let expected = case.expect.words() + &expected;
            table.add_row([name, expected, answered, rule + &place]);
        }
    }
    let number = cases.case.len();
    if failed == 0 {
        return Ok((format!("{number} cases, all as expected\n"), 0));
    }
    Ok((format!("{failed} of {number} cases are not as expected\n\n{table}\n"), failed))
}

/// Of several policies that decide alike the audit names one; a case may name any.
fn fits(case: &Case, answer: &Explanation) -> bool {
    let (rule, alike) = match &answer.decision {
        Decision::Allow { rule } => (rule, &answer.permitting),
        Decision::Deny { rule } => (rule, &answer.forbidding),
        Decision::NeedScope { rule, .. } => (rule, &Vec::new()),
    };
    let names_it = |expected: &str| {
        rule.as_str() == expected
            || (alike.contains(rule) && alike.iter().any(|other| other.as_str() == expected))
    };
    case.expect.is(&answer.decision) && case.rule.as_deref().is_none_or(names_it)
}

fn words(decision: &Decision) -> (String, String) {
    match decision {
        Decision::Allow { rule } => ("allow".to_owned(), rule.to_string()),
        Decision::Deny { rule } => ("deny".to_owned(), rule.to_string()),
        Decision::NeedScope { rule, scope } => (format!("need {scope}"), rule.to_string()),
    }
}

/// The call that a case asks about; none if only about being connected.
fn asked(case: &Case) -> Result<Option<McpCall>, String> {
    if case.tool.is_none() && (case.read_only || case.arguments.is_some()) {
        return Err("read_only and arguments are of a tool".to_owned());
    }
    let what = What {
        tool: case.tool.as_deref(),
        prompt: case.prompt.as_deref(),
        resource: case.resource.as_deref(),
        method: case.method.as_deref(),
    };
    what.call()
}

fn person(case: &Case) -> Result<Person<'_>, String> {
    let is_person = case.user.is_some() || case.user_id.is_some() || !case.groups.is_empty();
    if case.service_account.is_some() && is_person {
        return Err("a service account has no user, user_id and groups".to_owned());
    }
    Ok(Person {
        user: case.user_id.unwrap_or_else(|| Id::from_bytes([0; 16])),
        email: case.user.as_deref().filter(|_| case.email_verified),
        groups: &case.groups,
        service_account: case.service_account.as_deref(),
    })
}

fn arguments(case: &Case) -> Result<Option<String>, String> {
    Ok(match &case.arguments {
        None => None,
        Some(toml::Value::String(text)) => {
            what::arguments(text).map_err(|why| format!("arguments: {why}"))?;
            Some(text.clone())
        }
        Some(value) if has_time(value) => {
            return Err("JSON knows no times: write the argument as a text".to_owned());
        }
        Some(value @ toml::Value::Table(_)) => {
            Some(serde_json::to_string(value).map_err(|why| why.to_string())?)
        }
        Some(_) => return Err("arguments are a table, or JSON as a text".to_owned()),
    })
}

fn has_time(value: &toml::Value) -> bool {
    match value {
        toml::Value::Datetime(_) => true,
        toml::Value::Array(values) => values.iter().any(has_time),
        toml::Value::Table(members) => members.values().any(has_time),
        toml::Value::Boolean(_)
        | toml::Value::Float(_)
        | toml::Value::Integer(_)
        | toml::Value::String(_) => false,
    }
}

fn answer(config: &Config, case: &Case) -> Result<Explanation, String> {
    let server = config.mcp_servers.iter().find(|server| server.settings.name == case.server);
    let server = server.ok_or_else(|| format!("there is no MCP server `{}`", case.server))?;
    let rules = mcp_servers::rules(config, server).map_err(|failure| failure.to_string())?;
    let (person, arguments) = (person(case)?, arguments(case)?);
    let Some(call) = asked(case)? else {
        return Ok(policy::explain(&Question::MayConnect { person, server: &rules }));
    };
    let scope = what::scopes(&case.scopes.join(" "), &rules).map_err(|why| format!("scopes: {why}"))?;
    let now = super::time(&case.at)?;
    let read_only = match (&case.tool, case.read_only) {
        (None, _) => ReadOnly::NotATool,
        (Some(_), true) => ReadOnly::Yes,
        (Some(_), false) => ReadOnly::No,
    };
    let around = Around { address: case.address, client: &case.client, now, scope: &scope };
    let (call, arguments, server) = (&call, arguments.as_deref(), &rules);
    Ok(policy::explain(&Question::MayCall { call, arguments, person, read_only, around, server }))
}
