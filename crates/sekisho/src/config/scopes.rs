//! `[[mcp_server.scope]]`: scopes of the operator's own, and what a client is told to ask for first (product.md, P-12).

use protocol::oauth::ScopeToken;
use toml::de::DeValue;

use super::Config;
use super::parse;
use super::reader::Section;
use super::settings::settings;

/// The scopes that every MCP server has.
pub(super) const STANDARD: [&str; 2] = ["read", "write"];
/// Scopes that mean something else to clients and identity providers (OpenID Connect Core, sections 5.4 and 11).
const TAKEN: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

settings! {
    /// A scope of the MCP server beside `read` and `write`, for some of its tools: a call of one of them needs this scope in
    /// place of `read` or `write`, whatever the tool says of itself. A tool in several of these tables needs all of them.
    ServerScope = "[[mcp_server.scope]]" {
        /// The scope as clients ask for it.
        name: String = required, "1 to 64 letters, digits and . _ : / -; not read, write or a scope of OpenID Connect", name;
        /// The tools that need it: whole names, or how names begin, as in `refund_*`.
        tools: Vec<String> = required, "a list such as [\"pay\", \"refund_*\"]", tools;
        /// What it allows in words, for the consent page.
        words: String = required, "a text such as \"make payments\"", parse::text;
        /// As `words`, in Japanese. Without it, `words` are shown in both languages.
        words_ja: Option<String> = optional, "a text", parse::text;
        /// Whether a client is told to ask for it at once, and the person may untick it. If not, a client asks for it when a
        /// call first needs it.
        at_once: bool = "true", "true or false", parse::boolean;
    }
}

impl ServerScope {
    /// Reads every `[[mcp_server.scope]]`, each name once.
    pub(super) fn read_all(server: &mut Section<'_>) -> Option<Vec<Self>> {
        let read = |mut section: Section<'_>| {
            let scope = Self::read(&mut section);
            section.finish();
            scope
        };
        let scopes: Vec<Option<Self>> = server.tables("scope").into_iter().map(read).collect();
        let scopes: Vec<Self> = scopes.into_iter().collect::<Option<_>>()?;
        let is_twice = |(index, scope): (usize, &Self)| {
            scopes.iter().take(index).any(|earlier| earlier.name == scope.name)
        };
        if scopes.iter().enumerate().any(is_twice) {
            server.mistake(
                "scope",
                "holds one name twice",
                "one table for each scope, with all of its tools",
            );
            return None;
        }
        Some(scopes)
    }
}

/// What a challenge names that no call has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstChallenge {
    /// All that calls can need.
    All,
    /// What only reads.
    Least,
}

pub(super) fn challenge(value: &DeValue<'_>) -> Result<FirstChallenge, String> {
    match parse::text(value)?.as_str() {
        "all" => Ok(FirstChallenge::All),
        "least" => Ok(FirstChallenge::Least),
        _ => Err("is neither of the two".to_owned()),
    }
}

fn name(value: &DeValue<'_>) -> Result<String, String> {
    let name = parse::text(value)?;
    if STANDARD.contains(&name.as_str()) || TAKEN.contains(&name.as_str()) {
        return Err("is a scope that means something else".to_owned());
    }
    if is_scope(&name) { Ok(name) } else { Err("is no such name".to_owned()) }
}

/// Whether it is written like a scope of an operator's.
pub(super) fn is_scope(name: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-');
    name.len() <= 64 && name.chars().all(sound) && ScopeToken::parse(name).is_ok()
}

fn tools(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let tools = parse::texts(value)?;
    if tools.is_empty() {
        return Err("names no tool".to_owned());
    }
    let star = |tool: &String| tool.strip_suffix('*').unwrap_or(tool).contains('*');
    if tools.iter().any(star) { Err("has a * that is not at the end".to_owned()) } else { Ok(tools) }
}

/// A service account acts for people by scopes that are there.
pub(super) fn judge_acting(config: &Config, root: &Section<'_>) {
    let own = |name: &str| {
        let mut scopes = config.mcp_servers.iter().flat_map(|server| &server.scopes);
        scopes.any(|scope| scope.name == name)
    };
    let acting = config.service_accounts.iter().flat_map(|account| &account.may_act);
    let mut named = acting.flat_map(|rule| &rule.scopes);
    if let Some(scope) = named.find(|scope| !STANDARD.contains(&scope.as_str()) && !own(scope)) {
        let problem = format!("may act with the scope `{scope}`, which no MCP server has");
        root.mistake("service_account", problem, "read, write, or the name of a [[mcp_server.scope]]");
    }
}
