//! The tools: their list, those that answer at once, and those that ask or tell the client something during the call,
//! as revisions up to 2025-11-25 allow it.

use std::time::Duration;

use http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ServerNotification, ServerRequest, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::fixture::{Fixture, typed};
use crate::sessions::{RECONNECTION, resumed};

/// A PNG of one red pixel.
pub(crate) const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A WAV file without a sample.
const SILENCE: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
/// Between two messages of one call: long enough that a gateway which waits for the end is found out.
const PAUSE: Duration = Duration::from_millis(50);

/// Tools without arguments.
const PLAIN: [&str; 26] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    RECONNECTION,
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "multi_input",
    "test_tool_with_task",
];

fn with_arguments() -> [(&'static str, Value); 9] {
    let one = |name: &str, kind: &str| json!({"type": "object", "properties": {name: {"type": kind}}});
    [
        (
            "test_sampling",
            json!({"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]}),
        ),
        (
            "test_elicitation",
            json!({"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}),
        ),
        ("json_schema_2020_12_tool", modern_schema()),
        // SEP-2243: the argument is written in a header too, and both must agree.
        (
            "test_header_parameter",
            json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}, "required": ["region"]}),
        ),
        ("greet", one("name", "string")),
        ("slow_compute", one("seconds", "number")),
        ("failing_job", json!({"type": "object"})),
        ("protocol_error_job", json!({"type": "object"})),
        ("confirm_delete", one("filename", "string")),
    ]
}

/// Every keyword that a gateway might be tempted to drop.
fn modern_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

pub(crate) fn list() -> Result<Vec<Tool>, ErrorData> {
    let plain = PLAIN.into_iter().map(|name| (name, json!({"type": "object", "properties": {}})));
    plain
        .chain(with_arguments())
        .map(|(name, schema)| {
            typed(json!({"name": name, "description": format!("Conformance: {name}"), "inputSchema": schema}))
        })
        .collect()
}

pub(crate) fn text(text: impl Into<String>) -> Value {
    json!({"type": "text", "text": text.into()})
}

pub(crate) fn done(content: Vec<Value>) -> Result<CallToolResponse, ErrorData> {
    let result: CallToolResult = typed(json!({"resultType": "complete", "content": content}))?;
    Ok(result.into())
}

/// What needs no conversation.
fn at_once(name: &str) -> Option<Vec<Value>> {
    let picture = json!({"type": "image", "data": PIXEL, "mimeType": "image/png"});
    Some(match name {
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_image_content" => vec![picture],
        "test_audio_content" => vec![json!({"type": "audio", "data": SILENCE, "mimeType": "audio/wav"})],
        "test_embedded_resource" => {
            vec![json!({"type": "resource", "resource": {"uri": "test://embedded-resource",
            "mimeType": "text/plain", "text": "This is an embedded resource content."}})]
        }
        "test_multiple_content_types" => vec![
            text("Multiple content types test:"),
            picture,
            json!({"type": "resource", "resource": {"uri": "test://mixed-content-resource",
                "mimeType": "application/json", "text": r#"{"test":"data","value":123}"#}}),
        ],
        "json_schema_2020_12_tool" | "test_header_parameter" => vec![text("accepted")],
        _ => return None,
    })
}

pub(crate) async fn call(
    fixture: &Fixture,
    call: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let arguments = Value::Object(call.arguments.clone().unwrap_or_default());
    if let Some(content) = at_once(&call.name) {
        return done(content);
    }
    if let Some(answer) = fixture.questions.call(&call, context) {
        return answer;
    }
    if let Some(answer) = fixture.jobs.call(&call, &arguments, context).await {
        return answer;
    }
    match call.name.as_ref() {
        "test_error_handling" => {
            let words = "This tool intentionally returns an error for testing";
            let failed: CallToolResult =
                typed(json!({"resultType": "complete", "isError": true, "content": [text(words)]}))?;
            Ok(failed.into())
        }
        "test_tool_with_progress" => progress(context).await,
        "test_tool_with_logging" => logging(context).await,
        "test_logging_tool" => {
            if let Some(level) = context.meta.log_level() {
                tell(context, "notifications/message", json!({"level": level, "data": "asked for"})).await?;
            }
            done(vec![text("logged what was asked for")])
        }
        "test_trigger_tool_change" | "test_trigger_prompt_change" => changed(fixture, &call.name).await,
        RECONNECTION => {
            let head = context.extensions.get::<Parts>();
            let session = head.and_then(|head| head.headers.get("mcp-session-id")?.to_str().ok());
            resumed(&fixture.resumed, session.unwrap_or_default()).await;
            done(vec![text("The result came after the stream was closed.")])
        }
        name => conversation(name, &arguments, context).await,
    }
}

async fn progress(context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
    let token = context.meta.get_progress_token();
    for done in [0, 50, 100] {
        if let Some(token) = &token {
            let params = json!({"progressToken": token, "progress": done, "total": 100});
            tell(context, "notifications/progress", params).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    done(vec![text("Three steps were made.")])
}

async fn logging(context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
    for words in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        tell(context, "notifications/message", json!({"level": "info", "data": words})).await?;
        tokio::time::sleep(PAUSE).await;
    }
    done(vec![text("Three lines were logged.")])
}

/// Tells everybody who listens; one who has gone in the meantime is no failure of this call.
async fn changed(fixture: &Fixture, tool: &str) -> Result<CallToolResponse, ErrorData> {
    for listener in fixture.listeners() {
        let told = if tool == "test_trigger_tool_change" {
            listener.notify_tool_list_changed().await
        } else {
            listener.notify_prompt_list_changed().await
        };
        drop(told);
    }
    done(vec![text("Whoever listens was told.")])
}

/// The server asks the client in the middle of the call and answers with what it was told.
async fn conversation(
    name: &str,
    arguments: &Value,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let field = |kind: &str, default: Value| json!({"type": kind, "default": default});
    let form = |message: &str, schema: Value| {
        ("elicitation/create", json!({"mode": "form", "message": message, "requestedSchema": schema}))
    };
    let (method, params) = match name {
        "test_sampling" => (
            "sampling/createMessage",
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": arguments["prompt"]}}], "maxTokens": 100}),
        ),
        "test_elicitation" => form(
            arguments["message"].as_str().unwrap_or_default(),
            json!({"type": "object", "required": ["username", "email"], "properties": {
                "username": {"type": "string", "description": "User's response"},
                "email": {"type": "string", "description": "User's email address"}}}),
        ),
        "test_elicitation_sep1034_defaults" => form(
            "Please look through these values",
            json!({"type": "object", "properties": {
                "name": field("string", json!("John Doe")),
                "age": field("integer", json!(30)),
                "score": field("number", json!(95.5)),
                "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
                "verified": field("boolean", json!(true))}}),
        ),
        "test_elicitation_sep1330_enums" => form("Please choose", enums()),
        _ => return Err(ErrorData::invalid_params("no tool has this name", None)),
    };
    let said = ask(context, method, params).await?;
    let words = match name {
        "test_sampling" => format!("LLM response: {}", said["content"]["text"].as_str().unwrap_or_default()),
        "test_elicitation" => {
            format!("User response: action: {}, content: {}", said["action"], said["content"])
        }
        _ => {
            let action = said["action"].as_str().unwrap_or_default();
            format!("Elicitation completed: action={action}, content={}", said["content"])
        }
    };
    done(vec![text(words)])
}

/// The five ways to write a choice (SEP-1330).
fn enums() -> Value {
    let titled = |prefix: &str| -> Vec<Value> {
        let number = [("value1", "First"), ("value2", "Second"), ("value3", "Third")];
        number
            .into_iter()
            .map(|(value, title)| json!({"const": value, "title": format!("{title} {prefix}")}))
            .collect()
    };
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }})
}

async fn ask(context: &RequestContext<RoleServer>, method: &str, params: Value) -> Result<Value, ErrorData> {
    let request: ServerRequest = typed(json!({"method": method, "params": params}))?;
    let failed =
        |error: String| ErrorData::internal_error(format!("the client did not answer: {error}"), None);
    let answer = context.peer.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    serde_json::to_value(answer).map_err(|error| failed(error.to_string()))
}

async fn tell(context: &RequestContext<RoleServer>, method: &str, params: Value) -> Result<(), ErrorData> {
    let notification: ServerNotification = typed(json!({"method": method, "params": params}))?;
    context
        .peer
        .send_notification(notification)
        .await
        .map_err(|error| ErrorData::internal_error(format!("the client has gone: {error}"), None))
}
