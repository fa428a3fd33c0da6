//! Which MCP server is meant on the command line: one of the configuration, or one that the record knows from before. A name that
//! neither has is a mistake that is told, and no success with nothing in it.

use std::collections::BTreeSet;

use store::{AuditFilter, Queries};

use super::Failure;
use super::audit::printable;
use crate::config::Config;

/// That there is one of that name.
pub(super) async fn find(config: &Config, store: &dyn Queries, name: &str) -> Result<(), Failure> {
    let mut all: BTreeSet<String> = store.known_servers().await?.into_iter().collect();
    all.extend(config.mcp_servers.iter().map(|server| server.settings.name.clone()));
    if all.contains(name) {
        return Ok(());
    }
    Err(Failure::Arguments(format!(
        "there is no MCP server `{}` in the configuration or the record; there are: {}",
        printable(name),
        printable(&Vec::from_iter(all).join(", "))
    )))
}

/// The same, and the audit may have it alone: of one that is gone for so long that nothing else tells of it. Reads all of that
/// for a name that nobody has.
pub(super) async fn find_in_audit(config: &Config, store: &dyn Queries, name: &str) -> Result<(), Failure> {
    let Err(unknown) = find(config, store, name).await else { return Ok(()) };
    let of_it = AuditFilter { server: Some(name.to_owned()), ..AuditFilter::default() };
    let told = store.list_audit(of_it, None, 1).await?;
    if told.iter().any(|row| !row.is_unreadable()) { Ok(()) } else { Err(unknown) }
}
