//! Tools of which something new was told and is not known yet: what was shown in a list counts once it was shown, so a call
//! that is judged by what is known of such a tool waits for that to be written.
//!
//! Must never keep a call for longer than [`PATIENCE`]: what cannot be written does not count, as before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How long a call waits. It takes some milliseconds, if the record answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tools of one MCP server of which something is on its way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// How many pieces of news are; read at every call.
    count: AtomicUsize,
    /// The number of the next one.
    next: AtomicU64,
    /// The numbers of those that are, of each tool.
    tools: Mutex<HashMap<String, Vec<u64>>>,
    done: Notify,
}

/// News of some tools on their way, until they are dropped: then they were written, or never will be.
#[derive(Debug)]
pub(super) struct OnTheWay {
    of: Arc<Pending>,
    number: u64,
    tools: Vec<String>,
}

impl Pending {
    /// News of these tools begin their way.
    pub(super) fn begin(self: &Arc<Self>, tools: Vec<String>) -> OnTheWay {
        self.count.fetch_add(1, Ordering::AcqRel);
        let mut pending = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        for tool in &tools {
            pending.entry(tool.clone()).or_default().push(number);
        }
        OnTheWay { of: Arc::clone(self), number, tools }
    }

    /// Waits until what was told of the tool so far is known; not for what is told meanwhile, for then whoever has the list told
    /// anew all the time would keep everybody waiting.
    pub(super) async fn settled(&self, tool: &str) {
        let until = self.next.load(Ordering::Acquire);
        if !self.holds(tool, until) {
            return;
        }
        let known = async {
            loop {
                let mut done = std::pin::pin!(self.done.notified());
                // Before it is looked at, so that nothing that ends meanwhile is missed.
                done.as_mut().enable();
                if !self.holds(tool, until) {
                    return;
                }
                done.await;
            }
        };
        // Whoever waited in vain is judged by what is known.
        let _ = tokio::time::timeout(PATIENCE, known).await;
    }

    fn holds(&self, tool: &str, until: u64) -> bool {
        let is_before = |numbers: &Vec<u64>| numbers.iter().any(|number| *number < until);
        self.count.load(Ordering::Acquire) > 0
            && self.tools.lock().unwrap_or_else(PoisonError::into_inner).get(tool).is_some_and(is_before)
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        let mut pending = self.of.tools.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in &self.tools {
            if let Some(numbers) = pending.get_mut(tool) {
                numbers.retain(|number| *number != self.number);
                if numbers.is_empty() {
                    pending.remove(tool);
                }
            }
        }
        drop(pending);
        self.of.count.fetch_sub(1, Ordering::AcqRel);
        self.of.done.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_news_of_its_own_tool_and_not_for_ever() {
        let pending: Arc<Pending> = Arc::default();
        assert!(pending.settled("a").now_or_never().is_some());
        let one = pending.begin(vec!["a".to_owned()]);
        let two = pending.begin(vec!["a".to_owned(), "b".to_owned()]);
        assert!(pending.settled("c").now_or_never().is_some());
        let mut waiting = pin!(pending.settled("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(one);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(two);
        assert!(waiting.as_mut().now_or_never().is_some());
        // Not for what is told while it waits.
        let before = pending.begin(vec!["a".to_owned()]);
        let mut waiting = pin!(pending.settled("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        let meanwhile = pending.begin(vec!["a".to_owned()]);
        drop(before);
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(meanwhile);
        let lost = pending.begin(vec!["a".to_owned()]);
        pending.settled("a").await;
        assert!(pending.settled("a").now_or_never().is_none());
        drop(lost);
        assert!(pending.settled("a").now_or_never().is_some());
    }
}
