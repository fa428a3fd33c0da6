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

/// The blocks in the record, for writing. They are read through [`Queries`](crate::Queries), among the other events.
pub trait AuditBlocks: Send + Sync {
    /// Appends blocks and the personal data that their events name and that was not appended before; all or none,
    /// durable when answered. A block that is there already stays as it is. The intents of `over` go with it: these calls
    /// are in the blocks now.
    fn append_blocks<'a>(
        &'a self,
        blocks: &'a [AuditBlock],
        subjects: &'a [SharedSubject],
        over: &'a [Id<protocol::id::AuditEvent>],
    ) -> Answer<'a, ()> {
        self.append_calls(blocks, (subjects, &[]), over)
    }

    /// The same, with calls that are rows of their own because more is kept of them than a block has room for.
    fn append_calls<'a>(
        &'a self,
        blocks: &'a [AuditBlock],
        beside: (&'a [SharedSubject], &'a [AuditEvent]),
        over: &'a [Id<protocol::id::AuditEvent>],
    ) -> Answer<'a, ()>;
}

statement_list! {
    // Written once, so that a block whose answer was lost can be sent again.
    PUT = "INSERT INTO audit_blocks (id, first_at, last_at, events, packed) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (last_at, id) DO NOTHING";
    PUT_SHARED = "INSERT INTO audit_subjects (id, name, address, used_until) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (id) DO NOTHING";
}

impl AuditBlocks for Engine {
    fn append_calls<'a>(
        &'a self,
        blocks: &'a [AuditBlock],
        (subjects, events): (&'a [SharedSubject], &'a [AuditEvent]),
        over: &'a [Id<protocol::id::AuditEvent>],
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let put = |block: &AuditBlock| {
                let row =
                    params![block.id, block.first_at, block.last_at, block.events, block.packed.as_slice()];
                Step::at_most_one(PUT, row)
            };
            let put_shared = |SharedSubject { subject, until }: &SharedSubject| {
                let row = params![subject.id, subject.name.as_deref(), subject.address.as_deref(), *until];
                Step::at_most_one(PUT_SHARED, row)
            };
            let mut steps: Vec<Step> =
                audit_intents::complete(over).chain(subjects.iter().map(put_shared)).collect();
            audit_events::push_all(&mut steps, events)?;
            steps.extend(blocks.iter().map(put));
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => Err(StoreError::unavailable("a block of audit events was not taken")),
            }
        })
    }
}
