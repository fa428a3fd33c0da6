//! What is reachable from here, and over which way: the public URL, identity providers, MCP servers, keys of clients.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, Response, StatusCode, Uri};
use protocol::world::Clock;
use upstream::collector::CollectorError;
use upstream::connectors::oidc::CLOCK_SKEW;
use upstream::egress::{Fetcher, Limits};
use upstream::key_sets::{KeySets, KeySource};
use upstream::proxy::Proxy;
use upstream::route::Route;

use super::issuers;
use super::report::{Report, State};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::clients::PreRegisteredConfig;
use crate::config::identity_providers::IdentityProviderConfig;
use crate::config::mcp_servers::McpServerConfig;
use crate::wiring::{self, Trusts};
use crate::world::SystemClock;

/// How long an MCP server may take to answer a question that any of them can answer at once.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { total: PATIENCE, max_body: 1024 * 1024 };
/// `Date` is in whole seconds, and an answer takes its time.
const ALIKE: u64 = 5;

/// Asks everybody at once, and tells what came of it in the order of the configuration.
pub(super) async fn examine(config: &Config, trusts: &Trusts, report: &mut Report) {
    let (own, collector, issuers, providers, servers, keys) = tokio::join!(
        public_url(config, trusts),
        collector(config, trusts),
        issuers::examine(config, trusts),
        join_all(
            config.identity_providers.iter().map(|provider| identity_provider(config, provider, trusts))
        ),
        join_all(config.mcp_servers.iter().map(|server| mcp_server(config, server, trusts))),
        join_all(config.pre_registered.iter().map(|client| keys_of_client(config, client, trusts))),
    );
    report.append(own);
    report.append(collector);
    let found = providers.into_iter().chain(issuers).chain(servers).chain(keys);
    found.for_each(|found| report.append(found));
}

/// Whether the collector takes what it will get: nothing, for now.
async fn collector(config: &Config, trusts: &Trusts) -> Report {
    const WHAT: &str = "collector";
    let mut report = Report::default();
    let Some(telemetry) = &config.telemetry else { return report };
    let collector = match wiring::telemetry::collector(config, trusts) {
        Ok(Some(collector)) => collector,
        Ok(None) => return report,
        Err(failure) => {
            report.bad(WHAT, failure.to_string());
            return report;
        }
    };
    let settings = &telemetry.settings;
    let mut say = |what: &str, answer: Result<u64, CollectorError>| match answer {
        Ok(_) => report.good(WHAT, format!("{} takes {what}", settings.otlp_endpoint)),
        Err(error) => report.bad(WHAT, format!("{what} to {}: {error}", settings.otlp_endpoint)),
    };
    if settings.audit {
        say("the audit", collector.send_logs(&[]).await);
    }
    if settings.traces {
        say("spans", collector.send_spans(&[]).await);
    }
    if !settings.audit && !settings.traces {
        report.note(WHAT, "it is sent nothing: neither `audit` nor `traces` is set");
    }
    report
}

/// Whether the public URL leads to this Sekisho from here. Nothing need run, and from here is not from everywhere.
async fn public_url(config: &Config, trusts: &Trusts) -> Report {
    const WHAT: &str = "public URL";
    let mut report = Report::default();
    let issuer = &config.house.public_url;
    let route = match trusts.route(config, issuer, None) {
        Ok(route) => route,
        Err(failure) => {
            report.note(WHAT, format!("not tried from here: {failure}"));
            return report;
        }
    };
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let way = way_to(&url, &route);
    match get(&url, route).await {
        Ok(answer) if is_ours(&answer, issuer) => report.good(WHAT, format!("a Sekisho answers there from this machine, {way}")),
        Ok(answer) => report.note(
            WHAT,
            format!("from this machine, {way}, somebody else answers there ({})", answer.status().as_u16()),
        ),
        Err(why) => report.note(
            WHAT,
            format!("nobody answers there from this machine, {way}: nothing runs yet, or it leads here from elsewhere only ({why})"),
        ),
    }
    report
}

fn is_ours(answer: &Response<impl AsRef<[u8]>>, issuer: &str) -> bool {
    let document = serde_json::from_slice::<serde_json::Value>(answer.body().as_ref()).unwrap_or_default();
    answer.status() == StatusCode::OK && document["issuer"] == issuer
}

async fn identity_provider(config: &Config, provider: &IdentityProviderConfig, trusts: &Trusts) -> Report {
    let mut report = Report::default();
    let what = format!("identity provider {}", provider.settings.id);
    let way = match reached(config, provider, trusts, &what).await {
        Ok(Some((found, way))) => {
            report.append(found);
            Some(way)
        }
        Ok(None) => None,
        Err(why) => {
            report.bad(&what, why);
            redirect_uri(config, provider, &what, &mut report);
            return report;
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    match wiring::connectors::one(config, provider, &clock, trusts) {
        Ok(connector) => match (connector.check(&callback(config, provider)).await, way) {
            (Ok(sentence), Some(way)) => report.good(&what, format!("{sentence}; reached {way}")),
            (Ok(sentence), None) => report.good(&what, sentence),
            (Err(error), _) => report.bad(&what, error.to_string()),
        },
        Err(failure) => report.bad(&what, failure.to_string()),
    }
    redirect_uri(config, provider, &what, &mut report);
    report
}

fn redirect_uri(config: &Config, provider: &IdentityProviderConfig, what: &str, report: &mut Report) {
    report.note(what, format!("its redirect URI is {}", callback(config, provider)));
}

fn callback(config: &Config, provider: &IdentityProviderConfig) -> String {
    format!("{}/login/callback/{}", config.house.pages_url(), provider.settings.id)
}

/// Whether it answers at all, over which way, and how its clock and ours agree. `None` if it is not elsewhere.
async fn reached(
    config: &Config,
    provider: &IdentityProviderConfig,
    trusts: &Trusts,
    what: &str,
) -> Result<Option<(Report, String)>, String> {
    let told = |failure: Failure| failure.to_string();
    let ca_file = provider.kind.registration().and_then(|one| one.settings.ca_file.as_deref());
    let Some(url) = wiring::connectors::address(provider).map_err(told)? else { return Ok(None) };
    let route = trusts.route(config, &url, ca_file).map_err(told)?;
    let way = way_to(&url, &route);
    let answer = get(&url, route).await.map_err(|why| format!("{why}; tried {way}"))?;
    let mut report = Report::default();
    let (state, words) = clocks(ahead(&answer, SystemClock::default().now().secs()));
    report.add(what, state, words);
    Ok(Some((report, way)))
}

/// By how many seconds our clock is ahead of that of whoever answered (`Date`, and the `Age` of an answer that was kept on
/// the way; RFC 9110, section 6.6.1, and RFC 9111, section 5.1).
fn ahead<T>(answer: &Response<T>, now: i64) -> Option<i64> {
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let made = jiff::fmt::rfc2822::parse(text(http::header::DATE)?).ok()?.timestamp().as_second();
    let age: i64 = text(http::header::AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    now.checked_sub(made.checked_add(age)?)
}

fn clocks(ahead: Option<i64>) -> (State, String) {
    let Some(ahead) = ahead else {
        return (State::Note, "it does not say what time it is, so the clocks cannot be compared".to_owned());
    };
    let off = ahead.unsigned_abs();
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    let borne = CLOCK_SKEW.as_secs();
    if off <= ALIKE {
        (State::Good, format!("its clock and ours agree (to {off} s)"))
    } else if off < borne {
        (State::Note, format!("our clock is {off} s {side} its; {borne} s are borne"))
    } else {
        (
            State::Bad,
            format!(
                "our clock is {off} s {side} its, and no more than {borne} s are borne: nobody could sign in. Set the clocks (NTP)"
            ),
        )
    }
}

async fn mcp_server(config: &Config, server: &McpServerConfig, trusts: &Trusts) -> Report {
    let mut report = Report::default();
    let what = format!("MCP server {}", server.settings.name);
    let client = match wiring::mcp_servers::one(config, server, trusts) {
        Ok(client) => client,
        Err(failure) => {
            report.bad(&what, failure.to_string());
            return report;
        }
    };
    let way = way(client.proxy());
    match tokio::time::timeout(PATIENCE, client.check()).await {
        Ok(Ok(sentence)) => report.good(&what, format!("{sentence}; reached {way}")),
        Ok(Err(why)) => report.bad(&what, format!("{why}; tried {way}")),
        Err(_) => report.bad(&what, format!("takes a connection and does not answer; tried {way}")),
    }
    report
}

/// Whether the keys of a client that has them elsewhere can be had.
async fn keys_of_client(config: &Config, client: &PreRegisteredConfig, trusts: &Trusts) -> Report {
    let mut report = Report::default();
    let Some(uri) = &client.settings.jwks_uri else { return report };
    let what = format!("keys of client {}", client.settings.client_id);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let (sets, way) = match trusts.route(config, uri, None) {
        Ok(route) => {
            let way = way_to(uri, &route);
            (KeySets::new(Arc::new(Fetcher::new(route)), clock, PATIENCE), way)
        }
        Err(failure) => {
            report.bad(&what, failure.to_string());
            return report;
        }
    };
    match sets.examine(&KeySource::Uri(uri.clone())).await {
        Ok(0) => report.bad(&what, format!("a set without a key that can be used; reached {way}")),
        Ok(count) => report.good(&what, format!("{count} of use; reached {way}")),
        Err(error) => report.bad(&what, format!("{error}; tried {way}")),
    }
    report
}

async fn get(url: &str, route: Route) -> Result<Response<impl AsRef<[u8]> + use<>>, String> {
    let request = Request::get(url).body(Default::default()).map_err(|error| error.to_string())?;
    Fetcher::new(route).examine(request, LIMITS).await
}

fn way_to(url: &str, route: &Route) -> String {
    let through = |proxy: &&Proxy| url.parse::<Uri>().is_ok_and(|uri| proxy.leads_to(&uri));
    way(route.proxy.as_ref().filter(through))
}

/// In words.
pub(super) fn way(proxy: Option<&Proxy>) -> String {
    proxy.map_or_else(|| "directly".to_owned(), |proxy| format!("through the outbound proxy {proxy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z.
    const NOW: i64 = 1_800_000_000;

    fn answer(headers: &[(&str, &str)]) -> Response<()> {
        let builder = Response::builder();
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn the_clocks_are_compared_by_date_and_by_the_age_of_what_was_kept() {
        let date = ("date", "Fri, 15 Jan 2027 08:00:00 GMT");
        assert_eq!(ahead(&answer(&[date]), NOW), Some(0));
        assert_eq!(ahead(&answer(&[date]), NOW + 90), Some(90));
        assert_eq!(ahead(&answer(&[date]), NOW - 90), Some(-90));
        assert_eq!(ahead(&answer(&[date, ("age", "80")]), NOW + 81), Some(1));
        for unknown in [&[][..], &[("date", "yesterday")], &[("date", "Fri, 99 Jan 2027 08:00:00 GMT")]] {
            assert_eq!(ahead(&answer(unknown), NOW), None);
        }
    }

    #[test]
    fn clocks_that_are_further_apart_than_is_borne_are_bad() {
        for (ahead, state) in [
            (Some(0), State::Good),
            (Some(-5), State::Good),
            (Some(6), State::Note),
            (Some(-59), State::Note),
            (Some(60), State::Bad),
            (Some(-61), State::Bad),
            (None, State::Note),
        ] {
            assert_eq!(clocks(ahead).0, state, "{ahead:?}");
        }
        assert!(clocks(Some(-90)).1.contains("90 s behind its"));
    }
}
