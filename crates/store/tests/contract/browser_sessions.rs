use store::{BrowserSessionRecord, BrowserSessions as _};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_session_comes_back_as_it_went_in,
    a_session_ends_in_time,
    a_session_in_use_lives_on_and_never_shorter,
    a_session_is_ended_once,
}

async fn a_session_comes_back_as_it_went_in(store: Opened) {
    let user = person(&store, 1).await;
    let expected = BrowserSessionRecord { user: user.id, ..session(1) };
    let found = store.find_browser_session(&hash("session", 1), NOW).await.unwrap();
    assert_eq!(found, Some((expected, user)));
    assert_eq!(store.find_browser_session(&hash("session", 2), NOW).await.unwrap(), None);
}

async fn a_session_ends_in_time(store: Opened) {
    person(&store, 1).await;
    let end = session(1).expires_at;
    assert_eq!(store.find_browser_session(&hash("session", 1), end).await.unwrap(), None);
    assert!(!store.end_browser_session(hash("session", 1), end).await.unwrap());
}

async fn a_session_in_use_lives_on_and_never_shorter(store: Opened) {
    person(&store, 1).await;
    let later = session(1).expires_at.plus(DAY);
    store.extend_browser_session(hash("session", 1), later).await.unwrap();
    store.extend_browser_session(hash("session", 1), NOW).await.unwrap();
    store.extend_browser_session(hash("session", 2), later).await.unwrap();
    let (found, _) =
        store.find_browser_session(&hash("session", 1), later.minus(MINUTE)).await.unwrap().unwrap();
    assert_eq!(found.expires_at, later);
}

async fn a_session_is_ended_once(store: Opened) {
    person(&store, 1).await;
    assert!(store.end_browser_session(hash("session", 1), NOW).await.unwrap());
    assert!(!store.end_browser_session(hash("session", 1), NOW).await.unwrap());
    assert_eq!(store.find_browser_session(&hash("session", 1), NOW).await.unwrap(), None);
}
