//! The binary: parses the command line, runs one command, turns its outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use sekisho::commands::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match sekisho::commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("sekisho: {failure}");
            failure.exit_code()
        }
    }
}
