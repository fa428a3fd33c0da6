//! How many connections one address may hold at once, so that nobody can take all the places there are.
//!
//! Counted by network, as budgets are: the address for IPv4, the /64 for IPv6 and the /48 around it, and a known network as
//! one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::layers::limits::{KnownNetworks, WIDE, caller_key, wide_key};

/// The places that are taken, by network.
#[derive(Debug)]
pub(super) struct Places {
    /// For each network that is not a known one.
    most: usize,
    known: KnownNetworks,
    taken: Mutex<HashMap<u128, Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    told: bool,
}

impl Places {
    pub(super) fn new(most: usize, known: KnownNetworks) -> Self {
        Self { most, known, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u128, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, if this network has one left.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let known = self.known.of(address);
        let most = known.map_or(self.most, |(_, network)| network.connections);
        let own = self.seat(caller_key(address, known.map(|(number, _)| number)), most, address)?;
        let around = match wide_key(address).filter(|_| known.is_none()) {
            Some(wide) => Some(self.seat(wide, most.saturating_mul(usize::from(WIDE)), address)?),
            None => None,
        };
        Some(Place { _own: own, _around: around })
    }

    fn seat(self: &Arc<Self>, key: u128, most: usize, address: IpAddr) -> Option<Seat> {
        let mut all = self.taken();
        let taken = all.entry(key).or_default();
        if taken.count >= most {
            // Once in each time that it holds any: a line for each attempt would be the caller's to write.
            if !std::mem::replace(&mut taken.told, true) {
                tracing::warn!(
                    %address, connections = most,
                    "an address holds as many connections as one may (`limits.connections_per_address`); if it is a \
                     proxy of yours, name it in `trusted_proxies`"
                );
            }
            return None;
        }
        taken.count += 1;
        Some(Seat { key, places: Arc::clone(self) })
    }
}

/// A place that is given back when it is dropped: of the network itself, and of the /48 around it.
#[derive(Debug)]
pub(super) struct Place {
    _own: Seat,
    _around: Option<Seat>,
}

#[derive(Debug)]
struct Seat {
    key: u128,
    places: Arc<Places>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.places.taken();
        if let Some(taken) = all.get_mut(&self.key) {
            taken.count = taken.count.saturating_sub(1);
            if taken.count == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let places = Arc::new(Places::new(2, KnownNetworks::default()));
        let take = |text: &str| places.take(text.parse().unwrap());
        let (one, two) = (take("2001:db8::1").unwrap(), take("2001:db8::2:3:4:5").unwrap());
        assert!(take("2001:db8::3").is_none());
        let other = take("192.0.2.1").unwrap();
        drop(one);
        let three = take("2001:db8::3").unwrap();
        assert!(take("2001:db8::4").is_none());
        drop((two, three, other));
        assert!(places.taken().is_empty(), "nothing is kept about those who left");
    }

    #[test]
    fn all_networks_of_a_48_together_have_no_more_places_than_four_of_them() {
        let places = Arc::new(Places::new(2, KnownNetworks::default()));
        let take = |number: u32| places.take(format!("2001:db8:7:{number:x}::1").parse().unwrap());
        let mut held: Vec<Place> = (0..8).map(|number| take(number).unwrap()).collect();
        assert!(take(8).is_none());
        assert!(places.take("2001:db8:8::1".parse().unwrap()).is_some());
        held.pop();
        held.push(take(9).unwrap());
        drop(held);
        assert!(places.taken().is_empty(), "nothing is kept about those who left");
    }
}
