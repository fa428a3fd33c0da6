//! The body, read in one pass: only what decides which call it is. The rest is walked over, so that depth,
//! strings and numbers are judged everywhere, and nothing is built.
//!
//! It must never accept a body of which another reader may see another method, name, id or version.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::keys::{Flaw, Key, Keys, give_up};
use super::refusal::Refusal;
use super::values::{Text, Walk};

/// `_meta` key of the version (MCP 2026-07-28, "_meta").
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of what the client can do.
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const META_RESERVED: &str = "io.modelcontextprotocol/";

/// What was read of a message.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) jsonrpc: Option<Text<'a>>,
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Option<Text<'a>>,
    pub(super) params: Params<'a>,
    pub(super) result: bool,
    pub(super) error: bool,
}

/// What was read of `params`.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) task_id: Option<Text<'a>>,
    pub(super) uri: Option<Text<'a>>,
    pub(super) meta: Meta<'a>,
}

/// What was read of `params._meta`.
#[derive(Debug, Default)]
pub(super) struct Meta<'a> {
    pub(super) version: Option<Text<'a>>,
    /// The client's capabilities are there, as an object.
    pub(super) capabilities: bool,
}

impl<'a> Message<'a> {
    /// Reads the whole body.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        // First of all UTF-8: the parser does not look into strings that nobody asks for.
        let text = std::str::from_utf8(body).map_err(|_| Refusal::NotJson)?;
        if text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[') {
            return Err(Refusal::Batch);
        }
        let flaw = Cell::new(None);
        let mut json = serde_json::Deserializer::from_str(text);
        let message = MessageReader(&flaw).deserialize(&mut json).map_err(|error| {
            // What the parser could not read; else what was refused for its meaning.
            if error.is_data() { flaw.get().unwrap_or(Refusal::NotAMessage) } else { Refusal::NotJson }
        })?;
        json.end().map_err(|_| Refusal::NotJson)?;
        Ok(message)
    }
}

struct MessageReader<'f>(Flaw<'f>);

impl<'de> DeserializeSeed<'de> for MessageReader<'_> {
    type Value = Message<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Message<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageReader<'_> {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
        let mut message = Message::default();
        let mut keys = Keys::new(["jsonrpc", "id", "method", "params", "result", "error"], None);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match keys.admit(key).map_err(|refusal| give_up(self.0, refusal))? {
                Some("jsonrpc") => message.jsonrpc = Some(map.next_value()?),
                Some("id") => message.id = Some(map.next_value()?),
                Some("method") => message.method = Some(map.next_value()?),
                Some("params") => message.params = map.next_value_seed(ParamsReader(self.0))?,
                Some(member) => {
                    map.next_value_seed(Walk(self.0))?;
                    message.result |= member == "result";
                    message.error |= member == "error";
                }
                None => {
                    map.next_value_seed(Walk(self.0))?;
                }
            }
        }
        Ok(message)
    }
}

struct ParamsReader<'f>(Flaw<'f>);

impl<'de> DeserializeSeed<'de> for ParamsReader<'_> {
    type Value = Params<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Params<'de>, D::Error> {
        let flaw = self.0;
        object_or_null(deserializer, self, flaw, Refusal::ParamsInvalid)
    }
}

impl<'de> Visitor<'de> for ParamsReader<'_> {
    type Value = Params<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("params")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Params<'de>, E> {
        Ok(Params::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params<'de>, A::Error> {
        let mut params = Params::default();
        let mut keys = Keys::new(["name", "uri", "taskId", "_meta", "arguments"], None);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match keys.admit(key).map_err(|refusal| give_up(self.0, refusal))? {
                Some("name") => params.name = Some(map.next_value()?),
                Some("uri") => params.uri = Some(map.next_value()?),
                Some("taskId") => params.task_id = Some(map.next_value()?),
                Some("_meta") => params.meta = map.next_value_seed(MetaReader(self.0))?,
                Some(_) | None => {
                    map.next_value_seed(Walk(self.0))?;
                }
            }
        }
        Ok(params)
    }
}

struct MetaReader<'f>(Flaw<'f>);

impl<'de> DeserializeSeed<'de> for MetaReader<'_> {
    type Value = Meta<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Meta<'de>, D::Error> {
        let flaw = self.0;
        object_or_null(deserializer, self, flaw, Refusal::MetaInvalid)
    }
}

impl<'de> Visitor<'de> for MetaReader<'_> {
    type Value = Meta<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_meta")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Meta<'de>, E> {
        Ok(Meta::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta<'de>, A::Error> {
        let mut meta = Meta::default();
        let known = [META_VERSION, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL];
        let mut keys = Keys::new(known, Some(META_RESERVED));
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match keys.admit(key).map_err(|refusal| give_up(self.0, refusal))? {
                Some(META_VERSION) => meta.version = Some(map.next_value()?),
                Some(META_CAPABILITIES) => meta.capabilities = map.next_value_seed(Walk(self.0))?.is_object,
                Some(_) | None => {
                    map.next_value_seed(Walk(self.0))?;
                }
            }
        }
        Ok(meta)
    }
}

/// Reads by a visitor that knows objects and null; anything else is refused for that reason.
fn object_or_null<'de, D: Deserializer<'de>, V: Visitor<'de>>(
    deserializer: D,
    visitor: V,
    flaw: Flaw<'_>,
    refusal: Refusal,
) -> Result<V::Value, D::Error> {
    // A reason that was found inside stays; this one is for a value of another kind.
    let outside = flaw.replace(Some(refusal));
    let read = deserializer.deserialize_any(visitor);
    if read.is_ok() {
        flaw.set(outside);
    }
    read
}
