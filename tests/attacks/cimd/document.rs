//! What stands in a document, and what is believed of it.

use protocol::oauth::{ClientId, ClientMetadata, GrantType, RedirectPolicy, TokenEndpointAuthMethod};
use serde_json::{Value, json};
use testkit::document_host::json as said;

use super::{Cimd, LOOPBACK};
use crate::attacks::scene::REMOTE;

/// AS-050, AS-054.
#[tokio::test]
async fn cm_11_the_client_id_inside_is_the_url_to_the_byte() {
    let scene = Cimd::new().await;
    let url = scene.host.url("/c~d");
    for other in [
        format!("{url}/"),
        url.replace("/c~d", "/C~d"),
        url.replace("client", "Client"),
        url.replace("~", "%7E"),
        format!("{url}?"),
        url.replace("https:", "HTTPS:"),
        "https://client.example:443/c~d".to_owned(),
        "https://client.example/c~d".to_owned(),
    ] {
        let document = scene.document_with("/c~d", "client_id", json!(other));
        scene.refused_saying("/c~d", said(&document), &other).await;
    }
    for none in [Value::Null, json!([url]), json!({"a": url})] {
        let document = scene.document_with("/c~d", "client_id", none.clone());
        scene.refused_saying("/c~d", said(&document), &none.to_string()).await;
    }
    scene.house.advance(std::time::Duration::from_secs(60)).await.unwrap();
    scene.host.says("/c~d", &[said(&scene.document("/c~d"))]);
    assert!(scene.is_known(&url).await);
    scene.close().await;
}

/// AS-058, AS-059.
#[tokio::test]
async fn cm_13_a_document_with_a_secret_is_refused() {
    let scene = Cimd::new().await;
    let key = |member: &str| {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"});
        key[member] = json!("c");
        json!({"keys": [key]})
    };
    for (number, (member, value)) in [
        ("client_secret", json!("hunter2")),
        ("client_secret", Value::Null),
        ("client_secret_expires_at", json!(0)),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("jwks", key("d")),
        ("jwks", key("p")),
        ("jwks", key("q")),
        ("jwks", key("k")),
        ("jwks", json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}");
        let document = scene.document_with(&path, member, value.clone());
        scene.refused_saying(&path, said(&document), &format!("{member}: {value}")).await;
    }
    scene.close().await;
}

/// AS-055.
#[tokio::test]
async fn cm_14_one_bad_member_refuses_the_whole() {
    let scene = Cimd::new().await;
    for (number, (member, value)) in [
        ("redirect_uris", json!([REMOTE, "javascript:alert(1)"])),
        ("redirect_uris", json!([REMOTE, "data:text/html,x"])),
        ("redirect_uris", json!([REMOTE, "http://client.example/cb"])),
        ("redirect_uris", json!([REMOTE, "https://client.example/cb#x"])),
        ("redirect_uris", json!([REMOTE, scene.house.issuer.replace("http:", "https:") + "\\x"])),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(REMOTE)),
        ("redirect_uris", Value::Null),
        ("client_name", json!("")),
        ("client_name", json!("  ")),
        ("client_name", json!("\u{200b}\u{2060}")),
        ("client_name", Value::Null),
        ("client_uri", json!("javascript:alert(1)")),
        ("logo_uri", json!("data:image/svg+xml,x")),
        ("jwks_uri", json!("http://client.example/keys")),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}");
        let document = scene.document_with(&path, member, value.clone());
        scene.refused_saying(&path, said(&document), &format!("{member}: {value}")).await;
    }
    scene.close().await;
}

/// Documents as the makers of well-known clients publish them, with what is not served here.
#[tokio::test]
async fn cm_31_what_is_not_served_is_left_out_of_a_document() {
    let policy = RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() };
    let read = |document: &Value| {
        let id = ClientId::parse(document["client_id"].as_str().unwrap()).unwrap();
        ClientMetadata::parse_document(document.to_string().as_bytes(), &id, &policy)
    };
    let editor = json!({
        "client_id": "https://vscode.dev/oauth/client-metadata.json",
        "client_name": "Visual Studio Code",
        "client_uri": "https://vscode.dev/product",
        "logo_uri": "https://vscode.dev/code-stable.png",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
    });
    let metadata = read(&editor).unwrap();
    assert!(metadata.may_use(GrantType::AuthorizationCode) && metadata.may_use(GrantType::RefreshToken));
    assert_eq!(metadata.token_endpoint_auth_method, TokenEndpointAuthMethod::None);
    let mut unheard_of = editor.clone();
    unheard_of["token_endpoint_auth_method"] = json!("unheard_of");
    assert!(read(&unheard_of).is_err(), "nothing of it is served");
    unheard_of["token_endpoint_auth_methods_supported"] = json!(["unheard_of", "none"]);
    assert!(read(&unheard_of).is_ok());
    let mut machine = editor;
    machine["grant_types"] = json!(["client_credentials"]);
    assert!(read(&machine).is_err());

    let scene = Cimd::new().await;
    let mut document = scene.document("/editor");
    document["grant_types"] = json!(["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]);
    document["redirect_uris"] = json!([REMOTE, LOOPBACK, "unlisted.scheme://cb"]);
    let client = scene.good("/editor", &document);
    assert!(scene.is_known(&client.client_id).await);
    let elsewhere = scene.client(&client.client_id, "unlisted.scheme://cb");
    let answer = scene.house.http.get(&scene.ask(&elsewhere), &[]).await.unwrap();
    assert_eq!(answer.status, http::StatusCode::BAD_REQUEST, "what was left out is not there");
    scene.close().await;
}
