//! Certificates from an authority: kept in a folder, shown at the listeners that want one, and renewed in time.
//!
//! A failure is told and tried again, more and more slowly; what was shown before goes on being shown.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::secret::{Hash, Secret};
use protocol::world::{Clock, Timestamp};
use upstream::acme::{Acme, AcmeError, AcmeSettings, Challenge, Proof, Prove, validity};
use upstream::egress::Fetcher;
use web::{Certificates, Front, Identity};

use super::{Trusts, private_file};
use crate::commands::Failure;
use crate::config::listeners::AcmeConfig;
use crate::config::{Config, listeners, secrets};

/// The chain and then the key.
pub const CERTIFICATE: &str = "certificate.pem";
/// Between two attempts: at first, and at most. Let's Encrypt bears five failures an hour for each name.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A machine may sleep, and its clock may be set: the time is looked at at least this often.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Keeps one certificate fresh.
#[derive(Debug)]
pub struct AcmeKeeper {
    acme: Acme,
    folder: PathBuf,
    account_file: PathBuf,
    shown: Vec<Arc<Certificates>>,
    clock: Arc<dyn Clock>,
}

impl AcmeKeeper {
    /// Shows what is in the folder, if it is good for something. Asks nobody anything yet.
    pub fn open(
        config: &Config,
        acme: &AcmeConfig,
        shown: &[Arc<Certificates>],
        (trusts, clock): (&Trusts, &Arc<dyn Clock>),
    ) -> Result<Self, Failure> {
        let folder = config.folder.join(&acme.settings.folder);
        private_file::create_folder(&folder)?;
        let directory_url = acme.settings.directory_url.to_string();
        let route = trusts.route(config, &directory_url, acme.settings.ca_file.as_deref())?;
        let keeper = Self {
            account_file: folder.join(account_file(&directory_url)),
            acme: Acme::new(settings(config, acme, directory_url)?, Arc::new(Fetcher::new(route))),
            folder,
            shown: shown.to_vec(),
            clock: Arc::clone(clock),
        };
        if let Err(error) = keeper.show() {
            tracing::warn!(%error, "the certificate in the folder of [acme] cannot be used; another one is ordered");
        }
        Ok(keeper)
    }

    /// Shows the certificate in the folder; when it is to be renewed.
    fn show(&self) -> Result<Option<Timestamp>, Failure> {
        let file = self.folder.join(CERTIFICATE);
        if !file.exists() {
            return Ok(None);
        }
        let pem = Secret::new(secrets::read_private(&file, "a certificate by ACME")?);
        let wrong = |what: String| Failure::Wiring(format!("`{}`: {what}", file.display()));
        let identity = pem.expose(|text| Identity::from_pem(text.as_bytes(), &pem));
        let identity = identity.map_err(|error| wrong(error.to_string()))?;
        let times = pem.expose(|text| validity(text.as_bytes()));
        let (from, to) = times.ok_or_else(|| wrong("it does not say how long it is valid".to_owned()))?;
        if !self.acme.names().iter().all(|name| identity.is_for_host(name)) {
            return Err(wrong("it is for other names".to_owned()));
        }
        for shown in &self.shown {
            shown.replace(vec![identity.clone()]);
        }
        // RFC 9773 is for authorities to say; without it, the last third is what they recommend.
        Ok(Some(to.minus(to.since(from) / 3)))
    }

    /// Orders when there is nothing to show, and again in time. Never ends; files are written whole or not at all.
    pub async fn run(self, front: Arc<Front>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.clock.now();
            // What is in the folder was read before; were it unreadable now, a new one is the way out.
            let renew_at = self.show().ok().flatten();
            let wait = match renew_at {
                Some(at) if at > now => at.since(now).min(LOOK),
                Some(_) | None => match self.order(&front).await {
                    Ok(()) => {
                        pause = FIRST_PAUSE;
                        continue;
                    }
                    Err(failure) => {
                        let (wait, next) = after(&failure, pause);
                        pause = next;
                        tracing::error!(
                            error = %failure, again_in_seconds = wait.as_secs(),
                            "there is no new certificate by ACME; what is shown stays until it expires"
                        );
                        wait
                    }
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn order(&self, front: &Arc<Front>) -> Result<(), OrderFailure> {
        let kept = if self.account_file.exists() {
            Some(Secret::new(
                secrets::read_private(&self.account_file, "an account of ACME").map_err(Failure::from)?,
            ))
        } else {
            None
        };
        let (shown, front) = (self.shown.clone(), Arc::clone(front));
        let prove = move |proofs: Vec<Proof>| show_proofs(&shown, &front, proofs);
        let prove: &Prove = &prove;
        tracing::info!(names = self.acme.names().join(" "), "a certificate is ordered");
        let issued = self.acme.order(kept.as_ref(), prove).await?;
        private_file::replace(&self.account_file, &issued.account)?;
        private_file::replace(&self.folder.join(CERTIFICATE), &issued.pem)?;
        self.show()?.ok_or_else(|| Failure::Wiring("the new certificate is not there".to_owned()))?;
        tracing::info!(names = self.acme.names().join(" "), "a new certificate is shown from now on");
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum OrderFailure {
    #[error("{0}")]
    Authority(#[from] AcmeError),
    #[error("{0}")]
    House(#[from] Failure),
}

/// How long to wait now, and the next time.
fn after(failure: &OrderFailure, pause: Duration) -> (Duration, Duration) {
    let limited = matches!(failure, OrderFailure::Authority(error) if error.is_rate_limit());
    let wait = if limited { LONGEST_PAUSE } else { pause };
    (wait, wait.saturating_mul(4).min(LONGEST_PAUSE))
}

/// An account belongs to one authority.
fn account_file(directory_url: &str) -> String {
    let hash = Hash::of(directory_url.as_bytes());
    let start = hash.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}"));
    format!("account-{}.json", start.collect::<String>())
}

fn settings(config: &Config, acme: &AcmeConfig, directory_url: String) -> Result<AcmeSettings, Failure> {
    let key = acme.eab_hmac_key.as_ref().map(|source| source.load("the key of the external account"));
    Ok(AcmeSettings {
        directory_url,
        contact: acme.settings.contact.clone(),
        names: config.acme_names(),
        challenge: match acme.settings.challenge {
            listeners::Challenge::Http01 => Challenge::Http01,
            listeners::Challenge::TlsAlpn01 => Challenge::TlsAlpn01,
        },
        external_account: acme.settings.eab_key_id.clone().zip(key.transpose()?),
    })
}

fn show_proofs(shown: &[Arc<Certificates>], front: &Front, proofs: Vec<Proof>) {
    let (mut answers, mut certificates) = (HashMap::new(), HashMap::new());
    for proof in proofs {
        match proof {
            Proof::Http { token, answer } => {
                answers.insert(token, answer);
            }
            Proof::TlsAlpn { name, certificate, key } => match Identity::proof(certificate, key) {
                Ok(identity) => {
                    certificates.insert(name, identity);
                }
                Err(error) => {
                    tracing::error!(%error, "a proof for the certificate authority cannot be shown")
                }
            },
        }
    }
    front.prove(answers);
    for shown in shown {
        shown.prove(certificates.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_a_rate_limit_is_respected_at_once() {
        let failed = || OrderFailure::Authority(AcmeError::TimedOut);
        let (first, next) = after(&failed(), FIRST_PAUSE);
        assert_eq!((first, next), (FIRST_PAUSE, FIRST_PAUSE * 4));
        assert_eq!(after(&failed(), LONGEST_PAUSE), (LONGEST_PAUSE, LONGEST_PAUSE));
        let limited = OrderFailure::Authority(AcmeError::Refused {
            kind: "rateLimited".to_owned(),
            what: String::new(),
        });
        assert_eq!(after(&limited, FIRST_PAUSE).0, LONGEST_PAUSE);
    }

    #[test]
    fn each_authority_has_an_account_file_of_its_own() {
        assert_eq!(account_file("https://a.example/directory"), account_file("https://a.example/directory"));
        assert_ne!(account_file("https://a.example/directory"), account_file("https://b.example/directory"));
    }
}
