//! Tools that go on after their call was answered: the tasks extension (SEP-2663).
//!
//! A client that has not declared the extension gets no task: `slow_compute` is then done at once, the others refuse.

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, CreateTaskResult, InputRequest};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::fixture::typed;
use crate::questions::{declared, form, missing};
use crate::tools::{done, text};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The longest that anybody can make this server wait.
const LONGEST: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) tasks: TaskManager,
}

fn completed(words: impl Into<String>) -> Result<CallToolResult, TaskExit> {
    Ok(typed(json!({"resultType": "complete", "content": [text(words)]}))?)
}

fn seconds(arguments: &Value) -> Duration {
    let given = arguments["seconds"].as_f64().unwrap_or_default().max(0.0);
    Duration::try_from_secs_f64(given).map_or(LONGEST, |wanted| wanted.min(LONGEST))
}

async fn slow(task: TaskContext, wait: Duration) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = tokio::time::sleep(wait) => completed("computed"),
        () = task.cancelled() => Err(TaskExit::Cancelled),
    }
}

async fn failing() -> Result<CallToolResult, TaskExit> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(typed(json!({"resultType": "complete", "isError": true, "content": [text("the job failed")]}))?)
}

async fn confirm(task: TaskContext, filename: String) -> Result<CallToolResult, TaskExit> {
    let question: InputRequest = typed(form(&format!("Delete {filename}?"), "confirm", "boolean"))?;
    let said = task.request_input("confirm", question).await?;
    completed(format!("{filename}: {}", said["action"].as_str().unwrap_or_default()))
}

async fn two_questions(task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let (first, second): (InputRequest, InputRequest) =
        (typed(form("First?", "answer", "string"))?, typed(form("Second?", "answer", "string"))?);
    tokio::try_join!(task.request_input("first", first), task.request_input("second", second))?;
    completed("both were answered")
}

impl Jobs {
    /// `None` when the tool is none of these.
    pub(crate) async fn call(
        &self,
        call: &CallToolRequestParams,
        arguments: &Value,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let able = declared(context)["extensions"][EXTENSION].is_object();
        let wait = seconds(arguments);
        match call.name.as_ref() {
            "greet" => {
                Some(done(vec![text(format!("Hello, {}!", arguments["name"].as_str().unwrap_or("you")))]))
            }
            "slow_compute" if !able => {
                tokio::time::sleep(wait).await;
                Some(done(vec![text("computed")]))
            }
            "slow_compute"
            | "failing_job"
            | "protocol_error_job"
            | "confirm_delete"
            | "multi_input"
            | "test_tool_with_task" => {
                if able {
                    return Some(self.start(call, arguments));
                }
                Some(Err(missing(json!({"extensions": {EXTENSION: {}}}))))
            }
            _ => None,
        }
    }

    fn start(&self, call: &CallToolRequestParams, arguments: &Value) -> Result<CallToolResponse, ErrorData> {
        let wait = seconds(arguments);
        let filename = arguments["filename"].as_str().unwrap_or("a file").to_owned();
        let options = TaskOptions::new().with_poll_interval_ms(100);
        let task = match call.name.as_ref() {
            "slow_compute" => self.tasks.spawn(options, |task| Box::pin(slow(task, wait))),
            "failing_job" => self.tasks.spawn(options, |_| Box::pin(failing())),
            "confirm_delete" => self.tasks.spawn(options, |task| Box::pin(confirm(task, filename))),
            "multi_input" => self.tasks.spawn(options, |task| Box::pin(two_questions(task))),
            "test_tool_with_task" => {
                let said = call.input_responses.as_ref().and_then(|given| given.get("user_name"));
                let Some(name) = said.and_then(|said| said["content"]["name"].as_str()) else {
                    let questions = json!({"resultType": "input_required",
                        "inputRequests": {"user_name": form("What is your name?", "name", "string")}});
                    return Ok(CallToolResponse::InputRequired(typed(questions)?));
                };
                let words = format!("Hello, {name}!");
                self.tasks.spawn(options, |_| Box::pin(async move { completed(words) }))
            }
            _ => self.tasks.spawn(options, |_| {
                Box::pin(async { Err(ErrorData::internal_error("the job broke down", None).into()) })
            }),
        };
        Ok(CreateTaskResult::new(task).into())
    }
}
