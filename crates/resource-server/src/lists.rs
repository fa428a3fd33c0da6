//! Lists of what an MCP server offers, as far as their reader may call it (product.md, P-13; attacks PX-18 to PX-20).
//!
//! An answer to a list request is read whole, within a bound; of every other one only as much is looked at as tells that it
//! holds no list, for an answer may come in the place of another. What two readers could read
//! in two ways does not reach the client. What is kept is kept byte for byte. On the way questions to the person are judged
//! too, wherever they come (attacks PX-41).
//! Must never pass on a list or a question that was not judged.

mod answer;
mod collect;
mod event;
mod item;
mod question;
mod scan;
mod screen;
mod sieve;
mod sight;
mod wanted;

#[cfg(test)]
mod tests;

pub(crate) use answer::judge;
pub(crate) use item::Item;
pub(crate) use screen::{Judged, Screen, Screened, Why};
pub(crate) use sieve::{Sieve, Sifted};
pub(crate) use sight::{Ours, See, Sees, Sight};
pub(crate) use wanted::Wanted;

/// How much of an event or a text is kept back before it is decided that it holds neither a list nor a question.
const UNDECIDED: usize = 16 * 1024;
/// The largest list, or page of one, in bytes.
pub(crate) const LARGEST: usize = 4 * 1024 * 1024;
pub(crate) const TOO_LARGE: &str = "The list of the MCP server behind the gateway is too large to be judged.";
pub(crate) const NO_ANSWER: &str = "The answer of the MCP server behind the gateway cannot be read.";
pub(crate) const UNREADABLE: &str = "The list of the MCP server behind the gateway cannot be read.";

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Prompts,
    ResourceTemplates,
    Resources,
    Tools,
}

impl List {
    pub(crate) const ALL: [Self; 4] = [Self::Prompts, Self::ResourceTemplates, Self::Resources, Self::Tools];

    /// The list that this method asks for.
    pub(crate) fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.method() == method)
    }

    /// The method by which it is asked for.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Prompts => "prompts/list",
            Self::ResourceTemplates => "resources/templates/list",
            Self::Resources => "resources/list",
            Self::Tools => "tools/list",
        }
    }

    /// The member of the result that holds it.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Resources => "resources",
            Self::Tools => "tools",
        }
    }

    /// The member of an item by which it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prompts | Self::Tools => "name",
            Self::ResourceTemplates => "uriTemplate",
            Self::Resources => "uri",
        }
    }
}
