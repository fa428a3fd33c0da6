use std::path::Path;

use upstream::route::Http2;

use super::identity_providers::IdentityProviderKind;
use super::listeners::TlsConfig;
use super::mcp_servers::{AccessConfig, AdmittedAccountConfig, PeopleConfig};
use super::outbound_proxy::OutboundProxyChoice;
use super::{Config, Mistakes};

const GOOD: &str = r#"
public_url = "http://localhost:8080"
listen = ["127.0.0.1:8080"]
master_key_file = "master.key"

[store]
sqlite = "sekisho.db"

[[identity_provider]]
id = "development"
kind = "development"

[[mcp_server]]
name = "notes"
url = "http://127.0.0.1:9000/mcp"
access = ["group:engineering"]
"#;

fn parse(text: &str) -> Result<Config, Mistakes> {
    let read = Config::parse(text, Path::new("/etc/sekisho/sekisho.toml"));
    if read.is_ok() {
        assert_eq!(super::schema::tests::refusals(text), Vec::<String>::new(), "{text}");
    }
    read
}

fn mistakes(text: &str) -> Vec<(usize, String, String)> {
    let mistakes = parse(text).expect_err("this configuration is wrong");
    mistakes.list.into_iter().map(|mistake| (mistake.line, mistake.key, mistake.problem)).collect()
}

#[test]
fn a_small_configuration_is_enough_and_the_rest_has_defaults() {
    let config = parse(GOOD).expect("this configuration is good");
    assert_eq!(config.tokens.access_token.as_secs(), 600);
    assert_eq!(config.tokens.grant.as_secs(), 180 * 86_400);
    assert_eq!(config.limits.message_bytes, 4 * 1024 * 1024);
    assert_eq!(config.folder, Path::new("/etc/sekisho/"));
    assert!(config.clients.private_schemes.contains(&"vscode".to_owned()));
    assert_eq!(config.mcp_servers[0].access.people, PeopleConfig::Groups(vec!["engineering".to_owned()]));
    let IdentityProviderKind::Development(people) = &config.identity_providers[0].kind else {
        panic!("the provider is the development one");
    };
    assert!(people.iter().any(|person| person.groups == ["finance"]));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let text = GOOD
        .replace("http://localhost:8080\"", "http://localhost:8080/\"")
        .replace("listen = [\"127.0.0.1:8080\"]", "listen = [\"127.0.0.1\"]")
        .replace("kind = \"development\"", "kind = \"saml\"")
        .replace("access = [\"group:engineering\"]", "acces = \"all\"");
    let found = mistakes(&text);
    let lines: Vec<usize> = found.iter().map(|(line, ..)| *line).collect();
    let keys: Vec<&str> = found.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(lines, [2, 3, 11, 13, 16], "{found:?}");
    assert_eq!(
        keys,
        ["public_url", "listen", "identity_provider[0].kind", "mcp_server[0].access", "mcp_server[0].acces"]
    );
    assert!(found[4].2.contains("did you mean `access`"), "{found:?}");
}

#[test]
fn a_value_is_never_repeated_in_a_mistake() {
    let text = GOOD.replace("master_key_file = \"master.key\"", "master_key = \"c2VjcmV0LXZhbHVl\"");
    let shown = parse(&text).expect_err("a key in the file is refused").to_string();
    assert!(shown.contains("master_key"), "{shown}");
    assert!(!shown.contains("c2VjcmV0LXZhbHVl"), "{shown}");
}

#[test]
fn a_syntax_error_names_its_line() {
    let found = mistakes("public_url = \n");
    assert_eq!(found[0].0, 1);
}

#[test]
fn a_public_url_is_an_origin_and_nothing_else() {
    for wrong in [
        "http://mcp.example.com",
        "https://mcp.example.com/",
        "https://mcp.example.com/path",
        "https://mcp.example.com?x",
        "https://mcp.example.com#x",
        "https://MCP.example.com",
        "https://user@mcp.example.com",
        "https://mcp.example.com:443",
        "http://127.0.0.2:8080",
        "ftp://mcp.example.com",
        "mcp.example.com",
    ] {
        let found = mistakes(&GOOD.replace("http://localhost:8080", wrong));
        assert!(found.iter().any(|(_, key, _)| key == "public_url"), "{wrong}: {found:?}");
    }
}

#[test]
fn example_people_are_refused_off_the_loopback_interface() {
    let elsewhere = GOOD.replace("http://localhost:8080", "https://mcp.example.com");
    assert_eq!(mistakes(&elsewhere)[0].1, "public_url");
    let wide = GOOD.replace("[\"127.0.0.1:8080\"]", "[\"127.0.0.1:8080\", \"0.0.0.0:8080\"]");
    assert_eq!(mistakes(&wide)[0].1, "listen");
}

#[test]
fn an_mcp_server_admits_nobody_until_it_says_whom() {
    let found = mistakes(&GOOD.replace("access = [\"group:engineering\"]\n", ""));
    assert_eq!(found[0].1, "mcp_server[0].access");
    for wrong in ["[]", "\"everyone\"", "[\"engineering\"]", "[\"group:\"]", "true"] {
        let found = mistakes(&GOOD.replace("[\"group:engineering\"]", wrong));
        assert_eq!(found[0].1, "mcp_server[0].access", "{wrong}");
    }
}

#[test]
fn names_are_unique_and_not_paths_of_our_own() {
    let twice = format!(
        "{GOOD}\n[[mcp_server]]\nname = \"notes\"\nurl = \"http://127.0.0.1:9001/mcp\"\naccess = \"everyone who may log in\"\n"
    );
    assert!(mistakes(&twice).iter().any(|(_, _, problem)| problem.contains("twice")));
    for reserved in
        ["oauth", "login", "admin", "token", "Notes", "no_tes", "a-name-that-is-much-too-long-for-it"]
    {
        let found = mistakes(&GOOD.replace("name = \"notes\"", &format!("name = \"{reserved}\"")));
        assert_eq!(found[0].1, "mcp_server[0].name", "{reserved}");
    }
}

#[test]
fn a_secret_has_exactly_one_source() {
    let two = GOOD.replace(
        "master_key_file = \"master.key\"",
        "master_key_file = \"master.key\"\nmaster_key_env = \"KEY\"",
    );
    assert!(mistakes(&two)[0].2.contains("more than one"));
    let none = GOOD.replace("master_key_file = \"master.key\"\n", "");
    assert_eq!(mistakes(&none)[0].1, "master_key_file");
}

#[test]
fn a_time_has_a_unit_and_a_range() {
    for wrong in [
        "600",
        "\"600\"",
        "\"10 m\"",
        "\"-1m\"",
        "\"1s\"",
        "\"2h\"",
        "\"99999999999999999999d\"",
        "\"m\"",
        "\"\"",
    ] {
        let found = mistakes(&format!("{GOOD}\n[tokens]\naccess_token = {wrong}\n"));
        assert_eq!(found[0].1, "tokens.access_token", "{wrong}: {found:?}");
    }
}

#[test]
fn the_reference_names_every_setting() {
    let page = super::reference::markdown();
    for key in [
        "public_url",
        "sqlite",
        "issuer",
        "access_token",
        "stream_grace",
        "private_schemes",
        "refresh_repeat",
        "redirect_uris",
    ] {
        assert!(page.contains(&format!("### `{key}`")), "{key}");
    }
    let defaults = page.lines().filter(|line| line.starts_with("- default")).collect::<String>();
    assert!(defaults.contains("`\"10m\"`") && !defaults.contains('\''), "{defaults}");
}

#[test]
fn an_origin_that_no_browser_would_send_is_a_mistake() {
    let with = |origin: &str| format!("allowed_origins = [\"{origin}\"]\n{GOOD}");
    for origin in ["https://app.example.com", "http://localhost:6274", "https://app.example.com:8443"] {
        let config = parse(&with(origin)).expect("this is an origin");
        assert_eq!(config.house.allowed_origins, [origin]);
    }
    for wrong in ["*", "null", "app.example.com", "https://app.example.com/", "https://App.example.com"] {
        let found = mistakes(&with(wrong));
        assert_eq!(
            found.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>(),
            ["allowed_origins"],
            "{wrong}"
        );
    }
    assert_eq!(mistakes(&with("https://app.example.com:443")).len(), 1);
}

#[test]
fn a_listener_says_for_whom_it_is_and_how_it_is_spoken_to() {
    let text = GOOD.replace("http://localhost:8080", "https://mcp.example.com").replace(
        "kind = \"development\"",
        "kind = \"oidc\"\nissuer = \"https://id.example.com\"\nclient_id = \"sekisho\"",
    ) + r#"
[[listener]]
address = "0.0.0.0:443"
serves = ["machines"]
tls = { certificate_file = "a.pem", key_file = "a.key" }

[[listener]]
address = "10.0.0.1:443"
serves = ["people", "console"]
[[listener.tls]]
certificate_file = "b.pem"
key_file = "/b.key"
[[listener.tls]]
certificate_file = "c.pem"
key_file = "c.key"

[[listener]]
address = "10.0.0.1:444"
tls = { acme = true }

[acme]
terms_of_service_agreed = true

[[limits.network]]
name = "cloud"
networks = ["203.0.113.0/24"]
"#;
    let text = text.replace("listen = [\"127.0.0.1:8080\"]\n", "");
    let config = parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let serves: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| listener.settings.serves)
        .map(|serves| (serves.machines, serves.people, serves.console))
        .collect();
    assert_eq!(serves, [(true, false, false), (false, true, true), (true, true, true)]);
    let of = |name: &str| Path::new("/etc/sekisho").join(name);
    let files = |pairs: &[(&str, &str)]| {
        Some(TlsConfig::Files(pairs.iter().map(|(certificate, key)| (of(certificate), of(key))).collect()))
    };
    assert_eq!(config.listeners[0].tls, files(&[("a.pem", "a.key")]));
    assert_eq!(config.listeners[1].tls, files(&[("b.pem", "/b.key"), ("c.pem", "c.key")]));
    assert_eq!(config.listeners[2].tls, Some(TlsConfig::Acme));
    assert_eq!(config.acme_names(), ["mcp.example.com"]);
    assert_eq!(config.networks[0].token_requests_per_second, 1000);
    let pages = text.replace("public_url =", "pages_url = \"https://id.example.com\"\npublic_url =");
    assert_eq!(parse(&pages).unwrap().acme_names(), ["mcp.example.com", "id.example.com"]);
}

#[test]
fn listeners_that_cannot_do_what_is_wanted_are_told() {
    let listener = "\n[[listener]]\naddress = \"127.0.0.1:443\"\n";
    let gone = GOOD.replace("listen = [\"127.0.0.1:8080\"]\n", "");
    let told = |text: &str, key: &str, words: &str| {
        let found = mistakes(text);
        assert!(found.iter().any(|(_, at, what)| at == key && what.contains(words)), "{words}: {found:?}");
    };
    told(&gone, "listen", "nobody could come in");
    told(&format!("{gone}{listener}serves = [\"people\"]\n"), "listener", "none serves machines");
    told(&format!("{gone}{listener}serves = [\"all\"]\n"), "listener[0].serves", "none of the three");
    told(
        &format!("{GOOD}{listener}proxy_protocol = \"v1\"\n"),
        "listener[0].proxy_protocol",
        "neither off nor v2",
    );
    told(&format!("{GOOD}{listener}proxy_protocol = \"v2\"\n"), "trusted_proxies", "is empty");
    told(&format!("{GOOD}{listener}tls = {{ acme = true }}\n"), "listener", "there is no [acme]");
    told(
        &format!("{GOOD}{listener}tls = {{ certificate_file = \"a\" }}\n"),
        "listener[0].tls.key_file",
        "is missing",
    );
    told(&format!("{GOOD}{listener}tls = []\n"), "listener[0].tls", "names no certificate");
    told(&format!("{GOOD}\n[acme]\nterms_of_service_agreed = true\n"), "acme", "of no use");
    told(
        &format!("{GOOD}\n[acme]\nterms_of_service_agreed = false\n"),
        "acme.terms_of_service_agreed",
        "is not true",
    );
    let eab = "\n[acme]\nterms_of_service_agreed = true\neab_key_id = \"x\"\n";
    told(&format!("{GOOD}{eab}"), "acme.eab_key_id", "only together");
    told(
        &GOOD.replace("public_url", "pages_url = \"https://id.example.com\"\npublic_url"),
        "pages_url",
        "another scheme",
    );
    told(&format!("{GOOD}{}", listener.replace("127.0.0.1", "0.0.0.0")), "listener", "is not loopback only");
}

#[test]
fn a_key_service_is_told_what_it_knows_and_over_https() {
    let with = |lines: &str| {
        let rest = GOOD.replace("master_key_file = \"master.key\"\n", "");
        format!("{rest}\n[master_key]\nkey = \"k\"\n{lines}")
    };
    let vault = "service = \"vault\"\ntoken_file = \"t\"\n";
    for (lines, expected) in [
        ("service = \"aws-kms\"", "master_key.region"),
        ("service = \"aws-kms\"\nregion = \"r\"\nendpoint = \"http://kms.example\"", "master_key.endpoint"),
        (
            "service = \"aws-kms\"\nregion = \"r\"\nendpoint = \"https://kms.example/x\"",
            "master_key.endpoint",
        ),
        ("service = \"aws-kms\"\nregion = \"r\"\nrole_id = \"x\"", "master_key.role_id"),
        ("service = \"google-kms\"\nregion = \"r\"", "master_key.region"),
        (vault, "master_key.endpoint"),
        (&format!("{vault}endpoint = \"http://vault.example:8200\""), "master_key.endpoint"),
        (&format!("{vault}endpoint = \"https://vault.example?x=y\""), "master_key.endpoint"),
        ("service = \"keychain\"", "master_key.service"),
    ] {
        let found = mistakes(&with(lines));
        assert!(found.len() == 1 && found[0].1 == expected, "{lines}: {found:?}");
    }
    for lines in [
        "service = \"aws-kms\"\nregion = \"r\"",
        "service = \"google-kms\"",
        &format!("{vault}endpoint = \"http://127.0.0.1:8200\""),
        &format!("{vault}endpoint = \"https://vault.example:8200\""),
    ] {
        drop(parse(&with(lines)).expect("this configuration is good"));
    }
}

/// P-23. Were it let through, every sign-in would be answered by the former issuer, and refused by the client for it.
#[test]
fn a_former_public_url_is_no_place_of_the_present_house() {
    let former = |url: &str| {
        format!("{GOOD}[[former_public_url]]\nurl = \"{url}\"\naccepted_until = \"2999-12-31\"\n")
    };
    assert!(parse(&former("http://127.0.0.1:8080")).is_ok());
    let found = mistakes(&former("http://localhost:8080"));
    assert!(found.len() == 1 && found[0].2.contains("the present `public_url`"), "{found:?}");
    let pages = former("http://127.0.0.1:8080").replace(
        "public_url = \"http://localhost",
        "pages_url = \"http://127.0.0.1:8080\"\npublic_url = \"http://localhost",
    );
    let found = mistakes(&pages);
    assert!(found.len() == 1 && found[0].2.contains("cannot answer for both"), "{found:?}");
}

#[test]
fn a_network_of_ipv4_is_one_in_either_spelling() {
    let text = GOOD.replace(
        "master_key_file",
        "trusted_proxies = [\"::ffff:10.0.0.0/104\", \"10.0.0.0/8\", \"::ffff:0:0/95\", \"2001:db8::/32\"]\nmaster_key_file",
    );
    let shown: Vec<String> =
        parse(&text).unwrap().house.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown[..2], ["10.0.0.0/8", "10.0.0.0/8"]);
    assert!(shown[2].contains(':') && shown[3].contains(':'), "{shown:?}");
}

#[test]
fn an_mcp_server_says_how_it_is_reached_and_the_proxy_is_for_all() {
    let text = GOOD.replace("http://127.0.0.1:9000/mcp", "https://mcp.inside.example/mcp")
        + "client_certificate_file = \"c.pem\"\nclient_key_file = \"c.key\"\ntls_server_name = \"10.0.0.7\"\n\
           http2 = \"off\"\n[outbound_proxy]\nurl = \"http://proxy.example:3128\"\nusername = \"u\"\n\
           password_env = \"P\"\nno_proxy = [\"inside.example\", \".a.b\", \"10.0.0.0/8\", \"::1\"]\n";
    let config = parse(&text).expect("this configuration is good");
    assert_eq!(config.mcp_servers[0].settings.http2, Http2::Off);
    assert_eq!(config.mcp_servers[0].outbound_proxy, OutboundProxyChoice::Inherited);
    assert_eq!(config.outbound_proxy.expect("it is there").settings.no_proxy.len(), 4);
    let off = parse(&text.replace("http2", "outbound_proxy = \"off\"\nhttp2")).expect("good");
    assert_eq!(off.mcp_servers[0].outbound_proxy, OutboundProxyChoice::Off);
}

#[test]
fn what_is_told_of_the_way_outward_is_used_or_it_is_a_mistake() {
    let server = |line: &str| format!("{GOOD}{line}\n");
    let tls = |line: &str| server(line).replace("http://127.0.0.1:9000", "https://127.0.0.1:9000");
    let proxy = |lines: &str| format!("{GOOD}[outbound_proxy]\n{lines}\n");
    for (text, key) in [
        (
            server("client_certificate_file = \"c\"\nclient_key_file = \"k\""),
            "mcp_server[0].client_certificate_file",
        ),
        (tls("client_certificate_file = \"c\""), "mcp_server[0].client_certificate_file"),
        (tls("client_key_file = \"k\""), "mcp_server[0].client_key_file"),
        (server("tls_server_name = \"a.example\""), "mcp_server[0].tls_server_name"),
        (tls("tls_server_name = \"not a name\""), "mcp_server[0].tls_server_name"),
        (tls("http2 = \"prior-knowledge\""), "mcp_server[0].http2"),
        (server("http2 = \"h3\""), "mcp_server[0].http2"),
        (server("outbound_proxy = \"http://p:1\""), "mcp_server[0].outbound_proxy"),
        (server("outbound_proxy = {}"), "mcp_server[0].outbound_proxy.url"),
        (proxy(""), "outbound_proxy.url"),
        (proxy("url = \"socks5://p:1\""), "outbound_proxy.url"),
        (proxy("url = \"http://u:secret@p:1\""), "outbound_proxy.url"),
        (proxy("url = \"http://p:1/path\""), "outbound_proxy.url"),
        (proxy("url = \"http://p:1\"\nusername = \"u\""), "outbound_proxy.username"),
        (proxy("url = \"http://p:1\"\npassword_file = \"f\""), "outbound_proxy.username"),
        (proxy("url = \"http://p:1\"\nusername = \"a:b\"\npassword_file = \"f\""), "outbound_proxy.username"),
        (proxy("url = \"http://p:1\"\nno_proxy = [\"a.example:443\"]"), "outbound_proxy.no_proxy"),
        (proxy("url = \"http://p:1\"\nno_proxy = [\"*\"]"), "outbound_proxy.no_proxy"),
        (proxy("url = \"http://p:1\"\nno_proxy = [\"\"]"), "outbound_proxy.no_proxy"),
    ] {
        let found = mistakes(&text);
        assert_eq!(
            found.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>(),
            [key],
            "{text}: {found:?}"
        );
        assert!(!format!("{found:?}").contains("secret"));
    }
    let good = server("http2 = \"prior-knowledge\"");
    assert_eq!(parse(&good).expect("good").mcp_servers[0].settings.http2, Http2::PriorKnowledge);
}

#[test]
fn the_keys_of_a_client_are_at_one_place_and_nobody_on_the_way_can_exchange_them() {
    let client = |lines: &str| format!("{GOOD}[[client]]\nclient_id = \"keyed\"\n{lines}\n");
    let uri = "redirect_uris = [\"https://a.example/cb\"]\njwks_uri = ";
    for (lines, key) in [
        (format!("{uri}\"http://a.example/jwks\""), "client[0].jwks_uri"),
        (format!("{uri}\"a.example/jwks\""), "client[0].jwks_uri"),
        (format!("{uri}\"https://a.example/jwks\"\njwks_file = \"f\""), "client[0].jwks_file"),
        (format!("{uri}\"https://a.example/jwks\"\nsecret_env = \"S\""), "client[0].jwks_file"),
    ] {
        let found = mistakes(&client(&lines));
        let keys: Vec<_> = found.iter().map(|(_, key, _)| key.as_str()).collect();
        assert_eq!(keys, [key], "{lines}: {found:?}");
    }
    for url in ["https://a.example/jwks", "http://127.0.0.1:9/jwks"] {
        assert!(parse(&client(&format!("{uri}\"{url}\""))).unwrap().pre_registered[0].is_confidential());
    }
}

const MACHINES: &str = r#"
[[client]]
client_id = "runner"
secret_env = "RUNNER"
[[client]]
client_id = "public"
redirect_uris = ["https://runner.example.com/callback"]
[[service_account]]
name = "ci"
title = "Builds"
clients = ["runner"]
[[service_account]]
name = "backup"
"#;

#[test]
fn an_mcp_server_admits_the_service_accounts_that_it_names_and_their_scopes() {
    let access = |list: &str| {
        let text = GOOD.replace("[\"group:engineering\"]", list) + MACHINES;
        parse(&text).map(|config| config.mcp_servers[0].access.clone())
    };
    let account = |name: &str, scopes: &[&str]| AdmittedAccountConfig {
        name: name.to_owned(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
    };
    let groups = |names: &[&str]| PeopleConfig::Groups(names.iter().map(|&name| name.to_owned()).collect());
    for (list, people, service_accounts) in [
        ("[\"service-account:ci\"]", groups(&[]), vec![account("ci", &[])]),
        (
            "[\"group:a\", \"service-account:ci:read\", \"service-account:backup\"]",
            groups(&["a"]),
            vec![account("ci", &["read"]), account("backup", &[])],
        ),
        (
            "[\"everyone who may log in\", \"service-account:ci:write\"]",
            PeopleConfig::Everyone,
            vec![account("ci", &["read", "write"])],
        ),
        (
            "[\"service-account:ci:read\", \"service-account:ci:write\"]",
            groups(&[]),
            vec![account("ci", &["read", "write"])],
        ),
        // A group may be called as it likes: it is a group.
        ("[\"group:service-account:ci\"]", groups(&["service-account:ci"]), Vec::new()),
    ] {
        assert_eq!(
            access(list).expect(list),
            AccessConfig { people, service_accounts, permits: false },
            "{list}"
        );
    }
    for wrong in [
        "[\"service-account:\"]",
        "[\"service-account:ci:admin\"]",
        "[\"service-account:ci:\"]",
        "[\"service-account:ci\", \"service-account:ci:read\"]",
        "[\"service-account:gone\"]",
        "[\"Service-Account:ci\"]",
        "\"service-account:ci\"",
    ] {
        access(wrong).expect_err(wrong);
    }
}

#[test]
fn a_service_account_has_confidential_clients_of_its_own_and_no_identity_provider_is_called_so() {
    let whole = format!("{GOOD}{MACHINES}");
    assert_eq!(parse(&whole).expect("good").service_accounts[1].title(), "backup");
    for (from, to, key) in [
        ("clients = [\"runner\"]", "clients = [\"public\"]", "service_account"),
        ("clients = [\"runner\"]", "clients = [\"gone\"]", "service_account"),
        ("name = \"backup\"", "name = \"backup\"\nclients = [\"runner\"]", "service_account"),
        ("name = \"backup\"", "name = \"ci\"", "service_account"),
        ("secret_env", "redirect_uris = [\"https://a.example/cb\"]\nsecret_env", "client"),
        ("redirect_uris = [\"https://runner.example.com/callback\"]\n", "", "client"),
        ("id = \"development\"", "id = \"service-account\"", "identity_provider[0].id"),
        ("\"public\"", "\"01890a5d-ac96-774b-bcce-b302099a8057\"", "client[1].client_id"),
    ] {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole);
        let found = mistakes(&text);
        assert!(found.iter().any(|(_, at, _)| at == key), "{from} -> {to}: {found:?}");
    }
}

#[test]
fn a_credential_is_of_one_form_and_whole() {
    let with = |more: &str| GOOD.replacen("[[mcp_server]]\n", &format!("[[mcp_server]]\n{more}\n"), 1);
    let table = |keys: &str| format!("\n[mcp_server.fixed]\n{keys}\n");
    let server = |text: &str| parse(text).expect(text).mcp_servers.remove(0);
    let sent = |more: &str| server(&with(more)).is_sent_an_assertion();
    assert!(sent("") && sent("credential = \"assertion\"") && !sent("credential = \"none\""));
    let fixed = |more: &str, keys: &str| {
        format!("{}{}", with(&format!("credential = \"fixed\"\n{more}")), table(keys))
    };
    let whole = server(&fixed("assertion = true", "value_env = \"KEY\""));
    assert!(whole.is_sent_an_assertion());
    assert_eq!(whole.fixed.expect("there").settings.header, "Authorization");
    let bare = server(&fixed("", "value_env = \"KEY\"\nheader = \"X-Key\"\nscheme = \"off\""));
    assert!(!bare.is_sent_an_assertion());
    assert_eq!(bare.fixed.expect("there").scheme(), Some(""));
    for (text, key) in [
        (with("credential = \"vault\""), "mcp_server[0].credential"),
        (with("credential = \"fixed\""), "mcp_server[0].credential"),
        (format!("{GOOD}\n[mcp_server.connection]\n"), "mcp_server[0].connection"),
        (with("assertion = false"), "mcp_server[0].assertion"),
        (format!("{GOOD}{}", table("value_env = \"KEY\"")), "mcp_server[0].fixed"),
        (fixed("", ""), "mcp_server[0].fixed.value_file"),
        (fixed("", "value = \"secret\"\nvalue_env = \"KEY\""), "mcp_server[0].fixed.value"),
        (fixed("", "value_env = \"KEY\"\nheader = \"Host\""), "mcp_server[0].fixed.header"),
        (fixed("", "value_env = \"KEY\"\nheader = \"a b\""), "mcp_server[0].fixed.header"),
        (fixed("", "value_env = \"KEY\"\nscheme = \"a b\""), "mcp_server[0].fixed.scheme"),
        (fixed("", "value_env = \"KEY\"\nmax_age = \"1h\""), "mcp_server[0].fixed.max_age"),
    ] {
        let found = mistakes(&text);
        assert!(found.iter().any(|(_, at, _)| at == key), "{text}: {found:?}");
    }
}

#[test]
fn a_credential_that_is_obtained_has_its_table_and_whoever_gives_it_is_named() {
    let with = |more: &str| GOOD.replacen("[[mcp_server]]\n", &format!("[[mcp_server]]\n{more}\n"), 1);
    let server = |text: &str| parse(text).expect(text).mcp_servers.remove(0);
    let exchange = |more: &str| {
        let keys =
            "authorization_server = \"https://sts.example\"\nclient_id = \"us\"\nclient_secret_env = \"S\"\n";
        format!("{}\n[mcp_server.exchange]\n{keys}{more}\n", with("credential = \"exchange\""))
    };
    let id_jag = |more: &str| {
        let whole = exchange(more).replace("credential = \"exchange\"", "credential = \"id_jag\"");
        whole.replace("[mcp_server.exchange]", "[mcp_server.id_jag]")
    };
    assert!(server(&id_jag("tell_address = true")).id_jag.expect("there").settings.tell_address);
    let minted = |more: &str| {
        let keys = "app_id = \"Iv1\"\ninstallation_id = 7\nprivate_key_env = \"K\"\n";
        format!("{}\n[mcp_server.minted]\n{keys}{more}\n", with("credential = \"minted\""))
    };
    let whole = server(&minted("permissions = [\"issues:write\"]")).minted.expect("there");
    assert_eq!(whole.permissions(), [("issues".to_owned(), "write".to_owned())]);
    assert!(!server(&exchange("resource = \"off\"\naudience = \"notes\"")).is_sent_an_assertion());
    let by_key =
        exchange("client_authentication = \"private_key_jwt\"").replace("client_secret_env = \"S\"\n", "");
    assert!(server(&by_key).exchange.expect("there").client_secret.is_none());
    for (text, key) in [
        (with("credential = \"exchange\""), "mcp_server[0].credential"),
        (format!("{GOOD}\n[mcp_server.exchange]\n"), "mcp_server[0].exchange"),
        (exchange("").replace("client_id = \"us\"\n", ""), "mcp_server[0].exchange.client_id"),
        (exchange("").replace("https://sts", "http://sts"), "mcp_server[0].exchange.authorization_server"),
        (exchange("token_endpoint = \"http://sts.example/\""), "mcp_server[0].exchange.token_endpoint"),
        (exchange("client_authentication = \"none\""), "mcp_server[0].exchange.client_authentication"),
        (
            exchange("client_authentication = \"private_key_jwt\""),
            "mcp_server[0].exchange.client_authentication",
        ),
        (
            id_jag("assertion_audience = \"https://sts.example/token\""),
            "mcp_server[0].id_jag.assertion_audience",
        ),
        (with("credential = \"id_jag\""), "mcp_server[0].credential"),
        (id_jag("identity_provider = \"x\"\ntell_address = true"), "mcp_server[0].id_jag.tell_address"),
        (
            id_jag("identity_provider = \"x\"\ntoken_endpoint = \"https://a.example/t\""),
            "mcp_server[0].id_jag.token_endpoint",
        ),
        (with("credential = \"minted\""), "mcp_server[0].credential"),
        (minted("").replace("app_id = \"Iv1\"\n", ""), "mcp_server[0].minted.app_id"),
        (minted("permissions = [\"issues\"]"), "mcp_server[0].minted.permissions"),
        (minted("permissions = [\"issues:all\"]"), "mcp_server[0].minted.permissions"),
        (minted("kind = \"mint\""), "mcp_server[0].minted.kind"),
        (minted("api_url = \"http://api.example\""), "mcp_server[0].minted.api_url"),
        (exchange("resource = \"notes\""), "mcp_server[0].exchange.resource"),
        (
            exchange("").replace("client_secret_env = \"S\"\n", ""),
            "mcp_server[0].exchange.client_secret_file",
        ),
    ] {
        let found = mistakes(&text);
        assert!(found.iter().any(|(_, at, _)| at == key), "{text}: {found:?}");
    }
}

#[test]
fn limits_of_an_mcp_server_limit_something_and_a_breaker_is_there_without_a_word() {
    let server = |more: &str| parse(&format!("{GOOD}{more}")).expect(more).mcp_servers.remove(0);
    let usual = resource_server::BreakerSettings::default();
    assert_eq!(server("").breaker.settings(), Some(usual));
    assert_eq!(server("[mcp_server.breaker]\nfailures = 0\n").breaker.settings(), None);
    let slow = server("[mcp_server.breaker]\npause = \"1m\"\n").breaker.settings().expect("on");
    assert_eq!(slow, resource_server::BreakerSettings { pause: std::time::Duration::from_secs(60), ..usual });
    let limits = server(
        "[[mcp_server.limits]]\ntool = \"search\"\nper = \"person\"\ncalls_per_minute = 6\n\
         [[mcp_server.limits]]\nbytes_per_hour = 10_000_000_000\n",
    )
    .limits;
    let limits: Vec<_> = limits.iter().map(super::mcp_server_limits::ServerLimit::limit).collect();
    assert_eq!((limits[0].tool.as_deref(), limits[0].per), (Some("search"), resource_server::Per::Person));
    assert_eq!(limits[0].calls_per_minute, std::num::NonZeroU32::new(6));
    assert_eq!(limits[1].per, resource_server::Per::Server);
    assert_eq!(limits[1].bytes_per_hour, std::num::NonZeroU64::new(10_000_000_000));
    for (text, key) in [
        ("[[mcp_server.limits]]\n", "mcp_server[0].limits[0].calls_per_minute"),
        ("[[mcp_server.limits]]\ntool = \"x\"\n", "mcp_server[0].limits[0].calls_per_minute"),
        ("[[mcp_server.limits]]\ncalls_at_once = 1\n", "mcp_server[0].limits[0].calls_at_once"),
        ("[[mcp_server.limits]]\ncalls_per_minute = 0\n", "mcp_server[0].limits[0].calls_per_minute"),
        ("[[mcp_server.limits]]\ncalls_in_progress = 1\nper = \"tool\"\n", "mcp_server[0].limits[0].per"),
        ("[mcp_server.limits]\ncalls_in_progress = 1\n", "mcp_server[0].limits"),
        ("[mcp_server.breaker]\nopen = true\n", "mcp_server[0].breaker.open"),
        ("[mcp_server.breaker]\npause = \"0s\"\n", "mcp_server[0].breaker.pause"),
    ] {
        let found = mistakes(&format!("{GOOD}{text}"));
        assert!(found.iter().any(|(_, at, _)| at == key), "{text}: {found:?}");
    }
}

#[test]
fn arguments_are_kept_of_mcp_servers_that_there_are() {
    let kept = |server: &str| {
        format!("{GOOD}[[audit.arguments]]\nserver = \"{server}\"\ntool = \"a\"\nnames = [\"b\"]\n")
    };
    assert!(parse(&kept("notes")).is_ok());
    let found = mistakes(&kept("nosuch"));
    assert!(
        found.iter().any(|(_, key, why)| key == "audit" && why.contains("not in this file")),
        "{found:?}"
    );
}
