//! The entries in the order in which this process heard of them, for those who read on from where they were.

use std::collections::VecDeque;

use protocol::world::Timestamp;
use store::Revocation;

/// What an entry has beside its id: names, a kind and two times.
const FRAME: usize = 100;

/// What a reader is told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Where to read on.
    pub(crate) cursor: String,
    /// There are more than these.
    pub(crate) more: bool,
    /// The reader's own cursor meant nothing: these are from the first one on.
    pub(crate) reset: bool,
    /// The entries.
    pub(crate) revocations: Vec<Revocation>,
}

/// The log. An entry that moved forward stands in it twice; the later one counts.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<(u64, Revocation)>,
    /// The number of the last one, the first being 1.
    last: u64,
}

impl Log {
    pub(super) fn push(&mut self, revocation: &Revocation) -> u64 {
        self.last = self.last.saturating_add(1);
        self.entries.push_back((self.last, revocation.clone()));
        self.last
    }

    /// The entries after that number, at most so many; the number of the last of them; and whether there are more.
    pub(super) fn after(&self, number: u64, most: usize) -> (Vec<Revocation>, u64, bool) {
        let start = self.entries.partition_point(|(at, _)| *at <= number);
        let mut rest = self.entries.iter().skip(start);
        let page: Vec<_> = rest.by_ref().take(most).collect();
        let more = rest.next().is_some();
        let reached = if more { page.last().map_or(number, |(at, _)| *at) } else { self.last };
        (page.into_iter().map(|(_, revocation)| revocation.clone()).collect(), reached, more)
    }

    /// The same from the first one on, as many as so many bytes hold when they are told.
    pub(super) fn whole(&self, bytes: usize) -> (Vec<Revocation>, u64, bool) {
        let mut left = bytes;
        let fits = |(_, revocation): &&(u64, Revocation)| {
            let size = FRAME.saturating_add(revocation.id.len());
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let most = self.entries.iter().take_while(fits).count();
        // One at least, so that whoever asks again comes to the end.
        self.after(0, most.max(1))
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn forget(&mut self, before: Timestamp) {
        self.entries.retain(|(_, revocation)| revocation.expires_at > before);
    }
}

/// A cursor: which process counted, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) process: u64,
    pub(super) number: u64,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (process, number) = text.split_once('.')?;
        let cursor = Self { process: u64::from_str_radix(process, 16).ok()?, number: number.parse().ok()? };
        // One spelling only.
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}.{}", self.process, self.number)
    }
}

#[cfg(test)]
mod tests {
    use store::RevocationKind;

    use super::*;

    fn revocation(number: i64) -> Revocation {
        Revocation {
            kind: RevocationKind::Client,
            id: number.to_string(),
            not_before: Timestamp::from_secs(number),
            expires_at: Timestamp::from_secs(number + 100),
        }
    }

    fn ids(list: &[Revocation]) -> Vec<&str> {
        list.iter().map(|revocation| revocation.id.as_str()).collect()
    }

    #[test]
    fn whoever_reads_on_misses_nothing_and_hears_nothing_twice() {
        let mut log = Log::default();
        assert_eq!(log.after(0, 10).1, 0);
        for number in 1..=5 {
            assert_eq!(log.push(&revocation(number)), number.unsigned_abs());
        }
        let (page, reached, more) = log.after(0, 2);
        assert_eq!((ids(&page), reached, more), (vec!["1", "2"], 2, true));
        let (page, reached, more) = log.after(reached, 3);
        assert_eq!((ids(&page), reached, more), (vec!["3", "4", "5"], 5, false));
        let (page, reached, more) = log.after(reached, 3);
        assert_eq!((page.len(), reached, more), (0, 5, false));
    }

    #[test]
    fn the_whole_is_told_as_far_as_the_bytes_go_and_never_nothing() {
        let mut log = Log::default();
        assert_eq!((log.whole(0).1, log.whole(0).2), (0, false));
        (1..=3).for_each(|number| {
            log.push(&revocation(number));
        });
        let size = FRAME + 1;
        for (bytes, ends) in [(0, 1), (size, 1), (2 * size, 2), (3 * size - 1, 2), (3 * size, 3)] {
            let (page, reached, more) = log.whole(bytes);
            assert_eq!(
                (page.len(), reached, more),
                (usize::try_from(ends).unwrap(), ends, ends < 3),
                "{bytes}"
            );
        }
    }

    #[test]
    fn what_is_forgotten_is_passed_over_and_numbers_go_on() {
        let mut log = Log::default();
        (1..=4).for_each(|number| {
            log.push(&revocation(number));
        });
        log.forget(Timestamp::from_secs(102));
        let (page, reached, _) = log.after(1, 10);
        assert_eq!((ids(&page), reached), (vec!["3", "4"], 4));
        log.forget(Timestamp::from_secs(1000));
        assert_eq!((log.after(0, 10).1, log.push(&revocation(5)), log.last()), (4, 5, 5));
    }

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = Cursor { process: 0xab, number: 7 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for text in
            ["", ".", "ab.7", "00000000000000AB.7", "00000000000000ab.07", "00000000000000ab.+7", "x.1"]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
