//! What a remote server counts.

/// How often what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Authorization requests that led back with a code.
    pub authorizations: usize,
    /// Calls that were answered.
    pub calls: usize,
    /// Codes that were redeemed.
    pub codes: usize,
    /// Exchanges and ID-JAGs that were granted.
    pub exchanges: usize,
    /// Calls that were refused because their token has too little scope.
    pub insufficient: usize,
    /// Documents about it that were fetched.
    pub metadata: usize,
    /// Requests to the token endpoint that were refused.
    pub refused: usize,
    /// Refresh tokens that were turned.
    pub refreshes: usize,
    /// Clients that were registered.
    pub registrations: usize,
    /// Refresh tokens and codes that came a second time, each of which ended its family.
    pub reuses: usize,
    /// Revocations.
    pub revocations: usize,
    /// Calls that were refused for their token.
    pub unauthorized: usize,
}
