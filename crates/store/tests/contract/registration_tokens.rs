use store::{AuditKind, Maintenance as _, RegistrationToken, RegistrationTokens as _};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_token_is_used_as_often_as_it_may_be_and_no_more,
    a_token_ends_in_time_and_by_command,
}

async fn put(store: &Opened, number: u64, uses: u32) {
    let token = RegistrationToken {
        hash: hash("token", number),
        created_at: NOW,
        expires_at: NOW.plus(MINUTE),
        uses,
    };
    store.put_registration_token(token, event(AuditKind::RegistrationTokenMade)).await.unwrap();
}

async fn a_token_is_used_as_often_as_it_may_be_and_no_more(store: Opened) {
    put(&store, 1, 5).await;
    let uses = (0..32).map(|_| store.use_registration_token(hash("token", 1), NOW));
    let used = futures_util::future::join_all(uses).await;
    assert_eq!(used.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 5);
    assert!(!store.use_registration_token(hash("token", 2), NOW).await.unwrap());
}

async fn a_token_ends_in_time_and_by_command(store: Opened) {
    put(&store, 1, 2).await;
    assert!(!store.use_registration_token(hash("token", 1), NOW.plus(MINUTE)).await.unwrap());
    assert!(store.use_registration_token(hash("token", 1), NOW).await.unwrap());
    assert_eq!(store.end_registration_tokens(event(AuditKind::Stopped)).await.unwrap(), 1);
    assert!(!store.use_registration_token(hash("token", 1), NOW).await.unwrap());
    put(&store, 2, 2).await;
    assert_eq!(store.sweep(NOW.plus(2 * DAY)).await.unwrap().registration_tokens, 1);
}
