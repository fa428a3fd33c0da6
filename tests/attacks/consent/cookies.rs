//! Cookies: changed, planted, doubled, under other names; and how many there are.

use http::StatusCode;
use testkit::browser::{Browser, Page};
use testkit::client::{TestClient, allow};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, page};
use url::Url;

use crate::steps::{Flow, while_trying};

/// Asks with this `Cookie` header, or several.
async fn ask(flow: &Flow, cookies: &[&str]) -> Result<Answer, String> {
    let challenge = testkit::client::Pkce::new("cookies").challenge;
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &challenge);
    let headers: Vec<(&str, &str)> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
    flow.house.http.get(&flow.client.authorization_url(&fields), &headers).await
}

fn is_signed_in(flow: &Flow, answer: Answer) -> Result<bool, String> {
    let url = Url::parse(&flow.house.issuer).map_err(|error| error.to_string())?;
    let form = Page { url, answer }.form()?;
    Ok(form.buttons.iter().any(|(name, _)| name == "decision"))
}

fn cookie(browser: &Browser, what: &str) -> Result<(String, String), String> {
    let all = browser.cookies.values().flatten().find(|(name, _)| name.contains(what));
    all.map(|(name, value)| (name.clone(), value.clone())).ok_or_else(|| format!("no cookie {what}"))
}

/// Spellings of a cookie that are not the one we set.
fn spellings(name: &str, value: &str, port: &str) -> Vec<Vec<String>> {
    let cut = &value[..value.len() - 1];
    let flipped = format!("{cut}{}", if value.ends_with('A') { 'B' } else { 'A' });
    // Cookies are shared between the ports of a host, so a name without ours, or with another, is not ours.
    let bare = name.replace(&format!("-{port}"), "");
    let other = name.replace(port, "1");
    let one = |text: String| vec![text];
    vec![
        one(format!("{name}={flipped}")),
        one(format!("{name}={cut}")),
        one(format!("{name}={value}A")),
        one(format!("{name}=\"{value}\"")),
        one(format!("{name}=")),
        one(format!("{name}={}", value.to_ascii_uppercase())),
        one(format!("{name}={}", value.replace('_', "%5f"))),
        one(format!("__Host-{bare}={value}")),
        one(format!("{bare}={value}")),
        one(format!("{other}={value}")),
        one(format!("{}={value}", name.to_ascii_uppercase())),
        // Of two, one was put there by somebody else: which, nobody can tell.
        one(format!("{name}={value}; {name}={value}")),
        one(format!("{name}={value}; {name}={flipped}")),
        one(format!("{name}={flipped}; {name}={value}")),
        vec![format!("{name}={value}"), format!("{name}={flipped}")],
        one(format!("{name}=a.b.c")),
        one(format!("{name}={}", "A".repeat(8000))),
    ]
}

/// AS-233.
#[tokio::test]
async fn cs_10_a_session_cookie_counts_only_as_we_set_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    flow.consent(&challenge).await?;
    let (name, value) = cookie(&flow.browser, "session")?;
    let port = flow.house.issuer.rsplit(':').next().unwrap_or_default().to_owned();
    assert!(is_signed_in(&flow, ask(&flow, &[&format!("{name}={value}")]).await?)?);
    for headers in spellings(&name, &value, &port) {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = ask(&flow, &headers).await?;
        assert_eq!(answer.status, StatusCode::OK, "{headers:?}");
        assert!(!is_signed_in(&flow, answer)?, "{headers:?}");
    }
    // Among cookies of others it is found.
    assert!(is_signed_in(&flow, ask(&flow, &[&format!("a=b; {name}={value};c=d")]).await?)?);
    flow.close().await
}

#[tokio::test]
async fn cs_10_a_planted_binding_does_not_open_somebody_s_page() -> Verdict {
    let mut flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    let consent = flow.consent(&challenge).await?;
    let own = flow.browser.clone();
    let host = flow.house.host();
    let (name, value) = cookie(&own, "browser")?;
    let port = flow.house.issuer.rsplit(':').next().unwrap_or_default().to_owned();
    for headers in spellings(&name, &value, &port) {
        let mut browser = own.clone();
        browser.cookies.entry(host.clone()).or_default().remove(&name);
        browser.extra = headers.iter().map(|header| ("cookie".to_owned(), header.clone())).collect();
        let place = browser.submit(&consent, consent.form()?, Some(("decision", "allow"))).await?;
        page(&place.page()?.answer, StatusCode::FORBIDDEN).map_err(while_trying(&headers.join(" | ")))?;
    }
    flow.browser = own;
    allow(&mut flow.browser, &consent).await?;
    flow.close().await
}

#[tokio::test]
async fn cs_11_three_hundred_unfinished_sign_ins_leave_three_cookies() -> Verdict {
    let mut flow = Flow::new().await?;
    let url = Url::parse(&flow.house.issuer).map_err(|error| error.to_string())?;
    let mut pages = Vec::new();
    for _ in 0..300 {
        let challenge = flow.pkce().challenge;
        let fields = flow.client.authorization_request(&flow.house.resource("notes"), &challenge);
        let page = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
        assert_eq!(page.answer.status, StatusCode::OK);
        pages.push(page);
    }
    for page in pages.iter().step_by(30) {
        let form = page.form()?;
        let button = form.buttons.first().cloned().ok_or("no button")?;
        flow.browser.submit(page, form, Some((&button.0, &button.1))).await?.page()?;
    }
    let header = flow.browser.cookie_header(&url);
    assert_eq!(header.split("; ").count(), 2, "{header}");
    assert!(header.len() < 400, "{header}");
    // The first and the last of them can still be finished.
    let last = pages.pop().ok_or("no page")?;
    let first = pages.swap_remove(0);
    for page in [first, last] {
        let consent = testkit::client::log_in(&mut flow.browser, page, "alice").await?;
        allow(&mut flow.browser, &consent).await?;
    }
    assert_eq!(flow.browser.cookie_header(&url).split("; ").count(), 3);
    flow.close().await
}

/// AS-233.
#[tokio::test]
async fn cookies_are_out_of_reach_of_scripts_and_of_other_sites() -> Verdict {
    let flow = Flow::new().await?;
    let answer = ask(&flow, &[]).await?;
    let set: Vec<_> =
        answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
    let [binding] = set.as_slice() else { return Err(format!("one cookie is expected: {set:?}")) };
    assert!(
        binding.contains("; HttpOnly") && binding.contains("; SameSite=Lax") && binding.contains("; Path=/"),
        "{binding}"
    );
    assert!(!binding.contains("Domain"), "{binding}");
    let _: &TestClient = &flow.client;
    flow.close().await
}
