//! Calls in several rounds (SEP-2322): the server answers with questions, the client calls again with the answers.
//!
//! Nothing is kept between the rounds. What a later round must know travels in `requestState`, sealed, because the client
//! could change it.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::fixture::typed;
use crate::tools::{done, text};

/// See the module.
pub(crate) struct Questions {
    seal: hmac::Key,
}

/// What the client has said so far.
struct Said<'a> {
    tool: &'a str,
    responses: Option<&'a InputResponses>,
    state: Option<&'a str>,
}

impl Said<'_> {
    fn response(&self, key: &str) -> Option<&Value> {
        self.responses?.get(key).filter(|value| value.is_object())
    }

    /// One field of a form that was accepted.
    fn field(&self, key: &str, field: &str) -> Option<&Value> {
        let response = self.response(key).filter(|response| response["action"] == "accept")?;
        response["content"].get(field)
    }

    fn word(&self, key: &str, field: &str) -> Option<&str> {
        self.field(key, field)?.as_str()
    }

    fn roots(&self) -> Option<Vec<&str>> {
        let roots = self.response("client_roots")?["roots"].as_array()?;
        Some(roots.iter().filter_map(|root| root["uri"].as_str()).collect())
    }

    fn sampled(&self, key: &str) -> Option<&str> {
        self.response(key)?["content"]["text"].as_str()
    }
}

/// A form with one field.
pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema":
        {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}}})
}

fn sampling(prompt: &str, most: u32) -> Value {
    json!({"method": "sampling/createMessage", "params": {"maxTokens": most,
        "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}]}})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

fn user_name() -> Value {
    json!({"user_name": form("What is your name?", "name", "string")})
}

/// What the client declared with this request.
pub(crate) fn declared(context: &RequestContext<RoleServer>) -> Value {
    let capabilities = context.client_capabilities();
    capabilities.and_then(|declared| serde_json::to_value(declared).ok()).unwrap_or_default()
}

pub(crate) fn missing(capabilities: Value) -> ErrorData {
    typed(capabilities).map_or_else(|error| error, ErrorData::missing_required_client_capability)
}

/// Only questions that the client has said it can answer.
fn required(
    questions: Value,
    state: Option<String>,
    context: &RequestContext<RoleServer>,
) -> Result<InputRequiredResult, ErrorData> {
    let declared = declared(context);
    let name = |question: &Value| match question["method"].as_str() {
        Some("sampling/createMessage") => "sampling",
        Some("roots/list") => "roots",
        Some(_) | None => "elicitation",
    };
    let asked: Map<String, Value> = questions.as_object().cloned().unwrap_or_default();
    let wanted: Map<String, Value> =
        asked.values().map(|question| (name(question).to_owned(), json!({}))).collect();
    let answerable: Map<String, Value> =
        asked.into_iter().filter(|(_, question)| declared[name(question)].is_object()).collect();
    if answerable.is_empty() {
        return Err(missing(Value::Object(wanted)));
    }
    Ok(InputRequiredResult::new(Some(typed(Value::Object(answerable))?), state))
}

/// The next thing to do.
enum Next {
    Ask { questions: Value, state: Option<String> },
    Finish(String),
}

impl Questions {
    pub(crate) fn new() -> Result<Self, Failure> {
        let seal = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gave no randomness")?;
        Ok(Self { seal })
    }

    fn close(&self, tool: &str, step: &str) -> String {
        let tag = hmac::sign(&self.seal, format!("{tool}\n{step}").as_bytes());
        format!("{step}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// The step that the state names; none was sent, or it is not ours.
    fn open<'a>(&self, said: &Said<'a>) -> Result<Option<&'a str>, ErrorData> {
        let Some(state) = said.state else { return Ok(None) };
        let (step, tag) = state.split_once('.').unwrap_or_default();
        let genuine = URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| {
            hmac::verify(&self.seal, format!("{}\n{step}", said.tool).as_bytes(), &tag).is_ok()
        });
        if genuine {
            Ok(Some(step))
        } else {
            Err(ErrorData::invalid_params("requestState was not issued for this tool, or was changed", None))
        }
    }

    /// `None` when the tool is none of these.
    pub(crate) fn call(
        &self,
        call: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let said = Said {
            tool: &call.name,
            responses: call.input_responses.as_ref(),
            state: call.request_state.as_deref(),
        };
        if call.name == "test_missing_capability" {
            let able = declared(context)["sampling"].is_object();
            return Some(if able {
                done(vec![text("sampling was declared")])
            } else {
                Err(missing(json!({"sampling": {}})))
            });
        }
        let next = self.next(&said)?;
        Some(next.and_then(|next| match next {
            Next::Ask { questions, state } => Ok(required(questions, state, context)?.into()),
            Next::Finish(words) => done(vec![text(words)]),
        }))
    }

    fn next(&self, said: &Said<'_>) -> Option<Result<Next, ErrorData>> {
        let ask = |questions: Value| Next::Ask { questions, state: None };
        let once =
            |answer: Option<String>, questions: Value| answer.map_or_else(|| ask(questions), Next::Finish);
        let next = match said.tool.strip_prefix("test_input_required_result_").unwrap_or(said.tool) {
            "elicitation" | "test_streaming_elicitation" => {
                once(said.word("user_name", "name").map(|name| format!("Hello, {name}!")), user_name())
            }
            "sampling" => once(
                said.sampled("capital_question").map(str::to_owned),
                json!({"capital_question": sampling("What is the capital of France?", 100)}),
            ),
            "list_roots" => once(
                said.roots().map(|roots| format!("Roots: {}", roots.join(", "))),
                json!({"client_roots": roots()}),
            ),
            "capabilities" => once(
                said.responses.map(|given| format!("{} answers", given.len())),
                json!({"user_name": form("What is your name?", "name", "string"), "greeting": sampling("Generate a greeting", 50)}),
            ),
            "request_state" | "tampered_state" => return Some(self.confirmed(said)),
            "multiple_inputs" => return Some(self.several(said)),
            "multi_round" => return Some(self.rounds(said)),
            _ => return None,
        };
        Some(Ok(next))
    }

    fn confirmed(&self, said: &Said<'_>) -> Result<Next, ErrorData> {
        let step = self.open(said)?;
        if step.is_some() && said.field("confirm", "ok").is_some() {
            return Ok(Next::Finish("state-ok".to_owned()));
        }
        let questions = json!({"confirm": form("Please confirm", "ok", "boolean")});
        Ok(Next::Ask { questions, state: Some(self.close(said.tool, "1")) })
    }

    fn several(&self, said: &Said<'_>) -> Result<Next, ErrorData> {
        let answers = (said.word("user_name", "name"), said.sampled("greeting"), said.roots());
        if let (Some(_), (Some(name), Some(greeting), Some(roots))) = (self.open(said)?, answers) {
            return Ok(Next::Finish(format!("{greeting}, {name}: {} roots", roots.len())));
        }
        let questions = json!({"user_name": form("What is your name?", "name", "string"),
            "greeting": sampling("Generate a greeting", 50), "client_roots": roots()});
        Ok(Next::Ask { questions, state: Some(self.close(said.tool, "1")) })
    }

    fn rounds(&self, said: &Said<'_>) -> Result<Next, ErrorData> {
        let (step, questions) = match self.open(said)? {
            Some("2") if said.word("step2", "color").is_some() => {
                return Ok(Next::Finish("three rounds".to_owned()));
            }
            Some("1") if said.word("step1", "name").is_some() => {
                ("2", json!({"step2": form("Step 2: What is your favorite color?", "color", "string")}))
            }
            Some(_) | None => ("1", json!({"step1": form("Step 1: What is your name?", "name", "string")})),
        };
        Ok(Next::Ask { questions, state: Some(self.close(said.tool, step)) })
    }

    /// The one prompt that asks.
    pub(crate) fn prompt(
        &self,
        asked: GetPromptRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let said = Said { tool: &asked.name, responses: asked.input_responses.as_ref(), state: None };
        let Some(about) = said.word("user_context", "context") else {
            let questions =
                json!({"user_context": form("What context should the prompt use?", "context", "string")});
            return Ok(required(questions, None, context)?.into());
        };
        let message = json!({"role": "user", "content": text(format!("Context: {about}"))});
        let result: GetPromptResult = typed(json!({"resultType": "complete", "messages": [message]}))?;
        Ok(result.into())
    }
}
