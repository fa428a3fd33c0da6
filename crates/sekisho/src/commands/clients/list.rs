//! `sekisho clients list`: installations of one software are one line, however often it registered (product.md, P-5).

use std::collections::BTreeMap;

use authorization_server::{destinations_of_record, fingerprint_text};
use comfy_table::{ContentArrangement, Table, presets};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use serde_json::{Value, json};
use store::{ClientRequest, ClientRule, ListedClient, WaitingRequest};

use super::Desk;
use super::asked::{asked, asked_json, asked_table};
use crate::commands::Failure;
use crate::commands::audit::{printable, shortened};
use crate::commands::docs::{moment, when};

/// Clients that say the same of themselves.
struct Line {
    name: Option<String>,
    kind: &'static str,
    places: Vec<String>,
    installations: u64,
    grants: u64,
    blocked: u64,
    last_used_at: Timestamp,
}

pub(super) async fn shown(desk: &Desk, as_json: bool) -> Result<String, Failure> {
    let (clients, waiting) = (desk.clients().await?, desk.waiting().await?);
    let rules = desk.store.list_client_rules().await?;
    let asked = asked(desk).await?;
    let lines = merged(&clients);
    if as_json {
        let document = json!({
            "clients": lines.iter().map(line_json).collect::<Vec<_>>(),
            "waiting": waiting.iter().map(waiting_json).collect::<Vec<_>>(),
            "asked_without_a_browser": asked.iter().map(asked_json).collect::<Vec<_>>(),
            "rules": rules.iter().map(rule_json).collect::<Vec<_>>(),
        });
        return Ok(format!("{document}\n"));
    }
    if lines.is_empty() && waiting.is_empty() && asked.is_empty() && rules.is_empty() {
        return Ok("No clients. One is listed when a person first consents to it.\n".to_owned());
    }
    let mut text = String::new();
    if !waiting.is_empty() {
        text.push_str(&format!("Waiting for an approval\n{}\n\n", waiting_table(&waiting, &rules)));
    }
    if !asked.is_empty() {
        text.push_str(&format!(
            "Asked without a browser, and needs an approval: sekisho clients approve --client CLIENT\n{}\n\n",
            asked_table(&asked)
        ));
    }
    if !lines.is_empty() {
        text.push_str(&format!("In use\n{}\n", lines_table(&lines)));
    }
    if !rules.is_empty() {
        text.push_str(&format!("\nDecided\n{}\n", rules_table(&rules)));
    }
    Ok(text)
}

fn merged(clients: &[ListedClient]) -> Vec<(Hash, Line)> {
    let mut lines: BTreeMap<[u8; 32], Line> = BTreeMap::new();
    for ListedClient { client, grants } in clients {
        let line = lines.entry(*client.fingerprint.as_bytes()).or_insert_with(|| Line {
            name: client.name.clone(),
            kind: client.kind.as_str(),
            places: destinations_of_record(client),
            installations: 0,
            grants: 0,
            blocked: 0,
            last_used_at: client.last_used_at,
        });
        line.installations += 1;
        line.grants += grants;
        line.blocked += u64::from(client.blocked_at.is_some());
        line.last_used_at = line.last_used_at.max(client.last_used_at);
    }
    let mut lines: Vec<_> = lines.into_iter().map(|(hash, line)| (Hash::from_bytes(hash), line)).collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.last_used_at));
    lines
}

pub(in crate::commands) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// A name that nobody vouches for stands in quotes.
pub(super) fn quoted(name: Option<&str>) -> String {
    name.map_or_else(|| "(no name)".to_owned(), |name| format!("\u{201c}{}\u{201d}", printable(name)))
}

fn lines_table(lines: &[(Hash, Line)]) -> Table {
    let mut table = table([
        "NAME",
        "KIND",
        "CALLED BACK AT",
        "INSTALLATIONS",
        "GRANTS",
        "BLOCKED",
        "LAST USED",
        "FINGERPRINT",
    ]);
    for (fingerprint, line) in lines {
        table.add_row([
            quoted(line.name.as_deref()),
            line.kind.to_owned(),
            line.places.join(", "),
            line.installations.to_string(),
            line.grants.to_string(),
            line.blocked.to_string(),
            when(line.last_used_at),
            fingerprint_text(fingerprint),
        ]);
    }
    table
}

/// The person who waits, as an administrator knows them.
pub(super) fn person(waiting: &WaitingRequest) -> String {
    let known = waiting.person_email.clone().or_else(|| waiting.person_name.clone());
    printable(&known.unwrap_or_else(|| waiting.request.user.to_string()))
}

fn waiting_table(waiting: &[WaitingRequest], rules: &[(ClientRule, Timestamp)]) -> Table {
    let mut table =
        table(["REFERENCE", "STATE", "NAME", "CALLED BACK AT", "FOR", "WHO WAITS", "SINCE", "UNTIL"]);
    for one in waiting {
        let request = &one.request;
        let is_approved = rules.iter().any(|(rule, _)| approves(rule, request));
        table.add_row([
            request.reference.to_string(),
            (if is_approved { "approved, not back yet" } else { "waits" }).to_owned(),
            quoted(request.name.as_deref()),
            request.destination.clone(),
            request.server.clone(),
            person(one),
            when(request.created_at),
            when(request.expires_at),
        ]);
    }
    table
}

/// Whether this decision is about this very request: then the person only has to press the button.
fn approves(rule: &ClientRule, request: &ClientRequest) -> bool {
    match rule {
        ClientRule::AllowClient { client_id, destination } => {
            *client_id == request.client_id && *destination == request.destination
        }
        ClientRule::AllowHost(_) | ClientRule::BlockFingerprint(_) | ClientRule::BlockHost(_) => false,
    }
}

fn rules_table(rules: &[(ClientRule, Timestamp)]) -> Table {
    let mut table = table(["DECISION", "WHAT", "AT", "SINCE"]);
    for (rule, since) in rules {
        let (decision, what, place) = rule_words(rule);
        let what = match rule {
            ClientRule::AllowClient { client_id, .. } => format!("client {}", shortened(client_id.as_str())),
            ClientRule::AllowHost(_) | ClientRule::BlockFingerprint(_) | ClientRule::BlockHost(_) => what,
        };
        table.add_row([decision.to_owned(), what, place, when(*since)]);
    }
    table
}

fn rule_words(rule: &ClientRule) -> (&'static str, String, String) {
    match rule {
        ClientRule::AllowClient { client_id, destination } => {
            ("approved", format!("client {}", client_id.as_str()), destination.clone())
        }
        ClientRule::AllowHost(host) => ("approved", format!("host {host}"), String::new()),
        ClientRule::BlockFingerprint(hash) => {
            ("blocked", format!("fingerprint {}", fingerprint_text(hash)), String::new())
        }
        ClientRule::BlockHost(host) => ("blocked", format!("host {host}"), String::new()),
    }
}

fn line_json((fingerprint, line): &(Hash, Line)) -> Value {
    json!({
        "fingerprint": fingerprint_text(fingerprint),
        "name": line.name,
        "kind": line.kind,
        "called_back_at": line.places,
        "installations": line.installations,
        "grants": line.grants,
        "blocked": line.blocked,
        "last_used_at": moment(line.last_used_at),
    })
}

/// A waiting request for programs.
pub(super) fn waiting_json(waiting: &WaitingRequest) -> Value {
    let request = &waiting.request;
    json!({
        "reference": request.reference.to_string(),
        "client_id": request.client_id.as_str(),
        "fingerprint": fingerprint_text(&request.fingerprint),
        "name": request.name,
        "called_back_at": request.destination,
        "mcp_server": request.server,
        "person": person(waiting),
        "user": request.user.to_string(),
        "since": moment(request.created_at),
        "until": moment(request.expires_at),
    })
}

fn rule_json((rule, since): &(ClientRule, Timestamp)) -> Value {
    let (decision, what, place) = rule_words(rule);
    json!({ "decision": decision, "what": what, "at": place, "since": moment(*since) })
}
