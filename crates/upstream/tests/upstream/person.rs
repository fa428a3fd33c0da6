//! Who somebody is, from claims and userinfo (CB-08, CB-10, CB-11).

use serde_json::{Value, json};
use upstream::connectors::oidc::{Oidc, OidcSettings};
use upstream::connectors::{ConnectorError, Denial, Identity, Malformation, Refusal};

use crate::provider::{Answer, CODE, Provider, USERINFO, complete};
use crate::world::NOW;

async fn with_claims(claims: &[(&str, Value)]) -> Identity {
    let provider = Provider::start().await;
    provider.change(|held| claims.iter().for_each(|(name, value)| held.claim(name, value.clone())));
    let (oidc, _) = provider.connector();
    complete(&oidc, CODE).await.unwrap()
}

#[tokio::test]
async fn a_person_is_what_the_provider_vouches_for() {
    let identity = with_claims(&[("auth_time", json!(NOW.secs() - 7))]).await;
    let expected = Identity {
        connector: "idp".parse().unwrap(),
        subject: "248289761001".to_owned(),
        name: Some("Jane Doe".to_owned()),
        email: Some("jane@example.com".to_owned()),
        groups: vec!["engineering".to_owned(), "staff".to_owned()],
        authenticated_at: Some(protocol::world::Timestamp::from_secs(NOW.secs() - 7)),
        session: None,
        offline: None,
    };
    assert_eq!(identity, expected);
}

#[tokio::test]
async fn an_address_is_told_only_if_verified_is_true_the_boolean() {
    for verified in [json!(false), json!("true"), json!(1), json!(["true"]), json!(null)] {
        let identity = with_claims(&[("email_verified", verified.clone())]).await;
        assert_eq!(identity.email, None, "{verified}");
        assert_eq!(identity.subject, "248289761001");
    }
    for email in [
        json!("no address"),
        json!("a@b@example.com"),
        json!("@example.com"),
        json!("a@"),
        json!("a b@c"),
        json!(7),
    ] {
        assert_eq!(with_claims(&[("email", email.clone())]).await.email, None, "{email}");
    }
}

#[tokio::test]
async fn a_name_is_shown_without_tricks() {
    for (claims, shown) in [
        (vec![("name", json!("Jane\u{202e}eoD\r\n"))], Some("JaneeoD".to_owned())),
        (vec![("name", json!("n".repeat(1000)))], Some("n".repeat(200))),
        (vec![("name", json!(["Jane"])), ("preferred_username", json!("jdoe"))], Some("jdoe".to_owned())),
        (vec![("name", json!("\u{200e} "))], None),
        (vec![("name", json!(null))], None),
    ] {
        assert_eq!(with_claims(&claims).await.name, shown, "{claims:?}");
    }
}

#[tokio::test]
async fn groups_are_a_text_or_a_list_of_texts() {
    assert_eq!(with_claims(&[("groups", json!("staff"))]).await.groups, ["staff"]);
    assert_eq!(with_claims(&[("groups", json!([]))]).await.groups, Vec::<String>::new());
    assert_eq!(with_claims(&[("groups", json!(null))]).await.groups, Vec::<String>::new());
    let other = with_claims(&[("_claim_names", json!({"roles": "src1"}))]).await;
    assert_eq!(other.groups, ["engineering", "staff"]);
}

#[tokio::test]
async fn groups_that_are_elsewhere_or_unreadable_deny() {
    for (name, value) in [
        ("_claim_names", json!({"groups": "src1"})),
        ("_claim_names", json!("groups")),
        ("groups", json!(7)),
        ("groups", json!({"staff": true})),
        ("groups", json!(["staff", 7])),
        ("groups", json!(["staff", ""])),
        ("groups", json!(["g".repeat(257)])),
    ] {
        let provider = Provider::start().await;
        let shown = format!("{name} {value}");
        provider.change(|held| held.claim(name, value));
        let (oidc, _) = provider.connector();
        let denied = Err(ConnectorError::NotAllowed(Denial::GroupsUnavailable));
        assert_eq!(complete(&oidc, CODE).await, denied, "{shown}");
        // Who does not ask for groups is not bothered by them.
        let (oidc, _) = provider.connector_with(|settings| settings.groups_claim = None);
        assert_eq!(complete(&oidc, CODE).await.unwrap().groups, Vec::<String>::new());
    }
}

#[tokio::test]
async fn more_groups_than_anybody_has_deny() {
    for (count, admitted) in [(2000, true), (2001, false)] {
        let provider = Provider::start().await;
        let groups: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        provider.change(|held| {
            held.claim("groups", json!(null));
            held.userinfo["groups"] = json!(groups);
        });
        let answer = complete(&asking(&provider), CODE).await.map(|identity| identity.groups.len());
        let denied = Err(ConnectorError::NotAllowed(Denial::GroupsUnavailable));
        assert_eq!(answer, if admitted { Ok(count) } else { denied });
    }
}

#[tokio::test]
async fn the_groups_claim_has_the_name_that_is_configured() {
    let provider = Provider::start().await;
    provider.change(|held| held.claim("https://example.com/roles", json!("admin")));
    let claim =
        |settings: &mut OidcSettings| settings.groups_claim = Some("https://example.com/roles".to_owned());
    let (oidc, _) = provider.connector_with(claim);
    assert_eq!(complete(&oidc, CODE).await.unwrap().groups, ["admin"]);
}

#[tokio::test]
async fn a_domain_that_only_looks_alike_is_not_admitted() {
    for (email, verified, admitted) in [
        ("jane@example.com", json!(true), true),
        ("jane@EXAMPLE.com", json!(true), true),
        ("jane@example.com", json!("true"), false),
        ("jane@example.com", json!(null), false),
        ("jane@evil-example.com", json!(true), false),
        ("jane@sub.example.com", json!(true), false),
        ("jane@example.com.evil.example", json!(true), false),
        ("jane@evil.example@example.com", json!(true), false),
        ("jane@example.com ", json!(true), false),
        ("jane@example\u{fe52}com", json!(true), false),
        ("example.com", json!(true), false),
    ] {
        let provider = Provider::start().await;
        provider.change(|held| {
            held.claim("email", json!(email));
            held.claim("email_verified", verified);
        });
        let (oidc, _) =
            provider.connector_with(|settings| settings.email_domains = vec!["example.com".to_owned()]);
        let answer = complete(&oidc, CODE).await;
        if admitted {
            assert!(answer.is_ok(), "{email}");
        } else {
            assert_eq!(answer, Err(ConnectorError::NotAllowed(Denial::EmailDomain)), "{email}");
        }
    }
}

#[tokio::test]
async fn a_required_claim_must_be_there_and_equal() {
    for (hd, admitted) in [
        (json!("example.com"), true),
        (json!("example.org"), true),
        (json!(["other", "example.org"]), true),
        (json!(null), false),
        (json!("Example.com"), false),
        (json!("example.com.evil.example"), false),
        (json!({"example.com": true}), false),
        (json!(true), false),
        (json!([["example.com"]]), false),
    ] {
        let provider = Provider::start().await;
        let shown = hd.to_string();
        provider.change(|held| held.claim("hd", hd));
        let (oidc, _) = provider.connector_with(|settings| {
            let values = vec!["example.com".to_owned(), "example.org".to_owned()];
            settings.required_claims.insert("hd".to_owned(), values);
        });
        let denied = Err(ConnectorError::NotAllowed(Denial::RequiredClaim));
        let answer = complete(&oidc, CODE).await.map(|_| ());
        assert_eq!(answer, if admitted { Ok(()) } else { denied }, "{shown}");
    }
}

fn asking(provider: &Provider) -> Oidc {
    provider.connector_with(|settings| settings.userinfo = true).0
}

#[tokio::test]
async fn userinfo_is_asked_only_where_the_setting_says_so() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    assert!(provider.seen(USERINFO).is_empty());
    complete(&asking(&provider), CODE).await.unwrap();
    let request = provider.seen(USERINFO).remove(0);
    assert_eq!(request.headers.get("authorization").unwrap(), "Bearer a-token");
}

#[tokio::test]
async fn userinfo_of_somebody_else_is_refused() {
    for subject in [json!("somebody else"), json!(null), json!(["248289761001"]), json!("")] {
        let provider = Provider::start().await;
        provider.change(|held| {
            held.userinfo = json!({"sub": subject, "email": "x@example.com", "email_verified": true})
        });
        let refused = Err(ConnectorError::Malformed(Malformation::UserinfoSubject));
        assert_eq!(complete(&asking(&provider), CODE).await, refused, "{subject}");
    }
}

#[tokio::test]
async fn userinfo_adds_what_is_missing_and_changes_nothing() {
    let provider = Provider::start().await;
    provider.change(|held| {
        held.claim("groups", json!(null));
        held.claim("email_verified", json!(null));
        let about = json!({
            "sub": "248289761001", "name": "Mallory", "groups": ["late"],
            "email": "mallory@example.com", "email_verified": true,
        });
        held.userinfo = about;
    });
    let identity = complete(&asking(&provider), CODE).await.unwrap();
    assert_eq!(identity.name.as_deref(), Some("Jane Doe"));
    assert_eq!(identity.groups, ["late"]);
    // The ID token has an address that nobody verified; the other half is not taken from elsewhere.
    assert_eq!(identity.email, None);

    provider.change(|held| held.claim("email", json!(null)));
    let identity = complete(&asking(&provider), CODE).await.unwrap();
    assert_eq!(identity.email.as_deref(), Some("mallory@example.com"));
}

#[tokio::test]
async fn userinfo_that_is_none_is_refused() {
    let malformed = ConnectorError::Malformed(Malformation::Userinfo);
    for (answer, told) in [
        (Answer::status(200), malformed),
        (Answer::status(401), malformed),
        (Answer::status(307), malformed),
        (Answer::json(&json!("jane")), malformed),
        (
            Answer { content_type: "application/jwt", body: "a.b.c".to_owned(), ..Answer::status(200) },
            malformed,
        ),
        (Answer::status(502), ConnectorError::Unreachable),
    ] {
        let provider = Provider::start().await;
        provider.change(|held| drop(held.answers.insert(USERINFO, answer)));
        assert_eq!(complete(&asking(&provider), CODE).await, Err(told));
    }
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_not_a_denial_of_ours() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let refused = complete(&oidc, "error=access_denied&state=s").await.unwrap_err();
    assert_eq!(refused, ConnectorError::Refused(Refusal::AccessDenied));
    assert_eq!(refused.reason(), "access_denied");
}
