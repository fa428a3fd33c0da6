//! What MCP servers are sent to say who asks, and how old it is (product.md, P-15).

use std::time::Duration;

use protocol::world::Clock as _;

use super::report::Report;
use crate::config::Config;
use crate::config::credentials::FixedConfig;
use crate::wiring::credentials;
use crate::world::SystemClock;

pub(super) fn examine(config: &Config, report: &mut Report) {
    let now = SystemClock::default().now();
    for server in &config.mcp_servers {
        let what = format!("MCP server {}", server.settings.name);
        if let Some(fixed) = &server.fixed {
            match credentials::fixed(server, fixed) {
                Ok(_) => tell_age(&what, fixed, credentials::age(fixed, now), report),
                Err(failure) => report.bad(&what, failure.to_string()),
            }
        }
    }
}

fn tell_age(what: &str, fixed: &FixedConfig, age: Option<Duration>, report: &mut Report) {
    let sent = format!("everybody's calls carry one secret in `{}`", fixed.settings.header);
    let days = |time: Duration| time.as_secs() / 86_400;
    match age {
        None => report.note(what, format!("{sent}; how old it is cannot be seen")),
        Some(age) if age > fixed.settings.max_age => report.note(
            what,
            format!(
                "{sent}, which is {} days old: older than `max_age` ({} days). Change it",
                days(age),
                days(fixed.settings.max_age)
            ),
        ),
        Some(age) => report.good(what, format!("{sent}, which is {} days old", days(age))),
    }
}
