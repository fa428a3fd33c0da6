//! Who calls, as far as the doors know it before any access token is read.

use std::fmt;
use std::net::IpAddr;

/// Whoever sent a request.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Whom the audit will name.
    pub address: IpAddr,
    /// Whether so many bad access tokens came from there lately that no further unknown one is to be verified
    /// (product.md, P-20). Asked only if a token is unknown.
    pub is_suspect: &'a (dyn Fn() -> bool + Sync),
}

impl Caller<'static> {
    /// Somebody of whom nothing bad is known.
    #[must_use]
    pub const fn at(address: IpAddr) -> Self {
        Self { address, is_suspect: &|| false }
    }
}

impl fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("address", &self.address).finish_non_exhaustive()
    }
}
