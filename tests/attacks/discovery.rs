//! Discovery (attacks.md, 1.8, rows DS): documents are made from the configuration, whatever the request says.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use http::{Method, StatusCode};
use serde_json::json;
use testkit::http::Answer;
use testkit::outcomes::{harmless, rs401, rs401_bare};
use testkit::raw;

use super::scene::{CANARY, Scene, right};

const DOCUMENTS: [&str; 4] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/notes/mcp",
    "/oauth/jwks",
];

async fn raw(scene: &Scene, request: &[u8]) -> Answer {
    raw::send(&scene.house.address(), request).await.unwrap()
}

#[tokio::test]
async fn ds_01_no_header_and_no_target_gets_into_a_document() {
    let scene = Scene::new().await;
    let host = scene.house.host();
    for path in DOCUMENTS {
        let good = scene.get(&scene.at(path)).await;
        assert_eq!(good.status, StatusCode::OK, "{path}");
        for (name, value) in [
            ("x-forwarded-host", "c4n4ry.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/c4n4ry"),
            ("x-forwarded-for", "c4n4ry"),
            ("x-forwarded-server", "c4n4ry.example"),
            ("forwarded", "host=c4n4ry.example;proto=https;for=1.2.3.4"),
            ("x-host", "c4n4ry.example"),
            ("x-original-host", "c4n4ry.example"),
            ("x-original-url", "/c4n4ry"),
            ("x-rewrite-url", "/c4n4ry"),
            ("origin", "https://c4n4ry.example"),
            ("referer", "https://c4n4ry.example/"),
            ("via", "1.1 c4n4ry.example"),
            ("accept", "text/c4n4ry"),
            ("mcp-protocol-version", "c4n4ry"),
            ("cookie", "a=c4n4ry"),
            ("authorization", "Bearer c4n4ry"),
        ] {
            let answer = scene.send(Method::GET, &scene.at(path), &[(name, value)], "").await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {name}");
            assert_eq!(answer.body, good.body, "{path} {name}");
            right(harmless(&answer, &[CANARY]), name);
        }
        let answer =
            raw(&scene, &raw::request(&format!("GET {path}?issuer=https://c4n4ry.example"), &host)).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &good.body), "a query");
        let answer = raw(&scene, &raw::request(&format!("GET https://{host}{path}"), &host)).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &good.body), "the absolute form");
        for (target, host) in [
            (path.to_owned(), "c4n4ry.example".to_owned()),
            (path.to_owned(), format!("{host}.c4n4ry.example")),
            (path.to_owned(), format!("c4n4ry@{host}")),
            (path.to_owned(), format!("{host}\r\nHost: c4n4ry.example")),
            (format!("http://c4n4ry.example{path}"), host.clone()),
            (format!("http://c4n4ry.example{path}"), "c4n4ry.example".to_owned()),
            (format!("http://c4n4ry@{host}{path}"), host.clone()),
        ] {
            let answer = raw(&scene, &raw::request(&format!("GET {target}"), &host)).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{target} {host}");
            assert!(answer.header("cache-control").contains("no-store"), "{target} {host}");
            right(harmless(&answer, &[CANARY]), &target);
        }
    }
    scene.close().await;
}

/// AS-011.
#[tokio::test]
async fn ds_01_the_documents_name_the_issuer_and_nothing_else() {
    let scene = Scene::new().await;
    let issuer = scene.house.issuer.clone();
    let metadata = scene.get(&scene.at(DOCUMENTS[0])).await.json();
    assert_eq!(metadata["issuer"], json!(issuer));
    for (name, value) in metadata.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            assert!(value.as_str().unwrap().starts_with(&format!("{issuer}/oauth/")), "{name}: {value}");
        }
    }
    let resource = scene.get(&scene.at(DOCUMENTS[2])).await.json();
    assert_eq!(resource["authorization_servers"], json!([issuer]));
    assert_eq!(resource["resource"], json!(scene.house.resource("notes")));
    // Where no public key of another kind may stand.
    let jwks = scene.get(&scene.at(DOCUMENTS[3])).await;
    for private in ["\"d\"", "\"k\"", "\"p\"", "\"q\"", "oct"] {
        assert!(!jwks.text().contains(private), "{}", jwks.text());
    }
    scene.close().await;
}

#[tokio::test]
async fn ds_02_only_the_path_of_a_server_that_is_here_has_a_document() {
    let scene = Scene::new().await;
    let host = scene.house.host();
    for server in ["notes", "ledger"] {
        let document =
            scene.get(&scene.at(&format!("/.well-known/oauth-protected-resource/{server}/mcp"))).await;
        assert_eq!(document.json()["resource"], json!(scene.house.resource(server)));
    }
    for rest in [
        "",
        "/",
        "/unknown/mcp",
        "/notes",
        "/notes/",
        "/notes/mcp/",
        "/notes//mcp",
        "//notes/mcp",
        "/mcp",
        "//mcp",
        "/notes/mcp/x",
        "/NOTES/mcp",
        "/Notes/mcp",
        "/notes/MCP",
        "/n%6ftes/mcp",
        "/notes%2fmcp",
        "/notes/%6dcp",
        "/notes/mcp%00",
        "/notes/mcp%20",
        "/notes/mcp;x=1",
        "/notes;x/mcp",
        "/notes/mcp/../admin",
        "/notes/mcp/..",
        "/x/../notes/mcp",
        "/%2e%2e/notes/mcp",
        "/../notes/mcp",
        "/notes/%2e%2e/ledger/mcp",
        "/./notes/mcp",
        "/notes\\mcp",
        "/c4n4ry/mcp",
        "/no\"tes/mcp",
        "/notes'/mcp",
        "/%0d%0ac4n4ry:1/mcp",
        "/notes%0a/mcp",
        "/\u{e9}/mcp",
        "/oauth/mcp",
        "/admin/mcp",
        "/-/mcp",
        "/0/mcp",
        "/aaaaaaaaaabbbbbbbbbbccccccccccdd/mcp",
        "/../../etc/passwd",
        "s/notes/mcp",
        ".json",
    ] {
        let path = format!("/.well-known/oauth-protected-resource{rest}");
        for accept in ["*/*", "text/html"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
            );
            let answer = raw(&scene, request.as_bytes()).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert!(answer.header("cache-control").contains("no-store"), "{path}");
            right(harmless(&answer, &[CANARY, "unknown", "no\"tes"]), &path);
        }
    }
    for path in [
        "//.well-known/oauth-authorization-server",
        "/.well-known//oauth-authorization-server",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/notes/mcp",
        "/.well-known/OAuth-Authorization-Server",
        "/.WELL-KNOWN/oauth-authorization-server",
        "/.well-known/oauth%2dauthorization-server",
        "/.well-known/openid-configuration/",
        "/notes/mcp/.well-known/oauth-protected-resource",
        "/notes/.well-known/oauth-authorization-server",
        "/%2ewell-known/oauth-authorization-server",
        "/x/../.well-known/oauth-authorization-server",
        "/.well-known/",
        "/.well-known",
        "/.well-known/jwks.json",
        "/oauth/jwks/",
        "/oauth/jwks.json",
    ] {
        let answer = raw(&scene, &raw::request(&format!("GET {path}"), &host)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(scene.house.mcp.connections(), 0);
    scene.close().await;
}

#[tokio::test]
async fn ds_04_a_shared_cache_in_front_cannot_be_poisoned() {
    let scene = Scene::new().await;
    for path in DOCUMENTS {
        let plain = scene.get(&scene.at(path)).await;
        for origin in [
            "https://claude.ai",
            "https://c4n4ry.example",
            "null",
            "*",
            "https://claude.ai.c4n4ry.example",
            "",
        ] {
            let answer = scene.send(Method::GET, &scene.at(path), &[("origin", origin)], "").await;
            // The one header on which the answer depends is named, whether it was sent or not.
            for answer in [&plain, &answer] {
                assert_eq!(answer.header("vary"), "Origin", "{path}");
                let max_age = if path == "/oauth/jwks" { 60 } else { 300 };
                assert_eq!(answer.header("cache-control"), format!("public, max-age={max_age}"), "{path}");
                assert!(answer.headers.get("set-cookie").is_none(), "{path}");
                assert!(answer.headers.get("access-control-allow-credentials").is_none(), "{path}");
                assert_eq!(answer.header("content-type"), "application/json", "{path}");
                assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            }
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, if origin == "https://claude.ai" { origin } else { "" }, "{path} {origin}");
            assert_eq!(answer.body, plain.body, "{path} {origin}");
            right(harmless(&answer, &[CANARY]), origin);
        }
        for (name, value) in [
            ("x-http-method-override", "POST"),
            ("x-method-override", "DELETE"),
            ("range", "bytes=0-1"),
            ("x-forwarded-scheme", "nothttps"),
            ("accept-language", "c4n4ry"),
            ("accept-encoding", "c4n4ry"),
            ("user-agent", "c4n4ry"),
        ] {
            let answer = scene.send(Method::GET, &scene.at(path), &[(name, value)], "").await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &plain.body), "{path} {name}");
            assert_eq!(answer.header("vary"), "Origin", "{path} {name}");
        }
        // HEAD says what GET says, without saying it.
        let head = scene.send(Method::HEAD, &scene.at(path), &[], "").await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(head.header("cache-control"), plain.header("cache-control"), "{path}");
    }
    // What depends on a person is kept by nobody.
    for path in ["/", "/oauth/authorize", "/login", "/consent", "/nothing"] {
        let answer = scene.send(Method::GET, &scene.at(path), &[("accept", "text/html")], "").await;
        assert!(answer.header("cache-control").contains("no-store"), "{path}: {:?}", answer.headers);
    }
    scene.close().await;
}

#[tokio::test]
async fn ds_05_nothing_of_a_request_gets_into_the_challenge() {
    let scene = Scene::new().await;
    let host = scene.house.host();
    let usual = raw(&scene, &raw::request("POST /notes/mcp", &host)).await;
    right(rs401_bare(&usual), "without a token");
    let challenge = usual.header("www-authenticate").to_owned();
    let expected = format!(
        "Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/notes/mcp\", scope=\"read write\"",
        scene.house.issuer
    );
    assert_eq!(challenge, expected);
    let names =
        |answer: &Answer| answer.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    for target in
        ["/notes/mcp?scope=c4n4ry%22", "/notes/mcp?c4n4ry=%0d%0ax:y", "/notes/mcp?resource_metadata=c4n4ry"]
    {
        let answer = raw(&scene, &raw::request(&format!("POST {target}"), &host)).await;
        assert_eq!(answer.header("www-authenticate"), challenge, "{target}");
        assert_eq!(names(&answer), names(&usual), "{target}");
        right(harmless(&answer, &[CANARY]), target);
    }
    for path in [
        "/no\"tes/mcp",
        "/notes%22/mcp",
        "/notes%0d%0ac4n4ry:1/mcp",
        "/notes\\/mcp",
        "/\"/mcp",
        "/c4n4ry/mcp",
        "/notes/mcp%22",
    ] {
        let answer = raw(&scene, &raw::request(&format!("POST {path}"), &host)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.headers.get("www-authenticate").is_none(), "{path}: {:?}", answer.headers);
        right(harmless(&answer, &[CANARY]), path);
    }
    assert_eq!(scene.house.mcp.connections(), 0);
    scene.close().await;
}

#[tokio::test]
async fn ds_05_nor_does_anything_of_a_token() {
    let scene = Scene::new().await;
    let usual = raw(&scene, &raw::request("POST /notes/mcp", &scene.house.host())).await;
    let challenge = usual.header("www-authenticate").to_owned();
    for token in [
        "c4n4ry",
        "\"c4n4ry\"",
        "c4n4ry\\",
        "c4n4ry, scope=\"admin\"",
        "a.b.c4n4ry",
        "c4n4ry\tx",
        "\u{e9}c4n4ry",
        "skr_c4n4ry",
    ] {
        let answer = scene
            .send(
                Method::POST,
                &scene.at("/notes/mcp"),
                &[("authorization", &format!("Bearer {token}"))],
                "{}",
            )
            .await;
        // What is no credential at all is a malformed request (RFC 6750, section 3.1).
        if answer.status != StatusCode::BAD_REQUEST {
            right(rs401(&answer).or_else(|_| rs401_bare(&answer)), token);
        }
        assert!(answer.header("www-authenticate").starts_with(&challenge), "{token}: {:?}", answer.headers);
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1, "{token}");
        right(harmless(&answer, &[CANARY]), token);
    }
    assert_eq!(scene.house.mcp.connections(), 0);
    scene.close().await;
}

/// What the metadata says is done, what it does not say is not done (house.md, principle 9).
///
/// AS-020, AS-021.
#[tokio::test]
async fn the_metadata_tells_the_truth() {
    let scene = Scene::new().await;
    let metadata = scene.get(&scene.at(DOCUMENTS[0])).await.json();
    let list = |name: &str| -> Vec<String> {
        let items = metadata[name].as_array().unwrap();
        items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    // The other document is the same and two members more (product.md, "The words").
    let mut alias = scene.get(&scene.at(DOCUMENTS[1])).await.json();
    let members = alias.as_object_mut().unwrap();
    assert_eq!(members.remove("subject_types_supported"), Some(json!(["public"])));
    assert_eq!(members.remove("id_token_signing_alg_values_supported"), Some(json!(["ES256"])));
    assert_eq!(alias, metadata);

    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "pushed_authorization_request_endpoint",
        "jwks_uri",
    ] {
        let answer = scene.get(metadata[name].as_str().unwrap()).await;
        assert_ne!(answer.status, StatusCode::NOT_FOUND, "{name}");
    }
    for resource in list("protected_resources") {
        let path = resource.trim_start_matches(&scene.house.issuer).to_owned();
        let document =
            scene.get(&scene.at(&format!("/.well-known/oauth-protected-resource{path}"))).await.json();
        assert_eq!(document["resource"], json!(resource));
        assert_eq!(document["scopes_supported"], metadata["scopes_supported"]);
    }
    assert_eq!(list("response_types_supported"), ["code"]);
    assert_eq!(list("response_modes_supported"), ["query"]);
    assert_eq!(list("code_challenge_methods_supported"), ["S256"]);
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], json!(true));
    for never in ["openid", "offline_access"] {
        assert!(!list("scopes_supported").contains(&never.to_owned()), "{metadata}");
    }
    for absent in ["require_pushed_authorization_requests", "end_session_endpoint", "userinfo_endpoint"] {
        assert!(metadata.get(absent).is_none(), "{metadata}");
    }
    assert_eq!(
        metadata["client_id_metadata_document_supported"],
        json!(true),
        "tests/attacks/cimd show that it is so"
    );
    scene.close().await;
}

#[tokio::test]
async fn the_metadata_tells_the_truth_about_what_can_be_registered() {
    let scene = Scene::new().await;
    let metadata = scene.get(&scene.at(DOCUMENTS[0])).await.json();
    let list = |name: &str| -> Vec<String> {
        let items = metadata[name].as_array().unwrap();
        items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    for method in [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "private_key_jwt",
        "tls_client_auth",
    ] {
        // A client with a key does not register itself (decision 10); it is written down, or has a document.
        let said = list("token_endpoint_auth_methods_supported").contains(&method.to_owned())
            && method != "private_key_jwt";
        let body = json!({"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": method});
        assert_eq!(scene.register(body.to_string()).await.status == StatusCode::CREATED, said, "{method}");
    }
    for grant in [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "implicit",
        "password",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ] {
        let said = list("grant_types_supported").contains(&grant.to_owned());
        let body =
            json!({"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["authorization_code", grant]});
        // A client that acts as a service account is written down by the operator (RFC 7591, section 5).
        let registrable = said && grant != "client_credentials";
        let registered = scene.register(body.to_string()).await;
        assert_eq!(registered.status == StatusCode::CREATED, registrable, "{grant}");
        // Whole, so that what is missing is not what is refused.
        let asked = [("grant_type", grant), ("assertion", "e30.e30.e30")];
        let answer = scene.native.token(&asked).await.unwrap();
        assert_eq!(answer.error() != "unsupported_grant_type", said, "{grant}: {}", answer.text());
    }
    scene.close().await;
}
