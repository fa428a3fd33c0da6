//! What an MCP server has a client ask its person (MCP "Elicitation"): a request of its own, the error of MCP 2025-11-25 that wants
//! URLs opened first, and the result of MCP 2026-07-28 that wants input (attacks PX-41; requirements RS-173, RS-178, RS-179).
//! Pure.
//!
//! Nobody is sent anywhere but to a protected page of the web, nor to a page of ours: what links there are to these is ours
//! to say. Nobody is asked for a secret in a form. Must never pass on a question that was not judged.

use std::borrow::Cow;

use protocol::mcp::elicitation::{ElicitationUrl, METHOD, asks_for_a_secret};
use serde_json::Value;
use serde_json::value::RawValue;

use super::See;
use super::answer::Object;
use super::item::Odd;

/// The member of an error's data that holds questions.
pub(super) const ELICITATIONS: &str = "elicitations";
/// The member of a result that holds them.
pub(super) const INPUT_REQUESTS: &str = "inputRequests";
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

/// Of a request of the MCP server's, or of one among those that its result wants answered.
pub(super) fn of_request(method: &str, params: Option<&str>, see: &dyn See) -> Result<(), Refused> {
    let method: Cow<'_, str> = serde_json::from_str(method).map_err(|_| Refused)?;
    if method == METHOD { of_params(params.ok_or(Refused)?, see) } else { Ok(()) }
}

/// Of the error by which it answers.
pub(super) fn of_error(error: &str, see: &dyn See) -> Result<(), Refused> {
    let Some(data) = Object::read_any(error, &["data"])?.and_then(|error| error.find("data")) else {
        return Ok(());
    };
    let Some(all) = Object::read_any(data, &[ELICITATIONS])?.and_then(|data| data.find(ELICITATIONS)) else {
        return Ok(());
    };
    let all: Vec<&RawValue> = serde_json::from_str(all).map_err(|_| Refused)?;
    all.into_iter().try_for_each(|one| of_params(one.get(), see))
}

/// Of the result by which it answers.
pub(super) fn of_result(members: &Object<'_>, see: &dyn See) -> Result<(), Refused> {
    let Some(requests) = members.find(INPUT_REQUESTS) else { return Ok(()) };
    for request in Object::read(requests, &[])?.values() {
        let request = Object::read(request, &["method", "params"])?;
        of_request(request.find("method").ok_or(Refused)?, request.find("params"), see)?;
    }
    Ok(())
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
        let schema: Value = serde_json::from_str(schema).map_err(|_| Refused)?;
        if asks_for_a_secret(&schema) {
            return Err(Refused);
        }
    }
    Ok(())
}
