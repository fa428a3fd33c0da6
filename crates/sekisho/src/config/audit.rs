//! `[audit]`: what is written down.

use std::time::Duration;

use super::parse;
use super::settings::settings;

settings! {
    /// What is written down of what happened. Sign-ins, consents, tokens, revocations, refusals and failures always
    /// are.
    Audit = "[audit]" {
        /// Whether calls that only read and come through are written down: calls of tools with `readOnlyHint`, and methods
        /// that need no `write`. With `false` nobody can find out afterwards who has read what, and the gateway asks
        /// each MCP server for its list of tools in the name of whoever calls one. A call that fails, is refused, or may
        /// change something is written down in any case.
        read_only_calls: bool = "true", "true or false", parse::boolean;
        /// How long calls are kept; `"off"` for ever. What is too old is removed hourly, but for what is under a legal hold
        /// (`sekisho audit hold`), and `sekisho audit verify` knows that it may be gone.
        keep_calls: Option<Duration> = "'off'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
        /// The same of tokens that were issued and refreshed.
        keep_tokens: Option<Duration> = "'off'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
        /// The same of sign-ins and consents.
        keep_sign_ins: Option<Duration> = "'off'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
        /// The same of everything else: revocations, refusals, keys, what administrators did.
        keep_security: Option<Duration> = "'off'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
        /// How long the sums by hour are kept that `sekisho usage` shows. They name people by their ids.
        keep_usage: Option<Duration> = "'400d'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
    }
}
