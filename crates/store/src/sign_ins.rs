//! Sign-ins: every attempt of a client to connect, step by step, for those who ask why one failed (product.md, P-19). Kept
//! 14 days (`maintenance.rs`).
//!
//! No evidence: the audit is that. What is written here may come a moment late, may be lost with a node, and ends nothing.
//! Never a token, a code, a secret, a `state` or a URL of a stranger; words of our own lists, ids and names alone.

mod rows;
mod step;
mod timeline;

use std::collections::HashSet;

use protocol::id::{Grant, Id, Reference, SignIn as SignInId, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;

pub use step::SignInStep;
pub use timeline::{Begun, Seen, Timeline};

use crate::engine::{Engine, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError, audit_events};

/// So many steps are kept of one attempt. Whoever reloads a page without end fills nothing.
const MOST_STEPS: u32 = 100;

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInEvent {
    /// When; the last time, if it was taken more than once.
    pub at: Timestamp,
    /// Which.
    pub step: SignInStep,
    /// Why it was refused, from the enum of the endpoint.
    pub reason: Option<&'static str>,
    /// What else was noticed, from lists of our own.
    pub notes: Vec<&'static str>,
    /// How often, one after the other.
    pub times: u32,
}

/// What a new row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartOf {
    /// The last attempt of the client that whoever asked only claims to be.
    Client,
    /// The attempt that gave the code of this hash.
    Code(Hash),
    /// The attempt that led to this grant.
    Grant(Id<Grant>),
    /// Nothing: it is an attempt of its own.
    Nothing,
    /// This attempt.
    SignIn(Id<SignInId>),
}

/// A new attempt, or the part of one that was told a reference of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignIn {
    /// Its id; that of the authorization, if there is one.
    pub id: Id<SignInId>,
    /// What the person or the client was told.
    pub reference: Reference,
    /// What it belongs to.
    pub part_of: PartOf,
    /// The client.
    pub client_id: Option<String>,
    /// The name that the client gave itself.
    pub client_name: Option<String>,
    /// Our name of the MCP server.
    pub server: Option<String>,
    /// Who is known to be asking.
    pub user: Option<Id<User>>,
    /// Where it began.
    pub address: String,
    /// What happened so far, oldest first. Never empty.
    pub events: Vec<SignInEvent>,
}

/// Whose step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOf {
    /// Of the attempt that led to this grant.
    Grant(Id<Grant>),
    /// Of this attempt.
    SignIn(Id<SignInId>),
}

/// A step of an attempt that is there, and what it taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// Whose.
    pub of: StepOf,
    /// What happened.
    pub event: SignInEvent,
    /// Who is asking, if that is known now.
    pub user: Option<Id<User>>,
    /// What it led to.
    pub grant: Option<Id<Grant>>,
}

/// One thing to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInWrite {
    /// An attempt begins.
    Begin(Box<NewSignIn>),
    /// It goes on.
    Next(Box<NextStep>),
    /// Somebody was told a refusal: a step of the attempt that has this reference, or an attempt of its own.
    Refused(Box<NewSignIn>),
}

/// Which attempts are wanted; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInFilter {
    /// Begun at this address.
    pub address: Option<String>,
    /// Of the client of this id or name.
    pub client: Option<String>,
    /// That did not end in a call: refused, or with nothing new since this.
    pub failed: Option<Timestamp>,
    /// To this MCP server.
    pub server: Option<String>,
    /// Begun at or after this.
    pub since: Option<Timestamp>,
    /// Of this person.
    pub user: Option<Id<User>>,
}

/// One attempt as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRow {
    /// Its id.
    pub id: Id<SignInId>,
    /// Its reference.
    pub reference: Reference,
    /// The attempt that it is a part of.
    pub part_of: Option<Id<SignInId>>,
    /// When it began.
    pub begun_at: Timestamp,
    /// When something last happened.
    pub last_at: Timestamp,
    /// When a first call went through.
    pub connected_at: Option<Timestamp>,
    /// The client.
    pub client_id: Option<String>,
    /// The name that the client gave itself.
    pub client_name: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// Who.
    pub user: Option<Id<User>>,
    /// What to call them.
    pub name: Option<String>,
    /// The grant that it led to.
    pub grant: Option<Id<Grant>>,
    /// Where it began, unless blotted out.
    pub address: Option<String>,
    /// Whether the last thing that happened was a refusal.
    pub failed: bool,
    /// The last thing that happened; [`SignInStep::as_str`], or a name that a newer release wrote.
    pub last_step: String,
    /// Why it was refused.
    pub last_reason: Option<String>,
    /// What happened, oldest first.
    pub steps: Vec<SignInStepRow>,
}

/// One step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInStepRow {
    /// When.
    pub at: Timestamp,
    /// Which; [`SignInStep::as_str`], or a name that a newer release wrote.
    pub step: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What else was noticed.
    pub notes: Vec<String>,
    /// How often.
    pub times: u32,
}

/// The sign-ins in the record. For the command line alone: nobody may find one by its reference over HTTP, since a
/// reference is short enough to be guessed.
pub trait SignIns: Send + Sync {
    /// Writes down what happened, all or nothing. A step of an attempt that is not there is nobody's, and is dropped.
    fn put_sign_ins(&self, writes: Vec<SignInWrite>) -> Answer<'_, ()>;

    /// Attempts, newest first, at most `limit`, without those that are part of another; the next page starts after
    /// (`begun_at`, `id`) of the last row of the one before.
    fn list_sign_ins(
        &self,
        filter: SignInFilter,
        page: Option<(Timestamp, Id<SignInId>)>,
        limit: u32,
    ) -> Answer<'_, Vec<SignInRow>>;

    /// The attempts of this reference. More than one only if two happened to be told the same.
    fn find_sign_ins<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Vec<SignInRow>>;

    /// The attempt with this id, and then its parts.
    fn sign_in_and_parts(&self, id: Id<SignInId>) -> Answer<'_, Vec<SignInRow>>;
}

macro_rules! begin {
    ($part_of:literal) => {
        concat!(
            "INSERT INTO sign_ins (id, reference, begun_at, last_at, client_id, client_name, server, user_id, failed, \
             last_step, last_reason, count, steps, part_of) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, ",
            $part_of,
            ") ON CONFLICT (id) DO NOTHING"
        )
    };
}

macro_rules! next {
    ($of:literal) => {
        concat!(
            "UPDATE sign_ins SET begun_at = CASE WHEN begun_at > $1 THEN $1 ELSE begun_at END, \
             failed = CASE WHEN last_at > $1 THEN failed ELSE $2 END, \
             last_step = CASE WHEN last_at > $1 THEN last_step ELSE $3 END, \
             last_reason = CASE WHEN last_at > $1 THEN last_reason ELSE $4 END, \
             last_at = CASE WHEN last_at > $1 THEN last_at ELSE $1 END, count = count + 1, steps = steps || $5, user_id = COALESCE(user_id, $6), grant_id = COALESCE(grant_id, $7), \
             connected_at = COALESCE(connected_at, $8) WHERE count < $9 AND ",
            $of
        )
    };
}

macro_rules! rows {
    ($narrowed:literal) => {
        concat!(
            "SELECT s.id, s.reference, s.part_of, s.begun_at, s.last_at, s.connected_at, s.client_id, s.client_name, \
             s.server, s.user_id, s.grant_id, s.failed, s.last_step, s.last_reason, s.steps, p.address, u.name, u.email \
             FROM sign_ins s LEFT JOIN audit_subjects p ON p.id = s.id LEFT JOIN users u ON u.id = s.user_id WHERE ",
            $narrowed
        )
    };
}

statement_list! {
    BEGIN = begin!("$14");
    // Whoever asks only claims to be this client, so nothing of the attempt that it may belong to is changed.
    BEGIN_OF_CLIENT = begin!("(SELECT id FROM sign_ins WHERE client_id = $5 AND part_of IS NULL AND begun_at > $14 \
        ORDER BY begun_at DESC LIMIT 1)");
    BEGIN_OF_CODE = begin!("(SELECT id FROM authorizations WHERE code_hash = $14)");
    BEGIN_OF_GRANT = begin!("(SELECT id FROM sign_ins WHERE grant_id = $14 LIMIT 1)");
    BEGIN_OF_REFUSAL = "INSERT INTO sign_ins (id, reference, begun_at, last_at, client_id, client_name, server, user_id, \
        failed, last_step, last_reason, count, steps) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 \
        WHERE NOT EXISTS (SELECT 1 FROM sign_ins WHERE reference = $2)";
    SUBJECT_OF_REFUSAL = "INSERT INTO audit_subjects (id, address) SELECT $1, $2 \
        WHERE NOT EXISTS (SELECT 1 FROM sign_ins WHERE reference = $3)";
    // The attempt hears of what happened in a part of it.
    TOLD_OF_PART = "UPDATE sign_ins SET last_at = $1, failed = $2, last_step = $3, last_reason = $4 \
        WHERE connected_at IS NULL AND id = (SELECT part_of FROM sign_ins WHERE id = $5)";
    NEXT = next!("id = $10");
    NEXT_OF_GRANT = next!("grant_id = $10");
    NEXT_OF_REFERENCE = next!("reference = $10");
    LIST = rows!("(s.begun_at, s.id) < ($1, $2) AND s.begun_at >= $3 AND s.part_of IS NULL \
        AND (CAST($4 AS TEXT) IS NULL OR p.address = $4) \
        AND (CAST($5 AS TEXT) IS NULL OR s.client_id = $5 OR s.client_name = $5) \
        AND (CAST($6 AS BIGINT) IS NULL OR (s.connected_at IS NULL AND (s.failed = 1 OR s.last_at < $6))) \
        AND (CAST($7 AS TEXT) IS NULL OR s.server = $7) AND (CAST($8 AS BYTEA) IS NULL OR s.user_id = $8) \
        ORDER BY s.begun_at DESC, s.id DESC LIMIT $9");
    FIND = rows!("s.id = $1");
    FIND_BY_REFERENCE = rows!("s.reference = $1 ORDER BY s.begun_at DESC LIMIT 10");
    PARTS = rows!("s.part_of = $1 ORDER BY s.begun_at, s.id LIMIT 200");
}

impl SignIns for Engine {
    fn put_sign_ins(&self, writes: Vec<SignInWrite>) -> Answer<'_, ()> {
        Box::pin(async move {
            let (mut subjects, mut steps) = (Vec::new(), Vec::new());
            let mut begun = HashSet::new();
            for write in &writes {
                match write {
                    SignInWrite::Begin(new) => {
                        subjects.push(audit_events::put_address(*new.id.as_bytes(), &new.address));
                        begin(&mut steps, new)?;
                        begun.insert(&new.reference);
                    }
                    SignInWrite::Next(next) => steps.push(step(next)?),
                    SignInWrite::Refused(new) => {
                        if begun.insert(&new.reference) {
                            let subject = params![new.id, new.address.as_str(), new.reference.as_str()];
                            subjects.push(Step::at_most_one(SUBJECT_OF_REFUSAL, subject));
                        }
                        refused(&mut steps, new)?;
                    }
                }
            }
            subjects.append(&mut steps);
            match self.write(Write::new(subjects)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => Err(StoreError::unavailable("a sign-in was not taken")),
            }
        })
    }

    fn list_sign_ins(
        &self,
        filter: SignInFilter,
        page: Option<(Timestamp, Id<SignInId>)>,
        limit: u32,
    ) -> Answer<'_, Vec<SignInRow>> {
        Box::pin(async move {
            let start = (Timestamp::from_micros(i64::MAX), Id::from_bytes([0xff; 16]));
            let (at, id) = page.unwrap_or(start);
            let wanted = params![
                at,
                id,
                filter.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
                filter.address,
                filter.client,
                filter.failed,
                filter.server,
                filter.user,
                limit,
            ];
            self.many(LIST, wanted).await?.into_iter().map(rows::decode).collect()
        })
    }

    fn find_sign_ins<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Vec<SignInRow>> {
        Box::pin(async move {
            let rows = self.many(FIND_BY_REFERENCE, params![reference.as_str()]).await?;
            rows.into_iter().map(rows::decode).collect()
        })
    }

    fn sign_in_and_parts(&self, id: Id<SignInId>) -> Answer<'_, Vec<SignInRow>> {
        Box::pin(async move {
            let mut rows = self.many(FIND, params![id]).await?;
            rows.extend(self.many(PARTS, params![id]).await?);
            rows.into_iter().map(rows::decode).collect()
        })
    }
}

/// The step of the attempt that has the reference; then the attempt, if there is none.
fn refused(steps: &mut Vec<Step>, new: &NewSignIn) -> Result<(), StoreError> {
    let (Some((row, _)), Some(event)) = (begun(new)?, new.events.last()) else { return Ok(()) };
    let mut next = taken(event, new.user, None)?;
    next.extend(params![new.reference.as_str()]);
    steps.push(Step::any(NEXT_OF_REFERENCE, next));
    steps.push(Step::at_most_one(BEGIN_OF_REFUSAL, row));
    Ok(())
}

/// The columns of a new row but the last, and the last thing that happened.
fn begun(new: &NewSignIn) -> Result<Option<(Vec<Value>, &SignInEvent)>, StoreError> {
    let (Some(first), Some(last)) = (new.events.first(), new.events.last()) else { return Ok(None) };
    let row = params![
        new.id,
        new.reference.as_str(),
        first.at,
        last.at,
        new.client_id.as_deref(),
        new.client_name.as_deref(),
        new.server.as_deref(),
        new.user,
        u32::from(last.step.is_refusal()),
        last.step.as_str(),
        last.reason,
        u32::try_from(new.events.len()).unwrap_or(MOST_STEPS),
        rows::encode(&new.events)?,
    ];
    Ok(Some((row, last)))
}

fn begin(steps: &mut Vec<Step>, new: &NewSignIn) -> Result<(), StoreError> {
    let Some((mut row, last)) = begun(new)? else { return Ok(()) };
    let sql = match new.part_of {
        PartOf::Client => {
            row.extend(params![last.at.minus(timeline::CLAIM)]);
            BEGIN_OF_CLIENT
        }
        PartOf::Code(hash) => {
            row.extend(params![hash]);
            BEGIN_OF_CODE
        }
        PartOf::Grant(grant) => {
            row.extend(params![grant]);
            BEGIN_OF_GRANT
        }
        PartOf::Nothing => {
            row.extend(params![None::<Id<SignInId>>]);
            BEGIN
        }
        PartOf::SignIn(id) => {
            row.extend(params![id]);
            BEGIN
        }
    };
    steps.push(Step::at_most_one(sql, row));
    if matches!(new.part_of, PartOf::Code(_) | PartOf::Grant(_) | PartOf::SignIn(_)) {
        let refused = u32::from(last.step.is_refusal());
        let told = params![last.at, refused, last.step.as_str(), last.reason, new.id];
        steps.push(Step::at_most_one(TOLD_OF_PART, told));
    }
    Ok(())
}

/// What a step writes, but whose it is.
fn taken(
    event: &SignInEvent,
    user: Option<Id<User>>,
    grant: Option<Id<Grant>>,
) -> Result<Vec<Value>, StoreError> {
    Ok(params![
        event.at,
        u32::from(event.step.is_refusal()),
        event.step.as_str(),
        event.reason,
        rows::encode(std::slice::from_ref(event))?,
        user,
        grant,
        (event.step == SignInStep::Called).then_some(event.at),
        MOST_STEPS,
    ])
}

fn step(next: &NextStep) -> Result<Step, StoreError> {
    let mut row = taken(&next.event, next.user, next.grant)?;
    Ok(match next.of {
        StepOf::Grant(grant) => {
            row.extend(params![grant]);
            Step::any(NEXT_OF_GRANT, row)
        }
        StepOf::SignIn(id) => {
            row.extend(params![id]);
            Step::at_most_one(NEXT, row)
        }
    })
}
