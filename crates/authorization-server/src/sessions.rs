//! Browser sessions: whether somebody is signed in in this browser. A session lives on while it is used.

use std::time::Duration;

use protocol::world::Timestamp;
use store::{BrowserSessionRecord, StoreError, UserRecord};

use crate::AuthorizationServer;
use crate::browser::Browser;

/// A session is not written again more often than this.
const WRITTEN_EVERY: Duration = Duration::from_secs(5 * 60);

/// Somebody who is signed in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) record: BrowserSessionRecord,
    pub(crate) user: UserRecord,
}

impl AuthorizationServer {
    /// Who is signed in in this browser. A session that ended, and one of a person who is shut out, is none.
    pub(crate) async fn session(
        &self,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let Some(hash) = browser.session_hash() else { return Ok(None) };
        let Some((record, user)) = self.parts.store.find_browser_session(&hash, now).await? else {
            return Ok(None);
        };
        let expires_at = now.plus(self.settings.lifetimes.browser_session);
        if expires_at.since(record.expires_at) >= WRITTEN_EVERY {
            self.parts.store.extend_browser_session(hash, expires_at).await?;
        }
        Ok(Some(Session { record, user }))
    }

    /// Signs out: ends the browser session. Grants live on; they are the clients', not the browser's.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer; the session may live.
    pub async fn sign_out(&self, browser: &Browser) -> Result<(), StoreError> {
        if let Some(hash) = browser.session_hash() {
            self.parts.store.end_browser_session(hash, self.parts.clock.now()).await?;
        }
        Ok(())
    }
}
