//! What an MCP server has a client ask its person (MCP "Elicitation"): a request of its own, the error of MCP 2025-11-25 that wants
//! URLs opened first, and the result of MCP 2026-07-28 that wants input (attacks PX-41; requirements RS-173, RS-178, RS-179).
//! Pure.
//!
//! Nobody is sent anywhere but to a protected page of the web, nor to a page of ours: what links there are to these is ours
//! to say. Nobody is asked for a secret in a form. Must never pass on a question that was not judged.

use std::borrow::Cow;

use protocol::mcp::elicitation::{ElicitationUrl, METHOD, asks_for_a_secret};
use protocol::mcp::folds_to;
use protocol::strict_json;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::See;
use super::answer::Object;
use super::item::Odd;

/// The member of an error's data that holds questions.
pub(super) const ELICITATIONS: &str = "elicitations";
/// The member of a result that holds them.
pub(super) const INPUT_REQUESTS: &str = "inputRequests";
/// The member of a result in which a task stands.
pub(super) const TASK: &str = "task";
/// MCP 2025-11-25, elicitation, "URL Elicitation Required Error".
const PAGES_FIRST: f64 = -32042.0;
/// What of a field is judged.
const JUDGED: [&str; 8] = ["title", "format", "type", "enum", "oneOf", "anyOf", "const", "items"];
/// Forms are flat.
const DEEPEST: usize = 16;
/// What the client is told instead.
pub(crate) const REFUSED: &str =
    "The MCP server behind the gateway wanted its person asked what the gateway lets nobody ask.";

/// A question that is not put.
#[derive(Debug)]
pub(super) struct Refused;

impl From<Odd> for Refused {
    fn from(_: Odd) -> Self {
        Self
    }
}

/// Whether a careless reader could take this for the method by which a person is asked.
pub(super) fn could_be_elicitation(method: &str) -> bool {
    folds_to(method.trim(), METHOD)
}

/// Whether this is the code of the error that wants pages opened first, however the number is written.
pub(super) fn wants_pages(code: &str) -> bool {
    code.parse::<f64>().is_ok_and(|code| code == PAGES_FIRST)
}

/// Of a request or a notification of the MCP server's. A task that wants input says so in its notification (MCP tasks
/// extension).
pub(super) fn of_message(method: &str, params: Option<&str>, see: &dyn See) -> Result<(), Refused> {
    of_request(method, params, see)?;
    match params.map(|params| Object::read_any(params, &TASKS)).transpose()?.flatten() {
        Some(params) => of_task(&params, see),
        None => Ok(()),
    }
}

/// Of a request, by itself or among those that a result wants answered.
fn of_request(method: &str, params: Option<&str>, see: &dyn See) -> Result<(), Refused> {
    let method: Cow<'_, str> = serde_json::from_str(method).map_err(|_| Refused)?;
    match &*method {
        METHOD => of_params(params.ok_or(Refused)?, see),
        other if could_be_elicitation(other) => Err(Refused),
        _ => Ok(()),
    }
}

/// Of the error by which it answers.
pub(super) fn of_error(error: &str, see: &dyn See) -> Result<(), Refused> {
    let Some(error) = Object::read_any(error, &["code", "data"])? else { return Ok(()) };
    let Some(data) = error.find("data").filter(|data| *data != "null") else { return Ok(()) };
    let all = Object::read_any(data, &[ELICITATIONS])?.and_then(|data| data.find(ELICITATIONS));
    let Some(all) = all else {
        // Questions in a shape in which only its own clients find them.
        return if error.find("code").is_some_and(wants_pages) { Err(Refused) } else { Ok(()) };
    };
    let all: Vec<&RawValue> = serde_json::from_str(all).map_err(|_| Refused)?;
    all.into_iter().try_for_each(|one| of_params(one.get(), see))
}

/// The members of what holds a task, or is one.
const TASKS: [&str; 3] = [INPUT_REQUESTS, "result", TASK];

/// Of the result by which it answers.
pub(super) fn of_result(result: &str, see: &dyn See) -> Result<(), Refused> {
    Object::read_any(result, &TASKS)?.map_or(Ok(()), |result| of_task(&result, see))
}

/// Of a task, or of what holds one.
fn of_task(members: &Object<'_>, see: &dyn See) -> Result<(), Refused> {
    of_requests(members, see)?;
    for inner in ["result", TASK].into_iter().filter_map(|key| members.find(key)) {
        if let Some(inner) = Object::read_any(inner, &[INPUT_REQUESTS])? {
            of_requests(&inner, see)?;
        }
    }
    Ok(())
}

fn of_requests(members: &Object<'_>, see: &dyn See) -> Result<(), Refused> {
    let Some(requests) = members.find(INPUT_REQUESTS).filter(|requests| *requests != "null") else {
        return Ok(());
    };
    for request in Object::read(requests, &[])?.values() {
        let request = Object::read(request, &["method", "params"])?;
        of_request(request.find("method").ok_or(Refused)?, request.find("params"), see)?;
    }
    Ok(())
}

/// Whether a reader that does not mind case, or of what kind the fields are, sees another form.
fn is_ambiguous(schema: &Map<String, Value>) -> bool {
    let is_other = |key: &String, known: &str| key != known && folds_to(key, known);
    let fields = schema.get("properties");
    if fields.is_some_and(|fields| !fields.is_object()) {
        return true;
    }
    let fields = fields.and_then(Value::as_object);
    let of_fields = fields.into_iter().flat_map(Map::values).filter_map(Value::as_object).flat_map(Map::keys);
    schema.keys().any(|key| is_other(key, "properties"))
        || of_fields.into_iter().any(|key| JUDGED.iter().any(|known| is_other(key, known)))
}

fn of_params(params: &str, see: &dyn See) -> Result<(), Refused> {
    let params = Object::read(params, &["mode", "url", "requestedSchema"])?;
    if let Some(url) = params.find("url") {
        let url: Cow<'_, str> = serde_json::from_str(url).map_err(|_| Refused)?;
        let url = ElicitationUrl::parse(&url).map_err(|_| Refused)?;
        if see.is_ours(&url) {
            return Err(Refused);
        }
    }
    if let Some(schema) = params.find("requestedSchema") {
        let schema = strict_json::object(schema.as_bytes(), DEEPEST).map_err(|_| Refused)?;
        if is_ambiguous(&schema) || asks_for_a_secret(&Value::Object(schema)) {
            return Err(Refused);
        }
    }
    Ok(())
}
