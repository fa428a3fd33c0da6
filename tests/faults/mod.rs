//! What must hold when nodes die, cables break, clocks jump and everybody comes at once (attacks.md, 2.2 to 2.4).

mod apart;
mod backend;
mod breaker;
pub(crate) mod chance;
mod clocks;
mod collector;
mod connections;
mod database;
mod f_08_store_away;
mod failover;
mod idle_streams;
pub(crate) mod invariants;
mod kills;
mod liars;
mod pair;
mod players;
mod provider;
#[expect(dead_code, reason = "the store's own tests count what went through")]
#[path = "../../crates/store/tests/contract/proxy.rs"]
mod proxy;
mod races;
mod rolling;
mod spreading;
mod town;
