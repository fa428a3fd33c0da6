//! How long audit events are kept (product.md, P-18): what is too old for its class goes, unless it is under a legal hold;
//! and who a person was can be forgotten without an event being touched.
//!
//! Must never remove what no seal covers, nor before a seal says that it may go.

pub(crate) mod forgetting;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use protocol::id::{AuditEvent as EventOf, Id, User};
use protocol::world::Timestamp;

use crate::audit_blocks::{SPAN, Unpacked};
use crate::audit_events;
use crate::audit_seals::AuditClass;
use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::{sane, statement_list};
use crate::{Answer, AuditEvent, StoreError};

pub use forgetting::{Forget, Forgotten};

/// Rows per write, and blocks per reading.
const EVENTS: u32 = 500;
const BLOCKS: u32 = 16;
/// How long after a call others may have its name, where that is not written beside the name.
const SHARED: Duration = Duration::from_secs(60 * 60);

/// What must not go, whatever its age. What is `None` is not asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHold {
    /// Its id.
    pub id: Id<EventOf>,
    /// Of this person.
    pub user: Option<Id<User>>,
    /// At this MCP server.
    pub server: Option<String>,
    /// At or after this.
    pub since: Timestamp,
    /// Before this.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Since when it holds.
    pub created_at: Timestamp,
}

impl AuditHold {
    fn holds(&self, at: Timestamp, user: Option<Id<User>>, server: Option<&str>) -> bool {
        at >= self.since
            && at < self.until
            && self.user.is_none_or(|held| user == Some(held))
            && self.server.as_deref().is_none_or(|held| server == Some(held))
    }
}

/// What is kept, and how long.
pub trait AuditKeeping: Send + Sync {
    /// Puts something under a legal hold, with the event of it.
    fn put_hold(&self, hold: AuditHold, audit: AuditEvent) -> Answer<'_, ()>;

    /// Ends one. Whether there was one.
    fn end_hold(&self, id: Id<EventOf>, audit: AuditEvent) -> Answer<'_, bool>;

    /// All of them, oldest first.
    fn list_holds(&self) -> Answer<'_, Vec<AuditHold>>;

    /// Removes sealed rows of a class from before this, that no hold covers, with their names and addresses. How many rows.
    /// A name that calls share goes when the last call that could name it is gone.
    fn remove_audit(&self, class: AuditClass, before: Timestamp) -> Answer<'_, u64>;

    /// Forgets name and address of a person wherever they stand beside an event, and in their own row; the events stay as
    /// they are. `None` if a legal hold may be on them, unless it is done in spite of that. Reads every block and tells how
    /// many of how many. If it is interrupted, it can be done again.
    fn forget_person<'a>(
        &'a self,
        forget: Forget,
        progress: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Answer<'a, Option<Forgotten>>;
}

/// Sealed events of a class that are too old, by the kinds of the class (`AuditClass::of`; a test holds the two together).
macro_rules! too_old {
    ($kinds:literal) => {
        concat!(
            "SELECT id, at, subject_id, user_id, server FROM audit_events WHERE seal_id IS NOT NULL AND (at, id) > ($1, $2) \
             AND at < $3 AND kind ",
            $kinds,
            " ORDER BY at, id LIMIT $4"
        )
    };
}

/// A row goes only if the holds are still those by which it was found that it may.
macro_rules! unless_held_since {
    ($delete:literal, $count:literal, $last:literal) => {
        concat!(
            $delete,
            " AND (SELECT COUNT(*) FROM audit_holds) = ",
            $count,
            " AND COALESCE((SELECT MAX(created_at) FROM audit_holds), 0) = ",
            $last
        )
    };
}

statement_list! {
    PUT = "INSERT INTO audit_holds (id, user_id, server, since, until, reason, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    END = "DELETE FROM audit_holds WHERE id = $1";
    LIST = "SELECT id, user_id, server, since, until, reason, created_at FROM audit_holds ORDER BY created_at, id";
    OLD_CALLS = too_old!("IN ('call', 'call_ended', 'call_refused')");
    OLD_TOKENS = too_old!("IN ('credential_obtained', 'refresh_repeated', 'token_issued', 'token_refreshed')");
    OLD_SIGN_INS = too_old!("IN ('authorize_refused', 'consent_denied', 'consent_given', 'emergency_sign_in', \
        'sign_in', 'sign_in_refused', 'sign_out')");
    OLD_SECURITY = too_old!("NOT IN ('call', 'call_ended', 'call_refused', 'credential_obtained', 'refresh_repeated', 'token_issued', \
        'token_refreshed', 'authorize_refused', 'consent_denied', 'consent_given', 'emergency_sign_in', 'sign_in', 'sign_in_refused', 'sign_out')");
    OLD_BLOCKS = concat!("SELECT id, last_at, ", sane!("packed"), ", seal_id FROM audit_blocks WHERE (last_at, id) > ($1, $2) \
        AND last_at < $3 ORDER BY last_at, id LIMIT $4");
    OLD_SUBJECTS = "SELECT id, used_until FROM audit_subjects WHERE used_until IS NOT NULL AND (used_until, id) > ($1, $2) \
        AND used_until <= $3 ORDER BY used_until, id LIMIT $4";
    // Of the release before the column, which writes beside this one while nodes are upgraded: nobody else would remove it.
    SHARE_SUBJECT = "UPDATE audit_subjects SET used_until = $1 WHERE id = $2 AND used_until IS NULL \
        AND NOT EXISTS (SELECT 1 FROM sign_ins WHERE id = $2)";
    REMOVE_SUBJECT = "DELETE FROM audit_subjects WHERE id = $1";
    REMOVE_SHARED = unless_held_since!("DELETE FROM audit_subjects WHERE id = $1", "$2", "$3");
    REMOVE_EVENT = unless_held_since!("DELETE FROM audit_events WHERE at = $1 AND id = $2", "$3", "$4");
    REMOVE_BLOCK = unless_held_since!("DELETE FROM audit_blocks WHERE last_at = $1 AND id = $2", "$3", "$4");
}

impl AuditKeeping for Engine {
    fn put_hold(&self, hold: AuditHold, audit: AuditEvent) -> Answer<'_, ()> {
        Box::pin(async move {
            // In the order of the tables: the event comes first.
            let mut steps = Vec::new();
            audit_events::push(&mut steps, &audit)?;
            let row = params![
                hold.id,
                hold.user,
                hold.server.as_deref(),
                hold.since,
                hold.until,
                hold.reason.as_str(),
                hold.created_at,
            ];
            steps.push(Step::one(PUT, row));
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => Err(StoreError::unavailable("the hold is there already")),
            }
        })
    }

    fn end_hold(&self, id: Id<EventOf>, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = Vec::new();
            audit_events::push(&mut steps, &audit)?;
            steps.push(Step::one(END, params![id]));
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn list_holds(&self) -> Answer<'_, Vec<AuditHold>> {
        Box::pin(async move { self.many(LIST, params![]).await?.into_iter().map(hold).collect() })
    }

    fn remove_audit(&self, class: AuditClass, before: Timestamp) -> Answer<'_, u64> {
        Box::pin(async move {
            match class {
                AuditClass::Block => remove_blocks(self, before).await,
                AuditClass::Call => remove_events(self, OLD_CALLS, before).await,
                AuditClass::Security => remove_events(self, OLD_SECURITY, before).await,
                AuditClass::SignIn => remove_events(self, OLD_SIGN_INS, before).await,
                AuditClass::Token => remove_events(self, OLD_TOKENS, before).await,
            }
        })
    }

    fn forget_person<'a>(
        &'a self,
        forget: Forget,
        progress: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Answer<'a, Option<Forgotten>> {
        Box::pin(forgetting::forget(self, forget, progress))
    }
}

/// The holds as they were when something was found that may go.
struct Holds {
    list: Vec<AuditHold>,
    count: i64,
    last: Timestamp,
}

impl Holds {
    async fn read(engine: &Engine) -> Result<Self, StoreError> {
        let list: Vec<AuditHold> =
            engine.many(LIST, params![]).await?.into_iter().map(hold).collect::<Result<_, _>>()?;
        let count = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let last = list.iter().map(|hold| hold.created_at).max().unwrap_or(Timestamp::from_micros(0));
        Ok(Self { list, count, last })
    }

    fn hold(&self, at: Timestamp, user: Option<Id<User>>, server: Option<&str>) -> bool {
        self.list.iter().any(|hold| hold.holds(at, user, server))
    }

    fn is_as(&self, other: &Self) -> bool {
        (self.count, self.last) == (other.count, other.last)
    }
}

/// How often a page is read again when another node, or a new hold, was in between.
const TRIES: u32 = 8;

/// What of one page may go.
struct Portion {
    steps: Vec<Step>,
    /// How many rows of the audit go with it.
    rows: u64,
    /// Where the page ended, and whether nothing comes after it.
    end: Place,
    is_last: bool,
}

/// Goes through what is too old, page by page.
struct Pages<'e> {
    engine: &'e Engine,
    place: Place,
    removed: u64,
    tries: u32,
    are_over: bool,
}

impl<'e> Pages<'e> {
    const fn of(engine: &'e Engine) -> Self {
        Self { engine, place: FIRST, removed: 0, tries: 0, are_over: false }
    }

    /// Removes what may go of the page, and goes on to the next; or stays, if the holds were others by then.
    async fn remove(&mut self, portion: Portion) -> Result<(), StoreError> {
        let Portion { steps, rows, end, is_last } = portion;
        if steps.is_empty() || matches!(self.engine.write(Write::new(steps).long()).await?, Written::Done(_))
        {
            (self.place, self.removed, self.tries) = (end, self.removed + rows, 0);
            self.are_over = is_last;
            return Ok(());
        }
        self.tries += 1;
        if self.tries > TRIES {
            return Err(StoreError::unavailable("holds changed again and again while old rows were removed"));
        }
        Ok(())
    }
}

/// Events that are rows of their own; each has personal data of its own.
async fn remove_events(engine: &Engine, sql: &'static str, before: Timestamp) -> Result<u64, StoreError> {
    let mut pages = Pages::of(engine);
    while !pages.are_over {
        let (holds, mut end) = (Holds::read(engine).await?, pages.place);
        let rows = engine.many(sql, params![end.0, end.1, before, EVENTS]).await?;
        let is_last = rows.len() < EVENTS as usize;
        let (mut steps, mut events) = (Vec::new(), Vec::new());
        for row in rows {
            let mut row = Decoder::new("audit_events", row);
            let (id, at) = (row.id("id")?, row.time("at")?);
            let subject: Option<[u8; 16]> = row.opt_id::<EventOf>("subject_id")?.map(|id| *id.as_bytes());
            end = (at, id);
            if holds.hold(at, row.opt_id("user_id")?, row.opt_text("server")?.as_deref()) {
                continue;
            }
            steps.extend(subject.map(|subject| Step::any(REMOVE_SUBJECT, params![subject])));
            events.push(Step::one(REMOVE_EVENT, params![at, id, holds.count, holds.last]));
        }
        let rows = events.len() as u64;
        steps.extend(events);
        pages.remove(Portion { steps, rows, end, is_last }).await?;
    }
    Ok(pages.removed)
}

/// Blocks that are wholly too old; one of which any call is held stays whole. Then the names that no call has any more.
async fn remove_blocks(engine: &Engine, before: Timestamp) -> Result<u64, StoreError> {
    let first_holds = Holds::read(engine).await?;
    let mut still_named: HashSet<[u8; 16]> = HashSet::new();
    let mut pages = Pages::of(engine);
    while !pages.are_over {
        let (holds, mut end) = (Holds::read(engine).await?, pages.place);
        let rows = engine.many(OLD_BLOCKS, params![end.0, end.1, before, BLOCKS]).await?;
        let is_last = rows.len() < BLOCKS as usize;
        let (mut blocks, mut named) = (Vec::new(), BTreeMap::new());
        for row in rows {
            let block = Block::decode(row)?;
            end = (block.last_at, block.id);
            // Of one that was altered nobody knows what it held: it goes if nothing is held.
            let unpacked = block.unpacked();
            let is_held = unpacked.as_ref().map_or(!holds.list.is_empty(), |unpacked| {
                unpacked.who_and_where().any(|(at, user, server)| holds.hold(at, user, server))
            });
            let subjects = unpacked.iter().flat_map(Unpacked::subjects);
            if !block.sealed || is_held {
                still_named.extend(subjects);
                continue;
            }
            let row = params![block.last_at, block.id, holds.count, holds.last];
            blocks.push(Step::one(REMOVE_BLOCK, row));
            // In the order of time: the last one counts.
            named.extend(subjects.map(|subject| (subject, block.last_at.plus(SHARED))));
        }
        let rows = blocks.len() as u64;
        let mut steps: Vec<_> = named
            .into_iter()
            .map(|(subject, until)| Step::any(SHARE_SUBJECT, params![until, subject]))
            .collect();
        steps.extend(blocks);
        pages.remove(Portion { steps, rows, end, is_last }).await?;
    }
    // Otherwise the next time: what a hold that came in between covers may be named by what was looked at before.
    if Holds::read(engine).await?.is_as(&first_holds) {
        // A block that is not wholly too old was not looked at, and names whom its first call was of.
        remove_shared(engine, before.minus(SPAN), &first_holds, &still_named).await?;
    }
    Ok(pages.removed)
}

/// Names that calls shared, all of which are gone: none that began later has them.
async fn remove_shared(
    engine: &Engine,
    before: Timestamp,
    holds: &Holds,
    still_named: &HashSet<[u8; 16]>,
) -> Result<(), StoreError> {
    let mut place = FIRST;
    loop {
        let rows = engine.many(OLD_SUBJECTS, params![place.0, place.1, before, EVENTS]).await?;
        let is_last = rows.len() < EVENTS as usize;
        let mut steps = Vec::new();
        for row in rows {
            let mut row = Decoder::new("audit_subjects", row);
            let id: Id<EventOf> = row.id("id")?;
            place = (row.time("used_until")?, id);
            if !still_named.contains(id.as_bytes()) {
                steps.push(Step::any(REMOVE_SHARED, params![id, holds.count, holds.last]));
            }
        }
        if !steps.is_empty() {
            engine.write(Write::new(steps).long()).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// A place in the order of time.
type Place = (Timestamp, Id<EventOf>);

/// Before everything.
const FIRST: Place = (Timestamp::from_micros(i64::MIN), Id::from_bytes([0; 16]));

struct Block {
    id: Id<EventOf>,
    last_at: Timestamp,
    packed: Vec<u8>,
    sealed: bool,
}

impl Block {
    fn decode(row: Row) -> Result<Self, StoreError> {
        let mut row = Decoder::new("audit_blocks", row);
        Ok(Self {
            id: row.id("id")?,
            last_at: row.time("last_at")?,
            // Nothing, if it is larger than any of ours.
            packed: row.opt_bytes("packed")?.unwrap_or_default(),
            sealed: row.opt_int("seal_id")?.is_some(),
        })
    }

    /// `None` if it was altered.
    fn unpacked(&self) -> Option<Unpacked<'_>> {
        Unpacked::read(&self.packed)
    }
}

fn hold(row: Row) -> Result<AuditHold, StoreError> {
    let mut row = Decoder::new("audit_holds", row);
    Ok(AuditHold {
        id: row.id("id")?,
        user: row.opt_id("user_id")?,
        server: row.opt_text("server")?,
        since: row.time("since")?,
        until: row.time("until")?,
        reason: row.text("reason")?,
        created_at: row.time("created_at")?,
    })
}
