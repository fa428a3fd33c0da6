//! `sekisho emergency-login`: a way in for one person while the identity provider is away.
//!
//! Needs what only the operator has: the record and the master key. Works beside a running Sekisho.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use authorization_server::{Emergency, keys};
use clap::Args;

use super::docs::print;
use super::{Failure, people};
use crate::wiring::{self, World};

/// A code that lives longer would be kept somewhere.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const EXAMPLES: &str = "\
Examples:
  sekisho emergency-login --config sekisho.toml --user alice@example.com --why \"Okta is down, ticket 4711\"
  sekisho emergency-login --config sekisho.toml --user okta:00u1 --why drill --valid 1h

The code is printed once. It works once, on the login page that a client opens, under \"Sign in with an \
emergency code\". Making and using it are audit events.";

/// For whom, why, and for how long.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EmergencyLoginArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// The person, who must have signed in before: an id, connector:subject, or e-mail address
    #[arg(long)]
    pub user: String,
    /// Why, for the audit
    #[arg(long)]
    pub why: String,
    /// How long the code is good, at most 24 hours
    #[arg(long, default_value = "15m", value_name = "15m|1h", value_parser = parse_life)]
    pub valid: Duration,
}

fn parse_life(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
        .filter(|life| !life.is_zero() && *life <= LONGEST)
        .ok_or_else(|| "a time from 1s to 24h, such as 15m".to_owned())
}

pub(super) fn run(arguments: &EmergencyLoginArguments) -> Result<ExitCode, Failure> {
    let text = wiring::runtime()?.block_on(make(arguments))?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn make(arguments: &EmergencyLoginArguments) -> Result<String, Failure> {
    let why = arguments.why.trim();
    if why.is_empty() || why.len() > 500 || why.contains(char::is_control) {
        return Err(Failure::Arguments("--why is for the audit: one line of at most 500 bytes".to_owned()));
    }
    let config = wiring::load_to_tend(&arguments.config)?;
    let masters = wiring::master_keys(&config, &World::real()).await?;
    let store = wiring::open_existing_store(&config).await?;
    let World { clock, entropy } = World::of_record(store.as_ref()).await?;
    let keys = keys::read(store.as_ref(), &masters, clock.as_ref()).await?;
    let user = people::find_one(store.as_ref(), &arguments.user).await?;
    if user.service_account().is_some() {
        return Err(Failure::Arguments("a service account cannot log in, by no code either".to_owned()));
    }
    let emergency =
        Emergency { store: store.as_ref(), keys: &keys, clock: clock.as_ref(), entropy: entropy.as_ref() };
    let name = people::name(&user);
    let Some(made) = emergency.make(&user, arguments.valid, why).await? else {
        return Err(Failure::Arguments(format!("{name} is shut out here, and no code lets them in")));
    };
    let minutes = made.expires_at.since(clock.now()).as_secs().div_ceil(60);
    let code = made.code.reveal();
    Ok(format!(
        "{code}\n\nGood once, for {name}, for {minutes} minutes. Give it to nobody else.\n\
         In the client: connect, then \"Sign in with an emergency code\" on the page that opens.\n"
    ))
}
