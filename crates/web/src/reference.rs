//! `docs/errors.md` and the table of routes, printed from the same lists that the answers are made of.

use std::fmt::Write as _;

use protocol::oauth::ErrorCode;

use crate::respond;
use crate::routes::{Access, MCP, ROUTES};
use crate::text::{Language, Trouble};

/// The reference of errors, as Markdown.
#[must_use]
pub fn errors_reference() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         Printed by `sekisho docs errors`; do not edit.\n\n\
         Every failure is one line in the log with its `reason`, whose doing it was (`blame`), and the request id that \
         the answer carries as `x-request-id`. What the other side is told is fixed:\n\n\
         ## OAuth errors\n\n\
         | code | status | `error_description` |\n|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        let status = respond::status_of(*code).as_u16();
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "| `{}` | {status} | {} |", code.as_str(), code.sentence());
    }
    text.push_str(
        "\nThe authorization endpoint sends its codes by redirect, or shows a page. `insufficient_scope` and \
         `access_denied` are sent by MCP endpoints with status 403.\n\n\
         ## Pages\n\n\
         | status | what happened | what it means | what to do |\n|---|---|---|---|\n",
    );
    for trouble in Trouble::ALL {
        let told = Language::default().text().troubles.of(trouble);
        let status = respond::status_of_trouble(trouble).as_u16();
        let _ = writeln!(text, "| {status} | {} | {} | {} |", told.happened, told.means, told.now);
    }
    text
}

/// The table of routes, as Markdown: every path, its methods, who may come, and whether scripts may read it.
#[must_use]
pub fn routes_reference() -> String {
    let mut text = String::from("| path | methods | who | CORS |\n|---|---|---|---|\n");
    for route in std::iter::once(&MCP).chain(&ROUTES) {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let who = match route.access {
            Access::Bearer => "access token",
            Access::Browser => "browser",
            Access::Public => "public",
            Access::Server => "MCP server",
        };
        let cors = if route.cors { "listed origins" } else { "no" };
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {who} | {cors} |", route.path, methods.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_every_page_is_in_the_reference() {
        let text = errors_reference();
        assert!(ErrorCode::ALL.iter().all(|code| text.contains(&format!("| `{}` |", code.as_str()))));
        let told = Language::default().text();
        assert!(Trouble::ALL.iter().all(|trouble| text.contains(told.troubles.of(*trouble).happened)));
    }
}
