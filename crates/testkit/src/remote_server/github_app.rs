//! GitHub's API for apps, as its public documentation says (read on 2026-11-26):
//! docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app, and
//! docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app.
//!
//! - the assertion is a JWT by RS256 in `Authorization: Bearer`: `iss` is the app, `iat` not in the future, `exp` at most ten minutes
//!   ahead; another one is 401;
//! - an installation that is not of this app is 404; a permission or repository that it does not have is 422;
//! - the answer is 201 with `token` (`ghs_…`), `expires_at` an hour later, and the permissions that were given.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Access, Asked, Desk, Held, Reply, claims, lock};

/// The app.
pub const APP: &str = "Iv1.sekisho";
/// Where it is installed, which is who its tokens are there.
pub const INSTALLATION: u64 = 7;
/// The name under which its calls are answered.
pub const INSTALLED: &str = "installation-7";
/// The longest life of an assertion.
const LONGEST: i64 = 600;

/// The key of the app: GitHub keeps the public half.
pub(super) struct AppKey(KeyPair);

impl AppKey {
    pub(super) fn generate() -> Result<Self, String> {
        KeyPair::generate(KeySize::Rsa2048).map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn pem(&self) -> Result<String, String> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|error| error.to_string())?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    fn signed(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.0.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        Some(claims(token))
    }
}

impl std::fmt::Debug for AppKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppKey(..)")
    }
}

impl Desk {
    /// `POST /app/installations/{installation_id}/access_tokens`.
    pub(super) async fn installation_token(&self, asked: &Asked) -> Reply {
        let (delay, instead) = {
            let mut held = lock(&self.held);
            held.assertions.push(asked.header("authorization").to_owned());
            (held.delay, held.token_answers.pop_front())
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some((status, answer)) = instead {
            return Reply::json(status, &answer);
        }
        let told = |status: u16, message: &str| {
            Reply::json(status, &json!({"message": message, "status": status.to_string()}))
        };
        let mut held = lock(&self.held);
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let claims = self.app_key.as_ref().and_then(|key| key.signed(token)).unwrap_or_default();
        let now = self.clock.now().secs();
        let time = |name: &str| claims[name].as_i64().unwrap_or_default();
        let is_good =
            claims["iss"] == APP && time("iat") <= now && time("exp") > now && time("exp") - now <= LONGEST;
        if !is_good {
            return told(401, "A JSON web token could not be decoded");
        }
        if asked.path != format!("/app/installations/{INSTALLATION}/access_tokens") {
            return told(404, "Not Found");
        }
        let wanted: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let permissions = wanted["permissions"].as_object().cloned().unwrap_or_default();
        if permissions.iter().any(|(name, level)| name != "issues" || (level != "read" && level != "write")) {
            return told(422, "The permissions requested are not granted to this installation.");
        }
        held.counts.exchanges += 1;
        self.mint_installation_token(&mut held, &json!(permissions), &wanted["repositories"])
    }

    /// `DELETE /installation/token`, with the token itself: 204.
    /// docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token.
    pub(super) fn end_installation_token(&self, asked: &Asked) -> Reply {
        let mut held = lock(&self.held);
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let is_one = held.access.get(token).is_some_and(|access| access.person == INSTALLED);
        if !is_one {
            return Reply::json(401, &json!({"message": "Bad credentials"}));
        }
        held.access.remove(token);
        held.counts.revocations += 1;
        Reply::status(204)
    }

    fn mint_installation_token(&self, held: &mut Held, permissions: &Value, repositories: &Value) -> Reply {
        const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
        let token = held.mint("ghs");
        let ends = self.clock.now().plus(HOUR);
        let family = held.family();
        held.access.insert(
            token.clone(),
            Access { ends, family, person: INSTALLED.to_owned(), scope: "write".to_owned() },
        );
        let names = repositories.as_array().cloned().unwrap_or_default();
        let named: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        let selection = if named.is_empty() { "all" } else { "selected" };
        let at = rfc3339(ends.secs());
        Reply::json(
            201,
            &json!({"token": token, "expires_at": at, "permissions": permissions, "repository_selection": selection,
                "repositories": named}),
        )
    }
}

/// `2026-11-26T22:00:00Z`.
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, by the calendar of 400 years (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}
