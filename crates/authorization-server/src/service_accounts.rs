//! Service accounts: machines that act for themselves. Each is a row among the people, with a connector of its own, so
//! that audit, stops and revocations know it as they know a person.
//!
//! Its `sub` is our own id, as a person's is: no client chooses it, so it is nobody else's `sub` and no `client_id`
//! (RFC 9700, section 4.15). That it is no person is said by a claim of its own.

use protocol::id::Id;
use protocol::world::{Entropy, Timestamp};
use store::{NewServiceAccount, Store, StoreError, UserRecord};

use crate::settings::ServiceAccount;

/// The row of a service account, which is made at its first use. It may be stopped: whoever asks looks.
///
/// # Errors
/// [`StoreError`] if the record did not answer.
pub async fn keep_service_account(
    account: &ServiceAccount,
    store: &dyn Store,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<UserRecord, StoreError> {
    let new = NewServiceAccount {
        id: Id::mint(now, entropy),
        name: account.name.clone(),
        title: account.title.clone(),
    };
    store.keep_service_account(new, now).await
}
