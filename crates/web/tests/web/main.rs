//! The doors with everything behind them: one request at a time, time and chance standing still.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not in test functions")]

mod browsers_as_clients;
mod connecting;
mod connections;
mod doors;
mod forms;
mod house;
mod limits;
mod listeners;
mod paths;
mod sign_in;
mod snapshots;
mod tls;
mod unread_bodies;
