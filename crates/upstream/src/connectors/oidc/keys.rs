//! The provider's keys, and the signature of an ID token (OpenID Connect Core 1.0, sections 3.1.3.7 and 10.1.1).
//!
//! A key that is not known yet makes the set be fetched once more, but not more often than every 30 seconds: a
//! flood of invented key ids must not become a flood of requests (CB-20).

use std::sync::Arc;
use std::time::Duration;

use protocol::jose::{Algorithm, Expect, JoseError, VerifyingKeys};
use protocol::world::Clock;
use serde_json::Value;

use super::super::answer::get_json;
use super::super::{ConnectorError, Malformation};
use super::discovery::Provider;
use super::id_token::Claims;
use super::kept::Kept;
use super::settings::OidcSettings;
use crate::egress::Egress;

const LARGEST: usize = 256 * 1024;
/// Between two fetches on account of an unknown key.
const INTERVAL: Duration = Duration::from_secs(30);
/// `none` and the symmetric ones are not on the list: there is no key of ours that could verify them.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256];
const EXPECT: Expect<'static> = Expect { typ: None, algorithms: &ALGORITHMS };

/// The key set, kept.
#[derive(Debug)]
pub(super) struct Keys(Kept<KeySet>);

#[derive(Debug)]
pub(super) struct KeySet {
    uri: String,
    keys: VerifyingKeys,
}

impl Keys {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Kept::new(clock))
    }

    pub(super) async fn current(
        &self,
        provider: &Provider,
        egress: &dyn Egress,
        settings: &OidcSettings,
    ) -> Result<Arc<KeySet>, ConnectorError> {
        let uri = provider.jwks_uri.as_str();
        self.0.current(|set| set.uri == uri, fetch(uri, egress, settings)).await
    }

    /// The claims of an ID token that the provider signed.
    pub(super) async fn verify(
        &self,
        token: &str,
        provider: &Provider,
        egress: &dyn Egress,
        settings: &OidcSettings,
    ) -> Result<Claims, ConnectorError> {
        let set = self.current(provider, egress, settings).await?;
        match set.keys.verify(token, &EXPECT) {
            Err(JoseError::KeyUnknown) => {}
            judged => return judged.map_err(|error| refused(error).into()),
        }
        let fetch = fetch(provider.jwks_uri.as_str(), egress, settings);
        let Some(newer) = self.0.newer(&set, INTERVAL, fetch).await? else {
            return Err(Malformation::UnknownKey.into());
        };
        newer.keys.verify(token, &EXPECT).map_err(|error| refused(error).into())
    }
}

fn refused(error: JoseError) -> Malformation {
    tracing::debug!(%error, "id token refused");
    match error {
        JoseError::Claims => Malformation::IdTokenClaims,
        JoseError::KeyUnknown => Malformation::UnknownKey,
        JoseError::TooLarge => Malformation::IdTokenTooLarge,
        JoseError::Algorithm
        | JoseError::Critical
        | JoseError::Header
        | JoseError::Key
        | JoseError::KeyMissing
        | JoseError::KeySet
        | JoseError::Malformed
        | JoseError::Signature
        | JoseError::Signing
        | JoseError::Type => Malformation::IdTokenSignature,
    }
}

async fn fetch(uri: &str, egress: &dyn Egress, settings: &OidcSettings) -> Result<KeySet, ConnectorError> {
    let limits = settings.shared_limits(LARGEST);
    let mut document: Value = get_json(egress, uri, limits, Malformation::KeySet).await?;
    if let Some(tenants) = &settings.quirks.tenants {
        drop_foreign(&mut document, |issuer| tenants.knows(issuer));
    }
    let keys = VerifyingKeys::from_jwks(&document).map_err(|error| {
        tracing::debug!(%error, "key set refused");
        Malformation::KeySet
    })?;
    Ok(KeySet { uri: uri.to_owned(), keys })
}

/// Entra marks the keys that are good for one issuer alone by that issuer: those of private accounts must not sign for a
/// tenant of ours (Microsoft identity platform, access tokens, "Validate the signing key issuer").
fn drop_foreign(document: &mut Value, is_ours: impl Fn(&str) -> bool) {
    let Some(keys) = document.get_mut("keys").and_then(Value::as_array_mut) else { return };
    keys.retain(|key| match key.get("issuer") {
        None => true,
        Some(issuer) => issuer.as_str().is_some_and(&is_ours),
    });
}
