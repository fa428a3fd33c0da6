//! What one caller may see of an MCP server: what they may call, or could with scopes that they may still get; and of tools
//! what counts of what they say of themselves.
//!
//! One question to the policy for each item. Must never show what a call would be refused for good, nor a definition that
//! does not count.

use std::fmt::Debug;
use std::sync::Arc;

use policy::{Around, Decision, Listed, Question, ReadOnly};
use protocol::mcp::elicitation::ElicitationUrl;
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use super::{Item, List};
use crate::audit::Who;
use crate::definitions::{Gathered, Pins, Shown, ToolsMode};
use crate::permit;
use crate::settings::Settings;

/// Who says what may be seen.
pub(crate) trait See: Debug {
    /// What may be seen of this item of the list.
    fn sees(&mut self, list: List, item: &Item<'_>) -> Sees;

    /// Whether this is a page of ours.
    fn is_ours(&self, _: &ElicitationUrl) -> bool {
        false
    }

    /// One text is judged to its end.
    fn judged(&mut self) {}
}

/// What may be seen of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sees {
    /// All of it.
    AsItIs,
    /// Nothing, for no client may show it: that is written down.
    Flawed,
    /// This, in its place.
    Instead(Arc<str>),
    /// Nothing.
    Nothing,
}

/// Where our own pages are.
#[derive(Debug)]
pub(crate) struct Ours(Vec<String>);

impl Ours {
    pub(crate) fn of(settings: &Settings) -> Arc<Self> {
        // A house that moved answers under its former names as well, and its pages are still its own (product.md, P-23).
        let others = settings.other_issuers.iter().map(|other| other.issuer.clone());
        let places = [settings.issuer.clone(), settings.pages_url.clone()].into_iter().chain(others);
        Arc::new(Self(places.collect()))
    }

    /// Whether this is one of them.
    pub(super) fn is_ours(&self, url: &ElicitationUrl) -> bool {
        self.0.iter().any(|place| url.leads_to(place))
    }

    #[cfg(test)]
    pub(crate) fn at(place: &str) -> Arc<Self> {
        Arc::new(Self(vec![place.to_owned()]))
    }
}

/// The sight of one caller.
#[derive(Debug)]
pub(crate) struct Sight {
    who: Who,
    ours: Arc<Ours>,
    scope: Scope,
    /// When the list was asked for.
    now: Timestamp,
    /// It asked for the tools from the first one on, and none was shown yet.
    begins: bool,
    text: OfText,
}

/// What is noted while one text is judged.
#[derive(Debug, Default)]
struct OfText {
    /// What was known of the tools when it began.
    pins: Option<Arc<Pins>>,
    /// The tools on it, and what the keeper should hear of.
    gathered: Gathered,
    /// The list that was asked about last, and whether its reader may ask for it.
    asked: Option<(List, bool)>,
}

impl Sight {
    pub(crate) fn of(who: &Who, ours: &Arc<Ours>, now: Timestamp) -> Self {
        let who = who.clone();
        let held = &who.verdict.access.scope;
        let scope = permit::with_hierarchy(held).unwrap_or_else(|| held.clone());
        Self { who, ours: Arc::clone(ours), scope, now, begins: false, text: OfText::default() }
    }

    /// The same, where the tools were asked for from the first one on.
    pub(crate) const fn beginning(mut self, begins: bool) -> Self {
        self.begins = begins;
        self
    }

    fn may_list(&self, listed: Listed<'_>) -> bool {
        let who = &self.who;
        let around = self.around();
        match policy::decide(&Question::MayList {
            listed,
            person: who.person.asking(),
            around,
            server: &who.server.settings().rules,
        }) {
            // With another token of the same person it may be called.
            Decision::Allow { .. } | Decision::NeedScope { .. } => true,
            Decision::Deny { .. } => false,
        }
    }

    /// Whether they could ask for this list: what a request for it would be refused, no other answer brings.
    fn may_ask_for(&mut self, list: List) -> bool {
        if let Some((asked, may)) = self.text.asked
            && asked == list
        {
            return may;
        }
        let who = &self.who;
        let (method, kind) = (list.method().to_owned(), CallKind::Notification);
        let call = McpCall { method, name: None, kind, version: None, modern: false };
        let question = Question::MayCall {
            call: &call,
            arguments: None,
            person: who.person.asking(),
            read_only: ReadOnly::NotATool,
            around: self.around(),
            server: &who.server.settings().rules,
        };
        let may = match policy::decide(&question) {
            Decision::Allow { .. } | Decision::NeedScope { .. } => true,
            Decision::Deny { .. } => false,
        };
        self.text.asked = Some((list, may));
        may
    }

    fn around(&self) -> Around<'_> {
        let who = &self.who;
        let client = who.verdict.access.client.as_str();
        Around { address: who.address, client, now: self.now, scope: &self.scope }
    }

    /// What counts of a tool. Of two of one name the second is not shown as anything but what it is.
    fn pinned(&mut self, item: &Item<'_>) -> Shown {
        let server = &self.who.server;
        let pins = self.text.pins.get_or_insert_with(|| server.tools().pins());
        let mode = server.settings().tools;
        let (shown, heard) = pins.judge(mode, item);
        let is_first = self.text.gathered.take(mode, &item.name, heard);
        if shown != (Shown::AsItIs { read_only: true }) {
            self.text.gathered.writes(&item.name);
        }
        match shown {
            Shown::Instead(_) if !is_first => Shown::Nothing,
            Shown::AsItIs { .. } | Shown::Instead(_) | Shown::Nothing => shown,
        }
    }
}

impl Sight {
    /// The same of a tool, if what it says of headers is what a client may show (RS-106; attacks PX-29).
    fn mirrored(&mut self, item: &Item<'_>, sees: Sees) -> Sees {
        let text = match &sees {
            Sees::AsItIs => item.text,
            Sees::Instead(text) => text,
            Sees::Flawed | Sees::Nothing => return sees,
        };
        match self.who.server.tools().show(self.who.person.user, &item.name, text) {
            Ok(()) => sees,
            Err(_) => {
                self.text.gathered.writes(&item.name);
                Sees::Flawed
            }
        }
    }
}

impl See for Sight {
    fn sees(&mut self, list: List, item: &Item<'_>) -> Sees {
        if !self.may_ask_for(list) {
            return Sees::Nothing;
        }
        let name = &*item.name;
        let (listed, sees) = match list {
            List::Prompts => (Listed::Prompt(name), Sees::AsItIs),
            List::ResourceTemplates | List::Resources => (Listed::Resource(name), Sees::AsItIs),
            List::Tools => match self.pinned(item) {
                Shown::AsItIs { read_only: true } => (Listed::Tool(name, ReadOnly::Yes), Sees::AsItIs),
                Shown::AsItIs { read_only: false } => (Listed::Tool(name, ReadOnly::No), Sees::AsItIs),
                // Of what was said and what is said one may say that it writes.
                Shown::Instead(text) => (Listed::Tool(name, ReadOnly::No), Sees::Instead(text)),
                Shown::Nothing => return Sees::Nothing,
            },
        };
        if !self.may_list(listed) {
            return Sees::Nothing;
        }
        match list {
            List::Tools => self.mirrored(item, sees),
            List::Prompts | List::ResourceTemplates | List::Resources => sees,
        }
    }

    fn is_ours(&self, url: &ElicitationUrl) -> bool {
        self.ours.is_ours(url)
    }

    fn judged(&mut self) {
        let OfText { mut gathered, .. } = std::mem::take(&mut self.text);
        let (server, user) = (&self.who.server, self.who.person.user);
        let mode = server.settings().tools;
        match mode {
            ToolsMode::Approve | ToolsMode::Follow if !gathered.holds_tools() => {}
            // What the list said before to this person may not be what it says.
            ToolsMode::Approve => server.catalogue().forget(user),
            // Before the client has it, so that what it is shown counts.
            ToolsMode::Follow => {
                let begins = std::mem::take(&mut self.begins);
                server.catalogue().shown(user, begins, gathered.take_tools().into_iter());
            }
        }
        server.tools().tell(mode, gathered);
    }
}
