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
    }
}
