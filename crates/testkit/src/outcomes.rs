//! The outcomes of the attack catalogue, as assertions under the same names.
//!
//! Each says what it saw when it is not what it must be. None may pass on an empty answer.

use std::collections::BTreeSet;

use http::StatusCode;
use url::Url;

use crate::browser::{Page, Place};
use crate::http::Answer;

/// What an assertion says.
pub type Verdict = Result<(), String>;

fn expect(right: bool, what: &str, answer: &Answer) -> Verdict {
    if right {
        return Ok(());
    }
    let text: String = answer.text().chars().take(400).collect();
    Err(format!("{what}\n{} {:?}\n{text}", answer.status, answer.headers))
}

/// PAGE400: our own page, status 400, no `Location`, not stored by caches, with a content security policy.
pub fn page400(answer: &Answer) -> Verdict {
    page(answer, StatusCode::BAD_REQUEST)
}

/// Our own page with another status.
pub fn page(answer: &Answer, status: StatusCode) -> Verdict {
    expect(answer.status == status, &format!("a page with {status} is expected"), answer)?;
    expect(answer.headers.get("location").is_none(), "no `Location` is expected", answer)?;
    expect(answer.header("content-type").starts_with("text/html"), "an HTML page is expected", answer)?;
    expect(answer.header("cache-control").contains("no-store"), "no-store is expected", answer)?;
    let policy = answer.header("content-security-policy");
    expect(
        policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"),
        "a strict policy is expected",
        answer,
    )
}

/// REDIR(e): sent to the redirect URI with `error`, the same `state`, and `iss`, each exactly once.
pub fn redir(place: &Place, redirect_uri: &str, error: &str, state: Option<&str>, issuer: &str) -> Verdict {
    let Place::Left(url) = place else {
        return Err(format!("a redirect with {error} is expected, seen: {place:?}"));
    };
    if !url.as_str().starts_with(redirect_uri) {
        return Err(format!("a redirect to {redirect_uri} is expected, seen: {url}"));
    }
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    expected.insert(("error".to_owned(), error.to_owned()));
    expected.insert(("iss".to_owned(), issuer.to_owned()));
    expected.extend(state.map(|state| ("state".to_owned(), state.to_owned())));
    let seen: Vec<(String, String)> = response_parameters(url);
    if seen.len() == expected.len() && seen.into_iter().collect::<BTreeSet<_>>() == expected {
        return Ok(());
    }
    Err(format!("exactly {expected:?} is expected, seen: {url}"))
}

/// REDIR(e) as one answer: 303, not stored by caches, no body, and no address of ours for the client's pages to read.
pub fn redir_at_once(
    answer: &Answer,
    redirect_uri: &str,
    error: &str,
    state: Option<&str>,
    issuer: &str,
) -> Verdict {
    expect(answer.status == StatusCode::SEE_OTHER, "303 is expected", answer)?;
    expect(answer.header("cache-control").contains("no-store"), "no-store is expected", answer)?;
    expect(answer.header("referrer-policy") == "no-referrer", "no referrer is expected", answer)?;
    expect(answer.body.is_empty(), "no body is expected", answer)?;
    let url =
        Url::parse(answer.header("location")).map_err(|error| format!("{error}: {:?}", answer.headers))?;
    redir(&Place::Left(url), redirect_uri, error, state, issuer)
}

/// REDIR(e) for a client whom nobody vouches for and whose redirect URI is remote: PAGE400, and a link that carries
/// what the redirect would, for the person to follow.
pub fn redir_by_hand(
    answer: &Answer,
    redirect_uri: &str,
    error: &str,
    state: Option<&str>,
    issuer: &str,
) -> Verdict {
    page400(answer)?;
    let page = Page { url: Url::parse(issuer).map_err(|error| error.to_string())?, answer: answer.clone() };
    let links: Vec<String> = page.links().into_iter().filter(|link| link.starts_with(redirect_uri)).collect();
    let [link] = links.as_slice() else {
        return expect(false, &format!("one link to {redirect_uri} is expected"), answer);
    };
    let url = Url::parse(link).map_err(|error| format!("{error}: {link}"))?;
    redir(&Place::Left(url), redirect_uri, error, state, issuer)
}

/// What holds for every answer to a hostile request: no 5xx, and none of these words in header or body.
pub fn harmless(answer: &Answer, words: &[&str]) -> Verdict {
    expect(!answer.status.is_server_error(), "no fault of ours is expected", answer)?;
    let body = answer.text();
    for word in words {
        expect(!body.contains(word), &format!("`{word}` is not expected in the body"), answer)?;
        let in_header = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).contains(word);
        expect(
            !answer.headers.values().any(in_header),
            &format!("`{word}` is not expected in a header"),
            answer,
        )?;
    }
    Ok(())
}

/// The parameters of an authorization response, without its description.
fn response_parameters(url: &Url) -> Vec<(String, String)> {
    let known = ["code", "error", "iss", "state", "access_token", "id_token"];
    let all = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
    all.filter(|(name, _)| known.contains(&name.as_str())).collect()
}

/// TOK400(e): 400 with a JSON error, not stored by caches.
pub fn tok400(answer: &Answer, error: &str) -> Verdict {
    expect(answer.status == StatusCode::BAD_REQUEST, "400 is expected", answer)?;
    oauth_error(answer, error)
}

/// TOK401: `invalid_client`, with `WWW-Authenticate` if and only if Basic was tried.
pub fn tok401(answer: &Answer, basic_was_tried: bool) -> Verdict {
    expect(answer.status == StatusCode::UNAUTHORIZED, "401 is expected", answer)?;
    let challenged = answer.header("www-authenticate").starts_with("Basic");
    expect(challenged == basic_was_tried, "the challenge goes with Basic, and only with it", answer)?;
    oauth_error(answer, "invalid_client")
}

/// REG400(e): 400 with a JSON error.
pub fn reg400(answer: &Answer, error: &str) -> Verdict {
    tok400(answer, error)
}

fn oauth_error(answer: &Answer, error: &str) -> Verdict {
    expect(answer.error() == error, &format!("the error {error} is expected"), answer)?;
    expect(answer.header("content-type").starts_with("application/json"), "JSON is expected", answer)?;
    expect(answer.header("cache-control").contains("no-store"), "no-store is expected", answer)?;
    let description = answer.json()["error_description"].as_str().unwrap_or_default().to_owned();
    expect(description.is_ascii(), "an ASCII description is expected", answer)
}

/// RS401: a challenge with `resource_metadata` and `error="invalid_token"`.
pub fn rs401(answer: &Answer) -> Verdict {
    challenge(answer)?;
    expect(
        answer.header("www-authenticate").contains("error=\"invalid_token\""),
        "invalid_token is expected",
        answer,
    )
}

/// RS401-bare: a challenge without `error`, because no token was sent.
pub fn rs401_bare(answer: &Answer) -> Verdict {
    challenge(answer)?;
    expect(!answer.header("www-authenticate").contains("error="), "no error is expected", answer)
}

fn challenge(answer: &Answer) -> Verdict {
    expect(answer.status == StatusCode::UNAUTHORIZED, "401 is expected", answer)?;
    let challenge = answer.header("www-authenticate");
    let named = challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=\"");
    expect(named, "a bearer challenge with resource_metadata is expected", answer)
}
