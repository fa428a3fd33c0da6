//! The Identity Assertion JWT Authorization Grant, ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant, section 3.1): an
//! identity provider's word, for this authorization server alone, that a person may use a client at a resource.
//!
//! Nothing of it may be believed until [`IdentityAssertionGrantClaims::EXPECTED_TYPE`] and the signature have been judged. Time, audience and repetition are judged by the
//! caller, who has a clock and a record.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::jose::claims::{ActorClaims, Audience, present, present_seconds, seconds};
use crate::jose::{claimed_type, claims_of, is_type};

/// The profile by which clients find that ID-JAGs are taken (section 7).
pub const GRANT_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Its claims, strictly typed.
#[derive(Debug, Clone, Deserialize)]
pub struct IdentityAssertionGrantClaims {
    /// The identity provider.
    pub iss: String,
    /// The person, as the identity provider names them.
    pub sub: String,
    /// Whom it is for.
    pub aud: Audience,
    /// The client it is for.
    pub client_id: String,
    /// Its own id, by which it is used once.
    pub jti: String,
    /// When it was made, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// Before this it does not count.
    #[serde(default, deserialize_with = "present_seconds")]
    pub nbf: Option<i64>,
    /// Where it may be used: one resource or several.
    #[serde(default, deserialize_with = "present")]
    pub resource: Option<Audience>,
    /// The scope at most, separated by spaces.
    #[serde(default, deserialize_with = "present")]
    pub scope: Option<String>,
    /// The tenant of an issuer that has several.
    #[serde(default, deserialize_with = "present")]
    pub tenant: Option<String>,
    /// The person's address, verified only if the next claim says so.
    #[serde(default, deserialize_with = "present")]
    pub email: Option<String>,
    /// Whether the issuer vouches for the address.
    #[serde(default, deserialize_with = "present")]
    pub email_verified: Option<bool>,
    /// The person's name.
    #[serde(default, deserialize_with = "present")]
    pub name: Option<String>,
    /// What whoever presents it must prove to hold (RFC 7800, section 3); raw, because others exist than we can keep.
    #[serde(default, deserialize_with = "present")]
    pub cnf: Option<Value>,
    /// Whoever acts for the person.
    #[serde(default, deserialize_with = "present")]
    pub act: Option<IgnoredAny>,
    /// Narrower permissions (RFC 9396).
    #[serde(default, deserialize_with = "present")]
    pub authorization_details: Option<IgnoredAny>,
}

/// The claims of an ID-JAG that we issue ourselves, to an authorization server that takes us for an identity provider.
#[derive(Debug, Clone, Serialize)]
pub struct IssuedGrantClaims {
    /// Our issuer identifier.
    pub iss: String,
    /// Our own id of the person.
    pub sub: String,
    /// The authorization server, and nobody beside it.
    pub aud: String,
    /// The client that will present it: ours there.
    pub client_id: String,
    /// Its own id.
    pub jti: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// The MCP server.
    pub resource: String,
    /// The scope at most; absent if that is left to the authorization server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The person's address, if they are to be found by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Who acts for the person, if somebody does (RFC 8693, section 4.1; section 3.1 of the draft leaves room for it and says no more).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<ActorClaims>,
}

/// What an ID-JAG says of itself, for whoever asked for one and carries it on. Nothing is verified: good to see that it is what
/// was asked for, and for nothing else.
#[derive(Debug, Clone, Deserialize)]
pub struct ClaimedGrant {
    /// The identity provider.
    pub iss: String,
    /// Whom it is for.
    pub aud: Audience,
    /// The client it is for.
    pub client_id: String,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// Where it may be used.
    #[serde(default, deserialize_with = "present")]
    pub resource: Option<Audience>,
}

impl IdentityAssertionGrantClaims {
    /// What the `typ` of an ID-JAG must be. A JWT of any other type is none, whatever it says (RFC 8725, section 3.11).
    pub const EXPECTED_TYPE: &[&str] = &[Self::TYPE];
    /// The `typ` of an ID-JAG.
    pub const TYPE: &str = "oauth-id-jag+jwt";
}

impl ClaimedGrant {
    /// Reads it; `None` if it is no JWT of that type.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        claimed_type(token).filter(|typ| is_type(typ, IdentityAssertionGrantClaims::EXPECTED_TYPE))?;
        claims_of(token)
    }
}
