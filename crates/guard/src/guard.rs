//! The guard of one MCP server: what it knows, kept up to date by one task that ends with it, and how a request is judged.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use protocol::oauth::{BearerChallenge, ErrorCode, ProtectedResourceMetadata, Scope};
use tokio::task::JoinSet;

use crate::access::Caller;
use crate::feed::{Feed, Heard};
use crate::http_client::HttpClient;
use crate::keys::Keys;
use crate::layer::GuardLayer;
use crate::settings::Settings;

/// How long the feed waits for news; far below T, so that a quiet feed is no stale one.
const WAIT: u8 = 1;
/// Between two questions: a node that lets nobody wait is not asked without a break.
const BREATH: Duration = Duration::from_millis(100);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// Our tokens have some 700 bytes.
const LONGEST: usize = 8 * 1024;
/// How far the clock of Sekisho may be ahead of ours.
const AHEAD: i64 = 60;
/// What a token for this MCP server can have.
const SCOPES: &str = "read write";

/// The guard of one MCP server. Its task ends when the last of its layers is dropped, and of their answers.
#[derive(Debug, Clone)]
pub struct Guard {
    pub(crate) inside: Arc<Inside>,
    _listening: Arc<JoinSet<()>>,
}

/// Why there is no guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The name or the secret.
    #[error("name and secret make no header")]
    Credentials,
    /// TLS.
    #[error("no connection outward can be made: {0}")]
    Outward(String),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no token.
    TokenMissing,
    /// It is no token for this MCP server, over, or withdrawn.
    TokenInvalid,
    /// It is bound to a key, and nobody looks at proofs here.
    TokenBound,
    /// Nobody knows what was withdrawn.
    Stale,
}

/// Whoever was let in, and by what.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// The key that signed the token.
    kid: String,
    /// When even an answer that is open has to end, by the monotonic clock.
    until: Duration,
}

#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) settings: Settings,
    pub(crate) metadata: Vec<u8>,
    pub(crate) metadata_path: String,
    metadata_url: String,
    feed: Feed,
    http: HttpClient,
    keys: Keys,
}

impl Guard {
    /// Begins to listen to Sekisho. Until keys and feed have been read every call is answered with 503: an MCP server can
    /// be started before Sekisho.
    ///
    /// It must be called on a Tokio runtime.
    ///
    /// # Errors
    /// [`GuardError`] if it could never work.
    pub fn new(settings: Settings) -> Result<Self, GuardError> {
        let feed = Feed::new(&settings).ok_or(GuardError::Credentials)?;
        let http = HttpClient::new().map_err(|error| GuardError::Outward(error.to_string()))?;
        let metadata_url = ProtectedResourceMetadata::url_of(&settings.resource);
        let metadata_path =
            metadata_url.strip_prefix(settings.resource.origin()).unwrap_or_default().to_owned();
        let metadata = serde_json::to_vec(&document(&settings)).unwrap_or_default();
        let keys = Keys::new(&settings.issuer);
        let inside = Arc::new(Inside { settings, metadata, metadata_path, metadata_url, feed, http, keys });
        let mut listening = JoinSet::new();
        listening.spawn(listen(Arc::clone(&inside)));
        Ok(Self { inside, _listening: Arc::new(listening) })
    }

    /// The layer for the MCP endpoint.
    #[must_use]
    pub fn layer(&self) -> GuardLayer {
        GuardLayer::new(self.clone())
    }

    /// Whether enough is known of Sekisho to let anybody through: for a readiness probe.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.inside.feed.is_fresh(self.inside.settings.clock.monotonic())
    }
}

fn document(settings: &Settings) -> ProtectedResourceMetadata {
    ProtectedResourceMetadata {
        resource: settings.resource.clone(),
        authorization_servers: vec![settings.issuer.clone()],
        scopes_supported: scopes().iter().cloned().collect(),
        bearer_methods_supported: vec!["header"],
        dpop_signing_alg_values_supported: &[],
        dpop_bound_access_tokens_required: false,
        resource_name: None,
        resource_documentation: None,
    }
}

fn scopes() -> Scope {
    Scope::parse(SCOPES).unwrap_or_default()
}

/// Hears of what is withdrawn, for ever.
async fn listen(inside: Arc<Inside>) {
    let clock = &inside.settings.clock;
    let mut told = false;
    loop {
        let heard = match inside.keys.keep(&inside.http, clock.monotonic()).await {
            Ok(()) => {
                // By the earlier time, if it is in doubt: what is forgotten is told by nobody again (attacks.md, F-13).
                let today = clock.earliest().secs();
                inside.feed.read(&inside.http, WAIT, || clock.monotonic(), today).await
            }
            Err(error) => Err(error),
        };
        match heard {
            Ok(true) => told = false,
            Ok(false) => {
                told = false;
                tokio::time::sleep(BREATH).await;
            }
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "the revocation feed does not answer");
                }
                told = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Inside {
    /// Who calls, if the token is good for this MCP server at this moment.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let token = present(headers)?;
        let clock = &self.settings.clock;
        if !self.feed.is_fresh(clock.monotonic()) {
            return Err(Refused::Stale);
        }
        let verified = self.keys.verify(token, &self.http, clock.monotonic()).await;
        let (kid, claims) = verified.map_err(|_| Refused::TokenInvalid)?;
        let now = clock.now().secs();
        let ours = claims.iss == self.settings.issuer && claims.aud == self.settings.resource.as_str();
        if !ours || claims.exp <= now || claims.iat > now.saturating_add(AHEAD) {
            return Err(Refused::TokenInvalid);
        }
        let caller = Caller::of(claims).ok_or(Refused::TokenInvalid)?;
        match self.feed.says(&kid, caller.claims(), clock.monotonic()) {
            Heard::Stale => Err(Refused::Stale),
            Heard::Withdrawn => Err(Refused::TokenInvalid),
            Heard::Nothing if caller.claims().cnf.is_some() => Err(Refused::TokenBound),
            Heard::Nothing => {
                let left = u64::try_from(caller.claims().exp.saturating_sub(now)).unwrap_or_default();
                let life = Duration::from_secs(left).saturating_add(self.settings.stream_grace);
                Ok(Admitted { until: clock.monotonic().saturating_add(life), caller, kid })
            }
        }
    }

    /// Whether an answer that is open may go on until somebody looks again, so much later: its token is not over for longer
    /// than `stream_grace`, nothing was withdrawn, and by then it is still known that nothing was.
    pub(crate) fn still_admits(&self, admitted: &Admitted, ahead: Duration) -> bool {
        let now = self.settings.clock.monotonic();
        let heard = || self.feed.says(&admitted.kid, admitted.caller.claims(), now.saturating_add(ahead));
        now < admitted.until && heard() == Heard::Nothing
    }

    /// The challenge (RFC 6750, section 3; RFC 9728, section 5.1).
    pub(crate) fn challenge(&self, error: Option<ErrorCode>, scope: Scope) -> HeaderValue {
        BearerChallenge { scope: Some(scope), error, ..BearerChallenge::new(self.metadata_url.clone()) }
            .header_value()
    }

    pub(crate) fn challenge_of(&self, refused: Refused) -> Option<HeaderValue> {
        match refused {
            Refused::TokenMissing => Some(self.challenge(None, scopes())),
            Refused::TokenBound | Refused::TokenInvalid => {
                Some(self.challenge(Some(ErrorCode::InvalidToken), scopes()))
            }
            Refused::Stale => None,
        }
    }
}

/// Exactly one token, in the header (RFC 6750, section 2.1): two are none.
fn present(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let only = all.next().ok_or(Refused::TokenMissing)?;
    if all.next().is_some() {
        return Err(Refused::TokenInvalid);
    }
    let text = only.to_str().map_err(|_| Refused::TokenInvalid)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(if scheme.eq_ignore_ascii_case("dpop") {
            Refused::TokenBound
        } else {
            Refused::TokenMissing
        });
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.len() > LONGEST { Err(Refused::TokenInvalid) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use protocol::world::{Clock, Timestamp};
    use serde_json::json;

    use super::*;

    /// Seconds, set by hand.
    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(i64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// P-2: T is over before the next look, not after it.
    #[tokio::test]
    async fn an_open_answer_goes_on_as_long_as_by_the_next_look_it_is_known_what_was_withdrawn() {
        let clock = Arc::new(Hand::default());
        let resource = "http://127.0.0.1:9/notes/mcp";
        let settings = Settings::new("http://127.0.0.1:9", resource, "notes", "s".to_owned()).unwrap();
        let guard = Guard::new(settings.clock(Arc::clone(&clock) as _)).unwrap();
        let claims = json!({"iss": "http://127.0.0.1:9", "sub": "alice", "aud": resource, "client_id": "c",
            "grant_id": "g", "scope": "read", "iat": 90, "exp": 700, "jti": "j"});
        let caller = Caller::of(serde_json::from_value(claims).unwrap()).unwrap();
        let admitted = Admitted { caller, kid: "k".to_owned(), until: Duration::from_secs(700) };
        let hear = |sent: u64, withdrawn: &[&str]| {
            let page = json!({"epoch": 0, "cursor": "a", "more": false, "age": 0, "max_age": 5000,
                "withdrawn_keys": withdrawn, "revocations": []});
            guard.inside.feed.hear(serde_json::from_value(page).unwrap(), Duration::from_secs(sent), 100);
        };
        let goes_on = |at: u64, ahead: u64| {
            clock.0.store(at, Ordering::Relaxed);
            guard.inside.still_admits(&admitted, Duration::from_secs(ahead))
        };
        assert!(!goes_on(100, 0), "nothing was heard yet");
        hear(100, &[]);
        assert!(goes_on(104, 1) && goes_on(105, 0));
        assert!(!goes_on(105, 1) && !goes_on(106, 0));
        hear(699, &[]);
        assert!(goes_on(699, 1) && !goes_on(700, 1), "its time is over");
        hear(699, &["k"]);
        assert!(!goes_on(699, 1), "its key was withdrawn");
    }

    #[test]
    fn exactly_one_bearer_token_is_one() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            present(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(of(&["bEARER   a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(of(&[]), Err(Refused::TokenMissing));
        assert_eq!(of(&["Basic YTpi"]), Err(Refused::TokenMissing));
        assert_eq!(of(&["DPoP a.b.c"]), Err(Refused::TokenBound));
        assert_eq!(of(&["Bearer "]), Err(Refused::TokenInvalid));
        assert_eq!(of(&["Bearer a.b.c", "Bearer a.b.c"]), Err(Refused::TokenInvalid));
        assert_eq!(of(&[&format!("Bearer {}", "a".repeat(LONGEST + 1))]), Err(Refused::TokenInvalid));
    }
}
