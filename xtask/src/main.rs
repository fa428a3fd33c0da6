//! What the repository does to itself: the laws, the generated documents, the whole test run, the bench.
//!
//! It knows no crate of the product and starts nothing that it does not end.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for people at a terminal: it prints, measures its stages and reads CI"
)]

mod bench;
mod check;
mod conformance;
mod dist;
mod fuzz;
mod generate;
mod needs;
mod postgres;
mod repository;
mod run;
mod test;

use std::process::ExitCode;

/// What went wrong, in a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "\
usage: cargo xtask <command>

  check               the laws of the house that no compiler knows
  generate            writes the documents that are generated from the code
  test                everything: lints, laws, tests, conformance, real clients; changes nothing on the machine
  test --install      the same, and installs first what is missing, saying what
  dist                makes archive, Debian package, bill of materials and checksums, in target/dist
  licences FILE       writes the licences of what is linked into the binary
  postgres <command>  runs a command with a PostgreSQL of its own, as `TEST_POSTGRES_URL`
  bench [PART…]       measures the release binary beside its peers and writes docs/performance.md; all parts if none
                      is named; `--quick` first only tries them
  soak MINUTES        the same people do everything over and over; tells what grows
  fuzz                lists the readers that can be fuzzed
  fuzz TARGET [--seconds N]
                      fuzzes one of them, or `all`, guided by coverage; 60 seconds each if nothing is said";

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["check"] => check::run(),
        ["generate"] => generate::run(),
        ["test"] => test::run(false),
        ["test", "--install"] => test::run(true),
        ["dist"] => dist::run(),
        ["licences", file] => dist::licences(file),
        ["postgres", command, more @ ..] => test::with_postgres(command, more),
        ["bench", more @ ..] => bench::bench(more),
        ["soak", minutes] => bench::soak(minutes),
        ["fuzz", more @ ..] => fuzz::run(more),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
