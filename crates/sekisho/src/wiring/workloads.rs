//! Issuers of workloads: from the configuration to keys, and the rules of service accounts.

use std::sync::Arc;

use authorization_server::{WorkloadIssuer, WorkloadRule};
use protocol::world::Clock;

use super::Trusts;
use super::trusted_issuers::{Place, keys};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::service_accounts::ServiceAccountConfig;

/// The issuers as configured. Dials nothing.
pub fn issuers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<Vec<WorkloadIssuer>, Failure> {
    let one = |known: &crate::config::workloads::WorkloadIssuer| {
        let place = Place {
            table: "workload_issuer",
            issuer: &known.issuer,
            jwks_uri: known.jwks_uri.as_deref(),
            jwks_file: known.jwks_file.as_deref(),
        };
        Ok(WorkloadIssuer {
            issuer: known.issuer.clone(),
            keys: keys(config, &place, clock, trusts)?,
            longest_life: known.longest_life,
            platform: known.platform,
            reuse: known.reuse.unwrap_or_else(|| known.platform.repeats_itself()),
        })
    };
    config.workload_issuers.iter().map(one).collect()
}

/// The rules of a service account.
pub fn rules(config: &Config, account: &ServiceAccountConfig) -> Result<Vec<WorkloadRule>, Failure> {
    let wrong =
        |what: String| Failure::Wiring(format!("[[service_account]] `{}`: {what}", account.settings.name));
    let rule = |workload: &crate::config::workloads::Workload| match workload.rule(&config.workload_issuers) {
        Some(rule) => rule.map_err(|flaw| wrong(flaw.to_string())),
        None => Err(wrong("has a rule of an issuer that is not there".to_owned())),
    };
    account.workloads.iter().map(rule).collect()
}
