//! The question that a client of 2026-07-28 is put when an account is missing, and what comes back of it (MCP 2026-07-28,
//! "Multi Round-Trip Requests"; requirements RS-131 to RS-138).
//!
//! Its state grants nothing: whether there is a connection by now the record alone says. It tells a question of ours from one
//! of the MCP server's, so that what answers ours never goes there, and it is for one person, one request and a short time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use protocol::id::{Id, User};
use protocol::keys::{KeyRing, MacKey};
use protocol::mcp::{McpCall, arguments};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::link;

/// The name of the question among the input requests.
pub(crate) const NAME: &str = "connect";
/// What may be answered with a question (RS-131).
pub(crate) const MAY_ASK: [&str; 3] = ["prompts/get", "resources/read", "tools/call"];
/// What a state of ours begins with.
const PREFIX: &str = "sekisho-connect.";
/// What the mark is for.
const LABEL: &str = "connect: question";
/// How long a person may take.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// What came back of a question of ours.
#[derive(Debug)]
pub(crate) struct Answered {
    state: String,
    /// The person said no, or closed it (RS-181).
    is_no: bool,
}

/// For whom, and for which request, a question is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) user: Id<User>,
    pub(crate) server: &'a str,
    pub(crate) call: &'a McpCall,
    pub(crate) body: &'a [u8],
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    action: String,
}

impl Answered {
    /// Whether this is a no to the question that this person was put about this request.
    pub(crate) fn is_no_to(&self, keys: &KeyRing<MacKey>, subject: &Subject<'_>, now: Timestamp) -> bool {
        let until = self.state.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
        let until = until.and_then(|(until, _)| until.parse::<i64>().ok());
        let Some(until) = until.filter(|until| *until > now.secs()) else { return false };
        let presented = Secret::new(self.state.clone());
        self.is_no && keys.iter().any(|key| presented.matches(&Secret::new(text(key, subject, until))))
    }
}

/// The state of a question that is put now.
pub(crate) fn state(keys: &KeyRing<MacKey>, subject: &Subject<'_>, now: Timestamp) -> String {
    text(keys.active(), subject, now.plus(LIFE).secs())
}

fn text(key: &MacKey, subject: &Subject<'_>, until: i64) -> String {
    let call = subject.call;
    // Progress tokens and the like may be others in a retry; what is asked may not (RS-134).
    let asked = Hash::of(arguments(subject.body).unwrap_or_default().as_bytes());
    let mac = key.mac(
        LABEL,
        &[
            subject.user.as_bytes(),
            subject.server.as_bytes(),
            call.method.as_bytes(),
            call.name.as_deref().unwrap_or_default().as_bytes(),
            asked.as_bytes(),
            &until.to_be_bytes(),
        ],
    );
    format!("{PREFIX}{until}.{}", link::hex(&mac))
}

/// Whether the message goes on with a question, whosever it was.
pub(crate) fn goes_on(body: &[u8]) -> bool {
    let is_there = |name: &str| memchr::memmem::find(body, name.as_bytes()).is_some();
    // A mention elsewhere, and a name that is written with escapes, cost a client the question and no more.
    is_there("\"requestState\"") || is_there("\"inputResponses\"")
}

/// Takes the answer to a question of ours out of a message that was judged already: the MCP server did not ask, and every
/// other member goes there byte for byte. Nothing, if the message holds none.
pub(crate) fn take(call: &McpCall, body: &Bytes) -> Option<(Answered, Bytes)> {
    if !call.modern || !MAY_ASK.contains(&call.method.as_str()) || !goes_on(body) {
        return None;
    }
    let mut message: Members<'_> = serde_json::from_slice(body).ok()?;
    let mut params: Members<'_> = serde_json::from_str(message.get("params")?.get()).ok()?;
    let state: String = serde_json::from_str(params.remove("requestState")?.get()).ok()?;
    if !state.starts_with(PREFIX) {
        return None;
    }
    let responses = params.remove("inputResponses").map(RawValue::get).unwrap_or_default();
    let responses: BTreeMap<String, Response> = serde_json::from_str(responses).unwrap_or_default();
    let is_no = responses.get(NAME).is_some_and(|one| matches!(one.action.as_str(), "cancel" | "decline"));
    let params = to_raw_value(&params).ok()?;
    message.insert("params".to_owned(), &params);
    let body = serde_json::to_vec(&message).ok()?;
    Some((Answered { state, is_no }, body.into()))
}

#[cfg(test)]
mod tests;
