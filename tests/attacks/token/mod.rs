//! The token endpoint (attacks.md, 1.2).

mod assertion;
mod body;
mod client;
mod code;
mod confusion;
mod cross_use;
mod id_jag;
mod limits;
mod refresh;
mod strangers;
mod workloads;
