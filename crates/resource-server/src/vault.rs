//! The vault: by what an MCP server is asked in the name of a person (product.md, P-14 and P-15).

pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod counts;
pub(crate) mod credential;
pub(crate) mod givers;
mod link;
pub(crate) mod obtained;
pub(crate) mod partial;
pub(crate) mod question;
mod refresh;
mod revoke;
mod taken_back;
mod tampered;
pub(crate) mod told;
