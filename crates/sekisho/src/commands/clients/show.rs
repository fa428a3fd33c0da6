//! `sekisho clients show`: all that is known of one client, of one who waits, or of all installations of one software.

use authorization_server::{destinations_of_record, fingerprint_text};
use protocol::id::Reference;
use serde_json::{Value, json};
use store::ListedClient;

use super::Desk;
use super::list::{person, quoted, waiting_json};
use crate::commands::Failure;
use crate::commands::audit::printable;
use crate::commands::docs::{moment, when};

pub(super) async fn shown(desk: &Desk, what: &str, as_json: bool) -> Result<String, Failure> {
    if let Ok(reference) = what.parse::<Reference>() {
        return request(desk, &reference, as_json).await;
    }
    let is_meant = |listed: &ListedClient| {
        listed.client.client_id.as_str() == what
            || fingerprint_text(&listed.client.fingerprint) == what.to_ascii_lowercase()
    };
    let clients: Vec<ListedClient> = desk.clients().await?.into_iter().filter(is_meant).collect();
    if clients.is_empty() {
        return Err(Failure::Arguments(format!(
            "`{what}` is no client in use, no reference of somebody who waits and no fingerprint; `sekisho clients list` shows them"
        )));
    }
    if as_json {
        let all: Vec<Value> = clients.iter().map(client_json).collect();
        return Ok(format!("{}\n", Value::from(all)));
    }
    Ok(clients.iter().map(client_text).collect::<Vec<_>>().join("\n"))
}

async fn request(desk: &Desk, reference: &Reference, as_json: bool) -> Result<String, Failure> {
    let waiting = desk.waiting_by(reference).await?;
    if as_json {
        return Ok(format!("{}\n", waiting_json(&waiting)));
    }
    let request = &waiting.request;
    Ok(format!(
        "{} waits for {} to use the MCP server {}.\n\n\
         client id       {}\n\
         called back at  {}\n\
         fingerprint     {}\n\
         says of itself  {}\n\
         since           {} UTC\n\
         until           {} UTC\n\n\
         Nobody vouches for the name. What can be known is where it is called back.\n\
         sekisho clients approve {reference}\n",
        person(&waiting),
        quoted(request.name.as_deref()),
        request.server,
        request.client_id.as_str(),
        request.destination,
        fingerprint_text(&request.fingerprint),
        printable(&request.metadata),
        when(request.created_at),
        when(request.expires_at),
    ))
}

fn client_text(listed: &ListedClient) -> String {
    let client = &listed.client;
    let blocked = client.blocked_at.map_or_else(|| "no".to_owned(), |at| format!("since {} UTC", when(at)));
    format!(
        "{}\n\
         client id       {}\n\
         kind            {}\n\
         called back at  {}\n\
         fingerprint     {}\n\
         says of itself  {}\n\
         first consent   {} UTC\n\
         last consent    {} UTC\n\
         live grants     {}\n\
         blocked         {blocked}\n",
        quoted(client.name.as_deref()),
        client.client_id.as_str(),
        client.kind.as_str(),
        destinations_of_record(client).join(", "),
        fingerprint_text(&client.fingerprint),
        printable(&client.metadata),
        when(client.first_consented_at),
        when(client.last_used_at),
        listed.grants,
    )
}

fn client_json(listed: &ListedClient) -> Value {
    let client = &listed.client;
    json!({
        "client_id": client.client_id.as_str(),
        "kind": client.kind.as_str(),
        "name": client.name,
        "called_back_at": destinations_of_record(client),
        "fingerprint": fingerprint_text(&client.fingerprint),
        "metadata": serde_json::from_str::<Value>(&client.metadata).unwrap_or_default(),
        "first_consented_at": moment(client.first_consented_at),
        "last_used_at": moment(client.last_used_at),
        "grants": listed.grants,
        "blocked_at": client.blocked_at.map(moment),
    })
}
