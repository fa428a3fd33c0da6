//! How much we ask of other people's hosts because strangers name them (attacks.md, CM-23): so much at once, and so much
//! over time, for each host, for each network that its name leads to, and in all.
//!
//! A host has as many names as its owner likes, so the network is counted too. What is held in memory is bounded by the
//! budget of all: an entry is forgotten once it is as good as none. Nobody waits here; what is over is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::world::Clock;

/// So many at once, then one in each interval (the generic cell rate algorithm, by a clock that never jumps).
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    interval: Duration,
}

const PER_HOST: Rate = Rate { burst: 20, interval: Duration::from_secs(3) };
/// Behind one network of a large host of pages are thousands of documents.
const PER_NETWORK: Rate = Rate { burst: 60, interval: Duration::from_secs(1) };
const IN_ALL: Rate = Rate { burst: 200, interval: Duration::from_millis(100) };
/// Running at the same moment.
const RUNNING_PER_HOST: u32 = 4;
const RUNNING_IN_ALL: u32 = 64;
/// What is remembered before what is as good as forgotten is looked for.
const REMEMBERED: usize = 4096;

/// Whose budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    All,
    Host(String),
    Network(IpAddr),
}

impl Whose {
    const fn rate(&self) -> Rate {
        match self {
            Self::All => IN_ALL,
            Self::Host(_) => PER_HOST,
            Self::Network(_) => PER_NETWORK,
        }
    }
}

/// The budgets of all hosts.
#[derive(Debug)]
pub(crate) struct Budget {
    clock: Arc<dyn Clock>,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// When each budget will be whole again.
    whole_at: HashMap<Whose, Duration>,
    running: HashMap<String, u32>,
    running_in_all: u32,
}

/// Leave for one fetch; it runs for as long as this is held.
#[derive(Debug)]
pub(crate) struct Leave {
    budget: Arc<Budget>,
    host: String,
}

impl Budget {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, spent: Mutex::default() })
    }

    /// Leave to fetch one document from this host (with its port), if its budget and that of all are not used up.
    pub(crate) fn leave(self: &Arc<Self>, host: &str) -> Option<Leave> {
        let now = self.clock.monotonic();
        let mut spent = self.spent();
        let running = spent.running.get(host).copied().unwrap_or_default();
        if running >= RUNNING_PER_HOST || spent.running_in_all >= RUNNING_IN_ALL {
            return None;
        }
        // The host first: one that is asked for too often must not use up what is there for all.
        if !spent.spend(Whose::Host(host.to_owned()), now) || !spent.spend(Whose::All, now) {
            return None;
        }
        spent.running.insert(host.to_owned(), running + 1);
        spent.running_in_all += 1;
        Some(Leave { budget: Arc::clone(self), host: host.to_owned() })
    }

    /// Whether the network of this address may be dialled once more.
    pub(crate) fn may_dial(&self, address: IpAddr) -> bool {
        let now = self.clock.monotonic();
        self.spent().spend(Whose::Network(network(address)), now)
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    fn spend(&mut self, whose: Whose, now: Duration) -> bool {
        if self.whole_at.len() >= REMEMBERED {
            self.whole_at.retain(|_, at| *at > now);
        }
        let Rate { burst, interval } = whose.rate();
        let whole_at = self.whole_at.get(&whose).copied().unwrap_or_default().max(now);
        if whole_at.saturating_sub(now) > interval.saturating_mul(burst - 1) {
            return false;
        }
        self.whole_at.insert(whose, whole_at + interval);
        true
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut spent = self.budget.spent();
        spent.running_in_all = spent.running_in_all.saturating_sub(1);
        if let Some(running) = spent.running.get_mut(&self.host) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                spent.running.remove(&self.host);
            }
        }
    }
}

/// A /24 of IPv4, a /48 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & 0xffff_ff00).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 80)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use protocol::world::Timestamp;

    use super::*;

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(0).plus(self.monotonic())
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    fn budget() -> (Arc<Hand>, Arc<Budget>) {
        let hand = Arc::new(Hand::default());
        (Arc::clone(&hand), Budget::new(hand))
    }

    #[test]
    fn a_host_is_asked_so_often_and_then_once_in_a_while() {
        let (hand, budget) = budget();
        let asked = (0..1000).filter(|_| budget.leave("victim.example").is_some()).count();
        assert_eq!(asked, 20);
        assert!(budget.leave("other.example").is_some(), "others have budgets of their own");
        hand.0.store(3, Ordering::SeqCst);
        assert!(budget.leave("victim.example").is_some());
        assert!(budget.leave("victim.example").is_none());
    }

    #[test]
    fn only_so_many_run_at_the_same_moment() {
        let (_, budget) = budget();
        let mut held: Vec<_> = (0..9).filter_map(|_| budget.leave("victim.example")).collect();
        assert_eq!(held.len(), 4);
        held.pop();
        assert!(budget.leave("victim.example").is_some());
        held.extend((0..100).filter_map(|host| budget.leave(&format!("{host}.example"))));
        assert_eq!(held.len(), 64);
    }

    #[test]
    fn a_thousand_names_of_one_network_are_one_network() {
        let (_, budget) = budget();
        let dialled = (0..=255).filter(|last| budget.may_dial(IpAddr::from([93, 184, 216, *last]))).count();
        assert_eq!(dialled, 60);
        assert!(budget.may_dial(IpAddr::from([93, 184, 217, 1])));
        let mapped: IpAddr = "::ffff:93.184.216.34".parse().unwrap();
        assert!(!budget.may_dial(mapped));
    }

    #[test]
    fn what_is_whole_again_is_forgotten() {
        let (hand, budget) = budget();
        for second in 0..1200 {
            hand.0.store(second, Ordering::SeqCst);
            for host in 0..20 {
                drop(budget.leave(&format!("{second}-{host}.example")));
            }
        }
        assert!(budget.spent().whole_at.len() <= REMEMBERED + 1);
        assert!(budget.spent().running.is_empty());
    }
}
