//! The form: made elsewhere, changed, sent by another method, raced.

use std::time::Duration;

use http::{Method, StatusCode};
use store::AuditKind;
use testkit::browser::{Browser, Form, Page, Place};
use testkit::client::{allow, deny, parameter};
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, page, page400, redir};

use crate::steps::{Code, Flow, Tokens, while_trying};

/// Sends a form of a page and expects a page of ours with this status. NOSTORE.
async fn refused(flow: &mut Flow, at: &Page, form: Form, status: StatusCode) -> Verdict {
    let before = flow.stored().await?;
    let answer = flow.browser.submit(at, form, None).await?.page()?.answer;
    page(&answer, status)?;
    if flow.stored().await? == before { Ok(()) } else { Err("something was stored".to_owned()) }
}

fn allowing(page: &Page) -> Result<Form, String> {
    Ok(page.form()?.with("decision", "allow"))
}

/// AS-125.
#[tokio::test]
async fn cs_01_an_approval_without_the_token_of_our_page_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let form = allowing(&ours)?;
    let csrf = form.value("csrf").unwrap_or_default().to_owned();
    let flipped = format!("{}{}", &csrf[..csrf.len() - 1], if csrf.ends_with('0') { '1' } else { '0' });
    let shown = csrf.split('.').next().unwrap_or_default().to_owned();
    let challenge = flow.pkce().challenge;
    let other = allowing(&flow.consent(&challenge).await?)?.value("csrf").unwrap_or_default().to_owned();
    let forms = [
        form.clone().without("csrf"),
        form.clone().with("csrf", ""),
        form.clone().with("csrf", "forged"),
        form.clone().with("csrf", &flipped),
        form.clone().with("csrf", &shown),
        form.clone().with("csrf", &format!("{shown}.{shown}")),
        form.clone().with("csrf", &other),
        form.clone().with("csrf", &csrf.to_ascii_uppercase()),
    ];
    let count = forms.len();
    for form in forms {
        let what = form.value("csrf").unwrap_or_default().to_owned();
        refused(&mut flow, &ours, form, StatusCode::FORBIDDEN).await.map_err(while_trying(&what))?;
    }
    // A forged no is refused as well: nobody may end somebody's sign-in either.
    let no = ours.form()?.with("decision", "deny").with("csrf", &flipped);
    refused(&mut flow, &ours, no, StatusCode::FORBIDDEN).await?;
    let events = flow.events(AuditKind::AuthorizeRefused, "csrf_mismatch").await?;
    assert_eq!(events.len(), count + 1);
    assert!(
        events
            .iter()
            .all(|event| event.user.is_some() && event.client_id.is_some() && event.reference.is_some())
    );
    assert!(events.iter().all(|event| event.address.as_deref() == Some("127.0.0.1")));
    allow(&mut flow.browser, &ours).await?;
    flow.close().await
}

#[tokio::test]
async fn cs_01_an_approval_without_its_cookies_or_with_another_browser_s_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let form = allowing(&ours)?;
    let host = flow.house.host();
    let own = flow.browser.clone();
    // Somebody else, signed in, in a browser of their own.
    let mut stranger = flow.house.browser();
    let login = open_request(&flow, &mut stranger).await?;
    let bob = testkit::client::log_in(&mut stranger, login, "bob").await?;
    assert!(bob.words().contains("Bob"), "{}", bob.words());
    let jar = |browser: &Browser, what: &str| {
        let cookies = browser.cookies.get(&host).into_iter().flatten();
        cookies
            .filter(|(name, _)| name.contains(what))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    let (binding, session) = (jar(&own, "browser"), jar(&own, "session"));
    let (other_binding, other_session) = (jar(&stranger, "browser"), jar(&stranger, "session"));
    let jars = [
        ("no cookie at all", vec![]),
        ("the session without the binding", session.clone()),
        ("another browser's binding", [other_binding.clone(), session.clone()].concat()),
        ("another person's session", [binding.clone(), other_session.clone()].concat()),
        ("everything of another browser", [other_binding, other_session].concat()),
    ];
    for (what, cookies) in jars {
        flow.browser.cookies.insert(host.clone(), cookies.into_iter().collect());
        refused(&mut flow, &ours, form.clone(), StatusCode::FORBIDDEN).await.map_err(while_trying(what))?;
    }
    // Four came from a browser that was not the one, and one from a person who was not.
    assert_eq!(flow.events(AuditKind::AuthorizeRefused, "other_browser").await?.len(), 4);
    assert_eq!(flow.events(AuditKind::AuthorizeRefused, "csrf_mismatch").await?.len(), 1);
    flow.browser = own;
    allow(&mut flow.browser, &ours).await?;
    flow.close().await
}

/// The first page of a new authorization request in this browser.
async fn open_request(flow: &Flow, browser: &mut Browser) -> Result<Page, String> {
    let challenge = testkit::client::Pkce::new("of somebody else").challenge;
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &challenge);
    browser.open(&flow.client.authorization_url(&fields)).await?.page()
}

/// Sends a form with this browser's cookies and exactly these headers.
async fn send(flow: &Flow, headers: &[(&str, &str)], form: &Form) -> Result<Answer, String> {
    let url = url::Url::parse(&flow.at("/consent")).map_err(|error| error.to_string())?;
    let cookies = flow.browser.cookie_header(&url);
    let fields: Vec<(&str, &str)> =
        form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let headers = [headers, &[("cookie", cookies.as_str())]].concat();
    flow.house.http.post_form(url.as_str(), &headers, &fields).await
}

/// AS-125.
#[tokio::test]
async fn cs_01_a_form_from_another_site_is_refused_even_with_the_right_token() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let form = allowing(&ours)?;
    let before = flow.stored().await?;
    let own = flow.house.issuer.clone();
    let foreign: [&[(&str, &str)]; 7] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        &[("origin", "https://evil.example")],
        &[("origin", &own), ("origin", "https://evil.example")],
        &[("origin", &format!("{own}.evil.example"))],
    ];
    for headers in foreign {
        let answer = send(&flow, headers, &form).await?;
        page(&answer, StatusCode::FORBIDDEN).map_err(while_trying(&format!("{headers:?}")))?;
    }
    assert_eq!(flow.stored().await?, before);
    // Our own page, as browsers send it that were told to send no referrer.
    let answer = send(&flow, &[("sec-fetch-site", "same-origin"), ("origin", "null")], &form).await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    flow.close().await
}

#[tokio::test]
async fn cs_05_what_the_form_says_beside_the_ticks_is_not_read() -> Verdict {
    let mut flow = Flow::new().await?;
    let other = flow.house.client().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let mut form = allowing(&ours)?
        .with("redirect_uri", "https://evil.example/cb")
        .with("client_id", &other.client_id)
        .with("resource", &flow.house.resource("ledger"))
        .with("server", "ledger")
        .with("user", "bob")
        .with("state", "evil")
        .with("code_challenge", "evil")
        .with("txn", "evil");
    for scope in ["admin", "read write", "READ", "openid", "*"] {
        form.fields.push(("scope".to_owned(), scope.to_owned()));
    }
    let callback = flow.browser.submit(&ours, form, None).await?.left()?;
    assert!(callback.as_str().starts_with(&flow.client.redirect_uri), "{callback}");
    assert_eq!(parameter(&callback, "state").as_deref(), Some("state-of-the-test"));
    let code = parameter(&callback, "code").ok_or("no code")?;
    testkit::outcomes::tok400(&other.redeem(&code, &pkce.verifier).await?, "invalid_grant")?;
    let tokens = Tokens::of(&flow.client.redeem(&code, &pkce.verifier).await?)?;
    let claims = tokens.claims()?;
    assert_eq!(
        (claims["scope"].as_str(), claims["aud"].as_str()),
        (Some("read write"), Some(flow.house.resource("notes").as_str()))
    );
    assert_eq!(claims["client_id"], flow.client.client_id.as_str());
    flow.house.close().await
}

#[tokio::test]
async fn a_form_that_is_broken_or_somebody_else_s_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let form = allowing(&ours)?;
    let id = form.value("authorization").unwrap_or_default().to_owned();
    let mut doubled = form.clone();
    doubled.fields.push(("decision".to_owned(), "allow".to_owned()));
    let mut both = form.clone();
    both.fields.push(("decision".to_owned(), "deny".to_owned()));
    let mut twice = form.clone();
    twice.fields.push(("authorization".to_owned(), id.clone()));
    let mut token_twice = form.clone();
    token_twice.fields.push(("csrf".to_owned(), form.value("csrf").unwrap_or_default().to_owned()));
    let forbidden = [
        form.clone().without("decision"),
        form.clone().with("decision", ""),
        form.clone().with("decision", "ALLOW"),
        form.clone().with("decision", "yes"),
        doubled,
        both,
        token_twice,
    ];
    for form in forbidden {
        let what = format!("{:?}", form.fields);
        refused(&mut flow, &ours, form, StatusCode::FORBIDDEN).await.map_err(while_trying(&what))?;
    }
    let upper = id.to_ascii_uppercase();
    let unknown = [
        twice,
        form.clone().without("authorization"),
        form.clone().with("authorization", "nonsense"),
        form.clone().with("authorization", "00000000-0000-7000-8000-000000000000"),
        form.clone().with("authorization", &format!("{id}x")),
        form.clone().with("authorization", "\u{1f6aa}"),
        form.clone().with("authorization", &"9".repeat(50_000)),
    ];
    for form in unknown {
        let what: String = format!("{:?}", form.fields).chars().take(300).collect();
        refused(&mut flow, &ours, form, StatusCode::BAD_REQUEST).await.map_err(while_trying(&what))?;
    }
    let large = form.clone().with("pad", &"x".repeat(70_000));
    refused(&mut flow, &ours, large, StatusCode::PAYLOAD_TOO_LARGE).await?;
    for (headers, body) in [("application/json", "{}"), ("application/x-www-form-urlencoded", "csrf=%zz")] {
        let answer = flow.house.http.post(&flow.at("/consent"), &[("content-type", headers)], body).await?;
        page400(&answer)?;
    }
    drop(upper);
    allow(&mut flow.browser, &ours).await?;
    flow.close().await
}

#[tokio::test]
async fn nothing_ticked_is_not_a_yes_and_can_be_made_good() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    refused(&mut flow, &ours, allowing(&ours)?.without("scope"), StatusCode::BAD_REQUEST).await?;
    refused(&mut flow, &ours, allowing(&ours)?.with("scope", "admin"), StatusCode::BAD_REQUEST).await?;
    let form = allowing(&ours)?.without("scope").with("scope", "read");
    let callback = flow.browser.submit(&ours, form, None).await?.left()?;
    let code = parameter(&callback, "code").ok_or("no code")?;
    let answer = flow.client.redeem(&code, &pkce.verifier).await?;
    assert_eq!(answer.json()["scope"], "read", "{}", answer.text());
    flow.house.close().await
}

#[tokio::test]
async fn cs_13_a_no_goes_to_the_client_and_ends_the_sign_in() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let place = deny(&mut flow.browser, &ours).await?;
    redir(&place, &flow.client.redirect_uri, "access_denied", Some("state-of-the-test"), &flow.house.issuer)?;
    assert_eq!(flow.house.audit(AuditKind::ConsentDenied).await?.len(), 1);
    // The back button finds a page that was decided: neither a yes nor another no counts.
    for decision in ["allow", "deny"] {
        let form = ours.form()?.with("decision", decision);
        refused(&mut flow, &ours, form, StatusCode::BAD_REQUEST).await.map_err(while_trying(decision))?;
    }
    let again = flow
        .browser
        .open(&format!("{}?authorization={}", flow.at("/consent"), authorization(&ours)?))
        .await?
        .page()?;
    page400(&again.answer)?;
    assert_eq!(flow.house.counts().await?.clients, 0, "a client that nobody allowed has no row");
    flow.close().await
}

fn authorization(page: &Page) -> Result<String, String> {
    Ok(page.form()?.value("authorization").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn cs_13_a_no_goes_nowhere_when_the_redirect_uri_is_gone() -> Verdict {
    for decision in ["deny", "allow"] {
        let mut flow = Flow::with_known("known-public").await?;
        let pkce = flow.pkce();
        let ours = flow.consent(&pkce.challenge).await?;
        let Flow { house, mut browser, log, .. } = flow;
        drop(log);
        let house = house
            .restart_with(|plan| {
                for (id, uris, _) in &mut plan.clients {
                    if *id == "known-public" {
                        *uris = vec!["https://client.example/new".to_owned()];
                    }
                }
            })
            .await?;
        let place = browser.submit(&ours, ours.form()?.with("decision", decision), None).await?;
        page400(&place.page()?.answer)?;
        let house = house.restart_with(|plan| plan.clients.retain(|(id, ..)| *id != "known-public")).await?;
        let place = browser.submit(&ours, ours.form()?.with("decision", decision), None).await?;
        page400(&place.page()?.answer)?;
        assert_eq!(house.audit(AuditKind::ConsentGiven).await?.len(), 0);
        house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cs_14_only_a_post_decides() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let ours = flow.consent(&pkce.challenge).await?;
    let form = allowing(&ours)?;
    let before = flow.stored().await?;
    let mut url = url::Url::parse(&flow.at("/consent")).map_err(|error| error.to_string())?;
    url.query_pairs_mut().extend_pairs(&form.fields);
    let cookies = flow.browser.cookie_header(&url);
    for method in [Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        let headers = [("cookie", cookies.as_str()), ("sec-fetch-site", "same-origin")];
        let asked = request(method.clone(), url.as_str(), &headers, bytes::Bytes::new())?;
        let answer = flow.house.http.send(asked).await?;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(answer.headers.get("location").is_none(), "{method}");
    }
    // GET shows the page once more, whatever else stands in the URL.
    let shown = flow.browser.open(url.as_str()).await?.page()?;
    assert_eq!(shown.answer.status, StatusCode::OK);
    assert_eq!(shown.form()?.value("csrf"), form.value("csrf"));
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let headers = [("cookie", cookies.as_str()), (name, "POST")];
        assert_eq!(flow.house.http.get(url.as_str(), &headers).await?.status, StatusCode::OK, "{name}");
    }
    assert_eq!(flow.stored().await?, before);
    allow(&mut flow.browser, &ours).await?;
    flow.close().await
}

#[tokio::test]
async fn of_many_decisions_at_once_exactly_one_counts() -> Verdict {
    for _ in 0..5 {
        let mut flow = Flow::new().await?;
        let pkce = flow.pkce();
        let ours = flow.consent(&pkce.challenge).await?;
        let presses = (0..16).map(|n| {
            let mut browser = flow.browser.clone();
            let ours = &ours;
            async move {
                let decision = if n % 4 == 3 { "deny" } else { "allow" };
                browser.submit(ours, ours.form()?.with("decision", decision), None).await
            }
        });
        let places =
            futures_util::future::join_all(presses).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let left: Vec<_> = places
            .iter()
            .filter_map(|place| if let Place::Left(url) = place { Some(url) } else { None })
            .collect();
        let [only] = left.as_slice() else { return Err(format!("one decision is expected, seen: {left:?}")) };
        for place in &places {
            if let Place::Page(refused) = place {
                page400(&refused.answer)?;
            }
        }
        let given = flow.house.audit(AuditKind::ConsentGiven).await?.len();
        let denied = flow.house.audit(AuditKind::ConsentDenied).await?.len();
        assert_eq!(given + denied, 1);
        if let Some(code) = parameter(only, "code") {
            flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
        }
        flow.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_page_that_stood_too_long_is_over_to_the_second() -> Verdict {
    for (waits, good) in [(Duration::from_micros(599_999_999), true), (Duration::from_secs(600), false)] {
        let mut flow = Flow::new().await?;
        let pkce = flow.pkce();
        let ours = flow.consent(&pkce.challenge).await?;
        flow.house.advance(waits).await?;
        let place = flow.browser.submit(&ours, allowing(&ours)?, None).await?;
        if good {
            place.left()?;
        } else {
            page400(&place.page()?.answer)?;
            assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), 0);
        }
        flow.close().await?;
    }
    Ok(())
}
