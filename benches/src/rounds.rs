//! Medians over rounds, with how far they lay apart.

use crate::Outcome;
use crate::load::{Seen, count, quantile};
use crate::peer::Peer;

/// The values of one measure over the rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds the value of one round.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle value.
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// The largest value.
    pub(crate) fn most(&self) -> f64 {
        quantile(&self.0, 1.0)
    }

    /// The median with the least and the most, in a unit.
    pub(crate) fn show(&self, unit: &str, digits: usize) -> String {
        let (least, most) = (quantile(&self.0, 0.0), quantile(&self.0, 1.0));
        format!("{:.digits$} {unit} ({least:.digits$} – {most:.digits$})", self.median())
    }
}

/// What one workload did in each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Answers in a second.
    pub rate: Rounds,
    /// CPU of the measured process for one, in microseconds.
    pub cpu: Rounds,
    /// Answers in a second of that CPU.
    pub per_core: Rounds,
    /// Latency in microseconds: the middle.
    pub p50: Rounds,
    /// And of the slowest hundredth.
    pub p99: Rounds,
}

impl Line {
    /// Does one round and notes what it cost the process; the CPU for one answer comes back.
    pub(crate) async fn round(
        &mut self,
        peer: &Peer,
        work: impl Future<Output = Outcome<Seen>>,
    ) -> Outcome<f64> {
        let before = peer.cpu_seconds()?;
        let seen = work.await?;
        Ok(self.push(&seen, peer.cpu_seconds()? - before))
    }

    fn push(&mut self, seen: &Seen, cpu_seconds: f64) -> f64 {
        let answers = count(seen.micros.len().max(1));
        let cpu = cpu_seconds * 1e6 / answers;
        self.rate.push(seen.rate());
        self.cpu.push(cpu);
        self.per_core.push(answers / cpu_seconds.max(0.001));
        self.p50.push(seen.quantile(0.5));
        self.p99.push(seen.quantile(0.99));
        cpu
    }
}
