//! Who can come in: which listener answers for which names, with which certificates, and how many at a time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use tokio::net::TcpSocket;
use upstream::trust::validities;
use url::Url;
use web::{Identity, Serves};

use super::report::{Report, State};
use crate::config::listeners::TlsConfig;
use crate::config::{Config, secrets};
use crate::wiring::{acme, descriptors};
use crate::world::SystemClock;

/// A certificate whose last days have begun.
const SOON_DAYS: u64 = 21;

pub(super) fn examine(config: &Config, report: &mut Report) {
    for address in &config.house.listen {
        listener(config, *address, (Serves::ALL, None), report);
    }
    for each in &config.listeners {
        listener(config, each.settings.address, (each.settings.serves, each.tls.as_ref()), report);
    }
    if let Some(address) = config.house.metrics_listen {
        socket(address, &format!("listener {address}"), "metrics, for whoever can reach it", report);
    }
    certificate_by_acme(config, report);
    open_files(config, report);
}

fn listener(
    config: &Config,
    address: SocketAddr,
    (serves, tls): (Serves, Option<&TlsConfig>),
    report: &mut Report,
) {
    let what = format!("listener {address}");
    let names = names(config, serves);
    let how = match tls {
        None => "in clear",
        Some(TlsConfig::Acme) => "over TLS with a certificate by ACME",
        Some(TlsConfig::Files(_)) => "over TLS with certificates from files",
    };
    let whom = names.iter().map(|(whom, name)| format!("{whom} at {name}")).collect::<Vec<_>>();
    let whom = if whom.is_empty() { "nobody but health checks".to_owned() } else { whom.join(", ") };
    socket(address, &what, &format!("{whom}, {how}"), report);
    if let Some(TlsConfig::Files(pairs)) = tls {
        let shown: Vec<Identity> =
            pairs.iter().filter_map(|(certificate, key)| pair(certificate, key, report)).collect();
        for (_, name) in &names {
            let host = Url::parse(&format!("https://{name}")).ok();
            let host = host.as_ref().and_then(Url::host_str).unwrap_or(name);
            if !shown.is_empty() && !shown.iter().any(|identity| identity.is_for_host(host)) {
                report.note(&what, format!("none of its certificates is for {host}; who comes to it by that name will not believe it"));
            }
        }
    }
}

/// For whom a listener is, and under which names these come.
fn names(config: &Config, serves: Serves) -> Vec<(&'static str, String)> {
    let now = SystemClock::default().now();
    let bare = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
    let former = config.former_public_urls.iter().filter(|former| former.accepted_until > now);
    let former: Vec<String> = former.map(|former| bare(&former.url)).collect();
    let mut names = Vec::new();
    for (served, whom, url) in [
        (serves.machines, "machines", config.house.public_url.as_str()),
        (serves.people, "people", config.house.pages_url()),
    ] {
        if served {
            names.extend(std::iter::once(bare(url)).chain(former.clone()).map(|name| (whom, name)));
        }
    }
    names
}

/// Whether the address could be had. Nothing listens on it for that.
fn socket(address: SocketAddr, what: &str, whom: &str, report: &mut Report) {
    let taken =
        (if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }).and_then(|socket| {
            // As a start does it: what hangs on from before is not in the way.
            socket.set_reuseaddr(true)?;
            socket.bind(address)
        });
    match taken {
        Ok(()) => report.good(what, whom),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            report.note(what, format!("{whom}; somebody listens there already: this Sekisho, if it runs"));
        }
        Err(error) => report.bad(what, format!("cannot be listened on: {error}")),
    }
}

/// A certificate and its key; whether they can be used, and how long.
fn pair(certificate: &Path, key: &Path, report: &mut Report) -> Option<Identity> {
    let what = format!("certificate {}", certificate.display());
    let read = std::fs::read(certificate).map_err(|error| format!("cannot be read: {error}"));
    let found = read.and_then(|chain| {
        let key =
            secrets::read_private(key, "the key of a certificate").map_err(|error| error.to_string())?;
        let identity = Identity::from_pem(&chain, &Secret::new(key)).map_err(|error| error.to_string())?;
        Ok((chain, identity))
    });
    match found {
        Ok((chain, identity)) => {
            chain_expiry(&what, &chain, report);
            Some(identity)
        }
        Err(why) => {
            report.bad(&what, why);
            None
        }
    }
}

fn certificate_by_acme(config: &Config, report: &mut Report) {
    let Some(acme) = &config.acme else { return };
    let file = config.folder.join(&acme.settings.folder).join(acme::CERTIFICATE);
    let what = "certificate by ACME";
    match std::fs::read(&file) {
        Ok(pem) => chain_expiry(what, &pem, report),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.note(
                what,
                format!("there is none yet; `serve` orders one for {}", config.acme_names().join(", ")),
            );
        }
        Err(error) => report.bad(what, format!("`{}` cannot be read: {error}", file.display())),
    }
}

/// A chain is as good as the first of it that expires.
pub(super) fn chain_expiry(what: &str, pem: &[u8], report: &mut Report) {
    let validities = validities(pem);
    let from = validities.iter().map(|(from, _)| *from).max();
    let to = validities.iter().map(|(_, to)| *to).min();
    expiry(what, from.zip(to), report);
}

/// Of several authorities, those that have not expired still vouch.
pub(super) fn authorities_expiry(what: &str, file: &PathBuf, report: &mut Report) {
    // One that cannot be read is told where it is used.
    let Ok(pem) = std::fs::read(file) else { return };
    let last = validities(&pem).into_iter().max_by_key(|(_, to)| *to);
    expiry(&format!("authorities of {what}"), last, report);
}

fn expiry(what: &str, validity: Option<(Timestamp, Timestamp)>, report: &mut Report) {
    const DAY: u64 = 86_400;
    let Some((from, to)) = validity else {
        report.bad(what, "does not say how long it is valid");
        return;
    };
    let now = SystemClock::default().now();
    let day =
        |at: Timestamp| jiff::Timestamp::from_second(at.secs()).unwrap_or_default().strftime("%Y-%m-%d");
    let (state, words) = if now < from {
        (State::Bad, format!("is not valid before {}", day(from)))
    } else if now >= to {
        (State::Bad, format!("expired on {}", day(to)))
    } else {
        let days = to.since(now).as_secs() / DAY;
        if days < SOON_DAYS {
            (State::Note, format!("expires on {}, in {days} days", day(to)))
        } else {
            (State::Good, format!("is valid until {}", day(to)))
        }
    };
    report.add(what, state, words);
}

/// The limit of this shell; a service has one of its own.
fn open_files(config: &Config, report: &mut Report) {
    const WHAT: &str = "open files";
    let wanted = config.limits.connections;
    let Some((soft, hard)) = descriptors::allowed() else { return };
    let number = |limit: u64| if limit == u64::MAX { "no limit".to_owned() } else { limit.to_string() };
    let fit = descriptors::fitting(hard);
    let limit = if soft == hard {
        number(hard)
    } else {
        format!("{}, which `serve` raises to {}", number(soft), number(hard))
    };
    if fit < wanted {
        report.note(
            WHAT,
            format!(
                "the limit is {limit}: no more than {fit} connections at a time, and `limits.connections` says {wanted}. \
                 Each may need two: raise it (`ulimit -Hn`, `LimitNOFILE=`) to {}",
                descriptors::needed(wanted)
            ),
        );
    } else {
        report.good(
            WHAT,
            format!("the limit is {limit}: room for the {wanted} connections of `limits.connections`"),
        );
    }
}
