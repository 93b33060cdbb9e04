//! How much a frame may come to, so that none is long under way: what link and
//! DTU took lately says what they take in a tenth of a second.
//!
//! A slow link gets a large change in several frames, each with the newest
//! picture in it, and what a user types meanwhile is not behind all of it.

use std::collections::VecDeque;

/// What a frame is to take from its sending to its showing, once the link is
/// free.
const FRAME_MS: u64 = 100;
/// Below this a frame's own costs are more than what it carries.
const FRAME_BYTES_MIN: usize = 16 * 1024;
/// A smaller frame tells of delays and not of a rate, unless it took long.
const TELLING_BYTES_MIN: usize = 64 * 1024;
const TELLING_MS_MIN: u64 = 100;
/// Under way are at most two; more are not remembered.
const UNDER_WAY_MAX: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    bytes: usize,
    at_ms: u64,
}

/// What one attachment's link and DTU take.
#[derive(Debug, Default)]
pub struct Rate {
    under_way: VecDeque<Sent>,
    /// When the last frame was shown: the link was free from then on.
    free_at_ms: u64,
    bytes_per_s: Option<u64>,
}

impl Rate {
    /// A frame goes out. Times are milliseconds since some moment.
    pub fn sent(&mut self, number: u64, bytes: usize, now_ms: u64) {
        if self.under_way.len() >= UNDER_WAY_MAX {
            self.under_way.pop_front();
        }
        self.under_way.push_back(Sent { number, bytes, at_ms: now_ms });
    }

    /// It is on the DTU's screen, and with it all before.
    pub fn shown(&mut self, number: u64, now_ms: u64) {
        let (mut bytes, mut began_ms) = (0, now_ms);
        while let Some(sent) = self.under_way.pop_front_if(|sent| sent.number <= number) {
            bytes += sent.bytes;
            began_ms = began_ms.min(sent.at_ms);
        }
        if bytes == 0 {
            return;
        }
        let took_ms = now_ms.saturating_sub(began_ms.max(self.free_at_ms)).max(1);
        self.free_at_ms = now_ms;
        let slow = took_ms >= TELLING_MS_MIN && bytes >= FRAME_BYTES_MIN / 2;
        if bytes >= TELLING_BYTES_MIN || slow {
            let sample = bytes as u64 * 1000 / took_ms;
            // Quick to give way, slow to take.
            self.bytes_per_s = Some(match self.bytes_per_s {
                None => sample,
                Some(rate) if sample < rate => (rate + sample) / 2,
                Some(rate) => (3 * rate + sample) / 4,
            });
        }
    }

    /// What the next frame may come to, in bytes. Nothing is known of a link
    /// before it carried something; the first picture is to come at once.
    pub fn frame_bytes_max(&self) -> usize {
        let bytes = self.bytes_per_s.map_or(u64::MAX, |rate| rate.saturating_mul(FRAME_MS) / 1000);
        usize::try_from(bytes).unwrap_or(usize::MAX).max(FRAME_BYTES_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as much as it may over a link of some bytes a millisecond, two
    /// frames at a time; gives the last frame's bytes and how long it took.
    fn settle(bytes_per_ms: usize) -> (usize, u64) {
        let mut rate = Rate::default();
        let (mut free_ms, mut sent_ms) = (0, VecDeque::from([0, 0]));
        let mut last = (0, 0);
        for number in 1..60 {
            let at_ms: u64 = sent_ms.pop_front().unwrap();
            let bytes = rate.frame_bytes_max().min(1_000_000);
            rate.sent(number, bytes, at_ms);
            free_ms = free_ms.max(at_ms) + (bytes / bytes_per_ms) as u64;
            rate.shown(number, free_ms);
            sent_ms.push_back(free_ms);
            last = (bytes, free_ms - at_ms);
        }
        last
    }

    #[test]
    fn frames_are_as_large_as_their_time_allows() {
        for (bytes_per_ms, expected) in [(250, 25_000), (2_500, 250_000)] {
            let (bytes, took_ms) = settle(bytes_per_ms);
            assert!(bytes.abs_diff(expected) < expected / 10, "{bytes} at {bytes_per_ms}");
            // One is behind another.
            assert!(took_ms <= 2 * FRAME_MS + 20, "{took_ms} ms");
        }
        assert_eq!(settle(10).0, FRAME_BYTES_MIN, "the slowest link");
        assert_eq!(settle(1_000_000).0, 1_000_000, "a link that does not limit anything");
    }

    #[test]
    fn small_frames_that_come_back_soon_say_nothing() {
        let mut rate = Rate::default();
        for number in 1..100 {
            rate.sent(number, 200, number * 10);
            rate.shown(number, number * 10 + 5);
        }
        assert_eq!(rate.frame_bytes_max(), usize::MAX);
        rate.shown(99, 5_000);
        rate.shown(100, 5_000);
        assert_eq!(rate.frame_bytes_max(), usize::MAX);
    }
}
