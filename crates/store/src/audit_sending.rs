//! Whose turn it is to send the audit elsewhere, and how far it has come: of several nodes one sends, another goes on where
//! it ended, and a node that is gone holds the turn only for a while.
//!
//! Must never move on past what was not taken at the other end.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use protocol::world::Timestamp;

use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, KeysRecord as _, StoreError};

/// A turn is five minutes.
const NO_TURN_IS_LONGER: Duration = Duration::from_secs(15 * 60);
/// The fact that says it.
const KEY: &str = "audit_sending";

/// A node, from its start to its end.
pub type NodeId = [u8; 16];

/// How far the audit has been sent, and who sends it.
pub trait AuditSending: Send + Sync {
    /// Takes the turn for a node up to a time, if nobody else has it now, or keeps it. Up to which seal everything was
    /// sent; `None` if it is somebody else's turn.
    fn take_sending_turn(&self, node: NodeId, now: Timestamp, until: Timestamp) -> Answer<'_, Option<u64>>;

    /// Everything after one seal and up to another was taken at the other end; the turn is kept up to a time. Whether it was
    /// still ours; if not, nothing has changed, and whoever has it sends the same again.
    fn sent_audit(&self, node: NodeId, seals: (u64, u64), until: Timestamp) -> Answer<'_, bool>;
}

statement_list! {
    REPLACE = "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3";
}

/// What the fact says: "seal node until".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    seal: u64,
    node: NodeId,
    until: Timestamp,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = u128::from_be_bytes(self.node);
        write!(f, "{} {node:032x} {}", self.seal, self.until.micros())
    }
}

impl FromStr for Turn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ');
        let mut part = || parts.next().ok_or(());
        let seal = part()?.parse().map_err(|_| ())?;
        let node = u128::from_str_radix(part()?, 16).map_err(|_| ())?.to_be_bytes();
        let until = Timestamp::from_micros(part()?.parse().map_err(|_| ())?);
        Ok(Self { seal, node, until })
    }
}

impl AuditSending for Engine {
    fn take_sending_turn(&self, node: NodeId, now: Timestamp, until: Timestamp) -> Answer<'_, Option<u64>> {
        Box::pin(async move {
            let (text, turn) = self.turn().await?;
            // One that holds for longer was taken by a clock that was wrong.
            let is_held = turn.until > now && turn.until <= now.plus(NO_TURN_IS_LONGER);
            if turn.node != node && is_held {
                return Ok(None);
            }
            // While half of it is left nothing need be written.
            let is_kept = until > now && turn.until.since(now).saturating_mul(2) >= until.since(now);
            if turn.node == node && is_held && is_kept {
                return Ok(Some(turn.seal));
            }
            let next = Turn { node, until, ..turn };
            Ok(self.replace_turn(&text, next).await?.then_some(turn.seal))
        })
    }

    fn sent_audit(&self, node: NodeId, (from, to): (u64, u64), until: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let (text, turn) = self.turn().await?;
            if turn.node != node || turn.seal != from {
                return Ok(false);
            }
            self.replace_turn(&text, Turn { seal: to, node, until }).await
        })
    }
}

impl Engine {
    async fn turn(&self) -> Result<(String, Turn), StoreError> {
        let text = match self.meta(KEY).await? {
            Some(text) => text,
            None => {
                let first = Turn { seal: 0, node: [0; 16], until: Timestamp::from_micros(0) }.to_string();
                self.put_meta(KEY, &first).await?;
                self.meta(KEY).await?.unwrap_or(first)
            }
        };
        let turn = text.parse().map_err(|()| StoreError::Corrupt {
            table: "meta",
            column: "value",
            row: KEY.to_owned(),
        })?;
        Ok((text, turn))
    }

    async fn replace_turn(&self, from: &str, to: Turn) -> Result<bool, StoreError> {
        let step = Step::one(REPLACE, params![to.to_string(), KEY, from]);
        Ok(matches!(self.write(Write::new(vec![step])).await?, Written::Done(_)))
    }
}
