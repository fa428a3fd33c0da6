//! The gateway as OAuth client, against MCP servers and authorization servers that lie.

mod accounts;
mod discovery;
mod exchange;
mod flow;
mod guard;
mod minted;
mod remote;
