//! The keys by which Sekisho signs: read at the start, again every few minutes, and when a token names an unknown one, but
//! then at most once a minute, so that strangers' tokens cause no requests.
//!
//! Keys that were taken back are told by the feed.

use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::jose::claims::AccessTokenClaims;
use protocol::jose::{Algorithm, Expect, JoseError, VerifyingKeys};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http_client::{HttpClient, Unanswered};

/// RFC 9068, section 4, and only this: not refresh tokens, identity assertions or anybody's ID tokens.
const EXPECTED: Expect<'static> =
    Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256, Algorithm::Rs256] };
/// The least time between two requests that strangers can cause.
const PAUSE: Duration = Duration::from_secs(60);
/// After this the keys are read again whatever happens.
const OLD: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Keys {
    url: String,
    held: ArcSwap<VerifyingKeys>,
    read_at: Mutex<Option<Duration>>,
}

impl Keys {
    pub(crate) fn new(issuer: &str) -> Self {
        let url = format!("{issuer}/oauth/jwks");
        Self { url, held: ArcSwap::default(), read_at: Mutex::default() }
    }

    /// The claims of a token of ours, and the `kid` of its key; the key is looked for once more if it is not known.
    pub(crate) async fn verify(
        &self,
        token: &str,
        http: &HttpClient,
        now: Duration,
    ) -> Result<(String, AccessTokenClaims), JoseError> {
        match self.held.load().verify_named::<AccessTokenClaims>(token, &EXPECTED) {
            Err(JoseError::KeyUnknown) => {}
            Ok((kid, claims)) => return Ok((kid.to_owned(), claims)),
            Err(error) => return Err(error),
        }
        // Whoever waits here finds that another has just asked.
        if let Err(error) = self.read(http, now, PAUSE).await {
            tracing::warn!(%error, "the keys could not be read");
        }
        let held = self.held.load();
        held.verify_named::<AccessTokenClaims>(token, &EXPECTED).map(|(kid, claims)| (kid.to_owned(), claims))
    }

    /// Reads the keys again if they are old. As long as there are none it is an error not to get them: without keys the feed
    /// is of no use, and whoever calls must hear that we do not know (503), not that their token is wrong.
    pub(crate) async fn keep(&self, http: &HttpClient, now: Duration) -> Result<(), Unanswered> {
        let older_than = if self.held.load().is_empty() { Duration::ZERO } else { OLD };
        self.read(http, now, older_than).await
    }

    async fn read(&self, http: &HttpClient, now: Duration, older_than: Duration) -> Result<(), Unanswered> {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| now.saturating_sub(at) < older_than) {
            return Ok(());
        }
        // A failure counts too: an issuer that is down is not asked for every token.
        *read_at = Some(now);
        let jwks: Value = http.get(&self.url, None).await?;
        let keys = VerifyingKeys::from_jwks(&jwks).map_err(|_| Unanswered::Malformed)?;
        self.held.store(std::sync::Arc::new(keys));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start before Sekisho's: what failed once is not taken for done until the keys are old.
    #[tokio::test]
    async fn keys_that_could_not_be_read_are_asked_for_again() {
        let (keys, http) = (Keys::new("http://127.0.0.1:9"), HttpClient::new().unwrap());
        for now in [10, 11] {
            assert!(keys.keep(&http, Duration::from_secs(now)).await.is_err(), "at {now}");
        }
    }
}
