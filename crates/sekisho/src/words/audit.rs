//! Reasons that stand in the audit alone: how a call ended that came through, who ended something, why the configuration was
//! not taken.

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "access_withdrawn",
        "A stream was ended because what stands behind its access token was withdrawn while it was open.",
        "RFC 7009, section 2; Sekisho's rule: withdrawal",
        "`sekisho audit` with the same grant says who ended it and why.",
    ),
    says(
        "by_operator",
        "An operator did it at the command line.",
        "none",
        "Nothing to do. What they wrote with `--reason` is `note` in `sekisho audit --json`.",
    ),
    says(
        "by_verified_address",
        "A person of an ID-JAG was found by the e-mail address that their issuer verified, since `link_by_email` says so.",
        "draft-ietf-oauth-identity-assertion-authz-grant; Sekisho's rule: `link_by_email`",
        "Nothing to do, if it is the person who was meant.",
    ),
    says(
        "connection_ended",
        "A stream was ended because the person disconnected the account with which it was begun.",
        "Sekisho's rule: what is taken back (docs/remote-mcp-servers.md)",
        "Nothing to do. The client connects anew when the person has.",
    ),
    says(
        "connection_expired",
        "The access token of the person's connection is over, and there is no refresh token.",
        "RFC 6749, section 6",
        "The person connects again. If it happens to everybody, the authorization server gives no refresh tokens, or not for these `scopes`.",
    ),
    says(
        "connection_refused_by_mcp_server",
        "The MCP server takes the access token of the person's connection no more, nor the next one.",
        "RFC 6750, section 3.1 (`invalid_token`)",
        "The person connects again. If it happens to everybody, `resource` or `authorization_server` may not be what the MCP server wants.",
    ),
    says(
        "connection_refused_for_long",
        "The authorization server has refused to refresh for long after the access token was over, without saying why.",
        "RFC 6749, section 5.2",
        "The person connects again. If it happens to everybody, look at what the authorization server says of our client.",
    ),
    says(
        "connection_seal_broken",
        "What the record holds of the person's connection cannot be opened where it stands.",
        "Sekisho's rule: sealed values",
        "The person connects again. Somebody wrote into the record, or it was put together from two: `sekisho audit --kind seal_broken`.",
    ),
    says(
        "connection_server_gone",
        "The provider could not be told that a connection ended, because its MCP server is in the configuration no more.",
        "RFC 7009, section 2",
        "Revoke it at the provider, if it must not go on there.",
    ),
    says(
        "connection_superseded",
        "A connection ended here and was not revoked at the provider, because the person has a newer one of the same client, which would end as well.",
        "Sekisho's rule: an app of its own (docs/remote-mcp-servers.md)",
        "Nothing to do.",
    ),
    says(
        "filter_dropped",
        "Something of what the MCP server answered was kept from the client, because it could be read in two ways or may not reach it (a part of a list, an event, a question). The rest went through.",
        "Sekisho's rule: what does not reach the client (docs/tools.md)",
        "Look at what the MCP server answers: it is its bug, or somebody tries something.",
    ),
    says(
        "mistakes",
        "The configuration was read again and has mistakes; the last good one stays.",
        "none",
        "`sekisho check` lists them.",
    ),
    says(
        "node_gone",
        "The node that had a call that may change something ended before it could say how the call did.",
        "Sekisho's rule: when an event is written (docs/audit.md)",
        "Whether it was done is known to the MCP server alone. Ask it before it is done again.",
    ),
    says(
        "not_to_be_taken",
        "The configuration was read again and changes what cannot change while Sekisho runs; the last good one stays.",
        "none",
        "Restart Sekisho, or set it back. The log says which settings these are.",
    ),
    says(
        "offline_access_seal_broken",
        "What an identity provider gave at a sign-in of the person cannot be opened where it stands.",
        "Sekisho's rule: sealed values",
        "The person signs in again. Somebody wrote into the record, or it was put together from two.",
    ),
    says(
        "on_its_way",
        "A call that may change something was forwarded and is not over, or its node was not heard of since.",
        "Sekisho's rule: when an event is written (docs/audit.md)",
        "Wait. Within two minutes of the end of its node it becomes `node_gone`.",
    ),
    says(
        "policy_mistakes",
        "The policies were read again and have mistakes; the last good ones stay.",
        "none",
        "`sekisho policy check` lists them.",
    ),
    says(
        "question_refused",
        "The MCP server asked the person something that nobody may be asked through here.",
        "MCP 2025-11-25, client/elicitation, Security Considerations; Sekisho's rule: what people are asked (docs/tools.md)",
        "Look at what the MCP server asks: a URL that is not https or leads to Sekisho, or a form with a field for a secret.",
    ),
    says(
        "revoked_by_client",
        "The client revoked its token.",
        "RFC 7009, section 2",
        "Nothing to do: the person disconnected in the client, as a rule.",
    ),
    says(
        "secret",
        "The configuration was read again and a secret that it names cannot be read; the last good one stays.",
        "none",
        "`sekisho check` says which file, variable or command.",
    ),
    says(
        "stopping",
        "A stream was ended because its node stops.",
        "none",
        "Nothing to do: the client connects anew.",
    ),
    says(
        "token_of_another_client",
        "A client wanted to revoke a token of another client; nothing was ended.",
        "RFC 7009, section 2.1",
        "A client that shares tokens with another one, or somebody who tries. `asked_by` in `sekisho audit --json` is who asked.",
    ),
    says(
        "token_outlived",
        "A stream was ended because its access token was over for as long as `stream_grace` says.",
        "RFC 6750, section 3.1; Sekisho's rule: `stream_grace`",
        "Nothing to do: the client connects anew with the token that it has refreshed by then.",
    ),
    says(
        "unreadable",
        "The configuration was read again, and a file of it cannot be read; the last good one stays.",
        "none",
        "The log names the file. Look at its rights.",
    ),
    says(
        "upstream_cut",
        "The MCP server broke off in the middle of its answer, or ended its stream without one.",
        "RFC 9112, section 8",
        "Look at the log of the MCP server; it may have been restarted.",
    ),
    says(
        "upstream_stalled",
        "The MCP server sent nothing more for as long as one may wait, in the middle of its answer.",
        "none",
        "Look at the MCP server. `idle_timeout` of `[[mcp_server]]` says how long is waited.",
    ),
    says(
        "upstream_status",
        "The MCP server answered with 5xx; the client was told so.",
        "RFC 9110, section 15.6",
        "Look at the log of the MCP server.",
    ),
    says(
        "wiring",
        "The configuration was read again and what it names does not fit together; the last good one stays.",
        "none",
        "The log says what; `sekisho check` too.",
    ),
];
