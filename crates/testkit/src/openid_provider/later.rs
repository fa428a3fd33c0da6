//! What the provider says after the sign-in: that somebody logged out, or is out.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{BackchannelLogout, IssuerKeys, OnLogout};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use protocol::world::Clock;
use serde_json::{Map, Value, json};
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};
use upstream::trust::Trust;

use super::{CLIENT_ID, Desk, Held, OpenIdProvider, json_answer, lock, refused, text};

impl OpenIdProvider {
    /// What it says later, as a JWT of this type, signed as its ID tokens are now: honestly, or not.
    #[must_use]
    pub fn says(&self, typ: &'static str, claims: &Value) -> String {
        lock(&self.held).signed(typ, claims)
    }

    /// A logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4), changed; `null` takes a claim out.
    #[must_use]
    pub fn logout_token(&self, changes: &Value) -> String {
        let now = self.clock.now().secs();
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": "bWJq",
            "events": { event: {} },
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        self.says("logout+jwt", &claims)
    }

    /// It may say that somebody logged out.
    pub fn backchannel_logout(
        &self,
        connector: &str,
        on_logout: OnLogout,
    ) -> Result<BackchannelLogout, String> {
        Ok(BackchannelLogout {
            client_id: CLIENT_ID.to_owned(),
            connector: connector.to_owned(),
            issuer: self.issuer.clone(),
            keys: self.keys()?,
            on_logout,
        })
    }

    /// Its keys, as it publishes them.
    pub fn keys(&self) -> Result<IssuerKeys, String> {
        let egress = Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let sets = Arc::new(KeySets::new(egress, clock, Duration::from_secs(5)));
        Ok(IssuerKeys::Fetched(sets, KeySource::Discovery { issuer: self.issuer.clone() }))
    }

    /// From now on this person is nobody there: their refresh tokens are good for nothing.
    pub fn forget(&self, sub: &str) {
        self.change(|held| held.refresh_tokens.retain(|_, person| person.get("sub") != Some(&json!(sub))));
    }
}

impl Desk {
    pub(super) fn refresh_token(&self, held: &mut Held, person: Map<String, Value>) -> String {
        let token = format!("refresh {} of {}", held.given, self.issuer);
        held.given += 1;
        held.refresh_tokens.insert(token.clone(), person);
        token
    }

    /// OpenID Connect Core 1.0, section 12: what is said now of the person whose token it is.
    pub(super) fn refresh(&self, held: &mut Held, token: &str) -> Response<Full<Bytes>> {
        if let Some((status, error)) = held.refuses_refresh {
            return refused(status, error);
        }
        let Some(mut person) = held.refresh_tokens.get(token).cloned() else {
            return refused(400, "invalid_grant");
        };
        if held.person.get("sub") == person.get("sub") {
            person = held.person.clone();
        }
        let before = std::mem::replace(&mut held.person, person.clone());
        let id_token = held.sign(&self.claims(held, None));
        held.person = before;
        let mut answer =
            json!({"access_token": "token-of-the-provider", "token_type": "Bearer", "id_token": id_token});
        if held.rotates {
            held.refresh_tokens.remove(token);
            answer["refresh_token"] = self.refresh_token(held, person).into();
        }
        json_answer(&answer)
    }
}
