//! What belongs to somebody else: another client's code, another person's.

use testkit::client::TestClient;
use testkit::outcomes::{Verdict, tok400};

use crate::steps::{Flow, Tokens};

/// AS-135, AS-140.
#[tokio::test]
async fn a_code_is_good_in_the_hands_of_its_client_only() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let twin = TestClient::register(&flow.house.http, &flow.house.issuer, &flow.client.redirect_uri).await?;
    assert_ne!(twin.client_id, flow.client.client_id);
    tok400(&twin.redeem(&code.code, &code.verifier).await?, "invalid_grant")?;
    let known = flow.house.known_client("known-native")?;
    tok400(&known.redeem(&code.code, &code.verifier).await?, "invalid_grant")?;
    assert_eq!(flow.house.counts().await?.grants, 0);
    flow.redeemed(&code).await?;
    flow.close().await
}

#[tokio::test]
async fn two_people_s_codes_and_verifiers_do_not_mix() -> Verdict {
    let mut flow = Flow::new().await?;
    let alice = flow.code().await?;
    flow.browser = flow.house.browser();
    flow.login = "bob";
    let bob = flow.code().await?;
    tok400(&flow.client.redeem(&alice.code, &bob.verifier).await?, "invalid_grant")?;
    tok400(&flow.client.redeem(&bob.code, &alice.verifier).await?, "invalid_grant")?;
    let (alice, bob) = (flow.redeemed(&alice).await?, flow.redeemed(&bob).await?);
    assert_ne!(alice.claims()?["sub"], bob.claims()?["sub"]);
    assert_ne!(alice.claims()?["grant_id"], bob.claims()?["grant_id"]);
    flow.lives(&alice).await?;
    flow.lives(&bob).await?;
    flow.close().await
}

/// AS-138.
#[tokio::test]
async fn an_injected_code_does_not_answer_the_attacker_s_challenge() -> Verdict {
    // The attacker's client asks with a challenge of its own and is handed the victim's code instead of one for it.
    let mut flow = Flow::new().await?;
    let victim = flow.code().await?;
    let attacker = flow.pkce();
    tok400(&flow.client.redeem(&victim.code, &attacker.verifier).await?, "invalid_grant")?;
    flow.redeemed(&victim).await?;
    flow.close().await
}

/// AS-170.
#[tokio::test]
async fn a_token_says_whose_it_is_and_nothing_personal() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens: Tokens = flow.tokens().await?;
    let claims = tokens.claims()?;
    let mut names: Vec<&String> = claims.as_object().ok_or("no claims")?.keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["aud", "client_id", "exp", "grant_id", "iat", "iss", "jti", "scope", "sub"],
        "{claims}"
    );
    assert_eq!(claims["iss"], flow.house.issuer.as_str());
    assert_eq!(claims["aud"], flow.house.resource("notes").as_str());
    assert_eq!(claims["client_id"], flow.client.client_id.as_str());
    assert!(!claims.to_string().contains("alice"), "{claims}");
    flow.close().await
}
