//! Randomness from a seed, and the waits that it spreads: ten thousand DTUs
//! that lost the same server must not come back as one.

/// The first wait after a failure; it doubles with each more.
const FIRST_WAIT_MS: u64 = 250;

/// Numbers from a seed (xorshift64).
#[derive(Debug, Clone)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        // Seeds that differ in few bits give numbers that differ in many
        // (splitmix64), and no state is zero.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Jitter((mixed ^ (mixed >> 31)) | 1)
    }

    /// A number below `below`; 0 if that is 0.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits are the weak ones.
        (self.0 >> 16) % below.max(1)
    }

    /// A wait after this many failures in a row: anything up to a limit that
    /// doubles up to `max_ms` (full jitter). None after no failure.
    pub(super) fn spread_wait_ms(&mut self, failures: u32, max_ms: u64) -> u64 {
        match limit_ms(failures, max_ms) {
            0 => 0,
            limit_ms => 1 + self.below(limit_ms),
        }
    }

    /// The same, but at least half of the limit, for what costs others
    /// something each time.
    pub(super) fn steady_wait_ms(&mut self, failures: u32, max_ms: u64) -> u64 {
        let limit_ms = limit_ms(failures, max_ms);
        limit_ms / 2 + self.below(limit_ms / 2 + 1)
    }
}

fn limit_ms(failures: u32, max_ms: u64) -> u64 {
    match failures {
        0 => 0,
        failures => (FIRST_WAIT_MS << (failures - 1).min(16)).min(max_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_spread_over_all_of_their_limit() {
        let mut jitter = Jitter::new(7);
        assert_eq!((jitter.spread_wait_ms(0, 3_000), jitter.steady_wait_ms(0, 3_000)), (0, 0));
        for (failures, limit_ms) in [(1, 250), (3, 1_000), (5, 3_000), (u32::MAX, 3_000)] {
            let waits: Vec<u64> =
                (0..1_000).map(|_| jitter.spread_wait_ms(failures, 3_000)).collect();
            let early = waits.iter().filter(|wait_ms| **wait_ms < limit_ms / 4).count();
            assert!(waits.iter().all(|wait_ms| (1..=limit_ms).contains(wait_ms)));
            assert!((200..300).contains(&early), "{early} of 1000 in the first quarter");
            let steady = jitter.steady_wait_ms(failures, 3_000);
            assert!((limit_ms / 2..=limit_ms).contains(&steady));
        }
    }

    #[test]
    fn neighbouring_seeds_give_other_numbers() {
        let first: std::collections::BTreeSet<u64> =
            (0..1_000).map(|seed| Jitter::new(seed).below(1 << 40)).collect();
        assert_eq!(first.len(), 1_000);
    }
}
