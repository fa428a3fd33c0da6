//! Minted credentials, which whoever asks holds: installation tokens of a GitHub App.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use serde_json::{Value, json};
use upstream::oauth_client::{GithubAppSettings, Minter, Obstacle, Rejection};

use super::remote::{Remote, Reply};
use crate::world::{NOW, fetcher};

const PLACE: &str = "/app/installations/7/access_tokens";

/// An RSA key, as GitHub gives it (PKCS #1) and as Google does (PKCS #8).
fn keys() -> (String, String) {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    // RFC 5208: the PKCS #1 key is the octet string behind a head of 26 bytes.
    (pem("RSA PRIVATE KEY", &pkcs8.as_ref()[26..]), pem("PRIVATE KEY", pkcs8.as_ref()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn github(remote: &Remote, key: &str) -> Minter {
    let settings = GithubAppSettings {
        api_url: remote.origin.clone(),
        app_id: "Iv1.app".to_owned(),
        installation_id: 7,
        private_key: Secret::new(key.to_owned()),
        permissions: vec![("issues".to_owned(), "write".to_owned())],
        repositories: vec!["notes".to_owned()],
    };
    Minter::github(settings, fetcher(), remote.clock.clone(), Duration::from_secs(10)).unwrap()
}

fn minted(token: &str, ends: Timestamp) -> Reply {
    let ends = jiff::Timestamp::from_second(ends.secs()).unwrap().to_string();
    Reply::json(201, &json!({"token": token, "expires_at": ends, "permissions": {"issues": "write"}}))
}

async fn token(minter: &Minter) -> String {
    minter.mint().await.unwrap().token.expose(str::to_owned)
}

#[tokio::test]
async fn an_installation_token_is_asked_for_as_github_says() {
    let remote = Remote::bare().await;
    let (pkcs1, _) = keys();
    let minter = github(&remote, &pkcs1);
    remote.says(PLACE, minted("ghs_1", NOW.plus(Duration::from_secs(3600))));
    assert_eq!(token(&minter).await, "ghs_1");
    let asked = remote.seen(PLACE);
    assert_eq!(
        serde_json::from_str::<Value>(&asked[0].body).unwrap(),
        json!({"permissions": {"issues": "write"}, "repositories": ["notes"]})
    );
    let bearer =
        asked[0].headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let claims = URL_SAFE_NO_PAD.decode(bearer.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], claims["exp"].as_i64()), (&json!("Iv1.app"), Some(NOW.secs() + 540)));
}

#[tokio::test]
async fn what_is_no_token_is_told_for_what_it_is() {
    let remote = Remote::bare().await;
    let minter = github(&remote, &keys().0);
    remote.says(PLACE, Reply::bare(503));
    assert!(minter.mint().await.err().unwrap().is_passing());
    for (status, why) in
        [(401, Obstacle::Key.into()), (404, Rejection::Grant.into()), (422, Obstacle::Scope.into())]
    {
        remote.says(PLACE, Reply::bare(status));
        assert_eq!(minter.mint().await.err(), Some(why), "{status}");
    }
    remote.says(PLACE, minted("ghs_9", NOW));
    assert!(minter.mint().await.is_err(), "over when it comes");
    remote.says(PLACE, minted("ghs_9", NOW.plus(Duration::from_secs(86_400))));
    assert!(minter.mint().await.unwrap().ends <= NOW.plus(Duration::from_secs(3600)));
}

#[tokio::test]
async fn what_is_no_key_is_said_before_anybody_is_asked() {
    let remote = Remote::bare().await;
    let (pkcs1, pkcs8) = keys();
    let settings = |key: &str, api_url: &str| GithubAppSettings {
        api_url: api_url.to_owned(),
        app_id: "Iv1.app".to_owned(),
        installation_id: 7,
        private_key: Secret::new(key.to_owned()),
        permissions: Vec::new(),
        repositories: Vec::new(),
    };
    let made = |key: &str, api_url: &str| {
        Minter::github(settings(key, api_url), fetcher(), remote.clock.clone(), Duration::from_secs(10))
            .is_ok()
    };
    assert!(made(&pkcs1, &remote.origin) && made(&pkcs8, &remote.origin));
    assert!(!made("none", &remote.origin) && !made(&pkcs8, "http://api.example"));
    assert_eq!(remote.paths(), [""; 0]);
}
