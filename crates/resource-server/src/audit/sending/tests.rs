//! Whose turn it is to send.

use store::AuditSending as _;
use upstream::egress::Fetcher;
use upstream::trust::Trust;

use super::*;
use crate::fixture::World;

/// F-13: by a clock that is not that of the record no turn is taken, for which the others would wait.
#[tokio::test]
async fn f_13_a_node_with_a_wrong_clock_takes_no_turn() {
    let world = World::new().await;
    let freshness = Arc::new(Freshness::for_ever());
    let egress = Arc::new(Fetcher::new(&Trust::nobody().unwrap()));
    let collector = Arc::new(Collector::new("http://127.0.0.1:9", None, egress, Vec::new()));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let of = (clock, &*world.entropy as &dyn Entropy, Arc::clone(&freshness));
    let here = Sending::new(Arc::clone(&world.store) as _, of, Arc::default(), collector);
    // Takes it, and gives it back at once.
    let another_may = async || {
        let now = world.clock.now();
        world.store.take_sending_turn([9; 16], now, now).await.unwrap().is_some()
    };
    freshness.note_clock(true);
    assert!(!here.pass().await.unwrap());
    assert!(another_may().await);
    freshness.note_clock(false);
    assert!(!here.pass().await.unwrap(), "nothing is sealed yet");
    assert!(!another_may().await, "and it has the turn");
}
