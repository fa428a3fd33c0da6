//! Faults (attacks.md, 2.3): what must hold while something breaks, and after.

#[expect(dead_code, reason = "the store's own tests count what went through")]
#[path = "../../crates/store/tests/contract/proxy.rs"]
mod proxy;

mod f_08_store_away;
