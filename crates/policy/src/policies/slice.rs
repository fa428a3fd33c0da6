//! The policies that concern one MCP server, and what is remembered of their answers.
//!
//! Cedar asks every policy of a set, so that a set must be small: one for each action, and one for each tool, prompt or
//! resource that a policy names in its head; and of these the parts that mean who asks. Those that look at arguments are asked
//! of each call; what the others say is kept under everything that it could depend on, the second among it if they look at the
//! time. Must never answer from a slice of other files: each slice has its own memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{Context, RestrictedExpression};
use quick_cache::sync::Cache;

use super::action::Action;
use super::arguments;
use super::asked::{self, Asked, Unasked};
use super::common::Common;
use super::key::Key;
use super::library::{Loaded, Scope};
use super::reads::Lasts;
use super::set::{Meant, Set};
use super::typed::Untold;
use crate::Rule;

/// How many answers are kept for one MCP server.
const KEPT: usize = 4096;
/// And of those that last a second.
const KEPT_A_SECOND: usize = 1024;

/// What the policies say to one question: nothing, or the policies that decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict(Option<Arc<Said>>);

/// The policies that decided, in order. Both may be there: then it is forbidden.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    forbid: Vec<Rule>,
    permit: Vec<Rule>,
    /// Whether one that forbids came true, and did not only fail: then what permits is not told.
    denied: bool,
}

impl Verdict {
    pub(super) fn new(mut forbid: Vec<Rule>, mut permit: Vec<Rule>, denied: bool) -> Self {
        if denied {
            permit.clear();
        }
        if forbid.is_empty() && permit.is_empty() {
            return Self(None);
        }
        forbid.sort();
        forbid.dedup();
        permit.sort();
        permit.dedup();
        Self(Some(Arc::new(Said { forbid, permit, denied })))
    }

    /// What two say together.
    fn with(self, other: Self) -> Self {
        match (self.0, other.0) {
            (said, None) | (None, said) => Self(said),
            (Some(one), Some(two)) => {
                let both = |of: fn(&Said) -> &[Rule]| [of(&one), of(&two)].concat();
                Self::new(both(|said| &said.forbid), both(|said| &said.permit), one.denied || two.denied)
            }
        }
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

struct Slice {
    common: Arc<Common>,
    server: String,
    actions: BTreeMap<Action, Parts>,
    remembered: Option<Memory>,
}

/// What is remembered of answers.
struct Memory {
    always: Cache<Box<[u8]>, Verdict>,
    a_second: Cache<Box<[u8]>, Verdict>,
}

impl Memory {
    fn of(&self, lasts: Lasts) -> Option<&Cache<Box<[u8]>, Verdict>> {
        match lasts {
            Lasts::Always => Some(&self.always),
            Lasts::ASecond => Some(&self.a_second),
            Lasts::OneCall => None,
        }
    }
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
        let remembered =
            remembers.then(|| Memory { always: Cache::new(KEPT), a_second: Cache::new(KEPT_A_SECOND) });
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
            Set::new(action, concern.iter().filter(meets).copied())
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
        let (reading, hoping) = match &set.hopeful {
            Some(hopeful) if asked.listing => (hopeful, true),
            Some(_) | None => (&set.exact, false),
        };
        let said =
            reading.meant(asked.person).map(|meant| self.ask_these(set, &meant, asked, (named, hoping)));
        said.reduce(Verdict::with).unwrap_or_default()
    }

    fn ask_these(&self, set: &Set, meant: &Meant<'_>, asked: &Asked<'_>, of: (bool, bool)) -> Verdict {
        let memory = self.remembered.as_ref().and_then(|memory| memory.of(meant.lasts));
        let Some((memory, key)) = memory.and_then(|memory| Some((memory, key(asked, of, meant)?))) else {
            return self.answer(set, meant, asked);
        };
        if let Some(known) = memory.get(key.as_slice()) {
            return known;
        }
        let verdict = self.answer(set, meant, asked);
        memory.insert(key.into_boxed_slice(), verdict.clone());
        verdict
    }

    fn answer(&self, set: &Set, meant: &Meant<'_>, asked: &Asked<'_>) -> Verdict {
        let answer = if meant.reads.arguments {
            self.answer_with_arguments(set, meant, asked)
        } else {
            self.judge(meant, asked, None)
        };
        answer.unwrap_or_else(|Unasked| Verdict::new(vec![Rule::own("policy_unanswered")], Vec::new(), true))
    }

    fn answer_with_arguments(
        &self,
        set: &Set,
        meant: &Meant<'_>,
        asked: &Asked<'_>,
    ) -> Result<Verdict, Unasked> {
        let common = &*self.common;
        let fear = || {
            let fearful = set.fearful.as_ref().ok_or(Unasked)?.meant(asked.person);
            let mut said = fearful.map(|meant| self.judge(&meant, asked, None));
            said.try_fold(Verdict::default(), |all, said| Ok(all.with(said?)))
        };
        let Ok(declared) = arguments::declared(asked.arguments, &common.arguments) else { return fear() };
        match common.typed.express(&declared) {
            Ok(arguments) => self.judge(meant, asked, Some(arguments)),
            Err(Untold::Unfit) => fear(),
            Err(Untold::Elsewhere) => match asked::context_by_schema(asked, declared, common) {
                Ok(context) => self.judge_in(meant, asked, context),
                Err(Unasked) => fear(),
            },
        }
    }

    fn judge(
        &self,
        meant: &Meant<'_>,
        asked: &Asked<'_>,
        arguments: Option<RestrictedExpression>,
    ) -> Result<Verdict, Unasked> {
        self.judge_in(meant, asked, asked::context(asked, arguments, meant.reads, &self.common)?)
    }

    fn judge_in(&self, meant: &Meant<'_>, asked: &Asked<'_>, context: Context) -> Result<Verdict, Unasked> {
        let ground = self.common.ground(asked, &self.server, meant.reads)?;
        let request = ground.put(self.common.names.action(asked.action), context)?;
        Ok(meant.judge(&request, &ground.entities))
    }
}

/// Everything that an answer can depend on, but for what forbids to keep it: which policies are asked, and what they look at.
fn key(asked: &Asked<'_>, (named, hoping): (bool, bool), meant: &Meant<'_>) -> Option<Vec<u8>> {
    let (mut key, reads) = (Key::new(), meant.reads);
    key.part(asked.action.name().as_bytes());
    key.part(&[u8::from(named), u8::from(hoping)]);
    // Of a set of its own the name says which; elsewhere it matters if somebody looks.
    key.part(if named || reads.resource { asked.name.as_bytes() } else { b"" });
    key.number(meant.numbers.len());
    meant.numbers.iter().for_each(|number| key.number(*number));
    if reads.principal {
        key.person(asked.person);
    }
    if reads.method {
        key.part(asked.method.as_bytes());
    }
    if reads.read_only {
        key.part(&[u8::from(asked.read_only)]);
    }
    if let Some(around) = &asked.around {
        if reads.address {
            match around.address.to_canonical() {
                IpAddr::V4(address) => key.part(&address.octets()),
                IpAddr::V6(address) => key.part(&address.octets()),
            }
        }
        if reads.client {
            key.part(around.client.as_bytes());
        }
        if reads.scopes {
            key.number(around.scope.iter().count());
            around.scope.iter().for_each(|token| key.part(token.as_str().as_bytes()));
        }
        if reads.time {
            key.part(&around.now.secs().to_le_bytes());
        }
    }
    key.finished()
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
