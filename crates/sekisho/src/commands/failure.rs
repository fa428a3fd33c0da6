//! Why a command failed, in a sentence, and the exit code that goes with it.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Mistakes;
use crate::config::secrets::SecretError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no backup, or no restore.
    #[error("{0}")]
    Backup(#[from] store::BackupError),
    /// A file is no backup that could be restored.
    #[error("`{}`: {error}", file.display())]
    BackupFile {
        /// The file.
        file: std::path::PathBuf,
        /// Why not.
        error: store::BackupError,
    },
    /// The configuration is wrong.
    #[error("the configuration is wrong\n\n{0}")]
    Configuration(#[from] Mistakes),
    /// The configuration cannot be read.
    #[error("the configuration `{}` cannot be read: {why}", .file.display())]
    ConfigurationFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The arguments contradict each other or what is there.
    #[error("{0}")]
    Arguments(String),
    /// Something could not be written or read.
    #[error("{what}: {why}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// The keys are missing or wrong.
    #[error("{0}")]
    Keys(#[from] authorization_server::keys::KeysError),
    /// Nobody is meant by what was said.
    #[error("{0}")]
    Nobody(String),
    /// There are mistakes in the policies.
    #[error("the policies are wrong\n\n{}", listed(.0))]
    Policies(Vec<policy::Mistake>),
    /// A secret could not be had.
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// The record cannot be used.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// A part could not be set up as configured.
    #[error("{0}")]
    Wiring(String),
}

impl Failure {
    /// As `sekisho --help` documents.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_)
            | Self::Configuration(_)
            | Self::ConfigurationFile { .. }
            | Self::Nobody(_)
            | Self::Policies(_) => ExitCode::from(2),
            Self::Backup(_)
            | Self::BackupFile { .. }
            | Self::Io { .. }
            | Self::Keys(_)
            | Self::Secret(_)
            | Self::Store(_)
            | Self::Wiring(_) => ExitCode::from(1),
        }
    }

    /// For `map_err`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |why| Self::Io { what, why }
    }
}

/// Each mistake on a line of its own.
fn listed(mistakes: &[policy::Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("  {mistake}")).collect::<Vec<_>>().join("\n")
}
