//! The policies that concern one MCP server, and what is remembered of their answers.
//!
//! Cedar asks every policy of a set, so that a set must be small: one for each action, and one for each tool, prompt or
//! resource that a policy names in its head. An answer is kept where nothing that changes from call to call was looked at,
//! under everything that it could depend on. Must never answer from a slice of other files: each slice has its own memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cedar_policy::Schema;
use quick_cache::sync::Cache;

use super::action::{Action, Names};
use super::arguments;
use super::asked::{self, Asked, Unasked};
use super::library::{Loaded, Scope};
use super::set::{Reading, Set};
use crate::Rule;

/// How many answers are kept for one MCP server.
const KEPT: usize = 4096;
/// A question that is longer is not remembered.
const LONGEST_KEY: usize = 1024;

/// What the policies say to one question: nothing, or the policies that decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict(Option<Arc<Said>>);

/// The policies that decided, in order. Both may be there: then it is forbidden.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    forbid: Vec<Rule>,
    permit: Vec<Rule>,
}

impl Verdict {
    pub(super) fn new(mut forbid: Vec<Rule>, mut permit: Vec<Rule>) -> Self {
        if forbid.is_empty() && permit.is_empty() {
            return Self(None);
        }
        forbid.sort();
        forbid.dedup();
        permit.sort();
        Self(Some(Arc::new(Said { forbid, permit })))
    }

    /// The first that forbids.
    pub(crate) fn forbidden(&self) -> Option<&Rule> {
        self.forbidding().first()
    }

    /// The first that permits.
    pub(crate) fn permitted(&self) -> Option<&Rule> {
        self.permitting().first()
    }

    /// All that forbid.
    pub(crate) fn forbidding(&self) -> &[Rule] {
        self.0.as_ref().map_or(&[], |said| &said.forbid)
    }

    /// All that permit.
    pub(crate) fn permitting(&self) -> &[Rule] {
        self.0.as_ref().map_or(&[], |said| &said.permit)
    }
}

/// The operator's policies that concern one MCP server. Without any, nothing is asked.
#[derive(Clone, Default)]
pub struct Policies(Option<Arc<Slice>>);

/// What all MCP servers share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) names: Names,
    pub(super) schema: Schema,
    /// The arguments that policies can look at.
    pub(super) arguments: BTreeSet<String>,
    /// The text of all files: whether two libraries are one.
    pub(super) text: String,
}

struct Slice {
    common: Arc<Common>,
    server: String,
    actions: BTreeMap<Action, Parts>,
    remembered: Option<Cache<Box<[u8]>, Verdict>>,
}

/// The policies for one action.
struct Parts {
    /// By the name of what is acted on.
    named: HashMap<String, Set>,
    /// For whatever has no set of its own.
    rest: Set,
}

impl Policies {
    pub(super) fn cut(server: &str, policies: &[Loaded], common: &Arc<Common>, remembers: bool) -> Self {
        let actions: BTreeMap<Action, Parts> = Action::ALL
            .into_iter()
            .filter_map(|action| Parts::cut(action, server, policies, common).map(|parts| (action, parts)))
            .collect();
        if actions.is_empty() {
            return Self::default();
        }
        let remembered = remembers.then(|| Cache::new(KEPT));
        let (common, server) = (Arc::clone(common), server.to_owned());
        Self(Some(Arc::new(Slice { common, server, actions, remembered })))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether any of them looks at the arguments of a call of this tool: only then must they be read.
    #[must_use]
    pub fn read_arguments(&self, tool: &str) -> bool {
        self.for_tool(tool).is_some_and(|set| set.exact.reads.arguments)
    }

    /// Whether any of them asks if this tool only reads: only then must that be found out for a caller who may write.
    #[must_use]
    pub fn read_read_only(&self, tool: &str) -> bool {
        self.for_tool(tool).is_some_and(|set| set.exact.reads.read_only)
    }

    fn for_tool(&self, tool: &str) -> Option<&Set> {
        Some(self.0.as_ref()?.actions.get(&Action::Call)?.of(tool))
    }

    /// What they say.
    pub(crate) fn ask(&self, asked: &Asked<'_>) -> Verdict {
        let Some(slice) = &self.0 else { return Verdict::default() };
        match slice.actions.get(&asked.action) {
            Some(parts) => slice.ask((parts.of(asked.name), parts.named.contains_key(asked.name)), asked),
            None => Verdict::default(),
        }
    }
}

impl Parts {
    /// `None` if no policy concerns it.
    fn cut(action: Action, server: &str, policies: &[Loaded], common: &Common) -> Option<Self> {
        let concern = policies.iter().filter(|policy| policy.concerns(action, server, &common.names));
        let concern: Vec<&Loaded> = concern.collect();
        if concern.is_empty() {
            return None;
        }
        let names: BTreeSet<&str> = concern.iter().filter_map(|policy| policy.scope.name()).collect();
        let of = |name: Option<&str>| {
            let meets = |policy: &&&Loaded| match &policy.scope {
                Scope::Anything | Scope::Server(_) => true,
                Scope::Named { name: its, .. } => name == Some(its),
            };
            Set::new(concern.iter().filter(meets).copied())
        };
        let named = names.into_iter().map(|name| (name.to_owned(), of(Some(name)))).collect();
        Some(Self { named, rest: of(None) })
    }

    fn of(&self, name: &str) -> &Set {
        self.named.get(name).unwrap_or(&self.rest)
    }
}

impl Slice {
    fn ask(&self, (set, named): (&Set, bool), asked: &Asked<'_>) -> Verdict {
        if set.is_empty() {
            return Verdict::default();
        }
        let reading = match &set.hopeful {
            Some(hopeful) if asked.listing => hopeful,
            Some(_) | None => &set.exact,
        };
        if !reading.means(asked.person) {
            return Verdict::default();
        }
        let memory = self.remembered.as_ref().filter(|_| reading.reads.keeps());
        // Of a set of its own the name is known; elsewhere it matters if somebody looks.
        let matters = reading.reads.resource || named;
        let Some((memory, key)) = memory.and_then(|memory| Some((memory, key(asked, matters)?))) else {
            return self.answer(set, reading, asked);
        };
        if let Some(known) = memory.get(key.as_slice()) {
            return known;
        }
        let verdict = self.answer(set, reading, asked);
        memory.insert(key.into_boxed_slice(), verdict.clone());
        verdict
    }

    fn answer(&self, set: &Set, reading: &Reading, asked: &Asked<'_>) -> Verdict {
        self.try_answer(set, reading, asked)
            .unwrap_or_else(|Unasked| Verdict::new(vec![Rule::own("policy_unanswered")], Vec::new()))
    }

    fn try_answer(&self, set: &Set, reading: &Reading, asked: &Asked<'_>) -> Result<Verdict, Unasked> {
        let common = &*self.common;
        let with = |reading: &Reading, context| {
            let (request, entities) = asked::put(asked, &self.server, &common.names, context)?;
            Ok(reading.judge(&request, &entities))
        };
        if !reading.reads.arguments {
            return with(reading, asked::context(asked, reading.reads, &common.names)?);
        }
        let declared = arguments::declared(asked.arguments, &common.arguments).map_err(|_| Unasked);
        let action = common.names.action(asked.action);
        match declared.and_then(|value| asked::context_with(asked, value, &common.schema, &action)) {
            Ok(context) => with(reading, context),
            Err(Unasked) => {
                let fearful = set.fearful.as_ref().ok_or(Unasked)?;
                with(fearful, asked::context(asked, fearful.reads, &common.names)?)
            }
        }
    }
}

/// Everything that an answer can depend on, but for what forbids to keep it. Each part goes after its length, so that no
/// two questions have one key.
fn key(asked: &Asked<'_>, name_matters: bool) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(256);
    let mut part = |bytes: &[u8]| {
        key.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        key.extend_from_slice(bytes);
    };
    let person = asked.person;
    part(asked.action.name().as_bytes());
    part(&[u8::from(asked.read_only), u8::from(asked.listing)]);
    part(if name_matters { asked.name.as_bytes() } else { b"" });
    part(asked.method.as_bytes());
    match person.service_account {
        Some(name) => {
            part(b"s");
            part(name.as_bytes());
        }
        None => {
            part(b"u");
            part(person.user.as_bytes());
            part(person.email.unwrap_or_default().as_bytes());
            part(&[u8::from(person.email.is_some())]);
            part(&u32::try_from(person.groups.len()).unwrap_or(u32::MAX).to_le_bytes());
            person.groups.iter().for_each(|group| part(group.as_bytes()));
        }
    }
    if let Some(around) = &asked.around {
        part(around.client.as_bytes());
        around.scope.iter().for_each(|token| part(token.as_str().as_bytes()));
    }
    (key.len() <= LONGEST_KEY).then_some(key)
}

impl PartialEq for Policies {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => {
                Arc::ptr_eq(one, two) || (one.server == two.server && one.common.text == two.common.text)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

impl Eq for Policies {}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = self.0.iter().flat_map(|slice| slice.actions.keys());
        f.debug_tuple("Policies").field(&actions.collect::<Vec<_>>()).finish()
    }
}
