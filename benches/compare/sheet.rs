//! What was measured: the samples of each figure, their middle, and whether the goal of a figure is met.

use std::collections::BTreeMap;

use crate::figures::{Figure, Goal};

/// The figures of one table: a row for each figure, a column for each program or size.
pub struct Sheet {
    /// What the table shows.
    pub title: &'static str,
    /// The names of the columns; the first is what goals are about.
    pub columns: Vec<String>,
    /// The rows, in order.
    pub figures: &'static [Figure],
    samples: BTreeMap<(usize, usize), Vec<f64>>,
}

/// What was sampled of one figure in one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least sample.
    pub least: f64,
    /// The middle one.
    pub median: f64,
    /// The largest one.
    pub most: f64,
    /// How many there are.
    pub count: usize,
}

impl Sheet {
    /// An empty one.
    pub fn new(title: &'static str, columns: Vec<String>, figures: &'static [Figure]) -> Self {
        Self { title, columns, figures, samples: BTreeMap::new() }
    }

    /// Adds a sample of the figure `key`.
    pub fn add(&mut self, key: &str, column: usize, value: f64) {
        let row = self.figures.iter().position(|figure| figure.key == key);
        let row = row.unwrap_or_else(|| panic!("{key} is in no table"));
        self.samples.entry((row, column)).or_default().push(value);
    }

    /// What was sampled of a figure; nothing where it was not measured.
    pub fn spread(&self, row: usize, column: usize) -> Option<Spread> {
        let mut values = self.samples.get(&(row, column))?.clone();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Spread { least, most, count: values.len(), median: middle(&values) })
    }

    /// The medians of a figure in all columns.
    pub fn medians(&self, row: usize) -> Vec<Option<f64>> {
        (0..self.columns.len()).map(|column| Some(self.spread(row, column)?.median)).collect()
    }

    /// Whether the goal of a figure is met; nothing where there is none, or too little was measured to tell.
    pub fn is_met(&self, row: usize) -> Option<bool> {
        let medians = self.medians(row);
        let ours = medians.first().copied().flatten();
        let peers = || medians.iter().skip(1).flatten().copied();
        let known = || medians.iter().flatten().copied();
        match self.figures[row].goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(ours? <= limit),
            Goal::AtMostOfBest(share) => Some(ours? <= share * peers().reduce(f64::min)?),
            Goal::AtLeastOf(times, peer) => {
                let peer = self.columns.iter().position(|column| column == peer)?;
                Some(ours? >= times * medians[peer]?)
            }
            Goal::Everywhere(limit) => Some(known().reduce(f64::max)? <= limit),
            Goal::Flat(times) => {
                let (first, last) = (known().next()?, known().last()?);
                Some(known().count() > 1 && last <= times * first)
            }
            Goal::Linear(slack) => {
                let known: Vec<f64> = known().collect();
                let [.., before, last] = known[..] else { return None };
                Some(last <= 10.0 * slack * before)
            }
        }
    }
}

/// The middle one of sorted values.
fn middle(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The value that all but the largest hundredth of `values` do not exceed.
pub fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * 99 / 100]
}
