//! `[audit]`: what is written down.

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
    }
}
