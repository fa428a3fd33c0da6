//! `[telemetry]`: what an OpenTelemetry collector is told.

use url::Url;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// An OpenTelemetry collector, told by OTLP over HTTP: docs/telemetry.md. Left out, nobody is told anything. What
    /// Prometheus reads is at `metrics_listen`. `authorization_file`, `authorization_env` or `authorization_command` is
    /// what is sent as `Authorization`, if it wants any, such as `Bearer …`.
    Telemetry = "[telemetry]" {
        /// Where it is; `/v1/logs` and `/v1/traces` are under it. A collector beside Sekisho is `http://127.0.0.1:4318`.
        otlp_endpoint: Url = required, "an https URL, or http on this machine", parse::http_url;
        /// Whether a collector elsewhere may be told over http: names, addresses and what `authorization` holds then cross
        /// the network as they are.
        allow_http: bool = "false", "true or false", parse::boolean;
        /// Certificate authorities in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// Whether it gets every event of the audit once that is sealed, with names and addresses, from where it ended the
        /// last time; the first time from the first event that the record still has.
        audit: bool = "false", "true or false", parse::boolean;
        /// Whether it gets a span for each call that is part of a trace which its client records. It says which tool was
        /// called and how that ended, and nothing of arguments and people.
        traces: bool = "false", "true or false", parse::boolean;
        /// Of calls that are part of no trace, one in so many begins one; 0 for none.
        new_traces_one_in: u64 = "0", "0 to 1000000", parse::number::<0, 1_000_000>;
    }
}

impl Telemetry {
    /// Whether it leads over http to another machine, and nobody said that it may.
    fn is_exposed(&self) -> bool {
        self.otlp_endpoint.scheme() == "http" && !parse::is_loopback(&self.otlp_endpoint) && !self.allow_http
    }
}

/// The collector, read.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// The settings.
    pub settings: Telemetry,
    /// What it wants to be shown.
    pub authorization: Option<SecretSource>,
}

impl TelemetryConfig {
    /// Reads `[telemetry]`, which may be left out.
    pub(super) fn read(root: &mut Section<'_>) -> Option<Option<Self>> {
        if !root.has("telemetry") {
            return Some(None);
        }
        let mut section = root.table("telemetry")?;
        let settings = Telemetry::read(&mut section);
        let authorization = SecretSource::read(&mut section, "authorization", false);
        if settings.as_ref().is_some_and(Telemetry::is_exposed) {
            section.mistake(
                "otlp_endpoint",
                "is http to another machine: everything in it could be read and changed on the way",
                "https, http on this machine, or allow_http = true if the network itself is protected",
            );
        }
        section.finish();
        Some(Some(Self { settings: settings?, authorization: authorization? }))
    }
}
