//! The example people's provider, which has its page on our side: no door beside the others.

use http::{Method, StatusCode};
use testkit::browser::{Browser, Page};
use testkit::http::request;
use testkit::outcomes::{Verdict, harmless, page, page400};

use crate::steps::{Flow, while_trying};

/// The page of the provider, for a sign-in that has just set out.
async fn away(flow: &Flow, browser: &mut Browser) -> Result<Page, String> {
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
    let login = browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    browser.submit(&login, login.form()?, Some(("connector", "development"))).await?.page()
}

#[tokio::test]
async fn a_login_that_nobody_has_signs_nobody_in() -> Verdict {
    let flow = Flow::new().await?;
    let mut browser = flow.house.browser();
    let sign_in = away(&flow, &mut browser).await?;
    let long = "a".repeat(60_000);
    for login in [
        "",
        " ",
        "Alice",
        "alice ",
        "alice\u{0}",
        "' OR 1=1 --",
        "../alice",
        "\u{202e}ecila",
        &long,
        "<svg onload=c4n4ry>",
    ] {
        let form = sign_in.form()?.with("login", login);
        let refused = browser.submit(&sign_in, form, None).await?.page()?;
        page400(&refused.answer).map_err(while_trying(login))?;
        harmless(&refused.answer, &["c4n4ry"])?;
    }
    let mut twice = sign_in.form()?.with("login", "alice");
    twice.fields.push(("login".to_owned(), "bob".to_owned()));
    page400(&browser.submit(&sign_in, twice, None).await?.page()?.answer)?;
    assert_eq!(flow.house.counts().await?.users, 0);
    // A slip of the pen is not the end.
    let form = sign_in.form()?.with("login", "alice");
    let consent = browser.submit(&sign_in, form, None).await?.page()?;
    assert!(consent.words().contains("Alice"), "{}", consent.words());
    flow.close().await
}

#[tokio::test]
async fn a_state_that_is_not_of_this_browser_signs_nobody_in_here() -> Verdict {
    let flow = Flow::new().await?;
    let (mut browser, mut other) = (flow.house.browser(), flow.house.browser());
    let own = away(&flow, &mut browser).await?;
    let theirs = away(&flow, &mut other).await?;
    let state = theirs.form()?.value("state").unwrap_or_default().to_owned();
    let mixed = own.form()?.with("login", "alice").with("state", &state);
    page(&browser.submit(&own, mixed, None).await?.page()?.answer, StatusCode::FORBIDDEN)?;
    for made_up in ["", "x", &state[..42], &format!("{state}A"), &"s".repeat(10_000)] {
        let form = own.form()?.with("login", "alice").with("state", made_up);
        page400(&browser.submit(&own, form, None).await?.page()?.answer).map_err(while_trying(made_up))?;
    }
    assert_eq!(flow.house.counts().await?.users, 0);
    flow.close().await
}

#[tokio::test]
async fn the_page_takes_no_form_from_another_site_and_no_other_method() -> Verdict {
    let flow = Flow::new().await?;
    let mut browser = flow.house.browser();
    let sign_in = away(&flow, &mut browser).await?;
    let state = sign_in.form()?.value("state").unwrap_or_default().to_owned();
    let url = flow.at("/login/development");
    let fields = [("state", state.as_str()), ("login", "alice")];
    let cookies = browser.cookie_header(&sign_in.url);
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let answer =
            flow.house.http.post_form(&url, &[("cookie", cookies.as_str()), header], &fields).await?;
        page(&answer, StatusCode::FORBIDDEN).map_err(while_trying(header.1))?;
    }
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let asked = request(
            method.clone(),
            &format!("{url}?state={state}"),
            &[("cookie", &cookies)],
            bytes::Bytes::new(),
        )?;
        assert_eq!(flow.house.http.send(asked).await?.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    // Whatever stands in the URL, GET only shows the page.
    let shown =
        flow.house.http.get(&format!("{url}?state={state}&login=alice"), &[("cookie", &cookies)]).await?;
    assert_eq!((shown.status, shown.headers.get("set-cookie")), (StatusCode::OK, None));
    assert_eq!(flow.house.counts().await?.users, 0);
    flow.close().await
}

#[tokio::test]
async fn an_answer_of_the_provider_counts_once_and_a_minute_long() -> Verdict {
    let flow = Flow::new().await?;
    for waits in [0, 61] {
        let mut browser = flow.house.browser();
        let sign_in = away(&flow, &mut browser).await?;
        let state = sign_in.form()?.value("state").unwrap_or_default().to_owned();
        let cookies = browser.cookie_header(&sign_in.url);
        let headers = [("cookie", cookies.as_str()), ("sec-fetch-site", "same-origin")];
        let fields = [("state", state.as_str()), ("login", "alice")];
        let answer = flow.house.http.post_form(&flow.at("/login/development"), &headers, &fields).await?;
        let callback = answer.header("location").to_owned();
        flow.house.advance(std::time::Duration::from_secs(waits)).await?;
        let first = browser.open(&callback).await?.page()?;
        assert_eq!(first.answer.status == StatusCode::OK, waits == 0, "{}", first.words());
        let second = browser.open(&callback).await?.page()?;
        page400(&second.answer)?;
    }
    assert_eq!(flow.house.counts().await?.users, 1);
    flow.close().await
}
