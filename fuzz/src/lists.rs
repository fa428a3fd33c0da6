//! Lists of what an MCP server offers, in any shape: no client finds a name in them that it may not see (attacks PX-18).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::mcp::folded;

/// The bytes are a stream of events, whole and cut, once where a list was asked for and once where none was; they are also
/// the JSON text itself. What may not be seen has `hidden` in its name.
pub(crate) fn lists(data: &[u8]) {
    let at = data.first().map_or(0, |byte| usize::from(*byte)) % data.len().max(1);
    let (one, two) = data.split_at(at);
    for asked in [None, Some("1")] {
        let whole = resource_server::readers::sifted(&[data], asked);
        shows_nothing(&whole);
        let cut = resource_server::readers::sifted(&[one, two], asked);
        assert_eq!(events(&cut), events(&whole), "cut at {at}");
        let bytes: Vec<&[u8]> = data.chunks(1).collect();
        shows_nothing(&resource_server::readers::sifted(&bytes, asked));
    }
    let text = resource_server::readers::judged(data);
    shows_no_name(&text);
    let again = resource_server::readers::judged(&text);
    assert!(text.is_empty() || again == text, "what was judged once is left alone");
}

fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    resource_server::readers::events(&[stream])
}

fn shows_nothing(stream: &[u8]) {
    for event in events(stream) {
        shows_no_name(&event);
    }
}

/// Whatever client reads the text: with the first or the last of two keys, in any spelling, the message alone or in a batch.
fn shows_no_name(text: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Kept>(text) else { return };
    let messages = match json {
        Kept::List(messages) => messages,
        message @ (Kept::Object(_) | Kept::Text(_) | Kept::Other) => vec![message],
    };
    for result in messages.iter().flat_map(|message| message.all("result")) {
        for (list, name) in [
            ("tools", "name"),
            ("prompts", "name"),
            ("resources", "uri"),
            ("resourcetemplates", "uritemplate"),
        ] {
            let items = result.all(list).into_iter().flat_map(Kept::items);
            for name in items.flat_map(|item| item.all(name)) {
                let seen = matches!(name, Kept::Text(name) if name.contains("hidden"));
                assert!(!seen, "{}", String::from_utf8_lossy(text));
            }
        }
    }
}

/// JSON with every key that stands in it.
enum Kept {
    List(Vec<Kept>),
    Object(Vec<(String, Kept)>),
    Other,
    Text(String),
}

impl Kept {
    /// Every member that some reader takes for this one.
    fn all(&self, key: &str) -> Vec<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().filter(|(held, _)| folded(held) == key).map(|(_, value)| value).collect()
            }
            Self::List(_) | Self::Other | Self::Text(_) => Vec::new(),
        }
    }

    fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Object(_) | Self::Other | Self::Text(_) => &[],
        }
    }
}

struct KeptVisitor;

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeptVisitor)
    }
}

impl<'de> Visitor<'de> for KeptVisitor {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, Kept>()? {
            members.push(member);
        }
        Ok(Kept::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kept, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Kept>()? {
            items.push(item);
        }
        Ok(Kept::List(items))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kept, E> {
        Ok(Kept::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok(Kept::Other)
    }
}
