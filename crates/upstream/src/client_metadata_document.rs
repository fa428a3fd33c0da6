//! Client ID metadata documents: fetched, read and kept (draft-ietf-oauth-client-id-metadata-document-02, section 5;
//! product.md, P-6).
//!
//! A document is kept for as long as its host allows, within bounds of our own; what is no document of the client is never
//! kept (section 5.2). While the host fails, the last one goes on for a while. Whoever asks at the same time as others gets
//! what they get: one fetch, however many ask. What is kept is what was fetched, and it is judged each time it is used, so
//! that a rule that has changed meanwhile holds. Must never say anything but "there is none" to whoever named the URL.

mod freshness;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use protocol::oauth::{
    ClientId, ClientMetadata, DocumentFlaw, HttpsUrlError, LARGEST_DOCUMENT, RedirectPolicy,
};
use protocol::world::Clock;
use quick_cache::sync::Cache;

use crate::guarded::{DEADLINE, GuardedFetcher, NotFetched};
use crate::key_sets::KeySets;
use freshness::{Freshness, freshness};

/// Documents kept at once, of at most 5 KiB each.
const KEPT: usize = 2048;
/// How long a document goes on while its host fails.
pub const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Between two fetches of one document when no person waits for it.
const REST: Duration = Duration::from_secs(60);
const ACCEPT: &str = "application/json, application/*+json";

/// Why there is no document. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// What was fetched is not this client's document.
    #[error("the document is refused: {0}")]
    Flaw(DocumentFlaw),
    /// Another media type than JSON (section 4).
    #[error("the answer is not of type `application/json`")]
    MediaType,
    /// It could not be fetched.
    #[error("{0}")]
    NotFetched(NotFetched),
    /// It was tried a moment ago.
    #[error("it was tried a moment ago")]
    Resting,
    /// The identifier is no URL of a document.
    #[error("the `client_id` is no url of a document: {0}")]
    Url(HttpsUrlError),
}

/// A document, as it was fetched.
#[derive(Debug)]
struct Kept {
    body: Bytes,
    fetched_at: Duration,
    fresh_until: Duration,
}

/// The documents of clients. One for the whole process.
#[derive(Debug)]
pub struct MetadataDocuments {
    clock: Arc<dyn Clock>,
    fetcher: GuardedFetcher,
    keys: KeySets,
    flights: Mutex<HashMap<ClientId, Arc<Flight>>>,
    kept: Cache<ClientId, Arc<Kept>>,
    tried: Mutex<HashMap<ClientId, Duration>>,
}

/// One fetch under way, and who waits for it.
#[derive(Debug, Default)]
struct Flight {
    landed: AtomicU64,
    outcome: tokio::sync::Mutex<Option<Result<Arc<Kept>, NoDocument>>>,
}

/// A place among those who wait. The last to leave takes the flight off the list.
struct Seat<'a> {
    documents: &'a MetadataDocuments,
    flight: Arc<Flight>,
    id: &'a ClientId,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = locked(&self.documents.flights);
        // The list's and ours.
        if Arc::strong_count(&self.flight) <= 2 {
            flights.remove(self.id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MetadataDocuments {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(fetcher: GuardedFetcher, clock: Arc<dyn Clock>) -> Self {
        let keys = KeySets::new(Arc::new(fetcher.clone()), Arc::clone(&clock), DEADLINE);
        Self {
            clock,
            fetcher,
            keys,
            flights: Mutex::default(),
            kept: Cache::new(KEPT),
            tried: Mutex::default(),
        }
    }

    /// The key sets that documents name, fetched as the documents are.
    #[must_use]
    pub const fn keys(&self) -> &KeySets {
        &self.keys
    }

    /// What the document of this client says, for a person who waits.
    ///
    /// # Errors
    /// [`NoDocument`] if there is none that may be believed.
    pub async fn read(&self, id: &ClientId, policy: &RedirectPolicy) -> Result<ClientMetadata, NoDocument> {
        if let Some(metadata) = self.fresh(id, policy) {
            return Ok(metadata);
        }
        let outcome = self.fetched(id, policy).await;
        let why = match outcome.and_then(|kept| judge(&kept, id, policy)) {
            Ok(metadata) => return Ok(metadata),
            Err(why) => why,
        };
        let stale = if host_fails(why) { self.stale(id, policy) } else { None };
        if stale.is_some() {
            tracing::warn!(client_id = id.as_str(), %why, "the last metadata document of a client goes on");
        } else {
            tracing::info!(client_id = id.as_str(), %why, "there is no metadata document of a client");
        }
        stale.ok_or(why)
    }

    /// The same when no person waits: fetched at most once a minute, whatever becomes of it.
    ///
    /// # Errors
    /// [`NoDocument`] if there is none that may be believed.
    pub async fn read_at_rest(
        &self,
        id: &ClientId,
        policy: &RedirectPolicy,
    ) -> Result<ClientMetadata, NoDocument> {
        if let Some(metadata) = self.fresh(id, policy) {
            return Ok(metadata);
        }
        let now = self.clock.monotonic();
        let tried = locked(&self.tried).get(id).copied();
        if tried.is_some_and(|at| now.saturating_sub(at) < REST) {
            return self.stale(id, policy).ok_or(NoDocument::Resting);
        }
        self.read(id, policy).await
    }

    fn fresh(&self, id: &ClientId, policy: &RedirectPolicy) -> Option<ClientMetadata> {
        let kept = self.kept.get(id).filter(|kept| self.clock.monotonic() < kept.fresh_until)?;
        judge(&kept, id, policy).ok()
    }

    fn stale(&self, id: &ClientId, policy: &RedirectPolicy) -> Option<ClientMetadata> {
        let kept = self.kept.get(id)?;
        let age = self.clock.monotonic().saturating_sub(kept.fetched_at);
        if age <= STALE { judge(&kept, id, policy).ok() } else { None }
    }

    /// Fetches, or shares what somebody fetches who began before we came to wait for it.
    async fn fetched(&self, id: &ClientId, policy: &RedirectPolicy) -> Result<Arc<Kept>, NoDocument> {
        let flight = Arc::clone(locked(&self.flights).entry(id.clone()).or_default());
        let seat = Seat { documents: self, flight, id };
        let seen = seat.flight.landed.load(Ordering::Acquire);
        let mut outcome = seat.flight.outcome.lock().await;
        if seat.flight.landed.load(Ordering::Acquire) > seen
            && let Some(shared) = outcome.clone()
        {
            return shared;
        }
        let fetched = self.fetch(id, policy).await;
        *outcome = Some(fetched.clone());
        seat.flight.landed.fetch_add(1, Ordering::AcqRel);
        drop(outcome);
        fetched
    }

    async fn fetch(&self, id: &ClientId, policy: &RedirectPolicy) -> Result<Arc<Kept>, NoDocument> {
        let url = id.document_url().map_err(NoDocument::Url)?;
        let begun = self.clock.monotonic();
        self.note_try(id, begun);
        let fetched =
            self.fetcher.get(&url, ACCEPT, LARGEST_DOCUMENT).await.map_err(NoDocument::NotFetched)?;
        if !is_json(&fetched.headers) {
            return Err(NoDocument::MediaType);
        }
        let freshness = freshness(&fetched.headers, self.clock.now());
        let fresh_until = match freshness {
            Freshness::For(time) => begun + time,
            Freshness::NotKept => begun,
        };
        let kept = Arc::new(Kept { body: fetched.body, fetched_at: begun, fresh_until });
        judge(&kept, id, policy)?;
        match freshness {
            Freshness::For(_) => self.kept.insert(id.clone(), Arc::clone(&kept)),
            Freshness::NotKept => {
                self.kept.remove(id);
            }
        }
        Ok(kept)
    }

    fn note_try(&self, id: &ClientId, now: Duration) {
        let mut tried = locked(&self.tried);
        if tried.len() >= KEPT {
            tried.retain(|_, at| now.saturating_sub(*at) < REST);
        }
        // A flood of made-up names is stopped by the budget of fetches; it must not fill the memory either.
        if tried.len() < KEPT {
            tried.insert(id.clone(), now);
        }
    }
}

fn judge(kept: &Kept, id: &ClientId, policy: &RedirectPolicy) -> Result<ClientMetadata, NoDocument> {
    ClientMetadata::parse_document(&kept.body, id, policy).map_err(NoDocument::Flaw)
}

/// Whether it is the host that fails. One that says that there is no such document, or says something else, is heard.
const fn host_fails(why: NoDocument) -> bool {
    match why {
        NoDocument::NotFetched(NotFetched::Busy | NotFetched::TimedOut | NotFetched::Unreachable) => true,
        // A shop window before the host that turns machines away says nothing of the document.
        NoDocument::NotFetched(NotFetched::Status(status)) => status >= 500 || matches!(status, 403 | 429),
        NoDocument::NotFetched(
            NotFetched::Address
            | NotFetched::Compressed
            | NotFetched::Port
            | NotFetched::TooLarge
            | NotFetched::Url,
        )
        | NoDocument::Flaw(_)
        | NoDocument::MediaType
        | NoDocument::Resting
        | NoDocument::Url(_) => false,
    }
}

/// "application/json" or `application/<AS-defined>+json` (section 4), whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = only.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    let token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_document_is_json_by_its_media_type() {
        let json = |texts: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(CONTENT_TYPE, HeaderValue::from_str(text).unwrap());
            }
            is_json(&headers)
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/client+json"] {
            assert!(json(&[good]), "{good}");
        }
        for bad in
            ["text/html", "text/json", "application/+json", "application/jsonp", "json", "", "image/svg+json"]
        {
            assert!(!json(&[bad]), "{bad}");
        }
        assert!(!json(&[]) && !json(&["application/json", "text/html"]));
    }
}
