//! Whether the keys of those whose word is taken can be had from here: of trusted issuers, and of platforms.

use std::sync::Arc;

use authorization_server::IssuerKeys;
use futures_util::future::join_all;
use protocol::world::Clock;
use upstream::key_sets::KeySetError;

use super::report::Report;
use crate::commands::Failure;
use crate::config::Config;
use crate::wiring::{Trusts, trusted_issuers, workloads};
use crate::world::SystemClock;

/// Asks all of them at once, and tells what came of it in the order of the configuration.
pub(super) async fn examine(config: &Config, trusts: &Trusts) -> Vec<Report> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let people = trusted_issuers::all(config, &clock, trusts)
        .map(|all| all.into_iter().map(|one| (format!("trusted issuer {}", one.issuer), one.keys)).collect());
    let programs = workloads::issuers(config, &clock, trusts).map(|all| {
        all.into_iter().map(|one| (format!("workload issuer {}", one.issuer), one.keys)).collect()
    });
    let (people, programs) =
        tokio::join!(told("trusted issuers", people), told("workload issuers", programs));
    people.into_iter().chain(programs).collect()
}

async fn told(what: &str, issuers: Result<Vec<(String, IssuerKeys)>, Failure>) -> Vec<Report> {
    match issuers {
        Ok(issuers) => join_all(issuers.iter().map(|(what, keys)| one(what, keys))).await,
        Err(failure) => {
            let mut report = Report::default();
            report.bad(what, failure.to_string());
            vec![report]
        }
    }
}

async fn one(what: &str, keys: &IssuerKeys) -> Report {
    let mut report = Report::default();
    match keys.examine().await {
        Ok(0) => report.bad(what, "its key set has no public key that can be used".to_owned()),
        Ok(count) => report.good(what, format!("its keys can be had, {count} of use")),
        Err(KeySetError::Malformed) => report.bad(
            what,
            "its key set, or the description that names it, cannot be trusted: is `issuer` spelled as it spells itself?"
                .to_owned(),
        ),
        Err(error @ (KeySetError::Refused(_) | KeySetError::Unreachable)) => report.bad(what, error.to_string()),
    }
    report
}
