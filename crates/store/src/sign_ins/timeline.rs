//! What the doors and roles saw of attempts to connect, on its way into the record (product.md, P-19).
//!
//! Nothing here waits and nothing here fails a request. What strangers do before there is an attempt (a 401, a metadata
//! document, a registration) is remembered for minutes and in bounds, and comes into the record only with an attempt that
//! began at the same address, or with the client that was registered. What cannot be written is tried again, and at last
//! forgotten: this is no audit.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::id::{Grant, Id, SignIn as SignInId};
use protocol::secret::Hash;
use protocol::world::{Timestamp, between_nodes};
use quick_cache::sync::Cache;

use super::{NewSignIn, NextStep, PartOf, SignInEvent, SignInFilter, SignInStep, SignInWrite, StepOf};
use crate::{Store, StoreError};

/// What was seen at an address belongs to an attempt there that begins within this time.
const BEFORE: Duration = Duration::from_secs(10 * 60);
/// After its tokens were issued, refusals at the address of a client are taken for its own for so long.
const AFTER: Duration = Duration::from_secs(5 * 60);
/// A client's attempt of which a refused token request may be a part.
pub(super) const CLAIM: Duration = Duration::from_secs(60 * 60);
/// A grant that is younger may be one whose first call is still to come.
const YOUNG: Duration = Duration::from_secs(60 * 60);
/// Networks, clients and grants of which something is remembered.
const REMEMBERED: usize = 4096;
/// What is remembered of one network.
const SEEN: usize = 16;
/// What may wait to be written.
const WAITING: usize = 8192;
/// Written at once.
const PORTION: usize = 200;
/// Attempts that may begin in a minute, on this node and from one network, with nobody known to be behind them.
const BEGUN_A_MINUTE: u32 = 600;
const BEGUN_OF_NETWORK: u32 = 60;
/// A client that knows its scope is too small tries again, and is told of once in this time.
const STEP_UP: Duration = Duration::from_secs(10 * 60);
/// A client that answers such a refusal does so within this time.
const AT_ONCE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(500);
/// Every so many ticks it is looked for attempts that began at other nodes.
const GATHER: u32 = 4;
/// So many at once, and again those that began this long before: clocks differ, and commits come late.
const GATHERED: u32 = 100;
const APART: Duration = between_nodes(Duration::from_secs(15));
const LONGEST_NAME: usize = 80;

/// Something that was seen before there was an attempt to which it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: SignInStep,
    /// Why it was refused.
    pub reason: Option<&'static str>,
    /// At which MCP server, by our name.
    pub server: Option<String>,
}

/// An attempt that begins; see [`NewSignIn`].
#[derive(Debug, Clone)]
pub struct Begun {
    /// The new row. Its events are what begins it; what was seen before is added.
    pub new: NewSignIn,
    /// Where it began.
    pub address: IpAddr,
}

/// How many began in this minute.
#[derive(Debug, Default)]
struct Minute {
    number: i64,
    count: u32,
}

impl Minute {
    fn spend(&mut self, at: Timestamp, most: u32) -> bool {
        let number = at.micros().div_euclid(60_000_000);
        if self.number != number {
            *self = Self { number, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}

/// What is remembered of one network.
#[derive(Debug, Default)]
struct Network {
    seen: VecDeque<(Seen, u32)>,
    begun: Minute,
    /// The last attempt that got its tokens here and has not called yet.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sign_in: Id<SignInId>,
    grant: Id<Grant>,
    server: String,
    until: Timestamp,
}

#[derive(Debug, Default)]
struct Waiting {
    writes: VecDeque<SignInWrite>,
    begun: Minute,
    lost: u64,
}

/// The way of what was seen into the record. One for each node.
pub struct Timeline {
    store: Arc<dyn Store>,
    waiting: Mutex<Waiting>,
    networks: Cache<IpAddr, Arc<Mutex<Network>>>,
    /// Where a client was registered.
    registered: Cache<Hash, IpAddr>,
    /// When a grant was last told to ask for more scope.
    stepping: Cache<Id<Grant>, Timestamp>,
    /// Grants of which a client last asked for a token of less scope than they have.
    narrowed: Cache<Id<Grant>, ()>,
    /// Attempts that began until then were looked through.
    gathered: Mutex<Option<Timestamp>>,
}

/// An address that costs nothing is a network (RFC 4291, section 2.5.4).
const fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u64::MAX as u128))),
        },
    }
}

/// A name as the record may keep it. Strangers chose it: short, and nothing in it that does something.
fn printable(name: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    name.chars().take(LONGEST_NAME).map(shown).collect()
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a challenge may be the client's that has its tokens: at its MCP server, or with a token of it elsewhere.
fn is_of(seen: &Seen, open: &Open) -> bool {
    seen.server.as_ref() == Some(&open.server) || seen.reason == Some("token_of_another_resource")
}

impl Timeline {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            waiting: Mutex::default(),
            networks: Cache::new(REMEMBERED),
            registered: Cache::new(REMEMBERED),
            stepping: Cache::new(REMEMBERED),
            narrowed: Cache::new(REMEMBERED),
            gathered: Mutex::default(),
        })
    }

    fn network(&self, address: IpAddr) -> Arc<Mutex<Network>> {
        let made = self.networks.get_or_insert_with(&network_of(address), || Ok::<_, ()>(Arc::default()));
        made.unwrap_or_default()
    }

    /// Something was seen at an address, of nobody in particular.
    pub fn saw(&self, address: IpAddr, seen: Seen) {
        let network = self.network(address);
        let mut network = held(&network);
        if let Some(open) = &network.open
            && seen.step == SignInStep::Challenged
            && seen.at < open.until
            && is_of(&seen, open)
        {
            let of = StepOf::SignIn(open.sign_in);
            let (step, notes) = (SignInStep::CallRefused, vec!["same_address"]);
            let event = SignInEvent { at: seen.at, step, reason: seen.reason, notes, times: 1 };
            self.push(SignInWrite::Next(Box::new(NextStep { of, event, user: None, grant: None })));
            return;
        }
        match network.seen.back_mut() {
            Some((last, times))
                if (last.step, last.reason, &last.server) == (seen.step, seen.reason, &seen.server) =>
            {
                last.at = seen.at;
                *times = times.saturating_add(1);
            }
            Some(_) | None => {
                if network.seen.len() >= SEEN {
                    network.seen.pop_front();
                }
                network.seen.push_back((seen, 1));
            }
        }
    }

    /// A client registered itself: what it did before at that address belongs to the attempt that it will begin.
    pub fn registered(&self, address: IpAddr, client_id: &str, at: Timestamp) {
        self.registered.insert(Hash::of(client_id.as_bytes()), network_of(address));
        self.saw(address, Seen { at, step: SignInStep::Registered, reason: None, server: None });
    }

    /// An attempt begins, or a part of one is told a reference of its own. Beyond so many a minute of which nobody is
    /// known, it is not written down.
    pub fn begin(&self, begun: Begun) {
        if let Some(new) = self.prepared(begun) {
            self.push(SignInWrite::Begin(Box::new(new)));
        }
    }

    /// Somebody was told a refusal under a reference, which is that of an attempt or of nothing yet.
    pub fn refused(&self, begun: Begun) {
        if let Some(new) = self.prepared(begun) {
            self.push(SignInWrite::Refused(Box::new(new)));
        }
    }

    /// With what was seen before; nothing if there were too many.
    fn prepared(&self, Begun { mut new, address }: Begun) -> Option<NewSignIn> {
        let at = new.events.first()?.at;
        let mut before = Vec::new();
        if new.user.is_none() {
            let network = self.network(address);
            let may = held(&network).begun.spend(at, BEGUN_OF_NETWORK)
                && held(&self.waiting).begun.spend(at, BEGUN_A_MINUTE);
            if !may {
                held(&self.waiting).lost += 1;
                return None;
            }
        }
        if new.part_of == PartOf::Nothing {
            before = self.seen_by(new.client_id.as_deref(), (address, new.server.as_deref()), at);
        }
        before.append(&mut new.events);
        new.events = before;
        new.client_name = new.client_name.as_deref().map(printable);
        Some(new)
    }

    /// Takes what was seen where the client was registered, and where the attempt began.
    fn seen_by(
        &self,
        client_id: Option<&str>,
        (address, server): (IpAddr, Option<&str>),
        at: Timestamp,
    ) -> Vec<SignInEvent> {
        let registered = client_id.and_then(|id| self.registered.get(&Hash::of(id.as_bytes())));
        let elsewhere = registered.filter(|network| *network != network_of(address));
        let places = elsewhere.into_iter().chain([address]);
        let mut events: Vec<_> = places.flat_map(|place| self.seen_before(place, server, at)).collect();
        events.sort_by_key(|event| event.at);
        events
    }

    /// Adds what this node saw to attempts that began at another: requests of one client go to several nodes.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer: then it is looked for again.
    pub async fn gather(&self) -> Result<(), StoreError> {
        if self.networks.is_empty() {
            return Ok(());
        }
        let from = *held(&self.gathered);
        let filter = SignInFilter { since: from.map(|at| at.minus(APART)), ..SignInFilter::default() };
        let rows = self.store.list_sign_ins(filter, None, GATHERED).await?;
        for row in &rows {
            let Some(address) = row.address.as_deref().and_then(|address| address.parse().ok()) else {
                continue;
            };
            let place = (address, row.server.as_deref());
            for event in self.seen_by(row.client_id.as_deref(), place, row.begun_at) {
                self.next(NextStep { of: StepOf::SignIn(row.id), event, user: None, grant: None });
            }
        }
        if let Some(row) = rows.first() {
            *held(&self.gathered) = Some(row.begun_at);
        }
        Ok(())
    }

    /// Takes what was seen at an address and fits to a new attempt. It is told once.
    fn seen_before(&self, address: IpAddr, server: Option<&str>, at: Timestamp) -> Vec<SignInEvent> {
        let Some(network) = self.networks.get(&network_of(address)) else { return Vec::new() };
        let mut network = held(&network);
        let fits = |seen: &Seen| match (seen.server.as_deref(), server) {
            (Some(seen), Some(asked)) => seen == asked,
            (Some(_) | None, Some(_) | None) => true,
        };
        let mut events = Vec::new();
        network.seen.retain(|(seen, times)| {
            let old = at.since(seen.at) > BEFORE;
            if !old && seen.at <= at && fits(seen) {
                let (step, reason, notes) = (seen.step, seen.reason, vec!["same_address"]);
                events.push(SignInEvent { at: seen.at, step, reason, notes, times: *times });
                return false;
            }
            !old
        });
        events
    }

    /// An attempt goes on.
    pub fn next(&self, next: NextStep) {
        self.push(SignInWrite::Next(Box::new(next)));
    }

    /// The client got its tokens, at this address. What is refused there in the next minutes is probably its.
    pub fn issued(&self, address: IpAddr, next: NextStep, server: &str) {
        if let (StepOf::SignIn(sign_in), Some(grant)) = (next.of, next.grant) {
            let until = next.event.at.plus(AFTER);
            let open = Open { sign_in, grant, server: server.to_owned(), until };
            held(&self.network(address)).open = Some(open);
        }
        self.next(next);
    }

    /// Whether the first call of a grant may still be to come, so that it is worth watching.
    #[must_use]
    pub fn is_young(grant: Id<Grant>, now: Timestamp) -> bool {
        now.since(grant.minted_at()) < YOUNG
    }

    /// A call under a grant was answered, or refused for this reason.
    pub fn called(&self, address: IpAddr, grant: Id<Grant>, at: Timestamp, refused: Option<&'static str>) {
        let (step, reason) = match refused {
            None => (SignInStep::Called, None),
            Some(reason) => (SignInStep::CallRefused, Some(reason)),
        };
        if step == SignInStep::Called
            && let Some(network) = self.networks.get(&network_of(address))
        {
            let mut network = held(&network);
            if network.open.as_ref().is_some_and(|open| open.grant == grant) {
                network.open = None;
            }
        }
        self.of_grant(grant, SignInEvent { at, step, reason, notes: Vec::new(), times: 1 });
    }

    /// A call needs more scope than its grant has. The client is to ask for it; told once in a while.
    pub fn needs_more(&self, grant: Id<Grant>, at: Timestamp) {
        if self.stepping.get(&grant).is_some_and(|told| at.since(told) < STEP_UP) {
            return;
        }
        self.stepping.insert(grant, at);
        let (step, reason) = (SignInStep::CallRefused, Some("scope_insufficient"));
        self.of_grant(grant, SignInEvent { at, step, reason, notes: Vec::new(), times: 1 });
    }

    /// Whether a client of the grant was told just now that it needs more scope than the grant has, and did nothing about it
    /// yet. Of a token that was asked for with less than that, a refresh is the way to the rest.
    #[must_use]
    pub fn is_stepping(&self, grant: Id<Grant>, now: Timestamp) -> bool {
        !self.stepping.is_empty()
            && self.stepping.get(&grant).is_some_and(|told| now.since(told) < AT_ONCE)
            && self.narrowed.get(&grant).is_none()
    }

    /// Whether a refresh gave less scope than the grant has.
    pub fn narrowed(&self, grant: Id<Grant>, is_narrow: bool) {
        if is_narrow {
            self.narrowed.insert(grant, ());
        } else if !self.narrowed.is_empty() {
            self.narrowed.remove(&grant);
        }
    }

    /// A client of the grant heard that a refresh does not help: its next refresh is one like any other.
    pub fn stepped(&self, grant: Id<Grant>) {
        self.stepping.remove(&grant);
    }

    /// A client refreshed. Only if it was told to ask for more instead, that is worth a line.
    pub fn refreshed(&self, grant: Id<Grant>, at: Timestamp) {
        if self.stepping.is_empty() || self.stepping.get(&grant).is_none_or(|told| at.since(told) >= STEP_UP)
        {
            return;
        }
        self.stepping.remove(&grant);
        let notes = vec!["refreshed_instead_of_step_up"];
        let event = SignInEvent { at, step: SignInStep::Refreshed, reason: None, notes, times: 1 };
        self.of_grant(grant, event);
    }

    fn of_grant(&self, grant: Id<Grant>, event: SignInEvent) {
        self.next(NextStep { of: StepOf::Grant(grant), event, user: None, grant: None });
    }

    fn push(&self, write: SignInWrite) {
        let mut waiting = held(&self.waiting);
        if waiting.writes.len() < WAITING {
            waiting.writes.push_back(write);
        } else {
            waiting.lost += 1;
        }
    }

    /// Writes what waits, now and then, until `stop`, and then once more. A task that somebody must own.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stop);
        let mut count = 0_u32;
        loop {
            let stopped = tokio::select! {
                _ = ticks.tick() => false,
                () = &mut stop => true,
            };
            count = count.wrapping_add(1);
            let gathered = if count.is_multiple_of(GATHER) { self.gather().await } else { Ok(()) };
            if let Err(error) = gathered.and(self.tell().await) {
                tracing::warn!(%error, "steps of sign-ins could not be written; it will be tried again");
            }
            if stopped {
                return;
            }
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer: then it waits still, as long as there is room.
    pub async fn tell(&self) -> Result<(), StoreError> {
        loop {
            let (portion, lost) = {
                let mut waiting = held(&self.waiting);
                let count = waiting.writes.len().min(PORTION);
                (waiting.writes.drain(..count).collect::<Vec<_>>(), std::mem::take(&mut waiting.lost))
            };
            if lost > 0 {
                tracing::warn!(lost, "too many sign-ins in this minute to write down all of them");
            }
            if portion.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.put_sign_ins(portion.clone()).await {
                let mut waiting = held(&self.waiting);
                for write in portion.into_iter().rev().take(WAITING.saturating_sub(waiting.writes.len())) {
                    waiting.writes.push_front(write);
                }
                return Err(error);
            }
        }
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline").field("networks", &self.networks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_costs_nothing_is_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn a_minute_has_its_end_and_a_new_one_begins() {
        let mut minute = Minute::default();
        let at = Timestamp::from_secs;
        assert_eq!((0..5).filter(|_| minute.spend(at(60), 3)).count(), 3);
        assert!(minute.spend(at(120), 3));
    }
}
