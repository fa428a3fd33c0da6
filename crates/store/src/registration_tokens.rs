//! Initial access tokens (RFC 7591, section 1.2 and appendix A.1.2): who holds one may register so many clients, until it is
//! over. Found by the hash of it.

use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, audit_events};

/// One initial access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Hash of it.
    pub hash: Hash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// How many clients may register by it.
    pub uses: u32,
}

/// The initial access tokens in the record.
pub trait RegistrationTokens: Send + Sync {
    /// Stores one, with its event.
    fn put_registration_token(&self, token: RegistrationToken, audit: AuditEvent) -> Answer<'_, ()>;

    /// Uses one once, at most as often as it may be. Whether it was good.
    fn use_registration_token(&self, hash: Hash, now: Timestamp) -> Answer<'_, bool>;

    /// Ends them all. How many there were.
    fn end_registration_tokens(&self, audit: AuditEvent) -> Answer<'_, u64>;
}

statement_list! {
    PUT = "INSERT INTO registration_tokens (hash, created_at, expires_at, uses, used) VALUES ($1, $2, $3, $4, 0)";
    USE = "UPDATE registration_tokens SET used = used + 1 WHERE hash = $1 AND expires_at > $2 AND used < uses";
    END_ALL = "DELETE FROM registration_tokens";
}

impl RegistrationTokens for Engine {
    fn put_registration_token(&self, token: RegistrationToken, audit: AuditEvent) -> Answer<'_, ()> {
        Box::pin(async move {
            let row = params![token.hash, token.created_at, token.expires_at, token.uses];
            let mut steps = vec![Step::one(PUT, row)];
            audit_events::push(&mut steps, &audit)?;
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => {
                    Err(crate::StoreError::unavailable("a registration token is there already"))
                }
            }
        })
    }

    fn use_registration_token(&self, hash: Hash, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let used = Step::one(USE, params![hash, now]);
            Ok(matches!(self.write(Write::new(vec![used])).await?, Written::Done(_)))
        })
    }

    fn end_registration_tokens(&self, audit: AuditEvent) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut steps = vec![Step::any(END_ALL, params![])];
            audit_events::push(&mut steps, &audit)?;
            match self.write(Write::new(steps)).await? {
                Written::Done(touched) => Ok(touched.first().map_or(0, |step| step.count)),
                Written::Missed(_) => Err(crate::StoreError::unavailable("nothing can be missed")),
            }
        })
    }
}
