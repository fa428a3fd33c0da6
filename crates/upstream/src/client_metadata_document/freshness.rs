//! How long a document may be used without asking again (RFC 9111, sections 4.2 and 5.2), within bounds of our own:
//! "The authorization server MAY define its own upper and/or lower bounds" (draft -02, section 5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES};
use jiff::fmt::rfc2822;
use protocol::world::Timestamp;

/// A host that says nothing.
const USUAL: Duration = Duration::from_secs(10 * 60);
/// A change must be seen within a day, whatever a host promises.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a host allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// To use it for so long; after that it may still stand in while the host fails.
    For(Duration),
    /// Not to keep it at all (`no-store`).
    NotKept,
}

/// What this head allows.
pub(super) fn freshness(headers: &HeaderMap, now: Timestamp) -> Freshness {
    let text: Vec<&str> =
        headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).collect();
    let directives: Vec<String> =
        text.iter().flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase()).collect();
    let has = |name: &str| directives.iter().any(|one| one == name || one.starts_with(&format!("{name}=")));
    if has("no-store") {
        return Freshness::NotKept;
    }
    if has("no-cache") {
        return Freshness::For(Duration::ZERO);
    }
    // Of several the shortest; one that cannot be read counts as over (section 4.2.1).
    let ages = directives.iter().filter_map(|one| one.strip_prefix("max-age="));
    let max_age = ages.map(|digits| seconds(digits.trim_matches('"'))).min();
    let lifetime = max_age.or_else(|| headers.get(EXPIRES).map(|_| until_expires(headers, now)));
    let age = headers.get(AGE).and_then(|value| value.to_str().ok()).map(seconds).unwrap_or_default();
    Freshness::For(lifetime.map_or(USUAL, |lifetime| lifetime.saturating_sub(age)).min(LONGEST))
}

fn seconds(digits: &str) -> Duration {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(seconds) if plain => Duration::from_secs(seconds),
        // More than a number can hold is long.
        Err(_) if plain => LONGEST,
        Ok(_) | Err(_) => Duration::ZERO,
    }
}

fn until_expires(headers: &HeaderMap, now: Timestamp) -> Duration {
    let date = |name| {
        let text = headers.get(name)?.to_str().ok()?;
        let moment = rfc2822::parse(text).ok()?.timestamp();
        Some(Timestamp::from_secs(moment.as_second()))
    };
    date(EXPIRES).map(|expires| expires.since(date(DATE).unwrap_or(now))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp::from_secs(784_111_777);

    fn of(lines: &[(HeaderName, &'static str)]) -> Freshness {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        freshness(&headers, NOW)
    }

    fn secs(seconds: u64) -> Freshness {
        Freshness::For(Duration::from_secs(seconds))
    }

    /// CM-16.
    #[test]
    fn a_host_is_heard_within_bounds() {
        assert_eq!(of(&[]), secs(600));
        assert_eq!(of(&[(CACHE_CONTROL, "public, max-age=300")]), secs(300));
        assert_eq!(of(&[(CACHE_CONTROL, "MAX-AGE=\"300\"")]), secs(300));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=300"), (AGE, "100")]), secs(200));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=300"), (AGE, "1000")]), secs(0));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=1000000000")]), secs(86_400));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=99999999999999999999999")]), secs(86_400));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=60, max-age=3600")]), secs(60));
        for broken in ["max-age=", "max-age=-1", "max-age=x", "max-age=+60"] {
            assert_eq!(of(&[(CACHE_CONTROL, broken)]), secs(0), "{broken}");
        }
        assert_eq!(of(&[(CACHE_CONTROL, "no-cache, max-age=300")]), secs(0));
        assert_eq!(of(&[(CACHE_CONTROL, "max-age=300"), (CACHE_CONTROL, "No-Store")]), Freshness::NotKept);
    }

    /// CM-16.
    #[test]
    fn expires_counts_where_there_is_no_max_age() {
        assert_eq!(of(&[(EXPIRES, "Sun, 06 Nov 1994 08:59:37 GMT")]), secs(600));
        assert_eq!(of(&[(EXPIRES, "Sun, 06 Nov 1994 08:50:37 GMT"), (CACHE_CONTROL, "max-age=5")]), secs(5));
        assert_eq!(
            of(&[(EXPIRES, "Sun, 06 Nov 1994 08:50:37 GMT"), (DATE, "Sun, 06 Nov 1994 08:50:07 GMT")]),
            secs(30)
        );
        for over in ["Sun, 06 Nov 1994 08:00:00 GMT", "0", "-1", "never"] {
            assert_eq!(of(&[(EXPIRES, over)]), secs(0), "{over}");
        }
    }
}
