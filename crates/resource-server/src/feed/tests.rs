use std::time::Duration;

use base64_basic::basic;
use protocol::oauth::Form;
use store::RevocationKind;

use super::*;
use crate::fixture::{ISSUER, World, secret_of};

/// Test data needs no escaping but in base64.
mod base64_basic {
    pub(super) fn basic(id: &str, secret: &str) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bytes = format!("{id}:{}", secret.replace(' ', "+")).into_bytes();
        let mut text = String::from("Basic ");
        for chunk in bytes.chunks(3) {
            let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..4 {
                let value = usize::try_from(number >> (18 - 6 * place)).unwrap() & 63;
                text.push(if place > chunk.len() { '=' } else { char::from(DIGITS[value]) });
            }
        }
        text
    }
}

async fn page(world: &World, server: &str, query: &str) -> FeedPage {
    let header = basic(server, &secret_of(server));
    world.server.revocation_feed(&[&header], &Form::parse(query.as_bytes()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_nothing_is_left_out() {
    let world = World::new().await;
    let start = page(&world, "files", "").await;
    for number in 0..=MOST {
        world.stop(RevocationKind::Client, &format!("dcr_{number}")).await;
    }
    let first = page(&world, "files", &format!("cursor={}", start.cursor)).await;
    assert_eq!((first.revocations.len(), first.more, first.reset), (MOST, true, false));
    let second = page(&world, "files", &format!("cursor={}&wait=5", first.cursor)).await;
    assert_eq!((second.revocations.len(), second.more, second.reset), (1, false, false));
    assert_eq!(second.revocations[0].id, format!("dcr_{MOST}"));
    assert_eq!((second.max_age, second.epoch), (5000, 0));
    assert!(second.withdrawn_keys.is_empty());
}

/// A balancer that goes by request gives the next page to the other node, to whom the cursor says nothing.
#[tokio::test]
async fn a_reader_that_comes_from_another_node_hears_everything_in_one_answer() {
    let world = World::new().await;
    for number in 0..=MOST {
        world.stop(RevocationKind::Client, &format!("dcr_{number}")).await;
    }
    for query in ["", "cursor=00000000000000ab.1000"] {
        let told = page(&world, "files", query).await;
        assert_eq!((told.revocations.len(), told.more, told.reset), (MOST + 1, false, true), "{query}");
    }
}

#[tokio::test]
async fn other_resources_are_nobody_s_business() {
    let world = World::new().await;
    world.stop(RevocationKind::Resource, &format!("{ISSUER}/notes/mcp")).await;
    world.stop(RevocationKind::Resource, &format!("{ISSUER}/files/mcp")).await;
    for server in ["files", "notes"] {
        let told = page(&world, server, "").await.revocations;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].id.clone()), ("resource", format!("{ISSUER}/{server}/mcp")));
    }
}

/// A reader that waits is not forgotten when we stop, and one that comes then does not wait.
#[tokio::test]
async fn readers_are_sent_away_after_t_and_when_we_stop() {
    let world = World::new().await;
    let cursor = page(&world, "files", "").await.cursor;
    let query = format!("cursor={cursor}&wait=3600");
    // From here on nothing is asked of the record, and time goes by by itself.
    tokio::time::pause();
    let waits = |millis| tokio::time::timeout(Duration::from_millis(millis), page(&world, "files", &query));
    assert!(waits(LONGEST_WAIT * 1000 - 100).await.is_err());
    assert!(waits(LONGEST_WAIT * 1000 + 100).await.is_ok());
    let stopping = async {
        tokio::task::yield_now().await;
        world.server.end_streams();
    };
    let (told, ()) = tokio::join!(waits(100), stopping);
    assert!(told.is_ok() && waits(100).await.is_ok());
}

#[tokio::test]
async fn when_too_many_wait_a_further_one_is_answered_at_once() {
    let world = World::new().await;
    let cursor = page(&world, "files", "").await.cursor;
    let _all = world.server.parts.readers.try_acquire_many(u32::try_from(WAITING).unwrap()).unwrap();
    let told = page(&world, "files", &format!("cursor={cursor}&wait=3600")).await;
    assert!(told.revocations.is_empty() && !told.reset);
}
