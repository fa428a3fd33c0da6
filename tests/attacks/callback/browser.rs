//! Whose browser it is: the confused deputy.

use http::StatusCode;
use store::AuditKind;
use testkit::outcomes::{Verdict, page, page400};

use super::{Abroad, consents, is_consent};

fn leg_cookies(answer: &testkit::http::Answer) -> usize {
    let all = answer.headers.get_all("set-cookie").iter();
    all.filter(|value| value.to_str().is_ok_and(|text| text.starts_with("sekisho-leg-"))).count()
}

/// AS-239.
#[tokio::test]
async fn cb_01_a_callback_in_a_browser_that_did_not_set_out_is_refused_and_the_code_not_exchanged() -> Verdict
{
    let abroad = Abroad::new().await?;
    let mut attacker = abroad.house.browser();
    // The attacker approves in his own browser and sends the victim the address of the provider.
    let upstream = abroad.leave(&mut attacker).await?;
    // The victim is signed in there, and Sekisho was approved long ago: the provider asks nothing.
    let mut victim = abroad.house.browser();
    let callback = victim.open_from_elsewhere(upstream.as_str()).await?.left()?;
    let refused = victim.open_from_elsewhere(callback.as_str()).await?.page()?;
    page(&refused.answer, StatusCode::FORBIDDEN)?;
    assert_eq!(abroad.provider.asked("/token"), 0, "the code was not exchanged");
    assert_eq!(abroad.people().await?, (0, 0, 0));
    let events = abroad.house.audit(AuditKind::SignInRefused).await?;
    let [event] = events.as_slice() else { return Err(format!("one event is expected: {events:?}")) };
    assert_eq!(event.reason.as_deref(), Some("callback_unbound_browser"));
    assert!(event.client_id.is_some() && event.address.is_some() && event.reference.is_some(), "{event:?}");
    // Even a victim who is on the way somewhere else of her own accord has another cookie.
    abroad.leave(&mut victim).await?;
    page(&victim.open_from_elsewhere(callback.as_str()).await?.page()?.answer, StatusCode::FORBIDDEN)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    abroad.house.close().await
}

#[tokio::test]
async fn cb_01_without_or_with_a_doubled_cookie_of_the_leg_nothing_is_taken() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let own = browser.clone();
    let host = abroad.house.host();
    let jar = browser.cookies.get(&host).cloned().unwrap_or_default();
    let (name, value) = jar.iter().find(|(name, _)| name.contains("leg")).ok_or("no cookie of the leg")?;
    let doubled = format!("{name}={value}; {name}={value}");
    let changed = format!("{name}={}", value.to_ascii_lowercase());
    let in_place_of_it = format!("{}={value}", name.replace("leg", "browser"));
    for header in [String::new(), doubled, changed, in_place_of_it] {
        let headers = [("cookie", header.as_str())];
        let answer = abroad.house.http.get(callback.as_str(), &headers).await?;
        page(&answer, StatusCode::FORBIDDEN).map_err(|why| format!("{header}: {why}"))?;
    }
    assert_eq!(abroad.provider.asked("/token"), 0);
    browser = own;
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

/// AS-230, AS-235.
#[tokio::test]
async fn cb_02_the_cookie_of_the_leg_comes_with_the_approval_and_with_nothing_else() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    assert_eq!(leg_cookies(&login.answer), 0);
    let id = login.form()?.value("authorization").unwrap_or_default().to_owned();
    for path in ["/", "/healthz", "/consent?authorization=", "/login?authorization="] {
        let answer = abroad.house.http.get(&format!("{}{path}{id}", abroad.house.issuer), &[]).await?;
        assert_eq!(leg_cookies(&answer), 0, "{path}");
    }
    let shown = browser.open(&format!("{}/login?authorization={id}", abroad.house.issuer)).await?.page()?;
    assert_eq!(leg_cookies(&shown.answer), 0);
    // An approval that is refused sets none.
    let forged = login.form()?.with("csrf", "forged");
    let refused = browser.submit(&login, forged, Some(("connector", "idp"))).await?.page()?;
    page(&refused.answer, StatusCode::FORBIDDEN)?;
    assert_eq!(leg_cookies(&refused.answer), 0);
    assert!(browser.cookies.values().flatten().all(|(name, _)| !name.contains("leg")));
    super::depart(&mut browser, &login, "idp").await?;
    assert_eq!(browser.cookies.values().flatten().filter(|(name, _)| name.contains("leg")).count(), 1);
    abroad.house.close().await
}

#[tokio::test]
async fn cb_02_each_approval_sets_the_cookie_anew_so_that_it_lives_as_long_as_the_leg() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    for _ in 0..2 {
        let login = abroad.login(&mut browser).await?;
        let form = login.form()?.with("connector", "idp");
        let fields: Vec<(&str, &str)> = form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let cookies = browser.cookie_header(&login.url);
        let headers = [("cookie", cookies.as_str()), ("sec-fetch-site", "same-origin")];
        let answer =
            abroad.house.http.post_form(&format!("{}/login", abroad.house.issuer), &headers, &fields).await?;
        assert_eq!(leg_cookies(&answer), 1, "{:?}", answer.headers);
        let text = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .find_map(|value| value.to_str().ok())
            .unwrap_or_default();
        assert!(text.contains("; Max-Age=600"), "{text}");
        super::depart(&mut browser, &login, "idp").await?;
    }
    abroad.house.close().await
}

#[tokio::test]
async fn the_login_form_is_good_in_its_browser_only_and_not_from_another_site() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    let form = login.form()?.with("connector", "idp");
    let mut stranger = abroad.house.browser();
    abroad.login(&mut stranger).await?;
    for mut other in [abroad.house.browser(), stranger] {
        let refused = other.submit(&login, form.clone(), None).await?.page()?;
        page(&refused.answer, StatusCode::FORBIDDEN)?;
    }
    let fields: Vec<(&str, &str)> = form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let cookies = browser.cookie_header(&login.url);
    let foreign = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ];
    for header in foreign {
        let headers = [("cookie", cookies.as_str()), header];
        let answer =
            abroad.house.http.post_form(&format!("{}/login", abroad.house.issuer), &headers, &fields).await?;
        page(&answer, StatusCode::FORBIDDEN).map_err(|why| format!("{header:?}: {why}"))?;
    }
    let mut doubled = form.clone();
    doubled.fields.push(("csrf".to_owned(), form.value("csrf").unwrap_or_default().to_owned()));
    let mut two = form.clone();
    two.fields.push(("connector".to_owned(), "development".to_owned()));
    let flawed = [
        (form.clone().with("csrf", ""), StatusCode::FORBIDDEN),
        (doubled, StatusCode::FORBIDDEN),
        (two, StatusCode::BAD_REQUEST),
        (form.clone().with("connector", ""), StatusCode::BAD_REQUEST),
        (form.clone().with("connector", "nobody"), StatusCode::BAD_REQUEST),
        (form.clone().with("connector", "IDP"), StatusCode::BAD_REQUEST),
        (form.clone().with("authorization", "nonsense"), StatusCode::BAD_REQUEST),
        (form.clone().with("pad", &"x".repeat(70_000)), StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (form, status) in flawed {
        let what: String = format!("{:?}", form.fields).chars().take(300).collect();
        let refused = browser.submit(&login, form, None).await?.page()?;
        page(&refused.answer, status).map_err(|why| format!("{what}: {why}"))?;
    }
    assert_eq!(abroad.provider.asked("/authorize"), 0);
    super::depart(&mut browser, &login, "idp").await?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_14_whoever_saw_the_state_on_the_wire_gets_nothing_by_it() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let seen = testkit::client::parameter(&callback, "state").ok_or("no state")?;
    let consent = consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    let id = consent.form()?.value("authorization").unwrap_or_default().to_owned();
    let mut attacker = abroad.house.browser();
    abroad.login(&mut attacker).await?;
    let base = &abroad.house.issuer;
    for url in [
        callback.to_string(),
        format!("{base}/login?authorization={seen}"),
        format!("{base}/consent?authorization={seen}"),
        format!("{base}/login?authorization={id}"),
        format!("{base}/consent?authorization={id}"),
        format!("{base}/login/callback/idp?state={seen}"),
    ] {
        let answer = attacker.open(&url).await?.page()?;
        assert!(answer.answer.status.is_client_error(), "{url}: {}", answer.words());
        assert!(answer.forms().is_empty() && !answer.words().contains("Jane"), "{url}: {}", answer.words());
    }
    // Nor is the answered leg good for anything in the browser that it belongs to.
    page400(&browser.open_from_elsewhere(callback.as_str()).await?.page()?.answer)?;
    let token_requests = abroad.provider.asked("/token");
    assert_eq!(token_requests, 1);
    testkit::client::allow(&mut browser, &consent).await?;
    abroad.house.close().await
}

#[tokio::test]
async fn of_two_callbacks_at_once_one_signs_in() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let tries = (0..8).map(|_| {
        let (mut browser, url) = (browser.clone(), callback.clone());
        async move { browser.open_from_elsewhere(url.as_str()).await?.page() }
    });
    let pages = futures_util::future::join_all(tries).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(pages.iter().filter(|page| is_consent(page)).count(), 1);
    assert!(pages.iter().all(|page| !page.answer.status.is_server_error()));
    assert_eq!(abroad.people().await?, (1, 1, 0));
    assert_eq!(abroad.house.audit(AuditKind::SignIn).await?.len(), 1);
    abroad.house.close().await
}
