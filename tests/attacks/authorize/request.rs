//! The parameters of a request whose client and redirect URI are right: rows AZ-13 to AZ-25. What is wrong goes to the
//! client, never more than that, and nothing is kept.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::StatusCode;
use policy::Access;
use serde_json::json;
use testkit::client::{TestClient, parameter};
use testkit::house::Plan;
use testkit::http::{Answer, form};
use tokio::net::TcpListener;

use crate::attacks::scene::{Also, CANARY, STATE, Scene, Set, Without, is_login, page_of, plan};

/// POSTs one half of a request as the body, the other as the query.
async fn post(scene: &Scene, query: &[(String, String)], body: &[(String, String)]) -> Answer {
    let encode = |fields: &[(String, String)]| {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form(&fields)
    };
    let url = format!("{}?{}", scene.at("/oauth/authorize"), encode(query));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    scene.house.http.post(&url, &headers, encode(body)).await.unwrap()
}

fn named(fields: &[(String, String)], name: &str) -> Vec<(String, String)> {
    fields.iter().filter(|(field, _)| field == name).cloned().collect()
}

#[tokio::test]
async fn az_13_a_parameter_in_query_and_body_is_repeated_and_neither_half_wins() {
    let scene = Scene::new().await;
    for client in scene.clients() {
        let whole = scene.fields(client, &[Set("scope", "read"), Set("response_mode", "query")]);
        for (name, value) in &whole {
            for other in [value.as_str(), "other", ""] {
                let again = [(name.clone(), other.to_owned())];
                let before = scene.stored().await;
                // Either half may be the whole request.
                for answer in [post(&scene, &again, &whole).await, post(&scene, &whole, &again).await] {
                    let what = format!("{name}={other}");
                    let state = if name == "state" { None } else { Some(STATE) };
                    match (name.as_str(), other) {
                        ("client_id" | "redirect_uri", _) => scene.is_page400(&answer, &what),
                        // The one parameter that may be repeated (RFC 8707, section 2).
                        ("resource", "other") => {
                            scene.is_redir(client, &answer, ("invalid_target", state), &what)
                        }
                        ("resource", _) => assert_eq!(answer.status, StatusCode::OK, "{what}"),
                        _ => scene.is_redir(client, &answer, ("invalid_request", state), &what),
                    }
                }
                if name != "resource" {
                    assert_eq!(scene.stored().await, before, "{name}");
                }
            }
        }
        // Halves that do not overlap are one request.
        for (name, _) in &whole {
            let (part, rest): (Vec<_>, Vec<_>) = whole.iter().cloned().partition(|(field, _)| field == name);
            assert_eq!(post(&scene, &part, &rest).await.status, StatusCode::OK, "{name}");
            assert_eq!(post(&scene, &rest, &named(&whole, name)).await.status, StatusCode::OK, "{name}");
        }
    }
    scene.close().await;
}

/// AS-108.
#[tokio::test]
async fn az_13_a_parameter_that_is_repeated_in_one_half_has_no_value() {
    let scene = Scene::new().await;
    for (name, value) in
        scene.fields(&scene.known, &[Set("scope", "read"), Set("nonce", "n"), Set("ui_locales", "en")])
    {
        for other in [value.as_str(), "other", ""] {
            match name.as_str() {
                "client_id" | "redirect_uri" => {
                    for client in scene.clients() {
                        scene.page400(&scene.ask(client, &[Also(&name, other)])).await;
                    }
                }
                "resource" => {}
                "state" => scene.redir_with_state(&[Also("state", other)], "invalid_request", None).await,
                _ => scene.redir(&[Set(&name, &value), Also(&name, other)], "invalid_request").await,
            }
        }
    }
    scene.close().await;
}

/// AS-109, AS-116.
#[tokio::test]
async fn az_14_response_types_other_than_code_are_refused_and_nothing_comes_in_the_front_channel() {
    let scene = Scene::new().await;
    scene.redir(&[Without("response_type")], "invalid_request").await;
    scene.redir(&[Set("response_type", "")], "invalid_request").await;
    for kind in [
        "token",
        "id_token",
        "code token",
        "code id_token",
        "code id_token token",
        "none",
        "CODE",
        "Code",
        " code",
        "code ",
        "code code",
        "code,token",
        "code\0",
        "code\n",
        "c\u{3bf}de",
        "[\"code\"]",
        "device_code",
        "*",
    ] {
        scene.redir(&[Set("response_type", kind)], "unsupported_response_type").await;
    }
    scene.close().await;
}

#[tokio::test]
async fn az_16_response_modes_other_than_query_are_refused_in_the_query() {
    let scene = Scene::new().await;
    for mode in [
        "fragment",
        "form_post",
        "web_message",
        "jwt",
        "query.jwt",
        "fragment.jwt",
        "xyz",
        "QUERY",
        "query ",
        "query fragment",
        "query\0",
        "*",
    ] {
        scene.redir(&[Set("response_mode", mode)], "invalid_request").await;
    }
    for mode in ["query", ""] {
        let answer = scene.get(&scene.ask(&scene.known, &[Set("response_mode", mode)])).await;
        assert_eq!(answer.status, StatusCode::OK, "{mode}");
    }
    scene.close().await;
}

/// AS-112.
#[tokio::test]
async fn az_17_without_a_code_challenge_nobody_is_asked_for_anything() {
    let scene = Scene::new().await;
    let both = [Without("code_challenge"), Without("code_challenge_method")];
    for changes in [
        both.as_slice(),
        &both[..1],
        &[Set("code_challenge", "")],
        &[Set("Code_Challenge", &scene.pkce.challenge), both[0]],
    ] {
        scene.redir(changes, "invalid_request").await;
        // A secret takes nothing away from it (OAuth 2.1, section 7.5.1).
        let confidential = scene.house.known_client("known-confidential").unwrap();
        let answer = scene.get(&scene.ask(&confidential, changes)).await;
        scene.is_redir(&confidential, &answer, ("invalid_request", Some(STATE)), "confidential");
    }
    scene.close().await;
}

/// AS-113.
#[tokio::test]
async fn az_18_no_challenge_method_but_s256_is_taken_and_none_is_assumed() {
    let scene = Scene::new().await;
    scene.redir(&[Without("code_challenge_method")], "invalid_request").await;
    for method in [
        "",
        "plain",
        "PLAIN",
        "s256",
        "S512",
        "S256 ",
        " S256",
        "S256\0",
        "S256\n",
        "S256,plain",
        "S256 plain",
        "none",
        "null",
        "\u{ff33}256",
        "sha256",
        "[\"S256\"]",
    ] {
        scene.redir(&[Set("code_challenge_method", method)], "invalid_request").await;
    }
    scene.close().await;
}

#[tokio::test]
async fn az_19_a_challenge_that_no_s256_could_be_is_refused() {
    let scene = Scene::new().await;
    let good = scene.pkce.challenge.clone();
    let but = |ending: &str| format!("{}{ending}", &good[..43 - ending.len()]);
    for challenge in [
        "a".repeat(42),
        "a".repeat(44),
        "a".repeat(128),
        "a".repeat(129),
        "a".repeat(5000),
        format!("{good}="),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}\0"),
        but("="),
        but("+"),
        but("/"),
        but("."),
        but("~"),
        but(" "),
        but("\n"),
        but("\u{e9}"),
        but("\u{1f512}"),
        String::new(),
        "\u{ff41}".repeat(43),
    ] {
        scene.redir(&[Set("code_challenge", &challenge)], "invalid_request").await;
    }
    scene.close().await;
}

/// AS-156.
#[tokio::test]
async fn az_20_a_malformed_scope_is_refused_and_no_byte_of_it_comes_back() {
    let scene = Scene::new().await;
    let many = (0..10_000).map(|n| format!("s{n}")).collect::<Vec<_>>();
    let hundred_and_one = many[..101].join(" ");
    for scope in [
        "read \"c4n4ry\"",
        "read\"",
        "\"",
        "read\\write",
        "\\",
        "read\r\nSet-Cookie: c4n4ry=1",
        "read\nwrite",
        "read\rwrite",
        "read\0write",
        "\0",
        "read\twrite",
        "read  write",
        " read",
        "read ",
        " ",
        "read\u{a0}write",
        "read\u{2028}write",
        "r\u{e9}ad",
        "\u{1f512}",
        "read\u{7f}",
        "!",
        "c4n4ry",
        "READ",
        "read,write",
        "read+write",
        "*",
        "admin",
        &hundred_and_one,
        &many[..1000].join(" "),
    ] {
        scene.redir(&[Set("scope", scope)], "invalid_scope").await;
    }
    // 10 000 items are 58 890 bytes: they fit into a URL, and are refused as any others.
    scene.redir(&[Set("scope", &many.join(" "))], "invalid_scope").await;
    scene.close().await;
}

/// AS-161.
#[tokio::test]
async fn az_22_without_a_resource_the_default_is_meant_or_nothing() {
    let scene = Scene::new().await;
    scene.redir(&[Without("resource")], "invalid_target").await;
    scene.redir(&[Set("resource", "")], "invalid_target").await;
    scene.close().await;

    let scene = Scene::with(Plan { default_server: Some("notes"), ..plan() }).await;
    for change in [Without("resource"), Set("resource", ""), Also("resource", "")] {
        let url = scene.allowed(&mut scene.house.browser(), &scene.ask(&scene.native, &[change])).await;
        let answer =
            scene.native.redeem(&parameter(&url, "code").unwrap(), &scene.pkce.verifier).await.unwrap();
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], json!(scene.house.resource("notes")), "{claims}");
        assert_eq!(scene.house.echo("notes", &token).await.unwrap().status, StatusCode::OK);
        assert_eq!(scene.house.echo("ledger", &token).await.unwrap().status, StatusCode::UNAUTHORIZED);
    }
    scene.house.close().await.unwrap();
}

/// AS-157, AS-158, AS-163.
#[tokio::test]
async fn az_23_a_resource_that_is_not_one_of_ours_to_the_letter_is_refused() {
    let scene = Scene::new().await;
    let host = scene.house.host();
    let port = host.trim_start_matches("localhost:").to_owned();
    for resource in [
        format!("http://{host}/notes/mcp#x"),
        format!("http://{host}/notes/mcp#"),
        format!("http://{host}/notes/mcp?"),
        format!("http://{host}/notes/mcp?x=1"),
        format!("http://{host}/notes/mcp/"),
        format!("http://{host}//notes/mcp"),
        format!("http://{host}/notes//mcp"),
        format!("http://{host}/notes"),
        format!("http://{host}/"),
        format!("http://{host}"),
        format!("http://{host}/unknown/mcp"),
        format!("http://{host}/NOTES/mcp"),
        format!("http://{host}/notes/MCP"),
        format!("http://{host}/notes/x/../mcp"),
        format!("http://{host}/./notes/mcp"),
        format!("http://{host}/%2e/notes/mcp"),
        format!("http://{host}/x/%2e%2e/notes/mcp"),
        format!("http://{host}/n%6ftes/mcp"),
        format!("http://{host}/notes%2fmcp"),
        format!("http://{host}\\notes\\mcp"),
        format!("http://user@{host}/notes/mcp"),
        format!("http://user:pass@{host}/notes/mcp"),
        format!("http://@{host}/notes/mcp"),
        format!("https://{host}/notes/mcp"),
        format!("ftp://{host}/notes/mcp"),
        format!("http:{host}/notes/mcp"),
        format!("//{host}/notes/mcp"),
        format!("{host}/notes/mcp"),
        "/notes/mcp".to_owned(),
        "notes".to_owned(),
        format!("http://localhost./notes/mcp:{port}"),
        format!("http://localhost.:{port}/notes/mcp"),
        format!("http://127.0.0.1:{port}/notes/mcp"),
        format!("http://[::1]:{port}/notes/mcp"),
        "http://localhost/notes/mcp".to_owned(),
        "http://localhost:80/notes/mcp".to_owned(),
        "http://localhost:443/notes/mcp".to_owned(),
        format!("http://localhost:0{port}/notes/mcp"),
        "https://mcp.example.com/notes/mcp".to_owned(),
        format!("http://{host}/notes/mcp "),
        format!(" http://{host}/notes/mcp"),
        format!("http://{host}/notes/mcp\n"),
        format!("http://{host}/notes/mcp\0"),
        format!("http://{host}/notes/mcp http://{host}/ledger/mcp"),
        format!("http://{host}/notes/mcp,http://{host}/ledger/mcp"),
        format!("urn:{CANARY}"),
        "c4n4ry".repeat(500),
    ] {
        scene.redir(&[Set("resource", &resource)], "invalid_target").await;
        // A good one beside it changes nothing.
        scene.redir(&[Also("resource", &resource)], "invalid_target").await;
    }
    scene.redir(&[Also("resource", &scene.house.resource("ledger"))], "invalid_target").await;
    scene.close().await;
}

/// AS-162.
#[tokio::test]
async fn az_23_scheme_and_host_have_no_case_and_there_is_one_canonical_value() {
    let scene = Scene::new().await;
    let host = scene.house.host();
    let mut browser = scene.house.browser();
    for same in [format!("HTTP://{host}/notes/mcp"), format!("http://{}/notes/mcp", host.to_uppercase())] {
        for changes in [vec![Set("resource", same.as_str())], vec![Also("resource", same.as_str())]] {
            let url = scene.allowed(&mut browser, &scene.ask(&scene.native, &changes)).await;
            let answer =
                scene.native.redeem(&parameter(&url, "code").unwrap(), &scene.pkce.verifier).await.unwrap();
            let token = answer.json()["access_token"].as_str().unwrap().to_owned();
            assert_eq!(scene.house.echo("notes", &token).await.unwrap().status, StatusCode::OK, "{same}");
        }
    }
    scene.house.close().await.unwrap();
}

/// A request object without a signature that would send the answer elsewhere.
fn request_object(client: &TestClient) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"client_id": client.client_id, "redirect_uri": "https://attacker.example/cb", "response_type": "code"});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

#[tokio::test]
async fn az_25_request_objects_are_refused_and_never_fetched() {
    let scene = Scene::new().await;
    let canary = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let there = format!("http://{}/{CANARY}", canary.local_addr().unwrap());
    let object = request_object(&scene.native);
    for uri in [
        there.as_str(),
        "http://169.254.169.254/latest/meta-data/",
        "urn:ietf:params:oauth:request_ur:c4n4ry",
        "file:///etc/passwd",
        "//127.0.0.1",
        "x",
    ] {
        scene.redir(&[Set("request_uri", uri)], "request_uri_not_supported").await;
    }
    // What looks like a pushed one and is none says nothing of where to go (RFC 9126, section 4).
    scene.page400_for_all(&[Set("request_uri", "urn:ietf:params:oauth:request_uri:c4n4ry")]).await;
    for object in [object.as_str(), "e30.e30.", "x", "{}"] {
        scene.redir(&[Set("request", object)], "request_not_supported").await;
        scene.redir(&[Set("request", object), Set("request_uri", &there)], "request_not_supported").await;
        // What stands inside stands for nothing outside.
        scene.page400_for_all(&[Set("request", object), Without("client_id")]).await;
        scene
            .page400_for_all(&[Set("request", object), Set("redirect_uri", "https://attacker.example/cb")])
            .await;
    }
    // With the one that it registered a client need not name a redirect URI: the answer goes there, not to the other.
    scene.redir(&[Set("request", &object), Without("redirect_uri")], "request_not_supported").await;
    scene.page400_for_all(&[Set("request_uri", &there), Without("client_id")]).await;
    assert!(canary.accept().now_or_never().is_none(), "somebody was dialled");
    scene.close().await;
}

#[tokio::test]
async fn az_25_a_person_on_the_way_is_not_sent_where_a_request_object_says() {
    let scene = Scene::with(Plan {
        servers: vec![("notes", Access::Everyone)],
        default_server: Some("notes"),
        ..plan()
    })
    .await;
    // An empty parameter is none (RFC 6749, section 3.1): the plain request stands.
    let url = scene.ask(&scene.known, &[Set("request", ""), Set("request_uri", "")]);
    let answer = scene.get(&url).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(is_login(&page_of(&url, answer)));
    scene.close().await;
}
