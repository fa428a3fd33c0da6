//! Audit events of calls, many to a row: a block holds what was gathered at one time, each event whole
//! (product.md, P-18; decision 0006).
//!
//! The events of a block lie within [`SPAN`], so that its two times say which pages it may matter to. Names and
//! addresses stand beside, as for every other event. Never a token, a hash or an argument.

mod pack;
mod unpack;

use std::time::Duration;

use protocol::id::{Grant, Id, User};
use protocol::world::Timestamp;

use crate::audit_events::{self, AuditEvent, AuditKind, AuditSubject, Outcome};
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError, audit_intents};

pub(crate) use unpack::{Event, Unpacked};

/// How far apart the events of one block may lie; the schema refuses more.
pub(crate) const SPAN: Duration = Duration::from_secs(10);

/// One call, as it goes into a block. Borrows, because a block is made of thousands a second.
#[derive(Debug, Clone, Copy)]
pub struct CallEvent<'a> {
    /// Its id.
    pub id: Id<protocol::id::AuditEvent>,
    /// When the call began.
    pub at: Timestamp,
    /// How it ended; one that was refused is of kind [`AuditKind::CallRefused`], every other [`AuditKind::Call`].
    pub outcome: Outcome,
    /// Why, in snake case; `policy:` and its id if an operator's policy forbade it.
    pub reason: Option<&'a str>,
    /// Who.
    pub user: Option<Id<User>>,
    /// With which client.
    pub client_id: Option<&'a str>,
    /// At which MCP server, by our name.
    pub server: Option<&'a str>,
    /// Under which grant.
    pub grant: Option<Id<Grant>>,
    /// Under which id the personal data of it stands.
    pub subject: Option<[u8; 16]>,
    /// The method of the message.
    pub method: &'a str,
    /// What was called: a tool, a resource, a prompt.
    pub name: Option<&'a str>,
    /// The HTTP status.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Bytes of the answer.
    pub bytes: u64,
}

/// Events of calls, packed. Its id is that of its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBlock {
    pub(crate) id: Id<protocol::id::AuditEvent>,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) events: u32,
    pub(crate) packed: Vec<u8>,
}

impl CallEvent<'_> {
    const fn kind(&self) -> AuditKind {
        match self.outcome {
            Outcome::Refused => AuditKind::CallRefused,
            Outcome::Failed | Outcome::Ok | Outcome::Unknown => AuditKind::Call,
        }
    }
}

impl AuditBlock {
    /// Packs events of calls: mostly into one block, and into one more for those of a call that took longer than
    /// the span of a block. The order of the events does not matter.
    #[must_use]
    pub fn pack(mut events: Vec<CallEvent<'_>>) -> Vec<Self> {
        events.sort_unstable_by_key(|event| (event.at, event.id));
        let mut blocks = Vec::with_capacity(1);
        let mut rest = events.as_slice();
        while let Some(first) = rest.first() {
            let end = first.at.plus(SPAN);
            let (now, later) = rest.split_at(rest.partition_point(|event| event.at <= end));
            blocks.extend(pack::block(now));
            rest = later;
        }
        blocks
    }
}

/// Personal data that several calls name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSubject {
    /// What they name.
    pub subject: AuditSubject,
    /// No call that began then or later names it.
    pub until: Timestamp,
}

/// Events of calls that are written together.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallBatch<'a> {
    /// Packed.
    pub blocks: &'a [AuditBlock],
    /// Rows of their own, because more is kept of these calls than a block has room for, or because they are late.
    pub rows: &'a [AuditEvent],
    /// The personal data that the blocks name and that was not written before.
    pub subjects: &'a [SharedSubject],
    /// The calls whose intents go with it.
    pub over: &'a [Id<protocol::id::AuditEvent>],
    /// Of these, the ones that were settled before: what the batch has of them are events [`AuditKind::CallEnded`].
    pub late: &'a [Id<protocol::id::AuditEvent>],
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the record.
    Done,
    /// Nothing was written: these calls have an event already, because their node was taken for gone. They are late.
    Settled(Vec<Id<protocol::id::AuditEvent>>),
}

/// The blocks in the record, for writing. They are read through [`Queries`](crate::Queries), among the other events.
pub trait AuditBlocks: Send + Sync {
    /// Appends blocks and the personal data that their events name and that was not appended before, and ends the intents
    /// of `over`.
    fn append_blocks<'a>(
        &'a self,
        blocks: &'a [AuditBlock],
        subjects: &'a [SharedSubject],
        over: &'a [Id<protocol::id::AuditEvent>],
    ) -> Answer<'a, Appended> {
        self.append_calls(CallBatch { blocks, subjects, over, ..CallBatch::default() })
    }

    /// Appends a batch, all or nothing, durable when answered. What is there already stays as it is. No call that was
    /// settled gets a second event of its own.
    fn append_calls<'a>(&'a self, batch: CallBatch<'a>) -> Answer<'a, Appended>;
}

statement_list! {
    // Written once, so that a block whose answer was lost can be sent again.
    PUT = "INSERT INTO audit_blocks (id, first_at, last_at, events, packed) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (last_at, id) DO NOTHING";
    PUT_SHARED = "INSERT INTO audit_subjects (id, salt, name, address, used_until) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (id) DO NOTHING";
}

impl AuditBlocks for Engine {
    fn append_calls<'a>(&'a self, batch: CallBatch<'a>) -> Answer<'a, Appended> {
        Box::pin(async move {
            let put = |block: &AuditBlock| {
                let row =
                    params![block.id, block.first_at, block.last_at, block.events, block.packed.as_slice()];
                Step::at_most_one(PUT, row)
            };
            let put_shared = |SharedSubject { subject, until }: &SharedSubject| {
                let (name, address) = (subject.name.as_deref(), subject.address.as_deref());
                let row = params![subject.id(), subject.salt, name, address, *until];
                Step::at_most_one(PUT_SHARED, row)
            };
            let mut steps = audit_intents::complete(batch.over, batch.late);
            steps.extend(batch.subjects.iter().map(put_shared));
            audit_events::push_all(&mut steps, batch.rows)?;
            steps.extend(batch.blocks.iter().map(put));
            if let Written::Done(_) = self.write(Write::new(steps)).await? {
                return Ok(Appended::Done);
            }
            let settled = audit_intents::settled(self, batch.over).await?;
            if settled.iter().all(|id| batch.late.contains(id)) {
                return Err(StoreError::unavailable("a batch of audit events was not taken"));
            }
            Ok(Appended::Settled(settled))
        })
    }
}
