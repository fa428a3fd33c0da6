//! Which clients may ask people, as configured (product.md, P-7).

use authorization_server::{ClientPolicy, HostPattern, Named, Standing};
use url::Url;

use crate::commands::Failure;
use crate::config::Config;

/// The rules of `[clients]`.
pub fn of(config: &Config) -> Result<ClientPolicy, Failure> {
    let clients = &config.clients;
    let named =
        [(&clients.allow, Standing::Allow), (&clients.ask, Standing::Ask), (&clients.block, Standing::Block)];
    let named = named
        .into_iter()
        .flat_map(|(list, standing)| list.iter().cloned().map(move |one: Named| (one, standing)));
    Ok(ClientPolicy {
        inside: clients.inside.iter().cloned().chain(own_hosts(config)).collect(),
        loopback: clients.loopback,
        named: named.collect(),
        outside: clients.outside,
        private_use: clients.private_use,
        wait: clients.approval_wait,
        well_known: well_known(config)?,
    })
}

fn own_hosts(config: &Config) -> impl Iterator<Item = HostPattern> {
    config.own_origins().into_iter().filter_map(|origin| {
        let host = Url::parse(&origin).ok()?.host_str()?.to_owned();
        HostPattern::parse(&host).ok()
    })
}

/// Hosts of clients that many know: the shipped list, or the operator's.
pub fn well_known(config: &Config) -> Result<Vec<HostPattern>, Failure> {
    let Some(file) = &config.clients.well_known_hosts_file else { return Ok(ClientPolicy::shipped()) };
    let text = std::fs::read_to_string(config.folder.join(file))
        .map_err(Failure::io(format!("the list of well-known hosts `{file}` cannot be read")))?;
    ClientPolicy::parse_hosts(&text).map_err(|line| {
        Failure::Wiring(format!(
            "the list of well-known hosts `{file}` holds something that is no host in line {line}"
        ))
    })
}
