//! Who is calling: the identity assertion, checked as any MCP server behind Sekisho would check it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use protocol::jose::claims::IdentityAssertionClaims;
use protocol::jose::{Algorithm, Expect};
use protocol::keys::Keys;
use protocol::world::Clock;
use rmcp::ErrorData;

/// The header that carries the assertion.
pub(super) const IDENTITY_HEADER: &str = "sekisho-identity";

/// Checks assertions for one example server.
#[derive(Clone, Debug)]
pub struct CallerReader {
    /// The keys of this Sekisho.
    pub keys: Arc<ArcSwap<Keys>>,
    /// Who must have signed.
    pub issuer: String,
    /// For whom it must be signed.
    pub audience: String,
    /// For the expiry.
    pub clock: Arc<dyn Clock>,
}

impl CallerReader {
    /// The caller of this request, or the error that the tool answers with.
    pub fn read(&self, parts: &Parts) -> Result<IdentityAssertionClaims, ErrorData> {
        let refused =
            || ErrorData::invalid_request("this server answers calls that come through Sekisho only", None);
        let header =
            parts.headers.get(IDENTITY_HEADER).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
        let expect = Expect { typ: Some(&["sekisho-identity+jwt"]), algorithms: &[Algorithm::Es256] };
        let claims: IdentityAssertionClaims =
            self.keys.load().verifying().verify(header, &expect).map_err(|_| refused())?;
        let now = self.clock.now().secs();
        let good = claims.iss == self.issuer && claims.aud == self.audience && claims.exp > now;
        if good { Ok(claims) } else { Err(refused()) }
    }
}

/// How the caller is called in answers.
pub(super) fn display_name(caller: &IdentityAssertionClaims) -> String {
    caller.name.clone().unwrap_or_else(|| caller.sub.clone())
}
