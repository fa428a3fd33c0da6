//! One call, read once from headers *and* body ([`McpCall::read`]).
//!
//! Which era it is of follows the order of `requirements.md` 1.5; the checks of 2026-07-28 run in the order fixed
//! there. What policy sees is the body; headers may only agree with it (RS-105, attacks PX-12 and PX-14).

use http::HeaderMap;

use super::keys::folds_to;
use super::message::{Message, Params};
use super::refusal::{CallRefused, Refusal};
use super::request_headers::{METHOD, NAME, PROTOCOL_VERSION, SESSION_ID, Sole, decode_name};
use super::values::Text;
use super::{ProtocolVersion, RequestId};

/// Longer than any method; it ends up in metrics and audit.
const MAX_METHOD: usize = 256;
/// Longer than any name or resource URI that a header could mirror.
const MAX_NAME: usize = 8 * 1024;

/// What kind of message a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallKind {
    /// It is not answered.
    Notification,
    /// It is answered under this id.
    Request(RequestId),
    /// It answers a request of the server (before 2026-07-28 only).
    Response,
}

/// What one POST to an MCP endpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpCall {
    /// The method; empty for a response.
    pub method: String,
    /// What is called: the tool, prompt, resource or task, for the methods that name one.
    pub name: Option<String>,
    /// Request, notification or response.
    pub kind: CallKind,
    /// The version that the request itself names, if it does.
    pub version: Option<ProtocolVersion>,
    /// Whether the rules of 2026-07-28 govern it: no handshake, no session.
    pub modern: bool,
}

/// Whether something of this name can be called at all: what no header can mirror, and nobody can read, cannot.
#[must_use]
pub fn is_a_name(name: &str) -> bool {
    name.len() <= MAX_NAME && !name.contains(char::is_control)
}

impl McpCall {
    /// Reads a call.
    ///
    /// # Errors
    /// [`CallRefused`], to be answered with HTTP 400: no message, an ambiguous one, or headers that disagree.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, CallRefused> {
        let message = Message::read(body).map_err(|refusal| CallRefused::new(refusal, None))?;
        let id = match message.id.map(|id| RequestId::from_json(id.get())) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => return Err(CallRefused::new(Refusal::IdInvalid, None)),
        };
        let (method, kind) = match kind_of(&message, id.as_ref()) {
            Ok(known) => known,
            Err(refusal) => return Err(CallRefused::new(refusal, id)),
        };
        let version = Sole::of(headers, &PROTOCOL_VERSION);
        let reading = Reading { params: &message.params, method, kind: &kind, headers, version };
        let (name, version, modern) = reading.judge().map_err(|refusal| reading.refused(refusal))?;
        let (method, name) = (method.to_owned(), name.map(str::to_owned));
        Ok(Self { method, name, kind, version, modern })
    }
}

/// The method, and whether it is a request, notification or response (JSON-RPC 2.0, sections 4 and 5).
fn kind_of<'m>(message: &'m Message<'_>, id: Option<&RequestId>) -> Result<(&'m str, CallKind), Refusal> {
    if message.jsonrpc != Some(Text::Is("2.0".into())) {
        return Err(Refusal::NotAMessage);
    }
    match (&message.method, message.result, message.error) {
        (Some(Text::Is(method)), false, false) => {
            let sound = (1..=MAX_METHOD).contains(&method.len())
                && !method.contains(char::is_control)
                && !is_misspelt(method);
            let kind = id.cloned().map_or(CallKind::Notification, CallKind::Request);
            if sound { Ok((method, kind)) } else { Err(Refusal::MethodInvalid) }
        }
        (Some(Text::Other), false, false) => Err(Refusal::MethodInvalid),
        (None, true, false) if id.is_none() => Err(Refusal::IdInvalid),
        // An error may lack its id: the client could not read ours.
        (None, true, false) | (None, false, true) => Ok(("", CallKind::Response)),
        (None, false, false) => Err(Refusal::NotAMessage),
        (Some(_), true, _) | (Some(_), _, true) | (None, true, true) => Err(Refusal::Ambiguous),
    }
}

/// The methods that policies and scopes judge by more than that nobody knows them.
const JUDGED: [&str; 20] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
];

/// Whether a careless reader could take it for a method that it is not: `Tools/Call` is judged as a method that nobody
/// knows, and must not be run as a call of a tool (attack PX-15).
fn is_misspelt(method: &str) -> bool {
    !JUDGED.contains(&method) && JUDGED.iter().any(|judged| folds_to(method.trim(), judged))
}

/// What a method calls, and by which rule.
enum Named<'p, 'a> {
    /// It calls what this member says, and `Mcp-Name` mirrors it (RS-097, RS-098).
    Mirrored(Option<&'p Text<'a>>),
    /// It concerns what this member says.
    Plain(Option<&'p Text<'a>>),
    /// Nothing that we know of.
    Nothing,
}

fn named<'p, 'a>(method: &str, params: &'p Params<'a>) -> Named<'p, 'a> {
    match method {
        "prompts/get" | "tools/call" => Named::Mirrored(params.name.as_ref()),
        "resources/read" => Named::Mirrored(params.uri.as_ref()),
        "resources/subscribe" | "resources/unsubscribe" => Named::Plain(params.uri.as_ref()),
        "tasks/cancel" | "tasks/get" | "tasks/update" => Named::Mirrored(params.task_id.as_ref()),
        _ => Named::Nothing,
    }
}

struct Reading<'r> {
    params: &'r Params<'r>,
    method: &'r str,
    kind: &'r CallKind,
    headers: &'r HeaderMap,
    version: Sole<'r>,
}

type Judged<'r> = (Option<&'r str>, Option<ProtocolVersion>, bool);

impl<'r> Reading<'r> {
    fn judge(&self) -> Result<Judged<'r>, Refusal> {
        let modern = self.is_modern();
        let version = if modern { Some(self.modern_version()?) } else { self.legacy_version()? };
        let required = modern && matches!(self.kind, CallKind::Request(_));
        self.compare_method(required)?;
        let name = self.name(required)?;
        Ok((name, version, modern))
    }

    /// Steps 3 and 4 of the order.
    fn is_modern(&self) -> bool {
        if self.method == "initialize" {
            return false;
        }
        let by_header = match self.version {
            Sole::Once(version) => ProtocolVersion::names_a_modern_one(version),
            Sole::Absent | Sole::Unclear => false,
        };
        // A session that a handshake opened keeps its rules, whatever version it agreed on: there are clients that name
        // 2026-07-28 in a handshake, and then in the header of each request of the session.
        self.params.meta.version.is_some() || (by_header && !self.has_session())
    }

    fn has_session(&self) -> bool {
        self.headers.get(&SESSION_ID).is_some_and(|id| !id.is_empty())
    }

    /// Header equal to body, version served, required `_meta`: in this order.
    fn modern_version(&self) -> Result<ProtocolVersion, Refusal> {
        let is_request = match self.kind {
            CallKind::Request(_) => true,
            CallKind::Notification => false,
            CallKind::Response => return Err(Refusal::ResponseUnexpected),
        };
        let meta = &self.params.meta;
        let version = match (self.version, &meta.version) {
            (Sole::Once(header), Some(Text::Is(version))) if header == version => header,
            (Sole::Once(header), None) => header,
            (Sole::Absent, Some(Text::Is(version))) if !is_request => version,
            (Sole::Once(_), Some(Text::Other)) => return Err(Refusal::MetaVersionMissing),
            (Sole::Absent | Sole::Unclear, _) | (Sole::Once(_), Some(Text::Is(_))) => {
                return Err(Refusal::VersionHeader);
            }
        };
        let version = ProtocolVersion::parse(version)
            .filter(|version| version.is_modern())
            .ok_or(Refusal::VersionUnsupported)?;
        if is_request && meta.version.is_none() {
            return Err(Refusal::MetaVersionMissing);
        }
        if is_request && !meta.capabilities {
            return Err(Refusal::CapabilitiesMissing);
        }
        Ok(version)
    }

    /// Before 2025-06-18 there was no header; one that is there must be known (RS-093).
    fn legacy_version(&self) -> Result<Option<ProtocolVersion>, Refusal> {
        match self.version {
            Sole::Absent => Ok(None),
            Sole::Once(version) => ProtocolVersion::parse(version).map(Some).ok_or(Refusal::VersionUnknown),
            Sole::Unclear => Err(Refusal::VersionHeader),
        }
    }

    fn compare_method(&self, required: bool) -> Result<(), Refusal> {
        match Sole::of(self.headers, &METHOD) {
            Sole::Once(method) if method == self.method => Ok(()),
            Sole::Absent if !required => Ok(()),
            Sole::Absent | Sole::Once(_) | Sole::Unclear => Err(Refusal::MethodHeader),
        }
    }

    fn name(&self, required: bool) -> Result<Option<&'r str>, Refusal> {
        let (name, required) = match named(self.method, self.params) {
            Named::Mirrored(None) => return Err(Refusal::NameInvalid),
            Named::Plain(None) | Named::Nothing => return self.compare_with_any().map(|()| None),
            Named::Mirrored(Some(name)) => (name, required),
            Named::Plain(Some(name)) => (name, false),
        };
        match name {
            Text::Is(name) if is_a_name(name) => {
                self.compare_name(name, required)?;
                Ok(Some(name))
            }
            Text::Is(_) | Text::Other => Err(Refusal::NameInvalid),
        }
    }

    /// Methods of some extension, perhaps: whoever names something in the header names it in the body too. Before 2026-07-28
    /// the header meant nothing, and does not go on.
    fn compare_with_any(&self) -> Result<(), Refusal> {
        if !self.is_modern() {
            return Ok(());
        }
        let params = self.params;
        let mut named = [&params.name, &params.uri, &params.task_id].into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(Text::Is(name)), None) => self.compare_name(name, false),
            (_, _) => match Sole::of(self.headers, &NAME) {
                Sole::Absent => Ok(()),
                Sole::Once(_) | Sole::Unclear => Err(Refusal::NameHeader),
            },
        }
    }

    fn compare_name(&self, name: &str, required: bool) -> Result<(), Refusal> {
        match Sole::of(self.headers, &NAME) {
            Sole::Once(value) if decode_name(value).is_some_and(|decoded| decoded == name) => Ok(()),
            Sole::Absent if !required => Ok(()),
            Sole::Absent | Sole::Once(_) | Sole::Unclear => Err(Refusal::NameHeader),
        }
    }

    fn refused(&self, refusal: Refusal) -> CallRefused {
        let id = match self.kind {
            CallKind::Request(id) => Some(id.clone()),
            CallKind::Notification | CallKind::Response => None,
        };
        let refused = CallRefused::new(refusal, id);
        match (refusal == Refusal::VersionUnsupported, self.version, &self.params.meta.version) {
            (true, Sole::Once(version), _) => refused.asking_for(version),
            (true, Sole::Absent | Sole::Unclear, Some(Text::Is(version))) => refused.asking_for(version),
            (_, _, _) => refused,
        }
    }
}
