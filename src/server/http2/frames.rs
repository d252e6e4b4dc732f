//! Counts the frames that a client sends, whatever they are: a flood of them ends its connection. Pure.
//!
//! Each costs, each answer earns, and so does time. So every flood of HTTP/2 is bounded in the same way (resets, pings,
//! settings, empty data, continuations, priorities, and what is invented next), and a client that asks, reads and pings
//! as the protocol means it never comes near the bound.

use crate::base::clock::Moment;

/// What a client sends before its first frame.
pub(in crate::server) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// So many frames may come at once.
const BURST: u32 = 1024;
/// So many more each second.
const PER_SECOND: u32 = 100;
/// And so many for each answer, or each message of a stream.
pub(in crate::server) const PER_ANSWER: u32 = 10;

const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What has been read of a connection's frames.
#[derive(Debug)]
pub(in crate::server) struct FrameCounter {
    /// The header of the frame that is being read, as far as it is there.
    header: [u8; HEADER],
    read: usize,
    /// What is left of its payload, or of the preface.
    left: usize,
    /// More of a request's headers has to follow.
    in_headers: bool,
    /// The first frame has been read.
    has_begun: bool,
    allowance: u32,
    earned_until: Moment,
}

/// A client sends too many frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Flood;

impl FrameCounter {
    /// A connection of which nothing has been read at `now`.
    pub(in crate::server) const fn new(now: Moment) -> Self {
        Self {
            header: [0; HEADER],
            read: 0,
            left: PREFACE.len(),
            in_headers: false,
            has_begun: false,
            allowance: BURST,
            earned_until: now,
        }
    }

    /// How many frames begin in `bytes`, which come next at `now`; so many answers have gone out since the last
    /// time.
    pub(in crate::server) fn count(&mut self, mut bytes: &[u8], answers: u32, now: Moment) -> Result<usize, Flood> {
        let mut frames = 0;
        self.earn(answers.saturating_mul(PER_ANSWER));
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.read).min(bytes.len());
            self.header[self.read..self.read + taken].copy_from_slice(&bytes[..taken]);
            self.read += taken;
            bytes = &bytes[taken..];
            if self.read == HEADER {
                self.begin_frame(now)?;
                frames += 1;
            }
        }
        Ok(frames)
    }

    /// Whether something has begun of which the rest is still to come: the preface and the first frame, a frame, or the
    /// headers of a request.
    pub(in crate::server) const fn is_in_the_middle(&self) -> bool {
        !self.has_begun || self.read > 0 || self.left > 0 || self.in_headers
    }

    fn begin_frame(&mut self, now: Moment) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.read = 0;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.has_begun = true;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_headers = flags & END_HEADERS == 0;
        }
        if self.allowance == 0 {
            let millis = now.since(self.earned_until).as_millis();
            self.earned_until = now;
            self.earn(u32::try_from(millis * u128::from(PER_SECOND) / 1000).unwrap_or(u32::MAX));
        }
        self.allowance = self.allowance.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }

    fn earn(&mut self, frames: u32) {
        self.allowance = self.allowance.saturating_add(frames).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn begun() -> FrameCounter {
        let mut counter = FrameCounter::new(at(0));
        counter.count(PREFACE, 0, at(0)).unwrap();
        counter
    }

    #[test]
    fn a_burst_is_taken_and_a_flood_is_not() {
        let ping = frame(6, 0, &[0; 8]);
        let mut counter = begun();
        assert_eq!(counter.count(&ping.repeat(1024), 0, at(0)), Ok(1024));
        assert_eq!(counter.count(&ping.repeat(100), 0, at(1000)), Ok(100), "time earns");
        assert_eq!(counter.count(&ping.repeat(10), 1, at(1005)), Ok(10), "so does an answer");
        assert_eq!(counter.count(&ping, 0, at(1005)), Err(Flood));
    }

    #[test]
    fn who_gets_answers_may_go_on() {
        let request = [frame(1, 4, b"headers"), frame(0, 1, b"message"), frame(8, 0, &[0; 4])].concat();
        let mut counter = begun();
        for _ in 0..100_000 {
            assert_eq!(counter.count(&request, 1, at(0)), Ok(3));
        }
    }

    #[test]
    fn frames_are_told_apart_wherever_the_bytes_are_cut() {
        let bytes = [frame(1, 0, b"abc"), frame(9, 4, b""), frame(0, 1, &[7; 40])].concat();
        for cut in 0..=bytes.len() {
            let mut counter = begun();
            counter.count(&bytes[..cut], 0, at(0)).unwrap();
            let is_whole = cut == bytes.len();
            // After the second frame too.
            assert_eq!(counter.is_in_the_middle(), !(is_whole || cut == 21), "{cut}");
            counter.count(&bytes[cut..], 0, at(0)).unwrap();
            assert_eq!((counter.is_in_the_middle(), counter.allowance), (false, BURST - 3));
        }
        assert!(FrameCounter::new(at(0)).is_in_the_middle() && begun().is_in_the_middle());
    }
}
