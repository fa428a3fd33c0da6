//! What the page shows: inert, true, and not to be pressed by accident.

use serde_json::json;
use store::{Authorizations as _, Grants as _};
use testkit::client::{LOOPBACK_REDIRECT, TestClient, log_in, parameter};
use testkit::outcomes::{Verdict, harmless, page400, reg400};

use crate::steps::{Flow, Tokens, while_trying};

/// AS-088.
#[tokio::test]
async fn cs_04_what_others_wrote_is_text_on_our_pages() -> Verdict {
    let mut flow = Flow::new().await?;
    for name in [
        "\"><svg onload=alert(1)>",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "${7*7}",
        "<%= 7*7 %>",
        "' autofocus onfocus='alert(1)",
        "</title><base href=https://evil.example>",
        "<!--",
        "&lt;b&gt;",
    ] {
        let metadata = json!({
            "client_name": name, "redirect_uris": [LOOPBACK_REDIRECT], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        flow.client = TestClient::register_with(&flow.house.http, &flow.house.issuer, &metadata).await?;
        flow.browser = flow.house.browser();
        let challenge = flow.pkce().challenge;
        let fields = flow.client.authorization_request(&flow.house.resource("notes"), &challenge);
        let login = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
        let consent = log_in(&mut flow.browser, login.clone(), "alice").await?;
        for page in [login, consent] {
            let text = page.answer.text();
            for live in ["<svg onload", "<script>", "<base", "onfocus='", "<!--"] {
                assert!(!text.contains(live), "{name}: {live} in {text}");
            }
            let said = format!("\u{201c} {name} \u{201d} wants to use");
            assert!(page.words().contains(&said), "{said}: {}", page.words());
            let policy = page.answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
    }
    flow.close().await
}

#[tokio::test]
async fn cs_04_what_stands_in_a_request_does_not_come_back() -> Verdict {
    let flow = Flow::new().await?;
    let live = "\"><svg onload=alert(1)>";
    let encoded: String = url::form_urlencoded::byte_serialize(live.as_bytes()).collect();
    let id = &flow.client.client_id;
    for query in [
        format!("/oauth/authorize?client_id={encoded}"),
        format!("/oauth/authorize?client_id={id}&redirect_uri={encoded}"),
        format!("/login?authorization={encoded}"),
        format!("/consent?authorization={encoded}"),
        format!("/login/callback/development?state={encoded}&error={encoded}&error_description={encoded}"),
        format!("/{encoded}"),
    ] {
        let answer = flow.house.http.get(&flow.at(&query), &[("accept", "text/html")]).await?;
        assert!(answer.status.is_client_error(), "{query}: {}", answer.status);
        harmless(&answer, &["svg onload", "alert(1)"]).map_err(while_trying(&query))?;
    }
    // The page of the development provider carries the state, as an attribute.
    let answer = flow.house.http.get(&flow.at(&format!("/login/development?state={encoded}")), &[]).await?;
    assert!(!answer.text().contains("<svg onload"), "{}", answer.text());
    // A redirect URI or a scope cannot carry anything of the kind in the first place.
    for uri in [
        "https://client.example/\"><svg>",
        "https://client.example/<svg>",
        "javascript:alert(1)",
        "data:text/html,x",
    ] {
        let metadata = json!({"redirect_uris": [uri], "token_endpoint_auth_method": "none"});
        let answer = flow.house.http.post_json(&flow.at("/oauth/register"), &[], &metadata).await?;
        reg400(&answer, "invalid_redirect_uri").map_err(while_trying(uri))?;
    }
    flow.close().await
}

/// AS-171.
#[tokio::test]
async fn cs_16_what_was_shown_is_what_the_token_says() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let page = flow.consent(&pkce.challenge).await?;
    let words = page.words();
    for fact in ["Test Client", "Alice Tanaka", "alice@example.com", "The notes server", "127.0.0.1:51234"] {
        assert!(words.contains(fact), "{fact} is not shown: {words}");
    }
    let boxes: Vec<String> = page.form()?.boxes.into_iter().map(|(_, scope)| scope).collect();
    assert_eq!(boxes, ["read", "write"]);
    let form = page.form()?.without("scope").with("scope", "read").with("decision", "allow");
    let callback = flow.browser.submit(&page, form, None).await?.left()?;
    let code = parameter(&callback, "code").ok_or("no code")?;
    let answer = flow.client.redeem(&code, &pkce.verifier).await?;
    assert_eq!(answer.json()["scope"], "read", "what was unticked is not granted");
    let claims = Tokens::of(&answer)?.claims()?;
    let grant = claims["grant_id"].as_str().unwrap_or_default().parse().map_err(|_| "no grant")?;
    let text = |error: store::StoreError| error.to_string();
    let grant = flow.house.store.find_grant(grant).await.map_err(text)?.ok_or("no grant")?;
    let asked = flow
        .house
        .store
        .find_authorization(grant.authorization)
        .await
        .map_err(text)?
        .ok_or("no authorization")?;
    assert_eq!(claims["sub"], grant.user.to_string());
    assert_eq!(claims["client_id"], grant.client_id.as_str());
    assert_eq!(claims["scope"], grant.scope.to_string());
    assert_eq!(claims["aud"], grant.resource.as_str());
    assert_eq!(asked.request.redirect_uri, LOOPBACK_REDIRECT);
    assert_eq!(
        page.form()?.value("csrf").map(|csrf| csrf.split('.').next() == Some(&hex(grant.shown.as_bytes()))),
        Some(true)
    );
    // A refresh cannot get back what was not granted.
    let more = [("grant_type", "refresh_token"), ("scope", "read write")];
    let refresh = answer.json()["refresh_token"].as_str().unwrap_or_default().to_owned();
    let more = [more.as_slice(), &[("refresh_token", refresh.as_str())]].concat();
    testkit::outcomes::tok400(&flow.client.token(&more).await?, "invalid_scope")?;
    flow.house.close().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn cs_16_a_yes_to_a_page_that_no_longer_holds_is_asked_again() -> Verdict {
    let mut flow = Flow::with_known("known-native").await?;
    let pkce = flow.pkce();
    let page = flow.consent(&pkce.challenge).await?;
    // Behind the page the request changes: more is asked for than was shown.
    crate::record::tamper(
        &flow.house,
        "UPDATE authorizations SET request = replace(request, 'read write', 'read')",
    )?;
    let place = flow.browser.submit(&page, page.form()?, Some(("decision", "allow"))).await?;
    page400(&place.page()?.answer)?;
    assert_eq!(flow.house.audit(store::AuditKind::ConsentGiven).await?.len(), 0);
    flow.close().await
}

#[tokio::test]
async fn cs_17_nothing_is_allowed_by_accident() -> Verdict {
    let mut flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    let page = flow.consent(&challenge).await?;
    // Enter presses the first button of a form (HTML, "implicit submission").
    let buttons: Vec<String> = page.form()?.buttons.into_iter().map(|(_, value)| value).collect();
    assert_eq!(buttons, ["deny", "allow"]);
    let text = page.answer.text();
    let allow = text.split("<button").find(|button| button.contains("value=\"allow\"")).ok_or("no button")?;
    assert!(allow.contains("data-wait") && !allow.contains("autofocus"), "{allow}");
    let script = page.subresources().into_iter().find(|source| source.ends_with(".js")).ok_or("no script")?;
    let script = flow.house.http.get(&flow.at(&script), &[]).await?;
    assert!(script.header("content-type").contains("javascript"), "{:?}", script.headers);
    for word in ["disabled = true", "focus", "setTimeout"] {
        assert!(script.text().contains(word), "{word}");
    }
    let policy = page.answer.header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert_eq!(page.answer.header("x-frame-options"), "DENY");
    flow.close().await
}
