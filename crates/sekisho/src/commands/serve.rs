//! `sekisho serve`: runs with a configuration until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use crate::telemetry;
use crate::wiring::{self, World, listeners};

pub(super) fn run(file: &Path) -> Result<ExitCode, Failure> {
    let _log = telemetry::install("info");
    telemetry::log_panics();
    telemetry::leave_no_core();
    let config = wiring::load(file)?;
    wiring::runtime()?.block_on(async {
        let mut reloads = wiring::signals::Reloads::listen().map_err(Failure::io("cannot hear signals"))?;
        let listeners = listeners::bind(&config.house.listen).await?;
        let running = wiring::start(&config, World::real(), listeners).await?;
        tracing::info!(public_url = config.house.public_url, "ready");
        let mut stop = std::pin::pin!(wiring::signals::stop_requested());
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = reloads.next() => tokio::select! {
                    () = &mut stop => break,
                    () = running.reload(file) => {}
                },
            }
        }
        running.until(std::future::ready(())).await;
        Ok(ExitCode::SUCCESS)
    })
}
