//! When something that opens and closes is open.

use std::time::Duration;

use super::Track;

/// When something that opens and closes is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Openness {
    /// When it opens for the first time.
    pub opens: Option<Duration>,
    /// How often it closes after that.
    pub closures: u32,
    /// For how long it is closed after that, in all.
    pub closed: Duration,
}

impl Openness {
    /// When `track` is open, of a timeline that goes for `length`.
    #[must_use]
    pub fn of<T: Copy>(track: &Track<T>, length: Duration, is_open: impl Fn(T) -> bool) -> Self {
        let mut openness = Self::default();
        let ends = track.iter().skip(1).map(|(since, _)| *since).chain([length]);
        let mut was_open = false;
        for ((since, value), end) in track.iter().zip(ends) {
            let open = is_open(*value);
            match openness.opens {
                None if open => openness.opens = Some(*since),
                Some(_) if !open => {
                    openness.closures += u32::from(was_open);
                    openness.closed += end.saturating_sub(*since);
                }
                _ => {}
            }
            was_open = open;
        }
        openness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn closures_are_counted_after_the_first_opening() {
        let track = vec![
            (seconds(0), false),
            (seconds(5), true),
            (seconds(20), false),
            (seconds(30), true),
            (seconds(90), false),
        ];
        let expected = Openness { opens: Some(seconds(5)), closures: 2, closed: seconds(20) };
        assert_eq!(Openness::of(&track, seconds(100), |open| open), expected);
        assert_eq!(Openness::of(&vec![(seconds(0), false)], seconds(9), |open| open), Openness::default());
    }
}
