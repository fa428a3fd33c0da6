//! What a question of `explain` or of a case is about: a tool, prompt or resource, a method, or a method of one of them.
//!
//! Must never ask about a call that the gateway would judge as another one.

use policy::{ReadOnly, ServerRules};
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use resource_server::definitions::{Definition, ToolsMode};
use store::ToolRecord;

/// Methods by what they are of, the one first that is meant where none is said.
const OF_A_TOOL: [&str; 1] = ["tools/call"];
const OF_A_PROMPT: [&str; 1] = ["prompts/get"];
const OF_A_RESOURCE: [&str; 3] = ["resources/read", "resources/subscribe", "resources/unsubscribe"];

/// What is asked about, as it was said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct What<'a> {
    pub(super) tool: Option<&'a str>,
    pub(super) prompt: Option<&'a str>,
    pub(super) resource: Option<&'a str>,
    pub(super) method: Option<&'a str>,
}

impl What<'_> {
    /// The call; none if it is only about being connected.
    pub(super) fn call(&self) -> Result<Option<McpCall>, String> {
        let kinds = [
            ("tool", self.tool, &OF_A_TOOL[..]),
            ("prompt", self.prompt, &OF_A_PROMPT),
            ("resource", self.resource, &OF_A_RESOURCE),
        ];
        let mut named =
            kinds.iter().filter_map(|(kind, name, methods)| name.map(|name| (kind, name, methods)));
        let (method, name) = match (named.next(), named.next(), self.method) {
            (Some(_), Some(_), _) => return Err("only one of tool, prompt and resource".to_owned()),
            (Some((kind, name, methods)), None, said) => {
                let method = said.or_else(|| methods.first().copied()).unwrap_or_default();
                if !methods.contains(&method) {
                    return Err(format!("`{method}` is no method of a {kind}"));
                }
                (method, Some(name))
            }
            (None, _, Some(method)) => {
                if let Some((kind, _, _)) = kinds.iter().find(|(_, _, methods)| methods.contains(&method)) {
                    return Err(format!("`{method}` is judged by its {kind}: say which {kind}"));
                }
                (method, None)
            }
            (None, _, None) => return Ok(None),
        };
        let (method, name) = (method.to_owned(), name.map(str::to_owned));
        // A method is judged alike with and without an id, but for the notifications of MCP, which have none.
        Ok(Some(McpCall { method, name, kind: CallKind::Notification, version: None, modern: false }))
    }
}

/// Arguments as a call would hold them: the gateway takes a call with others for none.
pub(super) fn arguments(text: &str) -> Result<(), String> {
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    object.map(drop).map_err(|why| format!("no JSON object: {why}"))
}

/// The scopes of an access token for this MCP server. Who may write may read, as at a call.
pub(super) fn scopes(text: &str, rules: &ServerRules) -> Result<Scope, String> {
    let scope = Scope::parse(text).map_err(|why| why.to_string())?;
    let known = rules.scopes.known();
    if let Some(unknown) = scope.iter().find(|token| !known.contains(token.as_str())) {
        return Err(format!("{} has no scope `{unknown}`, but {known}", rules.name));
    }
    if !scope.contains("write") {
        return Ok(scope);
    }
    Scope::parse("read").map(|read| scope.union(&read)).map_err(|why| why.to_string())
}

/// Whether a tool counts as one that only reads, by what is known of it. What the person is shown may say otherwise.
pub(super) fn read_only(record: &ToolRecord, mode: ToolsMode) -> ReadOnly {
    let reads = |text: &str| Definition::read(text).is_ok_and(|definition| definition.read_only());
    let accepted = record.accepted.as_ref().is_some_and(|accepted| reads(&accepted.definition.text));
    let waiting = record.waiting.as_ref().is_none_or(|waiting| reads(&waiting.text));
    match mode {
        ToolsMode::Approve if accepted => ReadOnly::Yes,
        ToolsMode::Follow if accepted && waiting => ReadOnly::Yes,
        ToolsMode::Approve | ToolsMode::Follow => ReadOnly::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_a_resource_is_asked_about_with_it_and_no_other_way() {
        let of = |what: What<'_>| what.call().map(|call| call.map(|call| (call.method, call.name)));
        let call = |method: &str, name: Option<&str>| Ok(Some((method.to_owned(), name.map(str::to_owned))));
        let nothing = What::default();
        assert_eq!(of(nothing), Ok(None));
        assert_eq!(of(What { tool: Some("t"), ..nothing }), call("tools/call", Some("t")));
        assert_eq!(of(What { resource: Some("a:b"), ..nothing }), call("resources/read", Some("a:b")));
        let subscribed = What { resource: Some("a:b"), method: Some("resources/subscribe"), ..nothing };
        assert_eq!(of(subscribed), call("resources/subscribe", Some("a:b")));
        assert_eq!(of(What { method: Some("tasks/get"), ..nothing }), call("tasks/get", None));
        for odd in [
            What { tool: Some("t"), prompt: Some("p"), ..nothing },
            What { prompt: Some("p"), method: Some("resources/read"), ..nothing },
            What { method: Some("resources/subscribe"), ..nothing },
            What { method: Some("tools/call"), ..nothing },
        ] {
            assert!(of(odd).is_err(), "{odd:?}");
        }
    }
}
