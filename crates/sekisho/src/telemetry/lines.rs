//! The lines of the log on their way to standard error. Whoever reads them there may read nothing for a while: then they
//! wait, up to a bound, and after that they are lost and counted (attacks.md, F-26). No request ever waits for them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait; of some 300 bytes each.
const WAITING: usize = 4_096;
/// How long the end of the program waits for the last of them.
const AT_THE_END: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// To be told when all lines before are written.
    Mark(SyncSender<()>),
}

/// Takes lines and never waits.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Begins to write, by a thread that ends with the last of those who hold this. Without one the lines are lost.
    pub(super) fn begin(to: impl Write + Send + 'static) -> Self {
        let (items, waiting) = mpsc::sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let work = move || write_all(&waiting, &counted, to);
        drop(thread::Builder::new().name("log".to_owned()).spawn(work));
        Self { items, lost }
    }
}

fn write_all(waiting: &Receiver<Item>, lost: &AtomicU64, mut to: impl Write) {
    while let Ok(item) = waiting.recv() {
        let mut next = Some(item);
        while let Some(item) = next {
            match item {
                // A reader that is gone is none of ours to tell: there is nowhere else to say it.
                Item::Line(line) => drop(to.write_all(&line).and_then(|()| to.flush())),
                Item::Mark(told) => drop(told.try_send(())),
            }
            next = waiting.try_recv().ok();
        }
        // Nothing waits any more, so this line finds room.
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "lines of the log were lost: whoever reads them did not keep up");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

/// One line, which is written whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.items.try_send(Item::Line(line.to_vec())).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Held until the program ends: waits a moment for the last lines.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Log(pub(super) Lines);

impl Drop for Log {
    fn drop(&mut self) {
        let (told, written) = mpsc::sync_channel(1);
        if self.0.items.try_send(Item::Mark(told)).is_ok() {
            let _ = written.recv_timeout(AT_THE_END);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one line, and the next when it is told to.
    struct Slow(Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_takes_waits_up_to_a_bound_and_is_counted_beyond_it() {
        let (take, taken) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let log = Lines::begin(Slow(taken, written));
        for number in 0..WAITING + 10 {
            log.make_writer().write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        // One may be in the writer's hand.
        let lost = log.lost.load(Ordering::Relaxed);
        assert!((9..=10).contains(&lost), "{lost}");
        for _ in 0..WAITING {
            take.send(()).unwrap();
        }
        let all: Vec<_> = (0..WAITING).map(|_| lines.recv().unwrap()).collect();
        assert!(all.iter().enumerate().all(|(number, line)| *line == format!("{number}\n").as_bytes()));
    }

    #[test]
    fn the_end_waits_for_the_last_line_but_not_for_ever() {
        let (take, taken) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let log = Log(Lines::begin(Slow(taken, written)));
        log.0.make_writer().write_all(b"the last\n").unwrap();
        take.send(()).unwrap();
        drop(log);
        assert_eq!(lines.try_recv().unwrap(), b"the last\n");
        let (_take, taken) = mpsc::channel();
        let (written, _lines) = mpsc::channel();
        let log = Log(Lines::begin(Slow(taken, written)));
        log.0.make_writer().write_all(b"never taken\n").unwrap();
        drop(log);
    }
}
