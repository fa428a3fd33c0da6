//! `sekisho audit export`: every event as a line of JSON, in the order in which they were sealed, from where the last export
//! ended (docs/audit.md).
//!
//! Into a file each event goes once, whatever ends the export: where it has come to is written down with the length of the
//! file, and what is longer was not finished. On standard output whoever reads tells by `id` what comes twice.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use protocol::secret::Hash;
use protocol::world::{Clock as _, Timestamp};
use serde::{Deserialize, Serialize};
use store::{AuditRow, AuditSeals as _, Engine, FoundSeal, Queries as _};

use super::super::docs::{Reader, offer};
use super::super::{ConfigArgument, Failure};
use super::unreadable::Unreadable;
use super::{json, own_file, parse_age};
use crate::wiring;
use crate::world::SystemClock;

/// Seals per reading.
const PAGE: u32 = 20;
/// How often there is a look for new ones.
const PAUSE: Duration = Duration::from_secs(1);

/// What is exported, and whereto.
#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only events of the last so many seconds, minutes, hours or days; of a cursor only the first time
    #[arg(long, value_name = "30s|10m|2h|7d", value_parser = parse_age)]
    since: Option<Duration>,
    /// Go on as events are sealed, until it is stopped
    #[arg(long)]
    follow: bool,
    /// Remember in this file where it ended, and go on from there the next time
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// Append to this file instead of writing to standard output
    #[arg(long, value_name = "FILE", requires = "cursor")]
    to: Option<PathBuf>,
}

/// Where an export has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// Everything up to this seal is out.
    seal: u64,
    /// Its digest: after a restore its number is that of another one.
    digest: String,
    /// The file that it goes to; none for standard output.
    #[serde(default)]
    file: Option<PathBuf>,
    /// What was before is left out, in microseconds since 1970: by the word of the first export.
    #[serde(default)]
    since: Option<i64>,
    /// So long was the file then.
    bytes: u64,
}

impl Cursor {
    /// `None`: there was no export yet.
    fn read(file: &Path) -> Result<Option<Self>, Failure> {
        let what = format!("cannot read `{}`", file.display());
        match own_file::to_read(file).and_then(std::io::read_to_string) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| {
                Failure::Arguments(format!("`{}` holds no cursor of an export", file.display()))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io(what)(error)),
        }
    }

    /// The one of this run: that of the last export, if it goes to the same place; else a new one, if nothing is lost by it.
    fn of(last: Option<Self>, to: Option<&Path>) -> Result<Self, Failure> {
        let to = to
            .map(std::path::absolute)
            .transpose()
            .map_err(Failure::io("cannot tell where `--to` is".to_owned()))?;
        let Some(last) = last else {
            let is_taken =
                to.as_deref().is_some_and(|to| std::fs::metadata(to).is_ok_and(|there| there.len() > 0));
            if is_taken {
                return Err(Failure::Arguments(
                    "there is something in the file of `--to` already, and the cursor is new: take the cursor of the export that \
                     wrote it, or another file"
                        .to_owned(),
                ));
            }
            return Ok(Self { file: to, ..Self::default() });
        };
        if last.file == to {
            return Ok(last);
        }
        let place = |file: Option<PathBuf>| {
            file.map_or_else(|| "standard output".to_owned(), |file| format!("`{}`", file.display()))
        };
        Err(Failure::Arguments(format!(
            "the export under this cursor goes to {}, and not to {}: take a cursor for each",
            place(last.file),
            place(to),
        )))
    }

    /// That it is a place of this record, and nothing would be left out or come twice.
    async fn check(&self, store: &Engine) -> Result<(), Failure> {
        let Some(before) = self.seal.checked_sub(1) else { return Ok(()) };
        let there = store.list_seals(before, 1).await?;
        if there
            .first()
            .is_some_and(|there| there.seal.sealing.id == self.seal && hex(&there.seal.digest) == self.digest)
        {
            return Ok(());
        }
        Err(Failure::Arguments(format!(
            "seal {} is not the one up to which was exported: the record was restored from a backup, or is another one. Take \
             a new cursor (and a new file), and tell by `id` what comes twice",
            self.seal
        )))
    }

    /// Whole or not at all.
    fn write(&self, file: &Path) -> Result<(), Failure> {
        let text = serde_json::json!(&self).to_string();
        own_file::replace(file, &text).map_err(Failure::io(format!("cannot write `{}`", file.display())))
    }
}

/// Keeps a second export away from a cursor; until it is dropped.
fn locked(cursor: &Path) -> Result<File, Failure> {
    let mut name = cursor.as_os_str().to_owned();
    name.push(".lock");
    let what = format!("cannot write `{}`", Path::new(&name).display());
    let file = own_file::to_extend(Path::new(&name)).map_err(Failure::io(what.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::Arguments("another export is going on under this cursor".to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(Failure::io(what)(error)),
    }
}

/// Whereto.
struct Out {
    file: Option<File>,
    name: String,
    bytes: u64,
}

impl Out {
    fn open(cursor: &Cursor) -> Result<Self, Failure> {
        let Some(path) = &cursor.file else { return Ok(Self { file: None, name: String::new(), bytes: 0 }) };
        let (name, bytes) = (format!("cannot write `{}`", path.display()), cursor.bytes);
        let open = || {
            let mut file = own_file::to_extend(path)?;
            let there = file.metadata()?.len();
            if there < bytes {
                return Err(std::io::Error::new(
                    ErrorKind::InvalidData,
                    "it is shorter than when the export ended",
                ));
            }
            // What an export did not finish is written again.
            file.set_len(bytes)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
            Ok(file)
        };
        Ok(Self { file: Some(open().map_err(Failure::io(name.clone()))?), name, bytes })
    }

    fn write(&mut self, text: &str) -> Result<Reader, Failure> {
        let Some(file) = &mut self.file else { return offer(text) };
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(Failure::io(self.name.clone()))?;
        self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(Reader::There)
    }
}

pub(super) async fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let config = wiring::load_to_tend(&arguments.config.config)?;
    let store = wiring::open_existing_store(&config).await?;
    super::noted::note(&store, "export", String::new()).await?;
    let _lock = arguments.cursor.as_deref().map(locked).transpose()?;
    let last = arguments.cursor.as_deref().map(Cursor::read).transpose()?.flatten();
    let is_first = last.is_none();
    let mut cursor = Cursor::of(last, arguments.to.as_deref())?;
    cursor.check(&store).await?;
    if let Some(age) = arguments.since.filter(|_| is_first) {
        cursor.since = Some(SystemClock::default().now().minus(age).micros());
    }
    // What is in the file from now on is of this export, whenever it ends.
    if let Some(file) = &arguments.cursor {
        cursor.write(file)?;
    }
    let mut out = Out::open(&cursor)?;
    let since = cursor.since.map(Timestamp::from_micros);
    let mut unreadable = Unreadable::default();
    loop {
        let to = (&mut cursor, &mut out, &mut unreadable);
        let gone = pass(&store, arguments, since, to).await?;
        if gone || !arguments.follow {
            return Ok(unreadable.exit_code());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Everything that is sealed and not out yet. Whether nobody reads it any more.
async fn pass(
    store: &Engine,
    arguments: &ExportArguments,
    since: Option<Timestamp>,
    (cursor, out, unreadable): (&mut Cursor, &mut Out, &mut Unreadable),
) -> Result<bool, Failure> {
    loop {
        // A restore may have come in between.
        cursor.check(store).await?;
        let seals = store.list_seals(cursor.seal, PAGE).await?;
        if seals.is_empty() {
            return Ok(false);
        }
        for FoundSeal { seal, .. } in seals {
            let id = seal.sealing.id;
            let rows = store.audit_under_seal(id).await?;
            let wanted = |row: &&AuditRow| since.is_none_or(|since| row.at >= since);
            let text: String = rows.iter().filter(wanted).map(|row| line(row, id)).collect();
            if !text.is_empty() && out.write(&text)? == Reader::Gone {
                return Ok(true);
            }
            unreadable.note(&rows);
            *cursor = Cursor { seal: id, digest: hex(&seal.digest), bytes: out.bytes, ..cursor.clone() };
            if let Some(file) = &arguments.cursor {
                cursor.write(file)?;
            }
        }
    }
}

fn hex(hash: &Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn line(row: &AuditRow, seal: u64) -> String {
    let mut document = json(row);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("seal".to_owned(), seal.into());
    }
    format!("{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_export_did_not_finish_is_written_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (to, at) = (folder.path().join("events.jsonl"), folder.path().join("cursor"));
        let first = Cursor::of(None, Some(&to)).unwrap();
        first.write(&at).unwrap();
        let mut out = Out::open(&first).unwrap();
        out.write("one\n").unwrap();
        Cursor { seal: 1, digest: "00".to_owned(), bytes: out.bytes, ..first }.write(&at).unwrap();
        out.write("tw").unwrap();
        drop(out);
        let cursor = Cursor::of(Cursor::read(&at).unwrap(), Some(&to)).unwrap();
        assert_eq!((cursor.seal, cursor.bytes), (1, 4));
        let mut out = Out::open(&cursor).unwrap();
        out.write("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "one\ntwo\n");
        // Somebody cut it: nothing is guessed.
        std::fs::write(&to, "o").unwrap();
        assert!(Out::open(&cursor).is_err());
        std::fs::write(&at, "{").unwrap();
        assert!(Cursor::read(&at).is_err());
    }

    #[test]
    fn a_file_that_no_export_wrote_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (to, other) = (folder.path().join("events.jsonl"), folder.path().join("notes.txt"));
        std::fs::write(&other, "mine").unwrap();
        assert!(Cursor::of(None, Some(&other)).is_err());
        let of_a_file = Cursor::of(None, Some(&to)).unwrap();
        let of_nobody = Cursor::of(None, None).unwrap();
        for (last, to) in [
            (&of_a_file, None),
            (&of_a_file, Some(other.as_path())),
            (&of_nobody, Some(to.as_path())),
            (&of_nobody, Some(other.as_path())),
        ] {
            assert!(Cursor::of(Some(last.clone()), to).is_err(), "{last:?} {to:?}");
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine");
    }

    #[test]
    fn st_17_an_export_goes_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("theirs"), "{}").unwrap();
        for name in ["cursor", "cursor.lock", "cursor.partial", "events.jsonl"] {
            std::os::unix::fs::symlink(path("theirs"), path(name)).unwrap();
        }
        let cursor = Cursor { file: Some(path("events.jsonl")), ..Cursor::default() };
        assert!(Cursor::read(&path("cursor")).is_err());
        assert!(locked(&path("cursor")).is_err());
        assert!(Out::open(&cursor).is_err());
        cursor.write(&path("cursor")).unwrap();
        assert_eq!(std::fs::read_to_string(path("theirs")).unwrap(), "{}");
        assert_eq!(Cursor::read(&path("cursor")).unwrap(), Some(cursor));
    }

    #[test]
    fn a_second_export_stays_away_from_a_cursor() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("cursor");
        let first = locked(&at).unwrap();
        assert!(locked(&at).is_err());
        drop(first);
        locked(&at).unwrap();
    }
}
