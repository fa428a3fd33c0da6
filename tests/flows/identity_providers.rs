//! The whole sign-in at each identity provider that Sekisho has a name for: who it is then, and what they may do.

use policy::Access;
use serde_json::{Value, json};
use testkit::house::Plan;
use testkit::identity_providers::{BRANDS, Brand, IdentityProvider};
use testkit::outcomes::Verdict;

use crate::abroad::Abroad;

fn only(group: &str) -> Plan {
    Plan { servers: vec![("notes", Access::Groups(vec![group.to_owned()]))], ..Plan::default() }
}

#[tokio::test]
async fn at_every_provider_somebody_signs_in_allows_and_calls() -> Verdict {
    for brand in BRANDS {
        let abroad = Abroad::at(brand).await?;
        let tokens = abroad.tokens().await.map_err(|why| format!("{brand:?}: {why}"))?;
        assert_eq!(abroad.house.echo("notes", &tokens.access).await?.status, 200, "{brand:?}");
        let user = abroad.user(&tokens).await?;
        let shown = (user.name.as_deref(), user.email.as_deref());
        assert_eq!(shown, (Some("Jane Doe"), Some("jane@acme.example")), "{brand:?}");
        assert_eq!(user.connector, "idp");
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_provider_is_asked_as_it_wants_to_be_asked() -> Verdict {
    for (brand, wanted, unwanted) in [
        (Brand::Atlassian, &[("audience", "api.atlassian.com"), ("prompt", "consent")][..], &["nonce"][..]),
        (Brand::Auth0, &[("organization", "org_acme")], &[]),
        (Brand::Entra, &[("scope", "openid profile email User.Read")], &["resource"]),
        (Brand::EntraOfSeveral, &[], &["resource"]),
        (Brand::GitHub, &[("scope", "read:org user:email"), ("allow_signup", "false")], &["nonce"]),
        (Brand::GitHubApp, &[], &["scope"]),
        (Brand::Google, &[("hd", "acme.example")], &[]),
        (Brand::Keycloak, &[("scope", "openid profile email")], &[]),
        (Brand::Okta, &[("scope", "openid profile email groups")], &[]),
        (Brand::OktaCustom, &[("scope", "openid profile email")], &[]),
    ] {
        let abroad = Abroad::at(brand).await?;
        let there = abroad.leave(&mut abroad.house.browser(), "idp").await?;
        let asked: std::collections::HashMap<_, _> = there.query_pairs().into_owned().collect();
        let always =
            [("code_challenge_method", "S256"), ("client_id", testkit::identity_providers::CLIENT_ID)];
        for (name, value) in wanted.iter().chain(&always) {
            assert_eq!(asked.get(*name).map(String::as_str), Some(*value), "{brand:?} {name}");
        }
        for name in unwanted {
            assert!(!asked.contains_key(*name), "{brand:?} {name}");
        }
        assert!(asked["state"].len() >= 43 && asked["redirect_uri"].ends_with("/login/callback/idp"));
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn groups_of_each_provider_decide_over_access() -> Verdict {
    for (brand, group) in [
        (Brand::Atlassian, "acme"),
        (Brand::Entra, "bbbbbbbb-0000-0000-0000-000000000001"),
        (Brand::GitHub, "acme"),
        (Brand::GitHub, "acme/staff"),
        (Brand::GitHubApp, "acme/#71"),
        (Brand::Keycloak, "staff"),
        (Brand::Okta, "staff"),
        (Brand::OktaCustom, "staff"),
    ] {
        let connector = |provider: &IdentityProvider| provider.connector("idp");
        let abroad = Abroad::with(brand, only(group), connector).await?;
        abroad.tokens().await.map_err(|why| format!("{brand:?} {group}: {why}"))?;
        abroad.house.close().await?;
        let abroad = Abroad::with(brand, only("other"), connector).await?;
        let (_, page) = abroad.sign_in().await?;
        assert_eq!(page.answer.status, 403, "{brand:?}: {}", page.words());
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_is_in_more_than_two_hundred_groups_of_entra_is_asked_about_at_graph() -> Verdict {
    let abroad = Abroad::at(Brand::Entra).await?;
    let group = |number: usize| format!("cccccccc-0000-0000-0000-{number:012}");
    abroad.provider.person("groups", (0..1500).map(|number| json!(group(number))).collect());
    let user = abroad.user(&abroad.tokens().await?).await?;
    assert_eq!(user.groups.len(), 1500);
    assert_eq!(abroad.provider.asked("/v1.0/me/getMemberObjects").len(), 1);
    // Below that nobody is asked.
    abroad.provider.repent();
    let user = abroad.user(&abroad.tokens().await?).await?;
    assert_eq!(user.groups, ["bbbbbbbb-0000-0000-0000-000000000001"]);
    assert_eq!(abroad.provider.asked("/v1.0/me/getMemberObjects").len(), 1);
    abroad.house.close().await
}

#[tokio::test]
async fn groups_of_google_come_from_the_directory_page_by_page() -> Verdict {
    let abroad = Abroad::with(Brand::Google, Plan::default(), |provider| {
        let directory = (provider.service_account(), "admin@acme.example".to_owned());
        provider.connector_with("idp", |given| given.google_directory = Some(directory))
    })
    .await?;
    abroad.provider.change(|held| {
        held.directory = (0..450).map(|number| format!("Group-{number:03}@acme.example")).collect();
    });
    let user = abroad.user(&abroad.tokens().await?).await?;
    assert_eq!(user.groups.len(), 450);
    assert_eq!(user.groups[449], "group-449@acme.example");
    let pages = abroad.provider.asked("/admin/directory/v1/groups");
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|page| page.fields["userKey"] == "110169484474386276334"), "{pages:?}");
    // Without the setting there are none, and nobody is asked.
    abroad.house.close().await?;
    let abroad = Abroad::at(Brand::Google).await?;
    assert_eq!(abroad.user(&abroad.tokens().await?).await?.groups, Vec::<String>::new());
    assert!(abroad.provider.asked("/admin/directory/v1/groups").is_empty());
    abroad.house.close().await
}

#[tokio::test]
async fn teams_of_github_are_read_to_the_last_page_and_those_of_other_organisations_are_none() -> Verdict {
    let abroad = Abroad::at(Brand::GitHub).await?;
    let team = |number: u64, organization: u64| json!({"id": number, "slug": format!("team-{number}"), "organization": {"login": "acme", "id": organization}});
    let teams: Vec<Value> = (0..250).map(|number| team(number + 1, 9919)).chain([team(900, 666)]).collect();
    abroad.provider.person("teams", json!(teams));
    let user = abroad.user(&abroad.tokens().await?).await?;
    assert_eq!(user.groups.len(), 1 + 2 * 250);
    assert!(user.groups.contains(&"acme/team-250".to_owned()));
    assert!(
        !user.groups.iter().any(|group| group.contains("900")),
        "the name of an organisation is not enough"
    );
    assert_eq!(abroad.provider.asked("/api/v3/user/teams").len(), 3);
    abroad.house.close().await
}

#[tokio::test]
async fn the_check_says_what_is_in_order_and_which_setting_is_not() -> Verdict {
    for brand in BRANDS {
        let clock = std::sync::Arc::default();
        let provider = IdentityProvider::start(brand, &clock).await?;
        let connector = provider.connector("idp")?;
        let redirect_uri = "https://mcp.example.com/login/callback/idp";
        let found = connector.check(redirect_uri).await.map_err(|error| format!("{brand:?}: {error}"))?;
        assert!(found.contains("client id and secret are accepted"), "{brand:?}: {found}");
        if matches!(brand, Brand::Atlassian | Brand::GitHub | Brand::GitHubApp) {
            continue;
        }
        let wrong = |given: &mut upstream::connectors::profile::Given| {
            given.client_secret = Some(protocol::secret::Secret::new("another".to_owned()));
        };
        let refused = provider.connector_with("idp", wrong)?.check(redirect_uri).await;
        let sentence = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(sentence.starts_with("client_id or client_secret: "), "{brand:?}: {sentence}");
    }
    Ok(())
}
