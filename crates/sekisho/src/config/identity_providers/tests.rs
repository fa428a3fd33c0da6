use std::path::Path;

use super::super::Config;
use super::*;

const REST: &str = r#"
public_url = "https://mcp.example.com"
listen = ["127.0.0.1:8080"]
master_key_file = "master.key"

[store]
sqlite = "sekisho.db"

[[mcp_server]]
name = "notes"
url = "http://127.0.0.1:9000/mcp"
access = ["group:engineering"]

[[identity_provider]]
id = "idp"
"#;

fn read(provider: &str) -> Result<IdentityProviderKind, Vec<String>> {
    let text = format!("{REST}{provider}");
    match Config::parse(&text, Path::new("/etc/sekisho/sekisho.toml")) {
        Ok(mut config) => Ok(config.identity_providers.remove(0).kind),
        Err(mistakes) => {
            Err(mistakes.list.iter().map(|one| format!("{} {}", one.key, one.problem)).collect())
        }
    }
}

const SECRET: &str = "client_id = \"us\"\nclient_secret_file = \"secret\"\n";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";

#[test]
fn a_provider_needs_only_what_differs_from_one_to_the_next() {
    for (kind, settings) in [
        ("okta", "domain = \"acme.okta.com\""),
        ("okta", "domain = \"login.acme.example\"\nauthorization_server = \"aus1\""),
        ("google", "hosted_domains = [\"acme.example\"]"),
        ("entra", &format!("tenants = [\"{TENANT}\"]\nguests = true")),
        ("keycloak", "url = \"https://id.acme.example/auth\"\nrealm = \"staff\""),
        ("auth0", "domain = \"acme.eu.auth0.com\"\norganization = \"org_1\""),
        ("github", "organizations = [\"acme:9919\"]"),
        (
            "github",
            "organizations = [\"acme:9919\"]\napp = \"github-app\"\nurl = \"https://git.acme.example\"",
        ),
        ("atlassian", "sites = [\"acme:c1\"]"),
        ("atlassian", "sites = [\"acme:c1\"]\nproduct = \"confluence\""),
    ] {
        let kind = read(&format!("kind = \"{kind}\"\n{SECRET}{settings}\n")).unwrap();
        assert!(kind.registration().is_some_and(|one| one.settings.client_id == "us"), "{kind:?}");
    }
}

#[test]
fn what_would_admit_the_whole_world_is_refused_with_its_line() {
    for (settings, key) in [
        ("kind = \"google\"\n", "hosted_domains is missing"),
        ("kind = \"google\"\nhosted_domains = []\n", "hosted_domains names no domain"),
        ("kind = \"entra\"\n", "tenants is missing"),
        ("kind = \"entra\"\ntenants = []\n", "tenants names none"),
        (
            "kind = \"entra\"\ntenants = [\"common\"]\n",
            "tenants holds something that is not the id of a tenant",
        ),
        ("kind = \"entra\"\ntenants = [\"acme.onmicrosoft.com\"]\n", "tenants holds something"),
        (
            "kind = \"entra\"\ntenants = [\"9188040D-6C67-4C5B-B112-36A304B66DAD\"]\n",
            "tenants holds the tenant of private accounts",
        ),
        ("kind = \"auth0\"\ndomain = \"acme.auth0.com\"\n", "organization or email_domains is missing"),
        ("kind = \"github\"\n", "organizations is missing"),
        ("kind = \"github\"\norganizations = []\n", "organizations names none"),
        ("kind = \"github\"\norganizations = [\"acme\"]\n", "organizations holds a name without its id"),
        (
            "kind = \"github\"\norganizations = [\"acme:acme\"]\n",
            "organizations holds an organisation without its number",
        ),
        ("kind = \"atlassian\"\nsites = []\n", "sites names none"),
    ] {
        let mistakes = read(&format!("{settings}{SECRET}")).unwrap_err();
        assert!(
            mistakes.iter().any(|one| one.starts_with(&format!("identity_provider[0].{key}"))),
            "{settings}: {mistakes:?}"
        );
    }
}

#[test]
fn a_setting_of_another_kind_is_refused() {
    for (kind, needed, foreign) in [
        ("okta", "domain = \"acme.okta.com\"", "issuer = \"https://acme.okta.com\""),
        ("okta", "domain = \"acme.okta.com\"", "hosted_domains = [\"acme.example\"]"),
        ("entra", &format!("tenants = [\"{TENANT}\"]"), "email_domains = [\"acme.example\"]"),
        ("google", "hosted_domains = [\"acme.example\"]", "groups_claim = \"groups\""),
        ("github", "organizations = [\"acme:9919\"]", "scopes = [\"repo\"]"),
        ("atlassian", "sites = [\"acme:c1\"]", "userinfo = true"),
        ("oidc", "issuer = \"https://id.acme.example\"", "directory_key_file = \"key.json\""),
    ] {
        let mistakes = read(&format!("kind = \"{kind}\"\n{SECRET}{needed}\n{foreign}\n")).unwrap_err();
        assert!(
            mistakes.iter().any(|one| one.contains("is not a setting")),
            "{kind} {foreign}: {mistakes:?}"
        );
    }
}

#[test]
fn what_becomes_part_of_an_address_cannot_change_where_it_leads() {
    for settings in [
        "kind = \"okta\"\ndomain = \"acme.okta.com/x\"",
        "kind = \"okta\"\ndomain = \"me@acme.okta.com\"",
        "kind = \"okta\"\ndomain = \"acme.okta.com:8443\"",
        "kind = \"okta\"\ndomain = \"okta\"",
        "kind = \"okta\"\ndomain = \"127.0.0.1\"",
        "kind = \"okta\"\ndomain = \"acme.okta.com\"\nauthorization_server = \"../x\"",
        "kind = \"auth0\"\ndomain = \"acme.auth0.com?x\"\norganization = \"org_1\"",
        "kind = \"keycloak\"\nurl = \"https://id.acme.example\"\nrealm = \"..\"",
        "kind = \"keycloak\"\nurl = \"http://id.acme.example\"\nrealm = \"staff\"",
    ] {
        assert!(read(&format!("{settings}\n{SECRET}")).is_err(), "{settings}");
    }
}

#[test]
fn a_secret_that_a_provider_needs_cannot_be_left_out() {
    for settings in
        ["kind = \"github\"\norganizations = [\"acme:1\"]", "kind = \"atlassian\"\nsites = [\"acme:c1\"]"]
    {
        assert!(read(&format!("{settings}\nclient_id = \"us\"\n")).is_err(), "{settings}");
    }
    let google =
        "kind = \"google\"\nhosted_domains = [\"acme.example\"]\ndirectory_admin = \"admin@acme.example\"\n";
    assert!(read(&format!("{google}{SECRET}")).is_err(), "an administrator without a key");
    assert!(read(&format!("{google}directory_key_file = \"key.json\"\n{SECRET}")).is_ok());
}
