//! The access token of a request: exactly one, in the `Authorization` header, ours, for this MCP server, not over
//! (RFC 6750, section 2.1; RFC 9068, section 4; RFC 8725).
//!
//! No visit to the store: what is revoked stands in `revocations.rs`. A token in query, body or cookie is no token; one
//! in the query beside that in the header is refused (requirements RS-026). Must never take another `typ` than `at+jwt` (attacks TK-31), or key, algorithm or issuer from the token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use protocol::jose::claims::{AccessTokenClaims, ActorClaims};
use protocol::jose::{Algorithm, Expect, VerifyingKeys, claimed_expiry};
use protocol::keys::Keys;
use protocol::oauth::{ClientId, Scope};
use protocol::secret::Hash;
use protocol::world::{Clock, Timestamp, between_nodes};

use store::Timeline;

use crate::caller::Caller;
use crate::mcp_server::Identity;
use crate::reason::CallReason;
use crate::verdicts::{Access, Actor, Verdict, Verdicts};

/// Our tokens have some 700 bytes.
const LONGEST: usize = 8 * 1024;
/// We issue none with more.
const MOST_ACTORS: usize = 4;
/// How far another node's clock may be ahead of ours.
const AHEAD: Duration = between_nodes(Duration::from_secs(60));
/// RFC 9068, section 4, and only this: not our refresh tokens, identity assertions or anybody's ID tokens.
const EXPECTED: Expect<'static> =
    Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256, Algorithm::Rs256] };

/// By which scheme a token comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RFC 6750, section 2.1.
    Bearer,
    /// RFC 9449, section 7.1: with a proof in another header.
    Dpop,
}

/// The token of a request, as it stands in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presented<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) token: &'a [u8],
}

/// Whether the query says that it carries a token, as RFC 6750, section 2.3, had it and OAuth 2.1, section 5.1, does not.
pub(crate) fn is_in_query(uri: &Uri) -> bool {
    let names = |part: &str| part.split_once('=').is_some_and(|(name, _)| name == "access_token");
    uri.query().is_some_and(|query| query.split('&').any(names))
}

/// What a request presents. The characters of the token are judged when it is read: one that has been verified before is
/// known by its hash, and needs no second look.
pub(crate) fn present(headers: &HeaderMap) -> Result<Presented<'_>, CallReason> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(only) = all.next() else {
        return Err(CallReason::TokenMissing);
    };
    if all.next().is_some() {
        return Err(CallReason::AuthorizationRepeated);
    }
    let value = only.as_bytes();
    let name = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    // RFC 9110, section 11.1: the scheme is a token that ignores case.
    let scheme = if name.eq_ignore_ascii_case(b"Bearer") {
        Scheme::Bearer
    } else if name.eq_ignore_ascii_case(b"DPoP") {
        Scheme::Dpop
    } else {
        return Err(CallReason::TokenMissing);
    };
    let token = value.get(name.len()..).unwrap_or_default().trim_ascii();
    if token.is_empty() || token.len() > LONGEST {
        Err(CallReason::TokenMalformed)
    } else {
        Ok(Presented { scheme, token })
    }
}

/// The text of a token that may be one.
fn well_formed(token: &[u8]) -> Result<&str, CallReason> {
    // Two credentials that some intermediary joined (RFC 9110, section 5.3): no such character is in a token.
    if token.contains(&b',') {
        return Err(CallReason::AuthorizationRepeated);
    }
    if !token.iter().all(|byte| is_b64token(*byte)) {
        return Err(CallReason::TokenMalformed);
    }
    std::str::from_utf8(token).map_err(|_| CallReason::TokenMalformed)
}

/// RFC 6750, section 2.1: `b64token`.
const fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// Verifies access tokens and remembers the verdicts.
pub(crate) struct Bearer {
    keys: Arc<ArcSwap<Keys>>,
    clock: Arc<dyn Clock>,
    verdicts: Verdicts,
    verifying: ArcSwapOption<Verifying>,
    timeline: Option<Arc<Timeline>>,
}

/// The public halves of the keys, made once for each set of keys.
struct Verifying {
    of: Arc<Keys>,
    keys: VerifyingKeys,
}

impl Bearer {
    pub(crate) fn new(keys: Arc<ArcSwap<Keys>>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, verdicts: Verdicts::new(), verifying: ArcSwapOption::empty(), timeline: None }
    }

    /// The timeline hears of the first calls with each token.
    pub(crate) fn telling(mut self, timeline: Arc<Timeline>) -> Self {
        self.timeline = Some(timeline);
        self
    }

    /// What this token means at the MCP server of these identities, if it is alive by its own claims. One that is not
    /// known is not verified for whoever presented too many bad ones.
    pub(crate) fn verify(
        &self,
        token: impl AsRef<[u8]>,
        identities: &[Identity],
        caller: &Caller<'_>,
    ) -> Result<Arc<Verdict>, CallReason> {
        let token = token.as_ref();
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let hash = Hash::of(token);
        let keys = self.keys.load();
        let verdict = match self.verdicts.find(&hash) {
            Some(known) if known.is_by(&keys) => known,
            Some(_) | None => {
                let token = well_formed(token)?;
                // Over by its own word: no signature is looked at for that. A whole office whose tokens ended overnight is
                // no attack, and whoever is not to be believed is told what makes an honest client refresh.
                if claimed_expiry(token).is_some_and(|exp| now >= Timestamp::from_secs(exp)) {
                    return Err(CallReason::TokenExpired);
                }
                if (caller.is_suspect)() {
                    return Err(CallReason::TokensRefused);
                }
                let access = self.read(token, &self.verifying(&keys).keys, now)?;
                let verdict = Verdict::new(access, Arc::clone(&keys), now, monotonic)
                    .watched(self.timeline.as_ref(), now);
                self.verdicts.put(hash, verdict, (now, monotonic))
            }
        };
        is_for(&verdict.access, identities, now)?;
        if verdict.is_over(now, monotonic) {
            return Err(CallReason::TokenExpired);
        }
        Ok(verdict)
    }

    fn read(&self, token: &str, keys: &VerifyingKeys, now: Timestamp) -> Result<Access, CallReason> {
        let (kid, claims): (&str, AccessTokenClaims) =
            keys.verify_named(token, &EXPECTED).map_err(|_| CallReason::TokenInvalid)?;
        let access = access(kid, claims).ok_or(CallReason::TokenInvalid)?;
        // Before it is remembered: a token that is over has no place among the verdicts.
        if now >= access.expires_at {
            return Err(CallReason::TokenExpired);
        }
        if access.issued_at > now.plus(AHEAD) {
            return Err(CallReason::TokenNotYetIssued);
        }
        Ok(access)
    }

    fn verifying(&self, keys: &Arc<Keys>) -> Arc<Verifying> {
        match self.verifying.load_full() {
            Some(verifying) if Arc::ptr_eq(&verifying.of, keys) => verifying,
            Some(_) | None => {
                let verifying = Arc::new(Verifying { keys: keys.verifying(), of: Arc::clone(keys) });
                self.verifying.store(Some(Arc::clone(&verifying)));
                verifying
            }
        }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}

/// Issuer and audience, as a pair: the issuer of one name vouches for the resources of that name only.
fn is_for(access: &Access, identities: &[Identity], now: Timestamp) -> Result<(), CallReason> {
    let lives = |identity: &&Identity| identity.until.is_none_or(|until| now < until);
    let ours = identities.iter().filter(lives).find(|identity| identity.issuer == access.issuer);
    match ours {
        None => Err(CallReason::TokenOfAnotherIssuer),
        Some(identity) if identity.resource != access.resource => Err(CallReason::TokenOfAnotherResource),
        Some(_) => Ok(()),
    }
}

fn actor(claims: &ActorClaims) -> Option<Actor> {
    Some(Actor {
        user: claims.sub.parse().ok()?,
        client: ClientId::parse(&claims.client_id).ok()?,
        grant: claims.grant_id.parse().ok()?,
        claims: ActorClaims { act: None, ..claims.clone() },
    })
}

fn access(kid: &str, claims: AccessTokenClaims) -> Option<Access> {
    let actors = claims.act.iter().flat_map(ActorClaims::chain).take(MOST_ACTORS + 1).map(actor);
    let actors: Vec<Actor> = actors.collect::<Option<_>>()?;
    if actors.len() > MOST_ACTORS {
        return None;
    }
    Some(Access {
        actors,
        user: claims.sub.parse().ok()?,
        client: ClientId::parse(&claims.client_id).ok()?,
        grant: claims.grant_id.parse().ok()?,
        issuer: claims.iss,
        resource: claims.aud,
        scope: match claims.scope {
            Some(scope) => Scope::parse(&scope).ok()?,
            None => Scope::default(),
        },
        key: kid.parse().ok()?,
        bound_to: claims.cnf.map(|confirmation| confirmation.jkt),
        issued_at: Timestamp::from_secs(claims.iat),
        expires_at: Timestamp::from_secs(claims.exp),
    })
}

#[cfg(test)]
mod tests;
