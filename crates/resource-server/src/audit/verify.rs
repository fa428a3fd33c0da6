//! Whether the audit is what was sealed (attacks ST-19): every row that a seal names is there, says what it said, and
//! stands where it stood; every seal follows the one before and is signed; and the last one is not before one that was
//! kept elsewhere.
//!
//! Goes through the record seal by seal and holds one at a time.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use protocol::id::{AuditEvent, Id, User};
use protocol::jose::VerifyingKeys;
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{
    AuditClass, AuditFilter, AuditKind, Cutoffs, FoundSeal, NameState, SealEntry, SealedAuditRow, SealedName,
    Store, StoreError,
};

use super::sealer::{NAMES_FROM, SealClaims, claims, read_checkpoint, readable_cutoffs};

/// Seals per reading.
const PAGE: u32 = 20;
/// Longer than calls share a name that was written down before the first of them.
const SHARED: Duration = Duration::from_secs(2 * 60 * 60);
/// So many faults are named; the others are counted.
const NAMED: usize = 100;
/// In the cutoffs: the first seal that is still there.
const FIRST_SEAL: &str = "first_seal";

/// A row of the audit, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Whether it is a block of calls.
    pub is_block: bool,
    /// Its time.
    pub at: Timestamp,
    /// Its id.
    pub id: Id<AuditEvent>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A row says another thing than when it was sealed.
    Altered(u64, Named),
    /// The checkpoint is of a seal that is another one now.
    CheckpointDiffers(u64),
    /// Rows say that they are under seals that are not there.
    Foreign(u64),
    /// The seals before this one are gone, and were not to go.
    FrontCut(u64),
    /// A row says it is under the seal, which does not name it.
    Inserted(u64, Named),
    /// A row stands at another place of its seal.
    Moved(u64, Named),
    /// Beside a row stands another name or address than when it was sealed.
    NameAltered(u64, Named),
    /// The name and address beside a row are gone, and nobody forgot them.
    NameRemoved(u64, Named),
    /// A row is gone.
    Removed(u64, Named),
    /// A seal is not what its digest says.
    SealAltered(u64),
    /// The seals between these two are gone, or the second follows another one.
    SealsBroken(u64, u64),
    /// The record ends with the first number, and the checkpoint is of the second.
    TailCut(u64, u64),
    /// A seal is not signed by a key of this house.
    Unsigned(u64),
}

impl Named {
    const fn of(entry: &SealEntry) -> Self {
        Self { is_block: matches!(entry.class, AuditClass::Block), at: entry.at, id: entry.id }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_block { "block of calls" } else { "event" };
        write!(f, "{what} {} of {:?}", self.id, self.at)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered(seal, row) => write!(f, "altered: {row}, under seal {seal}"),
            Self::CheckpointDiffers(seal) => {
                write!(f, "replaced: seal {seal} is not the one of the checkpoint")
            }
            Self::Foreign(rows) => {
                write!(f, "cut off: {rows} rows are under seals that are not there")
            }
            Self::FrontCut(first) => write!(f, "removed: the seals before {first}"),
            Self::Inserted(seal, row) => write!(f, "put in: {row}, which seal {seal} does not name"),
            Self::Moved(seal, row) => write!(f, "reordered: {row}, under seal {seal}"),
            Self::NameAltered(seal, row) => {
                write!(f, "altered: name or address beside {row}, under seal {seal}")
            }
            Self::NameRemoved(seal, row) => {
                write!(f, "removed: name and address beside {row}, under seal {seal}, which nobody forgot")
            }
            Self::Removed(seal, row) => write!(f, "removed: {row}, under seal {seal}"),
            Self::SealAltered(seal) => write!(f, "altered: seal {seal}"),
            Self::SealsBroken(before, after) => {
                write!(f, "broken: seal {after} does not follow seal {before}")
            }
            Self::TailCut(last, kept) => {
                write!(f, "cut off: the record ends with seal {last}, and the checkpoint is of seal {kept}")
            }
            Self::Unsigned(seal) => write!(f, "forged: seal {seal} is not signed by a key of this record"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Seals that were looked at.
    pub seals: u64,
    /// Rows that are what they were.
    pub rows: u64,
    /// Rows that are gone as the time that they are kept is over.
    pub expired: u64,
    /// Rows that are not sealed yet.
    pub unsealed: u64,
    /// Rows beside which name and address were forgotten.
    pub forgotten: u64,
    /// Rows beside which stands a name or address that is older than names are sealed: what it says is not known to be true.
    pub names_outside: u64,
    /// What is wrong, the first hundred.
    pub faults: Vec<Fault>,
    /// All that is wrong.
    pub count: u64,
    /// The number of the last seal, and its signature.
    pub last: Option<(u64, String)>,
}

impl Findings {
    fn add(&mut self, fault: Fault) {
        self.count += 1;
        if self.faults.len() < NAMED {
            self.faults.push(fault);
        }
    }
}

/// Looks at every seal and every sealed row. `progress` is told seals that were looked at, and all.
///
/// # Errors
/// If the record does not answer.
pub async fn verify_audit(
    store: &dyn Store,
    keys: &VerifyingKeys,
    checkpoint: Option<&SealClaims>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    let Some(mut last) = store.last_seal().await? else {
        if let Some(kept) = checkpoint {
            findings.add(Fault::TailCut(0, kept.seal));
        }
        let outside = store.outside_seals().await?;
        findings.unsealed = outside.unsealed;
        if outside.foreign > 0 {
            findings.add(Fault::Foreign(outside.foreign));
        }
        return Ok(findings);
    };
    let cutoffs = readable_cutoffs(store).await?;
    let mut walk = Walk { keys, cutoffs, before: None, blank: BTreeMap::new(), findings };
    loop {
        let after = walk.before.as_ref().map_or(0, |before| before.id);
        let page = store.list_seals(after, PAGE).await?;
        for found in &page {
            let id = found.seal.sealing.id;
            if id > last.seal.sealing.id {
                break;
            }
            let rows = store.sealed_rows(id).await?;
            // What is too old goes while this goes on: then a later seal says so, and this goes on to that one.
            if walk.lacks(&found.seal.sealing.entries, &rows)
                && let Some(newer) = store.last_seal().await?
                && newer.seal.sealing.id > last.seal.sealing.id
            {
                walk.cutoffs = readable_cutoffs(store).await?;
                last = newer;
            }
            walk.seal(found, &rows, checkpoint);
            walk.names(id, &store.sealed_names(id).await?);
            progress(id, last.seal.sealing.id);
        }
        if page.last().is_none_or(|found| found.seal.sealing.id >= last.seal.sealing.id) {
            break;
        }
    }
    let end = last.seal.sealing.id;
    walk.forgotten(store).await?;
    let mut findings = walk.findings;
    let outside = store.outside_seals().await?;
    findings.unsealed = outside.unsealed;
    if outside.foreign > 0 {
        findings.add(Fault::Foreign(outside.foreign));
    }
    if let Some(kept) = checkpoint.filter(|kept| kept.seal > end) {
        findings.add(Fault::TailCut(end, kept.seal));
    }
    findings.last = last.has("signature").then_some((end, last.seal.signature));
    Ok(findings)
}

/// The seal before, as far as it can be read.
struct Before {
    id: u64,
    digest: Option<Hash>,
    total: Option<u64>,
}

/// On the way from the first seal to the last.
struct Walk<'a> {
    keys: &'a VerifyingKeys,
    cutoffs: Cutoffs,
    before: Option<Before>,
    /// The last row of each person beside which no name stands any more.
    blank: BTreeMap<Id<User>, (u64, Named)>,
    findings: Findings,
}

impl Walk<'_> {
    fn seal(&mut self, found: &FoundSeal, rows: &[SealedAuditRow], checkpoint: Option<&SealClaims>) {
        let (seal, id) = (&found.seal, found.seal.sealing.id);
        self.follows(found);
        let digest = seal.sealing.digest();
        if found.is_whole() {
            let is_as_counted = u64::try_from(found.count).is_ok_and(|count| count == counted(found));
            if digest != seal.digest || !is_as_counted {
                self.findings.add(Fault::SealAltered(id));
            }
            let claims = claims(&seal.sealing, &digest);
            if read_checkpoint(self.keys, &seal.signature).as_ref() != Ok(&claims) {
                self.findings.add(Fault::Unsigned(id));
            }
            if checkpoint.is_some_and(|kept| kept.seal == id && *kept != claims) {
                self.findings.add(Fault::CheckpointDiffers(id));
            }
        } else {
            self.findings.add(Fault::SealAltered(id));
        }
        // Without them nobody knows which rows are under it.
        if found.has("entries") {
            self.rows(id, &seal.sealing.entries, rows);
        }
        self.before = Some(Before {
            id,
            digest: found.has("digest").then_some(seal.digest),
            total: found.has("total").then_some(seal.sealing.total),
        });
        self.findings.seals += 1;
    }

    /// That it follows the one before, as far as both can be read.
    fn follows(&mut self, found: &FoundSeal) {
        let (sealing, id) = (&found.seal.sealing, found.seal.sealing.id);
        let Some(before) = &self.before else {
            let may_begin = self.cutoffs.get(FIRST_SEAL).and_then(|first| u64::try_from(*first).ok());
            if id > may_begin.unwrap_or(1) {
                self.findings.add(Fault::FrontCut(id));
            }
            return;
        };
        let is_next = id == before.id + 1;
        let is_after =
            !found.has("previous_digest") || before.digest.is_none_or(|digest| digest == sealing.previous);
        let adds_up = !found.has("total")
            || !found.has("entries")
            || before.total.is_none_or(|total| total.saturating_add(counted(found)) == sealing.total);
        if !(is_next && is_after && adds_up) {
            self.findings.add(Fault::SealsBroken(before.id, id));
        }
    }

    /// What stands beside the rows under a seal and is not what they say.
    fn names(&mut self, seal: u64, names: &[SealedName]) {
        let from = self.cutoffs.get(NAMES_FROM).copied().unwrap_or(i64::MAX);
        for name in names {
            let row = Named { is_block: name.is_block, at: name.at, id: name.id };
            let is_sealed = name.at.micros() >= from;
            match (name.state, name.user) {
                (NameState::Altered, _) => self.findings.add(Fault::NameAltered(seal, row)),
                (NameState::Unsealed, _) if is_sealed => self.findings.add(Fault::NameAltered(seal, row)),
                (NameState::Unsealed, _) => self.findings.names_outside += 1,
                (NameState::Forgotten, Some(user)) => {
                    self.findings.forgotten += 1;
                    let is_later = |(_, before): &(u64, Named)| before.at < row.at;
                    if is_sealed && self.blank.get(&user).is_none_or(is_later) {
                        self.blank.insert(user, (seal, row));
                    }
                }
                (NameState::Forgotten | NameState::Removed, _) if is_sealed => {
                    self.findings.add(Fault::NameRemoved(seal, row));
                }
                (NameState::Forgotten | NameState::Removed, _) => {}
            }
        }
    }

    /// Whether an event says of each whose name is gone that it was forgotten, and after that row. Such an event may be gone
    /// itself, once its class is not kept for ever; not one of after a row that is still younger.
    async fn forgotten(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let over = self.cutoffs.get(AuditClass::Security.as_str()).copied().unwrap_or(i64::MIN);
        for (user, (seal, row)) in std::mem::take(&mut self.blank) {
            if row.at.micros() < over {
                continue;
            }
            let kind = Some(AuditKind::PersonForgotten);
            let told = AuditFilter { kind, user: Some(user), ..AuditFilter::default() };
            let newest = store.list_audit(told, None, 1).await?;
            if newest.first().is_none_or(|event| event.at.plus(SHARED) < row.at) {
                self.findings.add(Fault::NameRemoved(seal, row));
            }
        }
        Ok(())
    }

    fn rows(&mut self, seal: u64, entries: &[SealEntry], rows: &[SealedAuditRow]) {
        let mut known = vec![false; rows.len()];
        for (index, (position, entry)) in (0_i64..).zip(entries).enumerate() {
            let is_exact = |row: &SealedAuditRow| row.position == position && is_as_sealed(&row.entry, entry);
            // Nearly every row.
            if let (Some(row), Some(known)) = (rows.get(index), known.get_mut(index))
                && !*known
                && is_exact(row)
            {
                *known = true;
                self.findings.rows += 1;
                continue;
            }
            let find = |is: &dyn Fn(&SealedAuditRow) -> bool| {
                rows.iter().zip(&known).position(|(row, known)| !known && is(row))
            };
            let is_same = |row: &SealedAuditRow| {
                (row.entry.at, row.entry.id) == (entry.at, entry.id) || row.position == position
            };
            let (found, fault) = if let Some(found) = find(&is_exact) {
                (Some(found), None)
            } else if let Some(found) = find(&|row| is_as_sealed(&row.entry, entry)) {
                (Some(found), Some(Fault::Moved(seal, Named::of(entry))))
            } else if let Some(found) = find(&is_same) {
                (Some(found), Some(Fault::Altered(seal, Named::of(entry))))
            } else if self.may_be_gone(entry) {
                self.findings.expired += 1;
                continue;
            } else {
                (None, Some(Fault::Removed(seal, Named::of(entry))))
            };
            if let Some(known) = found.and_then(|found| known.get_mut(found)) {
                *known = true;
            }
            match fault {
                Some(fault) => self.findings.add(fault),
                None => self.findings.rows += 1,
            }
        }
        for (row, _) in rows.iter().zip(&known).filter(|(_, known)| !**known) {
            self.findings.add(Fault::Inserted(seal, Named::of(&row.entry)));
        }
    }

    /// Whether a row is not there whose time is not over.
    fn lacks(&self, entries: &[SealEntry], rows: &[SealedAuditRow]) -> bool {
        if rows.len() >= entries.len() {
            return false;
        }
        let there: HashSet<_> = rows.iter().map(|row| row.entry.id).collect();
        entries.iter().any(|entry| !there.contains(&entry.id) && !self.may_be_gone(entry))
    }

    /// Whether the time that it is kept is over, as the last seal says.
    fn may_be_gone(&self, entry: &SealEntry) -> bool {
        self.cutoffs.get(entry.class.as_str()).is_some_and(|cutoff| entry.at.micros() < *cutoff)
    }
}

/// How many rows it names.
fn counted(found: &FoundSeal) -> u64 {
    u64::try_from(found.seal.sealing.entries.len()).unwrap_or(u64::MAX)
}

/// Of which class it is follows from its kind, which is hashed; a release may have another class for it than the one that sealed.
fn is_as_sealed(row: &SealEntry, sealed: &SealEntry) -> bool {
    (row.at, row.id, row.hash) == (sealed.at, sealed.id, sealed.hash)
}

#[cfg(test)]
mod tests;
