//! The promises of the record, each kept on both engines: as shipped on a file, and on a server.
//!
//! A promise is a function over an opened record, named once; `contract!` runs it on each engine. There is no
//! mock and no fake.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests: a helper that fails fails its test; the environment says where the server is"
)]

mod engines;
mod fixtures;

mod audit_blocks;
mod audit_events;
mod audit_intents;
mod audit_keeping;
mod audit_seals;
mod audit_sending;
mod authorizations;
mod away;
mod backup;
mod browser_sessions;
mod client_requests;
mod client_rules;
mod clients;
mod connections;
mod consents;
mod device_authorizations;
mod dialect;
mod disk;
mod emergency_logins;
mod faults;
mod files;
mod grants;
mod hearing;
mod history;
mod identity_links;
mod keys;
mod kill;
mod maintenance;
mod migrate;
mod offline_access;
mod proxy;
mod registration_tokens;
mod replays;
mod revocations;
mod sign_ins;
mod signals;
mod standing;
mod tool_definitions;
mod twins;
mod upstream_clients;
mod users;
