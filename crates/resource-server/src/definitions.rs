//! What MCP servers say of their tools (MCP server/tools, "Tool"; product.md, P-12).
//!
//! A definition is a tool as `tools/list` gives it, whole: whatever of it changes, a model reads something else than what
//! somebody agreed to. The rules in here are pure.
//! Must never judge what a text means: what is found is pointed out to people, and blocks nothing by itself.

mod canonical;
mod changes;
mod findings;

pub use canonical::{Definition, LARGEST as LARGEST_DEFINITION, Unreadable};
pub use changes::{Change, changes};
pub use findings::{Finding, alike, findings};
