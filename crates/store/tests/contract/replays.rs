use store::{Maintenance as _, ReplayKind, Replays as _};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_thing_is_used_once_of_its_kind,
    of_many_who_use_a_thing_at_once_one_does,
    a_thing_that_is_over_is_not_used,
    a_sweep_forgets_a_thing_only_when_it_is_over,
}

const KIND: ReplayKind = ReplayKind::ClientAssertion;

async fn a_thing_is_used_once_of_its_kind(store: Opened) {
    let end = NOW.plus(MINUTE);
    for kind in ReplayKind::ALL {
        assert!(store.use_once(kind, hash("jti", 1), end, NOW).await.unwrap(), "{kind:?}");
        assert!(!store.use_once(kind, hash("jti", 1), end.plus(MINUTE), NOW).await.unwrap(), "{kind:?}");
    }
    assert!(store.use_once(KIND, hash("jti", 2), end, NOW).await.unwrap());
}

async fn of_many_who_use_a_thing_at_once_one_does(store: Opened) {
    let uses = (0..32).map(|_| store.use_once(KIND, hash("jti", 1), NOW.plus(MINUTE), NOW));
    let used = futures_util::future::join_all(uses).await;
    assert_eq!(used.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 1);
}

async fn a_thing_that_is_over_is_not_used(store: Opened) {
    assert!(!store.use_once(KIND, hash("jti", 1), NOW, NOW).await.unwrap());
    // One that was used and is over may be made again, swept or not.
    assert!(store.use_once(KIND, hash("jti", 1), NOW.plus(MINUTE), NOW).await.unwrap());
    let later = NOW.plus(MINUTE);
    assert!(store.use_once(KIND, hash("jti", 1), later.plus(MINUTE), later).await.unwrap());
    assert!(!store.use_once(KIND, hash("jti", 1), later.plus(MINUTE), later).await.unwrap());
}

async fn a_sweep_forgets_a_thing_only_when_it_is_over(store: Opened) {
    let end = NOW.plus(MINUTE);
    assert!(store.use_once(KIND, hash("jti", 1), end, NOW).await.unwrap());
    assert!(store.use_once(KIND, hash("jti", 2), end.plus(MINUTE), NOW).await.unwrap());
    assert_eq!(store.sweep(NOW).await.unwrap().replays, 0);
    assert!(!store.use_once(KIND, hash("jti", 1), end, NOW).await.unwrap());
    assert_eq!(store.sweep(end.plus(DAY)).await.unwrap().replays, 2);
}
