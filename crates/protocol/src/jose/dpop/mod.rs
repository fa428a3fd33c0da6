//! Proof of possession (RFC 9449): a JWT by which whoever sends a request shows that it holds a key.
//!
//! Read and judged here as far as no memory is needed: form, key, method, URL, age, access token, and the signature last,
//! so that what is wrong otherwise costs none. Whether a proof was seen before is for whoever keeps [`Seen`] or a record.

mod nonce;
mod proof;
mod seen;
mod thumbprint;
mod url;

pub use nonce::Nonces;
pub use proof::{DpopProof, Expected, ProofError};
pub use seen::Seen;
pub use thumbprint::{Thumbprint, ThumbprintError};

use super::Algorithm;

/// What a role remembers of proofs.
#[derive(Debug, Default)]
pub struct Memory {
    /// The nonce that it hands out.
    pub nonces: Nonces,
    /// The proofs that it has seen.
    pub seen: Seen,
}

/// The algorithms that a proof may be signed with: asymmetric ones alone (RFC 9449, section 5.1).
pub const ALGORITHMS: &[Algorithm] = &[Algorithm::Es256, Algorithm::EdDsa];
/// The same as `algs` of a challenge (RFC 9449, section 7.1).
pub const ALGS: &str = "ES256 EdDSA";
/// The algorithms by name, for metadata.
pub const ALGORITHM_NAMES: &[&str] = &["ES256", "EdDSA"];

#[cfg(test)]
mod tests;
