//! JWS and JWK (RFC 7515, 7517) as far as we use them: ES256 to sign, one narrow door to verify.
//!
//! Signing keeps its key parsed. Verifying goes through [`VerifyingKeys::verify`] alone, because the library
//! behind it would ignore `crit` and never looks at `typ`. Nothing here fetches anything: `jku`, `x5u` and `jwk` of
//! a token are never read (RFC 8725, section 3.10). A proof of possession ([`dpop`]) is the one thing that brings its key. Time is not judged here: there is no clock.

mod algorithm;
pub mod claims;
pub mod dpop;
mod error;
mod header;
mod jwk;
mod proof_key;
mod rs256;
mod signing_key;
mod unverified;
mod verifying_keys;

pub use algorithm::Algorithm;
pub use error::JoseError;
pub(crate) use header::is_type;
pub use proof_key::ProofKey;
pub use rs256::sign_rs256;
pub use signing_key::SigningKey;
pub use unverified::UnverifiedJwt;
pub use verifying_keys::{Expect, VerifyingKeys, claimed_expiry};
pub(crate) use verifying_keys::{claimed_type, claims_of};

#[cfg(test)]
mod tests;
