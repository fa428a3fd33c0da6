//! The way back from the identity providers that Sekisho has a name for: what each of them says that is not proof, and what it
//! answers when it does not answer.

use serde_json::json;
use testkit::house::Plan;
use testkit::identity_providers::{BRANDS, Brand, IdentityProvider, ORGANIZATION, Reply, SITE, TENANTS};
use testkit::outcomes::{Verdict, page400};

use super::with;
use crate::abroad::{Abroad, consents};

#[tokio::test]
async fn cb_04_a_callback_for_one_provider_is_not_taken_for_another() -> Verdict {
    for (here, there) in [
        (Brand::GitHub, Brand::Atlassian),
        (Brand::Atlassian, Brand::Okta),
        (Brand::Okta, Brand::Entra),
        (Brand::Entra, Brand::GitHub),
    ] {
        let plan = Plan::default();
        let other = IdentityProvider::start(there, &plan.clock).await?;
        let connectors = vec![other.connector("other")?];
        let plan = Plan { connectors, ..plan };
        let abroad = Abroad::with(here, plan, |provider| provider.connector("idp")).await?;
        let mut browser = abroad.house.browser();
        let callback = abroad.callback(&mut browser).await?;
        let mut moved = callback.clone();
        moved.set_path("/login/callback/other");
        page400(&browser.open_from_elsewhere(moved.as_str()).await?.page()?.answer)?;
        // Mix-up: the code of one in the leg of the other.
        let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
        let leg = abroad.leave(&mut browser, "other").await?;
        let second = browser.open(leg.as_str()).await?.left()?;
        let mixed = with(&second, "code", Some(&code));
        page400(&browser.open_from_elsewhere(mixed.as_str()).await?.page()?.answer)?;
        assert!(abroad.provider.asked(&abroad.provider.token_path()).is_empty(), "{here:?} is not asked");
        assert_eq!(abroad.house.counts().await?.users, 0, "{here:?} {there:?}");
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cb_05_an_issuer_that_is_not_the_providers_is_refused_before_the_code_is_redeemed() -> Verdict {
    for brand in BRANDS {
        let abroad = Abroad::at(brand).await?;
        let other = "https://evil.example".to_owned();
        abroad.provider.change(|held| held.callback = vec![("iss".to_owned(), other)]);
        abroad.refused(400, "issuer_mismatch").await.map_err(|why| format!("{brand:?}: {why}"))?;
        assert!(abroad.provider.asked(&abroad.provider.token_path()).is_empty(), "{brand:?}");
        abroad.house.close().await?;
    }
    // Keycloak says that it sends it, so it may not be missing.
    let abroad = Abroad::at(Brand::Keycloak).await?;
    abroad.provider.change(|held| held.callback = vec![("iss".to_owned(), String::new())]);
    abroad.refused(400, "issuer_missing").await?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_07_a_tenant_that_is_not_ours_does_not_come_in_by_the_issuer_of_one_that_is() -> Verdict {
    for brand in [Brand::Entra, Brand::EntraOfSeveral] {
        let abroad = Abroad::at(brand).await?;
        let url = abroad.provider.url.clone();
        let foreign = "99999999-9999-9999-9999-999999999999";
        let issuer = |tenant: &str| json!(format!("{url}/{tenant}/v2.0"));
        for (lies, reason, status) in [
            (vec![("iss", issuer(foreign)), ("tid", json!(foreign))], "id_token_issuer", 400),
            (vec![("iss", issuer(foreign))], "id_token_issuer", 400),
            (vec![("iss", issuer("{tenantid}"))], "id_token_issuer", 400),
            (vec![("iss", issuer("organizations"))], "id_token_issuer", 400),
            (
                vec![("tid", json!(foreign))],
                if brand == Brand::Entra { "required_claim" } else { "id_token_issuer" },
                if brand == Brand::Entra { 403 } else { 400 },
            ),
        ] {
            abroad.provider.change(|held| {
                held.lies = lies.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            });
            abroad.refused(status, reason).await.map_err(|why| format!("{brand:?} {lies:?}: {why}"))?;
        }
        abroad.provider.repent();
        abroad.tokens().await?;
        abroad.house.close().await?;
    }
    // Of two tenants that are both ours, one does not speak for the other.
    let abroad = Abroad::at(Brand::EntraOfSeveral).await?;
    let other = json!(format!("{}/{}/v2.0", abroad.provider.url, TENANTS[1]));
    abroad.provider.change(|held| drop(held.lies.insert("iss".to_owned(), other)));
    abroad.refused(400, "id_token_issuer").await?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_07_a_key_that_is_for_private_accounts_signs_for_no_tenant() -> Verdict {
    let abroad = Abroad::at(Brand::EntraOfSeveral).await?;
    abroad.provider.change(|held| held.key_id = "key-of-private-accounts");
    abroad.refused(400, "unknown_key").await?;
    abroad.provider.change(|held| held.key_id = "key-of-the-provider");
    abroad.tokens().await?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_the_same_object_id_in_two_tenants_is_two_people() -> Verdict {
    let abroad = Abroad::at(Brand::EntraOfSeveral).await?;
    let first = abroad.user(&abroad.tokens().await?).await?;
    abroad.provider.person("tid", json!(TENANTS[1]));
    let second = abroad.user(&abroad.tokens().await?).await?;
    assert_ne!(first.id, second.id);
    assert_eq!(first.subject, format!("{}.aaaaaaaa-0000-0000-0000-000000000001", TENANTS[0]));
    // What is one registration's own (`sub`) and what anybody may change decide nothing.
    abroad.provider.repent();
    for (name, value) in
        [("sub", "another"), ("email", "boss@acme.example"), ("preferred_username", "boss@acme.example")]
    {
        abroad.provider.person(name, json!(value));
    }
    assert_eq!(abroad.user(&abroad.tokens().await?).await?.id, first.id);
    for broken in [json!(null), json!(""), json!("a.b"), json!(7)] {
        abroad.provider.person("oid", broken.clone());
        abroad.refused(400, "id_token_subject").await.map_err(|why| format!("{broken}: {why}"))?;
    }
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_an_address_at_entra_that_nobody_verified_is_not_kept() -> Verdict {
    let abroad = Abroad::at(Brand::Entra).await?;
    for (verified, kept) in [
        (json!(true), true),
        (json!("1"), true),
        (json!(1), true),
        (json!(false), false),
        (json!("0"), false),
        (json!(null), false),
        (json!({"xms_edov": true}), false),
    ] {
        abroad.provider.person("xms_edov", verified.clone());
        // nOAuth: anybody with a tenant writes there what they like, and may say that it is verified.
        abroad.provider.person("email_verified", json!(true));
        let user = abroad.user(&abroad.tokens().await?).await?;
        assert_eq!(user.email.is_some(), kept, "{verified}");
    }
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_an_address_at_github_counts_only_if_it_is_verified_and_the_first() -> Verdict {
    let abroad = Abroad::at(Brand::GitHub).await?;
    let email = |email: &str, primary: bool, verified: bool| json!({"email": email, "primary": primary, "verified": verified});
    for (emails, kept) in [
        (json!([email("boss@acme.example", true, false), email("jane@acme.example", false, true)]), None),
        (json!([email("boss@acme.example", false, true)]), None),
        (json!([]), None),
        (
            json!([email("a@b", false, true), email("jane@acme.example", true, true)]),
            Some("jane@acme.example"),
        ),
    ] {
        abroad.provider.person("emails", emails);
        let user = abroad.user(&abroad.tokens().await?).await?;
        assert_eq!(user.email.as_deref(), kept);
    }
    // An app that may not see addresses signs people in without one.
    abroad
        .provider
        .next("/api/v3/user/emails", Reply::json(403, &json!({"message": "Resource not accessible"})));
    assert_eq!(abroad.user(&abroad.tokens().await?).await?.email, None);
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_who_takes_a_login_that_somebody_gave_up_is_somebody_else() -> Verdict {
    let abroad = Abroad::at(Brand::GitHub).await?;
    let jane = abroad.user(&abroad.tokens().await?).await?;
    assert_eq!(jane.subject, "583231");
    // She is renamed and stays who she is; the other one is called `jane` now.
    abroad.provider.person("login", json!("jane-doe"));
    assert_eq!(abroad.user(&abroad.tokens().await?).await?.id, jane.id);
    abroad.provider.repent();
    abroad.provider.person("id", json!(777));
    assert_ne!(abroad.user(&abroad.tokens().await?).await?.id, jane.id);
    for broken in [json!(0), json!("583231"), json!(-1), json!(null)] {
        abroad.provider.person("id", broken.clone());
        abroad.refused(400, "userinfo").await.map_err(|why| format!("{broken}: {why}"))?;
    }
    abroad.house.close().await
}

#[tokio::test]
async fn cb_11_who_only_looks_like_one_of_us_is_refused() -> Verdict {
    let google = Abroad::at(Brand::Google).await?;
    for hd in [json!(null), json!(""), json!("acme.example.evil.example"), json!("ACME.example"), json!(true)]
    {
        google.refused_if("hd", hd, "required_claim").await?;
    }
    google.house.close().await?;
    let entra = Abroad::at(Brand::Entra).await?;
    // A guest, and somebody of whom it is not said.
    for acct in [json!(1), json!(null), json!(true), json!("00")] {
        entra.refused_if("acct", acct, "required_claim").await?;
    }
    entra.house.close().await?;
    let auth0 = Abroad::at(Brand::Auth0).await?;
    for organization in [json!(null), json!("org_evil"), json!(["org_evil"])] {
        auth0.refused_if("org_id", organization, "required_claim").await?;
    }
    auth0.house.close().await?;
    let github = Abroad::at(Brand::GitHub).await?;
    let membership = |state: &str, login: &str, id: u64| json!([{"state": state, "organization": {"login": login, "id": id}}]);
    for memberships in [
        json!([]),
        membership("pending", ORGANIZATION.0, ORGANIZATION.1),
        // The name was given up, and somebody took it.
        membership("active", ORGANIZATION.0, 666),
        membership("active", "acme-", 99190),
    ] {
        github.refused_if("memberships", memberships, "foreign").await?;
    }
    // The organisation is called otherwise now: it is the same.
    github.provider.person("memberships", membership("active", "acme-inc", ORGANIZATION.1));
    assert!(github.user(&github.tokens().await?).await?.groups.contains(&"acme".to_owned()));
    github.house.close().await?;
    let atlassian = Abroad::at(Brand::Atlassian).await?;
    for (name, value) in [
        ("sites", json!([])),
        ("sites", json!(["c1c1c1c1-0000-0000-0000-000000000002"])),
        ("sites", json!([SITE.0])),
        ("account_type", json!("customer")),
        ("account_type", json!(null)),
        ("account_status", json!("inactive")),
        ("account_status", json!(null)),
    ] {
        atlassian.refused_if(name, value, "foreign").await?;
    }
    atlassian.house.close().await
}

#[tokio::test]
async fn cb_11_a_list_that_is_not_whole_is_no_list() -> Verdict {
    let entra = Abroad::at(Brand::Entra).await?;
    let many = |count: usize| (0..count).map(|number| json!(format!("g{number}"))).collect();
    let graph = "/v1.0/me/getMemberObjects";
    for odd in [
        Reply::json(403, &json!({"error": {"code": "Authorization_RequestDenied"}})),
        Reply::json(400, &json!({"error": {"code": "Directory_ResultSizeLimitExceeded"}})),
        Reply::json(200, &json!({"value": ["g1"], "@odata.nextLink": "https://evil.example/next"})),
    ] {
        entra.provider.person("groups", many(300));
        entra.provider.next(graph, odd.clone());
        entra.refused(403, "groups_unavailable").await.map_err(|why| format!("{odd:?}: {why}"))?;
    }
    entra.provider.person("groups", many(2001));
    entra.refused(403, "groups_unavailable").await?;
    entra.house.close().await?;
    let github = Abroad::at(Brand::GitHub).await?;
    let (teams, memberships) = ("/api/v3/user/teams", "/api/v3/user/memberships/orgs");
    let listed = |header: &str| Reply::json(200, &json!([])).with("x-github-sso", header);
    for (path, odd, reason) in [
        (memberships, listed("partial-results; organizations=21955855,9919"), "single_sign_on"),
        (teams, listed("partial-results; organizations=9919"), "single_sign_on"),
        (memberships, listed("partial-results"), "single_sign_on"),
        (memberships, listed("partial-results; organizations=what"), "single_sign_on"),
        (
            memberships,
            Reply::status(403).with("x-github-sso", "required; url=https://github.com/orgs/acme/sso"),
            "single_sign_on",
        ),
        (
            memberships,
            Reply::json(403, &json!({"message": "OAuth App access restrictions"})),
            "groups_unavailable",
        ),
        (teams, Reply::json(404, &json!({"message": "Not Found"})), "groups_unavailable"),
    ] {
        github.provider.next(path, odd.clone());
        github.refused(403, reason).await.map_err(|why| format!("{odd:?}: {why}"))?;
    }
    // What is left out of others is no matter.
    let plain = github.provider.memberships().with("x-github-sso", "partial-results; organizations=21955855");
    github.provider.next(memberships, plain);
    github.tokens().await?;
    // A list that never ends.
    let endless = Reply::json(200, &json!([])).with("link", "<https://evil.example/next>; rel=\"next\"");
    (0..40).for_each(|_| github.provider.next(teams, endless.clone()));
    github.refused(403, "groups_unavailable").await?;
    github.house.close().await
}

#[tokio::test]
async fn cb_11_the_directory_of_google_tells_all_or_nobody_comes_in() -> Verdict {
    let google = Abroad::with(Brand::Google, Plan::default(), |provider| {
        let directory = (provider.service_account(), "admin@acme.example".to_owned());
        provider.connector_with("idp", |given| given.google_directory = Some(directory))
    })
    .await?;
    let path = "/admin/directory/v1/groups";
    for (odd, status, reason) in [
        (
            Reply::json(403, &json!({"error": {"errors": [{"reason": "forbidden"}]}})),
            403,
            "groups_unavailable",
        ),
        (
            Reply::json(403, &json!({"error": {"errors": [{"reason": "quotaExceeded"}]}})),
            503,
            "provider_unreachable",
        ),
        (
            Reply::json(404, &json!({"error": {"errors": [{"reason": "notFound"}]}})),
            403,
            "groups_unavailable",
        ),
        (Reply::status(503), 503, "provider_unreachable"),
        (Reply::json(200, &json!([])), 400, "groups"),
    ] {
        google.provider.next(path, odd.clone());
        google.refused(status, reason).await.map_err(|why| format!("{odd:?}: {why}"))?;
    }
    let endless = Reply::json(200, &json!({"groups": [], "nextPageToken": "again"}));
    (0..40).for_each(|_| google.provider.next(path, endless.clone()));
    google.refused(403, "groups_unavailable").await?;
    assert!(google.provider.asked(path).len() <= 5 + 10, "the pages have an end");
    google.house.close().await
}

#[tokio::test]
async fn cb_16_an_error_with_status_200_is_an_error_and_not_an_answer() -> Verdict {
    let github = Abroad::at(Brand::GitHub).await?;
    let path = github.provider.token_path();
    let said =
        |error: &str| Reply::json(200, &json!({"error": error, "error_description": "c4n4ry <script>"}));
    for (odd, status, reason) in [
        (said("bad_verification_code"), 400, "code_refused"),
        (said("incorrect_client_credentials"), 400, "client_refused"),
        (said("redirect_uri_mismatch"), 400, "client_refused"),
        (said("unverified_user_email"), 403, "email_domain"),
        (said("application_suspended"), 400, "provider_error"),
        (Reply::json(404, &json!({"error": "Not Found"})), 400, "client_refused"),
        (Reply::json(200, &json!({})), 400, "token_response"),
        (
            Reply::json(200, &json!({"access_token": "", "token_type": "bearer", "scope": "read:org"})),
            400,
            "token_response",
        ),
        (
            Reply::json(200, &json!({"access_token": "t", "token_type": "mac", "scope": "read:org"})),
            400,
            "token_response",
        ),
        (
            Reply::json(
                200,
                &json!({"error": "bad_verification_code", "access_token": "t", "token_type": "bearer"}),
            ),
            400,
            "code_refused",
        ),
        // Less than was asked for: memberships cannot be seen, and are not guessed.
        (
            Reply::json(200, &json!({"access_token": "t", "token_type": "bearer", "scope": "user:email"})),
            403,
            "groups_unavailable",
        ),
    ] {
        github.provider.next(&path, odd.clone());
        github.refused(status, reason).await.map_err(|why| format!("{odd:?}: {why}"))?;
    }
    let audit = github.house.audit(store::AuditKind::SignInRefused).await?;
    assert!(!format!("{audit:?}").contains("c4n4ry"), "{audit:?}");
    github.house.close().await?;
    let atlassian = Abroad::at(Brand::Atlassian).await?;
    let path = atlassian.provider.token_path();
    for (odd, status, reason) in [
        (Reply::json(200, &json!({"error": "invalid_grant", "access_token": "t"})), 400, "code_refused"),
        (Reply::json(403, &json!({"error": "invalid_grant"})), 400, "code_refused"),
        (Reply::json(401, &json!({"error": "access_denied"})), 400, "client_refused"),
        (Reply::json(200, &json!({})), 400, "token_response"),
        (Reply::json(200, &json!({"access_token": "t", "token_type": "mac"})), 400, "token_response"),
    ] {
        atlassian.provider.next(&path, odd.clone());
        atlassian.refused(status, reason).await.map_err(|why| format!("{odd:?}: {why}"))?;
    }
    atlassian.house.close().await
}

#[tokio::test]
async fn a_provider_that_says_slower_is_away_for_a_moment_and_nobody_is_told_no() -> Verdict {
    for brand in BRANDS {
        let abroad = Abroad::at(brand).await?;
        let path = abroad.provider.token_path();
        for status in [429, 500, 503] {
            abroad.provider.next(&path, Reply::status(status).with("retry-after", "30"));
            let refused = abroad.refused(503, "provider_unreachable").await;
            refused.map_err(|why| format!("{brand:?} {status}: {why}"))?;
        }
        abroad.tokens().await.map_err(|why| format!("{brand:?}: {why}"))?;
        abroad.house.close().await?;
    }
    let github = Abroad::at(Brand::GitHub).await?;
    for odd in [
        Reply::json(403, &json!({"message": "API rate limit exceeded"})).with("x-ratelimit-remaining", "0"),
        Reply::json(403, &json!({"message": "You have exceeded a secondary rate limit"}))
            .with("retry-after", "60"),
        Reply::json(429, &json!({})),
    ] {
        for path in ["/api/v3/user", "/api/v3/user/teams", "/api/v3/user/emails"] {
            github.provider.next(path, odd.clone());
            github
                .refused(503, "provider_unreachable")
                .await
                .map_err(|why| format!("{path} {odd:?}: {why}"))?;
        }
    }
    github.house.close().await
}

#[tokio::test]
async fn who_must_prove_themselves_anew_is_refused_where_the_provider_cannot_tell_when_it_was() -> Verdict {
    for brand in [Brand::GitHub, Brand::Atlassian] {
        let abroad = Abroad::at(brand).await?;
        let mut browser = abroad.house.browser();
        let challenge = testkit::client::Pkce::new("abroad").challenge;
        let mut fields = abroad.client.authorization_request(&abroad.house.resource("notes"), &challenge);
        fields.push(("prompt".into(), "login".into()));
        let login = browser.open(&abroad.client.authorization_url(&fields)).await?.page()?;
        let there = browser.submit(&login, login.form()?, Some(("connector", "idp"))).await?.left()?;
        let callback = browser.open(there.as_str()).await?.left()?;
        let page = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        assert_eq!(page.answer.status, 400, "{brand:?}: {}", page.words());
        assert!(abroad.provider.asked(&abroad.provider.token_path()).is_empty(), "{brand:?}");
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cb_11_guests_come_in_only_where_the_operator_says_so() -> Verdict {
    let entra = Abroad::with(Brand::Entra, Plan::default(), |provider| {
        provider.connector_with("idp", |given| given.switches.extend(["guests".to_owned()]))
    })
    .await?;
    entra.provider.person("acct", json!(1));
    let (_, page) = entra.sign_in().await?;
    consents(testkit::browser::Place::Page(page))?;
    entra.house.close().await
}
