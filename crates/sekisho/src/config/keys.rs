//! `[keys]`: how often keys change.

use std::time::Duration;

use super::parse;
use super::settings::settings;

settings! {
    /// How often the keys change that sign tokens. `sekisho keys` shows, rotates and withdraws them.
    KeysConfig = "[keys]" {
        /// How old a signing key gets before another takes over; `"off"` for by command only. Tokens that the old
        /// one signed are good until they expire.
        signing_rotation: Option<Duration> = "'90d'", "1d to 3650d, or \"off\"", parse::duration_or_off::<86_400, 315_360_000>;
        /// How long a new signing key is published before it signs. MCP servers that check tokens themselves must
        /// read `/oauth/jwks` again within this time; it may be kept for a minute.
        lead_time: Duration = "'10m'", "2m to 24h", parse::duration::<120, 86_400>;
    }
}
