//! `client_secret_post`: id and secret in the body (OAuth 2.1, section 2.4.1). Never in the URL: the query of the token
//! endpoint is not read.

use protocol::secret::Secret;

use super::{ClientRefusal, decide_secret};

/// The secret of the body is the client's.
pub(super) fn decide(presented: Option<&Secret>, expected: Option<&Secret>) -> Result<(), ClientRefusal> {
    decide_secret(presented, expected)
}
