//! Secrets come from a file, the environment or a command, never from the configuration itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::secret::Secret;

use super::parse;
use super::reader::Section;

/// Where one secret comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// The output of a program, run once at start without a shell.
    Command(Vec<String>),
    /// An environment variable.
    Environment(String),
    /// A file that only its owner can read.
    File(PathBuf),
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The program failed.
    #[error("the command for {what} failed: {why}")]
    Command {
        /// Which secret.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// It is empty.
    #[error("{what} is empty")]
    Empty {
        /// Which secret.
        what: &'static str,
    },
    /// The variable is not set.
    #[error("the environment variable `{name}` for {what} is not set")]
    Environment {
        /// Which secret.
        what: &'static str,
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("the file `{path}` for {what} cannot be read: {why}", path = path.display())]
    File {
        /// Which secret.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Others may read the file.
    #[error("the file `{path}` for {what} can be read or changed by others; allow only its owner: chmod 600", path = path.display())]
    Readable {
        /// Which secret.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
}

const ALLOWED: &str = "exactly one of NAME_file = \"path\", NAME_env = \"VARIABLE\", NAME_command = [\"program\", \"argument\"]";

impl SecretSource {
    /// Reads `{name}_file`, `{name}_env` or `{name}_command`. `None` when a mistake was recorded.
    pub(super) fn read(section: &mut Section<'_>, name: &str, required: bool) -> Option<Option<Self>> {
        let file = section.optional(&format!("{name}_file"), "a path", parse::text)?;
        let environment = section.optional(&format!("{name}_env"), "the name of a variable", parse::text)?;
        let command =
            section.optional(&format!("{name}_command"), "a program and its arguments", parse::texts)?;
        let mut sources: Vec<Self> = Vec::new();
        sources.extend(file.map(|file| Self::File(section.source.path(&file))));
        sources.extend(environment.map(Self::Environment));
        sources.extend(command.filter(|words| !words.is_empty()).map(Self::Command));
        let key = format!("{name}_file");
        let allowed = ALLOWED.replace("NAME", name);
        match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => Some(Some(source)),
            (None, _) if !required => Some(None),
            (None, _) => {
                section.mistake(&key, "is missing", &allowed);
                None
            }
            (Some(_), false) => {
                section.mistake(&key, "is given in more than one way", &allowed);
                None
            }
        }
    }

    /// The secret itself, without white space around it. `what` names it in errors.
    pub fn load(&self, what: &'static str) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Command(words) => run(words, what)?,
            Self::Environment(name) => environment(name, what)?,
            Self::File(path) => read_private(path, what)?,
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            Err(SecretError::Empty { what })
        } else {
            Ok(Secret::new(trimmed.to_owned()))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration is where the environment may be read")]
fn environment(name: &str, what: &'static str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|_| SecretError::Environment { what, name: name.to_owned() })
}

fn run(words: &[String], what: &'static str) -> Result<String, SecretError> {
    let (program, arguments) = words.split_first().ok_or(SecretError::Empty { what })?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| SecretError::Command { what, why: error.to_string() })?;
    if !output.status.success() {
        return Err(SecretError::Command { what, why: output.status.to_string() });
    }
    String::from_utf8(output.stdout)
        .map_err(|_| SecretError::Command { what, why: "its output is not text".to_owned() })
}

/// Whether a file is for its owner alone.
#[cfg(unix)]
pub fn is_private(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path)?;
    Ok(!open_to_others(metadata.uid(), metadata.mode()))
}

/// Whether a file is for its owner alone, where that is not known.
#[cfg(not(unix))]
pub fn is_private(path: &Path) -> std::io::Result<bool> {
    std::fs::metadata(path).map(|_| true)
}

/// Whether everybody may change a file, or exchange what is in a folder. With the sticky bit only owners may.
#[cfg(unix)]
pub fn is_open_to_writers(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mode = std::fs::metadata(path)?.mode();
    Ok(mode & 0o002 != 0 && mode & 0o1000 == 0)
}

/// Whether everybody may change a file, where that is not known.
#[cfg(not(unix))]
pub fn is_open_to_writers(path: &Path) -> std::io::Result<bool> {
    std::fs::metadata(path).map(|_| false)
}

/// The text of a file that only its owner can read.
pub fn read_private(path: &Path, what: &'static str) -> Result<String, SecretError> {
    let fail = |why| SecretError::File { what, path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = file.metadata().map_err(fail)?;
        if open_to_others(metadata.uid(), metadata.mode()) {
            return Err(SecretError::Readable { what, path: path.to_owned() });
        }
    }
    std::io::read_to_string(file).map_err(fail)
}

/// Whether others than its owner may read or change a file. Root's may be read by its group: that is how secrets reach a
/// process without rights in Kubernetes (`fsGroup`), and PostgreSQL takes its keys by the same rule.
#[cfg(unix)]
const fn open_to_others(owner: u32, mode: u32) -> bool {
    const ROOT: u32 = 0;
    mode & (if owner == ROOT { 0o037 } else { 0o077 }) != 0
}

#[cfg(all(test, unix))]
mod tests {
    use super::open_to_others;

    #[test]
    fn a_secret_is_for_its_owner_and_roots_for_a_group_to_read() {
        for mode in [0o400, 0o600] {
            assert!(!open_to_others(0, mode) && !open_to_others(1000, mode), "{mode:o}");
        }
        for mode in [0o440, 0o640] {
            assert!(!open_to_others(0, mode), "{mode:o}");
            assert!(open_to_others(1000, mode), "{mode:o}");
        }
        for mode in [0o404, 0o444, 0o620, 0o660, 0o644, 0o602, 0o650] {
            assert!(open_to_others(0, mode) && open_to_others(1000, mode), "{mode:o}");
        }
    }
}
