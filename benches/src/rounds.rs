//! Medians over rounds, with how far they lay apart.

use crate::load::quantile;

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

    /// The median with the least and the most, in a unit.
    pub(crate) fn show(&self, unit: &str, digits: usize) -> String {
        let (least, most) = (quantile(&self.0, 0.0), quantile(&self.0, 1.0));
        format!("{:.digits$} {unit} ({least:.digits$} – {most:.digits$})", self.median())
    }
}
