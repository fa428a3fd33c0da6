//! `client_secret_basic`: id and secret in the `Authorization` header (RFC 6749, section 2.3.1).

use protocol::secret::Secret;

use super::{ClientRefusal, decide_secret};

/// The secret of the header is the client's.
pub(super) fn decide(presented: Option<&Secret>, expected: Option<&Secret>) -> Result<(), ClientRefusal> {
    decide_secret(presented, expected)
}
