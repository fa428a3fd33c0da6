//! Files that hold keys: made for their owner only, never over something that is there.

use std::io::Write as _;
use std::path::Path;

use protocol::secret::Secret;

use crate::commands::Failure;

/// Creates a folder that only its owner can enter; one that is there is left as it is.
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(Failure::io(format!("cannot make the folder `{}`", folder.display())))
}

/// Writes a secret into a file with mode 0600 in place of what is there, at once or not at all.
pub fn replace(path: &Path, secret: &Secret) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // Left behind by a crash, it would be in the way.
    drop(std::fs::remove_file(&new));
    create(&new, secret)?;
    std::fs::rename(&new, path).map_err(Failure::io(format!("cannot write `{}`", path.display())))
}

/// Writes a secret into a new file with mode 0600. Fails if the file is there, a link included.
pub fn create(path: &Path, secret: &Secret) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let what = || format!("cannot write `{}`", path.display());
    let mut file = options.open(path).map_err(Failure::io(what()))?;
    let written = secret.expose(|text| file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")));
    written.and_then(|()| file.sync_all()).map_err(Failure::io(what()))
}
