//! `sekisho audit export`: every event as a line of JSON, in the order in which they were sealed, from where the last export
//! ended (docs/audit.md).
//!
//! Into a file each event goes once, whatever ends the export: where it has come to is written down with the length of the
//! file, and what is longer was not finished. On standard output whoever reads tells by `id` what comes twice.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use protocol::secret::Hash;
use protocol::world::{Clock as _, Timestamp};
use serde::{Deserialize, Serialize};
use store::{AuditRow, AuditSeals as _, Engine, Queries as _};

use super::super::docs::{Reader, offer};
use super::super::{ConfigArgument, Failure};
use super::{json, parse_age};
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
    /// Only events of the last so many seconds, minutes, hours or days
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
    /// So long was the file then.
    bytes: u64,
}

impl Cursor {
    fn read(file: &Path) -> Result<Self, Failure> {
        let what = format!("cannot read `{}`", file.display());
        match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                Failure::Arguments(format!("`{}` holds no cursor of an export", file.display()))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io(what)(error)),
        }
    }

    /// That it is a place of this record, and nothing would be left out or come twice.
    async fn check(&self, store: &Engine) -> Result<(), Failure> {
        let Some(before) = self.seal.checked_sub(1) else { return Ok(()) };
        let there = store.list_seals(before, 1).await?;
        if there.first().is_some_and(|seal| seal.sealing.id == self.seal && hex(&seal.digest) == self.digest)
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
        let what = || format!("cannot write `{}`", file.display());
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        let text = serde_json::json!(&self).to_string();
        let write = || {
            let mut partial =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&name)?;
            partial.write_all(text.as_bytes())?;
            partial.sync_all()?;
            std::fs::rename(&name, file)
        };
        write().map_err(Failure::io(what()))
    }
}

/// Whereto.
struct Out {
    file: Option<File>,
    name: String,
    bytes: u64,
}

impl Out {
    fn open(to: Option<&Path>, bytes: u64) -> Result<Self, Failure> {
        let Some(path) = to else { return Ok(Self { file: None, name: String::new(), bytes: 0 }) };
        let name = format!("cannot write `{}`", path.display());
        let open = || {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
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
    let config = wiring::load(&arguments.config.config)?;
    let store = wiring::open_existing_store(&config).await?;
    super::noted::note(&store, "export", String::new()).await?;
    let mut cursor = arguments.cursor.as_deref().map(Cursor::read).transpose()?.unwrap_or_default();
    cursor.check(&store).await?;
    let mut out = Out::open(arguments.to.as_deref(), cursor.bytes)?;
    let since = arguments.since.map(|age| SystemClock::default().now().minus(age));
    loop {
        let gone = pass(&store, arguments, since, (&mut cursor, &mut out)).await?;
        if gone || !arguments.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Everything that is sealed and not out yet. Whether nobody reads it any more.
async fn pass(
    store: &Engine,
    arguments: &ExportArguments,
    since: Option<Timestamp>,
    (cursor, out): (&mut Cursor, &mut Out),
) -> Result<bool, Failure> {
    loop {
        // A restore may have come in between.
        cursor.check(store).await?;
        let seals = store.list_seals(cursor.seal, PAGE).await?;
        if seals.is_empty() {
            return Ok(false);
        }
        for seal in seals {
            let id = seal.sealing.id;
            let rows = store.audit_under_seal(id).await?;
            let wanted = |row: &&AuditRow| since.is_none_or(|since| row.at >= since);
            let text: String = rows.iter().filter(wanted).map(|row| line(row, id)).collect();
            if !text.is_empty() && out.write(&text)? == Reader::Gone {
                return Ok(true);
            }
            *cursor = Cursor { seal: id, digest: hex(&seal.digest), bytes: out.bytes };
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
        let mut out = Out::open(Some(&to), 0).unwrap();
        out.write("one\n").unwrap();
        Cursor { seal: 1, digest: "00".to_owned(), bytes: out.bytes }.write(&at).unwrap();
        out.write("tw").unwrap();
        drop(out);
        let cursor = Cursor::read(&at).unwrap();
        assert_eq!((cursor.seal, cursor.bytes), (1, 4));
        let mut out = Out::open(Some(&to), cursor.bytes).unwrap();
        out.write("two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "one\ntwo\n");
        // Somebody cut it: nothing is guessed.
        std::fs::write(&to, "o").unwrap();
        assert!(Out::open(Some(&to), 4).is_err());
        std::fs::write(&at, "{").unwrap();
        assert!(Cursor::read(&at).is_err());
    }
}
