//! Forgetting who somebody was (product.md, P-18): name and address go wherever they stand, and every event stays as it is.
//!
//! One event tells of it, in the write that makes the first of them go. The person's own row comes last, so that they are still
//! found by name if it is interrupted; and then once more what was written meanwhile.

use protocol::id::{Id, User};

use super::{AuditHold, BLOCKS, Block, FIRST, Place};
use crate::audit_events;
use crate::codec::Decoder;
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::{sane, statement_list};
use crate::{AuditEvent, AuditKeeping as _, StoreError};

/// Who is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// The person.
    pub user: Id<User>,
    /// Whether it is done although a legal hold may be on what is told of them.
    pub in_spite_of_holds: bool,
    /// The event of it.
    pub audit: AuditEvent,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Names and addresses.
    pub names: u64,
    /// Whether the log of the file, which somebody is reading, still holds some of it.
    pub in_log: bool,
    /// Blocks of calls that cannot be read: whose names their calls have is not known.
    pub unreadable: u64,
}

/// A name or address is blotted out only while no hold may be on the person, unless it is done in spite of that.
macro_rules! forget {
    ($what:literal, $user:literal, $in_spite:literal) => {
        concat!(
            $what,
            " AND (CAST(",
            $in_spite,
            " AS BIGINT) = 1 OR NOT EXISTS (SELECT 1 FROM audit_holds h WHERE h.user_id IS NULL OR h.user_id = ",
            $user,
            "))"
        )
    };
}

statement_list! {
    COUNT_BLOCKS = "SELECT COUNT(*) FROM audit_blocks";
    ALL_BLOCKS = concat!("SELECT id, last_at, ", sane!("packed"), ", seal_id FROM audit_blocks WHERE (last_at, id) > ($1, $2) \
        ORDER BY last_at, id LIMIT $3");
    MAY_FORGET = forget!("UPDATE users SET name = name WHERE id = $1", "$1", "$2");
    FORGET_USER = forget!("UPDATE users SET name = NULL, email = NULL WHERE id = $1", "$1", "$2");
    FORGET_CONNECTIONS = "UPDATE connections SET account = NULL WHERE user_id = $1";
    FORGET_INTENTS = "UPDATE audit_intents SET name = NULL, address = NULL WHERE user_id = $1";
    FORGET_EVENTS = "UPDATE audit_subjects SET name = NULL, address = NULL, salt = NULL WHERE \
        (name IS NOT NULL OR address IS NOT NULL OR salt IS NOT NULL) \
        AND id IN (SELECT subject_id FROM audit_events WHERE user_id = $1 AND subject_id IS NOT NULL)";
    FORGET_SIGN_INS = "UPDATE audit_subjects SET name = NULL, address = NULL, salt = NULL WHERE \
        (name IS NOT NULL OR address IS NOT NULL OR salt IS NOT NULL) \
        AND id IN (SELECT id FROM sign_ins WHERE user_id = $1)";
    FORGET_SUBJECT = forget!("UPDATE audit_subjects SET name = NULL, address = NULL, salt = NULL WHERE id = $1 \
        AND (name IS NOT NULL OR address IS NOT NULL OR salt IS NOT NULL)", "$3", "$2");
}

pub(super) async fn forget(
    engine: &Engine,
    forget: Forget,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Option<Forgotten>, StoreError> {
    let Forget { user, in_spite_of_holds, audit } = forget;
    let in_spite = i64::from(in_spite_of_holds);
    let may_be_on = |hold: &AuditHold| hold.user.is_none_or(|held| held == user);
    if !in_spite_of_holds && engine.list_holds().await?.iter().any(may_be_on) {
        return Ok(None);
    }
    let row = engine.one(COUNT_BLOCKS, params![]).await?;
    let all = row.map_or(Ok(0), |row| Decoder::new("audit_blocks", row).count("blocks"))?;
    let mut blotter = Blotter {
        engine,
        user,
        in_spite,
        place: FIRST,
        blocks: 0,
        all,
        progress,
        forgotten: Forgotten::default(),
    };
    if !blotter.rows(MAY_FORGET, Some(&audit)).await? {
        return Ok(None);
    }
    blotter.blocks().await?;
    if !blotter.rows(FORGET_USER, None).await? {
        return Ok(None);
    }
    blotter.blocks().await?;
    blotter.forgotten.in_log = !engine.fold().await?;
    Ok(Some(blotter.forgotten))
}

/// Goes through the blocks and blots out the names of one person.
struct Blotter<'a> {
    engine: &'a Engine,
    user: Id<User>,
    in_spite: i64,
    place: Place,
    blocks: u64,
    all: u64,
    progress: &'a (dyn Fn(u64, u64) + Sync),
    forgotten: Forgotten,
}

impl Blotter<'_> {
    /// What stands beside rows. Whether it was done: it is undone if `person` does not find that it may be.
    async fn rows(&mut self, person: &'static str, audit: Option<&AuditEvent>) -> Result<bool, StoreError> {
        let user = self.user;
        let mut steps = vec![
            Step::one(person, params![user, self.in_spite]),
            Step::any(FORGET_CONNECTIONS, params![user]),
            Step::any(FORGET_INTENTS, params![user]),
            Step::any(FORGET_EVENTS, params![user]),
            Step::any(FORGET_SIGN_INS, params![user]),
        ];
        if let Some(audit) = audit {
            audit_events::push(&mut steps, audit)?;
        }
        let Written::Done(touched) = self.engine.write(Write::new(steps).long()).await? else {
            return Ok(false);
        };
        self.forgotten.names += touched.iter().skip(2).take(3).map(|step| step.count).sum::<u64>();
        Ok(true)
    }

    /// What stands beside calls, from where it has come to, to the end.
    async fn blocks(&mut self) -> Result<(), StoreError> {
        loop {
            let rows = self.engine.many(ALL_BLOCKS, params![self.place.0, self.place.1, BLOCKS]).await?;
            let is_last = rows.len() < BLOCKS as usize;
            let mut steps = Vec::new();
            for row in rows {
                let block = Block::decode(row)?;
                self.place = (block.last_at, block.id);
                self.blocks += 1;
                let Some(unpacked) = block.unpacked() else {
                    self.forgotten.unreadable += 1;
                    continue;
                };
                let subjects = unpacked.subjects_of(self.user);
                let forget = |id| Step::any(FORGET_SUBJECT, params![id, self.in_spite, self.user]);
                steps.extend(subjects.into_iter().map(forget));
            }
            if !steps.is_empty()
                && let Written::Done(touched) = self.engine.write(Write::new(steps).long()).await?
            {
                self.forgotten.names += touched.iter().map(|step| step.count).sum::<u64>();
            }
            (self.progress)(self.blocks, self.all.max(self.blocks));
            if is_last {
                return Ok(());
            }
        }
    }
}
