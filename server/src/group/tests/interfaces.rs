//! Servers with several networks: who reaches whom, as the patent's Table A
//! has it, and interfaces that come, go and fall silent.

use super::*;

fn on(name: &str, ip: u32, mask: u32) -> Interface {
    let [ip, mask, bcast] = [ip, mask, ip | !mask].map(Ipv4Addr::from_bits);
    Interface { name: name.into(), ip, mask, bcast }
}

const OFFICE: u32 = 0xffff_ff00;
const WIDE: u32 = 0xffff_0000;

fn server_on(text: &str, interfaces: &[Interface]) -> GroupManager {
    let mut manager = GroupManager::new(config(text, interfaces[0].ip, 100));
    let interfaces = interfaces.to_vec();
    manager.set_present(Present { interfaces, ..Present::default() });
    manager
}

/// Lets `from` speak now, and `to` hear what it says through these of its
/// interfaces, counted from 0.
fn speaks(from: &mut GroupManager, to: &mut GroupManager, through: &[usize], now: u64) {
    from.next_host_ms = 0;
    let words = sent(&from.tick(now, WALL_MS + now));
    for at in through {
        let own = &from.present.interfaces[*at];
        let word = words.iter().find(|word| *word.to.ip() == own.bcast).expect("a broadcast");
        hear(to, &word.datagram, SocketAddrV4::new(own.ip, 7009), now);
    }
}

fn reached(manager: &GroupManager, dtu: u32) -> Vec<(String, u32)> {
    let servers = manager.servers_for(Ipv4Addr::from_bits(dtu));
    servers.iter().map(|s| (s.name.to_string(), s.address.ip().to_bits())).collect()
}

fn names(manager: &GroupManager, dtu: u32) -> Vec<String> {
    reached(manager, dtu).into_iter().map(|(name, _)| name).collect()
}

/// The patent's Table A, at host05: who is heard through what.
fn table_a() -> GroupManager {
    let mut host05 =
        server_on("host05", &[on("hme0", 0x8190_a705, OFFICE), on("ge0", 0xc0a8_8001, OFFICE)]);
    let others: [(&str, Vec<Interface>, usize); 5] = [
        (
            "host22",
            vec![
                on("le0", 0x8190_a716, OFFICE),
                on("qfe0", 0xc0a8_8101, WIDE),
                on("qfe1", 0xc0a8_8201, WIDE),
            ],
            0,
        ),
        ("host21", vec![on("hme0", 0x8190_a715, OFFICE), on("hme1", 0xc0a8_8001, WIDE)], 0),
        ("mud", vec![on("hme0", 0x8190_7f05, OFFICE), on("ge0", 0xc0a8_8003, OFFICE)], 1),
        ("host45", vec![on("hme0", 0x8190_a72d, OFFICE), on("hme1", 0xc0a8_8001, OFFICE)], 0),
        ("host41", vec![on("hme0", 0x8190_a729, OFFICE), on("le0", 0xc0a8_8001, OFFICE)], 0),
    ];
    for (text, interfaces, through) in others {
        speaks(&mut server_on(text, &interfaces), &mut host05, &[through], 0);
    }
    host05
}

#[test]
fn the_patents_table_tells_the_networks_apart() {
    let host05 = table_a();
    // On the office's network, of which mud has not heard.
    let office = ["host05", "host21", "host22", "host41", "host45"];
    assert_eq!(names(&host05, 0x8190_a750), office);
    // On the private network behind ge0: it looks like five others, but only
    // mud is heard there, and reached by its interface there.
    let private = [("host05".to_owned(), 0xc0a8_8001), ("mud".to_owned(), 0xc0a8_8003)];
    assert_eq!(reached(&host05, 0xc0a8_8050), private);
    // Behind a router: by the primary addresses.
    let routed = reached(&host05, 0x0a01_0203);
    let all = ["host05", "host21", "host22", "host41", "host45", "mud"];
    assert_eq!(routed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), all);
    assert_eq!(routed[5].1, 0x8190_7f05);
    assert_eq!(routed[0].1, 0x8190_a705);
}

#[test]
fn the_report_is_the_patents_table() {
    let report = table_a().report(18_000);
    let row = |at: usize| {
        let host = &report.hosts[at];
        let lastpkts: Vec<_> = host.interfaces.iter().map(|i| i.lastpkt_ms).collect();
        (host.name.as_str(), host.trusted, host.lastseen_ms, lastpkts)
    };
    assert_eq!(row(0), ("host05", true, -1, vec![-1, -1]));
    assert_eq!(row(2), ("host22", true, 18_000, vec![18_000, -1, -1]));
    assert_eq!(row(5), ("mud", true, 18_000, vec![-1, 18_000]));
    let text = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<report::TopologyReport>(&text).expect("a report"), report);
}

/// Two servers that share an office and a private network.
fn two_networks() -> (GroupManager, GroupManager) {
    let both = |last: u32| {
        [on("eth0", 0x0a00_0000 + last, OFFICE), on("eth1", 0xc0a8_0000 + last, OFFICE)]
    };
    (server_on("s1", &both(1)), server_on("s2", &both(2)))
}

const OFFICE_DTU: u32 = 0x0a00_0050;
const PRIVATE_DTU: u32 = 0xc0a8_0050;

#[test]
fn an_interface_that_falls_silent_is_not_used_while_its_server_stays_up() {
    let (mut s1, mut s2) = two_networks();
    speaks(&mut s2, &mut s1, &[0, 1], 0);
    assert_eq!(names(&s1, OFFICE_DTU), ["s1", "s2"]);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1", "s2"]);
    // Its cable to the office is cut.
    let mut said = Vec::new();
    for now in [2_000, 4_000, 6_000, 6_001, 8_000] {
        speaks(&mut s2, &mut s1, &[1], now);
        said.extend(s1.tick(now, WALL_MS + now));
    }
    let reports: Vec<_> = said
        .iter()
        .filter_map(|o| if let Output::Report(text) = o { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(reports, ["server s2 is up, but not heard any more through eth0 (10.0.0.2)"]);
    assert!(!said.contains(&Output::Down(name("s2"))));
    assert_eq!(names(&s1, OFFICE_DTU), ["s1"]);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1", "s2"]);
    // Nobody waits for an answer that such a DTU could not use.
    let ask = Ask::Group { dtu: vec![Ipv4Addr::from_bits(OFFICE_DTU)], except: BTreeSet::new() };
    let outputs = s1.ask(&ask, SEVENS, 1, 8_000);
    assert_eq!(outputs, [Output::Answered(1, Answers::default())]);
    // Its primary address is the broken one: who comes through a router gets
    // the other.
    assert_eq!(reached(&s1, 0x0b00_0001)[1], ("s2".to_owned(), 0xc0a8_0002));
    // The cable is back.
    speaks(&mut s2, &mut s1, &[0, 1], 10_000);
    assert_eq!(names(&s1, OFFICE_DTU), ["s1", "s2"]);
}

#[test]
fn a_question_that_is_not_answered_goes_to_the_other_interface_too() {
    let (mut s1, mut s2) = two_networks();
    s1.tick(0, WALL_MS);
    speaks(&mut s2, &mut s1, &[0, 1], 0);
    let ask = Ask::Group { dtu: vec![Ipv4Addr::from_bits(OFFICE_DTU)], except: BTreeSet::new() };
    assert_eq!(sent(&s1.ask(&ask, SEVENS, 1, 100)).len(), 1);
    let again: Vec<_> =
        sent(&s1.tick(100 + question::REPEATS_MS[0], WALL_MS)).iter().map(|t| *t.to.ip()).collect();
    assert_eq!(again, [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 168, 0, 2)]);
}

#[test]
fn datagrams_that_overtake_each_other_leave_no_interface_silent() {
    let (mut s1, mut s2) = two_networks();
    // The office's datagram always comes after the private network's, with
    // the lower number.
    for now in (0..20_000).step_by(2_000) {
        speaks(&mut s2, &mut s1, &[1, 0], now);
        s1.tick(now, WALL_MS + now);
    }
    let host = s1.topology().host(&name("s2")).expect("heard");
    assert!(host.interfaces.iter().all(|known| known.heard_ms == Some(18_000)), "{host:?}");
    assert_eq!(names(&s1, OFFICE_DTU), ["s1", "s2"]);
    // One that came already proves nothing once more.
    let words = sent(&s2.speak_now(20_000));
    for at in [1, 0] {
        hear(&mut s1, &words[at].datagram, words_from(at), 20_000);
    }
    let before = format!("{:?}", s1.topology());
    for at in [0, 1] {
        assert_eq!(hear(&mut s1, &words[at].datagram, words_from(at), 20_500), []);
    }
    assert_eq!(format!("{:?}", s1.topology()), before);
    // And one that was held back for more than a second is too old to.
    let held = sent(&s2.speak_now(21_000));
    let next = sent(&s2.speak_now(23_000));
    hear(&mut s1, &next[1].datagram, words_from(1), 23_000);
    let before = format!("{:?}", s1.topology());
    assert_eq!(hear(&mut s1, &held[0].datagram, words_from(0), 23_000), []);
    assert_eq!(format!("{:?}", s1.topology()), before);
}

fn words_from(at: usize) -> SocketAddrV4 {
    let ips = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 168, 0, 2)];
    SocketAddrV4::new(ips[at], 7009)
}

impl GroupManager {
    fn speak_now(&mut self, now: u64) -> Vec<Output> {
        let mut out = Vec::new();
        self.speak(now, WALL_MS + now, &mut out);
        out
    }
}

#[test]
fn a_new_interface_is_announced_at_once_and_a_lost_one_forgotten() {
    let (mut s1, mut s2) = two_networks();
    let both = s2.present.clone();
    let office = Present { interfaces: both.interfaces[..1].to_vec(), ..Present::default() };
    s2.set_present(office.clone());
    speaks(&mut s2, &mut s1, &[0], 0);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1"]);
    // Nothing new, nothing to say.
    s2.set_present(Present { load_percent: 70, ..office.clone() });
    assert_eq!(s2.next_tick_ms(), 2_000);
    s2.set_present(both);
    assert_eq!(s2.next_tick_ms(), 0);
    speaks(&mut s2, &mut s1, &[0, 1], 500);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1", "s2"]);
    s2.set_present(office);
    assert_eq!(s2.next_tick_ms(), 0);
    speaks(&mut s2, &mut s1, &[0], 1_000);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1"]);
}

#[test]
fn a_server_behind_a_router_is_reached_if_it_is_heard_from_its_primary_address() {
    let mut s1 = server_on("s1", &[on("eth0", 0x0a00_0001, OFFICE)]);
    let mut far = server_on("far", &[on("eth0", 0x0a09_0002, OFFICE)]);
    speaks(&mut far, &mut s1, &[0], 0);
    assert_eq!(reached(&s1, OFFICE_DTU)[1], ("far".to_owned(), 0x0a09_0002));
    // It listed us. We speak to it by unicast from now on, or it would think
    // us down.
    let told: Vec<_> = sent(&s1.tick(2_000, WALL_MS)).iter().map(|t| *t.to.ip()).collect();
    assert!(told.contains(&Ipv4Addr::from_bits(0x0a09_0002)), "{told:?}");
}

#[test]
fn a_dual_homed_group_serves_its_private_network_only_where_it_is() {
    // s2 is on the office's network and on a private one of its own.
    let mut s1 =
        server_on("s1", &[on("eth0", 0x0a00_0001, OFFICE), on("eth1", 0xc0a8_0001, OFFICE)]);
    let mut s2 =
        server_on("s2", &[on("eth0", 0x0a00_0002, OFFICE), on("eth1", 0xc0a8_0001, OFFICE)]);
    speaks(&mut s2, &mut s1, &[0], 0);
    assert_eq!(names(&s1, PRIVATE_DTU), ["s1"]);
    // Unless the configuration says that its DTUs are routed.
    s1.config.networks = vec![Network::parse("192.168.0.0/24").expect("a network")];
    assert_eq!(reached(&s1, PRIVATE_DTU)[1], ("s2".to_owned(), 0x0a00_0002));
}

#[test]
fn on_one_machine_loopback_reaches_everybody_and_nobody_else_reaches_loopback() {
    let lo = Interface {
        name: "lo".into(),
        ip: Ipv4Addr::LOCALHOST,
        mask: Ipv4Addr::new(255, 0, 0, 0),
        bcast: Ipv4Addr::LOCALHOST,
    };
    let demo = |text: &str| {
        let mut manager = GroupManager::new(GroupConfig {
            peers: vec!["127.0.0.1:7019".parse().expect("an address")],
            ..config(text, Ipv4Addr::LOCALHOST, 100)
        });
        manager.set_present(Present { interfaces: vec![lo.clone()], ..Present::default() });
        manager
    };
    let (mut s1, mut s2) = (demo("s1"), demo("s2"));
    let words = sent(&s2.tick(0, WALL_MS));
    // It speaks to its peer and to nobody else.
    assert_eq!(words.iter().map(|t| t.to.to_string()).collect::<Vec<_>>(), ["127.0.0.1:7019"]);
    hear(&mut s1, &words[0].datagram, "127.0.0.1:7009".parse().expect("an address"), 0);
    let here = Ipv4Addr::LOCALHOST.to_bits();
    assert_eq!(reached(&s1, here), [("s1".into(), here), ("s2".into(), here)]);
    assert_eq!(s1.reaches(&name("s2"), Ipv4Addr::from_bits(OFFICE_DTU)), None);
    assert_eq!(s1.reaches(&name("unknown"), Ipv4Addr::LOCALHOST), None);
}
