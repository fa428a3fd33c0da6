//! What counts of a tool: pure.
//!
//! | the MCP server is | a tool is new | it says something else | its `readOnlyHint` becomes true | … is true no more |
//! |---|---|---|---|---|
//! | followed | it counts | that counts | what counted before is listed | it is listed, and counts as a tool that writes |
//! | approved | it is hidden | what counted before is listed, calls are refused | the same | the same |
//!
//! A hint that becomes another one waits for somebody in either case. Until then of the old and the new one that counts
//! which allows less. Refused are the calls of those to whom it says something else: who is shown what was accepted may call it
//! all the same, so that what one person is shown takes nothing from others. A definition that cannot be remembered, because
//! there is no room or two readers could read two things in it, is never taken for one that only reads.
//! Must never let a definition count that a reader could take for another.

use std::collections::HashMap;
use std::sync::Arc;

use policy::ReadOnly;
use protocol::world::Timestamp;
use store::{AcceptedBy, AcceptedDefinition, SeenDefinition, ToolList, ToolRecord};

use super::Definition;
use super::canonical::LARGEST;
use crate::lists::Item;

/// Tools of one MCP server that are remembered.
pub(super) const MOST_TOOLS: usize = 2_000;
/// Bytes of all their definitions; and once more of those that wait although another one was accepted, so that what is new
/// leaves no change unseen.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How much is remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    tools: usize,
    bytes: usize,
    /// Bytes of what waits beside something that was accepted.
    beside: usize,
}

impl Size {
    /// So much with one tool more or otherwise; `None` if there is no room for that.
    pub(super) fn with(self, known: Option<&Pin>, next: &Pin) -> Option<Self> {
        let (old, new) = (known.map(Pin::size).unwrap_or_default(), next.size());
        let then = Self {
            tools: (self.tools + new.tools).saturating_sub(old.tools),
            bytes: (self.bytes + new.bytes).saturating_sub(old.bytes),
            beside: (self.beside + new.beside).saturating_sub(old.beside),
        };
        let fits = |now: usize, then: usize, most: usize| then <= most || then <= now;
        let has_room = fits(self.tools, then.tools, MOST_TOOLS)
            && fits(self.bytes, then.bytes, MOST_BYTES)
            && fits(self.beside, then.beside, MOST_BYTES);
        has_room.then_some(then)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            tools: self.tools + other.tools,
            bytes: self.bytes + other.bytes,
            beside: self.beside + other.beside,
        }
    }
}

/// What the keeper should hear of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It says this, which is not known.
    Said(Definition),
    /// This tool says something that cannot be remembered.
    Unpinned(String),
}

impl Heard {
    /// Of which tool.
    pub(super) fn tool(&self) -> &str {
        match self {
            Self::Said(said) => said.name(),
            Self::Unpinned(tool) => tool,
        }
    }
}

/// What becomes of definitions that are new or changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolsMode {
    /// They wait until somebody accepts them.
    Approve,
    /// They count, and are written down; only a hint that becomes another one waits.
    #[default]
    Follow,
}

/// What becomes of arguments that the input schema of the tool does not allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputSchemas {
    /// The call is refused.
    Enforce,
    /// They are the MCP server's business.
    #[default]
    Ignore,
}

/// A definition and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) definition: Definition,
    at: Timestamp,
}

impl Seen {
    /// `None` if the record holds what we would not have written.
    fn read(seen: &SeenDefinition) -> Option<Self> {
        let definition = Definition::read(&seen.text).ok()?;
        Some(Self { definition, at: seen.seen_at })
    }

    fn to_record(&self) -> SeenDefinition {
        let text = self.definition.text().to_string();
        SeenDefinition { text, fingerprint: self.definition.fingerprint(), seen_at: self.at }
    }
}

/// What is known of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    first_seen_at: Timestamp,
    accepted: Option<(Seen, Timestamp, AcceptedBy)>,
    waiting: Option<Seen>,
}

/// Why a pin was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It says something else, and that counts.
    Changed,
    /// It was not known, and counts.
    New,
    /// It says again what counts.
    Restored,
    /// It is new or says something else, and that waits.
    Waits,
}

impl Pin {
    fn read(record: &ToolRecord) -> Self {
        let accepted = record.accepted.as_ref();
        let accepted = accepted.and_then(|it| Some((Seen::read(&it.definition)?, it.at, it.by)));
        let waiting = record.waiting.as_ref().and_then(Seen::read);
        Self { first_seen_at: record.first_seen_at, accepted, waiting }
    }

    pub(super) fn to_record(&self, tool: &str) -> ToolRecord {
        ToolRecord {
            tool: tool.to_owned(),
            first_seen_at: self.first_seen_at,
            accepted: self.accepted.as_ref().map(|(seen, at, by)| AcceptedDefinition {
                definition: seen.to_record(),
                at: *at,
                by: *by,
            }),
            waiting: self.waiting.as_ref().map(Seen::to_record),
        }
    }

    fn accepted(&self) -> Option<&Definition> {
        self.accepted.as_ref().map(|(seen, _, _)| &seen.definition)
    }

    pub(super) fn waiting(&self) -> Option<&Definition> {
        self.waiting.as_ref().map(|seen| &seen.definition)
    }

    fn size(&self) -> Size {
        let length = |definition: Option<&Definition>| definition.map_or(0, |it| it.text().len());
        let (accepted, waiting) = (length(self.accepted()), length(self.waiting()));
        match self.accepted {
            Some(_) => Size { tools: 1, bytes: accepted, beside: waiting },
            None => Size { tools: 1, bytes: waiting, beside: 0 },
        }
    }

    /// Whether a hint becomes another one by what is said now.
    fn flips(&self, read_only: bool) -> bool {
        self.accepted().is_some_and(|accepted| accepted.read_only() != read_only)
    }

    /// What is known after the tool said this; `None` if nothing is new.
    pub(super) fn next(
        pin: Option<&Self>,
        said: &Definition,
        mode: ToolsMode,
        now: Timestamp,
    ) -> Option<(Self, Cause)> {
        let seen = || Seen { definition: said.clone(), at: now };
        let Some(pin) = pin else {
            let new = |accepted, waiting| Self { first_seen_at: now, accepted, waiting };
            return Some(match mode {
                ToolsMode::Approve => (new(None, Some(seen())), Cause::Waits),
                ToolsMode::Follow => (new(Some((seen(), now, AcceptedBy::Following)), None), Cause::New),
            });
        };
        let is =
            |known: Option<&Definition>| known.is_some_and(|known| known.fingerprint() == said.fingerprint());
        if is(pin.accepted()) {
            // What waits was said to somebody, and may be still.
            if mode == ToolsMode::Approve {
                return None;
            }
            let restored = || Self { waiting: None, ..pin.clone() };
            return pin.waiting.is_some().then(|| (restored(), Cause::Restored));
        }
        match mode {
            ToolsMode::Follow if !pin.flips(said.read_only()) => {
                let cause = if pin.accepted.is_some() { Cause::Changed } else { Cause::New };
                let accepted = Some((seen(), now, AcceptedBy::Following));
                Some((Self { accepted, waiting: None, ..pin.clone() }, cause))
            }
            ToolsMode::Approve | ToolsMode::Follow if is(pin.waiting()) => None,
            ToolsMode::Approve | ToolsMode::Follow => {
                Some((Self { waiting: Some(seen()), ..pin.clone() }, Cause::Waits))
            }
        }
    }
}

/// What a reader of the list is shown of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// What the MCP server says, and whether that it only reads counts.
    AsItIs {
        /// Whether it counts as a tool that only reads.
        read_only: bool,
    },
    /// What it said before.
    Instead(Arc<str>),
    /// Nothing.
    Nothing,
}

/// What is known of the tools of one MCP server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins {
    /// `None` until the record was read.
    generation: Option<u64>,
    tools: HashMap<String, Pin>,
    size: Size,
}

/// Why a tool may not be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It says something else than what was accepted.
    Changed,
    /// None of its definitions was ever accepted, or there is no such tool.
    NeverAccepted,
}

impl Pins {
    pub(super) fn read(list: &ToolList) -> Self {
        let tools: HashMap<_, _> =
            list.tools.iter().map(|record| (record.tool.clone(), Pin::read(record))).collect();
        let size = size_of(&tools);
        Self { generation: Some(list.generation), tools, size }
    }

    /// The generation in the record, if it was read.
    pub(super) const fn generation(&self) -> Option<u64> {
        self.generation
    }

    pub(super) fn find(&self, tool: &str) -> Option<&Pin> {
        self.tools.get(tool)
    }

    /// The same with these pins, as the next generation.
    pub(super) fn with(&self, put: Vec<(String, Pin)>) -> Self {
        let mut next = self.clone();
        next.generation = self.generation.map(|generation| generation + 1);
        next.tools.extend(put);
        next.size = size_of(&next.tools);
        next
    }

    /// How much is remembered.
    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Whether so many bytes of a tool that is not known have no room.
    fn is_full(&self, bytes: usize) -> bool {
        self.tools.len() >= MOST_TOOLS || self.size.bytes + bytes > MOST_BYTES
    }

    /// What is shown of an item of the list; and what the keeper should hear of it.
    pub(crate) fn judge(&self, mode: ToolsMode, item: &Item<'_>) -> (Shown, Option<Heard>) {
        let unpinned = || Heard::Unpinned(item.name.clone().into_owned());
        let Some(pin) = self.tools.get(&*item.name) else {
            let has_room = !self.is_full(item.text.len());
            let said = has_room.then(|| Definition::read(item.text).ok()).flatten();
            let shown = match mode {
                ToolsMode::Approve => Shown::Nothing,
                // What is never pinned does not count as a tool that only reads.
                ToolsMode::Follow => Shown::AsItIs { read_only: item.read_only && said.is_some() },
            };
            return (shown, Some(said.map_or_else(unpinned, Heard::Said)));
        };
        // Byte for byte as it was: nothing has to be read.
        let same = |known: Option<&Definition>| known.is_some_and(|known| **known.text() == *item.text);
        if same(pin.accepted()) && (pin.waiting.is_none() || mode == ToolsMode::Approve) {
            return (Shown::AsItIs { read_only: item.read_only }, None);
        }
        if same(pin.waiting()) && (mode == ToolsMode::Approve || pin.flips(item.read_only)) {
            return (pin.shown(mode, item), None);
        }
        let Ok(said) = Definition::read(item.text) else {
            let shown = match pin.shown(mode, item) {
                Shown::AsItIs { .. } => Shown::AsItIs { read_only: false },
                shown @ (Shown::Instead(_) | Shown::Nothing) => shown,
            };
            return (shown, Some(unpinned()));
        };
        let shown = match pin.accepted() {
            Some(accepted) if accepted.fingerprint() == said.fingerprint() => {
                Shown::AsItIs { read_only: item.read_only }
            }
            Some(_) | None => pin.shown(mode, item),
        };
        let is_news = Pin::next(Some(pin), &said, mode, Timestamp::from_micros(0)).is_some();
        (shown, is_news.then_some(Heard::Said(said)))
    }

    /// Whether a tool may be called, as far as its definition goes.
    pub(crate) fn may_call(&self, mode: ToolsMode, tool: &str) -> Result<(), Refused> {
        match mode {
            ToolsMode::Follow => Ok(()),
            ToolsMode::Approve => match self.tools.get(tool) {
                Some(Pin { accepted: Some(_), waiting: None, .. }) => Ok(()),
                Some(Pin { accepted: Some(_), waiting: Some(_), .. }) => Err(Refused::Changed),
                Some(Pin { accepted: None, .. }) | None => Err(Refused::NeverAccepted),
            },
        }
    }

    /// The hint of the definition that counts.
    pub(crate) fn accepted_hint(&self, tool: &str) -> ReadOnly {
        match self.tools.get(tool).and_then(Pin::accepted) {
            Some(accepted) if accepted.read_only() => ReadOnly::Yes,
            Some(_) | None => ReadOnly::No,
        }
    }

    /// What counts of what a tool says of itself to this caller, where the MCP server is followed.
    pub(crate) fn temper(&self, tool: &str, said: ReadOnly) -> ReadOnly {
        let Some(pin) = self.tools.get(tool) else {
            // Whatever it says, there is room for it to be remembered; and what is remembered was read.
            let is_pinned_soon = self.generation.is_some() && !self.is_full(LARGEST);
            return if is_pinned_soon { said } else { ReadOnly::No };
        };
        let known = [pin.accepted(), pin.waiting()];
        if known.into_iter().flatten().all(Definition::read_only) { said } else { ReadOnly::No }
    }

    /// The definition that counts.
    pub(crate) fn accepted(&self, tool: &str) -> Option<&Definition> {
        self.tools.get(tool).and_then(Pin::accepted)
    }
}

impl Pin {
    /// What is shown of a tool that says something else than what counts.
    fn shown(&self, mode: ToolsMode, item: &Item<'_>) -> Shown {
        let instead =
            || self.accepted().map_or(Shown::Nothing, |accepted| Shown::Instead(Arc::clone(accepted.text())));
        match mode {
            ToolsMode::Approve => instead(),
            // More would be allowed, and clients would ask their person less often.
            ToolsMode::Follow if item.read_only && self.flips(true) => instead(),
            ToolsMode::Follow => Shown::AsItIs { read_only: item.read_only },
        }
    }
}

fn size_of(tools: &HashMap<String, Pin>) -> Size {
    tools.values().map(Pin::size).fold(Size::default(), Size::plus)
}

/// What is known of a tool after an operator accepted what waits; `None` if nothing does.
#[must_use]
pub fn accepted(record: &ToolRecord, now: Timestamp) -> Option<ToolRecord> {
    let definition = record.waiting.clone()?;
    let accepted = Some(AcceptedDefinition { definition, at: now, by: AcceptedBy::Operator });
    Some(ToolRecord { accepted, waiting: None, ..record.clone() })
}
