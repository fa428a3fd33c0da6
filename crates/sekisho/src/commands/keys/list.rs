//! `sekisho keys list`: every key, and where it stands in words.

use std::time::Duration;

use authorization_server::keys::{KeyState, states, under_other_master, unlike_active};
use comfy_table::{ContentArrangement, Table, presets};
use store::{KeyPurpose, KeysRecord as _};

use super::Desk;
use crate::commands::Failure;
use crate::commands::docs::when;

/// The table, and what is worth knowing beneath it.
pub(super) async fn table(desk: &Desk) -> Result<String, Failure> {
    let (records, now) = (desk.store.list_keys().await?, desk.now());
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["KEY", "FOR", "STATE", "AGE", "MASTER KEY", "GOES"]);
    let mut working = None;
    for purpose in KeyPurpose::ALL {
        for (key, state) in states(&records, purpose, now) {
            if purpose == KeyPurpose::Sealing && state == KeyState::Active {
                working = Some(key.id);
            }
            table.add_row([
                key.id.to_string(),
                purpose.as_str().to_owned(),
                words(state),
                age(now.since(key.created_at)),
                key.sealed.key_id().map(|id| id.to_string()).unwrap_or_default(),
                goes(state),
            ]);
        }
    }
    let mut text = format!("{table}\n");
    let master = desk.masters.active().fingerprint();
    let other = under_other_master(&records, master);
    if other > 0 {
        text.push_str(&format!(
            "\n{other} keys are not sealed under the master key {master}: run `sekisho keys rotate-master`.\n"
        ));
    }
    if let Some(working) = working {
        let unlike = unlike_active(desk.store.as_ref(), working).await?;
        if unlike > 0 {
            text.push_str(&format!(
                "\n{unlike} values are sealed with another key than {working}: `sekisho keys reseal` seals them anew.\n"
            ));
        }
    }
    Ok(text)
}

fn words(state: KeyState) -> String {
    match state {
        KeyState::Active => "works".to_owned(),
        KeyState::Gone { since } => format!("gone since {}", when(since)),
        KeyState::Pending { from } => format!("waits, works from {}", when(from)),
        KeyState::Retired { .. } => "reads only".to_owned(),
        KeyState::Withdrawn { since } => format!("withdrawn {}", when(since)),
    }
}

fn goes(state: KeyState) -> String {
    match state {
        KeyState::Active | KeyState::Pending { .. } => String::new(),
        KeyState::Gone { .. } | KeyState::Withdrawn { .. } => "-".to_owned(),
        KeyState::Retired { until: None } => "never".to_owned(),
        KeyState::Retired { until: Some(until) } => when(until),
    }
}

fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400.. => format!("{} d", seconds / 86_400),
    }
}
