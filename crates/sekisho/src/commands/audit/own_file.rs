//! Files that an export writes: for their owner alone, and none that a link leads to (attacks.md, ST-17). Whoever may write into the
//! folder could else have an export write over, or give away, what is elsewhere.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Of its owner alone.
const MODE: u32 = 0o600;

/// Opens a file as it is asked for; what is made is its owner's alone, and a symbolic link is not followed.
fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let refused = |why| Error::new(ErrorKind::InvalidInput, why);
    let file = options.mode(MODE).custom_flags(flags).open(path).map_err(|error| {
        let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        if is_link { refused("it is a symbolic link: name the file itself") } else { error }
    })?;
    // A device is everybody's: its mode is not ours to change.
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused("it is no regular file")) }
}

/// To read it.
pub(super) fn to_read(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// To go on in it. One in which nothing stands yet was nobody's before: it is its owner's alone from now on. Whoever opens
/// another one to more readers has their reason.
pub(super) fn to_extend(path: &Path) -> Result<File> {
    let file = open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
    if file.metadata()?.len() == 0 {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

/// Puts a text in place of what is there, whole or not at all.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    // What one that was cut short has left, or somebody has put there. A link goes itself.
    match std::fs::remove_file(partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = open(partial, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(partial, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn st_17_no_link_is_followed_and_what_it_leads_to_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (elsewhere, link) = (folder.path().join("elsewhere"), folder.path().join("cursor"));
        std::fs::write(&elsewhere, "theirs").unwrap();
        symlink(&elsewhere, &link).unwrap();
        for refused in [to_read(&link), to_extend(&link)] {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("symbolic link"), "{why}");
        }
        symlink(&elsewhere, folder.path().join("cursor.partial")).unwrap();
        replace(&link, "mine").unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "theirs");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((std::fs::read_to_string(&link).unwrap().as_str(), mode(&link)), ("mine", MODE));
        assert!(!folder.path().join("cursor.partial").exists());
        // One that leads nowhere makes nothing there either.
        let (nowhere, link) = (folder.path().join("nowhere"), folder.path().join("events.jsonl"));
        symlink(&nowhere, &link).unwrap();
        to_extend(&link).unwrap_err();
        assert!(!nowhere.exists());
        let why = to_extend(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(why.contains("no regular file"), "{why}");
    }

    #[test]
    fn st_17_what_an_export_writes_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open_to_all = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), Permissions::from_mode(0o666)).unwrap();
        };
        open_to_all("empty", "");
        open_to_all("opened", "events");
        open_to_all("cursor.partial", "left behind");
        for name in ["new", "empty", "opened"] {
            to_extend(&path(name)).unwrap();
        }
        replace(&path("cursor"), "{}").unwrap();
        let modes: Vec<u32> = ["new", "empty", "cursor"].map(|name| mode(&path(name))).into();
        assert_eq!(modes, [MODE; 3]);
        assert_eq!(mode(&path("opened")), 0o666, "somebody has opened it to others since");
    }
}
