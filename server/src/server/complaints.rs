//! What peers do wrong: counted always, logged once for each address and
//! interval, so that nobody can fill the log.

use std::collections::HashMap;
use std::net::IpAddr;

/// How long an address is not logged again.
const INTERVAL_MS: u64 = 10_000;
/// The most addresses that are remembered.
const ADDRESSES_MAX: usize = 1024;

#[derive(Debug)]
struct Entry {
    logged_ms: u64,
    unlogged: u64,
}

/// Who did wrong, and how often.
#[derive(Debug, Default)]
pub struct Complaints {
    entries: HashMap<IpAddr, Entry>,
    total: u64,
}

impl Complaints {
    /// Notes one; gives how many were not logged since the last time if this
    /// one is to be logged.
    pub fn note(&mut self, from: IpAddr, now_ms: u64) -> Option<u64> {
        self.total += 1;
        if let Some(entry) = self.entries.get_mut(&from) {
            if now_ms < entry.logged_ms + INTERVAL_MS {
                entry.unlogged += 1;
                return None;
            }
            let unlogged = std::mem::take(&mut entry.unlogged);
            entry.logged_ms = now_ms;
            return Some(unlogged);
        }
        if self.entries.len() >= ADDRESSES_MAX {
            self.entries.retain(|_, entry| now_ms < entry.logged_ms + INTERVAL_MS);
            if self.entries.len() >= ADDRESSES_MAX {
                return None;
            }
        }
        self.entries.insert(from, Entry { logged_ms: now_ms, unlogged: 0 });
        Some(0)
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn each_address_is_logged_once_an_interval_and_all_are_counted() {
        let mut complaints = Complaints::default();
        let from = |i: u32| IpAddr::V4(Ipv4Addr::from_bits(i));
        assert_eq!(complaints.note(from(1), 0), Some(0));
        assert_eq!(complaints.note(from(1), 1), None);
        assert_eq!(complaints.note(from(1), 2), None);
        assert_eq!(complaints.note(from(2), 2), Some(0));
        assert_eq!(complaints.note(from(1), INTERVAL_MS), Some(2));
        assert_eq!(complaints.total(), 5);
        for i in 0..5000 {
            complaints.note(from(i), INTERVAL_MS + 1);
        }
        assert!(complaints.entries.len() <= ADDRESSES_MAX);
        assert_eq!(complaints.total(), 5005);
    }
}
