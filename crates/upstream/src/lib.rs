//! The back door: the only room that opens sockets outward.
//!
//! Two ways lead out. The control plane ([`egress`]) fetches small documents for the [`connectors`], which sign
//! people in at identity providers, for the [`key_sets`] of those whose tokens are believed, and for the key services
//! that unwrap the master key ([`kms`]); what strangers name is fetched by [`guarded`] alone. The data plane
//! ([`mcp_server`]) carries MCP calls and streams the answers.
//! Neither follows a redirect, reads a proxy from the environment, or decides who may do what. The outbound [`proxy`] is
//! the one that the operator configured.

pub mod acme;
pub mod client_key;
pub mod client_metadata_document;
pub mod collector;
pub mod connectors;
pub mod egress;
pub mod guarded;
pub mod identity_assertion;
pub mod key_sets;
pub mod kms;
pub mod mcp_server;
pub mod oauth_client;
pub mod proxy;
pub mod route;
pub mod trust;

mod cause;
mod dial;
mod document;
#[cfg(feature = "failpoints")]
mod failpoint;
mod google_account;
mod kept;
mod line;

#[cfg(feature = "failpoints")]
pub use failpoint::watch_failpoints;
