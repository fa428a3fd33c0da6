//! The command line: one file per command.

mod audit;
mod backup;
mod check;
mod clients;
mod connections;
mod demo;
mod docs;
mod emergency_login;
mod failure;
mod keys;
mod linking;
mod people;
mod policies;
mod progress;
mod restore;
mod serve;
mod servers;
mod sign_in;
mod stop;
mod tools;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::audit::AuditArguments;
pub use self::backup::BackupArguments;
pub use self::check::CheckArguments;
pub use self::clients::ClientsArguments;
pub use self::connections::ConnectionsArguments;
pub use self::demo::DemoArguments;
pub use self::emergency_login::EmergencyLoginArguments;
pub use self::failure::Failure;
pub use self::keys::KeysArguments;
pub use self::linking::PeopleArguments;
pub use self::policies::PolicyArguments;
pub use self::restore::RestoreArguments;
pub use self::sign_in::{SignInArguments, sign_in_in_words};
pub use self::stop::{AllowArguments, StopArguments};
pub use self::tools::ToolsArguments;
pub use self::usage::UsageArguments;

const EXAMPLES: &str = "\
Examples:
  sekisho demo                                   try it out on this machine
  sekisho check --config /etc/sekisho.toml       would this set-up work?
  sekisho serve --config /etc/sekisho.toml       run it
  sekisho audit --config /etc/sekisho.toml --user alice@example.com
  sekisho clients list --config /etc/sekisho.toml
  sekisho sign-in --config /etc/sekisho.toml K7Q2-9XWD
  sekisho tools diff --config /etc/sekisho.toml
  sekisho keys list --config /etc/sekisho.toml
  sekisho backup --config /etc/sekisho.toml --to sekisho-2026-11-01.backup
  sekisho stop --config /etc/sekisho.toml --user alice@example.com --reason stolen

Exit codes: 0 done; 1 failed while running; 2 the command line or the configuration is wrong; \
3 what was looked for is so: `check` found something that would not work, `audit verify` that something was changed, `policy test` an answer that was not expected.";

/// Puts an organisation's MCP servers behind a URL.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start on this machine with example people and two example MCP servers
    Demo(DemoArguments),
    /// Run with a configuration
    Serve(ConfigArgument),
    /// Say in words whether a configuration would work; starts nothing
    Check(CheckArguments),
    /// Show who signed in, consented, refreshed, revoked and called what
    Audit(AuditArguments),
    /// Show who uses what and how much, from the audit
    Usage(UsageArguments),
    /// Show which clients are in use and who waits for one; approve and block clients
    Clients(ClientsArguments),
    /// Show which accounts people have connected at MCP servers; end one
    Connections(ConnectionsArguments),
    /// Show what tools say of themselves, what of it changed, and accept it
    Tools(ToolsArguments),
    /// Say in words why a client did not connect
    SignIn(SignInArguments),
    /// Show, rotate and withdraw keys; go over to another master key
    Keys(KeysArguments),
    /// Let one person in while the identity provider is away
    EmergencyLogin(EmergencyLoginArguments),
    /// Write the whole store into one file, beside a running Sekisho; or check such a file
    Backup(BackupArguments),
    /// Fill an empty store from a backup; everybody signs in again
    Restore(RestoreArguments),
    /// End what a person, a client, an MCP server or everybody has, on every node within seconds
    Stop(StopArguments),
    /// Say which identities at several providers are one person
    People(PeopleArguments),
    /// Read, test and explain the policies
    Policy(PolicyArguments),
    /// Let a person or a client in again that was stopped with --block
    Allow(AllowArguments),
    /// Print a generated document
    #[command(after_help = docs::EXAMPLES)]
    Docs {
        /// Which one.
        #[command(subcommand)]
        what: docs::Document,
    },
}

/// Which configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgument {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

/// The whole program: the command line in, the exit code out.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("sekisho: {failure}");
            failure.exit_code()
        }
    }
}

/// Runs one command.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments.config),
        Command::Check(arguments) => check::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Usage(arguments) => usage::run(&arguments),
        Command::Clients(arguments) => clients::run(&arguments),
        Command::Connections(arguments) => connections::run(&arguments),
        Command::Tools(arguments) => tools::run(&arguments),
        Command::SignIn(arguments) => sign_in::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::EmergencyLogin(arguments) => emergency_login::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Stop(arguments) => stop::run(&arguments),
        Command::People(arguments) => linking::run(&arguments),
        Command::Policy(arguments) => policies::run(&arguments),
        Command::Allow(arguments) => stop::allow(&arguments),
        Command::Docs { what } => docs::run(what),
    }
}
