//! Keeps what is known of tools: reads what other nodes and operators wrote, writes what is new (decision 29).
//!
//! What clients are shown never waits for a write: it is judged by what is known, and what is new is told to the keeper,
//! which is a task of its own. What cannot be written now is told again with the next list that holds it. What cannot be
//! remembered at all (no room, or two readers could read two things) is written down once for each node, and from then on a call
//! of the tool is held against what the caller's own list says. Must never write
//! what is known already, and never more often than [`PAUSE`] lets a tool change that changes all the time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::id::{Id, User};
use protocol::mcp::{ParameterHeaderFlaw, ParameterHeaders};
use protocol::oauth::client_metadata::is_hidden;
use protocol::world::{Clock, Entropy};
use store::{AuditEvent, AuditKind, Outcome, Store, StoreError, ToolChange};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::parameters::ShownParameters;
use super::pending::{OnTheWay, Pending};
use super::pins::{Cause, Pin};
use super::{Heard, Pins, Refused, ToolsMode};
use crate::lists::{Item, List};

/// How often there is a look for what others wrote.
const EVERY: Duration = Duration::from_secs(2);
/// Lists whose news wait to be written.
const WAITING: usize = 64;
/// Somebody else may change the same between our look and our write; not as often as this.
const TRIES: usize = 4;
/// Changes of one tool that this node writes at once; after them it pauses.
const AT_ONCE: u32 = 4;
/// How long at first; then twice as long each time, up to an hour. A list may have another text for everybody.
const PAUSE: Duration = Duration::from_secs(60);
/// Tools whose last change is remembered.
const PACES: usize = 20_000;
/// Tools of one MCP server of which is remembered that they say what cannot be remembered.
const UNPINNED: usize = 4_000;
/// Names in one audit event.
const NAMES: usize = 20;

/// What is known of the tools of one MCP server, and where news of them are told.
pub(crate) struct ServerTools {
    server: String,
    pins: ArcSwap<Pins>,
    /// Tools that were seen to say what cannot be remembered: those that have a pin, and up to [`UNPINNED`] others.
    unpinned: ArcSwap<HashSet<String>>,
    /// What of their arguments people have to mirror.
    parameters: ShownParameters,
    /// Tools of which something is on its way to the record.
    pending: Arc<Pending>,
    /// Whether the record was asked once.
    looked: AtomicBool,
    news: mpsc::Sender<News>,
}

/// What tools say that is not known.
struct News {
    of: Arc<ServerTools>,
    mode: ToolsMode,
    heard: Vec<Heard>,
    _on_the_way: OnTheWay,
}

/// What of one list is not known, and which tools stand on it.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    heard: Vec<Heard>,
    /// And whether each counts as one that only reads, wherever it stands.
    tools: HashMap<String, bool>,
}

impl Gathered {
    /// Whether any tool stands on the list.
    pub(crate) fn holds_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// What is said of tools to whoever reads the list.
    pub(crate) fn take_tools(&mut self) -> HashMap<String, bool> {
        std::mem::take(&mut self.tools)
    }

    /// A tool on the list does not count as one that only reads.
    pub(crate) fn writes(&mut self, name: &str) {
        if let Some(read_only) = self.tools.get_mut(name) {
            *read_only = false;
        }
    }

    /// A tool stands on the list. Whether it is the first of its name.
    pub(crate) fn take(&mut self, mode: ToolsMode, name: &str, heard: Option<Heard>) -> bool {
        let is_first = !self.tools.contains_key(name);
        if is_first {
            self.tools.insert(name.to_owned(), true);
        }
        // Where changes are followed the first one is.
        if is_first || mode == ToolsMode::Approve {
            self.heard.extend(heard);
        }
        is_first
    }
}

impl ServerTools {
    /// What is known now.
    pub(crate) fn pins(&self) -> Arc<Pins> {
        self.pins.load_full()
    }

    /// Tells the keeper. If it has too much to do, the next list brings it again.
    pub(crate) fn tell(self: &Arc<Self>, mode: ToolsMode, gathered: Gathered) {
        let (mut heard, unpinned, pins) = (gathered.heard, self.unpinned.load(), self.pins.load());
        heard.retain(|heard| match heard {
            Heard::Said(_) => true,
            // Of those that have a pin there are not too many.
            Heard::Unpinned(tool) => {
                !unpinned.contains(tool) && (unpinned.len() < UNPINNED || pins.find(tool).is_some())
            }
        });
        if !heard.is_empty() {
            let _on_the_way = self.pending.begin(heard.iter().map(|heard| heard.tool().to_owned()).collect());
            let _ = self.news.try_send(News { of: Arc::clone(self), mode, heard, _on_the_way });
        }
    }

    /// Waits until what lists said so far of the tool is known.
    pub(crate) async fn settled(&self, tool: &str) {
        self.pending.settled(tool).await;
    }

    /// Tells the keeper what of a list that we asked for ourselves is not known.
    pub(crate) fn saw<'t>(self: &Arc<Self>, mode: ToolsMode, tools: impl Iterator<Item = &'t str>) {
        let pins = self.pins.load();
        let mut gathered = Gathered::default();
        for item in tools.filter_map(|text| Item::read(List::Tools, text)) {
            gathered.take(mode, &item.name, pins.judge(mode, &item).1);
        }
        self.tell(mode, gathered);
    }

    /// Whether a tool may be called, as far as its definition goes.
    pub(crate) fn may_call(&self, mode: ToolsMode, tool: &str) -> Result<(), Refused> {
        self.pins.load().may_call(mode, tool)?;
        match mode {
            ToolsMode::Approve if self.unpinned.load().contains(tool) => Err(Refused::Changed),
            ToolsMode::Approve | ToolsMode::Follow => Ok(()),
        }
    }

    /// A person is to be shown this definition of a tool.
    ///
    /// # Errors
    /// [`ParameterHeaderFlaw`] if nobody may be shown it.
    pub(crate) fn show(&self, user: Id<User>, tool: &str, text: &str) -> Result<(), ParameterHeaderFlaw> {
        self.parameters.show((&self.server, &self.pins.load()), user, (tool, text))
    }

    /// What of the arguments of a tool this person has to mirror in headers; none, if nobody here knows the tool.
    pub(crate) fn parameter_headers(
        &self,
        mode: ToolsMode,
        user: Id<User>,
        tool: &str,
    ) -> Option<Arc<ParameterHeaders>> {
        self.parameters.find((mode, &self.pins.load()), user, tool)
    }

    /// Whether what is in the record is known here, or where changes are followed, was looked for: until it is, no tool counts
    /// as one that only reads.
    pub(crate) fn are_ready(&self, mode: ToolsMode) -> bool {
        match mode {
            ToolsMode::Approve => self.pins.load().generation().is_some(),
            ToolsMode::Follow => self.looked.load(Ordering::Acquire),
        }
    }

    /// Those of these tools of which it is news that they say what cannot be remembered.
    fn notice(&self, tools: Vec<String>) -> Vec<String> {
        let known = self.unpinned.load();
        let mut news: Vec<_> = tools.into_iter().filter(|tool| !known.contains(tool)).collect();
        news.sort_unstable();
        news.dedup();
        let (mut pinned, mut others): (Vec<_>, Vec<_>) = {
            let pins = self.pins.load();
            news.into_iter().partition(|tool| pins.find(tool).is_some())
        };
        others.truncate(UNPINNED.saturating_sub(known.len()));
        pinned.append(&mut others);
        let news = pinned;
        if !news.is_empty() {
            self.unpinned.store(Arc::new(known.iter().chain(&news).cloned().collect()));
        }
        news
    }
}

impl fmt::Debug for ServerTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTools").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How often a tool has changed, and until when no change of it is written.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    changes: u32,
    until: Duration,
}

/// Keeps what is known of tools.
pub struct ToolKeeper {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    servers: Mutex<HashMap<String, Arc<ServerTools>>>,
    tell: mpsc::Sender<News>,
    told: tokio::sync::Mutex<mpsc::Receiver<News>>,
    /// Held by whoever reads or writes.
    turn: tokio::sync::Mutex<Paces>,
}

/// By MCP server and tool.
type Paces = HashMap<(String, String), Pace>;

impl ToolKeeper {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        let (tell, told) = mpsc::channel(WAITING);
        let (servers, told, turn) =
            (Mutex::default(), tokio::sync::Mutex::new(told), tokio::sync::Mutex::default());
        Arc::new(Self { store, clock, entropy, servers, tell, told, turn })
    }

    /// What is known of the tools of this MCP server: the same for every configuration that names it.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerTools> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || ServerTools {
            server: name.to_owned(),
            pins: ArcSwap::default(),
            unpinned: ArcSwap::default(),
            parameters: ShownParameters::new(),
            pending: Arc::default(),
            looked: AtomicBool::default(),
            news: self.tell.clone(),
        };
        Arc::clone(servers.entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }

    /// Time and chance.
    pub(crate) const fn world(&self) -> (&Arc<dyn Clock>, &Arc<dyn Entropy>) {
        (&self.clock, &self.entropy)
    }

    /// Reads and writes until it is told to stop; its owner runs it as a task of its own.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let news = async { self.told.lock().await.recv().await };
            let done = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => self.read().await,
                Some(news) = news => self.write(news).await,
            };
            match &done {
                Ok(()) if failing => tracing::info!("what is known of tools is read and written again"),
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "what is known of tools could not be read or written"
                ),
            }
            failing = done.is_err();
        }
    }

    /// Reads what is new in the record.
    ///
    /// # Errors
    /// If the record does not answer; what was known stays known.
    pub async fn read(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let generations: HashMap<_, _> = self.store.list_tool_generations().await?.into_iter().collect();
        let servers: Vec<_> = {
            let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.values().map(Arc::clone).collect()
        };
        let mut done = Ok(());
        for server in servers {
            let newest = generations.get(&server.server).copied().unwrap_or(0);
            if server.pins.load().generation() != Some(newest) {
                // What cannot be read of one keeps nobody from the others.
                done = self.read_one(&server).await.and(done);
            }
            server.looked.store(true, Ordering::Release);
        }
        done
    }

    /// Writes what was told so far.
    ///
    /// # Errors
    /// If the record does not answer; what was told then is told again with the next list.
    pub async fn write_all(&self) -> Result<(), StoreError> {
        loop {
            let news = self.told.lock().await.try_recv();
            match news {
                Ok(news) => self.write(news).await?,
                Err(_) => return Ok(()),
            }
        }
    }

    async fn read_one(&self, server: &ServerTools) -> Result<(), StoreError> {
        let list = self.store.list_tools(&server.server).await?;
        server.pins.store(Arc::new(Pins::read(&list)));
        Ok(())
    }

    async fn write(&self, news: News) -> Result<(), StoreError> {
        let mut paces = self.turn.lock().await;
        let server = &news.of;
        let mut unpinned = Vec::new();
        for _ in 0..TRIES {
            let pins = server.pins();
            let Some(generation) = pins.generation() else {
                self.read_one(server).await?;
                continue;
            };
            let put;
            (put, unpinned) = self.decide(&pins, &news, &paces);
            if put.is_empty() {
                break;
            }
            let change = ToolChange {
                server: server.server.clone(),
                generation,
                put: put.iter().map(|(tool, pin, _)| pin.to_record(tool)).collect(),
                forget: Vec::new(),
                audit: vec![self.event(&server.server, &put)],
            };
            if self.store.change_tools(change).await? {
                self.remember(server, &pins, put, &mut paces);
                break;
            }
            // Another node or an operator was first.
            self.read_one(server).await?;
        }
        self.notice(server, unpinned).await
    }

    /// What cannot be remembered counts as changed from now on, and is written down.
    async fn notice(&self, server: &ServerTools, unpinned: Vec<String>) -> Result<(), StoreError> {
        let news = server.notice(unpinned);
        let Some(names) = named(news.iter().map(String::as_str)) else { return Ok(()) };
        tracing::warn!(
            server = server.server,
            tools = news.len(),
            "tools of an mcp server say what cannot be remembered: see docs/tools.md"
        );
        let mut event = self.event(&server.server, &[]);
        event.detail.insert("unpinned", names);
        self.store.append_audit(vec![event]).await
    }

    /// What of the news is to be written, and which tools say what cannot be remembered.
    fn decide(&self, pins: &Pins, news: &News, paces: &Paces) -> (Vec<(String, Pin, Cause)>, Vec<String>) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let (mut put, mut unpinned): (Vec<(String, Pin, Cause)>, _) = (Vec::new(), Vec::new());
        let mut size = pins.size();
        for heard in &news.heard {
            let said = match heard {
                Heard::Said(said) => said,
                Heard::Unpinned(tool) => {
                    unpinned.push(tool.clone());
                    continue;
                }
            };
            let name = said.name();
            if put.iter().any(|(tool, _, _)| tool == name) {
                continue;
            }
            let known = pins.find(name);
            let Some((pin, cause)) = Pin::next(known, said, news.mode, now) else { continue };
            let key = (news.of.server.clone(), name.to_owned());
            // A tool that begins to wait is refused from then on: that is never put off, only what would end its waiting.
            let begins_to_wait = cause == Cause::Waits && known.is_none_or(|known| known.waiting().is_none());
            if !begins_to_wait && paces.get(&key).is_some_and(|pace| monotonic < pace.until) {
                continue;
            }
            match size.with(known, &pin) {
                Some(with) => size = with,
                None => {
                    unpinned.push(name.to_owned());
                    continue;
                }
            }
            put.push((name.to_owned(), pin, cause));
        }
        (put, unpinned)
    }

    fn remember(&self, server: &ServerTools, pins: &Pins, put: Vec<(String, Pin, Cause)>, paces: &mut Paces) {
        let now = self.clock.monotonic();
        if paces.len() > PACES {
            paces.retain(|_, pace| now < pace.until);
        }
        for (tool, _, cause) in &put {
            match cause {
                Cause::New => continue,
                Cause::Changed | Cause::Restored | Cause::Waits => {}
            }
            let pace = paces.entry((server.server.clone(), tool.clone())).or_default();
            pace.changes = pace.changes.saturating_add(1);
            if let Some(more) = pace.changes.checked_sub(AT_ONCE) {
                pace.until = now + PAUSE * 2_u32.pow(more.min(6));
            }
        }
        let waiting = put.iter().filter(|(_, _, cause)| *cause == Cause::Waits).count();
        if waiting > 0 {
            tracing::warn!(
                server = server.server,
                waiting,
                "tools of an mcp server wait until what they say is accepted: see `sekisho tools diff`"
            );
        }
        server.pins.store(Arc::new(pins.with(put.into_iter().map(|(tool, pin, _)| (tool, pin)).collect())));
    }

    fn event(&self, server: &str, put: &[(String, Pin, Cause)]) -> AuditEvent {
        let now = self.clock.now();
        let id = Id::mint(now, &*self.entropy);
        let mut event = AuditEvent::new(id, now, AuditKind::ToolsChanged, Outcome::Ok);
        event.server = Some(server.to_owned());
        for (cause, key) in [
            (Cause::New, "new"),
            (Cause::Changed, "changed"),
            (Cause::Restored, "restored"),
            (Cause::Waits, "waiting"),
        ] {
            let of_it = put.iter().filter(|(_, _, why)| *why == cause).map(|(tool, _, _)| tool.as_str());
            if let Some(names) = named(of_it) {
                event.detail.insert(key, names);
            }
        }
        event
    }
}

impl fmt::Debug for ToolKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolKeeper").finish_non_exhaustive()
    }
}

/// Some names in a line for the audit; `None` if there is none. What is not seen in a name is not written down as it is.
pub fn named<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMES);
    let shown = |name: &str| -> String {
        name.chars().take(128).map(|letter| if is_hidden(letter) { '\u{fffd}' } else { letter }).collect()
    };
    let mut text = names.iter().take(NAMES).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}
