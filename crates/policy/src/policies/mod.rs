//! An operator's policies, in Cedar (product.md, P-13): read against a schema, cut into slices, and asked.
//!
//! They stand beside the rules that always hold: a `forbid` always wins, and a `permit` counts only where the
//! configuration says that permits count. Whatever cannot be judged counts as forbidden: a forbid that fails is a forbid
//! (attacks PX-20), where Cedar itself would pass over it.

mod action;
mod arguments;
mod asked;
mod attributes;
mod common;
mod declarations;
mod depth;
mod key;
mod lean;
mod library;
mod mistake;
mod reads;
mod set;
mod slice;
mod typed;

pub(crate) use action::Action;
pub(crate) use asked::Asked;
pub use library::{KnownServer, Library, PolicyFile};
pub use mistake::Mistake;
pub use slice::Policies;
pub(crate) use slice::Verdict;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
