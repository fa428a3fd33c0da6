//! Reasons for which a proof of possession proves nothing (RFC 9449), at the token endpoint and at calls alike.

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "code_of_another_key",
        "The authorization request named a key by `dpop_jkt`, and the client does not prove that one.",
        "RFC 9449, section 10",
        "The client lost its key between the browser and the token request, or two copies of it share a port or a file. Connect again. If that is not it, somebody stole the code, and got nothing for it.",
    ),
    says(
        "dpop_jkt_malformed",
        "`dpop_jkt` is the SHA-256 thumbprint of a key, in 43 characters of base64url.",
        "RFC 9449, section 10; RFC 7638, section 3",
        "The client's fault. Report it to its maker.",
    ),
    says(
        "id_jag_of_another_key",
        "The assertion is bound to another key than the one that the client proves.",
        "RFC 9449, section 6.1; draft-ietf-oauth-identity-assertion-authz-grant, section 4.4",
        "The client must prove the same key here as at the identity provider. If it did, the assertion is in the wrong hands.",
    ),
    says(
        "id_jag_proof_missing",
        "The assertion is bound to a key, or the MCP server takes tokens only that are; and the client proves none.",
        "RFC 9449, sections 5 and 6.1",
        "The client must send a `DPoP` header with the token request. If it does not know DPoP, the identity provider must not bind what it issues to it, and the MCP server must not say `dpop = \"required\"`.",
    ),
    says(
        "proof_algorithm",
        "A proof is signed by ES256 or EdDSA, with a key of that kind.",
        "RFC 9449, sections 4.2 and 11.6",
        "The client must choose from `dpop_signing_alg_values_supported` of the metadata.",
    ),
    says(
        "proof_by_another_key",
        "The proof is by another key than the one that the access token is bound to.",
        "RFC 9449, sections 4.3 and 6",
        "The client made itself a new key and kept its old tokens: remove the connection and add it again. If that is not it, somebody else has its token.",
    ),
    says(
        "proof_claims",
        "A proof has `jti`, `htm`, `htu` and `iat`, each once and of its type.",
        "RFC 9449, section 4.2",
        "The client's fault. Report it to its maker.",
    ),
    says(
        "proof_critical",
        "The proof demands an extension that is not known here.",
        "RFC 7515, section 4.1.11",
        "The client's fault: no such extension is defined for proofs.",
    ),
    says(
        "proof_header",
        "The header of a proof has `typ`, `alg` and `jwk`.",
        "RFC 9449, section 4.2",
        "The client's fault: its key is missing, or it sends a `kid` in its place.",
    ),
    says(
        "proof_key",
        "The key of the proof is none that can be used: a public key on P-256 or Ed25519 is needed.",
        "RFC 9449, section 4.2; RFC 7518, section 6.2; RFC 8037, section 2",
        "The client must make a key for one of `dpop_signing_alg_values_supported`.",
    ),
    says(
        "proof_key_private",
        "The proof gives its private key away.",
        "RFC 9449, section 4.3",
        "A grave fault of the client: report it to its maker, and do not use the client until it is repaired. Its key is known to whoever saw the request.",
    ),
    says(
        "proof_malformed",
        "What stands in the `DPoP` header is no JWT.",
        "RFC 9449, section 4.1",
        "The client's fault, or something on the way changed the header.",
    ),
    says(
        "proof_missing",
        "A token that is bound to a key needs a proof of that key with every request; where an MCP server says `dpop = \"required\"` there are no others, and a client that registered `dpop_bound_access_tokens` always proves one.",
        "RFC 9449, sections 5, 5.2 and 7; docs/dpop.md",
        "The client does not know DPoP, or something on the way removed the `DPoP` header. Let it through; or set `dpop = \"optional\"` for that MCP server, or `dpop_bound_access_tokens = false` at that `[[client]]`.",
    ),
    says(
        "proof_nonce_needed",
        "A proof must hold the nonce that this house gave last.",
        "RFC 9449, sections 8 and 9",
        "Nothing is wrong when a client is answered so once: it tries again with the nonce of `DPoP-Nonce`. If it does not, it does not know nonces: set `dpop_nonces = false`, or update it. A browser's client needs `DPoP-Nonce` in what a proxy lets through.",
    ),
    says(
        "proof_not_from_now",
        "A proof is made at most five minutes before or after it is used, by the clock of this machine.",
        "RFC 9449, section 11.1",
        "A clock is off: the client's, or that of this node. Set them by NTP.",
    ),
    says(
        "proof_of_another_method",
        "The proof is for another HTTP method.",
        "RFC 9449, section 4.3",
        "The client uses one proof for several requests. It must make one for each.",
    ),
    says(
        "proof_of_another_token",
        "The proof is for another access token, or for none: `ath` is the hash of the token that it comes with.",
        "RFC 9449, sections 4.3 and 7",
        "The client mixed up two connections, or sends the proof of its token request. It must make one for each request.",
    ),
    says(
        "proof_of_another_url",
        "The proof is for another URL than the one that was asked.",
        "RFC 9449, section 4.3",
        "Behind a proxy clients must use the public URL, the one in the metadata. If they do, `public_url` is not what they see.",
    ),
    says(
        "proof_repeated",
        "A request has one `DPoP` header.",
        "RFC 9449, section 4.3",
        "The client, or something on the way, adds a second one.",
    ),
    says(
        "proof_replayed",
        "A proof is good once.",
        "RFC 9449, section 11.1",
        "The client tried again with the same proof after a lost answer: it must make a new one. If that is not it, somebody can read its requests.",
    ),
    says(
        "proof_signature",
        "The signature of the proof does not hold.",
        "RFC 9449, section 4.3",
        "Whoever sent it does not hold the key, or the client signs in another form than a JWS.",
    ),
    says(
        "proof_too_large",
        "A proof has at most 4 KiB.",
        "none: a bound here",
        "The client's fault, or somebody trying what happens.",
    ),
    says(
        "proof_type",
        "`typ` of a proof is `dpop+jwt`.",
        "RFC 9449, section 4.2",
        "The client sends another JWT in that header.",
    ),
    says(
        "refresh_token_of_another_key",
        "The refresh token is bound to another key than the one that is proved.",
        "RFC 9449, section 5",
        "The client lost its key, or two copies of it share one file: connect again. If that is not it, somebody stole the refresh token, and got nothing for it.",
    ),
    says(
        "token_bound",
        "The access token is bound to a key, so `Bearer` is not enough.",
        "RFC 9449, section 7.2",
        "The client proved a key when it got the token and does not when it uses it: its fault. If that is not it, somebody stole the token, and got nothing for it.",
    ),
    says(
        "token_unbound",
        "The access token is bound to no key; and it was sent as if it were, or the MCP server takes no others.",
        "RFC 9449, section 7.1; docs/dpop.md",
        "After `dpop = \"required\"` was set, clients have to refresh or connect again with a proof. A client that does not know DPoP cannot use that MCP server.",
    ),
];
