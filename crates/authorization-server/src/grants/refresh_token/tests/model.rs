//! The state machine of one grant against a model of fifteen lines: random presentations of any generation, time,
//! ends and races.

use proptest::prelude::*;
use protocol::world::Timestamp;
use store::{EndGrant, Grants};

use super::*;

/// What can happen to a grant.
#[derive(Debug, Clone)]
enum Happening {
    Advance(u64),
    Concurrent(usize),
    End,
    /// How far from the current generation.
    Present(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (-3_i64..=2).prop_map(Happening::Present),
        4 => prop_oneof![1_u64..70, Just(60), Just(61), 86_400_u64 * 20..86_400 * 31].prop_map(Happening::Advance),
        1 => (2_usize..6).prop_map(Happening::Concurrent),
        1 => Just(Happening::End),
    ]
}

/// What the record should remember.
#[derive(Debug)]
struct Model {
    generation: u32,
    rotated_at: Timestamp,
    idle_until: Timestamp,
    until: Timestamp,
    ended: bool,
}

impl Model {
    /// The generation that an answer carries, or the reason for none.
    fn present(&mut self, generation: u32, now: Timestamp) -> Result<u32, RefreshRefusal> {
        if self.ended {
            return Err(RefreshRefusal::Ended);
        }
        if now >= self.idle_until || now >= self.until {
            return Err(RefreshRefusal::Expired);
        }
        if generation > self.generation {
            return Err(RefreshRefusal::SetBack);
        }
        if generation < self.generation {
            let repeat =
                generation + 1 == self.generation && now <= self.rotated_at.plus(Duration::from_secs(60));
            self.ended = !repeat;
            return if repeat { Ok(self.generation) } else { Err(RefreshRefusal::Reused) };
        }
        self.generation += 1;
        self.rotated_at = now;
        self.idle_until = now.plus(Duration::from_secs(30 * 86_400)).min(self.until);
        Ok(self.generation)
    }
}

fn generation_of(answer: Result<TokenResponse, TokenError>) -> Result<u32, RefreshRefusal> {
    match answer {
        Ok(response) => {
            Ok(refresh_token::parse(&Tokens::of(response).refresh_token.unwrap()).unwrap().generation)
        }
        Err(TokenError::Refresh(refusal)) => Err(refusal),
        Err(error) => panic!("{error}"),
    }
}

async fn end(house: &House, grant: Id<Grant>) {
    let now = house.clock.now();
    let audit = house.server.event(AuditKind::GrantRevoked, Outcome::Ok, now);
    let end = EndGrant { grant, revocation: crate::grants::revocation_of(grant, now), audit };
    house.store.end_grant(end, now).await.unwrap();
}

async fn follow(house: &House, happenings: &[Happening]) {
    let (client, tokens) = house.tokens().await;
    let grant = house.grant_of(&tokens);
    let start = house.clock.now();
    let mut model = Model {
        generation: 0,
        rotated_at: start,
        idle_until: start.plus(Duration::from_secs(30 * 86_400)),
        until: start.plus(Duration::from_secs(180 * 86_400)),
        ended: false,
    };
    for happening in happenings {
        match happening {
            Happening::Advance(seconds) => house.clock.advance(Duration::from_secs(*seconds)),
            Happening::Concurrent(callers) => {
                let token = token_of(house, grant, model.generation).await;
                let all = (0..*callers).map(|_| house.refresh(&client, &token));
                let presented = model.generation;
                for answer in futures_util::future::join_all(all).await {
                    let expected = model.present(presented, house.clock.now());
                    assert_eq!(generation_of(answer), expected);
                }
            }
            Happening::End => {
                end(house, grant).await;
                model.ended = true;
            }
            Happening::Present(offset) => {
                let Ok(generation) = u32::try_from(i64::from(model.generation) + offset) else { continue };
                let token = token_of(house, grant, generation).await;
                let expected = model.present(generation, house.clock.now());
                assert_eq!(generation_of(house.refresh(&client, &token).await), expected);
            }
        }
        let record = house.store.find_grant(grant).await.unwrap().unwrap();
        assert_eq!((record.generation, record.revoked_at.is_some()), (model.generation, model.ended));
    }
}

#[test]
fn refreshing_follows_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let house = runtime.block_on(House::new());
    proptest!(ProptestConfig::with_cases(150), |(happenings in proptest::collection::vec(happening(), 1..25))| {
        runtime.block_on(follow(&house, &happenings));
    });
}
