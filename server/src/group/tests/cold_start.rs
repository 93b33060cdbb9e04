//! Sixty-four servers that are switched on at once, on one wire that loses
//! and delays.

use super::*;
use std::collections::BTreeMap;

const SERVERS: u8 = 64;
const INTERVAL_MS: u64 = 2_000;

/// A wire on which everybody hears everybody.
struct Wire {
    servers: Vec<GroupManager>,
    /// When each was switched on.
    starts_ms: Vec<u64>,
    /// What is under way: when it arrives, in what order it was sent, to whom
    /// it goes, from whom.
    flying: BTreeMap<(u64, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    loss_percent: u64,
    random: u64,
}

impl Wire {
    fn new(loss_percent: u64, starts_ms: impl Fn(u8) -> u64) -> Self {
        let server =
            |i: u8| server_with(&format!("s{i}"), i + 1, 100, |config| config.multicast = true);
        Wire {
            servers: (0..SERVERS).map(server).collect(),
            starts_ms: (0..SERVERS).map(starts_ms).collect(),
            flying: BTreeMap::new(),
            sent: 0,
            loss_percent,
            random: 1,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    fn carry(&mut self, from: usize, outputs: &[Output], now: u64) {
        for transmit in sent(outputs) {
            let last = usize::from(transmit.to.ip().octets()[3]);
            let shared = last == 255 || transmit.to.ip().is_multicast();
            let to = if shared { 0..self.servers.len() } else { last - 1..last };
            for to in to {
                self.sent += 1;
                if self.random(100) >= self.loss_percent {
                    let at = now + self.random(5);
                    self.flying.insert((at, self.sent), (to, from, transmit.datagram.clone()));
                }
            }
        }
    }

    fn run_until(&mut self, end_ms: u64) {
        for now in 0..=end_ms {
            while let Some(arrival) = self.flying.first_entry().filter(|e| e.key().0 <= now) {
                let (to, from, datagram) = arrival.remove();
                if self.starts_ms[to] <= now {
                    let from = address(from as u8 + 1, 7009);
                    let outputs = hear(&mut self.servers[to], &datagram, from, now);
                    self.carry(to, &outputs, now);
                }
            }
            for i in 0..self.servers.len() {
                if self.starts_ms[i] <= now && self.servers[i].next_tick_ms() <= now {
                    let outputs = self.servers[i].tick(now, WALL_MS + now);
                    self.carry(i, &outputs, now);
                }
            }
        }
    }

    /// The fewest servers that one of them sees up.
    fn fewest(&self) -> usize {
        self.servers.iter().map(|server| server.topology().up().count() + 1).min().unwrap_or(0)
    }
}

#[test]
fn sixty_four_servers_have_one_view_within_two_host_intervals() {
    let mut at_once = Wire::new(0, |_| 0);
    at_once.run_until(10);
    assert_eq!(at_once.fewest(), 64);
    // One after the other, with every twentieth datagram lost.
    let mut scattered = Wire::new(5, |i| u64::from(i) * 37 % INTERVAL_MS);
    let last_start_ms = scattered.starts_ms.iter().max().copied().unwrap_or(0);
    scattered.run_until(last_start_ms + 2 * INTERVAL_MS);
    assert_eq!(scattered.fewest(), 64);
    // No more than a greeting for each that comes beside the regular course:
    // two datagrams to each of 64 in at most three rounds.
    let regular = 64 * 64 * 2 * 3;
    assert!(scattered.sent <= regular + 64 * 63, "{}", scattered.sent);
}

#[test]
fn the_group_is_full_at_sixty_four() {
    let mut mud = server("mud", 200, 100);
    for i in 0..100 {
        let word = sent(&server(&format!("s{i}"), i + 1, 100).tick(0, WALL_MS));
        let told = hear(&mut mud, &word[0].datagram, address(i + 1, 7009), 0);
        if i == 63 {
            let says =
                |output: &Output| matches!(output, Output::Report(text) if text.contains("s63"));
            assert!(told.iter().any(says), "{told:?}");
        }
    }
    assert_eq!(mud.topology().hosts().count(), 63);
    assert_eq!(mud.servers_for(Ipv4Addr::new(192, 168, 1, 77)).len(), SERVERS_MAX);
}
