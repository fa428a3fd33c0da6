//! F-32 as it runs on every build: each target over its seeds, over neighbours of its seeds and over any bytes.
//!
//! `FUZZ_CASES` says how many of these; the default takes seconds.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "the environment says how long; a test that cannot go on has failed"
)]

use std::path::Path;

use fuzz::{TARGETS, Target, target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

fn cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap();
    let mut seeds: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
    seeds
}

/// What a change does to a seed.
#[derive(Clone, Debug)]
enum Change {
    Delete(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Join(Index, Index, Index),
    Repeat(Index, u8, u8),
}

/// What readers trip over, wherever it stands.
const WORDS: [&[u8]; 30] = [
    b"\0",
    b"\r\n",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"\"",
    b"\\",
    b"%",
    b"%00",
    b"%2f",
    b"+",
    b"&",
    b"=",
    b";",
    b",",
    b":",
    b"/",
    b"@",
    b"#",
    b"?",
    b"..",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc3",
    "\u{17f}".as_bytes(),
    "\u{212a}".as_bytes(),
    b"[",
    b"{}",
    b"\\u0000",
];

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    let bytes = prop_oneof![
        3 => prop::sample::select(WORDS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..5),
    ];
    prop_oneof![
        2 => (index(), 1..=255u8).prop_map(|(at, by)| Change::Flip(at, by)),
        2 => (index(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (index(), 1..8u8).prop_map(|(at, count)| Change::Delete(at, count)),
        1 => (index(), 1..16u8, 1..20u8).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => (index(), index(), index()).prop_map(|(at, other, from)| Change::Join(at, other, from)),
    ]
}

fn apply(seed: &[u8], change: &Change, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let place = |at: &Index, length: usize| at.index(length + 1);
    match change {
        Change::Delete(at, count) => {
            let at = place(at, bytes.len());
            bytes.drain(at..(at + usize::from(*count)).min(bytes.len()));
        }
        Change::Flip(at, by) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        Change::Flip(..) => {}
        Change::Insert(at, more) => {
            let at = place(at, bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Join(at, other, from) => {
            let other = other.get(seeds);
            bytes.truncate(place(at, bytes.len()));
            bytes.extend_from_slice(&other[place(from, other.len())..]);
        }
        Change::Repeat(at, length, times) => {
            let at = place(at, bytes.len());
            let piece = bytes[at..(at + usize::from(*length)).min(bytes.len())].repeat(usize::from(*times));
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

fn keeps_its_laws(name: &str) {
    let target: Target = target(name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        target(seed);
    }
    let near = (any::<Index>(), prop::collection::vec(change(), 1..6));
    let any_bytes = prop::collection::vec(any::<u8>(), 0..200);
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config.clone());
    let neighbours = runner.run(&near, |(seed, changes)| {
        let bytes =
            changes.iter().fold(seed.get(&seeds).clone(), |bytes, change| apply(&bytes, change, &seeds));
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        std::panic::catch_unwind(|| target(&bytes))
            .map_err(|_| TestCaseError::fail(format!("{bytes:?}\n{shown}")))
    });
    if let Err(found) = neighbours {
        panic!("{name}: {found}");
    }
    let any = TestRunner::new(Config { cases: cases() / 4, ..config }).run(&any_bytes, |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(found) = any {
        panic!("{name}: {found}");
    }
}

#[test]
fn f_32_basic_credentials() {
    keeps_its_laws("basic");
}

#[test]
fn f_32_challenges() {
    keeps_its_laws("challenges");
}

#[test]
fn f_32_client_ids() {
    keeps_its_laws("client_ids");
}

#[test]
fn f_32_cookies() {
    keeps_its_laws("cookies");
}

#[test]
fn f_32_definitions() {
    keeps_its_laws("definitions");
}

#[test]
fn f_32_envelopes() {
    keeps_its_laws("envelopes");
}

#[test]
fn f_32_events() {
    keeps_its_laws("events");
}

#[test]
fn f_32_forms() {
    keeps_its_laws("forms");
}

#[test]
fn f_32_forwarded() {
    keeps_its_laws("forwarded");
}

#[test]
fn f_32_lists() {
    keeps_its_laws("lists");
}

#[test]
fn f_32_names() {
    keeps_its_laws("names");
}

#[test]
fn f_32_proofs() {
    keeps_its_laws("proofs");
}

#[test]
fn f_32_redirects() {
    keeps_its_laws("redirects");
}

#[test]
fn f_32_registrations() {
    keeps_its_laws("registrations");
}

#[test]
fn f_32_scopes() {
    keeps_its_laws("scopes");
}

#[test]
fn f_32_sealed() {
    keeps_its_laws("sealed");
}

#[test]
fn f_32_tokens() {
    keeps_its_laws("tokens");
}

/// No target without a test, and no seeds without a target.
#[test]
fn every_target_has_a_test_here_and_a_folder_of_seeds() {
    let text = include_str!("properties.rs");
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for name in &known {
        assert!(text.contains(&format!("    keeps_its_laws(\"{name}\");")), "{name} has no test");
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders = std::fs::read_dir(corpus).unwrap();
    let mut folders: Vec<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders, known);
}
