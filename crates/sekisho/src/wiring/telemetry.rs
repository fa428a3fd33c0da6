//! The OpenTelemetry collector of `[telemetry]`.

use std::sync::Arc;

use resource_server::TraceSettings;
use upstream::collector::Collector;
use upstream::egress::Fetcher;

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::telemetry::TelemetryConfig;

/// The way to it, if there is one. Dials nothing.
pub fn collector(config: &Config, trusts: &Trusts) -> Result<Option<Arc<Collector>>, Failure> {
    let Some(TelemetryConfig { settings, authorization }) = &config.telemetry else { return Ok(None) };
    let url = settings.otlp_endpoint.as_str();
    let route = trusts.route(config, url, settings.ca_file.as_deref())?;
    let authorization =
        authorization.as_ref().map(|source| source.load("what the collector wants to be shown"));
    // Who we are (OpenTelemetry semantic conventions, "Service").
    let resource = vec![
        ("service.name", "sekisho".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("server.address", config.house.public_url.clone()),
    ];
    Ok(Some(Arc::new(Collector::new(
        url,
        authorization.transpose()?,
        Arc::new(Fetcher::new(route)),
        resource,
    ))))
}

/// What is recorded of calls.
pub fn traces(config: &Config) -> Option<TraceSettings> {
    let settings = &config.telemetry.as_ref()?.settings;
    let one_in = u32::try_from(settings.new_traces_one_in).unwrap_or(u32::MAX);
    settings.traces.then_some(TraceSettings { one_in })
}
