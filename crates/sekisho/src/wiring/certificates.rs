//! The certificates of the listeners: read from files and read again when those change, or had from an authority.
//!
//! A file that cannot be used never takes the place of one that could: it is reported, and the last good one stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::secret::{Hash, Secret};
use tokio_util::sync::CancellationToken;
use web::{Certificates, Identity};

use crate::commands::Failure;
use crate::config::secrets;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// The certificate files of one listener.
#[derive(Debug)]
pub struct CertificateFiles {
    shown: Arc<Certificates>,
    pairs: Vec<(PathBuf, PathBuf)>,
    /// What was found in the files the last time, good or not.
    seen: Mutex<Hash>,
}

/// One look at the files.
struct Found {
    hash: Hash,
    identities: Vec<Identity>,
}

impl CertificateFiles {
    /// Reads them. At the start they must be good.
    pub fn open(pairs: &[(PathBuf, PathBuf)], shown: &Arc<Certificates>) -> Result<Arc<Self>, Failure> {
        let Found { hash, identities } = read(pairs).map_err(|(failure, _)| failure)?;
        shown.replace(identities);
        Ok(Arc::new(Self { shown: Arc::clone(shown), pairs: pairs.to_vec(), seen: Mutex::new(hash) }))
    }

    /// Reads them again; whether they were exchanged. An error leaves everything as it was.
    pub fn reload(&self) -> Result<bool, Failure> {
        let found = read(&self.pairs);
        let hash = match &found {
            Ok(found) => found.hash,
            Err((_, hash)) => *hash,
        };
        let before = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), hash);
        if before == hash {
            return Ok(false);
        }
        self.shown.replace(found.map_err(|(failure, _)| failure)?.identities);
        Ok(true)
    }

    /// The same, and says in the log what came of it.
    pub fn reload_and_tell(&self) {
        let file = self.pairs.first().map(|(certificate, _)| certificate.display().to_string());
        let file = file.unwrap_or_default();
        match self.reload() {
            Ok(true) => tracing::info!(file, "new certificates are shown from now on"),
            Ok(false) => {}
            Err(failure) => tracing::error!(
                file, error = %failure,
                "new certificates cannot be used; the ones before are still shown, until they expire"
            ),
        }
    }

    /// Reads them again and again until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let files = Arc::clone(&self);
            // A disk may be slow. Awaited here, so it has an owner.
            drop(tokio::task::spawn_blocking(move || files.reload_and_tell()).await);
        }
    }
}

/// Reads all pairs; with an error comes what the files held as far as they could be read, so that it is told once.
fn read(pairs: &[(PathBuf, PathBuf)]) -> Result<Found, (Failure, Hash)> {
    let mut all = Vec::new();
    let mut first_error = None;
    let mut identities = Vec::new();
    for (certificate, key) in pairs {
        match read_pair(certificate, key, &mut all) {
            Ok(identity) => identities.push(identity),
            Err(failure) => {
                all.extend_from_slice(failure.to_string().as_bytes());
                first_error.get_or_insert(failure);
            }
        }
    }
    let hash = Hash::of(&all);
    match first_error {
        None => Ok(Found { hash, identities }),
        Some(failure) => Err((failure, hash)),
    }
}

fn read_pair(certificate: &Path, key: &Path, all: &mut Vec<u8>) -> Result<Identity, Failure> {
    let chain = fs::read(certificate)
        .map_err(Failure::io(format!("cannot read the certificate `{}`", certificate.display())))?;
    all.extend_from_slice(&chain);
    let key_text = Secret::new(secrets::read_private(key, "the key of a certificate")?);
    all.extend_from_slice(key_text.hash().as_bytes());
    Identity::from_pem(&chain, &key_text).map_err(|error| {
        Failure::Wiring(format!("`{}` with the key `{}`: {error}", certificate.display(), key.display()))
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Files {
        folder: tempfile::TempDir,
        pairs: Vec<(PathBuf, PathBuf)>,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let pairs = vec![(folder.path().join("a.pem"), folder.path().join("a.key"))];
            let files = Self { folder, pairs };
            files.write(0o600);
            files
        }

        /// Another certificate, whose key has this mode.
        fn write(&self, mode: u32) {
            let made = rcgen::generate_simple_self_signed(vec!["mcp.example.com".to_owned()]).unwrap();
            let (certificate, key) = &self.pairs[0];
            fs::write(certificate, made.cert.pem()).unwrap();
            drop(fs::remove_file(key));
            fs::write(key, made.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    #[test]
    fn files_that_change_are_exchanged_and_files_that_are_bad_are_told_once() {
        let files = Files::new();
        let kept = CertificateFiles::open(&files.pairs, &Arc::default()).unwrap();
        assert!(!kept.reload().unwrap(), "nothing has changed");
        files.write(0o600);
        assert!(kept.reload().unwrap());
        files.write(0o644);
        let told = kept.reload().unwrap_err().to_string();
        assert!(told.contains("can be read or changed by others"), "{told}");
        assert!(!kept.reload().unwrap(), "it was told");
        fs::write(files.folder.path().join("a.pem"), "half of a fi").unwrap();
        fs::set_permissions(&files.pairs[0].1, fs::Permissions::from_mode(0o600)).unwrap();
        let told = kept.reload().unwrap_err().to_string();
        assert!(told.contains("a.pem") && told.contains("holds no certificate"), "{told}");
        fs::remove_file(&files.pairs[0].0).unwrap();
        assert!(kept.reload().is_err());
        files.write(0o600);
        assert!(kept.reload().unwrap(), "it is mended");
    }

    #[test]
    fn at_the_start_files_must_be_good() {
        let files = Files::new();
        files.write(0o640 | 0o004);
        assert!(CertificateFiles::open(&files.pairs, &Arc::default()).is_err());
    }
}
