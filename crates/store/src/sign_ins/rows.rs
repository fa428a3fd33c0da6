//! Rows of `sign_ins`, both ways. A step is one line of JSON; the same line twice is a write whose answer was lost, and one
//! step.

use std::collections::BTreeSet;

use protocol::id::Reference;
use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};

use super::{SignInEvent, SignInRow, SignInStepRow};
use crate::StoreError;
use crate::codec::{Decoder, json};
use crate::engine::Row;

#[derive(Serialize)]
struct Written<'a> {
    at: i64,
    step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [&'static str],
    #[serde(skip_serializing_if = "is_one")]
    times: u32,
}

#[derive(Deserialize)]
struct Read {
    at: i64,
    step: String,
    reason: Option<String>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default = "one")]
    times: u32,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what `skip_serializing_if` calls takes a reference")]
const fn is_one(times: &u32) -> bool {
    *times == 1
}

pub(super) fn encode(events: &[SignInEvent]) -> Result<String, StoreError> {
    let mut lines = String::new();
    for event in events {
        let SignInEvent { at, step, reason, notes, times } = event;
        lines.push_str(&json(&Written {
            at: at.micros(),
            step: step.as_str(),
            reason: *reason,
            notes,
            times: *times,
        })?);
        lines.push('\n');
    }
    Ok(lines)
}

pub(super) fn decode(row: Row) -> Result<SignInRow, StoreError> {
    let mut row = Decoder::new("sign_ins", row);
    let id = row.id("id")?;
    let reference = row.parsed("reference", Reference::parse)?;
    let part_of = row.opt_id("part_of")?;
    let (begun_at, last_at) = (row.time("begun_at")?, row.time("last_at")?);
    let connected_at = row.opt_time("connected_at")?;
    let (client_id, client_name) = (row.opt_text("client_id")?, row.opt_text("client_name")?);
    let server = row.opt_text("server")?;
    let (user, grant) = (row.opt_id("user_id")?, row.opt_id("grant_id")?);
    let failed = row.int("failed")? == 1;
    let (last_step, last_reason) = (row.text("last_step")?, row.opt_text("last_reason")?);
    let lines = row.text("steps")?;
    let steps = steps(&lines).ok_or_else(|| row.corrupt("steps"))?;
    let address = row.opt_text("address")?;
    let (name, email) = (row.opt_text("name")?, row.opt_text("email")?);
    Ok(SignInRow {
        id,
        reference,
        part_of,
        begun_at,
        last_at,
        connected_at,
        client_id,
        client_name,
        server,
        user,
        name: email.or(name),
        grant,
        address,
        failed,
        last_step,
        last_reason,
        steps,
    })
}

fn steps(lines: &str) -> Option<Vec<SignInStepRow>> {
    let mut seen = BTreeSet::new();
    let mut steps = Vec::new();
    for line in lines.lines().filter(|line| seen.insert(*line)) {
        let Read { at, step, reason, notes, times } = serde_json::from_str(line).ok()?;
        steps.push(SignInStepRow { at: Timestamp::from_micros(at), step, reason, notes, times });
    }
    steps.sort_by_key(|step| step.at);
    Some(steps)
}
