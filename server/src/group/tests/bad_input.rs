//! Anything at all comes from the network: nothing of it changes what is known
//! of the group, and nothing makes us talk more than we may.

use super::hear::SERVER_Q_LIMITS;
use super::*;
use afterglow_wire::group::HostMessage;
use afterglow_wire::ids::SessionId;
use proptest::collection::vec;
use proptest::prelude::*;

/// Everything but the list of untrusted hosts.
fn known(manager: &GroupManager) -> (report::TopologyReport, String) {
    let mut report = manager.report(10_000);
    report.untrusted.clear();
    let hosts: Vec<_> = manager.topology().hosts().collect();
    (report, format!("{hosts:?} {:?}", manager.questions))
}

/// A server that knows another and has a question under way.
fn busy() -> GroupManager {
    let (mut mud, _) = pair();
    mud.ask(&everybody(&[]), SEVENS, 42, 0);
    mud
}

/// Hands over datagrams, one each millisecond, and checks that nothing comes
/// of them.
fn assert_nothing_comes_of(datagrams: impl IntoIterator<Item = Vec<u8>>) {
    let mut mud = busy();
    let before = known(&mud);
    let (mut now, mut reports) = (0u64, 0);
    for datagram in datagrams {
        now += 1;
        for output in hear(&mut mud, &datagram, address(2, 7009), now) {
            assert!(matches!(output, Output::Report(_)), "{output:?}");
            reports += 1;
        }
    }
    assert_eq!(known(&mud), before);
    assert!(mud.topology().untrusted_hosts().count() <= topology::UNTRUSTED_MAX);
    assert!(reports <= 5 + now / 1_000, "{reports} reports in {now} ms");
}

fn host_message(text: &str) -> HostMessage {
    server(text, 2, u64::MAX).host_message(u64::MAX / 2, (1, 1), vec![interface(2)])
}

/// One of each kind, as the group with this key would send it.
fn words(sign: &MessageKey) -> Vec<Vec<u8>> {
    let has = TokenSession { session: SessionId([3; 16]), epoch: Epoch(2), connection: 9 };
    let answer = TokenR { nonce: 42, host: name("host05"), session: Some(has) };
    [
        GroupMessage::Host(host_message("host05")),
        GroupMessage::Host(host_message("host99")),
        GroupMessage::TokenQ(TokenQ {
            nonce: 1,
            host: name("host05"),
            hash: [7; 32],
            session: None,
        }),
        GroupMessage::TokenR(answer),
    ]
    .iter()
    .map(|message| message.to_datagram(sign))
    .collect()
}

fn text(datagram: Vec<u8>) -> String {
    String::from_utf8(datagram).expect("text")
}

#[test]
fn the_right_key_makes_the_difference() {
    let mut mud = busy();
    let before = known(&mud);
    for datagram in words(&key(1)) {
        hear(&mut mud, &datagram, address(2, 7009), 1);
    }
    assert_ne!(known(&mud), before);
    assert_nothing_comes_of(words(&key(2)));
}

#[test]
fn nothing_comes_of_what_is_unsigned_truncated_overlong_doubled_or_absurd() {
    let ours = || words(&key(1));
    let unsigned = ours()
        .into_iter()
        .map(|word| text(word).split_once(" sig=").expect("signed").0.as_bytes().to_vec());
    let truncated =
        ours().into_iter().flat_map(|word| (0..word.len()).map(move |len| word[..len].to_vec()));
    let overlong = ours().into_iter().map(|word| [word, vec![b'a'; 1_400]].concat());
    let longer = ours().into_iter().map(|word| [word, b" more=1".to_vec()].concat());
    let not_text = ours().into_iter().map(|word| [word, vec![0xff]].concat());
    // Even with a right signature.
    let sign = |text: String| {
        let signed = format!("{text} ");
        let signature = afterglow_wire::ids::hex(&key(1).sign(signed.as_bytes()));
        format!("{signed}sig=sha1:{signature}").into_bytes()
    };
    let odd = move |from: &str, to: &str| {
        let word = text(GroupMessage::Host(host_message("host99")).to_datagram(&key(2)));
        let plain = word.split_once(" sig=").expect("signed").0;
        assert!(plain.contains(from), "{from}");
        sign(plain.replace(from, to))
    };
    let odd = [
        odd(" cpus=0", " cpus=0 cpus=0"),
        odd("host=host99", "host=host99 host=host99"),
        odd(" cpus=0", " cpus=-1"),
        odd(" cpus=0", " cpus=99999999999999999999"),
        odd(" load=0", " load=1e9"),
        odd(" numifs=1", " numifs=4294967297"),
        odd(" part=1/1", " part=0/1"),
        odd(" part=1/1", " part=2/1"),
        odd(" part=1/1", " part=9/255"),
        odd(" part=1/1", " part=1/256"),
        odd(" time=", " time=9"),
        odd(" boot=1", " boot=-1"),
        odd("host=host99", "host=HOST99"),
        odd("host=host99", &format!("host={}", "h".repeat(64))),
        odd(" ip=c0a80102", " ip=c0a801020"),
        odd(" mask=ffffff00", ""),
        odd("interface=eth0", &format!("interface={}", "e".repeat(33))),
    ];
    let all = unsigned.chain(truncated).chain(overlong).chain(longer).chain(not_text).chain(odd);
    assert_nothing_comes_of(all);
}

#[test]
fn absurd_numbers_with_the_groups_signature_are_no_trouble() {
    let mut mud = busy();
    let message = HostMessage {
        flags: !1,
        cpus: u32::MAX,
        clock_mhz: u32::MAX,
        load_percent: u32::MAX,
        sessions: u32::MAX,
        seq: u64::MAX,
        ..host_message("host05")
    };
    for (boot, seq, time_ms) in [(u64::MAX - 1, 0, 0), (u64::MAX, u64::MAX, u64::MAX / 2)] {
        let host = HostMessage { boot, seq, time_ms, ..message.clone() };
        let datagram = GroupMessage::Host(host).to_datagram(&key(1));
        assert_eq!(hear(&mut mud, &datagram, address(2, 7009), 1)[0], Output::Up(name("host05")));
    }
    for now in [2, u64::MAX / 2, u64::MAX] {
        mud.lightest(now, Ipv4Addr::new(192, 168, 1, 7), &BTreeSet::new(), true, u64::MAX);
        mud.report(now);
        mud.tick(now, u64::MAX);
    }
}

#[test]
fn a_million_host_names_fill_neither_the_table_nor_the_log() {
    let names = (0..1_000_000u32).map(|i| {
        format!(
            "host=h{i} addr=c0a80102 time=1 numifs=0 flags=0 cpus=1 clock=1 boot=1 seq=1 \
             port=7010 load=0 sessions=0 version=1 part=1/1"
        )
        .into_bytes()
    });
    assert_nothing_comes_of(names);
}

#[test]
fn a_flood_of_searches_from_forged_addresses_is_bounded_and_silences_nobody_else() {
    let question = ServerQ { nonce: 5 }.to_datagram();
    let mut mud = server("mud", 1, 100);
    mud.config.networks = vec![Network::parse("10.0.0.0/8").expect("a network")];
    let mut answered = |from: Ipv4Addr, now| {
        let said = sent(&hear(&mut mud, &question, SocketAddrV4::new(from, 9), now));
        assert!(said.iter().all(|transmit| transmit.datagram.len() <= question.len()));
        said.len() as u64
    };
    let flood = |answered: &mut dyn FnMut(Ipv4Addr, u64) -> u64, now: u64| -> u64 {
        (0..50_000).map(|_| answered(Ipv4Addr::new(192, 168, 1, 66), now)).sum()
    };
    // In ten seconds no more than ten seconds' worth and the first burst.
    let total: u64 = (0..10).map(|s| flood(&mut answered, s * 1_000)).sum();
    assert_eq!(total, 10 * SERVER_Q_LIMITS.address_per_s);
    // Its neighbours are answered, each.
    let neighbours: u64 = (100..200).map(|i| answered(Ipv4Addr::new(192, 168, 1, i), 9_000)).sum();
    assert_eq!(neighbours, 100);
    // All of a network together use up that network's share and no other's.
    let network: u64 =
        (0..50_000u32).map(|i| answered(Ipv4Addr::new(192, 168, 1, i as u8), 9_000)).sum();
    assert!(network <= SERVER_Q_LIMITS.network_per_s, "{network}");
    assert_eq!(answered(Ipv4Addr::new(10, 1, 1, 1), 9_000), 1);
    // And all addresses of all networks have a limit.
    let all: u64 =
        (0..200_000u32).map(|i| answered(Ipv4Addr::from_bits(0x0a00_0000 + i * 67), 9_000)).sum();
    assert!(all <= SERVER_Q_LIMITS.all_per_s, "{all}");
    // Nobody is answered from where no answer may go.
    assert_eq!(answered(Ipv4Addr::new(8, 8, 8, 8), 60_000), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_change_nothing(datagrams in vec(vec(any::<u8>(), 0..1_500), 0..20)) {
        assert_nothing_comes_of(datagrams);
    }

    #[test]
    fn any_pairs_change_nothing(
        pairs in vec("(host|numifs|ip|mask|sig|boot|seq|tokenR|tokenQ|session|hash)=[!-~]{0,9}", 0..20),
    ) {
        assert_nothing_comes_of([pairs.join(" ").into_bytes()]);
    }

    #[test]
    fn a_message_that_was_changed_or_is_foreign_changes_nothing(
        which in 0..4usize,
        foreign in any::<bool>(),
        flips in vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let sign = if foreign { key(2) } else { key(1) };
        let original = words(&key(1)).swap_remove(which);
        let mut datagram = words(&sign).swap_remove(which);
        for (index, bit) in flips {
            let at = index.index(datagram.len());
            datagram[at] ^= 1 << (bit % 8);
        }
        // Digits of a signature may be of either case, and flips may undo
        // each other.
        let same = datagram.eq_ignore_ascii_case(&original);
        if !same && !text_of_a_search(&datagram) {
            assert_nothing_comes_of([datagram]);
        }
    }

    #[test]
    fn no_replay_changes_anything(order in vec((0..12usize, 1u8..9), 1..60)) {
        let mut host05 = server("host05", 2, 100);
        let mut mud = server("mud", 1, 100);
        let mut words = Vec::new();
        for now in (0..12_000).step_by(1_000) {
            let mut out = Vec::new();
            host05.speak(now, WALL_MS + now, &mut out);
            words.push(sent(&out).swap_remove(0).datagram);
        }
        for word in &words {
            hear(&mut mud, word, address(2, 7009), 12_000);
        }
        let before = known(&mud);
        for (at, last) in order {
            prop_assert_eq!(hear(&mut mud, &words[at], address(last, 7009), 13_000), []);
        }
        prop_assert_eq!(known(&mud), before);
    }
}

/// A search may be unsigned, and is answered.
fn text_of_a_search(datagram: &[u8]) -> bool {
    datagram.starts_with(b"serverQ=")
}
