//! One JSON text of an MCP server, a message or a batch of them, with every list in it reduced to what its reader may see.
//! Pure.
//!
//! What is ambiguous is taken out: members of the envelope or of a result that stand twice or are spelled oddly, a method
//! beside a result, an answer without an id, a result that is no object, a list that is none, or one where none belongs. Must
//! never pass on a list that was not judged item by item.

use protocol::mcp::{RequestId, folds_to};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

use super::item::{Key, Odd};
use super::question::{self, INPUT_REQUESTS, Refused};
use super::{Item, List, See, Sees, Wanted};

const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const RESULT: [&str; 9] = [
    "tools",
    "prompts",
    "resources",
    "resourceTemplates",
    "cacheScope",
    "nextCursor",
    "resultType",
    "ttlMs",
    INPUT_REQUESTS,
];

/// More than any honest page has; each is judged, and a page in one go.
const MOST_ITEMS: usize = 10_000;

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) text: Text,
    /// The requests that are answered by what is left.
    pub(crate) ids: Vec<RequestId>,
    /// The answers that were taken out because of what their reader was to be asked; none in the place of the id for a
    /// question that is not the answer itself.
    pub(crate) refused: Vec<Option<RequestId>>,
    /// The answers that were taken out because nobody can tell what their reader would see.
    pub(crate) unread: Vec<RequestId>,
    /// How much was taken out because it is suspicious, and not because it is not for this reader.
    pub(crate) dropped: u32,
}

/// What goes out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Changed(Vec<u8>),
    Nothing,
    Untouched,
}

impl Text {
    /// The bytes that go out, of these.
    pub(crate) fn or(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Changed(text) => text,
            Self::Nothing => Vec::new(),
            Self::Untouched => text.to_vec(),
        }
    }
}

/// Judges a text that comes where this is wanted.
pub(crate) fn judge(bytes: &[u8], wanted: &Wanted, see: &mut dyn See) -> Answered {
    let dropped = Answered {
        text: Text::Nothing,
        ids: Vec::new(),
        refused: Vec::new(),
        unread: Vec::new(),
        dropped: 1,
    };
    let Ok(text) = std::str::from_utf8(bytes) else { return dropped };
    let (ids, refused, unread) = (Vec::new(), Vec::new(), Vec::new());
    let mut judging = Judging { wanted, see, ids, refused, unread, dropped: 0 };
    let text = if text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[') {
        match serde_json::from_str(text) {
            Ok(messages) => judging.batch(messages),
            Err(_) => return dropped,
        }
    } else {
        judging.message(text).unwrap_or_else(|Odd| {
            judging.dropped += 1;
            Text::Nothing
        })
    };
    judging.see.judged();
    let Judging { ids, refused, unread, dropped, .. } = judging;
    Answered { text, ids, refused, unread, dropped }
}

/// What is listed in the place of an item.
enum Listed<'a> {
    Instead(Arc<str>),
    Itself(&'a str),
}

impl Listed<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Instead(text) => text,
            Self::Itself(text) => text,
        }
    }

    const fn is_itself(&self) -> bool {
        matches!(self, Self::Itself(_))
    }
}

/// What became of the list in a result.
enum Listing {
    Anew(Vec<u8>),
    AsItIs,
    /// There is none.
    None,
}

struct Judging<'s> {
    wanted: &'s Wanted,
    see: &'s mut dyn See,
    ids: Vec<RequestId>,
    refused: Vec<Option<RequestId>>,
    unread: Vec<RequestId>,
    dropped: u32,
}

impl Judging<'_> {
    fn batch(&mut self, messages: Vec<&RawValue>) -> Text {
        let (mut left, mut changed) = (Vec::with_capacity(messages.len()), false);
        for message in messages {
            match self.message(message.get()) {
                Ok(Text::Changed(text)) => {
                    left.push(text);
                    changed = true;
                }
                Ok(Text::Untouched) => left.push(message.get().as_bytes().to_vec()),
                Ok(Text::Nothing) => changed = true,
                Err(Odd) => {
                    self.dropped += 1;
                    changed = true;
                }
            }
        }
        match (left.is_empty(), changed) {
            (true, _) => Text::Nothing,
            (false, false) => Text::Untouched,
            (false, true) => Text::Changed([b"[", left.join(&b',').as_slice(), b"]"].concat()),
        }
    }

    fn message(&mut self, text: &str) -> Result<Text, Odd> {
        let members = Object::read(text, &ENVELOPE)?;
        let [version, id, method, result, error] =
            ["jsonrpc", "id", "method", "result", "error"].map(|key| members.find(key));
        if version != Some("\"2.0\"") {
            return Err(Odd);
        }
        match (method, result, error) {
            (Some(method), None, None) => {
                let params = members.find("params");
                let asked = question::of_message(method, params, self.see);
                asked.map_err(|Refused| self.refuse(None))?;
                // MCP 2026-07-28, "Messages": servers send no requests, and clients have no way to answer one.
                if id.is_some() && self.wanted.modern {
                    return Err(Odd);
                }
                // A request may name the tools that a model is given; nobody is told of a list by a notification.
                let speaks = id.is_none() && params.is_some_and(holds_a_list);
                if speaks { Err(Odd) } else { Ok(Text::Untouched) }
            }
            (None, None, Some(error)) => self.error(error, id.and_then(RequestId::from_json)),
            (None, Some(result), None) => {
                let id = id.and_then(RequestId::from_json).ok_or(Odd)?;
                self.result((result, &members), id)
            }
            (None, None, None) | (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
                Err(Odd)
            }
        }
    }

    fn error(&mut self, error: &str, id: Option<RequestId>) -> Result<Text, Odd> {
        if id.as_ref().is_some_and(|id| self.wanted.is_over(id)) {
            return Ok(Text::Nothing);
        }
        question::of_error(error, self.see).map_err(|Refused| self.refuse(id.clone()))?;
        // Who asked for something else may be told of tools by an error; who asked for a list is told of them by it alone.
        if id.as_ref().is_none_or(|id| !self.wanted.is_no_list(id)) {
            let data = Object::read_any(error, &["data"])?.and_then(|error| error.find("data"));
            if data.is_some_and(holds_a_list) {
                self.unread.extend(id);
                return Err(Odd);
            }
        }
        self.ids.extend(id);
        Ok(Text::Untouched)
    }

    fn result(&mut self, (result, members): (&str, &Object<'_>), id: RequestId) -> Result<Text, Odd> {
        if self.wanted.is_over(&id) {
            return Ok(Text::Nothing);
        }
        question::of_result(result, self.see).map_err(|Refused| self.refuse(Some(id.clone())))?;
        let anew = match self.list(result, &id) {
            Ok(Listing::None) => None,
            Ok(Listing::Anew(result)) => Some(members.with("result", &result)),
            Ok(Listing::AsItIs) if members.speak_of_lists() => {
                Some(members.with("result", result.as_bytes()))
            }
            Ok(Listing::AsItIs) => None,
            Err(Odd) => {
                self.unread.push(id);
                return Err(Odd);
            }
        };
        self.ids.push(id);
        Ok(anew.map_or(Text::Untouched, Text::Changed))
    }

    /// Remembers that this answer is not to go on.
    fn refuse(&mut self, id: Option<RequestId>) -> Odd {
        self.refused.push(id);
        Odd
    }

    /// What becomes of the list in a result.
    fn list(&mut self, text: &str, id: &RequestId) -> Result<Listing, Odd> {
        // It is an object (MCP, "Responses").
        let members = Object::read(text, &RESULT)?;
        let mut lists = List::ALL.into_iter().filter(|list| members.find(list.member()).is_some());
        let list = lists.next();
        // Which of the two would be read? And who asked for a list is answered by that list.
        if lists.next().is_some() || self.wanted.list_of(id).is_some_and(|wanted| list != Some(wanted)) {
            return Err(Odd);
        }
        let Some(list) = list else {
            // Nor is there one in the result of a task, or in the task.
            return if members.holds_a_task_with_a_list() { Err(Odd) } else { Ok(Listing::None) };
        };
        let items: Vec<&RawValue> =
            serde_json::from_str(members.find(list.member()).unwrap_or_default()).map_err(|_| Odd)?;
        let before = items.len();
        if before > MOST_ITEMS {
            return Err(Odd);
        }
        let left = self.items(list, items);
        let is_whole = left.len() == before && left.iter().all(Listed::is_itself);
        let is_public = members.find("cacheScope").is_some_and(|scope| scope != "\"private\"");
        if is_whole && !is_public && !members.has_another_list() {
            return Ok(Listing::AsItIs);
        }
        let left: Vec<&str> = left.iter().map(Listed::text).collect();
        Ok(Listing::Anew(members.reduced(list, &left, !is_whole)))
    }

    fn items<'a>(&mut self, list: List, items: Vec<&'a RawValue>) -> Vec<Listed<'a>> {
        let mut left = Vec::with_capacity(items.len());
        for item in items {
            let Some(item) = Item::read(list, item.get()) else {
                self.dropped += 1;
                continue;
            };
            match self.see.sees(list, &item) {
                Sees::AsItIs => left.push(Listed::Itself(item.text)),
                Sees::Instead(text) => left.push(Listed::Instead(text)),
                Sees::Flawed => self.dropped += 1,
                Sees::Nothing => {}
            }
        }
        left
    }
}

/// The members of an object in their order, each value as it was written.
pub(super) struct Object<'a>(Vec<(Key<'a>, &'a str)>);

impl<'a> Object<'a> {
    /// Reads it. The known keys stand at most once, and in one spelling.
    pub(super) fn read(text: &'a str, known: &[&str]) -> Result<Self, Odd> {
        let object: Self = serde_json::from_str(text).map_err(|_| Odd)?;
        for known in known {
            let mut seen = false;
            for (key, _) in &object.0 {
                if key.is(known)? && std::mem::replace(&mut seen, true) {
                    return Err(Odd);
                }
            }
        }
        Ok(object)
    }

    /// The same of what need not be an object.
    pub(super) fn read_any(text: &'a str, known: &[&str]) -> Result<Option<Self>, Odd> {
        if text.starts_with('{') { Self::read(text, known).map(Some) } else { Ok(None) }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(_, value)| *value)
    }

    pub(super) fn find(&self, known: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key.text == known).map(|(_, value)| *value)
    }

    /// The same message with this result, and nothing beside it that speaks of a list.
    fn with(&self, known: &str, value: &[u8]) -> Vec<u8> {
        let members = self.0.iter().filter(|(key, old)| ENVELOPE.contains(&&*key.text) || !holds_a_list(old));
        write(members.map(|(key, old)| (&*key.text, if key.text == known { value } else { old.as_bytes() })))
    }

    /// Whether there is a list in a member of a message that nobody knows.
    fn speak_of_lists(&self) -> bool {
        self.0.iter().any(|(key, value)| !ENVELOPE.contains(&&*key.text) && holds_a_list(value))
    }

    fn holds_a_task_with_a_list(&self) -> bool {
        let is_of = |key: &Key<'_>| ["result", question::TASK].iter().any(|of| folds_to(&key.text, of));
        self.0.iter().any(|(key, value)| is_of(key) && holds_a_list(value))
    }

    /// Whether there is a list in a member of a result that is none.
    fn has_another_list(&self) -> bool {
        self.0.iter().any(|(key, value)| !RESULT.contains(&&*key.text) && holds_a_list(value))
    }

    /// The same with these items. What is cached of it is for this reader alone (attacks PX-25). Members that nobody
    /// knows may speak of what was taken out.
    fn reduced(&self, list: List, items: &[&str], hides: bool) -> Vec<u8> {
        let items = ["[", &items.join(","), "]"].concat();
        let members = self.0.iter().filter_map(|(key, value)| match &*key.text {
            key if key == list.member() => Some((key, items.as_bytes())),
            "cacheScope" => Some(("cacheScope", &b"\"private\""[..])),
            key if RESULT.contains(&key) => Some((key, value.as_bytes())),
            key if (hides && key != "_meta") || holds_a_list(value) => None,
            key => Some((key, value.as_bytes())),
        });
        write(members)
    }
}

/// Whether this is an object with a member in which somebody could look for a list, or a result with one.
fn holds_a_list(text: &str) -> bool {
    holds_a_list_in(text, true)
}

fn holds_a_list_in(text: &str, deeper: bool) -> bool {
    let is_list = |key: &Key<'_>| List::ALL.iter().any(|list| folds_to(&key.text, list.member()));
    match Object::read_any(text, &[]) {
        Ok(None) => false,
        Ok(Some(members)) => members.0.iter().any(|(key, value)| {
            is_list(key) || (deeper && folds_to(&key.text, "result") && holds_a_list_in(value, false))
        }),
        // More members than anybody can look at.
        Err(Odd) => true,
    }
}

fn write<'m>(members: impl Iterator<Item = (&'m str, &'m [u8])>) -> Vec<u8> {
    let mut text = vec![b'{'];
    for (key, value) in members {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
    }
    text.push(b'}');
    text
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        /// More than any honest message has.
        const MOST: usize = 100;
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            if members.len() == MOST {
                return Err(de::Error::custom("too many members"));
            }
            members.push((key, value.get()));
        }
        Ok(Object(members))
    }
}
