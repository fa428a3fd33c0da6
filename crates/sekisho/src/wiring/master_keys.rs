//! The master keys: read where the configuration says, or unwrapped by a key-management service.
//!
//! Must never make one: a master key that cannot be had is a failure with a sentence (attacks.md, ST-04).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::keys::{KeyRing, MasterKey};
use protocol::secret::Secret;
use upstream::egress::Fetcher;
use upstream::kms::aws::AwsKms;
use upstream::kms::google::GoogleKms;
use upstream::kms::vault::{VaultLogin, VaultTransit};
use upstream::kms::{KeyService, KeyServiceClient, KeyServiceError, Surroundings};

use super::{Trusts, World};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::master_key::{KeyServiceConfig, KeyServiceSettings, MasterKeySource, Service};

/// Between two questions to a service that does not answer, at first and at the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// The master key, and the previous one if there is one.
pub async fn master_keys(config: &Config, world: &World) -> Result<KeyRing<MasterKey>, Failure> {
    let master = read(config, world, &config.master_key, "the master key").await?;
    let mut previous = Vec::new();
    if let Some(source) = &config.previous_master_key {
        previous.push(read(config, world, source, "the previous master key").await?);
    }
    Ok(KeyRing::new(master, previous))
}

/// Whether the master keys that need no service can be read. A service is not asked: Sekisho runs without it.
pub fn try_at_hand(config: &Config) -> Result<(), Failure> {
    let previous = config.previous_master_key.iter().map(|source| (source, "the previous master key"));
    for (source, what) in std::iter::once((&config.master_key, "the master key")).chain(previous) {
        if let MasterKeySource::Secret(source) = source {
            drop(parse(&source.load(what)?, what)?);
        }
    }
    Ok(())
}

fn parse(secret: &Secret, what: &'static str) -> Result<MasterKey, Failure> {
    secret.expose(MasterKey::parse).map_err(|error| Failure::Wiring(format!("{what}: {error}")))
}

async fn read(
    config: &Config,
    world: &World,
    source: &MasterKeySource,
    what: &'static str,
) -> Result<MasterKey, Failure> {
    let secret = match source {
        MasterKeySource::Secret(source) => source.load(what)?,
        MasterKeySource::Service(service) => unwrap(config, world, service, what).await?,
    };
    parse(&secret, what)
}

/// Asks the service, and again for a while if it does not answer.
async fn unwrap(
    config: &Config,
    world: &World,
    service: &KeyServiceConfig,
    what: &'static str,
) -> Result<Secret, Failure> {
    let Some(wrapped) = &service.settings.wrapped else {
        return Err(Failure::Wiring(format!(
            "{what} is not wrapped yet: `sekisho keys wrap` makes it and prints what to write as `wrapped`"
        )));
    };
    let client = client(config, world, service)?;
    let (begun, (mut pause, longest)) = (world.clock.monotonic(), PAUSES);
    loop {
        let error = match client.unwrap(wrapped).await {
            Ok(secret) => return Ok(secret),
            Err(error) => error,
        };
        let waited = world.clock.monotonic().saturating_sub(begun);
        if !error.is_passing() || waited >= service.settings.patience {
            return Err(failure(what, &error));
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            waited_s = waited.as_secs(),
            patience_s = service.settings.patience.as_secs(),
            "{what} cannot be unwrapped yet; trying again"
        );
        tokio::time::sleep(pause.min(service.settings.patience.saturating_sub(waited))).await;
        pause = (pause * 2).min(longest);
    }
}

/// The sentence for a start that cannot have its master key.
pub fn failure(what: &'static str, error: &KeyServiceError) -> Failure {
    Failure::Wiring(format!("{what} cannot be had: {error}; no other one was made, and nothing was changed"))
}

/// The way to a service. Dials nothing.
pub fn client(
    config: &Config,
    world: &World,
    service: &KeyServiceConfig,
) -> Result<KeyServiceClient, Failure> {
    let settings = &service.settings;
    // Whatever the endpoint: credentials may be had elsewhere, over https.
    let route = Trusts::default().route(config, "https://", settings.ca_file.as_deref())?;
    Ok(KeyServiceClient {
        service: service_of(service, settings)?,
        egress: Arc::new(Fetcher::new(route)),
        clock: Arc::clone(&world.clock),
        surroundings: surroundings(),
    })
}

fn service_of(service: &KeyServiceConfig, settings: &KeyServiceSettings) -> Result<KeyService, Failure> {
    let endpoint = settings.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let (key, context) = (settings.key.clone(), settings.context.clone());
    Ok(match settings.service {
        Service::Aws => KeyService::Aws(AwsKms {
            key,
            region: settings.region.clone().unwrap_or_default(),
            endpoint,
            context,
        }),
        Service::Google => KeyService::Google(GoogleKms { key, endpoint, context }),
        Service::Vault => {
            let login = match (&service.token_file, &settings.role_id, &service.secret_id) {
                (None, Some(role_id), Some(secret_id)) => VaultLogin::AppRole {
                    role_id: role_id.clone(),
                    secret_id: secret_id.load("the secret of AppRole")?,
                },
                (token, _, _) => VaultLogin::TokenFile(
                    token.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
                ),
            };
            KeyService::Vault(VaultTransit {
                key,
                address: endpoint.unwrap_or_default(),
                mount: settings.mount.clone(),
                namespace: settings.namespace.clone(),
                login,
                context,
            })
        }
    })
}

/// The variables in which the services' own tools keep credentials, and no others.
#[expect(clippy::disallowed_methods, reason = "the binary is where the environment may be read")]
fn surroundings() -> Surroundings {
    let ours = |name: &str| {
        name.starts_with("AWS_") || name == "GOOGLE_APPLICATION_CREDENTIALS" || name == "GCE_METADATA_HOST"
    };
    // What is no text is none of theirs.
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| ours(name))?;
        Some((name, value.into_string().ok()?))
    });
    Surroundings(variables.collect::<HashMap<_, _>>())
}
