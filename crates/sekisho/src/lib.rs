//! Sekisho's binary as a library, so that its commands and configuration can be tested.
//!
//! Here are the command line, the configuration, the wiring of the rooms, and the real clock and
//! random numbers. No rule of OAuth or MCP is here.

pub mod commands;
pub mod config;
pub mod demo;
pub mod telemetry;
pub mod wiring;
mod words;
pub mod world;
