//! `[[mcp_server.limits]]` and `[mcp_server.breaker]`: what may be used of one MCP server, and when it is left alone.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use resource_server::{BreakerSettings, Limit, Per};
use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::settings::settings;

settings! {
    /// What may be used of the MCP server, or of one of its tools, on one node; as many of these as needed. Over it the answer
    /// is 429 with `Retry-After`. An answer that has begun is never cut short.
    ServerLimit = "[[mcp_server.limits]]" {
        /// Of the calls of this tool alone. Left out: of all requests to the MCP server.
        tool: Option<String> = optional, "the name of a tool", parse::text;
        /// Whose calls share it. `server`: all. `person`: those of one person, whatever their clients. `client`: those of one
        /// client, whoever uses it.
        per: Per = "'server'", "\"server\", \"person\" or \"client\"", per;
        /// Calls a minute.
        calls_per_minute: Option<u64> = optional, "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Of these at once. Left out: as many as in a minute.
        calls_at_once: Option<u64> = optional, "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Calls that wait for their answers.
        calls_in_progress: Option<u64> = optional, "1 to 1000000", parse::number::<1, 1_000_000>;
        /// Bytes of answers an hour. What is over counts for the next hour: calls wait until it is made up for.
        bytes_per_hour: Option<u64> = optional, "1 to 1000000000000", parse::number::<1, 1_000_000_000_000>;
    }
}

settings! {
    /// The circuit breaker of the MCP server, on one node: after failures in a row (no connection, no answer in time, a broken
    /// one, 500, 502, 503, 504) calls are refused with 503 and `Retry-After` at once, and one after a pause tries whether it is
    /// back. Failures that a call itself may have caused count only if several people have them.
    Breaker = "[mcp_server.breaker]" {
        /// After so many failures in a row. 0: never.
        failures: u64 = "10", "0 to 1000", parse::number::<0, 1_000>;
        /// Failures that lie further apart than this are not in a row.
        within: Duration = "'60s'", "1s to 1h", parse::duration::<1, 3_600>;
        /// How long nothing is sent. It doubles while the MCP server stays away, up to eight times this.
        pause: Duration = "'5s'", "1s to 10m", parse::duration::<1, 600>;
    }
}

impl ServerLimit {
    /// As the resource server is told.
    pub fn limit(&self) -> Limit {
        let count = |number: Option<u64>| NonZeroU32::new(u32::try_from(number?).ok()?);
        Limit {
            tool: self.tool.clone(),
            per: self.per,
            calls_per_minute: count(self.calls_per_minute),
            calls_at_once: count(self.calls_at_once),
            calls_in_progress: count(self.calls_in_progress),
            bytes_per_hour: self.bytes_per_hour.and_then(NonZeroU64::new),
        }
    }

    /// Reads every `[[mcp_server.limits]]`.
    pub(super) fn read_all(server: &mut Section<'_>) -> Option<Vec<Self>> {
        let limits = server.tables("limits").into_iter().map(|mut section| {
            let limit = Self::read(&mut section);
            let judged = limit.as_ref().is_none_or(|limit| limit.judge(&section));
            section.finish();
            limit.filter(|_| judged)
        });
        let limits: Vec<_> = limits.collect();
        limits.into_iter().collect()
    }

    /// Whether it limits something, by numbers that are of use.
    fn judge(&self, section: &Section<'_>) -> bool {
        let numbers = [self.calls_per_minute, self.calls_in_progress, self.bytes_per_hour];
        if numbers.iter().all(Option::is_none) && self.calls_at_once.is_none() {
            let one = "one of calls_per_minute, calls_in_progress and bytes_per_hour";
            section.mistake("calls_per_minute", "is missing, and nothing else is limited", one);
            return false;
        }
        if self.calls_at_once.is_some() && self.calls_per_minute.is_none() {
            let both = "both calls_per_minute and calls_at_once, or only the first";
            section.mistake("calls_at_once", "is of use only together with calls_per_minute", both);
            return false;
        }
        true
    }
}

impl Breaker {
    /// As the resource server is told.
    pub fn settings(&self) -> Option<BreakerSettings> {
        let failures = NonZeroU32::new(u32::try_from(self.failures).ok()?)?;
        Some(BreakerSettings { failures, within: self.within, pause: self.pause })
    }

    /// Reads `[mcp_server.breaker]`, or what it is without.
    pub(super) fn read_one(server: &mut Section<'_>) -> Option<Self> {
        let written = server.has("breaker");
        match server.table("breaker") {
            Some(mut section) => {
                let breaker = Self::read(&mut section);
                section.finish();
                breaker
            }
            None => (!written).then(Self::default),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        let BreakerSettings { failures, within, pause } = BreakerSettings::default();
        Self { failures: failures.get().into(), within, pause }
    }
}

fn per(value: &DeValue<'_>) -> Result<Per, String> {
    match parse::text(value)?.as_str() {
        "client" => Ok(Per::Client),
        "person" => Ok(Per::Person),
        "server" => Ok(Per::Server),
        _ => Err("is none of the three".to_owned()),
    }
}
