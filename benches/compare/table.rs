//! The table of figures: ours, theirs, the ratio, and whether the goal is met.

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing was promised.
    None,
    /// Less than this, in the unit of the figure: bytes or seconds.
    Below(f64),
    /// At least this many times theirs.
    AtLeastTimes(f64),
    /// At most this many times theirs.
    AtMostTimes(f64),
}

/// The unit of a figure.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Seconds,
    PerSecond,
}

/// Figures of two programs in one table, which is printed when it is dropped.
pub struct Table {
    lines: Vec<String>,
}

const NAME: usize = 34;
const FIGURE: usize = 18;

impl Table {
    /// An empty table with the names of the two.
    pub fn new(ours: &str, theirs: &str) -> Self {
        Self { lines: vec![line("", ours, theirs, "ratio", "goal")] }
    }

    /// Begins a part of the table.
    pub fn heading(&mut self, heading: &str) {
        self.lines.extend([String::new(), heading.to_owned()]);
    }

    /// A remark on the last figure.
    pub fn note(&mut self, note: &str) {
        self.lines.push(format!("    {note}"));
    }

    /// A size.
    pub fn bytes(&mut self, name: &str, ours: u64, theirs: Option<u64>, goal: Goal) {
        self.row(name, Unit::Bytes, ours as f64, theirs.map(|bytes| bytes as f64), goal);
    }

    /// A time in seconds.
    pub fn time(&mut self, name: &str, ours: f64, theirs: Option<f64>, goal: Goal) {
        self.row(name, Unit::Seconds, ours, theirs, goal);
    }

    /// How often in a second.
    pub fn rate(&mut self, name: &str, ours: f64, theirs: Option<f64>, goal: Goal) {
        self.row(name, Unit::PerSecond, ours, theirs, goal);
    }

    fn row(&mut self, name: &str, unit: Unit, ours: f64, theirs: Option<f64>, goal: Goal) {
        let ratio = theirs.map(|theirs| ours / theirs);
        let (met, wanted) = match goal {
            Goal::None => (true, String::new()),
            Goal::Below(limit) => (ours < limit, format!("below {}", unit.show(limit))),
            Goal::AtLeastTimes(times) => (ratio.is_some_and(|ratio| ratio >= times), format!("ratio at least {times}")),
            Goal::AtMostTimes(times) => (ratio.is_some_and(|ratio| ratio <= times), format!("ratio at most {times}")),
        };
        let verdict = match (wanted.is_empty(), met) {
            (true, _) => String::new(),
            (false, true) => format!("{wanted}: met"),
            (false, false) => format!("{wanted}: MISSED"),
        };
        let theirs = theirs.map_or_else(String::new, |theirs| unit.show(theirs));
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        self.lines.push(line(&format!("  {name}"), &unit.show(ours), &theirs, &ratio, &verdict));
    }
}

/// Whatever ends the comparison, what was found is shown.
impl Drop for Table {
    fn drop(&mut self) {
        println!();
        for line in &self.lines {
            println!("{}", line.trim_end());
        }
    }
}

fn line(name: &str, ours: &str, theirs: &str, ratio: &str, goal: &str) -> String {
    format!("{name:<NAME$}{ours:>FIGURE$}{theirs:>FIGURE$}{ratio:>8}  {goal}")
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Bytes => format!("{:.1} MiB", figure / 1024.0 / 1024.0),
            Self::Seconds if figure < 1e-3 => format!("{:.1} µs", figure * 1e6),
            Self::Seconds => format!("{:.2} ms", figure * 1e3),
            Self::PerSecond => thousands(figure),
        }
    }
}

/// A whole number with its thousands set apart.
fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
