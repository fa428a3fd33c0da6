//! How long a start takes with existing keys and store, how large the binary is, and what it holds at rest.

use testkit::http::Http;

use crate::peer::Peer;
use crate::product::{Product, Setup, binary, prepare, ready, spawn};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Starts once to make keys and store, then measures.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let setup = Setup::new("http://127.0.0.1:9/mcp");
    let (folder, port) = prepare(&setup, None)?;
    let url = format!("http://localhost:{port}");
    let (mut rounds, mut cpu) = (Rounds::default(), Rounds::default());
    for round in 0..=plan.rounds * 2 {
        let running = Peer::adopt(spawn(&setup, folder.path())?, url.clone());
        let took = ready(&Http::default(), &url).await?;
        if round > 0 {
            rounds.push(took.as_secs_f64() * 1e3);
            cpu.push(running.cpu_seconds()? * 1e3);
        }
    }
    table.row("start to first 200, keys and store exist", &rounds.show("ms", 1), "30 ms");
    table.row("CPU of that start", &cpu.show("ms", 0), "–");
    let size = std::fs::metadata(binary()?).map_err(|error| error.to_string())?.len();
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let mib = size as f64 / 1_048_576.0;
    table.row("size of the binary", &format!("{mib:.1} MiB"), "–");
    let product = Product::start(&setup).await?;
    table.row("RSS idle", &format!("{:.1} MiB", product.peer.rss_mib()?), "25 MiB");
    Ok(())
}
