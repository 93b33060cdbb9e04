//! Where new sessions go: by load, not all to the same server, and never where
//! they may not.

use super::*;
use afterglow_wire::guard::Guard;

const DTU: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 77);

/// Numbers that look random and are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn servers(count: u8, sessions: impl Fn(u8) -> u32) -> Vec<GroupManager> {
    let with_sessions = |i: u8| {
        let mut manager = server(&format!("s{i}"), i + 1, 100);
        let interfaces = vec![interface(i + 1)];
        let machine = Present { cpus: 8, clock_mhz: 3_000, ..Present::default() };
        manager.set_present(Present { interfaces, sessions: sessions(i), ..machine });
        manager
    };
    let mut all: Vec<_> = (0..count).map(with_sessions).collect();
    everybody_speaks(&mut all, 0);
    all
}

fn everybody_speaks(all: &mut [GroupManager], now: u64) {
    for i in 0..all.len() {
        speaks(all, i, now);
    }
}

fn speaks(all: &mut [GroupManager], i: usize, now: u64) {
    let mut out = Vec::new();
    all[i].speak(now, WALL_MS + now, &mut out);
    let datagram = &sent(&out)[0].datagram;
    for (j, other) in all.iter_mut().enumerate() {
        if j != i {
            hear(other, datagram, address(i as u8 + 1, 7009), now);
        }
    }
}

/// Server `i` places a session, and its host gets it.
fn place(all: &mut [GroupManager], counts: &mut [u32], i: usize, random: u64) {
    let to = all[i].lightest(0, DTU, &BTreeSet::new(), true, random).expect("somebody");
    all[i].note_sent(&to);
    let at: usize = to.as_str()[1..].parse().expect("a number");
    counts[at] += 1;
}

fn assert_even(counts: &[u32], each: u32) {
    let even = each - each / 10..=each + each / 10;
    assert!(counts.iter().all(|count| even.contains(count)), "{counts:?}");
}

#[test]
fn ten_servers_that_know_nothing_new_spread_a_thousand_sessions_each_evenly() {
    for seed in 0..20 {
        let mut all = servers(10, |_| 0);
        let (mut counts, mut numbers) = ([0; 10], Numbers(seed));
        for round in 0..10_000 {
            place(&mut all, &mut counts, round % 10, numbers.next());
        }
        assert_even(&counts, 1_000);
    }
}

#[test]
fn one_server_that_places_all_of_them_spreads_them_evenly() {
    let mut all = servers(10, |_| 0);
    let (mut counts, mut numbers) = ([0; 10], Numbers(1));
    for _ in 0..10_000 {
        place(&mut all, &mut counts, 3, numbers.next());
    }
    assert_even(&counts, 1_000);
}

#[test]
fn a_tenth_that_comes_anew_is_neither_flooded_nor_left_out() {
    // Nine servers have 900 sessions each, the tenth has none. Each
    // speaks after 400 placements of all, one after the other, so that what
    // is known is never new.
    for seed in 0..20 {
        let mut all = servers(10, |i| if i == 9 { 0 } else { 900 });
        let mut counts = [900, 900, 900, 900, 900, 900, 900, 900, 900, 0];
        let mut numbers = Numbers(seed);
        for round in 0..1_900 {
            let from = (numbers.next() % 10) as usize;
            let random = numbers.next();
            place(&mut all, &mut counts, from, random);
            if round % 40 == 39 {
                let speaker = round / 40 % 10;
                let sessions = counts[speaker];
                let present = Present { sessions, ..all[speaker].present.clone() };
                all[speaker].set_present(present);
                speaks(&mut all, speaker, round as u64);
            }
        }
        assert_even(&counts, 1_000);
    }
}

#[test]
fn a_larger_host_gets_its_larger_share() {
    let mut all = servers(4, |_| 0);
    let large = Present { cpus: 24, ..all[0].present.clone() };
    all[0].set_present(large);
    everybody_speaks(&mut all, 1_000);
    let (mut counts, mut numbers) = ([0; 4], Numbers(5));
    for round in 0..3_000 {
        place(&mut all, &mut counts, round % 4, numbers.next());
    }
    assert_even(&counts[1..], 500);
    assert_even(&counts[..1], 1_500);
}

#[test]
fn one_insert_each_costs_no_redirect() {
    let mut all = servers(10, |_| 7);
    for (i, server) in all.iter_mut().enumerate() {
        let chosen = server.lightest(0, DTU, &BTreeSet::new(), true, 99);
        assert_eq!(chosen, Some(name(&format!("s{i}"))));
    }
}

#[test]
fn no_session_goes_where_it_may_not() {
    let mut all = servers(3, |i| if i == 0 { 50 } else { 0 });
    let lightest = |s0: &mut GroupManager, now, except: &[&str], room| {
        let except = except.iter().map(|text| name(text)).collect();
        s0.lightest(now, DTU, &except, room, 0).map(|name| name.to_string())
    };
    assert_eq!(lightest(&mut all[0], 0, &[], true).as_deref(), Some("s1"));
    // Not to one that the DTU could not reach; ourselves if there is room.
    assert_eq!(lightest(&mut all[0], 0, &["s1"], true).as_deref(), Some("s2"));
    assert_eq!(lightest(&mut all[0], 0, &["s1", "s2"], true).as_deref(), Some("s0"));
    assert_eq!(lightest(&mut all[0], 0, &["s1", "s2"], false), None);
    // Not to one that takes leave.
    all[1].set_draining(true);
    speaks(&mut all, 1, 1_000);
    assert_eq!(lightest(&mut all[0], 1_000, &[], true).as_deref(), Some("s2"));
    // Nor to one that is silent, or that this DTU's network does not reach.
    speaks(&mut all, 2, 3_000);
    assert_eq!(lightest(&mut all[0], 9_000, &[], false).as_deref(), Some("s2"));
    assert_eq!(lightest(&mut all[0], 9_001, &[], false), None);
    let dtu = Ipv4Addr::new(192, 168, 9, 77);
    let elsewhere = Interface { ip: Ipv4Addr::new(192, 168, 9, 1), ..interface(1) };
    let interfaces = vec![interface(1), elsewhere];
    all[0].set_present(Present { interfaces, ..Present::default() });
    assert_eq!(all[0].lightest(9_000, dtu, &BTreeSet::new(), false, 0), None);
    // Nor to ourselves when we take leave.
    all[0].set_draining(true);
    assert_eq!(lightest(&mut all[0], 9_000, &["s2"], true), None);
    all[0].config.guards = Guards::all_but(Guard::Draining);
    assert!(lightest(&mut all[0], 9_000, &["s2"], true).is_some());
}
