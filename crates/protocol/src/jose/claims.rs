//! The claims of the three kinds of JWT we know, strictly typed.
//!
//! A claim of the wrong type is an error, never an absent claim (attacks ST-14, JA-06); a claim that stands twice is
//! refused. Whether the claims are *right* (`iss`, `aud`, `exp`, `nonce`) is judged by the caller, who has a clock.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::dpop::Thumbprint;

/// The claims of our access tokens (RFC 9068, section 2.2), with exactly one audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// Our issuer identifier.
    pub iss: String,
    /// Our own id of the person.
    pub sub: String,
    /// The one resource it is for (RFC 8707). A list is refused.
    pub aud: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The grant it stands on.
    pub grant_id: String,
    /// The granted scope, separated by spaces; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub scope: Option<String>,
    /// When it was issued, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// Its own id.
    pub jti: String,
    /// The key that whoever presents it must hold (RFC 7800, section 3; RFC 9449, section 6.1); absent of a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub cnf: Option<Confirmation>,
    /// The name of the service account, if `sub` is one and no person (RFC 9700, section 4.15).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub service_account: Option<String>,
    /// Who acts for `sub`, if somebody does (RFC 8693, section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub act: Option<ActorClaims>,
}

/// Who acts for the `sub` of a token, and for whom that one acts (RFC 8693, section 4.1): the outermost acts now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorClaims {
    /// Our own id of the service account.
    pub sub: String,
    /// Its name.
    pub name: String,
    /// The client by which it acts.
    pub client_id: String,
    /// Its own grant, which the token stands on too.
    pub grant_id: String,
    /// Who acted before it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub act: Option<Box<ActorClaims>>,
}

impl ActorClaims {
    /// All of them, the outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Self> + Clone {
        std::iter::successors(Some(self), |actor| actor.act.as_deref())
    }
}

/// What whoever presents a token must hold. Another member beside `jkt`, or none, is a constraint that we cannot honour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The thumbprint of its key (RFC 9449, section 6.1).
    pub jkt: Thumbprint,
}

impl Confirmation {
    /// What a claim of somebody else's JWT asks for; `None` if it is more, less or other than a thumbprint.
    #[must_use]
    pub fn read(claim: &Value) -> Option<Self> {
        Self::deserialize(claim).ok()
    }
}

/// The claims of an ID token that we read (OpenID Connect Core, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdTokenClaims {
    /// The identity provider.
    pub iss: String,
    /// The person, as the identity provider names them.
    pub sub: String,
    /// Whom it was issued for.
    pub aud: Audience,
    /// The client that asked for it, where there are several audiences.
    #[serde(default, deserialize_with = "present")]
    pub azp: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// Before this it does not count.
    #[serde(default, deserialize_with = "present_seconds")]
    pub nbf: Option<i64>,
    /// The value that we sent.
    #[serde(default, deserialize_with = "present")]
    pub nonce: Option<String>,
    /// When the person last proved who they are.
    #[serde(default, deserialize_with = "present_seconds")]
    pub auth_time: Option<i64>,
    /// Hash of the access token beside it.
    #[serde(default, deserialize_with = "present")]
    pub at_hash: Option<String>,
    /// An address, verified only if the next claim says so.
    #[serde(default)]
    pub email: Option<String>,
    /// Whether the identity provider vouches for the address.
    #[serde(default)]
    pub email_verified: Option<bool>,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The name to show where there is no full one.
    #[serde(default)]
    pub preferred_username: Option<String>,
    /// All other claims: where groups stand is a setting.
    #[serde(flatten)]
    pub other: OtherClaims,
}

/// The claims of the assertion that tells an MCP server who calls (P-14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityAssertionClaims {
    /// Our issuer identifier.
    pub iss: String,
    /// The MCP server.
    pub aud: String,
    /// Our own id of the person.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// The client that calls.
    pub client_id: String,
    /// The grant it calls on.
    pub grant_id: String,
    /// The scope of the call's access token, separated by spaces; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub scope: Option<String>,
    /// The person's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub name: Option<String>,
    /// The person's verified address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub email: Option<String>,
    /// The name of the service account, if `sub` is one and no person (RFC 9700, section 4.15).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub service_account: Option<String>,
    /// Who acts for `sub`, if somebody does (RFC 8693, section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub act: Option<ActorClaims>,
}

/// One audience or several (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(Vec<String>);

impl Audience {
    /// Whether it is this one alone.
    #[must_use]
    pub fn is_only(&self, audience: &str) -> bool {
        matches!(self.0.as_slice(), [one] if one == audience)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, audience: &str) -> bool {
        self.0.iter().any(|one| one == audience)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, one: &str) -> Result<Audience, E> {
        Ok(Audience(vec![one.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Audience(all))
    }
}

/// Claims that have no field of their own, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherClaims(BTreeMap<String, Value>);

impl OtherClaims {
    /// The claim of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for OtherClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OtherClaimsVisitor)
    }
}

struct OtherClaimsVisitor;

impl<'de> Visitor<'de> for OtherClaimsVisitor {
    type Value = OtherClaims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims, each once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<OtherClaims, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, value)) = claims.next_entry::<String, Value>()? {
            match all.entry(name) {
                Entry::Occupied(_) => return Err(de::Error::custom("a claim stands twice")),
                Entry::Vacant(free) => free.insert(value),
            };
        }
        Ok(OtherClaims(all))
    }
}

/// A claim that is there must be of its type: `null` is not the same as absent.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `NumericDate` as we take it: a whole number of seconds, not negative, not beyond what time can hold.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    i64::try_from(u64::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(crate) fn present_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    seconds(deserializer).map(Some)
}
