//! What MCP servers say of their tools, remembered (MCP server/tools, "Tool"; product.md, P-12).
//!
//! A definition is a tool as `tools/list` gives it, whole: whatever of it changes, a model reads something else than what
//! somebody agreed to. The rules in here are pure; the keeper reads and writes for them.
//! Must never judge what a text means: what is found is pointed out to people, and blocks nothing by itself.

mod canonical;
mod changes;
mod findings;
mod hints;
mod keeper;
mod parameters;
mod pending;
mod pins;
mod schema;

pub use canonical::{Definition, LARGEST as LARGEST_DEFINITION, Unreadable};
pub use changes::{Change, changes};
pub use findings::{Finding, alike, findings};
pub use keeper::{ToolKeeper, named};
pub use pins::{InputSchemas, ToolsMode, accepted};
pub use schema::{ArgumentSchema, ArgumentsRefused, SchemaFlaw};

pub(crate) use keeper::{Gathered, ServerTools};
pub(crate) use pins::{Heard, Pins, Refused, Shown};

#[cfg(test)]
mod tests;
