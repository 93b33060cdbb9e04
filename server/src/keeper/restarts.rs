//! How long to wait before what died is started again. No I/O.

use std::time::Duration;

/// What lived this long was well.
pub const WELL_AFTER: Duration = Duration::from_secs(5);
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Counts the deaths of the young, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Restarts {
    died_young: u32,
}

impl Restarts {
    /// One died after this long. Gives how long to wait: nothing at
    /// first, then longer and longer.
    pub fn died(&mut self, lived: Duration) -> Duration {
        self.died_young = match lived >= WELL_AFTER {
            true => 0,
            false => self.died_young.saturating_add(1),
        };
        match self.died_young {
            0 | 1 => Duration::ZERO,
            // Two to the sixth is beyond the longest wait already.
            n => (WAIT_FIRST * 2u32.pow(n.min(8) - 2)).min(WAIT_MAX),
        }
    }

    /// One has lived long enough: it is as if none had died.
    pub fn lives(&mut self) {
        self.died_young = 0;
    }

    /// How many died young in a row.
    pub fn died_young(&self) -> u32 {
        self.died_young
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_a_crash_loop_slows_down() {
        let mut restarts = Restarts::default();
        let young = Duration::from_millis(20);
        assert_eq!(restarts.died(young), Duration::ZERO);
        let waits: Vec<Duration> = (0..20).map(|_| restarts.died(young)).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits[0], WAIT_FIRST);
        assert_eq!(waits[19], WAIT_MAX);
        assert_eq!(restarts.died(WELL_AFTER), Duration::ZERO);
        assert_eq!(restarts.died_young(), 0);
    }
}
