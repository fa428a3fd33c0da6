//! The master key: from a file, the environment or a command, or unwrapped by a key-management service.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

/// Which key-management service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS KMS.
    Aws,
    /// Google Cloud KMS.
    Google,
    /// HashiCorp Vault, transit engine.
    Vault,
}

impl Service {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS KMS",
            Self::Google => "Google Cloud KMS",
            Self::Vault => "Vault",
        }
    }
}

settings! {
    /// A key-management service that unwraps the master key at each start, in place of `master_key_…`.
    /// `sekisho keys wrap` makes the wrapped key. `[previous_master_key]` takes the same settings while the
    /// record goes over to another one. Credentials are found as the service's own tools find them: for AWS in
    /// the environment, by web identity, from the container's endpoint or the instance; for Google in the file
    /// that `GOOGLE_APPLICATION_CREDENTIALS` names or from the metadata server; for Vault as told here.
    ///
    /// A Sekisho that runs has the key in memory and does not notice when the service is away.
    KeyServiceSettings = "[master_key]" {
        /// Which service.
        service: Service = required, "\"aws-kms\", \"google-kms\" or \"vault\"", service;
        /// The key at the service: id, alias or ARN (AWS); `projects/…/cryptoKeys/…` (Google); its name (Vault).
        key: String = required, "a name", parse::text;
        /// The wrapped master key, as `sekisho keys wrap` printed it. It is no secret.
        wrapped: Option<String> = optional, "a text", parse::text;
        /// What the wrapped key is bound to at the service (encryption context, additional authenticated data).
        context: String = "'sekisho'", "a text", parse::text;
        /// How long a start waits for a service that does not answer, before it fails.
        patience: Duration = "'60s'", "0s to 10m", parse::duration::<0, 600>;
        /// The region (AWS).
        region: Option<String> = optional, "a region such as \"eu-central-1\"", parse::text;
        /// The address of the service: required for Vault, else the service's own. http is for a loopback host only.
        endpoint: Option<Url> = optional, "an https URL", endpoint;
        /// Certificate authorities for the service and for whoever gives credentials for it, in PEM, beside those of
        /// the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// Where the transit engine is mounted (Vault).
        mount: String = "'transit'", "a path", parse::text;
        /// The namespace (Vault).
        namespace: Option<String> = optional, "a name", parse::text;
        /// A file with a token (Vault).
        token_file: Option<String> = optional, "a path", parse::text;
        /// The role of AppRole (Vault), together with `secret_id_file`, `secret_id_env` or `secret_id_command`.
        role_id: Option<String> = optional, "an id", parse::text;
    }
}

/// `[master_key]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyServiceConfig {
    /// Its settings.
    pub settings: KeyServiceSettings,
    /// The secret of AppRole.
    pub secret_id: Option<SecretSource>,
    /// The file with a token, relative to the folder of the configuration.
    pub token_file: Option<PathBuf>,
}

/// Where a master key comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterKeySource {
    /// A secret.
    Secret(SecretSource),
    /// Unwrapped by a key-management service.
    Service(Box<KeyServiceConfig>),
}

impl MasterKeySource {
    /// Reads `{name}_file`, `{name}_env`, `{name}_command` or `[{name}]`. `None` when a mistake was recorded.
    pub(super) fn read(root: &mut Section<'_>, name: &str, required: bool) -> Option<Option<Self>> {
        let service = root.table(name).map(|section| KeyServiceConfig::read(section));
        let secret = SecretSource::read(root, name, required && service.is_none())?;
        match (secret, service) {
            (Some(_), Some(_)) => {
                root.mistake(name, "is given in more than one way", "one source of the master key");
                None
            }
            (Some(secret), None) => Some(Some(Self::Secret(secret))),
            (None, Some(service)) => Some(Some(Self::Service(Box::new(service?)))),
            (None, None) => Some(None),
        }
    }
}

impl KeyServiceConfig {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let settings = KeyServiceSettings::read(&mut section);
        let secret_id = SecretSource::read(&mut section, "secret_id", false);
        let judged = settings.as_ref().is_some_and(|settings| judge(&section, settings, &secret_id));
        let settings = settings.filter(|_| judged);
        let token_file = settings
            .as_ref()
            .and_then(|settings| settings.token_file.as_ref())
            .map(|file| section.source.path(file));
        section.finish();
        Some(Self { settings: settings?, secret_id: secret_id?, token_file })
    }
}

/// What only some services need, or know.
fn judge(
    section: &Section<'_>,
    settings: &KeyServiceSettings,
    secret_id: &Option<Option<SecretSource>>,
) -> bool {
    let secret_id = matches!(secret_id, Some(Some(_)));
    let vault = settings.service == Service::Vault;
    let aws = settings.service == Service::Aws;
    let foreign = [
        ("region", settings.region.is_some() && !aws),
        ("namespace", settings.namespace.is_some() && !vault),
        ("token_file", settings.token_file.is_some() && !vault),
        ("role_id", settings.role_id.is_some() && !vault),
        ("secret_id_file", secret_id && !vault),
    ];
    let path = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.path() != "/");
    if let Some((key, _)) = foreign.iter().find(|(_, given)| *given) {
        section.mistake(key, "is not known to this service", "no such setting here");
        return false;
    }
    let (key, problem, allowed) = match settings.service {
        Service::Aws if settings.region.is_none() => ("region", "is missing", "the region of the key"),
        Service::Aws if path => ("endpoint", "must not have a path", "an https URL without a path"),
        Service::Vault if settings.endpoint.is_none() => ("endpoint", "is missing", "the address of Vault"),
        Service::Vault if settings.token_file.is_some() == (settings.role_id.is_some() && secret_id) => (
            "token_file",
            "is needed, or role_id with secret_id_file, and not both",
            "token_file = \"path\", or role_id = \"id\" and secret_id_file = \"path\"",
        ),
        Service::Aws | Service::Google | Service::Vault => return true,
    };
    section.mistake(key, problem, allowed);
    false
}

/// Over anything but TLS the master key could be read on its way.
fn endpoint(value: &toml::de::DeValue<'_>) -> Result<Url, String> {
    let url = parse::http_url(value)?;
    if url.query().is_some() {
        return Err("must not have a query".to_owned());
    }
    if url.scheme() == "http" && !parse::is_loopback(&url) {
        return Err("must be https; http is for a loopback host only".to_owned());
    }
    Ok(url)
}

fn service(value: &toml::de::DeValue<'_>) -> Result<Service, String> {
    match parse::text(value)?.as_str() {
        "aws-kms" => Ok(Service::Aws),
        "google-kms" => Ok(Service::Google),
        "vault" => Ok(Service::Vault),
        _ => Err("is not a service that is known".to_owned()),
    }
}
