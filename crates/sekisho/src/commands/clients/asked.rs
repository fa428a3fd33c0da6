//! Clients that asked without a browser, by an ID-JAG or an exchange of tokens, and need an approval (product.md, P-7). Nobody
//! waits on a page for them: what is known of them is what the audit says.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::Table;
use protocol::oauth::ClientId;
use protocol::world::Timestamp;
use serde_json::{Value, json};
use store::{AuditFilter, AuditKind, AuditRow, ClientRule};

use super::Desk;
use super::list::table;
use crate::commands::Failure;
use crate::commands::audit::printable;
use crate::commands::docs::{moment, when};

/// Who asked longer ago than this asks again, or does not want it any more.
const RECENT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// So many events are looked through, newest first.
const MOST: u32 = 1000;
/// What an approval says of a client that is called back nowhere.
const NOWHERE: &str = "nowhere";

/// One client that asked.
pub(super) struct Asked {
    pub(super) client_id: ClientId,
    /// Where it may be called back, as far as that needs an approval.
    pub(super) places: Vec<String>,
    grant_type: String,
    last_at: Timestamp,
    server: String,
}

/// Those that asked lately and are not approved yet, each with what it asked for last.
pub(super) async fn asked(desk: &Desk) -> Result<Vec<Asked>, Failure> {
    let since = Some(desk.now().minus(RECENT));
    let filter = AuditFilter { kind: Some(AuditKind::ClientRequested), since, ..AuditFilter::default() };
    let rows = desk.store.list_audit(filter, None, MOST).await?;
    let rules = desk.store.list_client_rules().await?;
    let mut latest = BTreeMap::new();
    for asked in rows.iter().filter_map(read) {
        latest.entry(asked.client_id.as_str().to_owned()).or_insert(asked);
    }
    let mut asked: Vec<Asked> = latest.into_values().filter(|asked| !is_approved(asked, &rules)).collect();
    asked.sort_by_key(|asked| std::cmp::Reverse(asked.last_at));
    Ok(asked)
}

/// What an event says, if it is of one that asked without a browser.
fn read(row: &AuditRow) -> Option<Asked> {
    let places = row.detail.get("destination").map_or(NOWHERE, String::as_str);
    Some(Asked {
        client_id: ClientId::parse(row.client_id.as_deref()?).ok()?,
        places: places.split(' ').map(str::to_owned).collect(),
        grant_type: row.detail.get("grant_type")?.clone(),
        last_at: row.at,
        server: row.server.clone().unwrap_or_default(),
    })
}

fn is_approved(asked: &Asked, rules: &[(ClientRule, Timestamp)]) -> bool {
    asked.places.iter().all(|place| {
        rules.iter().any(|(rule, _)| match rule {
            ClientRule::AllowClient { client_id, destination } => {
                *client_id == asked.client_id && destination == place
            }
            ClientRule::AllowHost(host) => host == place,
            ClientRule::BlockFingerprint(_) | ClientRule::BlockHost(_) => false,
        })
    })
}

/// For people.
pub(super) fn asked_table(all: &[Asked]) -> Table {
    let mut table = table(["CLIENT", "CALLED BACK AT", "FOR", "BY", "LAST ASKED"]);
    for one in all {
        table.add_row([
            printable(one.client_id.as_str()),
            one.places.join(", "),
            printable(&one.server),
            one.grant_type.clone(),
            when(one.last_at),
        ]);
    }
    table
}

/// For programs.
pub(super) fn asked_json(one: &Asked) -> Value {
    json!({
        "client_id": one.client_id.as_str(),
        "called_back_at": one.places,
        "mcp_server": one.server,
        "grant_type": one.grant_type,
        "last_asked": moment(one.last_at),
    })
}
