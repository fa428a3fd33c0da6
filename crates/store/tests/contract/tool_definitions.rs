use protocol::secret::Hash;
use store::{
    AcceptedBy, AcceptedDefinition, AuditFilter, AuditKind, Queries as _, SeenDefinition, ToolChange,
    ToolDefinitions as _, ToolList, ToolRecord,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    nothing_is_known_of_an_mcp_server_that_nobody_listed,
    what_is_known_comes_back_as_it_was_put,
    of_all_nodes_that_see_a_change_one_writes_it,
    a_change_that_was_judged_by_something_older_is_not_made,
    what_is_forgotten_is_gone_and_the_rest_stays,
    a_row_that_is_half_there_is_refused,
}

fn seen(text: &str) -> SeenDefinition {
    SeenDefinition { text: text.to_owned(), fingerprint: Hash::of(text.as_bytes()), seen_at: NOW }
}

fn tool(name: &str, accepted: Option<&str>, waiting: Option<&str>) -> ToolRecord {
    let by = if name.len().is_multiple_of(2) { AcceptedBy::Following } else { AcceptedBy::Operator };
    let accepted =
        accepted.map(|text| AcceptedDefinition { definition: seen(text), at: NOW.plus(MINUTE), by });
    ToolRecord {
        tool: name.to_owned(),
        first_seen_at: NOW.minus(MINUTE),
        accepted,
        waiting: waiting.map(seen),
    }
}

fn change(generation: u64, put: Vec<ToolRecord>) -> ToolChange {
    let server = "notes".to_owned();
    ToolChange { server, generation, put, forget: Vec::new(), audit: vec![event(AuditKind::ToolsChanged)] }
}

async fn told(store: &Opened) -> usize {
    let filter = AuditFilter { kind: Some(AuditKind::ToolsChanged), ..AuditFilter::default() };
    store.list_audit(filter, None, 100).await.unwrap().len()
}

async fn nothing_is_known_of_an_mcp_server_that_nobody_listed(store: Opened) {
    assert_eq!(store.list_tools("notes").await.unwrap(), ToolList::default());
    assert_eq!(store.list_tool_generations().await.unwrap(), []);
}

async fn what_is_known_comes_back_as_it_was_put(store: Opened) {
    let large = format!("{{\"name\":\"c\",\"x\":\"{}\u{1f6aa}\"}}", "x".repeat(60_000));
    let tools = vec![
        tool("B", None, Some("{\"name\":\"B\"}")),
        tool("a", Some("{ \"name\": \"a\" }"), None),
        tool("cc", Some(&large), Some("{}")),
    ];
    assert!(store.change_tools(change(0, tools.clone())).await.unwrap());
    assert_eq!(store.list_tools("notes").await.unwrap(), ToolList { generation: 1, tools });
    assert_eq!(store.list_tools("note").await.unwrap(), ToolList::default());
    // One of them becomes something else, and another becomes known.
    let again = vec![tool("a", Some("{}"), Some("[]")), tool("d", Some("{}"), None)];
    assert!(store.change_tools(change(1, again)).await.unwrap());
    let now = store.list_tools("notes").await.unwrap();
    let names: Vec<_> = now.tools.iter().map(|tool| tool.tool.as_str()).collect();
    assert_eq!((now.generation, names), (2, vec!["B", "a", "cc", "d"]));
    assert_eq!(now.tools[1], tool("a", Some("{}"), Some("[]")));
    let mut other = change(0, vec![tool("a", Some("{}"), None)]);
    other.server = "calc".to_owned();
    assert!(store.change_tools(other).await.unwrap());
    let generations = store.list_tool_generations().await.unwrap();
    assert_eq!(generations, [("calc".to_owned(), 1), ("notes".to_owned(), 2)]);
}

async fn of_all_nodes_that_see_a_change_one_writes_it(store: Opened) {
    for generation in 0..2 {
        let made = (0..8).map(|_| {
            let mut change = change(generation, vec![tool("a", Some("{}"), None)]);
            change.audit = vec![event(AuditKind::ToolsChanged)];
            store.change_tools(change)
        });
        let made = futures_util::future::join_all(made).await;
        assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1);
    }
    assert_eq!(told(&store).await, 2, "and each is told once");
}

async fn a_change_that_was_judged_by_something_older_is_not_made(store: Opened) {
    assert!(!store.change_tools(change(1, vec![tool("a", Some("{}"), None)])).await.unwrap());
    assert!(store.change_tools(change(0, vec![tool("a", Some("{}"), None)])).await.unwrap());
    for old in [0, 2, 7] {
        assert!(!store.change_tools(change(old, vec![tool("a", Some("[]"), None)])).await.unwrap(), "{old}");
    }
    assert_eq!(store.list_tools("notes").await.unwrap().tools, [tool("a", Some("{}"), None)]);
    assert_eq!(told(&store).await, 1);
}

async fn what_is_forgotten_is_gone_and_the_rest_stays(store: Opened) {
    let tools = ["a", "b", "c"].map(|name| tool(name, Some("{}"), None));
    assert!(store.change_tools(change(0, tools.to_vec())).await.unwrap());
    let mut forgetting = change(1, vec![tool("d", None, Some("{}"))]);
    forgetting.forget = vec!["b".to_owned(), "never".to_owned()];
    assert!(store.change_tools(forgetting).await.unwrap());
    let left = store.list_tools("notes").await.unwrap().tools;
    assert_eq!(left.iter().map(|tool| tool.tool.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
}

async fn a_row_that_is_half_there_is_refused(store: Opened) {
    for harm in [
        "UPDATE tool_definitions SET accepted_at = NULL",
        "UPDATE tool_definitions SET accepted_by = 'nobody'",
        "UPDATE tool_definitions SET definition = NULL",
        "UPDATE tool_definitions SET waiting_definition = '{}'",
        "UPDATE tool_definitions SET definition = NULL, fingerprint = NULL, seen_at = NULL, accepted_at = NULL, \
         accepted_by = NULL",
    ] {
        let generation = store.list_tool_generations().await.unwrap().first().map_or(0, |known| known.1);
        assert!(store.change_tools(change(generation, vec![tool("a", Some("{}"), None)])).await.unwrap());
        store.tamper(harm).await;
        let error = store.list_tools("notes").await.unwrap_err().to_string();
        assert!(error.contains("impossible row `a` in table `tool_definitions`"), "{harm}: {error}");
    }
}
