//! `sekisho serve`: runs with a configuration until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use crate::telemetry;
use crate::wiring::{self, World, listeners};

pub(super) fn run(file: &Path) -> Result<ExitCode, Failure> {
    telemetry::install("info");
    let config = wiring::load(file)?;
    wiring::runtime()?.block_on(async {
        let listeners = listeners::bind(&config.house.listen).await?;
        let running = wiring::start(&config, World::real(), listeners).await?;
        tracing::info!(public_url = config.house.public_url, "ready");
        running.until(wiring::signals::stop_requested()).await;
        Ok(ExitCode::SUCCESS)
    })
}
