//! Who is tried after a loss, how many at a time, and what a flood of made-up
//! servers changes about that.

use super::*;
use std::collections::BTreeMap;

fn nth(n: u8) -> Server {
    let address = SocketAddrV4::new([10, 0, 1, n].into(), 7010);
    Server { name: format!("s{n}").parse().unwrap(), address }
}

/// A DTU of this seed on the first of `count` servers, which the group tells
/// are up.
fn on_first_of(count: u8, seed: u64) -> Dtu {
    let mut dtu = Dtu::configured(|config| config.jitter_seed = seed);
    let address = nth(0).address;
    dtu.event(Event::ServerFound { address, server: None, via: Via::Listed });
    dtu.greet_of("s0", GROUP);
    dtu.control(Servers { servers: (0..count).map(nth).collect() });
    dtu.insert("aa");
    dtu.control(attach(101, "s0", 1, Origin::New));
    dtu.session_comes(None);
    dtu.take();
    dtu
}

/// Lets time pass until a link is being opened.
fn tried_after_ms(dtu: &mut Dtu) -> u64 {
    let start_ms = dtu.now_ms;
    while dtu.opening().is_none() {
        dtu.pass(1, false);
    }
    dtu.now_ms - start_ms
}

#[test]
fn the_dtus_of_a_dead_server_scatter_evenly_and_not_at_once() {
    let mut servers = BTreeMap::new();
    let mut moments = BTreeMap::new();
    for seed in 0..900 {
        let mut dtu = on_first_of(10, seed);
        dtu.control_dies();
        let moment_ms = tried_after_ms(&mut dtu);
        *servers.entry(dtu.opening().unwrap()).or_insert(0) += 1;
        *moments.entry(moment_ms / 10).or_insert(0) += 1;
    }
    assert_eq!(servers.len(), 9, "{servers:?}");
    assert!(servers.values().all(|dtus| (60..=140).contains(dtus)), "{servers:?}");
    assert!(moments.keys().all(|ten_ms| *ten_ms <= 5), "{moments:?}");
    assert!((0..5).all(|ten_ms| moments[&ten_ms] > 90), "{moments:?}");
}

#[test]
fn in_a_small_group_the_next_server_is_tried_at_once() {
    for seed in 0..50 {
        let mut dtu = on_first_of(3, seed);
        dtu.control_dies();
        assert_eq!(tried_after_ms(&mut dtu), 0);
    }
}

#[test]
fn a_server_that_does_not_answer_is_raced_and_the_first_to_greet_is_taken() {
    let mut dtu = on_first_of(4, 7);
    dtu.control_dies();
    dtu.pass(140, false);
    let attempts = |dtu: &Dtu| dtu.connection.control.attempts.len();
    assert_eq!(attempts(&dtu), 1);
    dtu.pass(20, false);
    assert_eq!(attempts(&dtu), 2);
    dtu.pass(150, false);
    assert_eq!(attempts(&dtu), 3);
    let tried = dtu.connection.control.tried();
    assert!((1..4).all(|n| tried.contains(&nth(n).address)), "{tried:?}");
    // The first of them answers after all, while the third is on its way.
    let first = dtu.connection.control.attempts[0].link;
    let server: ServerName = "s1".parse().unwrap();
    dtu.take();
    dtu.event(Event::ControlOpened { link: first, group: GROUP, server: server.clone() });
    let welcome = Welcome { version: VERSION, server, alive_every_ms: 100 };
    dtu.event(Event::Control { link: first, message: welcome.into() });
    assert_eq!((attempts(&dtu), dtu.logged("connected")), (0, 2));
    let closed = dtu.done.iter().filter(|a| matches!(a, Action::CloseControl { .. })).count();
    assert_eq!(closed, 2);
    // Whoever was only slower is not blamed for it.
    let inserts = dtu.inserts();
    assert_eq!(inserts[0].unreachable[..], ["s0".parse().unwrap()]);
}

#[test]
fn attempts_stay_few_and_late_ones_are_given_up() {
    let mut dtu = on_first_of(40, 7);
    dtu.control_dies();
    for _ in 0..200 {
        dtu.pass(50, false);
        assert!(dtu.connection.control.attempts.len() <= 4);
    }
    let opened = dtu.take().iter().filter(|a| matches!(a, Action::OpenControl { .. })).count();
    // Each has 1.5 s, and four are under way.
    assert!((20..=30).contains(&opened), "{opened}");
}

#[test]
fn the_way_to_a_redirects_target_is_alone() {
    let mut dtu = on_first_of(4, 7);
    let to = nth(3);
    dtu.control(Redirect { insert: 101, to, ticket: ticket(50), plan: RedirectPlan::Existing });
    dtu.pass(1_000, false);
    assert_eq!(dtu.connection.control.tried(), [nth(3).address]);
    dtu.pass(600, false);
    assert!(!dtu.connection.control.tried().contains(&nth(3).address));
}

#[test]
fn the_network_is_not_asked_while_servers_are_known() {
    let mut dtu = on_first_of(4, 7);
    dtu.control_dies();
    dtu.pass(400, false);
    let asks = |a: &Action| matches!(a, Action::SendServerQ | Action::AskSite | Action::Resolve);
    assert!(!dtu.take().iter().any(asks));
    dtu.pass(3_000, false);
    assert!(dtu.take().iter().any(asks));
}

#[test]
fn the_site_is_asked_before_the_network() {
    let mut dtu = Dtu::configured(|config| config.servers_listed = false);
    let asked = |dtu: &mut Dtu| -> Vec<Action> {
        let asks = |a: &Action| matches!(a, Action::SendServerQ | Action::AskSite);
        dtu.take().into_iter().filter(asks).collect()
    };
    assert_eq!(asked(&mut dtu), [Action::AskSite]);
    dtu.pass(100, false);
    assert_eq!(asked(&mut dtu), [Action::SendServerQ]);
    // What is known by then is tried in the stated order.
    let found = [
        ("host09", Via::Heard),
        ("host07", Via::Answer),
        ("host06", Via::Dhcp),
        ("host05", Via::Dns { place: 1 }),
        ("host04", Via::Dns { place: 0 }),
    ];
    let mut candidates = candidates::Candidates::default();
    let mut chance = Jitter::new(1);
    for (n, (server, via)) in found.into_iter().enumerate() {
        let address = SocketAddrV4::new([10, 0, 2, n as u8].into(), 7010);
        candidates.found(address, Some(name(server)), via, (0, &mut chance));
    }
    let first = candidates.pick(2_000, &[]).unwrap();
    assert_eq!(first.server, Some(name("host04")));
    let second = candidates.pick(2_000, &[first.address]).unwrap();
    assert_eq!(second.server, Some(name("host05")));
}

/// Forged answers and host messages without end, from addresses that never
/// answer, and one server that was up in an earlier run.
#[test]
fn a_flood_of_made_up_servers_neither_grows_anything_nor_hides_a_real_one() {
    for real_via in [Via::Remembered, Via::Answer, Via::Heard, Via::Dhcp] {
        let mut dtu = Dtu::configured(|config| config.servers_listed = false);
        let real = nth(200).address;
        let mut forged = 0u32;
        let mut flood = |dtu: &mut Dtu, count: u32| {
            for _ in 0..count {
                forged += 1;
                let via = if forged.is_multiple_of(2) { Via::Answer } else { Via::Heard };
                let address = SocketAddrV4::new((0xC0A8_0000 + forged).into(), 7010);
                let server = Some(name("mud"));
                dtu.event(Event::ServerFound { address, server, via });
            }
        };
        flood(&mut dtu, 20);
        let event = Event::ServerFound { address: real, server: Some(name("real")), via: real_via };
        dtu.event(event);
        while !dtu.connection.control.tried().contains(&real) {
            flood(&mut dtu, 200);
            dtu.pass(20, false);
            assert!(dtu.connection.search.candidates.count() <= 64 + 1);
            assert!(dtu.now_ms < 20_000, "{real_via:?} starves");
        }
        let index = dtu.connection.control.tried().iter().position(|at| *at == real).unwrap();
        dtu.control = dtu.connection.control.attempts[index].link;
        dtu.greet_of("real", GROUP);
        assert_eq!(dtu.logged("connected"), 1, "{real_via:?}");
        assert!(dtu.logged("server_found") < 2_000);
    }
}

#[test]
fn a_known_server_that_failed_has_its_turn_beside_made_up_ones() {
    let mut candidates = candidates::Candidates::default();
    let mut chance = Jitter::new(1);
    let real = nth(200).address;
    let mut know = |address, via| candidates.found(address, None, via, (0, &mut chance));
    know(real, Via::Remembered);
    // Whoever answers for it makes it no less known.
    assert!(!know(real, Via::Answer));
    for n in 0..20 {
        know(SocketAddrV4::new([10, 9, 9, n].into(), 7010), Via::Answer);
    }
    candidates.failed(real, 100);
    let picked: Vec<_> =
        (0..4).filter_map(|_| candidates.pick(2_000, &[])).map(|to| to.address).collect();
    assert!(picked.contains(&real), "{picked:?}");
}

#[test]
fn a_forged_name_makes_nobody_out_of_reach() {
    let mut dtu = Dtu::new();
    dtu.greet("mud");
    dtu.insert("aa");
    let address = SocketAddrV4::new([10, 9, 9, 9].into(), 7010);
    let server = Some(name("host05"));
    dtu.event(Event::ServerFound { address, server, via: Via::Answer });
    dtu.control_dies();
    // The listed server is quick to fail, the forged one is next.
    while dtu.opening() != Some(address) {
        dtu.control_fails();
        dtu.pass(20, false);
    }
    dtu.control_fails();
    dtu.take();
    while dtu.opening() != Some(super::address("mud")) {
        dtu.pass(20, false);
        if dtu.opening() != Some(super::address("mud")) && dtu.opening().is_some() {
            dtu.control_fails();
        }
    }
    dtu.greet("mud");
    assert_eq!(dtu.inserts()[0].unreachable[..], []);
}
