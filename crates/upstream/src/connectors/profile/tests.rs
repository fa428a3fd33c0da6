use std::path::Path;

use super::*;

fn given(values: &[(&str, &[&str])], switches: &[&str]) -> Given {
    let text = |text: &&str| (*text).to_owned();
    Given {
        id: "idp".parse().unwrap(),
        title: "The provider".to_owned(),
        client_id: "us".to_owned(),
        client_secret: Some(Secret::new("hush".to_owned())),
        values: values
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().map(text).collect()))
            .collect(),
        switches: switches.iter().map(text).collect(),
        groups_claim: None,
        scopes: None,
        userinfo: None,
        google_directory: None,
        recheck: false,
        deadline: Duration::from_secs(10),
    }
}

fn settings(kind: &str, values: &[(&str, &[&str])]) -> Result<OidcSettings, ProfileError> {
    Profile::find(kind).unwrap().unwrap().settings(given(values, &[]))
}

#[test]
fn every_file_of_the_folder_is_a_profile_and_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let listed: Vec<String> = PROFILES.iter().map(|(kind, _)| format!("{kind}.toml")).collect();
    assert_eq!(files, listed);
    for (kind, text) in PROFILES {
        let profile: Profile = toml::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert!(!profile.title.is_empty() && !profile.issuer.is_empty(), "{kind}");
        let mut scopes = profile.issuer.iter().map(|issuer| &issuer.scopes);
        assert!(scopes.all(|scopes| scopes.iter().any(|scope| scope == "openid")), "{kind}");
        // What is read at the provider is dated.
        assert!(kind == "oidc" || text.contains("Read on 20"), "{kind}");
    }
    assert!(Profile::find("saml").unwrap().is_none());
}

#[test]
fn the_issuer_follows_from_the_few_settings() {
    type Case = (&'static str, &'static [(&'static str, &'static [&'static str])], &'static str);
    let cases: [Case; 9] = [
        ("okta", &[("domain", &["acme.okta.com"])], "https://acme.okta.com"),
        (
            "okta",
            &[("domain", &["acme.okta.com"]), ("authorization_server", &["default"])],
            "https://acme.okta.com/oauth2/default",
        ),
        ("google", &[("hosted_domains", &["acme.example"])], "https://accounts.google.com"),
        ("entra", &[("tenants", &["t1"])], "https://login.microsoftonline.com/t1/v2.0"),
        ("entra", &[("tenants", &["t1", "t2"])], "https://login.microsoftonline.com/organizations/v2.0"),
        (
            "keycloak",
            &[("url", &["https://id.acme.example/"]), ("realm", &["staff"])],
            "https://id.acme.example/realms/staff",
        ),
        (
            "auth0",
            &[("domain", &["acme.eu.auth0.com"]), ("organization", &["org_1"])],
            "https://acme.eu.auth0.com/",
        ),
        (
            "auth0",
            &[("domain", &["login.acme.example"]), ("email_domains", &["acme.example"])],
            "https://login.acme.example/",
        ),
        ("oidc", &[("issuer", &["https://id.acme.example/x"])], "https://id.acme.example/x"),
    ];
    for (kind, values, issuer) in cases {
        assert_eq!(settings(kind, values).unwrap().issuer, issuer, "{kind} {values:?}");
    }
    assert_eq!(settings("okta", &[]).err(), Some(ProfileError::Issuer));
    assert_eq!(settings("keycloak", &[("realm", &["staff"])]).err(), Some(ProfileError::Issuer));
}

#[test]
fn a_provider_at_which_everybody_may_have_an_account_is_refused_without_a_restriction() {
    for (kind, values) in [
        ("google", &[][..]),
        ("google", &[("hosted_domains", &[][..])][..]),
        ("entra", &[]),
        ("auth0", &[("domain", &["acme.auth0.com"][..])]),
    ] {
        let refused = settings(kind, values).err();
        assert!(matches!(refused, Some(ProfileError::AdmitsEverybody(_))), "{kind}: {refused:?}");
    }
}

#[test]
fn what_restricts_is_asked_for_and_demanded_of_the_claims() {
    let google = settings("google", &[("hosted_domains", &["acme.example"])]).unwrap();
    assert_eq!(google.quirks.parameters, [("hd".to_owned(), "acme.example".to_owned())]);
    assert_eq!(google.required_claims["hd"], ["acme.example"]);
    let google = settings("google", &[("hosted_domains", &["acme.example", "b.example"])]).unwrap();
    assert_eq!(google.quirks.parameters, [("hd".to_owned(), "*".to_owned())]);
    assert_eq!(google.required_claims["hd"], ["acme.example", "b.example"]);
    let auth0 = settings("auth0", &[("domain", &["d"]), ("organization", &["org_1"])]).unwrap();
    assert_eq!(auth0.quirks.parameters, [("organization".to_owned(), "org_1".to_owned())]);
    assert_eq!(auth0.required_claims["org_id"], ["org_1"]);
    let auth0 = settings("auth0", &[("domain", &["d"]), ("email_domains", &["acme.example"])]).unwrap();
    assert!(auth0.quirks.parameters.is_empty() && auth0.required_claims.is_empty());
}

#[test]
fn a_guest_of_a_tenant_is_admitted_only_if_the_operator_says_so() {
    let entra = settings("entra", &[("tenants", &["t1"])]).unwrap();
    assert_eq!(entra.required_claims["acct"], ["0"]);
    assert_eq!(entra.required_claims["tid"], ["t1"]);
    let profile = Profile::find("entra").unwrap().unwrap();
    let entra = profile.settings(given(&[("tenants", &["t1"])], &["guests"])).unwrap();
    assert!(!entra.required_claims.contains_key("acct"), "{entra:?}");
}

#[test]
fn a_custom_authorization_server_of_okta_is_not_asked_for_a_scope_that_it_does_not_know() {
    let org = settings("okta", &[("domain", &["d"])]).unwrap();
    let custom = settings("okta", &[("domain", &["d"]), ("authorization_server", &["s"])]).unwrap();
    let asks = |settings: &OidcSettings| settings.scopes.iter().any(|scope| scope == "groups");
    assert_eq!((asks(&org), asks(&custom)), (true, false));
}
