//! `cargo xtask bench` and `cargo xtask soak`: the release binary on loopback, beside its peers or over a long time.
//!
//! Each peer is a process of its own, so that its CPU time can be read from the kernel. Numbers are medians
//! of several rounds that take turns; the table says how far the rounds lay apart. Nothing here asserts.

mod audit;
mod calls;
mod documents;
mod dpop;
mod failover;
mod flood;
mod flows;
mod grants;
mod load;
mod machines;
mod nginx;
mod nodes;
mod passthrough;
mod peer;
mod pin;
mod policy;
mod postgres;
mod product;
mod rounds;
mod samples;
mod soak;
mod startup;
mod streams;
mod table;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every step says when it cannot go on.
pub(crate) type Outcome<T> = Result<T, String>;

const USAGE: &str = "usage: bench [--quick] [--postgres FOLDER] parts | PART | soak MINUTES";

/// The parts of the bench, with what must be known of each beside the numbers.
const PARTS: [(&str, &str); 12] = [
    ("start", "One process on a core of its own."),
    (
        "calls",
        "Each measured process has one core, load generator and MCP server share the other. CPU is what the kernel \
         charged to the process.",
    ),
    ("flows", "Sekisho with its SQLite file has one core, the load generator the other; 32 connections."),
    (
        "machines",
        "Sekisho with its SQLite file has one core, the load generator the other; 32 connections. \
         ID-JAGs and proofs are signed before.",
    ),
    (
        "audit",
        "Sekisho has one core, load generator and MCP server the other; 32 connections, one tool with `readOnlyHint`.",
    ),
    (
        "policy",
        "Decisions in the process of the bench; of the lists Sekisho and the pass-through have one core, load generator and \
         MCP server the other.",
    ),
    ("grants", "As `calls` and `flows`, over two SQLite files, each person with 100 grants."),
    ("streams", "A stream is the client's connection, the one to the MCP server, and what lies between."),
    ("postgres", "As `calls` and `flows`, with PostgreSQL (every commit durable) on the core of the load."),
    (
        "nodes",
        "Two nodes, PostgreSQL, load generator and MCP server share both cores: it says nothing of scaling.",
    ),
    ("failover", "PostgreSQL is killed, is away for 8 s, and starts again; 24 clients go on throughout."),
    ("flood", "The load generator of both shares one core with the MCP server; Sekisho has the other."),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut plan = Plan { rounds: 5, seconds: 2.0, quick: false, postgres: None };
    if words.first() == Some(&"--quick") {
        plan = Plan { rounds: 1, seconds: 0.5, quick: true, ..plan };
        words.remove(0);
    }
    if let ["--postgres", folder, ..] = words.as_slice() {
        plan.postgres = Some(PathBuf::from(folder));
        words.drain(..2);
    }
    match words.as_slice() {
        ["upstream" | "passthrough", ..] | ["parts"] => {}
        _ => pin::myself(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(run(&plan, &words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    anstream::eprintln!("bench: {error}");
    ExitCode::FAILURE
}

/// How much is measured, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Rounds of each workload.
    pub rounds: usize,
    /// The length of one round in seconds.
    pub seconds: f64,
    /// Only to see whether it works.
    pub quick: bool,
    /// The folder of PostgreSQL's server programs.
    pub postgres: Option<PathBuf>,
}

async fn run(plan: &Plan, words: &[&str]) -> Outcome<()> {
    match words {
        ["upstream"] => upstream::serve().await,
        ["passthrough", target] => passthrough::serve(target).await,
        ["parts"] => {
            PARTS.iter().for_each(|(name, _)| anstream::println!("{name}"));
            Ok(())
        }
        ["soak", minutes] => soak::run(minutes.parse().map_err(|_| USAGE)?).await,
        [name] => part(plan, name).await,
        _ => Err(USAGE.to_owned()),
    }
}

async fn part(plan: &Plan, name: &str) -> Outcome<()> {
    let (name, how) = PARTS.iter().find(|part| part.0 == name).ok_or(USAGE)?;
    let mut table = table::Table::new();
    let table_here = &mut table;
    match *name {
        "start" => startup::measure(plan, table_here).await?,
        "calls" => calls::measure(plan, table_here).await?,
        "flows" => {
            let product = product::Product::start(&product::Setup::new("http://127.0.0.1:9/mcp")).await?;
            flows::measure(plan, &product, true, table_here).await?;
            let measured = format!("{:.1} MiB, {:.1} MiB", product.peer.rss_mib()?, product.peer.peak_mib()?);
            table_here.row("RSS after this work, and the most during it", &measured, "120 MiB");
            drop(product);
            documents::measure(table_here).await?;
        }
        "machines" => {
            machines::measure(plan, table_here).await?;
            dpop::measure(plan, table_here).await?;
        }
        "audit" => audit::measure(plan, table_here).await?,
        "policy" => policy::measure(plan, table_here).await?,
        "grants" => grants::measure(plan, table_here).await?,
        "streams" => streams::measure(plan, table_here).await?,
        "postgres" => postgres::measure(plan, table_here).await?,
        "nodes" => nodes::measure(plan, table_here).await?,
        "failover" => failover::measure(plan, table_here).await?,
        _ => flood::measure(plan, table_here).await?,
    }
    table.print(name, plan, how);
    Ok(())
}
