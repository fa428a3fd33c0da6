//! Time and chance: the one place where the real clock and the real random numbers are read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::world::{Clock, Entropy, Steady, Timestamp};
use store::{Store, StoreError};

/// The clock of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this file is where time enters the house")]
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this file is where time enters the house")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The clock of the operating system, set by that of a record.
#[derive(Debug)]
struct SetClock {
    clock: SystemClock,
    /// In microseconds: how far the record is ahead.
    ahead: i64,
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now().micros().saturating_add(self.ahead))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// The time of day by which the nodes of a record agree, for a command beside them: what it writes is judged by them, and the
/// clock of whoever types it is compared by nobody (decision 34). On SQLite it is the one of this machine.
///
/// # Errors
/// If the record does not answer.
pub async fn clock_of(store: &dyn Store) -> Result<Arc<dyn Clock>, StoreError> {
    let clock = SystemClock::default();
    let asked_at = clock.now();
    let Some(there) = store.time().await? else { return Ok(Arc::new(Steady::new(clock))) };
    let ahead = ahead(asked_at, there, clock.now());
    Ok(Arc::new(Steady::new(SetClock { clock, ahead })))
}

/// How far the record is ahead, by an answer that is of some moment between the two.
fn ahead(asked_at: Timestamp, there: Timestamp, answered_at: Timestamp) -> i64 {
    let between = asked_at.micros().midpoint(answered_at.micros());
    there.micros().saturating_sub(between)
}

/// The random numbers of the operating system, through the cryptographic library.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this file is where chance enters the house")]
    fn fill(&self, buffer: &mut [u8]) {
        if aws_lc_rs::rand::fill(buffer).is_err() {
            // Without randomness every token could be guessed: nothing may go on.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::process::Command;

    use protocol::secret::{Hash, Secret};

    use super::*;

    /// How many secrets each thread and each process makes; ten million in all are `SEKISHO_TEST_FACTOR=50`.
    fn many() -> usize {
        #[expect(clippy::disallowed_methods, reason = "the environment says how long a test may take")]
        let factor = std::env::var("SEKISHO_TEST_FACTOR").ok().and_then(|factor| factor.parse().ok());
        50_000 * factor.unwrap_or(1)
    }

    fn secrets(count: usize) -> Vec<[u8; 32]> {
        let one = |_| {
            let secret = Secret::random("", &SystemEntropy);
            assert_eq!(secret.len(), 43, "256 bits");
            secret.expose(|text| *Hash::of(text.as_bytes()).as_bytes())
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn f_13_a_command_goes_by_the_time_of_the_record() {
        let at = |secs: i64| Timestamp::from_secs(secs);
        assert_eq!(ahead(at(100), at(700), at(102)), 599_000_000);
        assert_eq!(ahead(at(900), at(100), at(900)), -800_000_000);
        let set = SetClock { clock: SystemClock::default(), ahead: 86_400_000_000 };
        let apart = set.now().since(SystemClock::default().now());
        assert!((86_300..=86_400).contains(&apart.as_secs()), "{apart:?}");
    }

    #[test]
    fn st_16_no_two_of_many_secrets_are_the_same_in_any_thread_or_process() {
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| secrets(many()))).collect();
        let mut seen = HashSet::new();
        for thread in threads {
            for secret in thread.join().unwrap() {
                assert!(seen.insert(secret), "a secret came twice");
            }
        }
        // Processes that begin in the same state, as after a restart.
        for _ in 0..20 {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "world::tests::child_of_st_16", "--nocapture"])
                .env("CHILD_OF_ST_16", "1")
                .output()
                .unwrap();
            let printed = String::from_utf8(child.stdout).unwrap();
            let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("secret ")).collect();
            assert_eq!(lines.len(), 20, "{printed}");
            for line in lines {
                assert!(seen.insert(*Hash::of(line.as_bytes()).as_bytes()), "a secret came twice");
            }
        }
    }

    #[test]
    fn child_of_st_16() {
        if std::env::var_os("CHILD_OF_ST_16").is_some() {
            for secret in secrets(20) {
                println!("secret {secret:02x?}");
            }
        }
    }

    /// Every bit of what we are given is a fair coin: within six standard deviations.
    #[test]
    fn st_16_no_bit_is_likelier_than_its_opposite() {
        let count = many();
        let mut ones = [0_usize; 256];
        let mut chance = [0; 32];
        for _ in 0..count {
            SystemEntropy.fill(&mut chance);
            for (place, ones) in ones.iter_mut().enumerate() {
                *ones += usize::from(chance[place / 8] >> (place % 8) & 1);
            }
        }
        // (ones - count / 2)^2 < 36 * count / 4
        for (place, ones) in ones.into_iter().enumerate() {
            assert!((2 * ones).abs_diff(count).pow(2) < 36 * count, "bit {place}: {ones} of {count}");
        }
    }
}
