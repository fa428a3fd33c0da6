//! Reasons of the way to an MCP server's own authorization server by an identity assertion; where it ended is told beside them.

use super::{Words, says};

const DRAFT: &str = "draft-ietf-oauth-identity-assertion-authz-grant, sections 4.3 and 4.4";

pub(super) const WORDS: &[Words] = &[
    says(
        "assertion_client_refused",
        "Sekisho's own client is refused there.",
        "RFC 6749, section 5.2",
        "Compare client id and secret with those that are registered there, and that the client may use this grant.",
    ),
    says(
        "assertion_metadata",
        "The metadata there is of another issuer, or says that identity assertions are not taken.",
        "RFC 8414, section 3.3",
        "Open the metadata from this machine; its `issuer` must be the configured one, byte for byte.",
    ),
    says(
        "assertion_other_answer",
        "What came is not what was asked for: another kind of token, or one for somebody else.",
        DRAFT,
        "Compare audience, resource and client id at the identity provider with those that are configured here.",
    ),
    says(
        "assertion_refused",
        "The request is refused there for a reason of its own.",
        DRAFT,
        "Look into the log of whoever refused; what it said is not repeated here.",
    ),
    says(
        "assertion_scope_refused",
        "The scope may not be had there.",
        DRAFT,
        "Look at the scopes that the identity provider allows for this client.",
    ),
    says(
        "assertion_sign_in_needed",
        "What the identity provider gave for the person is over, or not enough.",
        "draft-ietf-oauth-identity-assertion-authz-grant, section 8.2",
        "The person signs in once more.",
    ),
    says(
        "assertion_target_refused",
        "The MCP server, or its authorization server, is none that may be had.",
        "RFC 8693, section 2.2.2",
        "Register the MCP server at the identity provider, and allow it for the person.",
    ),
    says(
        "assertion_unreachable",
        "It cannot be reached.",
        DRAFT,
        "Open its metadata from this machine; see docs/reaching-outward.md.",
    ),
];
