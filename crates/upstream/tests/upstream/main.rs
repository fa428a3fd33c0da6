//! The back door against servers that lie: slow, huge, wrong, redirecting, silent; and an identity provider that
//! forges whatever it is told to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod authority;
mod callback;
mod client_metadata_document;
mod development;
mod discovery;
mod egress;
mod guarded;
mod id_token;
mod key_sets;
mod keys;
mod lying_server;
mod mcp_server;
mod oauth_client;
mod person;
mod provider;
mod route;
mod signer;
mod through_a_proxy;
mod tls;
mod world;
