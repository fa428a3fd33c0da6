//! Reasons of the authorization endpoint.

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "client_blocked",
        "The client was stopped here with `sekisho stop --client … --block`.",
        "Sekisho's rule: which clients may ask",
        "If it may be used again: `sekisho allow --client ID`. Otherwise nothing is wrong.",
    ),
    says(
        "client_id_missing",
        "A request must name its client in `client_id`.",
        "OAuth 2.1, sections 4.1.1 and 3.2.2",
        "The client's fault: it never registered, or lost what it registered. Remove the connection in the client and add it again.",
    ),
    says(
        "client_id_repeated",
        "No parameter may come more than once.",
        "OAuth 2.1, section 3.1",
        "The client's fault: it adds `client_id` to an authorization URL that has one already. Report it to its maker.",
    ),
    says(
        "client_unknown",
        "The `client_id` is none that was made or configured here.",
        "RFC 6749, section 5.2; RFC 7591, section 3.2.1",
        "The client kept the registration of another server or of a Sekisho with other keys. A client that behaves registers again after 401 `invalid_client`; many do not: remove the connection in the client (for mcp-remote, delete its folder under `~/.mcp-auth`) and add it again.",
    ),
    says(
        "redirect_uri_missing",
        "A client with several redirect URIs must say which one it means.",
        "OAuth 2.1, section 2.3.2",
        "The client's fault: it must send `redirect_uri`. Report it to its maker.",
    ),
    says(
        "redirect_uri_repeated",
        "No parameter may come more than once.",
        "OAuth 2.1, section 3.1",
        "The client's fault: `redirect_uri` is in the request twice. Report it to its maker.",
    ),
    says(
        "redirect_uri_unknown",
        "The redirect URI must be one that the client registered, character by character; only the port of a loopback address is free.",
        "OAuth 2.1, section 2.3.1; RFC 8252, section 7.3",
        "The client registered one address and asks with another: after an update, on another machine, with `localhost` for `127.0.0.1`, or with another path. Remove the connection in the client and add it again, so that it registers what it uses. If nobody knows the link, somebody tried to have a code sent elsewhere.",
    ),
    says(
        "state_too_long",
        "`state` is returned as it came and never cut, so it may have 8 KiB.",
        "OAuth 2.1, section 4.1.1",
        "The client keeps too much in `state`. Report it to its maker.",
    ),
    says(
        "store",
        "The record did not answer, or holds a row that is none of ours.",
        "none: a fault here",
        "Look at the log for the request, at `sekisho check`, and at the database.",
    ),
    says(
        "too_many_pending",
        "So many sign-ins may wait for a person, from one address and in all; more are refused.",
        "Sekisho's rule: registration without a row, and bounds on what waits; RFC 6819, section 4.4.1.11",
        "Wait ten minutes. If it is one office behind one address, raise `limits.pending_per_address`; if a client opens pages without end, stop that client.",
    ),
    says(
        "code_challenge_malformed",
        "The challenge must be the SHA-256 of the verifier, with `code_challenge_method=S256`.",
        "RFC 7636, sections 4.2 and 4.3; OAuth 2.1, section 4.1.1",
        "The client's fault: it sends `plain`, no method (which means `plain`), or a challenge of the wrong length. Update it, or report it to its maker.",
    ),
    says(
        "code_challenge_missing",
        "Every authorization request must use PKCE; MCP allows no exception.",
        "OAuth 2.1, section 7.5.1; MCP 2025-11-25, Authorization Code Protection",
        "The client does not do PKCE, or takes it to be optional because it has a secret. Update it, or report it to its maker; there is no switch to do without.",
    ),
    says(
        "consent_required",
        "`prompt=none` forbids every page, and consent is asked on a page.",
        "OpenID Connect Core 1.0, section 3.1.2.6",
        "The client tries a silent sign-in first. It should go on with a page; if it does not, connect again by hand.",
    ),
    says(
        "grant_type_not_registered",
        "The client did not register the grant type that it uses.",
        "RFC 7591, section 2; RFC 6749, section 5.2",
        "The client registered with `grant_types` that leave this one out (often `refresh_token`, or `authorization_code` left out by a client for machines). Remove the connection and add it again; if it stays, report it to its maker.",
    ),
    says(
        "login_required",
        "Somebody has to sign in first, or anew; with `prompt=none` no page may be shown for that.",
        "OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.2.6",
        "Nothing is wrong on a page: the person is sent to sign in. After `prompt=none` the client has to come again without it.",
    ),
    says(
        "max_age_malformed",
        "`max_age` is a number of seconds in digits.",
        "OpenID Connect Core 1.0, section 3.1.2.1",
        "The client's fault. Report it to its maker.",
    ),
    says(
        "parameter_repeated",
        "No parameter may come more than once.",
        "OAuth 2.1, sections 3.1 and 3.2.1",
        "The client's fault: it adds parameters to a URL or form that has them already. `resource` alone may come twice. Report it to its maker.",
    ),
    says(
        "prompt_malformed",
        "`prompt` joins `none` with another value, or is far too long.",
        "OpenID Connect Core 1.0, section 3.1.2.1",
        "The client's fault. Report it to its maker.",
    ),
    says(
        "request_not_supported",
        "Requests as JWT (`request`) are not taken.",
        "OpenID Connect Core 1.0, sections 6.1 and 3.1.2.6",
        "The metadata does not offer it. The client should send plain parameters.",
    ),
    says(
        "request_uri_not_supported",
        "Requests by reference (`request_uri`) that were not pushed here are not taken, and never fetched.",
        "OpenID Connect Core 1.0, sections 6.2 and 3.1.2.6; RFC 9126, section 4",
        "The client should send plain parameters, or push them to the endpoint that the metadata names, if it names one.",
    ),
    says(
        "resource_missing",
        "A request must say which MCP server it is for, or there must be a default.",
        "RFC 8707, section 2; MCP 2025-11-25, Resource Parameter Implementation",
        "A client of MCP 2025-03-26 drops the path of the URL and sends no `resource`. Update the client, or name the MCP server of such clients with `default_server` in the configuration.",
    ),
    says(
        "resource_several",
        "A token is for one MCP server, and the request names several.",
        "RFC 8707, section 2; Sekisho's rule: one audience per token",
        "The client must ask once for each MCP server.",
    ),
    says(
        "resource_unknown",
        "`resource` must be the URL of an MCP server here, as its metadata names it: scheme, host, port and path.",
        "RFC 8707, section 2; RFC 9728, section 3.3",
        "Compare the URL in the client with the one on the first page of this site. Known faults: a slash at the end, the path left out, the old host after a move (see `former_public_urls`), http for https.",
    ),
    says(
        "response_mode_unsupported",
        "Answers go in the query of the redirect URI only.",
        "OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1",
        "The client asks for `fragment` or `form_post`. It should leave `response_mode` out.",
    ),
    says(
        "response_type_missing",
        "`response_type` is missing.",
        "OAuth 2.1, section 4.1.1",
        "The client's fault, or a link that was cut. Connect again from the client.",
    ),
    says(
        "response_type_unsupported",
        "Only `response_type=code` is there; tokens never go through a browser.",
        "OAuth 2.1, section 4.1.1 and section 10.1",
        "The client uses the implicit or a hybrid flow. Update it, or report it to its maker.",
    ),
    says(
        "scope_malformed",
        "`scope` is a list of words with single spaces between them.",
        "OAuth 2.1, section 1.4.1",
        "The client joins scopes with commas, sends an empty word, or a JSON list. Report it to its maker.",
    ),
    says(
        "scope_unknown",
        "Nothing of `scope` is known to the MCP server.",
        "OAuth 2.1, sections 1.4.1 and 4.1.2.1",
        "The client asks for scopes of another server (`openid`, `mcp:tools` and the like are not enough). It should ask for those that the 401 challenge or the metadata names, or for none.",
    ),
];
