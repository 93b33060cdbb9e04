//! A bound on how often something is done, whoever asks for it.

/// Allows `burst` at once and `per_s` in the long run.
#[derive(Debug, Clone)]
pub struct Rate {
    per_s: u64,
    burst: u64,
    /// Thousandths of one permission.
    milli: u64,
    last_ms: u64,
}

impl Rate {
    /// A full allowance.
    pub fn new(per_s: u64, burst: u64) -> Self {
        Rate { per_s, burst, milli: burst * 1000, last_ms: 0 }
    }

    /// Takes one permission, if there is one.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        let gained = passed_ms.saturating_mul(self.per_s);
        self.milli = self.milli.saturating_add(gained).min(self.burst * 1000);
        if self.milli < 1000 {
            return false;
        }
        self.milli -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_the_burst_and_then_the_rate() {
        let mut rate = Rate::new(10, 5);
        let taken = |rate: &mut Rate, now| (0..100).filter(|_| rate.take(now)).count();
        assert_eq!(taken(&mut rate, 1_000), 5);
        assert_eq!(taken(&mut rate, 1_000), 0);
        assert_eq!(taken(&mut rate, 1_200), 2);
        assert_eq!(taken(&mut rate, 60_000), 5);
        // A clock that goes back gives nothing.
        assert_eq!(taken(&mut rate, 0), 0);
    }
}
