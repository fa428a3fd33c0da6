//! What MCP servers are sent to say who asks, and how old it is (product.md, P-15).

use std::sync::Arc;
use std::time::Duration;

use protocol::world::Clock;
use upstream::client_key::ClientKey;

use super::report::Report;
use crate::config::Config;
use crate::config::credentials::{CredentialForm, FixedConfig};
use crate::config::mcp_servers::McpServerConfig;
use crate::wiring::givers::{self, AtHand};
use crate::wiring::{Trusts, credentials, providers};
use crate::world::SystemClock;

pub(super) async fn examine(config: &Config, trusts: &Trusts, report: &mut Report) {
    let now = SystemClock::default().now();
    for server in &config.mcp_servers {
        let what = format!("MCP server {}", server.settings.name);
        if let Some(fixed) = &server.fixed {
            match credentials::fixed(server, fixed) {
                Ok(_) => tell_age(&what, fixed, credentials::age(fixed, now), report),
                Err(failure) => report.bad(&what, failure.to_string()),
            }
        }
        match server.settings.credential {
            CredentialForm::Assertion | CredentialForm::Fixed | CredentialForm::None => {}
            CredentialForm::Connection => connection(config, server, trusts, report).await,
            CredentialForm::Exchange | CredentialForm::IdJag | CredentialForm::Minted => {
                giver(config, server, trusts, report).await;
            }
        }
    }
}

/// Whether people could connect an account, and what has to be registered for that.
async fn connection(config: &Config, server: &McpServerConfig, trusts: &Trusts, report: &mut Report) {
    let what = format!("connection of MCP server {}", server.settings.name);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let client = match providers::one(config, server, (trusts, &clock)) {
        Ok(client) => client,
        Err(failure) => return report.bad(&what, failure.to_string()),
    };
    match client.check().await {
        Ok(sentence) => report.good(&what, sentence),
        Err(error) => report.bad(&what, format!("{error} (`{}`)", error.reason())),
    }
    report.note(&what, format!("its redirect URI is {}", client.redirect_uri()));
}

/// Whether whoever gives the credential is there.
async fn giver(config: &Config, server: &McpServerConfig, trusts: &Trusts, report: &mut Report) {
    let what = format!("credential of MCP server {}", server.settings.name);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    // Nobody is told anything about anybody, so that nothing is signed.
    let key = ClientKey::new(|_, _| None);
    match givers::one(config, server, AtHand { clock: &clock, key: &key, trusts }) {
        Ok(giver) => match giver.check().await {
            Ok(sentence) => report.good(&what, sentence + &keys_of_ours(config, server)),
            Err(error) => report.bad(&what, error.to_string()),
        },
        Err(failure) => report.bad(&what, failure.to_string()),
    }
}

/// Where the keys are by which our client proves who it is, if it has no secret: whoever registered it has to know.
fn keys_of_ours(config: &Config, server: &McpServerConfig) -> String {
    let exchange = server.exchange.as_ref().is_some_and(|exchange| exchange.client_secret.is_none());
    let id_jag = server.id_jag.as_ref().is_some_and(|id_jag| id_jag.client_secret.is_none());
    if exchange || id_jag {
        format!("; the keys of the client have to be known there: {}/oauth/jwks", config.house.public_url)
    } else {
        String::new()
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
