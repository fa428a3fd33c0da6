//! What was withdrawn, as far as this process has heard (product.md, P-2; docs/verify-tokens-yourself.md, *The revocation
//! feed*).
//!
//! Knowledge is as old as the moment at which the last answered request was sent, plus the age that the answer tells. Older
//! than T, nothing is known any more. Must never take an answer for more than it says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::jose::claims::AccessTokenClaims;
use serde::Deserialize;

use crate::http_client::{HttpClient, Unanswered};
use crate::settings::Settings;

/// T, until the feed says its own.
const LONGEST: u64 = 5_000;
/// A token of whom an entry is dropped sooner could be alive, with the clocks apart.
const KEPT: i64 = 300;
/// More entries than this are not held: then nothing is known.
const MOST: usize = 1_000_000;
/// How often what may go is looked for, in seconds: that goes over everything that is held.
const SWEEP: i64 = 60;

/// One answer of the feed.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    epoch: i64,
    cursor: String,
    more: bool,
    /// Everything was told anew.
    #[serde(default)]
    reset: bool,
    age: u64,
    max_age: u64,
    withdrawn_keys: BTreeSet<String>,
    revocations: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    kind: Kind,
    id: String,
    not_before: i64,
    expires_at: i64,
}

/// An entry of a kind that is not known here makes the answer unreadable: then nothing is known, and nothing goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Client,
    Grant,
    Issuer,
    Resource,
    User,
}

#[derive(Debug, Default)]
struct Known {
    cursor: String,
    epoch: Option<i64>,
    /// Since when, by the monotonic clock; and how old it may become.
    at: Option<Duration>,
    within: Duration,
    keys: BTreeSet<String>,
    dead: BTreeMap<Kind, HashMap<String, Span>>,
    /// Before that nothing is looked for that may go.
    sweep_at: i64,
}

/// `not_before` and `expires_at` of an entry.
type Span = (i64, i64);

/// What is heard of withdrawn access.
#[derive(Debug)]
pub(crate) struct Feed {
    url: String,
    credentials: HeaderValue,
    known: Mutex<Known>,
}

/// What the feed says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Stale,
    Withdrawn,
}

impl Feed {
    /// `None` if no header can be made of name and secret.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        // RFC 6749, section 2.3.1: both form-encoded, then joined.
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = settings.secret.expose(|secret| format!("{}:{}", part(&settings.name), part(secret)));
        let mut credentials = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        credentials.set_sensitive(true);
        Some(Self {
            url: format!("{}/oauth/revocations", settings.issuer),
            credentials,
            known: Mutex::default(),
        })
    }

    /// Asks once, waiting so many seconds for news; answers whether there is more to be asked for at once.
    pub(crate) async fn read(
        &self,
        http: &HttpClient,
        wait: u8,
        now: impl Fn() -> Duration,
        today: i64,
    ) -> Result<bool, Unanswered> {
        let cursor = utf8_percent_encode(&self.known().cursor, NON_ALPHANUMERIC).to_string();
        let sent = now();
        let page: Page =
            http.get(&format!("{}?cursor={cursor}&wait={wait}", self.url), Some(&self.credentials)).await?;
        Ok(self.hear(page, sent, today))
    }

    pub(crate) fn hear(&self, page: Page, sent: Duration, today: i64) -> bool {
        let mut known = self.known();
        for Entry { kind, id, not_before, expires_at } in page.revocations {
            // It names every token, whatever its id: one entry says what all of them do.
            let id = if kind == Kind::Issuer { String::new() } else { id };
            let held = known.dead.entry(kind).or_default().entry(id).or_insert((i64::MIN, i64::MIN));
            *held = (held.0.max(not_before), held.1.max(expires_at));
        }
        if today >= known.sweep_at || known.entries() > MOST {
            for entries in known.dead.values_mut() {
                entries.retain(|_, (_, expires_at)| expires_at.saturating_add(KEPT) > today);
            }
            known.sweep_at = today.saturating_add(SWEEP);
        }
        known.keys = page.withdrawn_keys;
        known.cursor = page.cursor;
        if known.epoch.is_some_and(|epoch| epoch != page.epoch) {
            tracing::warn!("the record of Sekisho was restored from a backup");
        }
        known.epoch = Some(page.epoch);
        if known.entries() > MOST {
            tracing::error!("more was withdrawn than can be held: nothing is let through");
            known.at = None;
        } else if !page.more {
            known.at = sent.checked_sub(Duration::from_millis(page.age));
            // Never longer than T, whatever the answer says.
            known.within = Duration::from_millis(page.max_age.min(LONGEST));
        }
        // Where each answer begins anew, asking at once would never end, and would have no break.
        page.more && !page.reset
    }

    /// What is known of a token, at this moment of the monotonic clock.
    pub(crate) fn says(&self, kid: &str, claims: &AccessTokenClaims, now: Duration) -> Heard {
        let known = self.known();
        if !known.is_fresh(now) {
            return Heard::Stale;
        }
        // Asked for by name alone: each call comes by here, and every open answer twice a second.
        let is_dead = |kind, id: &str| {
            let entry = known.dead.get(&kind).and_then(|entries| entries.get(id));
            entry.is_some_and(|(not_before, _)| claims.iat <= *not_before)
        };
        let named = |sub: &str, client_id: &str, grant_id: &str| {
            is_dead(Kind::User, sub) || is_dead(Kind::Client, client_id) || is_dead(Kind::Grant, grant_id)
        };
        let actors = claims.act.iter().flat_map(|actor| actor.chain());
        let dead = is_dead(Kind::Issuer, "")
            || known.keys.contains(kid)
            || is_dead(Kind::Resource, &claims.aud)
            || named(&claims.sub, &claims.client_id, &claims.grant_id)
            || actors.into_iter().any(|actor| named(&actor.sub, &actor.client_id, &actor.grant_id));
        if dead { Heard::Withdrawn } else { Heard::Nothing }
    }

    /// Whether enough is known to let anybody through.
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        self.known().is_fresh(now)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn entries(&self) -> usize {
        self.dead.values().map(HashMap::len).sum()
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.at.is_some_and(|at| now.saturating_sub(at) <= self.within)
    }
}

#[cfg(test)]
mod tests;
