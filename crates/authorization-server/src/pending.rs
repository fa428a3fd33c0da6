//! The pending authorization of *this* browser: what every page of a sign-in starts from (product.md, P-10).
//!
//! Must never tell one browser about another's sign-in: whoever does not hold its cookie learns only that there is
//! nothing for them here.

use protocol::id::{Authorization, Id, Reference};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{AuditKind, AuthorizationRecord, AuthorizationState, Outcome, StoreError};

use crate::AuthorizationServer;
use crate::browser::Browser;

/// Why there is nothing to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingRefusal {
    /// It was decided already.
    AlreadyDecided,
    /// It took too long.
    Expired,
    /// It was started in another browser, or the cookie is gone.
    OtherBrowser,
    /// There is none of that id.
    Unknown,
}

/// A pending authorization in the browser that started it.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The record. Its state is `Pending` or `UpstreamLeg`.
    pub(crate) record: AuthorizationRecord,
    /// What the browser is known by.
    pub(crate) binding: Hash,
}

/// Decides whether this browser may go on with this authorization; if so, what the browser is known by.
fn decide(record: &AuthorizationRecord, browser: &Browser, now: Timestamp) -> Result<Hash, PendingRefusal> {
    let binding = browser.binding_hashes().find(|binding| binding.matches(&record.browser));
    let binding = binding.ok_or(PendingRefusal::OtherBrowser)?;
    match record.state {
        AuthorizationState::Pending | AuthorizationState::UpstreamLeg(_) => {}
        AuthorizationState::Consented { .. }
        | AuthorizationState::Denied
        | AuthorizationState::Redeemed { .. } => return Err(PendingRefusal::AlreadyDecided),
    }
    if record.expires_at <= now {
        return Err(PendingRefusal::Expired);
    }
    Ok(binding)
}

impl AuthorizationServer {
    /// The pending authorization of this browser; otherwise why not, and the reference to show.
    pub(crate) async fn find_pending<R: From<PendingRefusal> + From<StoreError>>(
        &self,
        id: &str,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<Pending, (R, Reference)> {
        let minted = || Reference::mint(&*self.parts.entropy);
        let id: Id<Authorization> = id.parse().map_err(|_| (PendingRefusal::Unknown.into(), minted()))?;
        let found =
            self.parts.store.find_authorization(id).await.map_err(|error| (error.into(), minted()))?;
        let record = found.ok_or_else(|| (PendingRefusal::Unknown.into(), minted()))?;
        match decide(&record, browser, now) {
            Ok(binding) => Ok(Pending { record, binding }),
            Err(refusal) => {
                self.refusal_of_pending(&record, refusal, now).await;
                Err((refusal.into(), record.reference))
            }
        }
    }

    /// That somebody was at a sign-in of another browser is written down: its id is no secret, but it is nobody else's
    /// business (attacks.md, CS-01). The others happen to everybody.
    async fn refusal_of_pending(
        &self,
        record: &AuthorizationRecord,
        refusal: PendingRefusal,
        now: Timestamp,
    ) {
        match refusal {
            PendingRefusal::OtherBrowser => {
                let mut event = self.event_of(record, AuditKind::AuthorizeRefused, Outcome::Refused, now);
                event.reason = Some("other_browser");
                self.append_refusal(event).await;
            }
            PendingRefusal::AlreadyDecided | PendingRefusal::Expired | PendingRefusal::Unknown => {}
        }
    }
}
