//! What comes of everything that can be odd about a server: the table at the
//! head of `topology.rs`, line by line, and what each check is good for.

use super::*;
use afterglow_wire::group::flags;
use afterglow_wire::guard::Guard;

fn word(from: &mut GroupManager, now: u64, wall_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    from.speak(now, wall_ms, &mut out);
    sent(&out)[0].datagram.clone()
}

fn host<'a>(manager: &'a GroupManager, text: &str) -> &'a topology::Host {
    manager.topology().host(&name(text)).expect("heard")
}

#[test]
fn a_clock_that_is_wrong_moves_timeoff_and_nothing_else() {
    let (mut mud, mut host05) = pair();
    for (now, ahead_ms) in [(2_000, 25_000), (4_000, -3_600_000), (6_000, 0)] {
        let wall_ms = (WALL_MS + now).checked_add_signed(ahead_ms).expect("a time");
        let datagram = word(&mut host05, now, wall_ms);
        let heard = hear(&mut mud, &datagram, address(2, 7009), now);
        assert_eq!(heard, [Output::Heard(name("host05"))]);
        assert_eq!(host(&mud, "host05").ahead_ms, ahead_ms);
        assert_eq!(host(&mud, "host05").heard_ms, now);
    }
}

#[test]
fn a_changed_address_is_followed_if_it_is_signed_and_newer() {
    let (mut mud, mut host05) = pair();
    let old = word(&mut host05, 1_000, WALL_MS + 1_000);
    host05.set_present(Present { interfaces: vec![interface(44)], ..Present::default() });
    host05.set_advertise(Ipv4Addr::new(192, 168, 1, 44));
    let new = word(&mut host05, 2_000, WALL_MS + 2_000);
    assert_eq!(hear(&mut mud, &new, address(44, 7009), 2_000), [Output::Heard(name("host05"))]);
    hear(&mut mud, &old, address(66, 7009), 2_000);
    let forged = String::from_utf8(word(&mut host05, 3_000, WALL_MS)).expect("text");
    let forged = forged.replace("addr=c0a8012c", "addr=c0a80142");
    hear(&mut mud, forged.as_bytes(), address(66, 7009), 2_000);
    let dtu = Ipv4Addr::new(192, 168, 1, 77);
    assert_eq!(mud.reaches(&name("host05"), dtu), Some(address(44, 7010)));
    assert_eq!(sent(&mud.ask(&everybody(&[]), SEVENS, 1, 2_000))[0].to, address(44, 7009));
}

#[test]
fn of_two_servers_with_one_name_the_group_keeps_the_one_that_started_last() {
    let (mut mud, _) = pair();
    let (mut first, mut second) = (server("twin", 3, 100), server("twin", 4, 200));
    let mut reports = Vec::new();
    for now in (0..60_000).step_by(1_000) {
        let speaker = if now % 2_000 == 0 { (&mut first, 3) } else { (&mut second, 4) };
        let datagram = word(speaker.0, now, WALL_MS + now);
        let heard = hear(&mut mud, &datagram, address(speaker.1, 7009), now);
        reports.extend(heard.into_iter().filter(|o| matches!(o, Output::Report(_))));
        if now > 0 {
            assert_eq!(host(&mud, "twin").message.boot, 200);
            assert_eq!(host(&mud, "twin").address, address(4, 7009));
        }
    }
    let Output::Report(text) = &reports[0] else { panic!("{reports:?}") };
    assert!(text.contains("called twin, one at 192.168.1.4:7009 and one at 192.168.1.3:7009"));
    assert!(reports.len() <= 65, "{}", reports.len());
    // A replay of the time before its start is no second server.
    let mut early = server("twin", 3, 150);
    let datagram = word(&mut early, 0, WALL_MS + 50_000);
    assert_eq!(hear(&mut mud, &datagram, address(4, 7009), 60_000), []);
}

#[test]
fn two_groups_on_one_wire_leave_each_other_alone() {
    let mut ours = server("mud", 1, 100);
    let mut theirs = server_with("host05", 2, 100, |config| config.key = key(2));
    for now in [0, 2_000, 4_000] {
        let (a, b) = (word(&mut ours, now, WALL_MS + now), word(&mut theirs, now, WALL_MS + now));
        // Neither greets the other, nor asks, nor tells it anything.
        assert!(sent(&hear(&mut theirs, &a, address(1, 7009), now)).is_empty());
        assert!(sent(&hear(&mut ours, &b, address(2, 7009), now)).is_empty());
        let asked = ours.ask(&everybody(&[]), SEVENS, now + 1, now);
        assert_eq!(asked, [Output::Answered(now + 1, Answers::default())]);
        let told = sent(&ours.tick(now, WALL_MS + now));
        assert!(told.iter().all(|transmit| transmit.to == address(255, 7009)), "{told:?}");
    }
    let dtu = Ipv4Addr::new(192, 168, 1, 77);
    assert_eq!(ours.servers_for(dtu).len(), 1);
    let report = ours.report(5_000);
    assert_eq!((report.hosts.len(), report.untrusted.len()), (1, 1));
    let listed = &report.untrusted[0];
    assert_eq!((listed.name.as_str(), listed.count, listed.lastseen_ms), ("host05", 3, 1_000));
}

#[test]
fn taking_leave_is_announced_at_once() {
    let (mut mud, mut host05) = pair();
    assert_eq!(host05.next_tick_ms(), 0);
    host05.tick(500, WALL_MS);
    host05.set_draining(true);
    assert_eq!(host05.next_tick_ms(), 0);
    let words = sent(&host05.tick(600, WALL_MS + 600));
    hear(&mut mud, &words[0].datagram, address(2, 7009), 600);
    assert_eq!(host(&mud, "host05").message.flags & flags::DRAINING, flags::DRAINING);
    assert!(mud.report(600).hosts[1].draining && host05.report(600).hosts[0].draining);
    // Saying it twice is no news; taking it back is.
    host05.set_draining(true);
    assert_ne!(host05.next_tick_ms(), 0);
    host05.set_draining(false);
    let words = sent(&host05.tick(700, WALL_MS + 700));
    hear(&mut mud, &words[0].datagram, address(2, 7009), 700);
    assert!(!mud.report(700).hosts[1].draining);
}

#[test]
fn host_messages_go_by_broadcast_and_by_multicast() {
    let mut mud = server_with("mud", 1, 100, |config| config.multicast = true);
    let words = sent(&mud.tick(0, WALL_MS));
    let ways: Vec<_> = words.iter().map(|t| (t.to, t.via)).collect();
    let multicast = SocketAddrV4::new(afterglow_wire::group::MULTICAST, 7009);
    let ip = Ipv4Addr::new(192, 168, 1, 1);
    assert_eq!(ways, [(address(255, 7009), None), (multicast, Some(ip))]);
    // Whoever hears both hears one server.
    let mut host05 = server("host05", 2, 100);
    assert_eq!(
        hear(&mut host05, &words[0].datagram, address(1, 7009), 0)[0],
        Output::Up(name("mud"))
    );
    assert_eq!(
        hear(&mut host05, &words[1].datagram, address(1, 7009), 0),
        [Output::Heard(name("mud"))]
    );
}

#[test]
fn a_probe_waits_as_long_as_the_way_wobbles() {
    let (mut mud, mut host05) = pair();
    assert_eq!(mud.probe_round_ms(&name("host05")), 400);
    assert_eq!(mud.probe_round_ms(&name("nobody")), 400);
    for (now, delay_ms) in [(2_000, 0), (4_000, 0), (6_000, 0)] {
        let datagram = word(&mut host05, now, WALL_MS + now);
        hear(&mut mud, &datagram, address(2, 7009), now + delay_ms);
    }
    assert_eq!(mud.probe_round_ms(&name("host05")), 50);
    let datagram = word(&mut host05, 8_000, WALL_MS + 8_000);
    hear(&mut mud, &datagram, address(2, 7009), 8_100);
    assert_eq!(mud.probe_round_ms(&name("host05")), 250);
}

#[test]
fn without_its_check_each_of_these_goes_wrong() {
    let without = |guard| server_with("mud", 1, 100, |c| c.guards = Guards::all_but(guard));
    let mut host05 = server("host05", 2, 100);
    let (old, new) = (word(&mut host05, 0, WALL_MS), word(&mut host05, 1_000, WALL_MS + 1_000));

    let mut mud = without(Guard::Signature);
    let unsigned = String::from_utf8(new.clone()).expect("text");
    let unsigned = unsigned.split_once(" sig=").expect("signed").0;
    hear(&mut mud, unsigned.as_bytes(), address(2, 7009), 0);
    assert_eq!(mud.topology().up().count(), 1);

    let mut mud = without(Guard::Replay);
    hear(&mut mud, &new, address(2, 7009), 1_000);
    hear(&mut mud, &old, address(66, 7009), 2_000);
    assert_eq!(host(&mud, "host05").address, address(66, 7009));

    let mut mud = without(Guard::SilenceIsDown);
    hear(&mut mud, &new, address(2, 7009), 0);
    mud.tick(0, WALL_MS);
    assert_eq!(
        mud.tick(1_000_000, WALL_MS).iter().filter(|o| matches!(o, Output::Down(_))).count(),
        0
    );
    assert!(mud.next_tick_ms() > 1_000_000);

    let mut mud = without(Guard::AnswerRate);
    let question = ServerQ { nonce: 5 }.to_datagram();
    let answered = (0..5_000).filter(|_| !hear(&mut mud, &question, address(77, 9), 0).is_empty());
    assert_eq!(answered.count(), 5_000);

    let mut mud = without(Guard::UntrustedBound);
    for i in 0..100 {
        mud.topology.untrusted(name(&format!("h{i}")), address(66, 9), 0);
    }
    assert_eq!(mud.topology().untrusted_hosts().count(), 100);
}
