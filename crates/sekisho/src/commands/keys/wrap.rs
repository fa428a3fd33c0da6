//! `sekisho keys wrap` and `unwrap`: a master key into the keeping of a key-management service, and back.

use std::path::{Path, PathBuf};

use clap::Args;
use protocol::keys::MasterKey;
use protocol::secret::Secret;

use crate::commands::{ConfigArgument, Failure};
use crate::config::Config;
use crate::config::master_key::{KeyServiceConfig, MasterKeySource};
use crate::config::secrets::SecretSource;
use crate::wiring::{self, World, master_keys, private_file};

/// What is wrapped.
#[derive(Debug, Args)]
pub(super) struct WrapArguments {
    /// A file with the master key that the record has already, instead of a new one
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgument,
}

/// Where it is written.
#[derive(Debug, Args)]
pub(super) struct UnwrapArguments {
    /// The new file, for its owner only
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    config: ConfigArgument,
}

fn service(config: &Config) -> Result<&KeyServiceConfig, Failure> {
    match &config.master_key {
        MasterKeySource::Service(service) => Ok(service),
        MasterKeySource::Secret(_) => Err(Failure::Arguments(
            "the configuration names no key-management service: write [master_key] with `service` and `key` first"
                .to_owned(),
        )),
    }
}

/// Wraps, and says what to write into the configuration.
pub(super) async fn wrap(arguments: &WrapArguments) -> Result<String, Failure> {
    let (config, world) = (wiring::load_to_tend(&arguments.config.config)?, World::real());
    let service = service(&config)?;
    let secret = match &arguments.from {
        Some(file) => SecretSource::File(file.clone()).load("the master key")?,
        None => MasterKey::generate(world.entropy.as_ref()).1,
    };
    let fingerprint = fingerprint(&secret)?;
    let client = master_keys::client(&config, &world, service)?;
    let wrapped = client.wrap(&secret).await.map_err(|error| refused("wrap", &error))?;
    // What cannot be unwrapped again would be found at the next start, when it is too late.
    let back = client.unwrap(&wrapped).await.map_err(|error| refused("unwrap again", &error))?;
    if !back.matches(&secret) {
        return Err(Failure::Wiring("the service unwrapped another key than it had wrapped".to_owned()));
    }
    Ok(format!(
        "# The master key {fingerprint}, wrapped. Write this under [master_key]; it is no secret.\nwrapped = \"{wrapped}\"\n"
    ))
}

/// Unwraps into a file.
pub(super) async fn unwrap(arguments: &UnwrapArguments) -> Result<String, Failure> {
    let (config, world) = (wiring::load_to_tend(&arguments.config.config)?, World::real());
    let service = service(&config)?;
    let wrapped = service.settings.wrapped.as_ref().ok_or_else(|| {
        Failure::Arguments("there is nothing to unwrap: `wrapped` under [master_key] is missing".to_owned())
    })?;
    let client = master_keys::client(&config, &world, service)?;
    let secret = client.unwrap(wrapped).await.map_err(|error| refused("unwrap", &error))?;
    let fingerprint = fingerprint(&secret)?;
    write(&arguments.to, &secret)?;
    Ok(format!(
        "The master key {fingerprint} is in `{}`. Keep it as you keep no other file.\n",
        arguments.to.display()
    ))
}

fn write(to: &Path, secret: &Secret) -> Result<(), Failure> {
    private_file::create(to, secret)
}

fn fingerprint(secret: &Secret) -> Result<String, Failure> {
    let master = secret.expose(MasterKey::parse);
    let master = master.map_err(|error| Failure::Wiring(format!("the master key: {error}")))?;
    Ok(master.fingerprint().to_string())
}

fn refused(what: &str, error: &upstream::kms::KeyServiceError) -> Failure {
    Failure::Wiring(format!("the service did not {what} the master key: {error}"))
}
