//! `[tokens]`: how long what we issue is good.

use std::time::Duration;

use super::parse;
use super::settings::settings;

settings! {
    /// How long what Sekisho issues is good.
    Tokens = "[tokens]" {
        /// An access token. A stopped person, client or grant is refused within 5 seconds whatever this
        /// says; a short life matters for MCP servers that check tokens by themselves.
        access_token: Duration = "'10m'", "1m to 1h", parse::duration::<60, 3_600>;
        /// A grant that is not used ends after this time.
        grant_idle: Duration = "'30d'", "1h to 365d", parse::duration::<3_600, 31_536_000>;
        /// A grant ends after this time, used or not.
        grant: Duration = "'180d'", "1h to 365d", parse::duration::<3_600, 31_536_000>;
        /// For how long a repeated refresh is answered with the same successor while that is unused: lost
        /// answers, two windows, two nodes. `0s` ends the grant at the first repeat. An MCP server may set
        /// its own.
        refresh_repeat: Duration = "'60s'", "0s to 5m", parse::duration::<0, 300>;
        /// How long a person stays signed in in a browser without using it.
        browser_session: Duration = "'12h'", "5m to 7d", parse::duration::<300, 604_800>;
        /// How long a sign-in may take from the first page to the last.
        authorization: Duration = "'10m'", "1m to 1h", parse::duration::<60, 3_600>;
        /// Whether proofs of possession (DPoP, RFC 9449) must hold a nonce of ours: then none can be made beforehand, and
        /// a client asks twice every five minutes.
        dpop_nonces: bool = "false", "true or false", parse::boolean;
        /// Where a proof of possession is remembered, so that it is good once. `node`: in the memory of each node, as long
        /// as there is room. `record`: in the record, for all nodes, which costs each call a write.
        dpop_replays: DpopReplays = "'node'", "\"node\" or \"record\"", dpop_replays;
    }
}

/// Where proofs of possession are remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DpopReplays {
    /// Each node for itself.
    Node,
    /// All nodes together.
    Record,
}

fn dpop_replays(value: &toml::de::DeValue<'_>) -> Result<DpopReplays, String> {
    match parse::text(value)?.as_str() {
        "node" => Ok(DpopReplays::Node),
        "record" => Ok(DpopReplays::Record),
        _ => Err("is neither of the two".to_owned()),
    }
}
