//! `cargo xtask bench`: measures the release binary on loopback beside its peers, in one run.
//!
//! Each peer is a process of its own, so that its CPU time can be read from the kernel. Numbers are medians
//! of several rounds that take turns; the table says how far the rounds lay apart. Nothing here asserts.

mod calls;
mod flows;
mod load;
mod passthrough;
mod peer;
mod product;
mod rounds;
mod startup;
mod streams;
mod table;
mod upstream;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every step says when it cannot go on.
pub(crate) type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let done = match words.as_slice() {
        ["upstream"] => runtime.block_on(upstream::serve()),
        ["passthrough", target] => runtime.block_on(passthrough::serve(target)),
        [] => runtime.block_on(run(&Plan { rounds: 5, seconds: 2.0 })),
        ["quick"] => runtime.block_on(run(&Plan { rounds: 1, seconds: 0.5 })),
        ["streams"] => runtime.block_on(streams_only(&Plan { rounds: 5, seconds: 2.0 })),
        _ => Err("usage: bench [quick|streams]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    anstream::eprintln!("bench: {error}");
    ExitCode::FAILURE
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Rounds of each workload.
    pub rounds: usize,
    /// The length of one round in seconds.
    pub seconds: f64,
}

async fn run(plan: &Plan) -> Outcome<()> {
    let mut table = table::Table::new(plan);
    let binary = product::binary()?;
    startup::measure(&binary, plan, &mut table).await?;
    let upstream = peer::Peer::start_self(&["upstream"]).await?;
    let product = product::Product::start(&binary, &upstream.url).await?;
    table.row("RSS idle", &format!("{:.1} MiB", product.peer.rss_mib()?), "25 MiB");
    let passthrough = peer::Peer::start_self(&["passthrough", &upstream.url]).await?;
    let session = flows::sign_in(&product).await?;
    calls::measure(
        plan,
        &calls::Peers {
            upstream: &upstream,
            passthrough: &passthrough,
            product: &product,
            session: &session,
        },
        &mut table,
    )
    .await?;
    flows::registrations(plan, &product, &mut table).await?;
    flows::code_flows(plan, &product, &session, &mut table).await?;
    flows::refreshes(plan, &product, &session, &mut table).await?;
    streams::measure(plan, &product, &session, &mut table).await?;
    table.row("RSS after all of this", &format!("{:.1} MiB", product.peer.rss_mib()?), "–");
    table.print();
    Ok(())
}

async fn streams_only(plan: &Plan) -> Outcome<()> {
    let mut table = table::Table::new(plan);
    let upstream = peer::Peer::start_self(&["upstream"]).await?;
    let product = product::Product::start(&product::binary()?, &upstream.url).await?;
    let session = flows::sign_in(&product).await?;
    streams::measure(plan, &product, &session, &mut table).await?;
    table.print();
    Ok(())
}
