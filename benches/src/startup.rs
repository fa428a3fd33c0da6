//! How long a start takes with existing keys and store, and how large the binary is.

use std::path::Path;

use testkit::http::Http;

use crate::peer::Peer;
use crate::product::{prepare, ready, spawn};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Starts once to make keys and store, then measures.
pub(crate) async fn measure(binary: &Path, plan: &Plan, table: &mut Table) -> Outcome<()> {
    let (folder, port) = prepare("http://127.0.0.1:9/mcp")?;
    let url = format!("http://127.0.0.1:{port}");
    let mut rounds = Rounds::default();
    for round in 0..=plan.rounds {
        let _running = Peer::adopt(spawn(binary, folder.path())?, url.clone());
        let took = ready(&Http::default(), &format!("http://localhost:{port}")).await?;
        if round > 0 {
            rounds.push(took.as_secs_f64() * 1e3);
        }
    }
    table.row("start to first 200, keys and store exist", &rounds.show("ms", 1), "30 ms");
    let size = std::fs::metadata(binary).map_err(|error| error.to_string())?.len();
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let mib = size as f64 / 1_048_576.0;
    table.row("size of the binary", &format!("{mib:.1} MiB"), "–");
    Ok(())
}
