//! A JWT that is presented as an assertion, before anything of it is verified: who it says issued it is read, to find the keys.
//!
//! Nothing else of it may be believed until its type and its signature have been judged (RFC 8725, section 3.11).

use serde::Deserialize;

use super::claims_of;
use crate::secret::Secret;

/// A JWT that nobody has verified yet.
#[derive(Debug)]
pub struct UnverifiedJwt {
    issuer: String,
    token: Secret,
}

impl UnverifiedJwt {
    /// Reads who issued it; `None` if it is no JWT that says so.
    #[must_use]
    pub fn parse(token: Secret) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issued {
            iss: String,
        }
        let issued: Issued = token.expose(claims_of)?;
        Some(Self { issuer: issued.iss, token })
    }

    /// Who it says issued it. It proves nothing.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The JWT itself, for whoever verifies it.
    #[must_use]
    pub const fn token(&self) -> &Secret {
        &self.token
    }
}
