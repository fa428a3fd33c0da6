//! Whoever keeps the groups where the ID token does not list them: Microsoft Graph above 200 groups, Google's directory
//! always. An answer that is not whole is none.

mod google;
mod graph;

use bytes::Bytes;
use http::{Request, Response};

pub use self::google::GoogleDirectory;
pub use self::graph::Graph;
use super::super::{ConnectorError, Malformation, answer};
use crate::egress::{Egress, Limits};

/// Largest answer that is borne.
pub(super) const LARGEST: usize = 1024 * 1024;

/// Who keeps the groups.
#[derive(Debug)]
pub enum Directory {
    /// The Admin SDK of Google.
    Google(GoogleDirectory),
    /// Microsoft Graph.
    Graph(Graph),
}

/// How it is reached.
pub(super) struct Way<'a> {
    pub(super) egress: &'a dyn Egress,
    pub(super) limits: Limits,
}

impl Way<'_> {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectorError> {
        answer::send(self.egress, request, self.limits, Malformation::Groups).await
    }
}
