//! A process that is measured: started, read from `/proc`, and ended when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::load::count;
use crate::pin::{self, Core};

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
    pub(crate) async fn start_self(words: &[&str], core: Core) -> Outcome<Self> {
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = pin::command(me, core);
        let child = command.args(words).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| error.to_string())?;
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

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// CPU time used so far by it and its children, user and system, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let id = self.child.id();
        let children = read(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let mut sum = cpu_of(&id.to_string())?;
        for child in children.split_whitespace() {
            sum += cpu_of(child)?;
        }
        Ok(sum)
    }

    /// Resident memory in MiB.
    pub(crate) fn rss_mib(&self) -> Outcome<f64> {
        self.status("VmRSS:").map(|kib| kib / 1024.0)
    }

    /// The most resident memory there has been, in MiB.
    pub(crate) fn peak_mib(&self) -> Outcome<f64> {
        self.status("VmHWM:").map(|kib| kib / 1024.0)
    }

    /// Threads.
    pub(crate) fn threads(&self) -> Outcome<f64> {
        self.status("Threads:")
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> Outcome<f64> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.map(|open| count(open.count())).map_err(|error| error.to_string())
    }

    fn status(&self, name: &str) -> Outcome<f64> {
        let status = read(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| format!("odd {name} in /proc/PID/status"))
    }
}

fn cpu_of(process: &str) -> Outcome<f64> {
    let stat = read(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("odd /proc/PID/stat")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (ticks(11).ok_or("no utime")?, ticks(12).ok_or("no stime")?);
    Ok((user + system) / TICKS_PER_SECOND)
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A process with children takes them along when it is asked to end.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let ended = asked.is_ok()
            && (0..200).any(|_| {
                let ended = self.has_ended();
                if !ended {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                ended
            });
        if !ended {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

fn read(path: impl AsRef<Path>) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
