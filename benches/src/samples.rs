//! What a long run looked like: a measure taken every few seconds, and whether it still grows at the end.

use crate::load::count;

/// One measure over time.
#[derive(Debug)]
pub(crate) struct Series {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    /// Whether it is meant to grow with what is done.
    kept: bool,
    values: Vec<f64>,
}

impl Series {
    /// Of something that must not grow.
    pub(crate) const fn flat(name: &'static str, unit: &'static str, digits: usize) -> Self {
        Self { name, unit, digits, kept: false, values: Vec::new() }
    }

    /// Of something that is kept, for ever or for longer than a run.
    pub(crate) const fn kept(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, digits: 0, kept: true, values: Vec::new() }
    }

    /// One more sample.
    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The value at a part of the run, 0 to 4 quarters.
    pub(crate) fn at(&self, quarter: usize) -> f64 {
        let last = self.values.len().saturating_sub(1);
        self.values.get(last * quarter / 4).copied().unwrap_or_default()
    }

    /// The mean of one quarter of the run.
    fn mean(&self, quarter: usize) -> f64 {
        let (from, to) = (self.values.len() * quarter / 4, self.values.len() * (quarter + 1) / 4);
        let part = self.values.get(from..to).unwrap_or_default();
        part.iter().sum::<f64>() / count(part.len().max(1))
    }

    fn range(&self) -> (f64, f64) {
        let half = self.values.get(self.values.len() / 2..).unwrap_or_default();
        let least = half.iter().copied().fold(f64::INFINITY, f64::min);
        (least, half.iter().copied().fold(0.0, f64::max))
    }

    /// The table's row: at the beginning, after each half, the range of the second half, and the mean of the last quarter
    /// against the one before.
    pub(crate) fn row(&self) -> String {
        let (third, fourth) = (self.mean(2), self.mean(3));
        let change = if third > 0.0 { (fourth / third - 1.0) * 100.0 } else { 0.0 };
        let verdict = match (self.kept, self.grows()) {
            (true, _) => "kept",
            (false, true) => "GROWS",
            (false, false) => "flat",
        };
        let (digits, unit, (least, most)) = (self.digits, self.unit, self.range());
        format!(
            "| {} | {:.digits$}{unit} | {:.digits$}{unit} | {:.digits$}{unit} | {least:.digits$} – {most:.digits$} | {change:+.1} % | {verdict} |\n",
            self.name,
            self.at(0),
            self.at(2),
            self.at(4)
        )
    }

    /// The last quarter lies higher than the one before by more than a fiftieth and more than one.
    fn grows(&self) -> bool {
        let (third, fourth) = (self.mean(2), self.mean(3));
        fourth - third > (third / 50.0).max(1.0)
    }
}
