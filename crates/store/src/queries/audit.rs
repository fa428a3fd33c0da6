//! The list of audit events, made of two tables: events that are rows of their own, and blocks of many calls.
//!
//! Both are read in the order of the list and merged until the page is settled: until no block that was not read
//! can hold an event that belongs before its end. It reads whole blocks and must never show half of one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use protocol::id::{AuditEvent, Id, Reference};
use protocol::world::Timestamp;

use super::{AuditFilter, AuditRow};
use crate::audit_blocks::{Event, SPAN, Unpacked};
use crate::codec::Decoder;
use crate::engine::{Engine, Row, Value, params};
use crate::statements::{sane, statement_list};
use crate::{AuditKind, Outcome, StoreError};

/// Blocks per reading: few at first, because a page mostly needs no more.
const FIRST_BLOCKS: u32 = 2;
const MOST_BLOCKS: u32 = 64;
/// Ids per reading of personal data, as many as `SUBJECTS` has parameters.
const SUBJECTS_AT_ONCE: usize = 16;
const MICROSECOND: Duration = Duration::from_micros(1);

/// Of a row whose id is none.
const NO_ID: Id<AuditEvent> = Id::from_bytes([0; 16]);

/// The place of an event in the list.
type Key = (Timestamp, Id<AuditEvent>);

/// In which order events are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Newest,
    Oldest,
}

/// The columns of an event, with its name and address.
macro_rules! columns {
    () => {
        concat!(
            "SELECT ",
            sane!("e.id"),
            ", e.at, ",
            sane!("e.kind"),
            ", ",
            sane!("e.outcome"),
            ", ",
            sane!("e.reason"),
            ", ",
            sane!("e.reference"),
            ", ",
            sane!("e.user_id"),
            ", ",
            sane!("e.client_id"),
            ", ",
            sane!("e.server"),
            ", ",
            sane!("e.grant_id"),
            ", ",
            sane!("s.name"),
            ", ",
            sane!("s.address"),
            ", ",
            sane!("e.detail"),
            ", e.seal_id"
        )
    };
}

macro_rules! blocks {
    ($rest:literal) => {
        concat!("SELECT ", sane!("id"), ", first_at, last_at, seal_id, ", sane!("packed"), $rest)
    };
}

/// The events that are rows, narrowed by the index that serves best.
macro_rules! rows {
    ($after:literal, $user:literal, $reference:literal, $order:literal) => {
        concat!(
            columns!(),
            " FROM audit_events e LEFT JOIN audit_subjects s ON s.id = e.subject_id WHERE (e.at, e.id) ",
            $after,
            " ($1, $2) AND e.at >= $3 AND e.at < $4 \
             AND (CAST($5 AS TEXT) IS NULL OR e.kind = $5) AND (CAST($6 AS TEXT) IS NULL OR e.client_id = $6) \
             AND (CAST($7 AS TEXT) IS NULL OR e.server = $7) AND ",
            $user,
            " AND ",
            $reference,
            $order,
            " LIMIT $10"
        )
    };
    (of $user:literal, $reference:literal, newest) => {
        rows!("<", $user, $reference, " ORDER BY e.at DESC, e.id DESC")
    };
    (of $user:literal, $reference:literal, oldest) => {
        rows!(">", $user, $reference, " ORDER BY e.at, e.id")
    };
    (all $order:ident) => {
        rows!(of "(CAST($8 AS BYTEA) IS NULL OR e.user_id = $8)", "(CAST($9 AS TEXT) IS NULL OR e.reference = $9)", $order)
    };
    (user $order:ident) => {
        rows!(of "e.user_id = $8", "(CAST($9 AS TEXT) IS NULL OR e.reference = $9)", $order)
    };
    (sign_in $order:ident) => {
        rows!(of "(CAST($8 AS BYTEA) IS NULL OR e.user_id = $8)", "e.reference = $9", $order)
    };
}

statement_list! {
    AUDIT = rows!(all newest);
    AUDIT_OF_USER = rows!(user newest);
    AUDIT_OF_SIGN_IN = rows!(sign_in newest);
    AUDIT_OLDEST = rows!(all oldest);
    AUDIT_OF_USER_OLDEST = rows!(user oldest);
    AUDIT_OF_SIGN_IN_OLDEST = rows!(sign_in oldest);
    AUDIT_BLOCKS = blocks!(" FROM audit_blocks WHERE (last_at, id) < ($1, $2) AND last_at >= $3 AND first_at <= $4 \
        ORDER BY last_at DESC, id DESC LIMIT $5");
    AUDIT_BLOCKS_OLDEST = blocks!(" FROM audit_blocks WHERE (first_at, id) > ($1, $2) AND last_at >= $3 AND first_at <= $4 \
        ORDER BY first_at, id LIMIT $5");
    UNDER_SEAL = concat!(columns!(), ", e.seal_position FROM audit_events e LEFT JOIN audit_subjects s ON s.id = e.subject_id \
        WHERE e.seal_id = $1 ORDER BY e.seal_position");
    BLOCKS_UNDER_SEAL = blocks!(", seal_position FROM audit_blocks WHERE seal_id = $1 ORDER BY seal_position");
    SUBJECTS = concat!("SELECT id, ", sane!("name"), ", ", sane!("address"), " FROM audit_subjects \
        WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
}

/// One page of the list: the events after `after`, which is the place of the last one of the page before.
pub(super) async fn list(
    engine: &Engine,
    filter: AuditFilter,
    after: Option<Key>,
    limit: u32,
    order: Order,
) -> Result<Vec<AuditRow>, StoreError> {
    let after = after.unwrap_or_else(|| order.start());
    let rows = engine.many(order.rows(&filter), narrowed(&filter, after, limit)).await?;
    let mut page = Page { order, limit: limit as usize, found: Vec::new() };
    for row in rows {
        page.found.push((decode(row)?, None));
    }
    if may_be_in_blocks(&filter) && limit > 0 {
        add_blocks(engine, &filter, after, &mut page).await?;
    }
    with_subjects(engine, page.found).await
}

/// The events under a seal, in the order in which it names them; those of a block by time.
pub(crate) async fn under_seal(engine: &Engine, seal: u64) -> Result<Vec<AuditRow>, StoreError> {
    let seal = i64::try_from(seal).unwrap_or(i64::MAX);
    let (mut found, every) = (Vec::new(), AuditFilter::default());
    for mut row in engine.many(UNDER_SEAL, params![seal]).await? {
        let position = position(row.pop())?;
        found.push((position, decode(row)?, None));
    }
    for mut row in engine.many(BLOCKS_UNDER_SEAL, params![seal]).await? {
        let position = position(row.pop())?;
        let block = Block::decode(row)?;
        let rows = block.rows(&every, |events| events).unwrap_or_else(|| vec![block.unreadable()]);
        found.extend(rows.into_iter().map(|(row, subject)| (position, row, subject)));
    }
    // Stable: what stands in one block stays in its order.
    found.sort_by_key(|(position, _, _)| *position);
    with_subjects(engine, found.into_iter().map(|(_, row, subject)| (row, subject)).collect()).await
}

fn position(value: Option<Value>) -> Result<i64, StoreError> {
    Decoder::new("audit_seals", value.into_iter().collect()).int("seal_position")
}

/// Blocks hold calls, and a call belongs to no sign-in.
fn may_be_in_blocks(filter: &AuditFilter) -> bool {
    filter.reference.is_none()
        && filter.kind.is_none_or(|kind| kind == AuditKind::Call || kind == AuditKind::CallRefused)
}

fn narrowed(filter: &AuditFilter, (at, id): Key, limit: u32) -> Vec<Value> {
    params![
        at,
        id,
        filter.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
        filter.until.unwrap_or(Timestamp::from_micros(i64::MAX)),
        filter.kind.map(AuditKind::as_str),
        filter.client_id.as_deref(),
        filter.server.as_deref(),
        filter.user,
        filter.reference.as_ref().map(Reference::as_str),
        limit,
    ]
}

impl Order {
    /// Before the first place.
    const fn start(self) -> Key {
        match self {
            Self::Newest => (Timestamp::from_micros(i64::MAX), Id::from_bytes([0xff; 16])),
            Self::Oldest => (Timestamp::from_micros(i64::MIN), Id::from_bytes([0; 16])),
        }
    }

    const fn rows(self, filter: &AuditFilter) -> &'static str {
        match (self, &filter.reference, filter.user) {
            (Self::Newest, Some(_), _) => AUDIT_OF_SIGN_IN,
            (Self::Newest, None, Some(_)) => AUDIT_OF_USER,
            (Self::Newest, None, None) => AUDIT,
            (Self::Oldest, Some(_), _) => AUDIT_OF_SIGN_IN_OLDEST,
            (Self::Oldest, None, Some(_)) => AUDIT_OF_USER_OLDEST,
            (Self::Oldest, None, None) => AUDIT_OLDEST,
        }
    }

    /// Whether one place comes before another.
    fn is_before(self, one: Key, other: Key) -> bool {
        match self {
            Self::Newest => one > other,
            Self::Oldest => one < other,
        }
    }
}

/// A page in the making.
struct Page {
    order: Order,
    limit: usize,
    /// In order; with the id under which name and address are still to be looked up.
    found: Vec<(AuditRow, Option<[u8; 16]>)>,
}

impl Page {
    /// When it is full: the time of its last event. What lies beyond that does not belong to it.
    fn end(&self) -> Option<Timestamp> {
        self.found.get(self.limit.checked_sub(1)?).map(|(row, _)| row.at)
    }

    fn add(&mut self, block: &Block, filter: &AuditFilter, after: Key) {
        let (order, limit) = (self.order, self.limit);
        let some = |mut events: Vec<Event>| {
            events.retain(|event| order.is_before(after, (event.at, event.id)));
            if order == Order::Newest {
                events.reverse();
            }
            events.truncate(limit);
            events
        };
        match block.rows(filter, some) {
            Some(rows) => self.found.extend(rows),
            None if order.is_before(after, (block.last_at, block.id)) => self.found.push(block.unreadable()),
            None => {}
        }
        self.found.sort_by(|(one, _), (other, _)| match order {
            Order::Newest => (other.at, other.id).cmp(&(one.at, one.id)),
            Order::Oldest => (one.at, one.id).cmp(&(other.at, other.id)),
        });
        self.found.truncate(self.limit);
    }
}

/// One row of `audit_blocks`.
struct Block {
    id: Id<AuditEvent>,
    first_at: Timestamp,
    last_at: Timestamp,
    sealed: bool,
    /// Nothing, if it is larger than any of ours.
    packed: Vec<u8>,
}

impl Block {
    fn decode(row: Row) -> Result<Self, StoreError> {
        let mut row = Decoder::new("audit_blocks", row);
        Ok(Self {
            id: row.id("id").unwrap_or(NO_ID),
            first_at: row.time("first_at")?,
            last_at: row.time("last_at")?,
            sealed: row.opt_int("seal_id")?.is_some(),
            packed: row.opt_bytes("packed")?.unwrap_or_default(),
        })
    }

    /// Of the events that a filter lets through, in the order of time and id, some. `None` if it cannot be read.
    fn rows(
        &self,
        filter: &AuditFilter,
        some: impl FnOnce(Vec<Event>) -> Vec<Event>,
    ) -> Option<Vec<(AuditRow, Option<[u8; 16]>)>> {
        let unpacked = Unpacked::read(&self.packed)?;
        let events = some(unpacked.matching(filter).collect());
        events.into_iter().map(|event| unpacked.row(event, self.sealed)).collect()
    }

    fn unreadable(&self) -> (AuditRow, Option<[u8; 16]>) {
        (AuditRow::unreadable("audit_blocks", self.id, self.last_at, self.sealed), None)
    }
}

/// Reads blocks in the order of the list until the page is settled. The span of a block bounds where to begin.
async fn add_blocks(
    engine: &Engine,
    filter: &AuditFilter,
    after: Key,
    page: &mut Page,
) -> Result<(), StoreError> {
    let mut lower = filter.since.unwrap_or(Timestamp::from_micros(i64::MIN));
    let mut upper = filter.until.map_or(Timestamp::from_micros(i64::MAX), |until| until.minus(MICROSECOND));
    let (sql, mut place) = match page.order {
        Order::Newest => {
            upper = upper.min(after.0);
            (AUDIT_BLOCKS, (upper.plus(SPAN).plus(MICROSECOND), Id::from_bytes([0; 16])))
        }
        Order::Oldest => {
            lower = lower.max(after.0);
            (AUDIT_BLOCKS_OLDEST, (lower.minus(SPAN).minus(MICROSECOND), Id::from_bytes([0xff; 16])))
        }
    };
    let mut blocks = FIRST_BLOCKS;
    loop {
        // A full page needs nothing from beyond its end; at its very end the ids decide.
        if let Some(end) = page.end() {
            match page.order {
                Order::Newest => lower = lower.max(end),
                Order::Oldest => upper = upper.min(end),
            }
        }
        let rows = engine.many(sql, params![place.0, place.1, lower, upper, blocks]).await?;
        let is_last = rows.len() < blocks as usize;
        for row in rows {
            let block = Block::decode(row)?;
            page.add(&block, filter, after);
            place = match page.order {
                Order::Newest => (block.last_at, block.id),
                Order::Oldest => (block.first_at, block.id),
            };
        }
        if is_last {
            return Ok(());
        }
        blocks = (blocks * 2).min(MOST_BLOCKS);
    }
}

/// Fills in names and addresses, as far as they are not blotted out.
async fn with_subjects(
    engine: &Engine,
    found: Vec<(AuditRow, Option<[u8; 16]>)>,
) -> Result<Vec<AuditRow>, StoreError> {
    let wanted: Vec<[u8; 16]> =
        found.iter().filter_map(|(_, id)| *id).collect::<BTreeSet<_>>().into_iter().collect();
    let mut known = HashMap::new();
    for some in wanted.chunks(SUBJECTS_AT_ONCE) {
        let padded = some.iter().chain(std::iter::repeat(&some[0])).take(SUBJECTS_AT_ONCE);
        for row in engine.many(SUBJECTS, padded.map(|id| Value::from(*id)).collect()).await? {
            let mut row = Decoder::new("audit_subjects", row);
            let id: [u8; 16] = row.array("id")?;
            known.insert(id, (row.opt_text("name")?, row.opt_text("address")?));
        }
    }
    let fill = |(mut row, id): (AuditRow, Option<[u8; 16]>)| {
        if let Some((name, address)) = id.and_then(|id| known.get(&id)) {
            row.name.clone_from(name);
            row.address.clone_from(address);
        }
        row
    };
    Ok(found.into_iter().map(fill).collect())
}

fn decode(row: Row) -> Result<AuditRow, StoreError> {
    let place = (row.first().cloned(), row.get(1).cloned(), row.last().cloned());
    whole(row).or_else(|_| {
        let (id, at, seal) = place;
        let mut row = Decoder::new("audit_events", [id, at, seal].into_iter().flatten().collect());
        let (id, at) = (row.id("id").unwrap_or(NO_ID), row.time("at")?);
        Ok(AuditRow::unreadable("audit_events", id, at, row.opt_int("seal_id")?.is_some()))
    })
}

fn whole(row: Row) -> Result<AuditRow, StoreError> {
    let mut row = Decoder::new("audit_events", row);
    Ok(AuditRow {
        id: row.id("id")?,
        at: row.time("at")?,
        kind: row.text("kind")?,
        outcome: row.one_of("outcome", &Outcome::ALL, Outcome::as_str)?,
        reason: row.opt_text("reason")?,
        reference: row.opt_parsed("reference", Reference::parse)?,
        user: row.opt_id("user_id")?,
        client_id: row.opt_text("client_id")?,
        server: row.opt_text("server")?,
        grant: row.opt_id("grant_id")?,
        name: row.opt_text("name")?,
        address: row.opt_text("address")?,
        detail: row.json("detail")?,
        sealed: row.opt_int("seal_id")?.is_some(),
    })
}
