//! `[policy]`: policies of the operator's own, in Cedar.

use super::parse;
use super::settings::settings;

settings! {
    /// Policies of your own, in Cedar, beside `access` and scopes: docs/policy.md.
    Policy = "[policy]" {
        /// The folder of the policies: every file `*.cedar` in it, and `arguments.cedarschema`. Read at the start and at
        /// each reload; if there is a mistake in any of them, the last good ones stay in use.
        folder: Option<String> = optional, "a path", parse::text;
    }
}
