//! The parameters of the answer: contradictory, doubled, of another issuer, with words of whoever made the link.

use http::{Method, StatusCode};
use store::AuditKind;
use testkit::http::request;
use testkit::outcomes::{Verdict, harmless, page, page400, redir};

use super::{Abroad, consents, nobody_came_in, with};

#[tokio::test]
async fn cb_05_an_answer_that_contradicts_itself_is_refused_before_anything_is_asked() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let also = |name: &str, value: &str| {
        let mut url = callback.clone();
        url.query_pairs_mut().append_pair(name, value);
        url
    };
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let state = testkit::client::parameter(&callback, "state").ok_or("no state")?;
    let issuer = abroad.provider.issuer.clone();
    for broken in [
        also("error", "access_denied"),
        also("code", &code),
        also("code", "other"),
        also("state", &state),
        also("iss", &issuer),
        with(&callback, "code", None),
        with(&callback, "code", Some("")),
        with(&callback, "state", None),
        with(&callback, "iss", None),
        with(&callback, "iss", Some("https://evil.example")),
        with(&callback, "iss", Some(&format!("{issuer}/"))),
        with(&callback, "iss", Some(&issuer.to_ascii_uppercase())),
        with(&callback, "code", Some(&"c".repeat(5000))),
    ] {
        let refused = browser.open_from_elsewhere(broken.as_str()).await?.page()?;
        page400(&refused.answer).map_err(|why| format!("{broken}: {why}"))?;
        nobody_came_in(&abroad, &refused).await?;
    }
    assert_eq!(abroad.provider.asked("/token"), 0);
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_05_an_answer_by_another_method_or_in_the_fragment_is_none() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let cookies = browser.cookie_header(&callback);
    let query = callback.query().unwrap_or_default().to_owned();
    let mut bare = callback.clone();
    bare.set_query(None);
    let headers = [("cookie", cookies.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    for (method, url) in [
        (Method::POST, bare.as_str()),
        (Method::POST, callback.as_str()),
        (Method::HEAD, callback.as_str()),
        (Method::PUT, callback.as_str()),
    ] {
        let asked = request(method.clone(), url, &headers, query.clone().into())?;
        assert_eq!(abroad.house.http.send(asked).await?.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    page400(&browser.open_from_elsewhere(bare.as_str()).await?.page()?.answer)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    assert_eq!(abroad.people().await?, (0, 0, 0));
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_16_an_error_of_the_provider_goes_to_the_client_in_our_own_words() -> Verdict {
    let abroad = Abroad::new().await?;
    let long = "x".repeat(40_000);
    for (error, description, told) in [
        ("access_denied", "<script>alert(1)</script>c4n4ry", "access_denied"),
        ("c4n4ry<b>", "c4n4ry\r\nSet-Cookie: a=b", "server_error"),
        ("login_required", &long, "server_error"),
    ] {
        abroad.provider.change(|held| held.refusal = Some((error.to_owned(), description.to_owned())));
        let mut browser = abroad.house.browser();
        let callback = abroad.callback(&mut browser).await?;
        let place = browser.open_from_elsewhere(callback.as_str()).await?;
        redir(&place, &abroad.client.redirect_uri, told, Some("state-of-the-test"), &abroad.house.issuer)?;
        let there = place.left()?;
        for word in ["c4n4ry", "%3Cscript", "xxxxxxxx", "alert", "Cookie"] {
            assert!(!there.as_str().contains(word), "{error}: {word} in {there}");
        }
        assert_eq!(abroad.people().await?, (0, 0, 0), "{error}");
        // The sign-in is over: the same callback again is nobody's.
        let again = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        assert_eq!(again.answer.status, StatusCode::BAD_REQUEST, "{error}");
    }
    assert_eq!(abroad.provider.asked("/token"), 0);
    let events = abroad.house.audit(AuditKind::SignInRefused).await?;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| !format!("{event:?}").contains("c4n4ry")), "{events:?}");
    abroad.house.close().await
}

#[tokio::test]
async fn cb_16_an_error_that_is_not_the_persons_is_a_page_in_our_own_words() -> Verdict {
    let abroad = Abroad::new().await?;
    for (error, status) in [
        ("server_error", StatusCode::SERVICE_UNAVAILABLE),
        ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        abroad.provider.change(|held| held.refusal = Some((error.to_owned(), "c4n4ry".to_owned())));
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page(&refused.answer, status).map_err(|why| format!("{error}: {why}"))?;
        assert!(!refused.answer.text().contains("c4n4ry"), "{error}: {}", refused.answer.text());
        assert!(refused.words().contains("Reference"), "{}", refused.words());
        nobody_came_in(&abroad, &refused).await?;
    }
    assert_eq!(abroad.provider.asked("/token"), 0);
    abroad.house.close().await
}

#[tokio::test]
async fn cb_16_an_endless_answer_is_refused_without_a_fault_of_ours() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let endless = with(&callback, "error_description", Some(&"x".repeat(100_000)));
    let endless = with(&with(&endless, "code", None), "error", Some("access_denied"));
    let target = &endless[url::Position::BeforePath..];
    let (host, cookies) = (abroad.house.host(), browser.cookie_header(&callback));
    let asked =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n");
    let answer = testkit::raw::send(&abroad.house.address(), asked.as_bytes()).await?;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    harmless(&answer, &["xxxxxxxx"])?;
    // A person who says no at the provider can change their mind and begin again.
    let login = abroad.login(&mut browser).await?;
    let there = super::depart(&mut browser, &login, "idp").await?;
    let callback = browser.open(there.as_str()).await?.left()?;
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

/// AS-236.
#[tokio::test]
async fn a_provider_that_fails_is_told_as_that_and_the_sign_in_can_go_on() -> Verdict {
    for (status, told) in [
        (500, StatusCode::SERVICE_UNAVAILABLE),
        (503, StatusCode::SERVICE_UNAVAILABLE),
        (429, StatusCode::SERVICE_UNAVAILABLE),
        (302, StatusCode::BAD_REQUEST),
        (200, StatusCode::BAD_REQUEST),
        (401, StatusCode::BAD_REQUEST),
        (400, StatusCode::BAD_REQUEST),
    ] {
        let abroad = Abroad::new().await?;
        abroad.provider.change(|held| held.token_status = Some(status));
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page(&refused.answer, told).map_err(|why| format!("{status}: {why}"))?;
        nobody_came_in(&abroad, &refused).await?;
        if told == StatusCode::SERVICE_UNAVAILABLE {
            assert!(!refused.answer.header("retry-after").is_empty());
        }
        abroad.provider.repent();
        consents(testkit::browser::Place::Page(abroad.sign_in(&mut browser).await?))?;
        abroad.house.close().await?;
    }
    Ok(())
}
