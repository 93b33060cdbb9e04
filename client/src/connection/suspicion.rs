//! How long somebody who speaks regularly may be silent before it is
//! suspected: a phi-accrual failure detector (Hayashibara et al., SRDS 2004),
//! in whole milliseconds and without a clock of its own.
//!
//! A regular word comes so long after whatever was said last, and no later:
//! who says something else meanwhile says it that much later. These gaps are
//! taken as normally distributed. The limit
//! is where the chance that the next word is only late falls below 10⁻⁸
//! (phi = 8), with a floor on the deviation: 100 ms words on a quiet network
//! give 240 ms. A link that sends lost packets again has rare, long gaps that
//! no normal distribution tells of, so the limit also stays above the mean by
//! twice what the worst gap of the last half minute did.
//!
//! A limit that has passed is looked at twice: what came while our own process
//! was busy or stood still waits in the socket, and has to be read first.

use std::collections::VecDeque;

/// However much gaps vary, silence is suspected after this, unless words are
/// promised more rarely.
pub const LIMIT_MS_MAX: u64 = 2_000;
/// The limit until enough gaps are known.
const START_MS: u64 = 1_000;
/// The limit for whoever promises to speak as rarely as it likes.
const PROMISE_MS_MAX: u64 = 10_000;
/// So many gaps are enough.
const GAPS_MIN: usize = 10;
/// So many are remembered: half a minute of words every 100 ms.
const GAPS_MAX: usize = 300;
/// Of a standard normal distribution, a part of 10⁻⁸ lies beyond this many
/// thousandths of a deviation.
const PHI_8_THOUSANDTHS: u64 = 5_612;
/// How many times the worst gap's excess over the mean is waited for.
const WORST_TIMES: u64 = 2;
/// From the first look to the second.
pub(super) const SECOND_LOOK_MS: u64 = 10;
/// A look that comes this much too late tells that our own process stood
/// still, not that the other one is silent.
const STALL_MS: u64 = 100;

/// The gaps of one speaker, and what follows from them.
#[derive(Debug, Clone)]
pub struct Suspicion {
    /// How often it promised to speak.
    every_ms: u64,
    /// The last gaps before regular words, the latest last.
    gaps_ms: VecDeque<u64>,
    /// When it last said anything.
    heard_ms: u64,
    /// How long it had been silent then; `None` if that would tell of us and
    /// not of it.
    gap_ms: Option<u64>,
    /// True if the next gap will tell of it.
    gap_counts: bool,
    /// When to look again after the limit has passed.
    second_look_ms: Option<u64>,
    limit_ms: u64,
}

impl Suspicion {
    /// Of somebody who promised a word every `every_ms` and was heard just now.
    pub fn new(every_ms: u64, now_ms: u64) -> Self {
        let mut suspicion = Suspicion {
            every_ms: every_ms.clamp(1, PROMISE_MS_MAX),
            gaps_ms: VecDeque::new(),
            heard_ms: now_ms,
            gap_ms: None,
            gap_counts: false,
            second_look_ms: None,
            limit_ms: 0,
        };
        suspicion.limit_ms = suspicion.limit_of_gaps_ms();
        suspicion
    }

    /// It said something: it lives. How often it says such things is not known.
    pub fn heard(&mut self, now_ms: u64) {
        if now_ms > self.heard_ms {
            let gap_ms = now_ms - self.heard_ms;
            self.gap_ms = std::mem::replace(&mut self.gap_counts, true).then_some(gap_ms);
            self.heard_ms = now_ms;
        }
        self.second_look_ms = None;
    }

    /// It said one of its regular words.
    pub fn regular_word(&mut self, now_ms: u64) {
        self.heard(now_ms);
        self.gap_counts = true;
        let Some(gap_ms) = self.gap_ms.take() else { return };
        if self.gaps_ms.len() >= GAPS_MAX {
            self.gaps_ms.pop_front();
        }
        self.gaps_ms.push_back(gap_ms.min(self.limit_ms_max()));
        self.limit_ms = self.limit_of_gaps_ms();
    }

    /// How long it has been silent.
    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_ms)
    }

    /// When it last said anything.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// How long it may be silent.
    pub fn limit_ms(&self) -> u64 {
        self.limit_ms
    }

    /// When [`Suspicion::look`] is due.
    pub fn deadline_ms(&self) -> u64 {
        self.second_look_ms.unwrap_or(self.heard_ms + self.limit_ms)
    }

    /// Looks at the time: true if it has been silent for too long. After a
    /// standstill of our own it gets half of its time again.
    pub fn look(&mut self, now_ms: u64) -> bool {
        let late_ms = match now_ms.checked_sub(self.deadline_ms()) {
            None => return false,
            Some(late_ms) => late_ms,
        };
        if late_ms > STALL_MS {
            self.heard_ms = now_ms - self.limit_ms / 2;
            (self.gap_ms, self.gap_counts) = (None, false);
            self.second_look_ms = None;
            return false;
        }
        if self.second_look_ms.is_none() {
            self.second_look_ms = Some(now_ms + SECOND_LOOK_MS);
            return false;
        }
        true
    }

    fn limit_ms_max(&self) -> u64 {
        (3 * self.every_ms).clamp(LIMIT_MS_MAX, PROMISE_MS_MAX)
    }

    fn limit_of_gaps_ms(&self) -> u64 {
        let count = self.gaps_ms.len() as u64;
        if self.gaps_ms.len() < GAPS_MIN {
            return (3 * self.every_ms).clamp(START_MS, PROMISE_MS_MAX);
        }
        let (mut sum, mut squares, mut worst_ms) = (0, 0, 0);
        for gap_ms in &self.gaps_ms {
            sum += gap_ms;
            squares += gap_ms * gap_ms;
            worst_ms = worst_ms.max(*gap_ms);
        }
        let mean_ms = sum / count;
        // Never negative (Cauchy and Schwarz), and below 2⁴⁵.
        let deviation_ms = ((count * squares - sum * sum).isqrt() / count).max(self.every_ms / 4);
        let normal_ms = PHI_8_THOUSANDTHS * deviation_ms / 1000;
        let margin_ms = normal_ms.max(WORST_TIMES * (worst_ms - mean_ms));
        (mean_ms + margin_ms).min(self.limit_ms_max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// After words with these gaps.
    fn after(gaps_ms: &[u64]) -> Suspicion {
        let mut suspicion = Suspicion::new(100, 0);
        let mut now_ms = 0;
        suspicion.regular_word(now_ms);
        for gap_ms in gaps_ms {
            now_ms += gap_ms;
            suspicion.regular_word(now_ms);
        }
        suspicion
    }

    #[test]
    fn a_quiet_network_is_waited_for_a_quarter_of_a_second() {
        let gaps: Vec<u64> = (0..200).map(|i| 98 + i % 5).collect();
        let limit_ms = after(&gaps).limit_ms() + SECOND_LOOK_MS;
        assert!((200..=300).contains(&limit_ms), "{limit_ms}");
    }

    #[test]
    fn little_is_known_at_the_start() {
        assert_eq!(after(&[]).limit_ms(), START_MS);
        assert_eq!(after(&[100; GAPS_MIN - 1]).limit_ms(), START_MS);
        assert!(after(&[100; GAPS_MIN]).limit_ms() < START_MS);
    }

    #[test]
    fn a_worse_gap_is_waited_for_until_it_is_forgotten() {
        let mut gaps = vec![100; 100];
        gaps.push(400);
        let limit_ms = after(&gaps).limit_ms();
        assert!((650..800).contains(&limit_ms), "{limit_ms}");
        gaps.extend([100; GAPS_MAX]);
        assert_eq!(after(&gaps).limit_ms(), after(&[100; 100]).limit_ms());
    }

    #[test]
    fn a_word_is_as_late_as_it_comes_after_anything_else() {
        let mut suspicion = Suspicion::new(100, 0);
        let mut now_ms = 0;
        suspicion.regular_word(now_ms);
        for _ in 0..GAPS_MAX {
            // For most of a second it says other things.
            for _ in 0..20 {
                now_ms += 45;
                suspicion.heard(now_ms);
            }
            now_ms += 100;
            suspicion.regular_word(now_ms);
        }
        assert_eq!(suspicion.limit_ms(), after(&[100; GAPS_MAX]).limit_ms());
    }

    #[test]
    fn silence_is_looked_at_twice() {
        let mut suspicion = after(&[100; 50]);
        let first_ms = suspicion.deadline_ms();
        assert!(!suspicion.look(first_ms - 1) && !suspicion.look(first_ms));
        assert_eq!(suspicion.deadline_ms(), first_ms + SECOND_LOOK_MS);
        assert!(suspicion.clone().look(first_ms + SECOND_LOOK_MS));
        suspicion.heard(first_ms + 5);
        assert!(!suspicion.look(first_ms + SECOND_LOOK_MS));
    }

    #[test]
    fn our_own_standstill_is_not_its_silence_and_no_gap_of_it() {
        let mut suspicion = after(&[100; 50]);
        let limit_ms = suspicion.limit_ms();
        let now_ms = suspicion.deadline_ms() + 60_000;
        assert!(!suspicion.look(now_ms));
        assert_eq!(suspicion.deadline_ms(), now_ms - limit_ms / 2 + limit_ms);
        suspicion.regular_word(now_ms + 20);
        assert_eq!(suspicion.limit_ms(), limit_ms);
        // It is suspected all the same if it stays silent.
        let first_ms = suspicion.deadline_ms();
        assert!(!suspicion.look(first_ms) && suspicion.look(first_ms + SECOND_LOOK_MS));
    }

    #[test]
    fn whoever_promises_to_speak_rarely_is_waited_for() {
        assert_eq!(Suspicion::new(2_000, 0).limit_ms(), 6_000);
        assert_eq!(Suspicion::new(u64::MAX, 0).limit_ms(), PROMISE_MS_MAX);
        assert_eq!(Suspicion::new(0, 0).limit_ms(), START_MS);
    }

    proptest! {
        #[test]
        fn the_limit_is_bounded_whatever_comes(
            every_ms in any::<u64>(),
            gaps_ms in prop::collection::vec(0u64..1 << 40, 0..700),
        ) {
            let mut suspicion = Suspicion::new(every_ms, 0);
            let mut now_ms = 0;
            for gap_ms in gaps_ms {
                now_ms += gap_ms;
                suspicion.regular_word(now_ms);
                let limit_ms = suspicion.limit_ms();
                prop_assert!((1..=PROMISE_MS_MAX).contains(&limit_ms), "{limit_ms}");
                prop_assert!(suspicion.gaps_ms.len() <= GAPS_MAX);
            }
            prop_assert!(suspicion.deadline_ms() > suspicion.heard_ms());
        }

        #[test]
        fn longer_silence_is_never_less_suspect(
            gaps_ms in prop::collection::vec(0u64..500, 0..100),
            silent_ms in 0u64..5_000,
            longer_ms in 0u64..90,
        ) {
            let suspected = |silent_ms: u64| {
                let mut suspicion = after(&gaps_ms);
                let from_ms = suspicion.heard_ms();
                (0..=silent_ms).any(|ms| suspicion.look(from_ms + ms))
            };
            if suspected(silent_ms) {
                prop_assert!(suspected(silent_ms + longer_ms));
            }
        }

        #[test]
        fn more_jitter_never_gives_less_time(
            jitter_ms in 0u64..90,
            more_ms in 0u64..400,
        ) {
            let limit_ms = |jitter_ms: u64| {
                let gaps: Vec<u64> = (0..60).map(|i| 500 + jitter_ms * (i % 2)).collect();
                // The same mean for both.
                let gaps: Vec<u64> = gaps.iter().map(|gap| gap - jitter_ms / 2).collect();
                after(&gaps).limit_ms()
            };
            // Whole milliseconds round the mean and the deviation.
            prop_assert!(limit_ms(jitter_ms + more_ms) + 8 >= limit_ms(jitter_ms));
        }
    }
}
