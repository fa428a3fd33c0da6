//! What a client is told when the person has to connect an account first, by revision and by what the client declared
//! (requirements B21; MCP 2025-11-25 and 2026-07-28, "Elicitation").
//!
//! The link leads to a page of ours where the person signs in as themselves; it holds no personal data, opens nothing, and
//! is refused to anybody else (RS-177 to RS-179). A client that declared no URL mode gets it in words, and so does one that was
//! asked and brought back a no (RS-181), and one that goes on with a question of the MCP server's own: what that one keeps
//! in its state is not ours to carry (RS-138). Must never ask for what the client did not declare (RS-132), and never carry
//! anything of the MCP server's own challenge.

use bytes::Bytes;
use protocol::mcp::{CallKind, RequestId};
use serde_json::{Value, json};
use upstream::oauth_client::Rejection;

use crate::call::{Asked, Operation};
use crate::reason::NOT_CONNECTED;
use crate::vault::question::{MAY_ASK, NAME, goes_on};

/// MCP 2025-11-25, "URL Elicitation Required Error"; retired in 2026-07-28 (RS-150).
const URL_ELICITATION_REQUIRED: i64 = -32042;
const META: &str = "io.modelcontextprotocol/clientCapabilities";

/// What the person has to do, and where.
#[derive(Debug)]
pub(crate) struct ToConnect<'a> {
    /// The page.
    pub(crate) url: &'a str,
    /// What people call the MCP server.
    pub(crate) title: &'a str,
    /// Whether an account is connected, and has to allow more.
    pub(crate) more: bool,
    /// An id for this question, for the revision that wants one.
    pub(crate) id: &'a str,
    /// Whether the session's client declared URL elicitation at its handshake.
    pub(crate) declared: bool,
    /// The state of the question that may be put to a client of 2026-07-28; none, if the person has said no to it.
    pub(crate) state: Option<&'a str>,
}

/// The body of the answer to a request; nothing else is answered in words.
pub(crate) fn answer(asked: &Asked, to: &ToConnect<'_>) -> Option<Bytes> {
    let Operation::Call { call, body } = &asked.operation else { return None };
    let CallKind::Request(id) = &call.kind else { return None };
    let words = words(to);
    let method = call.method.as_str();
    let declared = if call.modern { declares(body) } else { to.declared };
    let asks = call.modern && declared && MAY_ASK.contains(&method) && !goes_on(body);
    let whole = if let Some(state) = to.state.filter(|_| asks) {
        let question = json!({
            "method": "elicitation/create",
            "params": { "mode": "url", "url": to.url, "message": words },
        });
        let asked = json!({ "resultType": "input_required", "inputRequests": { NAME: question }, "requestState": state });
        result(id, &asked)
    } else if !call.modern && declared && method != "initialize" {
        let elicitation = json!({ "mode": "url", "elicitationId": to.id, "url": to.url, "message": words });
        error(id, URL_ELICITATION_REQUIRED, &words, &json!({ "elicitations": [elicitation] }))
    } else if method == "tools/call" {
        let mut told = json!({ "content": [{ "type": "text", "text": words }], "isError": true });
        if call.modern {
            told["resultType"] = "complete".into();
        }
        result(id, &told)
    } else {
        error(id, NOT_CONNECTED, &words, &json!({ "url": to.url }))
    };
    Some(whole)
}

fn words(to: &ToConnect<'_>) -> String {
    let ToConnect { title, url, .. } = to;
    if to.more {
        return format!(
            "{title} needs more than you allowed at the account that you connected. Open {url} in your browser, signed in as \
             yourself, allow there what is asked for, and then try again."
        );
    }
    format!(
        "{title} needs an account of yours to be connected first. Open {url} in your browser, signed in as yourself, and then \
         try again."
    )
}

/// The result of a tool whose MCP server gives the person no credential: a model can do nothing about it but say so.
pub(crate) fn refused(asked: &Asked, title: &str, why: Rejection) -> Option<Bytes> {
    let Operation::Call { call, .. } = &asked.operation else { return None };
    let CallKind::Request(id) = &call.kind else { return None };
    let remedy = match why {
        Rejection::SignInNeeded => {
            "The person has to sign in at the gateway again: disconnect it in your application, and connect it anew."
        }
        Rejection::Acted => {
            "It is not given to whoever acts for a person: the person has to do it themselves."
        }
        Rejection::AccessDenied
        | Rejection::Forgotten
        | Rejection::Grant
        | Rejection::Moved
        | Rejection::Request => "An administrator of the gateway finds the reason in its audit.",
    };
    let words = format!(
        "Nothing was done: whoever decides about access to {title} gives none in the name of this person. {remedy}"
    );
    let mut told = json!({ "content": [{ "type": "text", "text": words }], "isError": true });
    if call.modern {
        told["resultType"] = "complete".into();
    }
    (call.method == "tools/call").then(|| result(id, &told))
}

/// Whether the `initialize` of an older client declares URL elicitation (MCP 2025-11-25, "Capabilities").
pub(crate) fn declares_at_handshake(body: &[u8]) -> bool {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    message.pointer("/params/capabilities/elicitation/url").is_some_and(Value::is_object)
}

/// The same of a request of 2026-07-28.
fn declares(body: &[u8]) -> bool {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let meta = message.pointer("/params/_meta").and_then(|meta| meta.get(META));
    meta.and_then(|declared| declared.pointer("/elicitation/url")).is_some_and(Value::is_object)
}

fn result(id: &RequestId, result: &Value) -> Bytes {
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.as_json()))
}

fn error(id: &RequestId, code: i64, message: &str, data: &Value) -> Bytes {
    let error = json!({ "code": code, "message": message, "data": data });
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json()))
}
