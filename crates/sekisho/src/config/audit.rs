//! `[audit]`: what is written down.

use std::time::Duration;

use super::parse;
use super::reader::Section;
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

settings! {
    /// Arguments of a tool that the audit keeps with each of its calls; of a call all others, and all of every other tool, are
    /// in it never. A text that looks like a secret is replaced, a long one is cut, and of lists and objects only that they were
    /// there is kept. It stands in the event itself, where `sekisho audit forget` does not reach: name nothing that tells who
    /// somebody is.
    KeptArgument = "[[audit.arguments]]" {
        /// The MCP server, by its name.
        server: String = required, "the name of an [[mcp_server]]", parse::name;
        /// The tool.
        tool: String = required, "the name of a tool", parse::text;
        /// The names of the arguments. One that is named like a password, a secret, a token or a key is not taken.
        names: Vec<String> = required, "a list such as [\"to\", \"amount\"]", parse::texts;
    }
}

/// What an argument is called that must not be kept.
const SECRETS: [&str; 8] =
    ["authorization", "cookie", "credential", "key", "passphrase", "passw", "secret", "token"];

/// Reads `[audit]` and every `[[audit.arguments]]`.
pub(super) fn read(section: &mut Section<'_>) -> Option<(Audit, Vec<KeptArgument>)> {
    let audit = Audit::read(section);
    let arguments = section.tables("arguments").into_iter().map(|mut section| {
        let kept = KeptArgument::read(&mut section);
        let is_secret = |name: &String| SECRETS.iter().any(|secret| name.to_lowercase().contains(secret));
        if kept.as_ref().is_some_and(|kept| kept.names.iter().any(is_secret)) {
            section.mistake("names", "names what is called like a secret", "other arguments");
        }
        section.finish();
        kept
    });
    let arguments = arguments.collect::<Option<Vec<_>>>();
    Some((audit?, arguments?))
}
