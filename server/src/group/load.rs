//! Where a new session goes: the load formula, and what keeps servers from
//! all choosing the same one.
//!
//! A server's **demand** is counted in hundredths of a busy processor: its load
//! average times 100, and [`SESSION_DEMAND`] for each session that it has or is
//! about to get. Its **capacity** is `cpus × clock` in MHz; what a server does
//! not tell counts as one processor and as 1,000 MHz. The **weight** is
//!
//! ```text
//! weight = (load_percent + 25 × (sessions + arriving)) × 1,000,000 / (cpus × clock_mhz)
//! ```
//!
//! that is how many busy processors there are for each 10 GHz, in
//! ten-thousandths. The lightest server gets the session. One that is short of
//! memory, with less than [`SESSION_MIB`] left for one more session after
//! those that arrive, counts as heavier than any that is not. The load average
//! contains what running sessions do, so a session that works counts more than
//! one that idles.
//!
//! **No herd.** All servers see the same numbers, which are as old as the last
//! host message, and would all send to the same server until its next one. So
//! each counts what it sent there since, and supposes that every other server
//! that is up did the same: `arriving = sent × servers`. Ourselves we see as
//! the others see us: by our own last host message, and what we kept since.
//! Among those that are hardly heavier than the lightest, by no more than one
//! session of our own would make them, randomness decides; ourselves if we are
//! among them, for that saves a redirect.

use afterglow_wire::ids::ServerName;

/// What a session is reckoned to need, in hundredths of a processor.
pub const SESSION_DEMAND: u64 = 25;
/// What a session is reckoned to need, in MiB of memory.
pub const SESSION_MIB: u64 = 256;

/// A server that may get a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: ServerName,
    /// Its processors.
    pub cpus: u32,
    /// Their clock in MHz.
    pub clock_mhz: u32,
    /// Its load average times 100.
    pub load_percent: u32,
    /// How many sessions it had when it spoke last.
    pub sessions: u32,
    /// Its free memory in MiB; 0 if it is not known.
    pub memory_mib: u32,
    /// How many sessions are on their way to it.
    pub arriving: u64,
}

/// How heavily loaded a server is; the lower, the sooner it gets a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight {
    short_of_memory: bool,
    weight: u64,
}

impl Candidate {
    fn capacity_mhz(&self) -> u64 {
        let clock_mhz = if self.clock_mhz == 0 { 1_000 } else { self.clock_mhz };
        u64::from(self.cpus.max(1)) * u64::from(clock_mhz)
    }

    /// The formula, with so many sessions more.
    fn weight_with(&self, more: u64) -> Weight {
        let sessions = u64::from(self.sessions).saturating_add(self.arriving).saturating_add(more);
        let demand =
            u64::from(self.load_percent).saturating_add(sessions.saturating_mul(SESSION_DEMAND));
        let arrived = self.arriving.saturating_add(1);
        let short_of_memory = self.memory_mib != 0
            && u64::from(self.memory_mib) < arrived.saturating_mul(SESSION_MIB);
        Weight { short_of_memory, weight: demand.saturating_mul(1_000_000) / self.capacity_mhz() }
    }

    /// How heavily loaded it is now.
    pub fn weight(&self) -> Weight {
        self.weight_with(0)
    }
}

/// The lightest of these, or one that is hardly heavier: `ours` if it is among
/// those, else one by the randomness. `None` if there are none.
pub fn choose<'a>(
    candidates: &'a [Candidate],
    ours: &ServerName,
    random: u64,
) -> Option<&'a Candidate> {
    let lightest = candidates.iter().min_by_key(|candidate| candidate.weight())?;
    let limit = lightest.weight_with(1);
    let near: Vec<_> = candidates
        .iter()
        .filter(|candidate| {
            let weight = candidate.weight();
            weight.short_of_memory == limit.short_of_memory && weight <= limit
        })
        .collect();
    if let Some(own) = near.iter().find(|candidate| candidate.name == *ours) {
        return Some(own);
    }
    // The remainder is below the length, which fits.
    near.get((random % near.len().max(1) as u64) as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    fn candidate(text: &str) -> Candidate {
        Candidate {
            name: name(text),
            cpus: 4,
            clock_mhz: 2_500,
            load_percent: 0,
            sessions: 0,
            memory_mib: 16_384,
            arriving: 0,
        }
    }

    fn chosen(candidates: &[Candidate]) -> &str {
        choose(candidates, &name("none-of-these"), 0).expect("one").name.as_str()
    }

    #[test]
    fn each_part_of_the_formula_counts() {
        let (light, heavy) = (candidate("light"), candidate("heavy"));
        for heavy in [
            Candidate { cpus: 1, load_percent: 200, ..heavy.clone() },
            Candidate { clock_mhz: 500, load_percent: 200, ..heavy.clone() },
            Candidate { load_percent: 300, ..heavy.clone() },
            Candidate { sessions: 9, ..heavy.clone() },
            Candidate { arriving: 9, ..heavy.clone() },
            Candidate { memory_mib: 255, ..heavy.clone() },
        ] {
            let light = Candidate { load_percent: 50, ..light.clone() };
            assert_eq!(chosen(&[heavy.clone(), light.clone()]), "light", "{heavy:?}");
            assert_eq!(chosen(&[light, heavy]), "light");
        }
    }

    #[test]
    fn the_weight_is_what_the_formula_says() {
        let busy = Candidate { load_percent: 150, sessions: 4, arriving: 2, ..candidate("busy") };
        // (150 + 25 × 6) × 1,000,000 / (4 × 2,500)
        assert_eq!(busy.weight(), Weight { short_of_memory: false, weight: 30_000 });
        let untold = Candidate { cpus: 0, clock_mhz: 0, memory_mib: 0, ..busy };
        assert_eq!(untold.weight(), Weight { short_of_memory: false, weight: 300_000 });
    }

    #[test]
    fn nobody_else_is_worse_than_short_of_memory() {
        let short = Candidate { memory_mib: 100, ..candidate("short") };
        let busy = Candidate { load_percent: 10_000, ..candidate("busy") };
        assert_eq!(chosen(&[short.clone(), busy]), "busy");
        // And better than nobody.
        assert_eq!(chosen(&[short]), "short");
        assert_eq!(choose(&[], &name("mud"), 7), None);
    }

    #[test]
    fn nearly_equal_ones_take_turns_and_our_own_comes_first() {
        let all = [candidate("a"), Candidate { load_percent: 20, ..candidate("b") }];
        let by = |random| choose(&all, &name("c"), random).expect("one").name.as_str();
        assert_eq!((by(0), by(1), by(u64::MAX)), ("a", "b", "b"));
        assert_eq!(choose(&all, &name("b"), 0).expect("one").name.as_str(), "b");
    }

    #[test]
    fn absurd_numbers_are_no_trouble() {
        let absurd = Candidate {
            cpus: u32::MAX,
            clock_mhz: u32::MAX,
            load_percent: u32::MAX,
            sessions: u32::MAX,
            arriving: u64::MAX,
            ..candidate("absurd")
        };
        let slow = Candidate { cpus: 1, clock_mhz: 1, ..absurd.clone() };
        assert_eq!(chosen(&[slow, absurd]), "absurd");
    }
}
