//! Whether the names and addresses beside sealed rows are those that the rows say (attacks ST-19): the id under which they stand is
//! made of them and of a salt, and is a part of the row. What was forgotten has none of the three any more.
//!
//! Must never take for altered what was removed with its rows while this looked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::id::{AuditEvent, Id, User};
use protocol::world::Timestamp;

use super::digest::name_id;
use super::found::NO_ID;
use crate::StoreError;
use crate::audit_blocks::Unpacked;
use crate::codec::Decoder;
use crate::engine::{Engine, Row, Value, params};
use crate::statements::{sane, statement_list};

/// Ids per reading, as many as `NAMES` has parameters.
const AT_ONCE: usize = 16;

/// What became of a name and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameState {
    /// It is not what the row says.
    Altered,
    /// It was forgotten, or made to look so.
    Forgotten,
    /// It is not there.
    Removed,
    /// The row does not say: it is of before the salt, or that was taken away.
    Unsealed,
}

/// A name and address that are not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedName {
    /// Whether they stand beside a block of calls.
    pub is_block: bool,
    /// Its time; of a block, that of its last event.
    pub at: Timestamp,
    /// The id of the event or block.
    pub id: Id<AuditEvent>,
    /// Whose they were.
    pub user: Option<Id<User>>,
    /// What became of them.
    pub state: NameState,
}

macro_rules! of_subject {
    () => {
        concat!(sane!("s.id"), ", ", sane!("s.salt"), ", ", sane!("s.name"), ", ", sane!("s.address"))
    };
}

statement_list! {
    OF_EVENTS = concat!("SELECT ", sane!("e.id"), ", e.at, ", sane!("e.user_id"), ", ", sane!("e.subject_id"), ", ", of_subject!(),
        " FROM audit_events e LEFT JOIN audit_subjects s ON s.id = e.subject_id \
        WHERE e.seal_id = $1 AND e.subject_id IS NOT NULL ORDER BY e.seal_position");
    BLOCKS = concat!("SELECT ", sane!("id"), ", last_at, ", sane!("packed"), " FROM audit_blocks WHERE seal_id = $1 \
        ORDER BY seal_position");
    THERE = "SELECT last_at FROM audit_blocks WHERE seal_id = $1";
    NAMES = concat!("SELECT ", of_subject!(), " FROM audit_subjects s \
        WHERE s.id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
}

pub(super) async fn under_seal(engine: &Engine, seal: i64) -> Result<Vec<SealedName>, StoreError> {
    let mut found = Vec::new();
    for row in engine.many(OF_EVENTS, params![seal]).await? {
        let mut row = row.into_iter();
        let mut of_event = Decoder::new("audit_events", row.by_ref().take(4).collect());
        let (id, at) = (of_event.id("id").unwrap_or(NO_ID), of_event.time("at")?);
        // Of a row that was altered itself, that is the finding.
        let (Ok(user), Ok(subject)) = (of_event.opt_id("user_id"), of_event.array("subject_id")) else {
            continue;
        };
        let state = state(row.collect(), &subject);
        found.extend(state.map(|state| SealedName { is_block: false, at, id, user, state }));
    }
    found.extend(of_blocks(engine, seal).await?);
    Ok(found)
}

/// A block, and whose names its calls have.
type Named = (Id<AuditEvent>, Timestamp, BTreeMap<[u8; 16], Option<Id<User>>>);

async fn of_blocks(engine: &Engine, seal: i64) -> Result<Vec<SealedName>, StoreError> {
    let mut named: Vec<Named> = Vec::new();
    for row in engine.many(BLOCKS, params![seal]).await? {
        let mut row = Decoder::new("audit_blocks", row);
        let (id, at) = (row.id("id").unwrap_or(NO_ID), row.time("last_at")?);
        let packed = row.opt_bytes("packed")?.unwrap_or_default();
        // One that was altered is the finding itself.
        let subjects = Unpacked::read(&packed).iter().flat_map(Unpacked::subjects_and_users).collect();
        named.push((id, at, subjects));
    }
    let known = states(engine, &named).await?;
    let mut found = Vec::new();
    for (id, at, subjects) in named {
        for (subject, user) in subjects {
            let state = known.get(&subject).copied().unwrap_or(Some(NameState::Removed));
            found.extend(state.map(|state| SealedName { is_block: true, at, id, user, state }));
        }
    }
    if found.iter().any(|name| name.state == NameState::Removed) {
        // A name goes after the last row that has it.
        let there = engine.many(THERE, params![seal]).await?.into_iter();
        let there: BTreeSet<Timestamp> =
            there.map(|row| Decoder::new("audit_blocks", row).time("last_at")).collect::<Result<_, _>>()?;
        found.retain(|name| name.state != NameState::Removed || there.contains(&name.at));
    }
    Ok(found)
}

/// Of each that is there; `None` inside if it is what its id says.
async fn states(
    engine: &Engine,
    named: &[Named],
) -> Result<HashMap<[u8; 16], Option<NameState>>, StoreError> {
    let wanted: BTreeSet<[u8; 16]> =
        named.iter().flat_map(|(_, _, subjects)| subjects.keys().copied()).collect();
    let (mut known, wanted) = (HashMap::new(), Vec::from_iter(wanted));
    for some in wanted.chunks(AT_ONCE) {
        let padded = some.iter().chain(std::iter::repeat(&some[0])).take(AT_ONCE);
        for row in engine.many(NAMES, padded.map(|id| Value::from(*id)).collect()).await? {
            if let Some(Value::Bytes(id)) = row.first()
                && let Ok(id) = <[u8; 16]>::try_from(id.as_slice())
            {
                known.insert(id, state(row, &id));
            }
        }
    }
    Ok(known)
}

/// `None` if what stands there is what the id says.
fn state(stands: Row, id: &[u8; 16]) -> Option<NameState> {
    if matches!(stands.first(), Some(Value::Null) | None) {
        return Some(NameState::Removed);
    }
    let mut row = Decoder::new("audit_subjects", stands);
    let read = |row: &mut Decoder| {
        row.opt_bytes("id")?;
        Ok::<_, StoreError>((row.opt_array("salt")?, row.opt_text("name")?, row.opt_text("address")?))
    };
    let Ok((salt, name, address)) = read(&mut row) else { return Some(NameState::Altered) };
    match (salt, name.as_deref(), address.as_deref()) {
        (None, None, None) => Some(NameState::Forgotten),
        (None, _, _) => Some(NameState::Unsealed),
        (Some(salt), name, address) if name_id(&salt, name, address) == *id => None,
        (Some(_), _, _) => Some(NameState::Altered),
    }
}
