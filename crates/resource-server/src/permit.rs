//! Leave to make one call (house.md, 1.7): made by a decision of the policy and by nothing else, holding the very
//! call that was judged.

use policy::{Around, Decision, Person, Question, ReadOnly, Rule};
use protocol::mcp::{self, CallKind, CallRefused, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use crate::call::{Asked, Operation};
use crate::definitions::{ArgumentsRefused, Definition, InputSchemas, Pins, Refused, ToolsMode};
use crate::error::CallError;
use crate::mcp_server::McpServer;
use crate::reason::CallReason;
use crate::session::Session;

const READ: &str = "read";
const WRITE: &str = "write";

/// Leave to make one call. It cannot be made by hand:
///
/// ```compile_fail,E0451
/// fn forge(permit: resource_server::Permit) -> resource_server::Permit {
///     resource_server::Permit { rule: panic!(), ..permit }
/// }
/// ```
///
/// and without one nothing is forwarded:
///
/// ```compile_fail,E0061
/// async fn forward(server: resource_server::ResourceServer) {
///     let _ = server.forward().await;
/// }
/// ```
///
/// nor is it good for two calls:
///
/// ```compile_fail,E0382
/// async fn forward(server: resource_server::ResourceServer, permit: resource_server::Permit) {
///     let _ = server.forward(permit).await;
///     let _ = server.forward(permit).await;
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Permit {
    asked: Asked,
    session: Session,
    rule: Rule,
}

impl Permit {
    /// Asks the policy for leave to make the call.
    pub(crate) fn ask(
        mut asked: Asked,
        session: Session,
        read_only: ReadOnly,
        now: Timestamp,
    ) -> Result<Self, CallError> {
        let held = &asked.who().verdict.access.scope;
        let wider = with_hierarchy(held);
        let scope = wider.as_ref().unwrap_or(held);
        let decision = match judge(&asked, (scope, now), read_only) {
            Decision::Allow { rule } => match judge_concerned(&asked, (scope, now)) {
                Ok(refused) => refused.unwrap_or(Decision::Allow { rule }),
                Err(refused) => return Err(asked.refuse(CallReason::MessageRefused(Box::new(refused)))),
            },
            refused @ (Decision::Deny { .. } | Decision::NeedScope { .. }) => refused,
        };
        match decision {
            Decision::Allow { rule } => Ok(Self { asked, session, rule }),
            Decision::Deny { rule } => {
                asked.entry.denied_by(&rule);
                Err(asked.refuse(CallReason::PersonNotAllowed))
            }
            Decision::NeedScope { scope, .. } => Err(asked.refuse_for_scope(&scope)),
        }
    }

    /// The tool that is called, where what is known of its definition decides.
    pub(crate) fn tool_by_definition(&self) -> Option<(&McpServer, &str)> {
        let server = &self.asked.who().server;
        let decides = match (server.settings().tools, server.settings().input_schemas) {
            (ToolsMode::Approve, _) | (_, InputSchemas::Enforce) => true,
            (ToolsMode::Follow, InputSchemas::Ignore) => false,
        };
        match &self.asked.operation {
            Operation::Call { call, .. } if decides && call.method == "tools/call" => {
                call.name.as_deref().map(|tool| (&**server, tool))
            }
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => None,
        }
    }

    /// The tool that is called, if it was accepted and somebody is said something else of it.
    pub(crate) fn tool_in_doubt(&self) -> Option<&str> {
        let server = &self.asked.who().server;
        let tool = match &self.asked.operation {
            Operation::Call { call, .. } if call.method == "tools/call" => call.name.as_deref()?,
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => return None,
        };
        (server.tools().may_call(server.settings().tools, tool) == Err(Refused::Changed)).then_some(tool)
    }

    pub(crate) const fn parts(&self) -> (&Asked, &Session) {
        (&self.asked, &self.session)
    }

    /// The same, if what is known of the tool lets it be called. Asked after the policy, so that who may not call it hears
    /// of nothing else (attacks PX-20). `is_accepted` if what it says to this person is what was accepted.
    pub(crate) fn for_a_tool_that_counts(self, is_accepted: bool) -> Result<Self, CallError> {
        let server = &self.asked.who().server;
        let (tool, body) = match &self.asked.operation {
            Operation::Call { call, body } if call.method == "tools/call" => match &call.name {
                Some(tool) => (tool, body),
                None => return Ok(self),
            },
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => {
                return Ok(self);
            }
        };
        let pins = server.tools().pins();
        match server.tools().may_call(server.settings().tools, tool) {
            Err(Refused::Changed) if is_accepted => {}
            Err(Refused::Changed) => return Err(self.asked.refuse(CallReason::ToolChanged)),
            Err(Refused::NeverAccepted) => return Err(self.asked.refuse(CallReason::ToolNotAccepted)),
            Ok(()) => {}
        }
        if !mirrors(&self.asked, tool, body) {
            return Err(self.asked.refuse(CallReason::ParameterMismatch));
        }
        let checked = match server.settings().input_schemas {
            InputSchemas::Enforce => check_arguments(&pins, tool, body),
            InputSchemas::Ignore => Ok(()),
        };
        match checked {
            Ok(()) => Ok(self),
            Err(None) => Err(self.asked.refuse(CallReason::ArgumentsUnchecked)),
            Err(Some(ArgumentsRefused(text))) => Err(self.asked.refuse_arguments(text)),
        }
    }

    /// Has the call not written down if it changes nothing.
    pub(crate) fn unrecorded_if_it_reads(&mut self, read_only: ReadOnly) {
        let changes = match &self.asked.operation {
            Operation::Call { call, .. } => policy::may_change(call, read_only),
            Operation::EndSession { .. } | Operation::Listen { .. } => false,
        };
        if !changes {
            self.asked.entry.unrecorded();
        }
    }

    /// Has the call written down before it is forwarded if it may change something (product.md, P-18).
    pub(crate) fn intended_if_it_changes(&mut self, read_only: ReadOnly) {
        match &self.asked.operation {
            Operation::Call { call, .. } if policy::may_change(call, read_only) => self.asked.entry.changes(),
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => {}
        }
    }

    /// The rule that allowed it.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(crate) fn into_parts(self) -> (Asked, Session) {
        (self.asked, self.session)
    }
}

/// Whether the headers say what the arguments say, as far as anybody here knows which should (RS-100, RS-105). Before
/// 2026-07-28 they meant nothing, and do not go on.
fn mirrors(asked: &Asked, tool: &str, body: &[u8]) -> bool {
    if !asked.is_modern() {
        return true;
    }
    let (server, user) = (&asked.who().server, asked.who().person.user);
    let expected = server.tools().parameter_headers(server.settings().tools, user, tool);
    expected.is_none_or(|expected| {
        expected.is_empty() || expected.compare(&asked.headers, mcp::arguments(body)).is_ok()
    })
}

/// Whether the arguments are what the definition that counts allows; `None` if nobody can tell.
fn check_arguments(pins: &Pins, tool: &str, body: &[u8]) -> Result<(), Option<ArgumentsRefused>> {
    let Some(Ok(schema)) = pins.accepted(tool).map(Definition::arguments) else { return Err(None) };
    schema.check(mcp::arguments(body)).map_err(Some)
}

/// What the policy says of the call with these scopes.
fn judge(asked: &Asked, (scope, now): (&Scope, Timestamp), read_only: ReadOnly) -> Decision {
    let listening;
    let who = asked.who();
    let server = &who.server.settings().rules;
    let (call, arguments) = match &asked.operation {
        // From the bytes that are forwarded, and only if somebody looks.
        Operation::Call { call, body } => match &call.name {
            Some(tool) if call.method == "tools/call" && server.policies.read_arguments(tool) => {
                (call, mcp::arguments(body))
            }
            Some(_) | None => (call, None),
        },
        Operation::EndSession { .. } | Operation::Listen { .. } => {
            listening = self::listening();
            (&listening, None)
        }
    };
    let around = Around { address: who.address, client: who.verdict.access.client.as_str(), now, scope };
    policy::decide(&Question::MayCall { call, arguments, person: person(asked), read_only, around, server })
}

/// What the policy says of what the call concerns beside what it is, if it does not allow all of it (requirements RS-190; attacks
/// PX-20).
fn judge_concerned(
    asked: &Asked,
    (scope, now): (&Scope, Timestamp),
) -> Result<Option<Decision>, CallRefused> {
    let Operation::Call { call, body } = &asked.operation else { return Ok(None) };
    let who = asked.who();
    let server = &who.server.settings().rules;
    let around = Around { address: who.address, client: who.verdict.access.client.as_str(), now, scope };
    let (person, read_only, arguments) = (person(asked), ReadOnly::NotATool, None);
    let decide = |call: &McpCall| {
        policy::decide(&Question::MayCall { call, arguments, person, read_only, around, server })
    };
    let concerned = call.concerned(body)?;
    Ok(concerned.iter().map(decide).find(|decision| !matches!(decision, Decision::Allow { .. })))
}

/// Whether the policy admits the person to the MCP server at all: asked before anything of the call is looked into,
/// so that who is not admitted causes no request and learns nothing.
pub(crate) fn may_connect(asked: &mut Asked) -> bool {
    let question =
        Question::MayConnect { person: person(asked), server: &asked.who().server.settings().rules };
    match policy::decide(&question) {
        Decision::Allow { .. } => true,
        Decision::Deny { rule } | Decision::NeedScope { rule, .. } => {
            asked.entry.denied_by(&rule);
            false
        }
    }
}

/// What must be found out before the policy can be asked.
#[derive(Debug)]
pub(crate) enum Hint<'a> {
    /// What this tool says of itself.
    Ask(&'a str),
    /// Nothing: who may write needs no hint, unless what only reads is not written down or a policy asks.
    Known(ReadOnly),
}

pub(crate) fn hint(asked: &Asked, record_reading: bool) -> Hint<'_> {
    let scope = &asked.who().verdict.access.scope;
    let rules = &asked.who().server.settings().rules;
    match &asked.operation {
        Operation::Call { call, .. } if call.method == "tools/call" => match &call.name {
            Some(tool) if rules.policies.read_read_only(tool) => Hint::Ask(tool),
            // Which scopes it needs says the operator, whatever it says of itself.
            Some(tool) if record_reading && rules.scopes.of_tool(tool).is_some() => Hint::Known(ReadOnly::No),
            // Who may not even read, too: nobody is sent for more than the call needs (attacks PX-40).
            Some(tool) if !scope.contains(WRITE) || !record_reading => Hint::Ask(tool),
            Some(_) | None => Hint::Known(ReadOnly::No),
        },
        Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => {
            Hint::Known(ReadOnly::NotATool)
        }
    }
}

/// The tool that is called, if nobody has looked yet what it says of itself.
pub(crate) fn tool_to_recall(asked: &Asked, read_only: ReadOnly) -> Option<&str> {
    match &asked.operation {
        Operation::Call { call, .. } if call.method == "tools/call" && read_only == ReadOnly::No => {
            call.name.as_deref()
        }
        Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => None,
    }
}

fn person(asked: &Asked) -> Person<'_> {
    asked.who().person.asking()
}

/// Who may write may read (MCP 2026-07-28, authorization: scope hierarchies). `None` if the scope is as it is.
pub(crate) fn with_hierarchy(scope: &Scope) -> Option<Scope> {
    if !scope.contains(WRITE) || scope.contains(READ) {
        return None;
    }
    Scope::parse(READ).ok().map(|read| scope.union(&read))
}

/// What GET and DELETE of older clients are to the policy: their way to subscribe.
fn listening() -> McpCall {
    McpCall {
        method: "subscriptions/listen".to_owned(),
        name: None,
        kind: CallKind::Notification,
        version: None,
        modern: false,
    }
}
