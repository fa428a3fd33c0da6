//! Resources and prompts: what does not change and asks nothing.

use rmcp::ErrorData;
use rmcp::model::{GetPromptResponse, GetPromptResult, ReadResourceResponse, ReadResourceResult};
use serde_json::{Value, json};

use crate::fixture::typed;
use crate::tools::PIXEL;

const STATIC_TEXT: &str = "test://static-text";
const STATIC_BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";

pub(crate) fn resources() -> Value {
    json!({"resultType": "complete", "resources": [
        {"uri": STATIC_TEXT, "name": "static-text", "description": "A text that stays", "mimeType": "text/plain"},
        {"uri": STATIC_BINARY, "name": "static-binary", "description": "A picture that stays", "mimeType": "image/png"},
        {"uri": WATCHED, "name": "watched-resource", "description": "One to subscribe to", "mimeType": "text/plain"},
    ]})
}

pub(crate) fn templates() -> Value {
    json!({"resultType": "complete", "resourceTemplates": [{
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data for an id",
        "mimeType": "application/json",
    }]})
}

pub(crate) fn read(uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let contents = match (uri, id) {
        (STATIC_TEXT, _) => {
            json!({"mimeType": "text/plain", "text": "This is the content of the static text resource."})
        }
        (STATIC_BINARY, _) => json!({"mimeType": "image/png", "blob": PIXEL}),
        (WATCHED, _) => json!({"mimeType": "text/plain", "text": "Nothing has changed."}),
        (_, Some(id)) => {
            let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            json!({"mimeType": "application/json", "text": data.to_string()})
        }
        (_, None) => {
            return Err(ErrorData::resource_not_found("Resource not found", Some(json!({"uri": uri}))));
        }
    };
    let mut contents = contents;
    contents["uri"] = json!(uri);
    let result: ReadResourceResult = typed(json!({"resultType": "complete", "contents": [contents]}))?;
    Ok(result.into())
}

pub(crate) fn prompts() -> Value {
    let argument = |name: &str| json!({"name": name, "description": name, "required": true});
    json!({"resultType": "complete", "prompts": [
        {"name": "test_simple_prompt", "description": "A prompt without arguments"},
        {"name": "test_prompt_with_arguments", "description": "A prompt with two arguments",
            "arguments": [argument("arg1"), argument("arg2")]},
        {"name": "test_prompt_with_embedded_resource", "description": "A prompt that carries a resource",
            "arguments": [argument("resourceUri")]},
        {"name": "test_prompt_with_image", "description": "A prompt that carries a picture"},
        {"name": "test_input_required_result_prompt", "description": "A prompt that asks before it answers"},
    ]})
}

pub(crate) fn prompt(name: &str, arguments: &Value) -> Result<GetPromptResponse, ErrorData> {
    let given = |name: &str| arguments[name].as_str().unwrap_or_default();
    let text = |text: &str| json!({"type": "text", "text": text});
    let contents = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            vec![text(&format!("Prompt with arguments: arg1='{}', arg2='{}'", given("arg1"), given("arg2")))]
        }
        "test_prompt_with_embedded_resource" => vec![
            json!({"type": "resource", "resource": {"uri": given("resourceUri"), "mimeType": "text/plain",
                "text": "Embedded resource content for testing."}}),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![
            json!({"type": "image", "data": PIXEL, "mimeType": "image/png"}),
            text("Please analyze the image above."),
        ],
        _ => return Err(ErrorData::invalid_params("no prompt has this name", None)),
    };
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
    let result: GetPromptResult = typed(json!({"resultType": "complete", "messages": messages}))?;
    Ok(result.into())
}
