//! `sekisho policy check|test|explain`: whether the policies can be read, whether they say what they should, and why they said
//! what they said. Changes nothing.

mod cases;
mod explain;
mod what;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use protocol::world::Timestamp;

use super::docs::print;
use super::{ConfigArgument, Failure};
use crate::config::Config;
use crate::wiring;

const EXAMPLES: &str = "\
Examples:
  sekisho policy check --config sekisho.toml
  sekisho policy test --config sekisho.toml cases.toml
  sekisho policy explain --config sekisho.toml --user alice@example.com --server notes --tool delete_note
  sekisho policy explain --config sekisho.toml --user alice@example.com --server ledger --tool pay \\
    --arguments '{\"amount\": 5000}' --scopes 'read write'

Exit codes: 0 done, and everything is as expected; 2 the configuration, the policies or the cases are wrong; \
3 `test` found an answer that was not expected.";

/// What to do with the policies.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read the policies and tell every mistake
    Check(ConfigArgument),
    /// Ask the policies what a file of cases expects them to answer
    Test(TestArguments),
    /// Say in words what decides about a person at a tool
    Explain(Box<explain::ExplainArguments>),
}

#[derive(Debug, Args)]
struct TestArguments {
    /// The file of cases; docs/policy.md says what is in it
    #[arg(value_name = "CASES.toml")]
    cases: PathBuf,
    #[command(flatten)]
    config: ConfigArgument,
}

pub(super) fn run(arguments: &PolicyArguments) -> Result<ExitCode, Failure> {
    match &arguments.action {
        Action::Check(config) => {
            let config = wiring::load(&config.config)?;
            print(&checked(&config))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Test(arguments) => {
            let config = wiring::load(&arguments.config.config)?;
            let (said, wrong) = cases::test(&config, &arguments.cases)?;
            print(&said)?;
            Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
        }
        Action::Explain(arguments) => {
            print(&wiring::runtime()?.block_on(explain::said(arguments))?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// RFC 3339.
fn time(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| "a time is written as in 2026-01-01T12:00:00Z".to_owned())?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

fn checked(config: &Config) -> String {
    match wiring::policies::folder(config) {
        Some(folder) => {
            format!("{} policies in `{}`, no mistakes\n", config.policies.len(), folder.display())
        }
        None => "there are no policies: [policy] folder names none\n".to_owned(),
    }
}
