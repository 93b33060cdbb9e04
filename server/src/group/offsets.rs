//! What the last host messages of a server say about its clock and about the
//! way to it.
//!
//! Each message brings one sample: the sender's clock as it spoke less ours as
//! we heard it, which is the clocks' difference less the message's delay. The
//! largest of a few samples was delayed least, so it is the best estimate of
//! the difference (`timeoff`). How far the samples lie apart is how much the
//! delays differ: the wobble of the way, and of both hosts' attention.

use std::collections::VecDeque;

/// How many messages are looked back upon.
pub const SAMPLES_MAX: usize = 8;
/// With fewer samples nothing is known of the wobble.
pub const SAMPLES_MIN: usize = 3;
/// A sample that differs from the last by more than this comes from a clock
/// that was set: what was known before is void.
const STEP_MS: u64 = 2_000;

/// How long one round of probes waits on a quiet network.
pub const PROBE_ROUND_MS_MIN: u64 = 50;
/// How long it waits at most, and if nothing is known.
pub const PROBE_ROUND_MS_MAX: u64 = 400;

/// The last samples of one server.
#[derive(Debug, Clone, Default)]
pub struct Offsets {
    samples_ms: VecDeque<i64>,
    last_sent_ms: Option<u64>,
}

impl Offsets {
    /// Notes a message that says `sent_ms` and came at `came_ms`, both in
    /// milliseconds since 1970.
    pub fn note(&mut self, sent_ms: u64, came_ms: u64) {
        let ms = |time_ms: u64| i64::try_from(time_ms).unwrap_or(i64::MAX);
        let sample_ms = ms(sent_ms).saturating_sub(ms(came_ms));
        if self.samples_ms.back().is_some_and(|last| last.abs_diff(sample_ms) > STEP_MS) {
            self.samples_ms.clear();
        }
        // What was said at one moment, to several addresses, is one sample.
        if self.last_sent_ms == Some(sent_ms) {
            return;
        }
        self.last_sent_ms = Some(sent_ms);
        if self.samples_ms.len() == SAMPLES_MAX {
            self.samples_ms.pop_front();
        }
        self.samples_ms.push_back(sample_ms);
    }

    /// By how much the server's clock is ahead of ours.
    pub fn ahead_ms(&self) -> i64 {
        self.samples_ms.iter().max().copied().unwrap_or(0)
    }

    /// How far the delays lie apart; `None` as long as too few came.
    pub fn wobble_ms(&self) -> Option<u64> {
        let (min, max) = (self.samples_ms.iter().min()?, self.samples_ms.iter().max()?);
        (self.samples_ms.len() >= SAMPLES_MIN).then(|| max.abs_diff(*min))
    }

    /// How long one round of probes to this server should wait for its
    /// answer: 50 ms and the wobble both ways, 400 ms at most.
    pub fn probe_round_ms(&self) -> u64 {
        match self.wobble_ms() {
            Some(wobble_ms) => (PROBE_ROUND_MS_MIN + 2 * wobble_ms).min(PROBE_ROUND_MS_MAX),
            None => PROBE_ROUND_MS_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: u64 = 1_700_000_000_000;

    /// A server whose clock is 25 s ahead, and whose messages took so long.
    fn delayed(delays_ms: &[u64]) -> Offsets {
        let mut offsets = Offsets::default();
        for (i, delay_ms) in (0u64..).zip(delays_ms) {
            let sent_ms = WALL_MS + i * 2_000;
            offsets.note(sent_ms + 25_000, sent_ms + delay_ms);
        }
        offsets
    }

    #[test]
    fn the_least_delayed_message_tells_the_clock_best() {
        assert_eq!(delayed(&[40, 3, 90]).ahead_ms(), 24_997);
        // It is forgotten after eight more.
        assert_eq!(delayed(&[3, 40, 40, 40, 40, 40, 40, 40, 41]).ahead_ms(), 24_960);
    }

    #[test]
    fn a_probe_waits_longer_on_a_network_that_wobbles() {
        assert_eq!(delayed(&[1, 1]).probe_round_ms(), 400);
        assert_eq!(delayed(&[1, 1, 1]).probe_round_ms(), 50);
        assert_eq!(delayed(&[1, 21, 11]).probe_round_ms(), 90);
        assert_eq!(delayed(&[1, 201, 11, 30]).probe_round_ms(), 400);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        let mut offsets = delayed(&[1, 1, 1]);
        offsets.note(WALL_MS, WALL_MS + 3_600_000);
        assert_eq!(offsets.ahead_ms(), -3_600_000);
        assert_eq!(offsets.wobble_ms(), None);
    }

    #[test]
    fn absurd_clocks_are_no_trouble() {
        let mut offsets = Offsets::default();
        for (sent_ms, came_ms) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            offsets.note(sent_ms, came_ms);
            assert!(offsets.probe_round_ms() <= PROBE_ROUND_MS_MAX);
        }
        assert_eq!(offsets.ahead_ms(), 0);
    }
}
