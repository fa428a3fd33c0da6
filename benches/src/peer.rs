//! A process that is measured: started, read from `/proc`, and ended when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Outcome;

/// Clock ticks of `/proc/PID/stat` in a second; Linux has had 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process and where it listens.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    /// Its base URL.
    pub url: String,
}

impl Peer {
    /// Starts this program again with other words; it prints its URL as its first line.
    pub(crate) async fn start_self(words: &[&str]) -> Outcome<Self> {
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child =
            Command::new(me).args(words).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = tokio::task::spawn_blocking(move || BufReader::new(out).lines().next())
            .await
            .map_err(|error| error.to_string())?;
        let url = line.and_then(Result::ok).ok_or("the peer said nothing")?;
        Ok(Self { child, url })
    }

    /// Takes over a process that was started elsewhere.
    pub(crate) fn adopt(child: Child, url: String) -> Self {
        Self { child, url }
    }

    /// CPU time used so far, user and system, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = read(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(") ").ok_or("odd /proc/PID/stat")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = (ticks(11).ok_or("no utime")?, ticks(12).ok_or("no stime")?);
        Ok((user + system) / TICKS_PER_SECOND)
    }

    /// Resident memory in MiB.
    pub(crate) fn rss_mib(&self) -> Outcome<f64> {
        let status = read(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib = line
            .split_whitespace()
            .next()
            .and_then(|number| number.parse::<f64>().ok())
            .ok_or("odd VmRSS")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(path: impl AsRef<Path>) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
