//! What `redirect_uris` may be: rows RG-01 and RG-02.

use serde_json::json;

use super::{accepted, refused, with};
use crate::attacks::scene::{REMOTE, Scene};

/// AS-081.
#[tokio::test]
async fn rg_01_a_body_without_redirect_uris_registers_nothing() {
    let scene = Scene::new().await;
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "1",
        "true",
        "{",
        "}",
        "{}x",
        "{}{}",
        "[{}]",
        "{'redirect_uris':[]}",
        "redirect_uris=x",
        "<xml/>",
        "\u{feff}{\"redirect_uris\":[\"https://client.example/cb\"]}",
        "{\"redirect_uris\":[\"https://client.example/cb\"],}",
        "{\"redirect_uris\":[\"https://client.example/cb\"]} x",
        "// c4n4ry\n{}",
        "{\"a\":NaN}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\n\"}",
    ] {
        refused(&scene, body, "invalid_client_metadata", body).await;
    }
    refused(
        &scene,
        b"{\"redirect_uris\":[\"https://client.example/\xff\"]}".as_slice(),
        "invalid_client_metadata",
        "not UTF-8",
    )
    .await;
    let utf16: Vec<u8> = "{\"redirect_uris\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&scene, utf16, "invalid_client_metadata", "UTF-16").await;
    refused(&scene, "{}", "invalid_redirect_uri", "{}").await;
    for uris in [
        json!(null),
        json!([]),
        json!("https://client.example/cb"),
        json!([1]),
        json!([null]),
        json!([true]),
        json!([["https://client.example/cb"]]),
        json!([{"uri": "https://client.example/cb"}]),
        json!({"0": "https://client.example/cb"}),
        json!(1),
        json!([""]),
        json!([" "]),
        json!(["https://client.example/cb", 1]),
        json!(["https://client.example/cb", ""]),
        json!(["https://client.example/cb", null]),
    ] {
        refused(&scene, with("redirect_uris", uris.clone()), "invalid_redirect_uri", &uris.to_string()).await;
    }
    scene.close().await;
}

/// AS-035.
#[tokio::test]
async fn rg_02_a_redirect_uri_with_a_fragment_is_refused() {
    let scene = Scene::new().await;
    for uri in [
        "https://client.example/cb#frag",
        "https://client.example/cb#",
        "https://client.example#",
        "http://127.0.0.1/cb#x",
        "cursor://x/y#",
        "https://client.example/cb?x#y",
    ] {
        for uris in [json!([uri]), json!([REMOTE, uri]), json!([uri, REMOTE])] {
            refused(&scene, with("redirect_uris", uris), "invalid_redirect_uri", uri).await;
        }
    }
    scene.close().await;
}

const NOWHERE_TO_SEND_A_BROWSER: &[&str] = &[
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,c4n4ry",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://x/y",
    "about:blank",
    "view-source:https://x",
    "chrome://settings",
    "ftp://x/y",
    "ws://x/y",
    "wss://x/y",
    "mailto:a@b",
    "tel:1",
    "intent://x#Intent;end",
    "unknown-scheme://x/y",
    "CURSOR://x/y",
    "cursor:",
    "cursor://",
    "HTTPS://client.example/cb",
    "HTTP://127.0.0.1/cb",
    "http://client.example/cb",
    "http://evil.example:80/cb",
    "http://10.0.0.1/cb",
    "http://LOCALHOST/cb",
    "http://localhost./cb",
    "http://127.1/cb",
    "http://127.0.0.2/cb",
    "http://0.0.0.0/cb",
    "http://[::]/cb",
    "http://0x7f000001/cb",
    "http://2130706433/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "https://",
    "https:///cb",
    "https:client.example/cb",
    "//client.example/cb",
    "/cb",
    "client.example/cb",
    "https://user@client.example/cb",
    "https://user:pass@client.example/cb",
    "https://@client.example/cb",
    "https://client.example\\@evil.example/cb",
    "https://client.example:0/cb",
    "https://client.example:/cb",
    "https://client.example:65536/cb",
    "https://client.example:080/cb",
    "https://client.example./cb",
    "https://client..example/cb",
    "https://.client.example/cb",
    "https://client.example/../cb",
    "https://client.example/%2e%2e/cb",
    "https://client.example/c b",
    "https://client.example/c\"b",
    "https://client.example/<c4n4ry>",
    "https://client.example/{x}",
    "https://client.example/%",
    "https://client.example/%zz",
    "https://client.example/%00",
    "https://client.example/%0d%0aSet-Cookie:x",
    "https://client.example/\u{e9}",
    "https://cl\u{ef}ent.example/cb",
    "https://client.example/cb|x",
    "https://client.example/cb^x",
    "https://client.example/[x]",
    "https://[::1/cb",
    "https://[x]/cb",
    "https://client.example;x/cb",
    "https://cl'ient.example/cb",
    "https://client.example,evil.example/cb",
    "https://1.2.3/cb",
    "https://1.2.3.4.5/cb",
    "https://256.1.1.1/cb",
    "https://*.client.example/cb",
    "https://client.example/cb\n",
    "*",
    "null",
    "urn:ietf:wg:oauth:2.0:oob",
    "urn:ietf:wg:oauth:2.0:oob:auto",
    "postmessage",
    "com.unknown.app:/cb",
];

/// Redirect URIs that are not in a row of their own.
///
/// AS-034, AS-087.
#[tokio::test]
async fn rg_02_redirect_uris_that_no_browser_should_be_sent_to_are_refused() {
    let scene = Scene::new().await;
    let long = format!("https://client.example/{}", "a".repeat(2048));
    for uri in [NOWHERE_TO_SEND_A_BROWSER, &[&long]].concat() {
        refused(&scene, with("redirect_uris", json!([uri])), "invalid_redirect_uri", uri).await;
        refused(&scene, with("redirect_uris", json!([REMOTE, uri])), "invalid_redirect_uri", uri).await;
    }
    for uri in [
        "https://client.example",
        "https://client.example:8443/cb?x=1",
        "https://xn--bcher-kva.example/cb",
        "http://[::1]:9/cb",
        "com.example.app:/cb",
    ] {
        let registered = accepted(&scene, with("redirect_uris", json!([uri]))).await;
        assert_eq!(registered["redirect_uris"], json!([uri]));
    }
    scene.close().await;
}
