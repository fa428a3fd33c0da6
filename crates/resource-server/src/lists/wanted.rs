//! What was asked, as far as it says how what comes is read. Pure.

use protocol::mcp::RequestId;

use super::List;

/// What is wanted where a text comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The request that is to be answered there, if it is.
    pub(super) id: Option<RequestId>,
    /// The list that it asks for.
    pub(super) list: Option<List>,
    /// It is of MCP 2026-07-28.
    pub(super) modern: bool,
    /// It was answered by us.
    pub(super) over: bool,
}

impl Wanted {
    pub(crate) const fn new(id: Option<RequestId>, list: Option<List>, modern: bool) -> Self {
        Self { id, list, modern, over: false }
    }

    /// The list that the request of this id asks for. Where no id is known, each could be it.
    pub(super) fn list_of(&self, id: &RequestId) -> Option<List> {
        self.list.filter(|_| self.id.as_ref().is_none_or(|wanted| wanted == id))
    }

    /// Whether this is the id of the request, and it asks for no list.
    pub(super) fn is_no_list(&self, id: &RequestId) -> bool {
        self.list.is_none() && self.id.as_ref() == Some(id)
    }

    /// Whether this is the id of a request that is answered already: a second answer would be another one.
    pub(super) fn is_over(&self, id: &RequestId) -> bool {
        self.over && self.id.as_ref() == Some(id)
    }
}
