//! Starting other programs, so that a failure names the command.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::repository::root;

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs it with our own output; an exit code that is not 0 is a failure.
pub(crate) fn must(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command)).into()) }
}

/// Runs it and answers what it printed; what it complains of is part of the failure.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    if out.status.success() {
        return Ok(String::from_utf8(out.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(format!("`{}` failed ({})\n{complaint}", shown(command), out.status).into())
}

/// Cargo, in the root, never changing the lock file.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(words);
    command
}

/// What `cargo metadata` says of the workspace.
pub(crate) fn metadata() -> Result<serde_json::Value, Failure> {
    let text = output(&mut cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    Ok(serde_json::from_str(&text)?)
}

/// A program that cargo has built for `profile` (`debug` or `release`).
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf, Failure> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target).join(profile).join(name))
}
