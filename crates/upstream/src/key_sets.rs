//! The JWK sets of others (RFC 7517, section 5): of trusted issuers, and of clients that sign.
//!
//! Each set is kept as long as its host says, within bounds of our own, fetched once whoever waits, and fetched anew for a
//! key that is not in it, but not more often than every 30 seconds: a flood of invented key ids must not become a flood of
//! requests. A set that its host cannot give serves on for a day; one that came and was wrong never serves.
//!
//! Never follows a redirect, and never takes keys from where a token says that they are (RFC 8725, section 3.10). Where a
//! set is fetched is decided by whoever hands in the [`Egress`]: addresses that strangers choose need the guarded one, and a
//! `KeySets` of their own, so that they push out nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::jose::{Expect, JoseError, VerifyingKeys};
use protocol::world::Clock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::document::{DocumentError, fetch, freshness, protected};
use crate::egress::{Egress, Limits};
use crate::kept::{FRESH, Kept};

/// No honest key set, or description of an issuer, is larger.
const LARGEST: usize = 256 * 1024;
/// Sets that are kept at a time; the one that was longest not asked for makes room.
const MOST: usize = 256;
/// No set is asked for again sooner, whatever its host says.
const SHORTEST: Duration = Duration::from_secs(60);
/// Between two fetches on account of an unknown key.
const INTERVAL: Duration = Duration::from_secs(30);

/// Where the keys of somebody are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// At the `jwks_uri` that the issuer's own description names (OpenID Connect Discovery 1.0, section 4).
    Discovery {
        /// The issuer identifier, byte for byte.
        issuer: String,
    },
    /// Here.
    Uri(String),
}

/// Why a token was not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The key set, or the description of the issuer that names it, is not one.
    #[error("the key set cannot be trusted")]
    Malformed,
    /// The token.
    #[error(transparent)]
    Refused(#[from] JoseError),
    /// There are no keys to verify it with, and its host does not answer.
    #[error("the key set cannot be reached")]
    Unreachable,
}

impl KeySetError {
    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "key_set_malformed",
            Self::Refused(error) => error.reason(),
            Self::Unreachable => "key_set_unreachable",
        }
    }
}

impl From<DocumentError> for KeySetError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Malformed => Self::Malformed,
            DocumentError::Unreachable => Self::Unreachable,
        }
    }
}

/// Key sets, kept.
#[derive(Debug)]
pub struct KeySets {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    egress: Arc<dyn Egress>,
    sets: Mutex<Sets>,
}

#[derive(Debug, Default)]
struct Sets {
    by_source: HashMap<KeySource, Slot>,
    /// Counts the uses, to tell which set was longest not asked for.
    uses: u64,
}

#[derive(Debug)]
struct Slot {
    set: Arc<KeySet>,
    used: u64,
}

#[derive(Debug)]
struct KeySet {
    keys: Kept<Fetched, DocumentError>,
    place: Kept<String, DocumentError>,
}

#[derive(Debug)]
struct Fetched {
    fresh: Duration,
    keys: VerifyingKeys,
    uri: String,
}

#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl KeySets {
    /// None yet. `deadline` bounds one verification, however many requests it takes.
    #[must_use]
    pub fn new(egress: Arc<dyn Egress>, clock: Arc<dyn Clock>, deadline: Duration) -> Self {
        Self { clock, deadline, egress, sets: Mutex::default() }
    }

    /// The claims of a token that a key from there signed, and that is what is expected.
    ///
    /// # Errors
    /// [`KeySetError`]; only [`KeySetError::Refused`] says something about the token.
    pub async fn verify<C: DeserializeOwned>(
        &self,
        source: &KeySource,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<C, KeySetError> {
        let by_name = |keys: &VerifyingKeys| keys.verify(token, expect);
        self.in_time(source, by_name, |error| error == JoseError::KeyUnknown).await
    }

    /// The same for a token that may leave out which key signed it, as those of many clients do: see
    /// [`VerifyingKeys::verify_with_any`].
    ///
    /// # Errors
    /// As [`KeySets::verify`].
    pub async fn verify_with_any<C: DeserializeOwned>(
        &self,
        source: &KeySource,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<C, KeySetError> {
        // Without a name a key that is new here looks like a wrong signature.
        let may_be_new = |error| matches!(error, JoseError::KeyUnknown | JoseError::Signature);
        self.in_time(source, |keys: &VerifyingKeys| keys.verify_with_any(token, expect), may_be_new).await
    }

    /// Fetches the set if it is not there, for whoever wants to know whether it can be had. How many keys there are.
    ///
    /// # Errors
    /// [`KeySetError`] if it cannot.
    pub async fn examine(&self, source: &KeySource) -> Result<usize, KeySetError> {
        let set = self.set(source);
        let current = async {
            let uri = self.place(&set, source).await?;
            Ok(set.keys.current(|kept| kept.uri == uri, self.fetch(&uri)).await?.keys.len())
        };
        tokio::time::timeout(self.deadline, current).await.unwrap_or(Err(KeySetError::Unreachable))
    }

    async fn in_time<C>(
        &self,
        source: &KeySource,
        verify: impl Fn(&VerifyingKeys) -> Result<C, JoseError>,
        may_be_new: impl Fn(JoseError) -> bool,
    ) -> Result<C, KeySetError> {
        let judged = self.judge(source, verify, may_be_new);
        tokio::time::timeout(self.deadline, judged).await.unwrap_or(Err(KeySetError::Unreachable))
    }

    /// Verifies by the set that is kept and, if `may_be_new` says that this could be why it failed, by a newer one.
    async fn judge<C>(
        &self,
        source: &KeySource,
        verify: impl Fn(&VerifyingKeys) -> Result<C, JoseError>,
        may_be_new: impl Fn(JoseError) -> bool,
    ) -> Result<C, KeySetError> {
        let set = self.set(source);
        let uri = self.place(&set, source).await?;
        let kept = set.keys.current(|kept| kept.uri == uri, self.fetch(&uri)).await?;
        let refused = match verify(&kept.keys) {
            Err(error) if may_be_new(error) => error,
            judged => return Ok(judged?),
        };
        match set.keys.newer(&kept, INTERVAL, self.fetch(&uri)).await? {
            None => Err(refused.into()),
            Some(newer) => Ok(verify(&newer.keys)?),
        }
    }

    /// Where the set is.
    async fn place(&self, set: &KeySet, source: &KeySource) -> Result<String, KeySetError> {
        match source {
            KeySource::Uri(uri) => Ok(uri.clone()),
            KeySource::Discovery { issuer } => {
                let place = set.place.current(|_| true, self.discover(issuer)).await?;
                Ok(place.as_str().to_owned())
            }
        }
    }

    async fn discover(&self, issuer: &str) -> Result<String, DocumentError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let (described, _) = fetch::<Description>(&*self.egress, &url, self.limits()).await?;
        // OpenID Connect Discovery 1.0, section 4.3: it speaks for exactly the issuer that was asked.
        if described.issuer != issuer {
            tracing::debug!(said = described.issuer, "the description names another issuer");
            return Err(DocumentError::Malformed);
        }
        let over_tls = issuer.starts_with("https:");
        let is_fit = |url: &Url| protected(url) && (!over_tls || url.scheme() == "https");
        match Url::parse(&described.jwks_uri) {
            Ok(url) if is_fit(&url) && url.fragment().is_none() => Ok(described.jwks_uri),
            Ok(_) | Err(_) => Err(DocumentError::Malformed),
        }
    }

    async fn fetch(&self, uri: &str) -> Result<Fetched, DocumentError> {
        let (document, headers) = fetch::<Value>(&*self.egress, uri, self.limits()).await?;
        let keys = VerifyingKeys::from_jwks(&document).map_err(|error| {
            tracing::debug!(%error, uri, "key set refused");
            DocumentError::Malformed
        })?;
        let fresh = freshness(&headers, self.clock.now()).unwrap_or(FRESH).clamp(SHORTEST, FRESH);
        Ok(Fetched { fresh, keys, uri: uri.to_owned() })
    }

    /// A document that others wait for too fails while they still have time to be told.
    fn limits(&self) -> Limits {
        Limits { total: self.deadline / 2, max_body: LARGEST }
    }

    /// The place where the set of this source is kept.
    fn set(&self, source: &KeySource) -> Arc<KeySet> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.uses += 1;
        let used = sets.uses;
        if let Some(slot) = sets.by_source.get_mut(source) {
            slot.used = used;
            return Arc::clone(&slot.set);
        }
        if sets.by_source.len() >= MOST {
            let oldest = sets.by_source.iter().min_by_key(|(_, slot)| slot.used);
            if let Some(oldest) = oldest.map(|(source, _)| source.clone()) {
                sets.by_source.remove(&oldest);
            }
        }
        let set = Arc::new(KeySet {
            keys: Kept::lasting(Arc::clone(&self.clock), |fetched: &Fetched| fetched.fresh),
            place: Kept::new(Arc::clone(&self.clock)),
        });
        sets.by_source.insert(source.clone(), Slot { set: Arc::clone(&set), used });
        set
    }
}
