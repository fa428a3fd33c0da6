use serde_json::json;

use super::*;
use crate::strict_json::StrictJsonError;

const ID: &str = "https://client.example/mcp.json";

fn policy() -> RedirectPolicy {
    RedirectPolicy {
        private_schemes: vec!["cursor".to_owned()],
        own_origins: vec!["https://mcp.example.com".to_owned()],
    }
}

fn read(document: &Value) -> Result<ClientMetadata, DocumentFlaw> {
    ClientMetadata::parse_document(document.to_string().as_bytes(), &ClientId::parse(ID).unwrap(), &policy())
}

fn document() -> Value {
    json!({"client_id": ID, "client_name": "Example", "redirect_uris": ["https://client.example/cb", "http://127.0.0.1/cb"]})
}

fn with(member: &str, value: Value) -> Result<ClientMetadata, DocumentFlaw> {
    let mut document = document();
    document[member] = value;
    read(&document)
}

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"})
}

#[test]
fn a_client_that_says_nothing_else_is_public() {
    let metadata = read(&document()).unwrap();
    assert_eq!(metadata.token_endpoint_auth_method, TokenEndpointAuthMethod::None);
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(metadata.client_name.as_deref(), Some("Example"));
    assert_eq!(metadata.redirect_uris.len(), 2);
}

/// CM-11, AS-054.
#[test]
fn the_client_id_is_the_url_to_the_byte() {
    for other in [
        "https://client.example/mcp.json/",
        "https://Client.example/mcp.json",
        "https://client.example:443/mcp.json",
        "https://client.example/%6dcp.json",
        "https://client.example/mcp.json?",
        "",
    ] {
        assert_eq!(with("client_id", json!(other)), Err(DocumentFlaw::ClientId), "{other}");
    }
    assert_eq!(with("client_id", Value::Null), Err(DocumentFlaw::ClientId));
    assert_eq!(with("client_id", json!([ID])), Err(DocumentFlaw::ClientId));
}

/// CM-13, AS-058, AS-059.
#[test]
fn a_secret_or_a_private_key_refuses_the_whole() {
    for (member, value) in [
        ("client_secret", json!("hunter2")),
        ("client_secret", Value::Null),
        ("client_secret_expires_at", json!(0)),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("token_endpoint_auth_method", json!("client_secret_new")),
    ] {
        assert_eq!(with(member, value), Err(DocumentFlaw::SharedSecret), "{member}");
    }
    for member in ["d", "p", "q", "k", "dp", "dq", "qi", "oth"] {
        let mut private = ec();
        private[member] = json!("c");
        let flaw = with("jwks", json!({"keys": [ec(), private]}));
        assert_eq!(flaw, Err(MetadataFlaw::InlineKeys.into()), "{member}");
    }
    let mut both = document();
    both["jwks"] = json!({"keys": [ec()]});
    both["jwks_uri"] = json!("https://client.example/keys");
    assert_eq!(read(&both), Err(MetadataFlaw::KeysTwice.into()));
}

/// CM-14, AS-055.
#[test]
fn a_member_that_cannot_be_believed_refuses_the_whole() {
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://client.example/cb",
        "https://client.example/#",
        "https://mcp.example.com/cb",
        "",
        "vscode",
    ] {
        let flaw = with("redirect_uris", json!(["https://client.example/cb", uri])).unwrap_err();
        assert!(
            matches!(flaw, DocumentFlaw::Metadata(MetadataError::InvalidRedirectUri(_))),
            "{uri}: {flaw}"
        );
    }
    for uris in [json!([]), json!("https://client.example/cb"), Value::Null] {
        assert!(with("redirect_uris", uris).is_err());
    }
    for name in [json!(""), json!("  \t"), json!("\u{200b}\u{202e}"), Value::Null] {
        assert_eq!(with("client_name", name), Err(DocumentFlaw::ClientName));
    }
    for link in ["client_uri", "logo_uri", "policy_uri", "tos_uri", "jwks_uri"] {
        assert!(with(link, json!("javascript:alert(1)")).is_err(), "{link}");
    }
    for url in ["http://client.example/keys", "https://u@client.example/keys", "https://127.1/keys"] {
        assert!(with("jwks_uri", json!(url)).is_err(), "{url}");
    }
}

#[test]
fn it_is_read_strictly_and_up_to_its_size() {
    let twice = document().to_string().replace("{\"client_id\"", "{\"client_id\":\"x\",\"client_id\"");
    let read = |text: &str| {
        ClientMetadata::parse_document(text.as_bytes(), &ClientId::parse(ID).unwrap(), &policy())
    };
    assert_eq!(read(&twice), Err(MetadataFlaw::Json(StrictJsonError::Repeated).into()));
    for text in ["[]", "null", "\"x\"", "", "{", "<html>"] {
        assert!(read(text).is_err(), "{text}");
    }
    let mut large = document();
    large["x"] = json!("");
    let room = LARGEST_DOCUMENT - large.to_string().len();
    large["x"] = json!("a".repeat(room));
    assert!(read(&large.to_string()).is_ok());
    large["x"] = json!("a".repeat(room + 1));
    assert_eq!(read(&large.to_string()), Err(MetadataFlaw::TooLarge.into()));
}

/// CM-31.
#[test]
fn what_is_not_served_is_left_out() {
    let mut editor = document();
    editor["grant_types"] =
        json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:unheard-of"]);
    editor["response_types"] = json!(["code", "id_token"]);
    editor["application_type"] = json!("native");
    editor["redirect_uris"] =
        json!(["http://127.0.0.1:33418/", "https://client.example/redirect", "unlisted://cb"]);
    let metadata = read(&editor).unwrap();
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(metadata.response_types, [ResponseType::Code]);
    assert_eq!(metadata.redirect_uris.len(), 2);
    let mut chat = document();
    chat["token_endpoint_auth_method"] = json!("unheard_of_jwt");
    assert_eq!(read(&chat), Err(DocumentFlaw::Method));
    chat["token_endpoint_auth_methods_supported"] = json!(["unheard_of_jwt", "none"]);
    assert_eq!(read(&chat).unwrap().token_endpoint_auth_method, TokenEndpointAuthMethod::None);
    assert_eq!(with("grant_types", json!(["client_credentials"])), Err(MetadataFlaw::GrantTypes.into()));
    assert_eq!(with("response_types", json!(["token"])), Err(MetadataFlaw::ResponseTypes.into()));
    assert_eq!(
        with("redirect_uris", json!(["unlisted://cb"])),
        Err(RedirectUrisFlaw::from(RedirectUriError::Scheme).into())
    );
}

/// CM-20.
#[test]
fn a_page_elsewhere_is_not_the_clients() {
    for (uri, kept) in [
        ("https://client.example/about", true),
        ("https://CLIENT.example:443/", true),
        ("https://famous.example/", false),
        ("https://client.example:8443/", false),
        ("http://client.example/", false),
    ] {
        assert_eq!(with("client_uri", json!(uri)).unwrap().client_uri.is_some(), kept, "{uri}");
    }
}

/// CM-15: what is kept is the document, keys and all.
#[test]
fn what_is_kept_is_read_back_as_the_same() {
    for (member, keys) in
        [("jwks", json!({"keys": [ec()]})), ("jwks_uri", json!("https://client.example/keys"))]
    {
        let metadata = with(member, keys).unwrap();
        assert!(metadata.keys.is_some());
        assert_eq!(ClientMetadata::parse_kept(&metadata.to_json(), &policy()).unwrap(), metadata);
        assert_ne!(metadata.fingerprint(), read(&document()).unwrap().fingerprint());
    }
}
