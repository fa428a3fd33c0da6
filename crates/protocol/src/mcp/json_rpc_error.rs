//! The body of a JSON-RPC error (JSON-RPC 2.0, section 5.1): what the gateway itself answers to a call.

use bytes::Bytes;
use serde_json::Value;

use super::RequestId;

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonRpcError {
    /// The id of the request, echoed byte for byte. Without one the member is left out: MCP has no null ids.
    pub id: Option<RequestId>,
    /// The code.
    pub code: i64,
    /// A fixed sentence; never a part of the request.
    pub message: &'static str,
    /// Structured detail, where the code asks for it.
    pub data: Option<Value>,
}

impl JsonRpcError {
    /// The body, of media type `application/json`.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        let mut body = String::from(r#"{"jsonrpc":"2.0""#);
        if let Some(id) = &self.id {
            body.push_str(r#","id":"#);
            body.push_str(id.as_json());
        }
        let message = Value::from(self.message);
        body.push_str(&format!(r#","error":{{"code":{},"message":{message}"#, self.code));
        if let Some(data) = &self.data {
            body.push_str(&format!(r#","data":{data}"#));
        }
        body.push_str("}}");
        Bytes::from(body)
    }
}
