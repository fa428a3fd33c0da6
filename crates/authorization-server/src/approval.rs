//! Waiting for an administrator (product.md, P-7, *ask*): a person who signed in sees what was asked, and a reference by which
//! an administrator finds it. The sign-in goes on in the browser that began it (P-10) once the client may be used.
//!
//! Nothing is granted here. Whether the client may ask is decided anew on every page and once more when the person allows, so
//! an approval that is taken back in between counts for nothing.

use std::time::Duration;

use protocol::id::{Authorization, Id, Reference};
use protocol::oauth::Destination;
use protocol::world::Timestamp;
use store::{AuditKind, AuthorizationRecord, ClientRequest, Outcome, ParkOutcome};

use crate::AuthorizationServer;
use crate::browser::Browser;
use crate::clients::{Client, Judged, destination_text};
use crate::consent::{ConsentError, ConsentReason, Found};
use crate::pages::{Account, ClientOnPage, ServerOnPage};
use crate::sessions::Session;

/// For how many clients one person may wait at once: each is a row, and a line that an administrator reads.
const MOST_OF_ONE_PERSON: u32 = 10;

/// What a person who came back is told.
#[derive(Debug)]
pub enum Approval {
    /// The client may ask now: go on to consent.
    Given(Id<Authorization>),
    /// Not yet.
    Waiting(Box<ApprovalPage>),
}

/// The page of somebody who waits.
#[derive(Debug)]
pub struct ApprovalPage {
    /// Who waits.
    pub account: Account,
    /// The sign-in.
    pub authorization: Id<Authorization>,
    /// Who is asking.
    pub client: ClientOnPage,
    /// What the administrator needs.
    pub reference: Reference,
    /// What is asked for.
    pub server: ServerOnPage,
    /// How long their place is kept.
    pub wait: Duration,
}

impl AuthorizationServer {
    /// The page of somebody who waits; makes them wait, if they do not yet.
    ///
    /// # Errors
    /// [`ConsentError`] if there is nothing to wait for in this browser, or nobody who may.
    pub async fn approval_page(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<Approval, ConsentError> {
        let Found { client, record, session, to } = self.facts_unjudged(authorization, browser).await?;
        let failed = |reason| ConsentError { reason, reference: record.reference.clone() };
        let judged = self.judge_place(&client, &to, &record.request.server).await;
        let (judged, place) = judged.map_err(|error| failed(error.into()))?;
        match judged {
            Judged::Allowed => return Ok(Approval::Given(record.id)),
            Judged::Blocked => return Err(failed(ConsentReason::ClientBlocked)),
            Judged::OutsideHere => return Err(failed(ConsentReason::ClientOutside)),
            Judged::Unapproved => {}
        }
        let now = self.parts.clock.now();
        let request = self.request(&record, &session, (&client, &place), now);
        let until = request.expires_at;
        let mut event = self.event_of(&record, AuditKind::ClientRequested, Outcome::Ok, now);
        event.user = Some(session.user.id);
        event.detail.insert("destination", request.destination.clone());
        event.subject = Some(self.subject(Some(&session.user), Some(record.address.clone())));
        match self
            .parts
            .store
            .park(request, MOST_OF_ONE_PERSON, event)
            .await
            .map_err(|error| failed(error.into()))?
        {
            ParkOutcome::Parked => {}
            ParkOutcome::Lost => return Err(failed(ConsentReason::AlreadyDecided)),
            ParkOutcome::TooMany => return Err(failed(ConsentReason::TooManyWaiting)),
        }
        Ok(Approval::Waiting(Box::new(ApprovalPage {
            account: Account::of(&session.user),
            authorization: record.id,
            client: self.on_page(&client, to),
            server: self.server_on_page(&record),
            reference: record.reference,
            wait: until.since(now),
        })))
    }

    fn request(
        &self,
        record: &AuthorizationRecord,
        session: &Session,
        (client, place): (&Client, &Destination),
        now: Timestamp,
    ) -> ClientRequest {
        let kept = client.record(now);
        ClientRequest {
            authorization: record.id,
            reference: record.reference.clone(),
            client_id: kept.client_id,
            fingerprint: kept.fingerprint,
            name: kept.name,
            metadata: kept.metadata,
            destination: destination_text(place),
            server: record.request.server.clone(),
            user: session.user.id,
            created_at: now,
            // From the beginning of the sign-in on, so that coming back makes it no longer.
            expires_at: record.expires_at.max(record.created_at.plus(self.settings.client_policy.wait)),
        }
    }
}
