//! `[consent]`: what people are asked, and what is remembered of it (product.md, P-9).

use std::time::Duration;

use toml::de::DeValue;

use super::parse;
use super::settings::settings;

settings! {
    /// What people are asked when a client wants to connect, and what is remembered of it. A person is asked once about a
    /// client that is known to be the same: one of `[[client]]`, or one with a metadata document, if it is called back at
    /// an https address. About any other client, and whenever another site sent the browser, they are asked each time.
    Consent = "[consent]" {
        /// For how long a person may allow something instead of for as long as `[tokens]` says.
        lives: Vec<Duration> = "['1d', '7d']", "a list of times from 1h to 365d", lives;
        /// How long what a person ticked for further MCP servers of the same page waits for the client to ask for it.
        /// Each is then granted once, without another page. `0s` offers no further MCP servers.
        further_within: Duration = "'10m'", "0s to 1h", parse::duration::<0, 3_600>;
        /// Clients on people's own machines (their `client_id`) about which they are asked once in each browser, and not
        /// each time. Any program on the same machine can then act as that client without the person's doing.
        remember_loopback: Vec<String> = "[]", "a list of client ids, none of which begins with dcr_", known_clients;
        /// For how long that is remembered.
        remember_loopback_for: Duration = "'30d'", "1h to 30d", parse::duration::<3_600, 2_592_000>;
    }
}

fn lives(value: &DeValue<'_>) -> Result<Vec<Duration>, String> {
    parse::list(value, parse::duration::<3_600, 31_536_000>)
}

/// A client that registered itself is nobody in particular, and is never approved of by its id.
fn known_clients(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let ids = parse::texts(value)?;
    if ids.iter().any(|id| id.starts_with("dcr_")) {
        return Err("names a client that registered itself".to_owned());
    }
    let parses = |id: &String| protocol::oauth::ClientId::parse(id).is_ok();
    if ids.iter().all(parses) { Ok(ids) } else { Err("holds something that is no `client_id`".to_owned()) }
}
