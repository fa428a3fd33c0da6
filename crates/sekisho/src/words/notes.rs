//! What is noticed beside: no refusal, but often the cause of one.

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "same_address",
        "Seen at the same address in the minutes around; no protocol ties it to this attempt, so it may be another client there.",
        "none: told by address",
        "Nothing to do.",
    ),
    says(
        "other_address",
        "The request came from another address than the browser.",
        "none",
        "Usual for clients in a vendor's cloud and behind VPNs. If nobody uses such a client, look closer.",
    ),
    says(
        "refreshed_instead_of_step_up",
        "The client was told that its scope is too small, and refreshed: a refreshed token has no more scope.",
        "MCP 2025-11-25, Step-Up Authorization Flow; RFC 6749, section 6",
        "Known fault of clients. Disconnect and connect again in the client, and tick what it needs; the default `challenge` asks for everything at the beginning.",
    ),
    says(
        "resource_defaulted",
        "The client sent no `resource`; the default MCP server was taken.",
        "RFC 8707, section 2; MCP 2025-03-26 knew no `resource`",
        "Fine for old clients. If it connects to the wrong MCP server, update the client, since there is one default only.",
    ),
    says(
        "resource_trailing_slash",
        "`resource` is the URL of an MCP server here, with a slash at the end.",
        "RFC 8707, section 2; RFC 9728, section 3.3; MCP 2025-11-25, Canonical Server URI",
        "Known fault of clients. Write the URL in the client without the slash; if it adds one by itself, update it.",
    ),
    says(
        "resource_without_path",
        "`resource` is this host without the path of an MCP server.",
        "RFC 8707, section 2; MCP 2025-11-25, Canonical Server URI",
        "Known fault of clients that drop the path. Paste the whole URL, `/NAME/mcp` included; update the client.",
    ),
    says(
        "redirect_uri_other_host",
        "A redirect URI of the client differs from the one asked for only in the name of the loopback address.",
        "RFC 8252, sections 7.3 and 8.3",
        "The client registered `localhost` and asks with `127.0.0.1`, or the other way round. Remove the connection and add it again; report it to its maker.",
    ),
    says(
        "redirect_uri_other_path",
        "A redirect URI of the client is at the same host, with another path, query or port.",
        "OAuth 2.1, section 2.3.1; RFC 8252, section 7.3",
        "The client was updated or opened another port on a name that is no loopback address. Remove the connection and add it again.",
    ),
    says(
        "scope_narrowed",
        "The client asked for more than the MCP server knows or offers; the rest was left out.",
        "OAuth 2.1, section 1.4.1",
        "Nothing to do. The answer tells the client what it got.",
    ),
    says(
        "offline_access_dropped",
        "`offline_access` was asked for and left out: every client gets a refresh token here.",
        "OpenID Connect Core 1.0, section 11; MCP 2026-07-28, Refresh Tokens",
        "Nothing to do.",
    ),
    says(
        "state_missing",
        "The client sent no `state`, so it cannot tell answers apart.",
        "OAuth 2.1, section 4.1.1; RFC 9700, section 4.7.1",
        "If its windows mix up their answers, this is why. Report it to its maker.",
    ),
    says(
        "from_another_site",
        "Another site sent the browser here.",
        "Fetch metadata, section 2.3",
        "Usual for clients that are web pages.",
    ),
];
