//! The binary itself: what it says, what it refuses, how it stops, and what survives `kill -9`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod account;
mod acme;
mod asking;
mod backup;
mod canaries;
mod check;
mod clients;
mod connections;
mod credentials;
mod demo;
mod descriptors;
mod docs;
mod emergency;
mod key_service;
mod kill;
mod leaked_keys;
mod log;
mod master_key;
mod moving;
mod moving_connections;
mod outward;
mod policies;
mod process;
mod reload;
mod runbook;
mod scopes;
mod stop;
mod stopping;
mod tools;
