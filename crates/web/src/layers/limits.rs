//! How often an address may ask (product.md, P-20; requirements AS-152): the generic cell rate algorithm, which needs
//! one number for each caller.
//!
//! Holds a bounded number of callers. Nobody can fill a budget that is not their own: the budget of a client is
//! kept for each network it calls from, because a client id is public and anybody can send it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use protocol::secret::Hash;
use quick_cache::sync::Cache;

/// Callers remembered at once, over all budgets.
const CALLERS: usize = 100_000;
/// A /48 of IPv6 is what one customer is given, and holds 65,536 networks of /64: all of them together may use as much as
/// so many.
pub(crate) const WIDE: u8 = 4;

/// A budget: so many requests at once, and from then on so many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: NonZeroU32,
    /// In each [`Rate::per`] from then on.
    pub count: NonZeroU32,
    /// The time in which `count` come back.
    pub per: Duration,
}

impl Rate {
    /// So many a second, after so many at once; zeros are counted as one.
    #[must_use]
    pub fn per_second(count: u32, burst: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self { burst: at_least_one(burst), count: at_least_one(count), per: Duration::from_secs(1) }
    }

    /// The same for [`WIDE`] callers together.
    fn of_many(self) -> Self {
        let times = |number: NonZeroU32| {
            NonZeroU32::new(number.get().saturating_mul(u32::from(WIDE))).unwrap_or(number)
        };
        Self { burst: times(self.burst), count: times(self.count), per: self.per }
    }

    fn interval(&self) -> u64 {
        let micros = u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX);
        (micros / u64::from(self.count.get())).max(1)
    }
}

/// Twenty user codes at once, and one more every six seconds (RFC 8628, section 5.1).
const DEVICE: Rate = Rate {
    burst: match NonZeroU32::new(20) {
        Some(burst) => burst,
        None => NonZeroU32::MIN,
    },
    count: NonZeroU32::MIN,
    per: Duration::from_secs(6),
};

/// The budgets. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The authorization endpoint, for each address.
    pub authorize: Option<Rate>,
    /// Access tokens that are no good, at all MCP endpoints, for each address.
    pub bad_tokens: Option<Rate>,
    /// Token and revocation endpoints, for each client in each network.
    pub client: Option<Rate>,
    /// The page on which a device's user code is typed, for each address: a code is short, and guesses at it are few.
    pub device: Option<Rate>,
    /// Introspection and the revocation feed, for each address.
    pub introspect: Option<Rate>,
    /// The pages of login and consent and the callback, for each address.
    pub login: Option<Rate>,
    /// The registration endpoint, for each address.
    pub register: Option<Rate>,
    /// Token and revocation endpoints, for each address: a whole office may sit behind one.
    pub token: Option<Rate>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            authorize: Some(Rate::per_second(5, 200)),
            bad_tokens: Some(Rate::per_second(50, 500)),
            client: Some(Rate::per_second(5, 100)),
            device: Some(DEVICE),
            introspect: Some(Rate::per_second(10_000, 20_000)),
            login: Some(Rate::per_second(10, 300)),
            register: Some(Rate::per_second(5, 200)),
            token: Some(Rate::per_second(50, 1000)),
        }
    }
}

impl Rates {
    /// No limits at all: for load tests, never for a house that strangers can reach.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            authorize: None,
            bad_tokens: None,
            client: None,
            device: None,
            introspect: None,
            login: None,
            register: None,
            token: None,
        }
    }

    fn of(&self, budget: Budget) -> Option<Rate> {
        match budget {
            Budget::Authorize => self.authorize,
            Budget::BadTokens => self.bad_tokens,
            Budget::Client => self.client,
            Budget::Device => self.device,
            Budget::Introspect => self.introspect,
            Budget::Login => self.login,
            Budget::Register => self.register,
            Budget::Token => self.token,
        }
    }
}

/// Networks that are one caller, each with budgets of its own: a vendor's cloud, from which many people's clients call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNetworks(Arc<[KnownNetwork]>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNetwork {
    /// How it is called in the log.
    pub name: String,
    /// Its ranges of addresses.
    pub networks: Vec<IpNet>,
    /// How often all of it together may ask.
    pub rates: Rates,
    /// How many connections all of it together may hold.
    pub connections: usize,
}

impl KnownNetworks {
    /// The first of them that holds an address, and its number.
    pub(crate) fn of(&self, address: IpAddr) -> Option<(usize, &KnownNetwork)> {
        let address = address.to_canonical();
        let holds = |known: &KnownNetwork| known.networks.iter().any(|network| network.contains(&address));
        self.0.iter().enumerate().find(|(_, known)| holds(known))
    }
}

impl From<Vec<KnownNetwork>> for KnownNetworks {
    fn from(list: Vec<KnownNetwork>) -> Self {
        Self(list.into())
    }
}

/// Which budget a request draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Budget {
    Authorize,
    BadTokens,
    Client,
    Device,
    Introspect,
    Login,
    Register,
    Token,
}

impl Budget {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Authorize,
        Self::BadTokens,
        Self::Client,
        Self::Device,
        Self::Introspect,
        Self::Login,
        Self::Register,
        Self::Token,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::BadTokens => "bad_tokens",
            Self::Client => "client",
            Self::Device => "device",
            Self::Introspect => "introspect",
            Self::Login => "login",
            Self::Register => "register",
            Self::Token => "token",
        }
    }
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    /// When to come again.
    pub(crate) retry_after: Duration,
}

impl Limited {
    /// For `Retry-After` (RFC 9110, section 10.2.3): whole seconds, and never "now".
    pub(crate) fn seconds(self) -> u64 {
        let whole = self.retry_after.as_secs();
        let rest = u64::from(self.retry_after.subsec_nanos() > 0);
        whole.saturating_add(rest).max(1)
    }
}

/// What has been drawn.
pub(crate) struct Limiter {
    rates: Rates,
    known: KnownNetworks,
    /// For each caller the moment at which its budget is whole again, in microseconds of the monotonic clock.
    whole_at: Cache<(Budget, u128), Arc<AtomicU64>>,
}

impl Limiter {
    pub(crate) fn new(rates: Rates, known: KnownNetworks) -> Self {
        Self { rates, known, whole_at: Cache::new(CALLERS) }
    }

    /// Whose budget an address draws on, and how large it is.
    fn caller(&self, address: IpAddr) -> (u128, &Rates) {
        match self.known.of(address) {
            Some((number, network)) => (caller_key(address, Some(number)), &network.rates),
            None => (caller_key(address, None), &self.rates),
        }
    }

    /// Whether it goes by these rates.
    pub(crate) fn goes_by(&self, rates: &Rates, known: &KnownNetworks) -> bool {
        self.rates == *rates && self.known == *known
    }

    /// Draws one request from the budget of an address.
    pub(crate) fn draw(&self, budget: Budget, address: IpAddr, now: Duration) -> Result<(), Limited> {
        // The narrow one first: who is refused by it takes nothing from the neighbours.
        self.budgets(budget, address).try_for_each(|(key, rate)| self.draw_from(key, Some(rate), now))
    }

    /// The budgets of an address: its own, and that of the /48 around it. None where there is no limit.
    fn budgets(
        &self,
        budget: Budget,
        address: IpAddr,
    ) -> impl Iterator<Item = ((Budget, u128), Rate)> + use<> {
        let (caller, rates) = self.caller(address);
        let rate = rates.of(budget);
        let wide = wide_key(address).filter(|_| self.known.of(address).is_none());
        let own = rate.map(|rate| ((budget, caller), rate));
        let around = rate.zip(wide).map(|(rate, wide)| ((budget, wide), rate.of_many()));
        own.into_iter().chain(around)
    }

    /// Whether the budget of an address has nothing left. Draws nothing.
    pub(crate) fn is_used_up(&self, budget: Budget, address: IpAddr, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.budgets(budget, address).any(|(key, rate)| {
            let cell = self.whole_at.get(&key);
            cell.is_some_and(|cell| next(cell.load(Ordering::Relaxed), rate, now).is_err())
        })
    }

    /// Draws one request from the budget of a client in the network it calls from.
    pub(crate) fn draw_client(&self, client_id: &str, address: IpAddr, now: Duration) -> Result<(), Limited> {
        let (caller, rates) = self.caller(address);
        let mut bytes = caller.to_be_bytes().to_vec();
        bytes.extend_from_slice(client_id.as_bytes());
        let hash = Hash::of(&bytes);
        let half = hash.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
        self.draw_from((Budget::Client, u128::from_be_bytes(half)), rates.of(Budget::Client), now)
    }

    fn draw_from(&self, key: (Budget, u128), rate: Option<Rate>, now: Duration) -> Result<(), Limited> {
        let Some(rate) = rate else { return Ok(()) };
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let cell = match self.whole_at.get(&key) {
            Some(cell) => cell,
            // Two first requests at once may make two cells; one of them is lost, and with it one draw.
            None => {
                let cell = Arc::new(AtomicU64::new(0));
                self.whole_at.insert(key, Arc::clone(&cell));
                cell
            }
        };
        draw(&cell, rate, now)
    }
}

/// When the budget is whole again after one more request, if there is room for one.
fn next(whole_at: u64, rate: Rate, now: u64) -> Result<u64, Limited> {
    let interval = rate.interval();
    let depth = interval.saturating_mul(u64::from(rate.burst.get()));
    let next = whole_at.max(now).saturating_add(interval);
    let allowed_from = next.saturating_sub(depth);
    if now < allowed_from {
        return Err(Limited { retry_after: Duration::from_micros(allowed_from - now) });
    }
    Ok(next)
}

fn draw(cell: &AtomicU64, rate: Rate, now: u64) -> Result<(), Limited> {
    let mut whole_at = cell.load(Ordering::Relaxed);
    loop {
        let next = next(whole_at, rate, now)?;
        match cell.compare_exchange_weak(whole_at, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(seen) => whole_at = seen,
        }
    }
}

/// One caller: a known network by its number, which no address looks like, or the network of an address.
pub(crate) fn caller_key(address: IpAddr, known: Option<usize>) -> u128 {
    match known.and_then(|number| u32::try_from(number).ok()) {
        Some(number) => u128::from(number) + 1,
        None => network(address),
    }
}

/// The /48 around an address of IPv6. A bit that no /64 and no address of IPv4 has set keeps it apart from its first /64.
pub(crate) fn wide_key(address: IpAddr) -> Option<u128> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(v6.to_bits() & !(u128::MAX >> 48) | 1 << 63),
    }
}

/// One caller's network: the address for IPv4, the /64 for IPv6, since whoever has one address there has them all.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: Rate) -> Limiter {
        let rates = Rates { register: Some(rate), client: Some(rate), ..Rates::unlimited() };
        Limiter::new(rates, KnownNetworks::default())
    }

    fn at(millis: u64) -> Duration {
        Duration::from_secs(1_000_000) + Duration::from_millis(millis)
    }

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_burst_is_let_through_and_then_one_for_each_interval() {
        let limiter = limiter(Rate::per_second(2, 3));
        for _ in 0..3 {
            assert_eq!(limiter.draw(Budget::Register, ALICE, at(0)), Ok(()));
        }
        let refused = limiter.draw(Budget::Register, ALICE, at(0)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_millis(500));
        assert_eq!(refused.seconds(), 1);
        assert!(limiter.draw(Budget::Register, ALICE, at(499)).is_err());
        assert_eq!(limiter.draw(Budget::Register, ALICE, at(500)), Ok(()));
        assert!(limiter.draw(Budget::Register, ALICE, at(500)).is_err());
    }

    #[test]
    fn a_refusal_costs_nothing_and_a_rest_fills_the_budget() {
        let limiter = limiter(Rate::per_second(1, 2));
        for _ in 0..50 {
            let _ = limiter.draw(Budget::Register, ALICE, at(0));
        }
        assert_eq!(limiter.draw(Budget::Register, ALICE, at(2000)), Ok(()));
        assert_eq!(limiter.draw(Budget::Register, ALICE, at(2000)), Ok(()));
        assert!(limiter.draw(Budget::Register, ALICE, at(2000)).is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_budget_and_others_do_not() {
        let limiter = limiter(Rate::per_second(1, 1));
        let draw = |text: &str| limiter.draw(Budget::Register, text.parse().unwrap(), at(0));
        assert_eq!(draw("2001:db8::1"), Ok(()));
        assert!(draw("2001:db8::2:3:4:5").is_err());
        assert_eq!(draw("2001:db8:0:1::1"), Ok(()));
        assert_eq!(draw("192.0.2.1"), Ok(()));
        assert!(draw("::ffff:192.0.2.1").is_err());
        assert_eq!(draw("192.0.2.2"), Ok(()));
    }

    /// Whoever is given a /48 has 65,536 networks to call from.
    #[test]
    fn all_networks_of_a_48_together_use_no_more_than_four_of_them() {
        let limiter = limiter(Rate::per_second(1, 3));
        let draw = |text: String| limiter.draw(Budget::Register, text.parse().unwrap(), at(0));
        for number in 0..12 {
            assert_eq!(draw(format!("2001:db8:7:{number:x}::1")), Ok(()), "{number}");
        }
        let refused = draw("2001:db8:7:ffff::1".to_owned()).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_millis(250));
        let used_up = |text: &str| limiter.is_used_up(Budget::Register, text.parse().unwrap(), at(0));
        assert!(used_up("2001:db8:7:ffff::1") && !used_up("2001:db8:8::1"));
        assert_eq!(draw("2001:db8:8::1".to_owned()), Ok(()), "another /48");
        assert_eq!(limiter.draw(Budget::Register, "2001:db8:7:ffff::1".parse().unwrap(), at(250)), Ok(()));
        // Who has used up their own takes nothing from the neighbours.
        for _ in 0..50 {
            let _ = draw("2001:db8:9::1".to_owned());
        }
        for number in 1..10 {
            assert_eq!(draw(format!("2001:db8:9:{number:x}::1")), Ok(()), "{number}");
        }
    }

    #[test]
    fn budgets_are_apart_and_no_rate_is_no_limit() {
        let limiter = limiter(Rate::per_second(1, 1));
        assert_eq!(limiter.draw(Budget::Register, ALICE, at(0)), Ok(()));
        for _ in 0..1000 {
            assert_eq!(limiter.draw(Budget::Token, ALICE, at(0)), Ok(()));
        }
    }

    #[test]
    fn nobody_can_use_up_the_budget_of_a_client_in_another_network() {
        let limiter = limiter(Rate::per_second(1, 1));
        let mallory = "198.51.100.66".parse().unwrap();
        assert_eq!(limiter.draw_client("dcr_a", mallory, at(0)), Ok(()));
        assert!(limiter.draw_client("dcr_a", mallory, at(0)).is_err());
        assert_eq!(limiter.draw_client("dcr_b", mallory, at(0)), Ok(()));
        assert_eq!(limiter.draw_client("dcr_a", ALICE, at(0)), Ok(()));
    }

    #[test]
    fn a_known_network_is_one_caller_with_a_budget_of_its_own() {
        let cloud = KnownNetwork {
            name: "cloud".to_owned(),
            networks: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            rates: Rates { register: Some(Rate::per_second(1, 3)), ..Rates::unlimited() },
            connections: 10,
        };
        let rates = Rates {
            register: Some(Rate::per_second(1, 1)),
            client: Some(Rate::per_second(1, 1)),
            ..Rates::unlimited()
        };
        let limiter = Limiter::new(rates, vec![cloud].into());
        let draw = |text: &str| limiter.draw(Budget::Register, text.parse().unwrap(), at(0));
        for address in ["203.0.113.1", "2001:db8:1::1", "::ffff:203.0.113.2"] {
            assert_eq!(draw(address), Ok(()), "{address}");
        }
        assert!(draw("203.0.113.3").is_err(), "the three before used it up");
        assert_eq!(draw("192.0.2.1"), Ok(()));
        assert!(draw("192.0.2.1").is_err(), "everybody else's budget is what it was");
        for _ in 0..10 {
            assert_eq!(limiter.draw_client("dcr_a", "203.0.113.1".parse().unwrap(), at(0)), Ok(()));
        }
    }

    #[test]
    fn to_look_at_a_budget_draws_nothing_from_it() {
        let limiter = limiter(Rate::per_second(1, 2));
        let is_used_up = |millis| limiter.is_used_up(Budget::Register, ALICE, at(millis));
        assert!(!is_used_up(0), "nobody has drawn yet");
        for left in [true, false] {
            assert_eq!(limiter.draw(Budget::Register, ALICE, at(0)), Ok(()));
            for _ in 0..10 {
                assert_eq!(is_used_up(0), !left);
            }
        }
        assert!(is_used_up(999) && !is_used_up(1000));
        assert!(!limiter.is_used_up(Budget::Login, ALICE, at(0)), "no rate is no limit");
    }

    #[test]
    fn seconds_are_rounded_up() {
        let seconds = |millis| Limited { retry_after: Duration::from_millis(millis) }.seconds();
        assert_eq!((seconds(0), seconds(1), seconds(1000), seconds(1001)), (1, 1, 1, 2));
    }
}
