//! The MCP servers we stand before, one file per transport.

pub mod streamable_http;
