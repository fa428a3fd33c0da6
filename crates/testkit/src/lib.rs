//! What tests and the bench need to meet Sekisho from outside: an HTTP client, a browser without a window,
//! an OAuth client, a fake MCP server, one with an authorization server of its own, the outcomes of the attack catalogue, and the [`house::House`].

pub mod browser;
pub mod client;
pub mod collector;
pub mod document_host;
pub mod dpop;
pub mod history;
pub mod house;
pub mod http;
pub mod identity_providers;
pub mod key_services;
pub mod log;
pub mod mcp_server;
pub mod openid_provider;
pub mod outcomes;
pub mod raw;
pub mod raw_http2;
pub mod remote_server;
pub mod wire;
pub mod workloads;
pub mod world;
