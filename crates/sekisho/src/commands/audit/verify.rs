//! `sekisho audit verify` and `sekisho audit checkpoint`: whether the audit is what was sealed, and a proof of today to be
//! kept elsewhere (docs/audit.md).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use protocol::jose::VerifyingKeys;
use protocol::keys::Keys;
use resource_server::{Findings, SealClaims, read_checkpoint, verify_audit};
use serde::Deserialize;
use store::{AuditSeals as _, Engine, FoundSeal};

use super::super::docs::print;
use super::super::progress::Told;
use super::super::{ConfigArgument, Failure};
use crate::wiring::{self, World};

/// Something is wrong, as `sekisho check` says it.
pub(super) const WRONG: u8 = 3;
/// No checkpoint is larger.
const MOST: u64 = 64 * 1024;

/// Which record, and against what.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// A checkpoint that was kept elsewhere: what `sekisho audit checkpoint` wrote, or the one of a log line
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// JSON instead of sentences
    #[arg(long)]
    json: bool,
}

struct Bench {
    store: Arc<Engine>,
    keys: Keys,
}

impl Bench {
    async fn open(file: &Path) -> Result<Self, Failure> {
        let config = wiring::load_to_tend(file)?;
        let masters = wiring::master_keys(&config, &World::real()).await?;
        let store = wiring::open_existing_store(&config).await?;
        let world = World::of_record(store.as_ref()).await?;
        let keys = authorization_server::keys::read(store.as_ref(), &masters, world.clock.as_ref()).await?;
        Ok(Self { store, keys })
    }

    fn verifying(&self) -> VerifyingKeys {
        VerifyingKeys::of(self.keys.audit.iter().flat_map(|ring| ring.iter()))
    }
}

pub(super) async fn verify(arguments: &VerifyArguments) -> Result<ExitCode, Failure> {
    let bench = Bench::open(&arguments.config.config).await?;
    let keys = bench.verifying();
    let kept = arguments.checkpoint.as_ref().map(|file| kept(file, &keys)).transpose()?;
    let told = Told::new("seals verified");
    let found =
        verify_audit(bench.store.as_ref(), &keys, kept.as_ref(), &|done, all| told.tell(done, all)).await;
    told.finish();
    let found = found?;
    // After the look, so that it does not count itself among what is not sealed yet; before it is shown.
    super::noted::note(&bench.store, "verify", String::new()).await?;
    if arguments.json {
        print(&format!("{}\n", json(&found)))?
    } else {
        print(&words(&found))?
    }
    Ok(if found.count == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// The checkpoint in a file, if a key of this record signed it.
fn kept(file: &Path, keys: &VerifyingKeys) -> Result<SealClaims, Failure> {
    #[derive(Deserialize)]
    struct Written {
        checkpoint: String,
    }
    let told = || format!("cannot read `{}`", file.display());
    let size = std::fs::metadata(file).map_err(Failure::io(told()))?.len();
    let none = || Failure::Arguments(format!("`{}` holds no checkpoint of this record", file.display()));
    if size > MOST {
        return Err(none());
    }
    let text = std::fs::read_to_string(file).map_err(Failure::io(told()))?;
    let checkpoint = match serde_json::from_str::<Written>(&text) {
        Ok(written) => written.checkpoint,
        Err(_) => text.trim().to_owned(),
    };
    read_checkpoint(keys, &checkpoint).map_err(|_| none())
}

fn words(found: &Findings) -> String {
    let mut text = String::new();
    for fault in &found.faults {
        text.push_str(&format!("{fault}\n"));
    }
    let more = found.count.saturating_sub(u64::try_from(found.faults.len()).unwrap_or(u64::MAX));
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    if found.count > 0 {
        text.push('\n');
    }
    let verdict = if found.count == 0 { "The audit is what was sealed." } else { "The audit was changed." };
    text.push_str(&format!(
        "{verdict} {} seals, {} rows as they were, {} gone as their time was over, {} not sealed yet.\n",
        found.seals, found.rows, found.expired, found.unsealed
    ));
    if found.forgotten > 0 {
        text.push_str(&format!("Beside {} rows name and address were forgotten.\n", found.forgotten));
    }
    if found.names_outside > 0 {
        text.push_str(&format!(
            "Beside {} rows of an older release stand names and addresses that are not sealed: they can be changed unseen.\n",
            found.names_outside
        ));
    }
    text
}

fn json(found: &Findings) -> serde_json::Value {
    serde_json::json!({
        "ok": found.count == 0,
        "faults": found.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "faults_in_all": found.count,
        "seals": found.seals,
        "rows": found.rows,
        "expired": found.expired,
        "unsealed": found.unsealed,
        "names_forgotten": found.forgotten,
        "names_outside": found.names_outside,
        "checkpoint": found.last.as_ref().map(|(_, checkpoint)| checkpoint),
    })
}

/// The last seal with its public key, to be kept where nobody who can write into the record can write.
pub(super) async fn checkpoint(config: &ConfigArgument) -> Result<ExitCode, Failure> {
    let bench = Bench::open(&config.config).await?;
    let Some(FoundSeal { seal, .. }) = bench.store.last_seal().await? else {
        return Err(Failure::Arguments(
            "nothing is sealed yet: a running Sekisho seals within a second".to_owned(),
        ));
    };
    let key = bench.keys.audit.as_ref().and_then(|ring| ring.find(seal.key));
    let claims = read_checkpoint(&bench.verifying(), &seal.signature).map_err(|_| {
        Failure::Arguments(
            "the last seal is not signed by a key of this record: run `sekisho audit verify`".to_owned(),
        )
    })?;
    let at = jiff::Timestamp::from_microsecond(claims.sealed_at).unwrap_or_default();
    let document = serde_json::json!({
        "checkpoint": seal.signature,
        "seal": claims.seal,
        "digest": claims.digest,
        "rows": claims.rows,
        "sealed_at": at.to_string(),
        "jwk": key.map(protocol::jose::SigningKey::public_jwk),
    });
    print(&format!("{document:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
