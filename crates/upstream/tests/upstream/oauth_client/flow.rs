//! The code flow: what is sent, what is believed, and what is not heard at all.

use std::sync::Arc;
use std::time::Duration;

use protocol::oauth::Scope;
use protocol::secret::Secret;
use serde_json::json;
use upstream::oauth_client::{
    Binding, Kind, Malformed, OauthClientError, Obstacle, Place, PreRegistered, Rejection,
};

use super::remote::{
    DOCUMENT, REDIRECT, RESOURCE, Remote, Reply, VERIFIER, begin, begin_for, connect, parameter, tokens,
};

fn callback(remote: &Remote) -> String {
    format!("code=the-code&state=state-of-this-leg&session_state=x&iss={}", remote.origin)
}

/// CL-013, CL-030, CL-031, CL-033, CL-035, CL-038, CL-040.
#[tokio::test]
async fn a_person_is_sent_there_with_everything_that_a_request_must_have() {
    let remote = Remote::honest().await;
    let begun = begin(&remote.client()).await.unwrap();
    assert!(begun.url.starts_with(&remote.at("/authorize?tenant=1&response_type=code&")), "{}", begun.url);
    for (name, value) in [
        ("client_id", "registered-1"),
        ("redirect_uri", REDIRECT),
        ("state", "state-of-this-leg"),
        ("code_challenge_method", "S256"),
        ("resource", &remote.at("/mcp")),
        ("scope", "read"),
    ] {
        assert_eq!(parameter(&begun.url, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!((begun.leg.binding.issuer.as_str(), begun.leg.sends_iss), (remote.origin.as_str(), true));
}

/// CL-027, CL-047, CL-054, CL-059.
#[tokio::test]
async fn a_code_is_redeemed_once_by_the_client_that_asked() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &callback(&remote)).await.unwrap();
    assert!(given.access_token.matches(&Secret::new("access-1".to_owned())));
    assert_eq!(given.expires_in.unwrap().as_secs(), 600);
    assert_eq!(given.scope, Scope::parse("read").unwrap());
    assert_eq!(given.binding.client_id, "registered-1");
    let asked = remote.seen("/token");
    assert_eq!(asked.len(), 1);
    for (name, value) in [
        ("grant_type", Some("authorization_code")),
        ("code", Some("the-code")),
        ("code_verifier", Some(VERIFIER)),
        ("redirect_uri", Some(REDIRECT)),
        ("resource", Some(remote.at("/mcp").as_str())),
        ("client_secret", None),
    ] {
        assert_eq!(asked[0].field(name).as_deref(), value, "{name}");
    }
    // registered-1:hush-1
    assert_eq!(asked[0].headers["authorization"], "Basic cmVnaXN0ZXJlZC0xOmh1c2gtMQ==");
}

/// CL-044, CL-045, CL-046; conformance `auth/iss-*`.
#[tokio::test]
async fn an_answer_of_another_issuer_is_not_heard_and_its_code_goes_nowhere() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let origin = &remote.origin;
    for (query, why) in [
        ("code=c&state=s".to_owned(), Malformed::IssuerMissing),
        (format!("code=c&state=s&iss={origin}/"), Malformed::IssuerMismatch),
        (format!("code=c&state=s&iss={}", origin.to_uppercase()), Malformed::IssuerMismatch),
        ("code=c&state=s&iss=https%3A%2F%2Fevil.example".to_owned(), Malformed::IssuerMismatch),
        ("error=access_denied&state=s&iss=https%3A%2F%2Fevil.example".to_owned(), Malformed::IssuerMismatch),
        (format!("code=c&state=s&iss={origin}&iss={origin}"), Malformed::Callback),
        (format!("code=c&code=d&state=s&iss={origin}"), Malformed::Callback),
        (format!("code=c&error=x&state=s&iss={origin}"), Malformed::Callback),
        (format!("state=s&iss={origin}"), Malformed::Callback),
    ] {
        assert_eq!(connect(&client, &query).await.err(), Some(why.into()), "{query}");
    }
    assert!(remote.seen("/token").is_empty());
    let mut metadata = remote.metadata(origin);
    metadata["authorization_response_iss_parameter_supported"] = json!(false);
    let other = Remote::honest().await;
    let mut metadata_of_other = other.metadata(&other.origin);
    metadata_of_other["authorization_response_iss_parameter_supported"] = json!(false);
    other.says(super::remote::SERVER, Reply::json(200, &metadata_of_other));
    let client = other.client();
    let unexpected = connect(&client, &format!("code=c&state=s&iss={origin}")).await;
    assert_eq!(unexpected.err(), Some(Malformed::IssuerMismatch.into()), "though none was promised");
    assert!(connect(&client, "code=c&state=s").await.is_ok());
}

#[tokio::test]
async fn a_no_of_the_person_is_one_and_of_anybody_else_is_not() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let said = |error: &str| format!("error={error}&error_description=x&state=s&iss={}", remote.origin);
    let denied = connect(&client, &said("access_denied")).await.err().unwrap();
    assert_eq!(denied, Rejection::AccessDenied.into());
    let later = connect(&client, &said("temporarily_unavailable")).await.err().unwrap();
    assert!(later.is_passing() && !later.ends_credential());
    assert_eq!(connect(&client, &said("<script>")).await.err(), Some(Rejection::Request.into()));
}

/// CL-035, CL-036, CL-037, CL-073, CL-074.
#[tokio::test]
async fn the_scope_is_the_configured_one_else_what_is_needed() {
    let scope = |text: &str| Scope::parse(text).unwrap();
    let remote = Remote::honest().await;
    let asked = |begun: &str| parameter(begun, "scope");
    let configured = remote.client_with(|settings| settings.scope = scope("own"));
    assert_eq!(asked(&begin(&configured).await.unwrap().url).as_deref(), Some("own"));
    let more = begin_for(&configured, Some(&scope("more"))).await.unwrap();
    assert_eq!(asked(&more.url).as_deref(), Some("more own"));
    remote.says("/mcp", Reply::bare(401).with("www-authenticate", "Bearer"));
    assert_eq!(asked(&begin(&remote.client()).await.unwrap().url).as_deref(), Some("read write"));
    let step_up = begin_for(&remote.client(), Some(&scope("read admin"))).await.unwrap();
    assert_eq!(asked(&step_up.url).as_deref(), Some("admin read"));
    let mut resource = remote.resource();
    resource["scopes_supported"] = json!([]);
    remote.says(&format!("{}/mcp", super::remote::RESOURCE), Reply::json(200, &resource));
    assert_eq!(asked(&begin(&remote.client()).await.unwrap().url), None);
    let mut metadata = remote.metadata(&remote.origin);
    metadata["scopes_supported"] = json!(["offline_access"]);
    remote.says(super::remote::SERVER, Reply::json(200, &metadata));
    let lasting = remote.client_with(|settings| settings.scope = scope("own"));
    assert_eq!(asked(&begin(&lasting).await.unwrap().url).as_deref(), Some("offline_access own"));
}

/// CL-036, CL-074: what an MCP server says that a call needs is asked for where the MCP server says what is asked for at all, and
/// nowhere else.
#[tokio::test]
async fn cb_19_an_mcp_server_adds_nothing_to_what_an_operator_wrote() {
    let remote = Remote::honest().await;
    let needed = Scope::parse("admin read").unwrap();
    assert_eq!(remote.client().may_ask(&needed), needed);
    let configured = remote.client_with(|settings| settings.scope = Scope::parse("own read").unwrap());
    assert_eq!(configured.may_ask(&needed).to_string(), "read");
    let account = remote.client_with(|settings| {
        settings.kind = Kind::Github;
        let client_secret = Some(Arc::new(Secret::new("of-the-app".to_owned())));
        settings.client =
            Some(PreRegistered { client_id: "app".to_owned(), client_secret, key: None, method: None });
    });
    assert_eq!(account.may_ask(&needed), Scope::default(), "its account is somebody else's");
}

/// TK-35: what the credential is worth after each answer. CL-070, CL-071, CL-072.
#[tokio::test]
async fn tk_35_a_refresh_that_is_refused_for_good_ends_the_credential_and_no_other_does() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &callback(&remote)).await.unwrap();
    let token = given.refresh_token.unwrap();
    let error =
        |status, error: &str| Reply::json(status, &json!({"error": error, "error_description": "s3cret"}));
    for (reply, why, ends) in [
        (error(400, "invalid_grant"), OauthClientError::from(Rejection::Grant), true),
        (error(400, "invalid_scope"), Obstacle::Scope.into(), false),
        (error(400, "invalid_target"), Obstacle::Target.into(), false),
        (error(400, "unsupported_grant_type"), Obstacle::Unsupported.into(), false),
        (error(400, "unauthorized_client"), Obstacle::Unsupported.into(), false),
        (error(400, "anything"), Obstacle::Refused.into(), false),
        (Reply::bare(401), Obstacle::Refused.into(), false),
        (Reply::bare(403), Obstacle::Refused.into(), false),
        (Reply::bare(404), Obstacle::Refused.into(), false),
        (Reply::json(200, &json!({"token_type": "bearer"})), Malformed::Token.into(), false),
        (Reply::bare(302).with("location", "http://127.0.0.1:1/"), Malformed::Token.into(), false),
    ] {
        remote.says("/token", reply);
        let refused = client.refresh(&token, &given.binding, &given.scope).await.err().unwrap();
        assert_eq!((refused, refused.ends_credential()), (why, ends));
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
    remote.says("/token", Reply::json(200, &json!({"access_token": "access-2", "token_type": "Bearer"})));
    let next = client.refresh(&token, &given.binding, &given.scope).await.unwrap();
    assert!(next.refresh_token.is_none(), "the old one stays good");
    assert_eq!(next.scope, given.scope);
    let asked = remote.seen("/token").pop().unwrap();
    assert_eq!(asked.field("refresh_token").as_deref(), Some("refresh-1"));
    assert_eq!(asked.field("resource"), Some(remote.at("/mcp")));
}

#[tokio::test]
async fn tk_34_a_refresh_that_finds_nobody_says_nothing_about_the_credential() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &callback(&remote)).await.unwrap();
    let token = given.refresh_token.unwrap();
    for status in [500, 502, 503, 504, 429] {
        remote.says("/token", Reply::json(status, &json!({"error": "invalid_grant"})));
        let passing = client.refresh(&token, &given.binding, &given.scope).await.err().unwrap();
        assert!(passing.is_passing() && !passing.ends_credential(), "{status}");
    }
    remote.says("/token", Reply::json(400, &json!({"error": "temporarily_unavailable"})));
    assert!(client.refresh(&token, &given.binding, &given.scope).await.err().unwrap().is_passing());
}

/// TK-37, TK-38, CB-19.
#[tokio::test]
async fn tk_37_tk_38_an_answer_is_taken_for_what_it_says_within_bounds() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let answered = async |name: &str, value: serde_json::Value| {
        let mut said = tokens();
        said[name] = value;
        remote.says("/token", Reply::json(200, &said));
        connect(&client, &callback(&remote)).await
    };
    for odd in [json!(null), json!(0), json!(-1), json!(1e18), json!("3600"), json!(1.5), json!({})] {
        let given = answered("expires_in", odd.clone()).await.unwrap().expires_in.unwrap();
        assert!((1..=400 * 86_400).contains(&given.as_secs()), "{odd}");
    }
    for (said, granted) in [(json!(""), ""), (json!("read,more"), "more read"), (json!("less"), "less")] {
        assert_eq!(answered("scope", said).await.unwrap().scope.to_string(), granted);
    }
    for (name, value, why) in [
        ("token_type", json!("DPoP"), Malformed::TokenType),
        ("token_type", json!(null), Malformed::TokenType),
        ("access_token", json!(""), Malformed::Token),
        ("access_token", json!("a b"), Malformed::Token),
        ("access_token", json!("a\r\nb"), Malformed::Token),
        ("access_token", json!("a".repeat(20_000)), Malformed::Token),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:id-jag"), Malformed::IssuedType),
    ] {
        assert_eq!(answered(name, value).await.err(), Some(why.into()), "{name}");
    }
    remote.says("/token", Reply { status: 200, headers: Vec::new(), body: tokens().to_string() });
    assert_eq!(
        connect(&client, &callback(&remote)).await.err(),
        Some(Malformed::Token.into()),
        "no media type"
    );
}

/// CL-015, CL-016, CL-017, CL-018, CL-021, CL-022, CL-024, CL-025, CL-029.
#[tokio::test]
async fn we_become_known_in_the_best_way_that_there_is() {
    let remote = Remote::honest().await;
    let client = remote.client();
    begin(&client).await.unwrap();
    begin(&remote.client()).await.unwrap();
    let registered = remote.seen("/register");
    assert_eq!(registered.len(), 1, "once for all that share the record");
    let sent: serde_json::Value = serde_json::from_str(&registered[0].body).unwrap();
    assert_eq!(sent["redirect_uris"], json!([REDIRECT]));
    assert_eq!(sent["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(
        (&sent["application_type"], &sent["token_endpoint_auth_method"]),
        (&json!("web"), &json!("client_secret_basic"))
    );

    let mut metadata = remote.metadata(&remote.origin);
    metadata["client_id_metadata_document_supported"] = json!(true);
    remote.says(super::remote::SERVER, Reply::json(200, &metadata));
    let client = remote.client();
    let begun = begin(&client).await.unwrap();
    assert_eq!(parameter(&begun.url, "client_id").as_deref(), Some(DOCUMENT));
    let document = client.client_metadata_document();
    assert_eq!((&document["client_id"], &document["redirect_uris"]), (&json!(DOCUMENT), &json!([REDIRECT])));
    assert!(document.get("client_secret").is_none());
    connect(&client, &callback(&remote)).await.unwrap();
    assert_eq!(remote.seen("/token")[0].field("client_id").as_deref(), Some(DOCUMENT));

    let by_hand = remote.client_with(|settings| {
        settings.authorization_server = Some(remote.origin.clone());
        settings.client = Some(PreRegistered {
            client_id: "by-hand".to_owned(),
            client_secret: None,
            key: None,
            method: None,
        });
    });
    let begun = begin(&by_hand).await.unwrap();
    assert_eq!(parameter(&begun.url, "client_id").as_deref(), Some("by-hand"), "before all others");

    metadata["client_id_metadata_document_supported"] = json!(false);
    metadata["registration_endpoint"] = json!(null);
    remote.says(super::remote::SERVER, Reply::json(200, &metadata));
    assert_eq!(begin(&remote.client()).await.err(), Some(Obstacle::NoRegistration.into()));
}

/// A provider begins to take documents, or the operator registers by hand: what was given before goes on, to the client to which
/// it was given.
#[tokio::test]
async fn another_way_of_becoming_known_ends_nothing_that_was_given_before() {
    let remote = Remote::honest().await;
    let registered = connect(&remote.client(), &callback(&remote)).await.unwrap();
    let mut metadata = remote.metadata(&remote.origin);
    metadata["client_id_metadata_document_supported"] = json!(true);
    remote.says(super::remote::SERVER, Reply::json(200, &metadata));
    let by_hand = |settings: &mut upstream::oauth_client::OauthClientSettings| {
        settings.authorization_server = Some(remote.origin.clone());
        settings.client = Some(PreRegistered {
            client_id: "by-hand".to_owned(),
            client_secret: None,
            key: None,
            method: None,
        });
    };
    let refresh = Secret::new("refresh-1".to_owned());
    for client in [remote.client(), remote.client_with(by_hand)] {
        client.refresh(&refresh, &registered.binding, &registered.scope).await.unwrap();
        let sent = remote.seen("/token").pop().unwrap();
        assert_eq!(sent.headers["authorization"], "Basic cmVnaXN0ZXJlZC0xOmh1c2gtMQ==", "as who it was");
    }
    let by_document = connect(&remote.client(), &callback(&remote)).await.unwrap();
    assert_eq!(by_document.binding.client_id, DOCUMENT);
    metadata["client_id_metadata_document_supported"] = json!(false);
    remote.says(super::remote::SERVER, Reply::json(200, &metadata));
    remote.client().refresh(&refresh, &by_document.binding, &by_document.scope).await.unwrap();
    assert_eq!(remote.seen("/token").pop().unwrap().field("client_id").as_deref(), Some(DOCUMENT));
    remote.says("/token", Reply::json(401, &json!({"error": "invalid_client"})));
    let gone = remote.client().refresh(&refresh, &by_document.binding, &by_document.scope).await.err();
    assert_eq!(gone, Some(Rejection::Forgotten.into()), "documents are read there no more");
}

/// CL-006: its metadata names the host, and is away for a moment. Where the operator names the authorization server, too.
#[tokio::test]
async fn metadata_that_is_away_for_a_moment_makes_nobody_move() {
    let remote = Remote::honest().await;
    remote.says("/mcp", Reply::bare(401));
    remote.says(&format!("{RESOURCE}/mcp"), Reply::bare(404));
    let of_host = json!({"resource": remote.origin, "authorization_servers": [remote.origin]});
    remote.says(RESOURCE, Reply::json(200, &of_host));
    let client =
        || remote.client_with(|settings| settings.authorization_server = Some(remote.origin.clone()));
    let given = connect(&client(), &callback(&remote)).await.unwrap();
    assert_eq!(given.binding.resource.as_deref(), Some(remote.origin.as_str()));
    let refresh = Secret::new("refresh-1".to_owned());
    let (fresh, asked) = (client(), remote.seen("/token").len());
    remote.says(RESOURCE, Reply::bare(404));
    let away = fresh.refresh(&refresh, &given.binding, &given.scope).await.err().unwrap();
    assert_eq!(away, OauthClientError::Unreachable(Place::McpServer));
    assert_eq!(remote.seen("/token").len(), asked, "nor is it shown to anybody");
    remote.says(RESOURCE, Reply::json(200, &of_host));
    remote.clock.advance(Duration::from_secs(61));
    assert!(fresh.refresh(&refresh, &given.binding, &given.scope).await.is_ok(), "a minute later");
    let elsewhere = json!({"resource": remote.at("/mcp"), "authorization_servers": [remote.origin]});
    remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &elsewhere));
    let moved = client().refresh(&refresh, &given.binding, &given.scope).await.err();
    assert_eq!(moved, Some(Rejection::Moved.into()), "it says so itself");
}

/// A registration that is gone there is forgotten here, once, and the next sign-in registers anew.
#[tokio::test]
async fn a_registration_that_is_not_known_any_more_is_made_anew() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &callback(&remote)).await.unwrap();
    remote.says("/token", Reply::json(401, &json!({"error": "invalid_client"})));
    let token = given.refresh_token.unwrap();
    let gone = client.refresh(&token, &given.binding, &given.scope).await.err();
    assert_eq!(gone, Some(Rejection::Forgotten.into()));
    let again = client.refresh(&token, &given.binding, &given.scope).await.err();
    assert_eq!(again, Some(Rejection::Forgotten.into()));
    assert_eq!(remote.seen("/token").len(), 2, "nobody who is forgotten asks");
    let registered = json!({"client_id": "registered-2", "token_endpoint_auth_method": "none"});
    remote.says("/register", Reply::json(201, &registered));
    let begun = begin(&client).await.unwrap();
    assert_eq!(parameter(&begun.url, "client_id").as_deref(), Some("registered-2"));
    let old = client.refresh(&token, &given.binding, &given.scope).await.err();
    assert_eq!(old, Some(Rejection::Forgotten.into()), "what the old client was given is dead");
}

/// CL-023.
#[tokio::test]
async fn a_registration_that_is_refused_is_said_in_words_for_the_operator() {
    let remote = Remote::honest().await;
    remote.says("/register", Reply::json(400, &json!({"error": "invalid_redirect_uri"})));
    let refused = begin(&remote.client()).await.err().unwrap();
    assert_eq!(refused, Obstacle::Registration.into());
    assert!(refused.to_string().contains("`client_id`"), "{refused}");
    for odd in [
        json!({}),
        json!({"client_id": ""}),
        json!({"client_id": "a\r\nb"}),
        json!({"client_id": "x", "token_endpoint_auth_method": "client_secret_post"}),
        json!({"client_id": "x", "token_endpoint_auth_method": "private_key_jwt"}),
    ] {
        remote.says("/register", Reply::json(201, &odd));
        assert_eq!(begin(&remote.client()).await.err(), Some(Malformed::Registration.into()), "{odd}");
    }
}

/// A refresh token goes to whoever gave it, by whoever was given it, and to nobody else.
#[tokio::test]
async fn what_was_given_elsewhere_or_to_somebody_else_is_not_presented() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &callback(&remote)).await.unwrap();
    let refresh = Secret::new("refresh-1".to_owned());
    let redeemed = remote.seen("/token").len();
    let changed = |change: &dyn Fn(&mut Binding)| {
        let mut binding = given.binding.clone();
        change(&mut binding);
        binding
    };
    let cases = [
        (changed(&|binding| binding.issuer = "https://other.example".to_owned()), Rejection::Moved),
        (changed(&|binding| binding.issuer.push('/')), Rejection::Moved),
        (changed(&|binding| binding.resource = None), Rejection::Moved),
        (changed(&|binding| binding.client_id = "registered-2".to_owned()), Rejection::Forgotten),
        (changed(&|binding| binding.client_id.clear()), Rejection::Forgotten),
    ];
    for (binding, why) in cases {
        let refused = client.refresh(&refresh, &binding, &given.scope).await;
        assert_eq!(refused.err(), Some(why.into()), "{binding:?}");
    }
    assert_eq!(remote.seen("/token").len(), redeemed, "nobody saw it");
    assert!(client.refresh(&refresh, &given.binding, &given.scope).await.is_ok(), "the control");
}
