//! What services are told when a DTU connects to the session and when it
//! disconnects (the patent's connect and disconnect messages): each may name a
//! command for either. No I/O.
//!
//! A service's commands run one at a time and in order. Of what could not be
//! told in time only the latest matters, so little waits.

use std::collections::{BTreeMap, VecDeque};

/// How many commands of one service may wait.
const WAITING_MAX: usize = 4;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A DTU shows the session.
    Connected,
    /// It does not any more.
    Disconnected,
}

/// Which commands run, and which wait, by the service's place in the catalogue.
#[derive(Debug, Default)]
pub struct Connecting {
    services: BTreeMap<usize, Turns>,
    connected: bool,
}

#[derive(Debug, Default)]
struct Turns {
    runs: bool,
    waiting: VecDeque<Change>,
}

impl Connecting {
    /// A DTU connected or disconnected, as these services are to hear. Gives
    /// the commands to run now. What was told already is not told again.
    pub fn changed(
        &mut self,
        change: Change,
        services: impl Iterator<Item = usize>,
    ) -> Vec<(usize, Change)> {
        let connected = change == Change::Connected;
        if std::mem::replace(&mut self.connected, connected) == connected {
            return Vec::new();
        }
        services.filter_map(|service| self.tell(service, change)).collect()
    }

    fn tell(&mut self, service: usize, change: Change) -> Option<(usize, Change)> {
        let turns = self.services.entry(service).or_default();
        if !turns.runs {
            turns.runs = true;
            return Some((service, change));
        }
        if turns.waiting.len() >= WAITING_MAX {
            // A connection and its end: the service misses both.
            turns.waiting.drain(..2);
        }
        turns.waiting.push_back(change);
        None
    }

    /// A service's command is over. Gives its next.
    pub fn over(&mut self, service: usize) -> Option<Change> {
        let turns = self.services.get_mut(&service)?;
        let next = turns.waiting.pop_front();
        turns.runs = next.is_some();
        next
    }

    /// The session is frozen: what waits is told nobody.
    pub fn forget(&mut self) {
        self.services.values_mut().for_each(|turns| turns.waiting.clear());
        self.connected = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Connected, Disconnected};

    #[test]
    fn each_service_hears_of_each_change_once_and_in_order() {
        let mut connecting = Connecting::default();
        assert_eq!(connecting.changed(Disconnected, [0].into_iter()), [], "none was there");
        assert_eq!(
            connecting.changed(Connected, [0, 2].into_iter()),
            [(0, Connected), (2, Connected)]
        );
        assert_eq!(connecting.changed(Connected, [0, 2].into_iter()), [], "no news");
        assert_eq!(connecting.changed(Disconnected, [0].into_iter()), [], "it still runs");
        assert_eq!(connecting.over(2), None);
        assert_eq!(connecting.over(0), Some(Disconnected));
        assert_eq!(connecting.over(0), None);
        assert_eq!(connecting.changed(Connected, [0].into_iter()), [(0, Connected)]);
        assert_eq!(connecting.over(7), None);
    }

    #[test]
    fn a_command_that_hangs_while_dtus_come_and_go_makes_little_wait() {
        let mut connecting = Connecting::default();
        assert_eq!(connecting.changed(Connected, [0].into_iter()).len(), 1);
        for _ in 0..1000 {
            connecting.changed(Disconnected, [0].into_iter());
            connecting.changed(Connected, [0].into_iter());
        }
        let told: Vec<_> = std::iter::from_fn(|| connecting.over(0)).collect();
        assert_eq!(told, [Disconnected, Connected, Disconnected, Connected]);
    }

    #[test]
    fn a_frozen_session_tells_nobody() {
        let mut connecting = Connecting::default();
        connecting.changed(Connected, [0].into_iter());
        connecting.changed(Disconnected, [0].into_iter());
        connecting.forget();
        assert_eq!(connecting.over(0), None);
        assert_eq!(connecting.changed(Connected, [0].into_iter()), [(0, Connected)]);
    }
}
