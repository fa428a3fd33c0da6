//! `sekisho backup`: the whole store in one file, as of one moment, beside a running Sekisho.
//!
//! Never over a file that is there, never half a file under the name that was asked for, and never the master key.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use store::{Contents, Progress};

use super::Failure;
use super::docs::print;
use super::progress::Told;
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho backup --config sekisho.toml --to /backup/sekisho-2026-11-01.backup
  sekisho backup --verify /backup/sekisho-2026-11-01.backup

The file holds everything but the master key: without that key it cannot be restored. Keep the key \
elsewhere, and as long as the backup.";

/// Where to, or what to check.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The file to make, for its owner alone; it must not be there yet
    #[arg(long, value_name = "FILE", required_unless_present = "verify", conflicts_with = "verify")]
    pub to: Option<PathBuf>,
    /// Read a backup from end to end and say what is in it
    #[arg(long, value_name = "FILE")]
    pub verify: Option<PathBuf>,
}

pub(super) fn run(arguments: &BackupArguments) -> Result<ExitCode, Failure> {
    if let Some(file) = &arguments.verify {
        print(&told(file, &verified(file)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(config), Some(to)) = (&arguments.config, &arguments.to) else {
        return Err(Failure::Arguments("`--config` says whose store is backed up".to_owned()));
    };
    let contents = wiring::runtime()?.block_on(make(config, to))?;
    print(&format!("{}\n{KEY_ELSEWHERE}", told(to, &contents)))?;
    Ok(ExitCode::SUCCESS)
}

const KEY_ELSEWHERE: &str = "THE MASTER KEY IS NOT IN IT. What is sealed in the store stays sealed in the backup: keep the \
    master key elsewhere, and as long as this file; without it the backup cannot be restored.\n";

async fn make(config: &Path, to: &Path) -> Result<Contents, Failure> {
    let config = wiring::load_to_tend(config)?;
    let store = wiring::open_existing_store(&config).await?;
    if to.symlink_metadata().is_ok() {
        return Err(is_there(to));
    }
    let partial = Partial::create(to)?;
    let made_by = env!("CARGO_PKG_VERSION");
    let now = World::real().clock.now();
    let shown = Arc::new(Told::new("rows"));
    let out = partial.file.try_clone().map_err(Failure::io(partial.what()))?;
    let made = store.back_up(out, (made_by, now), telling(&shown)).await;
    shown.finish();
    made?;
    // Read again before it has its name: a backup that cannot be read is none.
    partial.file.sync_all().map_err(Failure::io(partial.what()))?;
    let contents = verified(&partial.path)?;
    partial.keep(to)?;
    Ok(contents)
}

fn is_there(to: &Path) -> Failure {
    Failure::Arguments(format!("`{}` is there already, and is not overwritten", to.display()))
}

/// What is told of progress.
pub(super) fn telling(told: &Arc<Told>) -> Progress {
    let told = Arc::clone(told);
    Arc::new(move |done, all| told.tell(done, all))
}

/// Every byte checked, and what is in it.
pub(super) fn verified(file: &Path) -> Result<Contents, Failure> {
    let shown = Arc::new(Told::new("bytes read again"));
    let contents = store::verify_file(file, &telling(&shown));
    shown.finish();
    contents.map_err(|error| Failure::BackupFile { file: file.to_owned(), error })
}

/// In words.
pub(super) fn told(file: &Path, contents: &Contents) -> String {
    let count = |table: &str| contents.counts.get(table).copied().unwrap_or_default();
    // What a file says that anybody may have made is shown, and never obeyed by a terminal.
    let shown = |text: &str| text.escape_debug().to_string();
    let fact = |name: &str| contents.meta.get(name).map_or_else(|| "unknown".to_owned(), |fact| shown(fact));
    let header = &contents.header;
    format!(
        "{}: whole. Taken at {:?} from {} by Sekisho {}, schema {}.\n\
         {} people, {} grants, {} clients, {} keys, {} audit events and {} blocks of them.\n\
         Public URL {}, master key `{}`.\n",
        file.display(),
        header.taken_at(),
        shown(&header.engine),
        shown(&header.made_by),
        header.schema,
        count("users"),
        count("grants"),
        count("clients"),
        count("keys"),
        count("audit_events"),
        count("audit_blocks"),
        fact("public_url"),
        fact("master_key"),
    )
}

/// A file that has not its name yet; removed unless it is kept.
struct Partial {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Partial {
    fn create(to: &Path) -> Result<Self, Failure> {
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = PathBuf::from(name);
        let what = format!("cannot write `{}`", path.display());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Ok(Self { file: file.map_err(Failure::io(what))?, path, kept: false })
    }

    fn what(&self) -> String {
        format!("cannot write `{}`", self.path.display())
    }

    /// Gives it its name, unless something has it by now.
    fn keep(mut self, to: &Path) -> Result<(), Failure> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match fs::hard_link(&self.path, to) {
            // The first name is removed with this value.
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(is_there(to)),
            // Not every file system knows second names.
            Err(_) => {
                fs::rename(&self.path, to)
                    .map_err(Failure::io(format!("cannot write `{}`", to.display())))?;
                self.kept = true;
            }
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Failure::io(self.what()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(&self.path));
        }
    }
}
