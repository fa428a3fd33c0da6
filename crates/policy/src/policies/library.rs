//! The operator's files, read: every policy with its place, its id and what it concerns; or all mistakes at once.
//!
//! A policy that could never apply is a mistake, and so is one that speaks of an MCP server that is not there: somebody
//! believes that it does something. Must never take some of the files and leave others out.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint,
    ValidationMode, Validator,
};

use super::action::{Action, Names};
use super::common::Common;
use super::lean::{Lean, Whom};
use super::mistake::{Mistake, line_of};
use super::slice::Policies;
use super::typed::Typed;
use super::{declarations, depth, mistake};

/// For reading, in bytes: many times what the longest policy that is read needs.
const STACK: usize = 256 * 1024 * 1024;

/// A file of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name in the folder: `*.cedar`, or `arguments.cedarschema`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// An MCP server that policies can name.
#[derive(Debug, Clone, Copy)]
pub struct KnownServer<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Whether a `permit` counts there ([`crate::ServerRules::permits`]).
    pub permits: bool,
}

/// All policies of an operator.
#[derive(Default)]
pub struct Library {
    policies: Vec<Loaded>,
    slices: HashMap<String, Policies>,
    text: String,
}

/// With what care files are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    /// Whether answers are remembered; it makes no difference to them.
    pub(super) remembers: bool,
    /// Whether policies are held against the schema. It is what takes long where nothing is optimized.
    pub(super) validates: bool,
}

/// Of the same files for the same MCP servers.
impl PartialEq for Library {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.slices == other.slices
    }
}

/// One policy.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) policy: Policy,
    /// Without what of its head is known to be so in a slice: whom it means, which action, and which MCP server.
    pub(super) lean: Lean,
    pub(super) scope: Scope,
    pub(super) whom: Whom,
    id: Arc<str>,
    file: String,
    line: usize,
    actions: Option<Vec<EntityUid>>,
    kind: Option<EntityTypeName>,
}

/// To what its head binds a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Anything,
    Named { server: String, name: String },
    Server(String),
}

impl Scope {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Anything | Self::Server(_) => None,
            Self::Named { name, .. } => Some(name),
        }
    }

    fn server(&self) -> Option<&str> {
        match self {
            Self::Anything => None,
            Self::Named { server, .. } | Self::Server(server) => Some(server),
        }
    }
}

impl Loaded {
    /// Whether a `permit` like it counts there.
    fn counts_at(&self, server: &KnownServer<'_>) -> bool {
        server.permits && self.scope.server().is_none_or(|its| its == server.name)
    }

    pub(super) fn concerns(&self, action: Action, server: &str, names: &Names) -> bool {
        self.actions.as_ref().is_none_or(|actions| actions.contains(&names.action(action)))
            && self.kind.as_ref().is_none_or(|kind| kind == names.acted_on(action))
            && self.scope.server().is_none_or(|its| its == server)
    }
}

impl Library {
    /// Reads the files.
    ///
    /// # Errors
    /// Every mistake in them, in their order.
    pub fn read(files: &[PolicyFile], servers: &[KnownServer<'_>]) -> Result<Self, Vec<Mistake>> {
        let mistakes: Vec<Mistake> = files.iter().filter_map(depth::judge).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let read = || Self::read_with(files, servers, Care { remembers: true, validates: true });
        let unread = |why: &str| Err(vec![Mistake::new("(policies)", 1, format!("cannot be read: {why}"))]);
        // Cedar reads by recursion, and a worker's stack is small.
        std::thread::scope(|scope| {
            match std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read) {
                Ok(reading) => reading.join().unwrap_or_else(|_| unread("the reader failed")),
                Err(error) => unread(&error.to_string()),
            }
        })
    }

    /// What the policies name although there is no such thing: service accounts but for these.
    #[must_use]
    pub fn strangers(&self, service_accounts: &[&str]) -> Vec<Mistake> {
        let Ok(names) = Names::new() else { return Vec::new() };
        let mut mistakes = Vec::new();
        for policy in &self.policies {
            for uid in policy.policy.entity_literals() {
                let is_known = *uid.type_name() != names.service_account
                    || service_accounts.contains(&uid.id().unescaped());
                if !is_known {
                    let problem = format!("`{uid}` is no service account of the configuration");
                    mistakes.push(Mistake::new(&policy.file, policy.line, problem));
                }
            }
        }
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }

    /// As [`Self::read`], with the care that a test wants to do without.
    pub(super) fn read_with(
        files: &[PolicyFile],
        servers: &[KnownServer<'_>],
        care: Care,
    ) -> Result<Self, Vec<Mistake>> {
        let names = Names::new().map_err(|error| vec![Mistake::new("(schema)", 1, error.to_string())])?;
        let declared = declarations::read(files)?;
        let validator = care.validates.then(|| Validator::new(declared.schema.clone()));
        let (mut policies, mut mistakes) = (Vec::new(), Vec::new());
        for file in files.iter().filter(|file| file.name != declarations::FILE) {
            let reader = Reader { file, names: &names, typed: &declared.typed };
            policies.extend(reader.read(validator.as_ref(), &mut mistakes));
        }
        judge_ids(&policies, &mut mistakes);
        for policy in &policies {
            judge_servers(policy, servers, &names, &mut mistakes);
        }
        judge_doors(&policies, servers, &names, &mut mistakes);
        if !mistakes.is_empty() {
            mistakes.sort();
            mistakes.dedup();
            return Err(mistakes);
        }
        let text =
            files.iter().fold(String::new(), |text, file| text + &file.name + "\0" + &file.text + "\0");
        let common = Arc::new(Common::new(names, declared, text.clone()));
        let cut = |server: &KnownServer<'_>| {
            (server.name.to_owned(), Policies::cut(server.name, &policies, &common, care.remembers))
        };
        let slices = servers.iter().map(cut).collect();
        Ok(Self { policies, slices, text })
    }

    /// The policies that concern the MCP server.
    #[must_use]
    pub fn concerning(&self, server: &str) -> Policies {
        self.slices.get(server).cloned().unwrap_or_default()
    }

    /// How many policies there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Where the policy of this id stands, as `file:line`, and what it says of itself (`@description`).
    #[must_use]
    pub fn place(&self, id: &str) -> Option<(String, Option<&str>)> {
        let policy = self.policies.iter().find(|policy| &*policy.id == id)?;
        Some((format!("{}:{}", policy.file, policy.line), policy.policy.annotation("description")))
    }
}

/// Reads one file.
struct Reader<'a> {
    file: &'a PolicyFile,
    names: &'a Names,
    typed: &'a Typed,
}

impl Reader<'_> {
    fn read(&self, validator: Option<&Validator>, mistakes: &mut Vec<Mistake>) -> Vec<Loaded> {
        let (name, text) = (&self.file.name, &self.file.text);
        let set = match text.parse::<PolicySet>() {
            Ok(set) => set,
            Err(errors) => {
                mistakes.extend(errors.iter().map(|error| Mistake::said(name, text, 1, error)));
                return Vec::new();
            }
        };
        if set.num_of_templates() > 0 {
            mistakes.push(Mistake::new(
                name,
                1,
                "holds a template (`?principal`, `?resource`); policies are written out",
            ));
        }
        let mut policies: Vec<&Policy> = set.policies().collect();
        policies.sort_by_key(|policy| number(policy.id()));
        let (mut from, mut loaded) = (0, Vec::new());
        for (index, policy) in policies.into_iter().enumerate() {
            let written = policy.to_cedar().unwrap_or_default();
            let at = text
                .get(from..)
                .and_then(|rest| rest.find(&written))
                .map_or(from, |at| from.saturating_add(at));
            from = at.saturating_add(written.len());
            match self.load(policy, index.saturating_add(1), line_of(text, at)) {
                Ok(policy) => loaded.push(policy),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        mistakes.extend(validator.map_or_else(Vec::new, |validator| self.validate(validator, &loaded)));
        loaded
    }

    fn load(&self, policy: &Policy, index: usize, line: usize) -> Result<Loaded, Mistake> {
        let mistake = |problem: String| Mistake::new(&self.file.name, line, problem);
        let id: Arc<str> = match policy.annotation("id") {
            Some(id) if is_id(id) => id.into(),
            Some(_) => return Err(mistake("`@id` is 1 to 100 letters, digits and . _ - / :".to_owned())),
            None => format!("{}:{index}", self.file.name).into(),
        };
        let policy = policy.new_id(PolicyId::new(&id));
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::In(actions) => Some(actions),
            ActionConstraint::Eq(action) => Some(vec![action]),
        };
        let (kind, scope) = self.scope(&policy).map_err(mistake)?;
        let lean = Lean::of(&policy, self.names, self.typed).map_err(mistake)?;
        let (whom, file) = (Whom::of(&policy, self.names), self.file.name.clone());
        Ok(Loaded { policy, lean, scope, whom, id, file, line, actions, kind })
    }

    fn scope(&self, policy: &Policy) -> Result<(Option<EntityTypeName>, Scope), String> {
        Ok(match policy.resource_constraint() {
            ResourceConstraint::Any => (None, Scope::Anything),
            ResourceConstraint::Is(kind) => (Some(kind), Scope::Anything),
            ResourceConstraint::Eq(uid) => (Some(uid.type_name().clone()), self.bound(&uid)?),
            ResourceConstraint::In(uid) => {
                let within = *uid.type_name() == self.names.mcp_server;
                ((!within).then(|| uid.type_name().clone()), self.bound(&uid)?)
            }
            ResourceConstraint::IsIn(kind, uid) => (Some(kind), self.bound(&uid)?),
        })
    }

    fn bound(&self, uid: &EntityUid) -> Result<Scope, String> {
        Ok(match split(uid, self.names)? {
            None => Scope::Anything,
            Some((server, None)) => Scope::Server(server.to_owned()),
            Some((server, Some(name))) => Scope::Named { server: server.to_owned(), name: name.to_owned() },
        })
    }

    fn validate(&self, validator: &Validator, policies: &[Loaded]) -> Vec<Mistake> {
        let (name, text) = (&self.file.name, &self.file.text);
        let line = |id: &PolicyId| {
            let id: &str = id.as_ref();
            policies.iter().find(|policy| &*policy.id == id).map_or(1, |policy| policy.line)
        };
        let mut mistakes = Vec::new();
        for policy in policies {
            let Ok(set) = PolicySet::from_policies([policy.policy.clone()]) else { continue };
            let found = validator.validate(&set, ValidationMode::Strict);
            let said = |id, said: &dyn miette::Diagnostic| mistake::Mistake::said(name, text, line(id), said);
            mistakes.extend(found.validation_errors().map(|error| said(error.policy_id(), error)));
            mistakes.extend(found.validation_warnings().map(|warning| said(warning.policy_id(), warning)));
        }
        mistakes
    }
}

/// `server`, or `server` and what stands behind the `/`; nothing for what is of no MCP server.
fn split<'a>(uid: &'a EntityUid, names: &Names) -> Result<Option<(&'a str, Option<&'a str>)>, String> {
    let (kind, id) = (uid.type_name(), uid.id().unescaped());
    if *kind == names.mcp_server {
        return Ok(Some((id, None)));
    }
    if ![&names.tool, &names.prompt, &names.resource].contains(&kind) {
        return Ok(None);
    }
    match id.split_once('/') {
        Some((server, name)) if !server.is_empty() && !name.is_empty() => Ok(Some((server, Some(name)))),
        Some(_) | None => Err(format!("`{uid}` must name its MCP server too, as in {kind}::\"notes/{id}\"")),
    }
}

fn is_id(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':');
    (1..=100).contains(&text.len()) && text.chars().all(sound)
}

/// The place of a policy in its file: Cedar names them `policy0`, `policy1` and so on.
fn number(id: &PolicyId) -> usize {
    let text: &str = id.as_ref();
    text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(usize::MAX)
}

fn judge_ids(policies: &[Loaded], mistakes: &mut Vec<Mistake>) {
    let mut seen = BTreeSet::new();
    for policy in policies.iter().filter(|policy| !seen.insert(Arc::clone(&policy.id))) {
        let problem = format!("the id `{}` is there twice; the audit could not tell which", policy.id);
        mistakes.push(Mistake::new(&policy.file, policy.line, problem));
    }
}

fn judge_servers(policy: &Loaded, servers: &[KnownServer<'_>], names: &Names, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |problem: String| mistakes.push(Mistake::new(&policy.file, policy.line, problem));
    for uid in policy.policy.entity_literals() {
        if uid.id().unescaped().is_empty() {
            wrong(format!("`{uid}` is nobody and nothing: it has no name"));
        }
        match split(&uid, names) {
            Ok(Some((server, _))) if !servers.iter().any(|known| known.name == server) => {
                wrong(format!("`{uid}` is of no MCP server in the configuration"));
            }
            Ok(_) => {}
            Err(problem) => wrong(problem),
        }
    }
    if policy.policy.effect() == Effect::Permit && !servers.iter().any(|server| policy.counts_at(server)) {
        wrong(
            "permits nothing: a `permit` counts only at an MCP server whose `access` names \"policy\"; everywhere else \
             `access` says who may, and policies forbid"
                .to_owned(),
        );
    }
}

/// Whom a `permit` is to let do something must be able to come in.
fn judge_doors(policies: &[Loaded], servers: &[KnownServer<'_>], names: &Names, mistakes: &mut Vec<Mistake>) {
    let permits = || policies.iter().filter(|policy| policy.policy.effect() == Effect::Permit);
    let lets_in = |server: &KnownServer<'_>| {
        permits().any(|policy| policy.concerns(Action::Connect, server.name, names))
    };
    for policy in permits() {
        let mut counts = servers.iter().filter(|server| policy.counts_at(server)).peekable();
        if counts.peek().is_some() && !counts.any(lets_in) {
            mistakes.push(Mistake::new(
                &policy.file,
                policy.line,
                "permits something to people whom nothing lets in: permit them Action::\"connect\" too",
            ));
        }
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}
