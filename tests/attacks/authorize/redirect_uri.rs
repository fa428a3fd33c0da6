//! Who asks, and where the answer would go: rows AZ-01 to AZ-11. Until both are right everything is a page of ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use http::StatusCode;
use serde_json::json;
use testkit::client::{Pkce, TestClient, parameter};
use testkit::outcomes::{reg400, tok400};

use crate::attacks::scene::{CANARY, REMOTE, Scene, Set, WITH_QUERY, Without, right};

/// `client` with another redirect URI in its requests.
fn called_back_at(client: &TestClient, redirect_uri: &str) -> TestClient {
    TestClient { redirect_uri: redirect_uri.to_owned(), ..client.clone() }
}

async fn registered(scene: &Scene, redirect_uris: &[&str]) -> TestClient {
    let metadata = json!({"redirect_uris": redirect_uris, "token_endpoint_auth_method": "none"});
    TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap()
}

/// Another character in one place of a text.
fn changed(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// AS-110.
#[tokio::test]
async fn az_01_an_unknown_client_gets_a_page_and_the_log_says_who_asked() {
    let scene = Scene::new().await;
    let good = scene.native.client_id.clone();
    let last = good.len() - 1;
    let mut ids = vec![
        "dcr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "dcr_".to_owned(),
        "known-publi".to_owned(),
        "KNOWN-PUBLIC".to_owned(),
        " known-public".to_owned(),
        "known-public\n".to_owned(),
        "known-public\0".to_owned(),
        "known-public#".to_owned(),
        "https://client.example/id.json".to_owned(),
        "0190b2c4-0000-7000-8000-000000000000".to_owned(),
        "../../etc/passwd".to_owned(),
        "' OR '1'='1".to_owned(),
        "\u{ff44}cr_".to_owned(),
        "*".to_owned(),
        "x".repeat(3000),
        good.to_uppercase(),
        good.trim_start_matches("dcr_").to_owned(),
        format!("{good}="),
        format!("{good}A"),
        format!("{good}\0"),
        format!("{good} {good}"),
        good.get(..last).unwrap().to_owned(),
    ];
    // Version, key, time, chance, length, metadata, MAC.
    ids.extend([4, 6, 12, 20, 36, 42, 60, last - 20].map(|at| changed(&good, at)));
    for id in &ids {
        for redirect_uri in [REMOTE, "http://127.0.0.1:51234/callback"] {
            let client =
                called_back_at(&TestClient { client_id: id.clone(), ..scene.native.clone() }, redirect_uri);
            scene.page400(&scene.ask(&client, &[])).await;
        }
    }
    let said =
        scene.log.lines_with(&["refused", "reason=\"client_unknown\"", "address=127.0.0.1", "reference="]);
    // A URL is no unknown client: it has no document that can be believed (attacks.md, CM rows).
    let unknown = ids.iter().filter(|id| !id.starts_with("https://")).count();
    assert_eq!(said.len(), unknown * 2, "{}", scene.log.text());
    scene.close().await;
}

/// AS-029, AS-110.
#[tokio::test]
async fn az_02_a_redirect_uri_that_was_not_registered_gets_a_page_whatever_else_is_wrong() {
    let scene = Scene::new().await;
    let evil = "https://attacker.example/c4n4ry";
    let long = "s".repeat(9000);
    let also = [
        Without("response_type"),
        Without("code_challenge"),
        Without("state"),
        Without("resource"),
        Set("response_type", "token"),
        Set("response_mode", "fragment"),
        Set("scope", "\"c4n4ry"),
        Set("resource", "https://attacker.example/mcp"),
        Set("request_uri", "http://127.0.0.1:1/"),
        Set("request", "e30.e30."),
        Set("prompt", "none"),
        Set("max_age", "-1"),
        Set("state", &long),
    ];
    scene.page400_for_all(&[Set("redirect_uri", evil)]).await;
    for change in also {
        scene.page400_for_all(&[Set("redirect_uri", evil), change]).await;
    }
    scene.page400_for_all(&[&[Set("redirect_uri", evil)], also.as_slice()].concat()).await;
    scene.close().await;
}

const ONE_BYTE_OFF: &[&str] = &[
    "https://client.example/cb/",
    "https://client.example//cb",
    "https://client.example/c",
    "https://client.example/cbb",
    "https://client.example",
    "https://client.example/",
    "https://CLIENT.example/cb",
    "https://client.example/CB",
    "HTTPS://client.example/cb",
    "http://client.example/cb",
    "https://client.example:443/cb",
    "https://client.example:/cb",
    "https://client.example:8443/cb",
    "https://client.example./cb",
    "https://client.example%2Fcb",
    "https://client.example/%63b",
    "https://client.example/c%62",
    "https://client.example/cb?",
    "https://client.example/cb#",
    "https://client.example/cb?x=1",
    "https://client.example/cb#x",
    "https://client.example/cb;x=1",
    "https://client.example/x/../cb",
    "https://client.example/./cb",
    "https://client.example/cb/%2e%2e/evil",
    "https://client.example/cb/..",
    "https://client.example/cb%00",
    "https://client.example/cb%20",
    "https://client.example/cb ",
    " https://client.example/cb",
    "https://client.example/cb\n",
    "https://client.example/cb\0",
    "https://client.example\\cb",
    "https:/client.example/cb",
    "https://client.example/cb,https://client.example/cb",
    "https://client.example/cb https://client.example/cb",
];

/// AS-030, AS-234.
#[tokio::test]
async fn az_03_one_byte_variants_of_a_registered_uri_are_refused() {
    let scene = Scene::new().await;
    let with_query = scene.house.known_client("known-query").unwrap();
    for &variant in ONE_BYTE_OFF {
        for client in [&scene.known, &scene.remote] {
            scene.page400(&scene.ask(client, &[Set("redirect_uri", variant)])).await;
        }
    }
    for variant in [
        REMOTE,
        "https://client.example/cb?",
        "https://client.example/cb?a=1",
        "https://client.example/cb?b=2&a=1",
        "https://client.example/cb?a=1&b=2&",
        "https://client.example/cb?a=1&b=2&c=3",
        "https://client.example/cb?a=1&&b=2",
        "https://client.example/cb?a=1&b=%32",
        "https://client.example/cb?a=1;b=2",
        "https://client.example/cb?A=1&b=2",
    ] {
        scene.page400(&scene.ask(&with_query, &[Set("redirect_uri", variant)])).await;
    }
    assert_eq!(
        scene.get(&scene.ask(&with_query, &[Set("redirect_uri", WITH_QUERY)])).await.status,
        StatusCode::OK
    );
    scene.close().await;
}

#[tokio::test]
async fn az_04_another_authority_that_only_reads_like_the_registered_one_is_refused() {
    let scene = Scene::new().await;
    for variant in [
        "https://client.example@evil.example/",
        "https://client.example@evil.example/cb",
        "https://client.example%40evil.example/cb",
        "https://client.example\\@evil.example/cb",
        "https://client.example:443@evil.example/cb",
        "https://client.example:pass@evil.example/cb",
        "https://evil.example#@client.example/cb",
        "https://evil.example/?@client.example/cb",
        "https://evil.example\\client.example/cb",
        "https://evil.example/client.example/cb",
        "https://user@client.example/cb",
        "https://@client.example/cb",
        "https://client.example/cb@evil.example",
        "https:client.example/cb",
        "https:///client.example/cb",
        "//client.example/cb",
        "/cb",
        "https://client.example\u{ff0e}evil.example/cb",
        "https://client.example\u{2044}cb",
        "https://client\u{3002}example/cb",
        "https://cl\u{456}ent.example/cb",
        "https://xn--clent-r6a.example/cb",
        "https://client.example\t/cb",
        "javascript:alert(1)//https://client.example/cb",
        "data:text/html,c4n4ry",
    ] {
        for client in [&scene.known, &scene.remote] {
            scene.page400(&scene.ask(client, &[Set("redirect_uri", variant)])).await;
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn az_05_a_host_that_contains_the_registered_one_is_refused() {
    let scene = Scene::new().await;
    for variant in [
        "https://client.example.evil.example/cb",
        "https://clientXexample/cb",
        "https://evil-client.example/cb",
        "https://evil.client.example/cb",
        "https://client.example.com/cb",
        "https://client.exampl/cb",
        "https://lient.example/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1.nip.io/callback",
    ] {
        scene.page400_for_all(&[Set("redirect_uri", variant)]).await;
        let evil = json!({"redirect_uris": [variant], "token_endpoint_auth_method": "none"});
        if variant.starts_with("http:") {
            right(reg400(&scene.register(evil.to_string()).await, "invalid_redirect_uri"), variant);
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn az_07_control_bytes_in_a_redirect_uri_are_refused_at_authorize_and_register() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    for byte in (0x00..=0x1F).chain(0x7F..=0x9F_u8) {
        let character = char::from(byte);
        for uri in [
            format!("https://client{character}.example/cb"),
            format!("https://client.example/c{character}b"),
            format!("https://client.example/cb{character}"),
            format!("https://client.example/cb?x={character}y"),
            format!("{character}https://client.example/cb"),
        ] {
            scene.page400(&scene.ask(&scene.known, &[Set("redirect_uri", &uri)])).await;
            let body = json!({"redirect_uris": [uri], "token_endpoint_auth_method": "none"});
            right(
                reg400(&scene.register(body.to_string()).await, "invalid_redirect_uri"),
                &format!("{uri:?}"),
            );
        }
        // The lone byte, escaped in the query and as it is in the body.
        let url = scene.ask(&scene.known, &[Without("redirect_uri")]);
        scene.page400(&format!("{url}&redirect_uri=https%3A%2F%2Fclient.example%2Fcb%{byte:02X}")).await;
        let body = [br#"{"redirect_uris":["https://client.example/cb"#.as_slice(), &[byte], b"\"]}"].concat();
        assert_eq!(scene.register(body).await.status, StatusCode::BAD_REQUEST, "{byte:02X}");
        if byte.is_ascii() {
            let body = json!({"redirect_uris": [format!("https://client.example/cb%{byte:02x}")]});
            right(
                reg400(&scene.register(body.to_string()).await, "invalid_redirect_uri"),
                &format!("%{byte:02x}"),
            );
        }
    }
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

/// AS-031.
#[tokio::test]
async fn az_08_the_port_of_a_loopback_client_is_free_at_authorize_and_then_fixed() {
    let scene = Scene::new().await;
    let registered = registered(&scene, &["http://127.0.0.1/cb"]).await;
    let known =
        called_back_at(&scene.house.known_client("known-native").unwrap(), "http://127.0.0.1/callback");
    for client in [registered, known] {
        let path = client.redirect_uri.trim_start_matches("http://127.0.0.1").to_owned();
        let on_port = |port: u16| called_back_at(&client, &format!("http://127.0.0.1:{port}{path}"));
        let pkce = Pkce::new("loopback");
        let resource = scene.house.resource("notes");
        let asking = on_port(51234);
        let code = asking
            .obtain_code(&mut scene.house.browser(), "alice", &resource, &pkce.challenge)
            .await
            .unwrap();
        assert_eq!(asking.redeem(&code, &pkce.verifier).await.unwrap().status, StatusCode::OK);

        let code = asking
            .obtain_code(&mut scene.house.browser(), "alice", &resource, &pkce.challenge)
            .await
            .unwrap();
        for other in [51235, 80, 1] {
            right(
                tok400(&on_port(other).redeem(&code, &pkce.verifier).await.unwrap(), "invalid_grant"),
                "another port",
            );
        }
        let code = asking
            .obtain_code(&mut scene.house.browser(), "alice", &resource, &pkce.challenge)
            .await
            .unwrap();
        right(tok400(&client.redeem(&code, &pkce.verifier).await.unwrap(), "invalid_grant"), "no port");
        // NOCONSUME.
        assert_eq!(asking.redeem(&code, &pkce.verifier).await.unwrap().status, StatusCode::OK);
    }
    scene.close().await;
}

#[tokio::test]
async fn az_09_lookalikes_of_the_loopback_address_are_refused() {
    let scene = Scene::new().await;
    let registered = registered(&scene, &["http://127.0.0.1/callback"]).await;
    let known = scene.house.known_client("known-native").unwrap();
    for variant in [
        "http://localhost:51234/callback",
        "http://LOCALHOST:51234/callback",
        "http://[::1]:51234/callback",
        "http://[::ffff:127.0.0.1]:51234/callback",
        "http://127.0.0.2:51234/callback",
        "http://127.1:51234/callback",
        "http://127.0.1:51234/callback",
        "http://0x7f000001:51234/callback",
        "http://0x7f.0.0.1:51234/callback",
        "http://0177.0.0.1:51234/callback",
        "http://2130706433:51234/callback",
        "http://0.0.0.0:51234/callback",
        "http://127.0.0.1.:51234/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1:51234@evil.example/callback",
        "http://127.0.0.1:51234:80/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:051234/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:51234x/callback",
        "http://127.0.0.1:51234\\callback",
        "http://127.0.0.1:51234%2fcallback",
        "http://127.0.0.1:51234",
        "http://127.0.0.1:51234/",
        "http://127.0.0.1:51234/other",
        "http://127.0.0.1:51234/callback/",
        "http://127.0.0.1:51234/callback?x=1",
        "http://127.0.0.1:51234/callback?",
        "http://127.0.0.1:51234/callback#",
        "http://127.0.0.1:51234/Callback",
        "http://\u{ff11}27.0.0.1:51234/callback",
        "https://127.0.0.1:51234/callback",
        "HTTP://127.0.0.1:51234/callback",
        "ws://127.0.0.1:51234/callback",
    ] {
        for client in [&registered, &known] {
            scene.page400(&scene.ask(client, &[Set("redirect_uri", variant)])).await;
        }
    }
    for good in
        ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback"]
    {
        assert_eq!(
            scene.get(&scene.ask(&known, &[Set("redirect_uri", good)])).await.status,
            StatusCode::OK,
            "{good}"
        );
    }
    scene.close().await;
}

/// There is no stored record that could be stale: a registration is its `client_id`, and the rule is asked again each
/// time one is opened (protocol: `a_scheme_that_is_no_longer_allowed_ends_its_registrations`).
///
/// AS-097.
#[tokio::test]
async fn az_10_a_web_application_is_not_called_back_on_loopback() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let body = |uris: &[&str], kind: &str| {
        json!({"redirect_uris": uris, "application_type": kind, "token_endpoint_auth_method": "none"})
            .to_string()
    };
    for local in [
        "http://localhost:1/cb",
        "http://127.0.0.1:1/cb",
        "http://[::1]:1/cb",
        "https://localhost/cb",
        "https://127.0.0.1/cb",
        "https://[::1]/cb",
        "https://app.localhost/cb",
        "cursor://anysphere.cursor-retrieval/oauth",
    ] {
        for uris in [vec![local], vec![REMOTE, local], vec![local, REMOTE]] {
            right(
                reg400(&scene.register(body(&uris, "web")).await, "invalid_redirect_uri"),
                &format!("{uris:?}"),
            );
        }
    }
    assert_eq!(scene.register(body(&["http://localhost:1/cb"], "native")).await.status, StatusCode::CREATED);
    let metadata =
        json!({"redirect_uris": [REMOTE], "application_type": "web", "token_endpoint_auth_method": "none"});
    let web = TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
    for local in ["http://localhost:1/cb", "http://127.0.0.1:1/cb", "https://localhost/cb"] {
        scene.page400(&scene.ask(&web, &[Set("redirect_uri", local)])).await;
    }
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

/// AS-111.
#[tokio::test]
async fn az_11_a_client_with_two_redirect_uris_must_name_one() {
    let mut plan = crate::attacks::scene::plan();
    plan.clients.push((
        "known-two",
        vec![REMOTE.to_owned(), "https://client.example/other".to_owned()],
        None,
    ));
    let scene = Scene::with(plan).await;
    let dynamic = registered(&scene, &[REMOTE, "http://127.0.0.1/cb"]).await;
    let known = scene.house.known_client("known-two").unwrap();
    for client in [&dynamic, &known] {
        for change in [Without("redirect_uri"), Set("redirect_uri", "")] {
            scene.page400(&scene.ask(client, &[change])).await;
            scene.page400(&scene.ask(client, &[change, Set("response_type", CANARY)])).await;
        }
        assert_eq!(scene.get(&scene.ask(client, &[])).await.status, StatusCode::OK);
    }
    // With one there is nothing to choose (OAuth 2.1, section 2.3.2).
    let url = scene
        .allowed(&mut scene.house.browser(), &scene.ask(&scene.native, &[Without("redirect_uri")]))
        .await;
    assert!(
        url.as_str().starts_with(&scene.native.redirect_uri) && parameter(&url, "code").is_some(),
        "{url}"
    );
    scene.close().await;
}

/// What comes back to our own pages would look like a request that the person began there, and the person is shown our
/// own host as the client's.
///
/// AS-118.
#[tokio::test]
async fn az_30_nobody_is_sent_back_into_our_own_house() {
    let scene = Scene::new().await;
    let (own, port) = (scene.house.issuer.clone(), scene.house.host());
    let port = port.rsplit(':').next().unwrap();
    for path in ["", "/", "/consent", "/oauth/authorize?x=y", "/login/callback/development", "/notes/mcp"] {
        let uri = format!("{own}{path}");
        for uri in [uri.clone(), uri.replace("localhost", "LOCALHOST")] {
            let body = json!({"redirect_uris": [REMOTE, uri], "token_endpoint_auth_method": "none"});
            let answer = scene.register(body.to_string()).await;
            right(reg400(&answer, "invalid_redirect_uri"), &uri);
        }
    }
    // The port of a loopback URI is free: any but ours.
    let client = registered(&scene, &["http://localhost/consent"]).await;
    scene
        .page400(&scene.ask(&called_back_at(&client, &format!("http://localhost:{port}/consent")), &[]))
        .await;
    let good = scene.ask(&called_back_at(&client, "http://localhost:1/consent"), &[]);
    assert_eq!(scene.get(&good).await.status, StatusCode::OK, "the control");
    scene.close().await;
}
