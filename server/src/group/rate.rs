//! Bounds on how often something is done, whoever asks for it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

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

/// How many a second, which is also how many at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From one address.
    pub address_per_s: u64,
    /// From one network of 256 addresses.
    pub network_per_s: u64,
    /// From anywhere.
    pub all_per_s: u64,
}

/// How many addresses are told apart, as a power of two; those beyond share
/// the allowance of another. A group has up to 10,000 DTUs.
const ADDRESSES_BITS: u32 = 14;
/// How many networks are told apart, likewise.
const NETWORKS_BITS: u32 = 9;

/// Bounds what is answered, by where it comes from, so that a flood that
/// pretends to be somebody uses up nobody else's answers.
#[derive(Debug, Clone)]
pub struct Sources {
    limits: Limits,
    addresses: BTreeMap<u32, Rate>,
    networks: BTreeMap<u32, Rate>,
    all: Rate,
}

impl Sources {
    /// Full allowances.
    pub fn new(limits: Limits) -> Self {
        let all = Rate::new(limits.all_per_s, limits.all_per_s);
        Sources { limits, addresses: BTreeMap::new(), networks: BTreeMap::new(), all }
    }

    /// Takes one permission for this source, if there is one.
    pub fn take(&mut self, from: Ipv4Addr, now_ms: u64) -> bool {
        let address = from.to_bits();
        let Limits { address_per_s, network_per_s, .. } = self.limits;
        // What one address may not have is not taken from its network, nor
        // what a network may not have from all.
        take(&mut self.addresses, slot(address, ADDRESSES_BITS), address_per_s, now_ms)
            && take(&mut self.networks, slot(address >> 8, NETWORKS_BITS), network_per_s, now_ms)
            && self.all.take(now_ms)
    }
}

/// A source's place among 2^bits: Knuth's multiplicative hash, so that the same
/// host of several networks has several places. Who seeks a place that
/// somebody else has could as well forge that one's address.
fn slot(source: u32, bits: u32) -> u32 {
    source.wrapping_mul(0x9e37_79b1) >> (32 - bits)
}

fn take(rates: &mut BTreeMap<u32, Rate>, source: u32, per_s: u64, now_ms: u64) -> bool {
    rates.entry(source).or_insert_with(|| Rate::new(per_s, per_s)).take(now_ms)
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

    fn taken(sources: &mut Sources, from: impl Iterator<Item = u32>, now_ms: u64) -> usize {
        from.filter(|bits| sources.take(Ipv4Addr::from_bits(*bits), now_ms)).count()
    }

    #[test]
    fn a_flood_from_one_place_leaves_the_others_theirs() {
        let limits = Limits { address_per_s: 10, network_per_s: 50, all_per_s: 200 };
        let mut sources = Sources::new(limits);
        let net = |third: u32| 0x0a00_0000 | third << 8;
        // One address, its neighbour, the rest of its network, another one.
        assert_eq!(taken(&mut sources, std::iter::repeat_n(net(1) | 1, 1_000), 0), 10);
        assert_eq!(taken(&mut sources, std::iter::repeat_n(net(1) | 2, 1_000), 0), 10);
        assert_eq!(taken(&mut sources, (3..250).map(|host| net(1) | host), 0), 30);
        assert_eq!(taken(&mut sources, (3..250).map(|host| net(2) | host), 0), 50);
        // From everywhere at once there is a limit, too.
        assert_eq!(taken(&mut sources, (3..250).map(net), 0), 100);
        assert_eq!(taken(&mut sources, (0..1_000_000).map(|i| i * 4_001), 1_000), 200);
        assert!(sources.addresses.len() <= 16_384 && sources.networks.len() <= 512);
    }
}
