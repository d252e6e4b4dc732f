//! The kind `simulated`: a dependency that is not there, for demos, documentation and tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::field::{Field, ValueType};
use crate::base::value::{Section, Text};
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "simulated",
    doc: "A dependency that is not there, for demos, documentation and tests.",
    fields: FIELDS,
    read,
    component_type: "component",
    bare_tcp: None,
    cadence: None,
};

const SHARE: ValueType = ValueType::Number { min: 0.0, max: 1.0 };

const FIELDS: &[Field] = &[
    Field::with_default(
        "latency",
        ValueType::DurationRange,
        "0ms",
        "How long a run takes, or the span from which it is drawn: `50ms..500ms`.",
    ),
    Field::with_default("error_rate", SHARE, "0", "The share of runs that fail, from 0 to 1."),
    Field::with_default("timeout_rate", SHARE, "0", "The share of runs that never answer, from 0 to 1."),
    Field::optional("ok_message", ValueType::Text, "What a pass says. Default: `<name> OK (12ms)`."),
    Field::optional("error_message", ValueType::Text, "What a failure says. Default: `<name> returned error`."),
    Field::optional(
        "seed",
        ValueType::Integer { min: 0, max: i64::MAX },
        "The same seed gives the same outcomes every time. Default: different ones at every start.",
    ),
];

#[derive(Debug)]
struct Simulated {
    latency: (Duration, Duration),
    error_rate: f64,
    timeout_rate: f64,
    ok_message: Option<Text>,
    error_message: Option<Text>,
    seed: Option<u64>,
}

#[allow(clippy::unnecessary_wraps)] // the signature of the table
fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let error_rate = fields.number("error_rate").unwrap_or_default();
    let timeout_rate = fields.number("timeout_rate").unwrap_or_default();
    if error_rate + timeout_rate > 1.0 {
        let message = "`error_rate` and `timeout_rate` add up to more than 1";
        fields.error("timeout_rate", "invalid-value", message, Some("lower one of them".into()));
    }
    Some(Box::new(Simulated {
        latency: fields.duration_range("latency").unwrap_or_default(),
        error_rate,
        timeout_rate,
        ok_message: fields.text("ok_message").cloned(),
        error_message: fields.text("error_message").cloned(),
        seed: fields.integer("seed").map(i64::unsigned_abs),
    }))
}

impl Spec for Simulated {
    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let message = |text: &Option<Text>| text.as_ref().and_then(Text::fixed);
        Box::new(SimulatedProbe {
            latency: self.latency,
            error_rate: self.error_rate,
            timeout_rate: self.timeout_rate,
            ok_message: message(&self.ok_message),
            error_message: message(&self.error_message).unwrap_or_else(|| format!("{} returned error", context.check)),
            dice: Dice(self.seed.unwrap_or_else(fresh_seed)),
        })
    }
}

struct SimulatedProbe {
    latency: (Duration, Duration),
    error_rate: f64,
    timeout_rate: f64,
    ok_message: Option<String>,
    error_message: String,
    dice: Dice,
}

impl Probe for SimulatedProbe {
    fn observe<'a>(&'a mut self, _run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let (fate, speed) = (self.dice.roll(), self.dice.roll());
            if fate < self.timeout_rate {
                return std::future::pending().await;
            }
            let (from, to) = self.latency;
            tokio::time::sleep(from + to.saturating_sub(from).mul_f64(speed)).await;
            if fate < self.timeout_rate + self.error_rate {
                return Err(Failure::new(FailureKind::Mismatch, &self.error_message));
            }
            Ok(Pass { message: self.ok_message.clone(), ..Pass::default() })
        })
    }
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, seedable, and good enough for make-believe.
struct Dice(u64);

impl Dice {
    /// A number from 0 to below 1.
    #[allow(clippy::cast_precision_loss)] // 53 bits are kept
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A seed that differs between probes and between starts of the daemon (the hasher's keys are random).
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_fair_and_repeatable() {
        let rolls = |seed| {
            let mut dice = Dice(seed);
            (0..10_000).map(|_| dice.roll()).collect::<Vec<_>>()
        };
        assert_eq!(rolls(42), rolls(42));
        let mean = rolls(42).iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
