//! Two servers that hear each other, and everybody else who speaks.

mod bad_input;
mod cold_start;
mod interfaces;
mod outcomes;
mod placing;

use super::*;
use afterglow_wire::group::{GroupMessage, ServerQ, TokenQ, TokenR, TokenSession};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::limits::GROUP_DATAGRAM_BYTES_MAX;
use afterglow_wire::trust::GroupKey;
use std::collections::BTreeSet;

const WALL_MS: u64 = 1_700_000_000_000;

/// A token, to those who ask.
const SEVENS: Whose = Whose { hash: [7; 32], session: None };

fn key(byte: u8) -> MessageKey {
    GroupKey::from_file_content(&[byte; 32]).expect("32 bytes").message_key()
}

fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn address(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, last), port)
}

fn interface(last: u8) -> Interface {
    Interface {
        name: "eth0".into(),
        ip: Ipv4Addr::new(192, 168, 1, last),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        bcast: Ipv4Addr::new(192, 168, 1, 255),
    }
}

fn config(text: &str, advertise: Ipv4Addr, boot: u64) -> GroupConfig {
    GroupConfig {
        name: name(text),
        key: key(1),
        advertise,
        control_port: 7010,
        group_port: 7009,
        peers: Vec::new(),
        networks: Vec::new(),
        multicast: false,
        host_every_ms: 2_000,
        down_after_ms: 6_000,
        boot,
        flags: 0,
        guards: Guards::ALL,
    }
}

/// A server on 192.168.1.0/24, changed as wanted.
fn server_with(
    text: &str,
    last: u8,
    boot: u64,
    change: impl FnOnce(&mut GroupConfig),
) -> GroupManager {
    let mut config = config(text, Ipv4Addr::new(192, 168, 1, last), boot);
    change(&mut config);
    let mut manager = GroupManager::new(config);
    manager.set_present(Present { interfaces: vec![interface(last)], ..Present::default() });
    manager
}

fn server(text: &str, last: u8, boot: u64) -> GroupManager {
    server_with(text, last, boot, |_| {})
}

/// Everybody that a DTU on the servers' network can reach.
fn everybody(except: &[&str]) -> Ask {
    let dtu = Ipv4Addr::new(192, 168, 1, 77);
    Ask::Group { dtu: vec![dtu], except: except.iter().map(|text| name(text)).collect() }
}

fn sent(outputs: &[Output]) -> Vec<Transmit> {
    let send = |output: &Output| match output {
        Output::Send(transmit) => Some(transmit.clone()),
        _ => None,
    };
    outputs.iter().filter_map(send).collect()
}

/// Hands a datagram to a server that has no session for anybody.
fn hear(manager: &mut GroupManager, datagram: &[u8], from: SocketAddrV4, now: u64) -> Vec<Output> {
    manager.datagram(datagram, from, now, WALL_MS + now, |_| None)
}

/// Two servers that know each other.
fn pair() -> (GroupManager, GroupManager) {
    let (mut mud, mut host05) = (server("mud", 1, 100), server("host05", 2, 100));
    let word = sent(&mud.tick(0, WALL_MS));
    assert_eq!(word[0].to, address(255, 7009));
    let heard = hear(&mut host05, &word[0].datagram, address(1, 7009), 0);
    assert_eq!(heard[0], Output::Up(name("mud")));
    // It greets back at once, so that nobody waits for a round.
    let greeting = sent(&heard);
    assert_eq!(greeting[0].to, address(1, 7009));
    let heard = hear(&mut mud, &greeting[0].datagram, address(2, 7009), 0);
    assert_eq!(heard[0], Output::Up(name("host05")));
    (mud, host05)
}

#[test]
fn servers_find_each_other_and_notice_silence() {
    let (mut mud, mut host05) = pair();
    let servers = mud.servers_for(Ipv4Addr::new(192, 168, 1, 77));
    let addresses: Vec<_> = servers.iter().map(|s| (s.name.as_str(), s.address)).collect();
    assert_eq!(addresses, [("mud", address(1, 7010)), ("host05", address(2, 7010))]);
    for now in [2_000, 4_000, 6_000] {
        assert_eq!(sent(&mud.tick(now, WALL_MS + now)).len(), 1);
    }
    // To the millisecond, whenever that is.
    assert_eq!(mud.next_tick_ms(), 6_001);
    let outputs = mud.tick(6_001, WALL_MS + 6_001);
    assert!(outputs.contains(&Output::Down(name("host05"))), "{outputs:?}");
    assert_eq!(mud.topology().up().count(), 0);
    // One word, and it is up again.
    let word = sent(&host05.tick(9_000, WALL_MS + 9_000));
    let heard = hear(&mut mud, &word[0].datagram, address(2, 7009), 9_000);
    assert_eq!(heard[0], Output::Up(name("host05")));
}

#[test]
fn a_replay_changes_nothing() {
    let (mut mud, mut host05) = pair();
    let old = sent(&host05.tick(2_000, WALL_MS + 2_000));
    let new = sent(&host05.tick(4_000, WALL_MS + 4_000));
    let from = address(2, 7009);
    let heard = hear(&mut mud, &new[0].datagram, from, 4_000);
    assert_eq!(heard, [Output::Heard(name("host05"))]);
    let before = format!("{:?}", mud.topology());
    for datagram in [&old[0].datagram, &new[0].datagram] {
        assert_eq!(hear(&mut mud, datagram, address(66, 7009), 5_000), []);
    }
    assert_eq!(format!("{:?}", mud.topology()), before);
    // A new boot counts, whatever its seq.
    let mut again = server("host05", 2, 101);
    let word = sent(&again.tick(5_000, WALL_MS));
    let heard = hear(&mut mud, &word[0].datagram, from, 5_000);
    assert_eq!(heard[0], Output::Up(name("host05")));
}

#[test]
fn a_foreign_or_changed_message_is_listed_and_nothing_more() {
    let mut mud = server("mud", 1, 100);
    let mut host05 = server("host05", 2, 100);
    let word = sent(&host05.tick(0, WALL_MS));
    let mut changed = word[0].datagram.clone();
    let at = changed.iter().position(|b| *b == b'2').expect("a digit");
    changed[at] = b'3';
    let heard = hear(&mut mud, &changed, address(2, 7009), 0);
    assert!(matches!(heard[..], [Output::Report(_)]), "{heard:?}");
    assert_eq!(mud.topology().hosts().count(), 0);
    assert_eq!(mud.topology().untrusted_hosts().count(), 1);
    // A million names fill neither the table nor the log.
    let mut reports = 0;
    for i in 0..2_000u32 {
        let word = format!(
            "host=h{i} addr=c0a80102 time=1 numifs=0 flags=0 cpus=1 clock=1 boot=1 seq=1 \
             port=7010 load=0 sessions=0 version=1 part=1/1"
        );
        reports += hear(&mut mud, word.as_bytes(), address(66, 7009), u64::from(i)).len();
    }
    assert_eq!(mud.topology().untrusted_hosts().count(), topology::UNTRUSTED_MAX);
    assert_eq!(mud.topology().hosts().count(), 0);
    assert!(reports <= 10, "{reports}");
}

#[test]
fn clocks_and_interfaces_are_noted() {
    let mut mud = server("mud", 1, 100);
    let mut host05 = server("host05", 2, 100);
    let word = sent(&host05.tick(0, WALL_MS + 25_000));
    hear(&mut mud, &word[0].datagram, address(2, 7009), 0);
    let host = mud.topology().host(&name("host05")).expect("heard");
    assert_eq!(host.ahead_ms, 25_000);
    assert_eq!(host.interfaces[0].heard_ms, Some(0));
}

#[test]
fn many_interfaces_come_in_parts_and_are_put_together() {
    let mut mud = server("mud", 1, 100);
    let mut host05 = server("host05", 2, 100);
    let interfaces: Vec<_> = (0..30)
        .map(|i| Interface {
            name: format!("an-interface-with-a-long-name{i}"),
            ..interface(2 + i)
        })
        .collect();
    host05.set_present(Present { interfaces, ..Present::default() });
    let words = sent(&host05.tick(0, WALL_MS));
    let parts: Vec<_> = words.into_iter().filter(|word| word.to == address(255, 7009)).collect();
    assert_eq!(parts.len(), 3);
    for part in &parts {
        assert!(part.datagram.len() <= GROUP_DATAGRAM_BYTES_MAX);
        hear(&mut mud, &part.datagram, address(2, 7009), 0);
    }
    // The same part once more is a replay.
    assert_eq!(hear(&mut mud, &parts[1].datagram, address(2, 7009), 0), []);
    let host = mud.topology().host(&name("host05")).expect("heard");
    assert_eq!(host.interfaces.len(), 30);
}

#[test]
fn a_token_question_is_answered_by_the_trusted_and_over_when_all_spoke() {
    let (mut mud, mut host05) = pair();
    let asked = sent(&mud.ask(&everybody(&[]), SEVENS, 42, 1_000));
    assert_eq!(asked[0].to, address(2, 7009));
    let has = TokenSession { session: SessionId([3; 16]), epoch: Epoch(2), connection: 9 };
    let lookup = |q: &TokenQ| (q.hash == [7; 32]).then_some(has);
    let from = address(1, 7009);
    let said = host05.datagram(&asked[0].datagram, from, 1_000, WALL_MS, lookup);
    let answer = &sent(&said)[0];
    assert_eq!(answer.to, from);
    let outputs = hear(&mut mud, &answer.datagram, address(2, 7009), 1_001);
    let Output::Answered(42, answers) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(answers.spoke.get(&name("host05")), Some(&Some(has)));
    assert!(answers.silent.is_empty());
    // The same answer again belongs to no question.
    assert_eq!(hear(&mut mud, &answer.datagram, address(2, 7009), 1_002), []);
}

#[test]
fn a_question_is_sent_again_ends_in_time_and_names_the_silent() {
    let (mut mud, mut host05) = pair();
    let mut host22 = server("host22", 3, 100);
    let word = sent(&host22.tick(0, WALL_MS));
    hear(&mut mud, &word[0].datagram, address(3, 7009), 0);
    let asked = sent(&mud.ask(&everybody(&[]), SEVENS, 42, 1_000));
    assert_eq!(
        asked.iter().map(|t| t.to).collect::<Vec<_>>(),
        [address(2, 7009), address(3, 7009)]
    );
    let said = hear(&mut host05, &asked[0].datagram, address(1, 7009), 1_000);
    hear(&mut mud, &sent(&said)[0].datagram, address(2, 7009), 1_001);
    // Only who has not spoken is asked again, with the same question.
    for after_ms in question::REPEATS_MS {
        assert_eq!(mud.next_tick_ms(), 1_000 + after_ms);
        let again = sent(&mud.tick(1_000 + after_ms, WALL_MS));
        assert_eq!(again, asked[1..]);
    }
    assert_eq!(mud.next_tick_ms(), 1_000 + QUESTION_MS);
    let outputs = mud.tick(1_000 + QUESTION_MS, WALL_MS);
    let Output::Answered(42, answers) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(answers.silent, BTreeSet::from([name("host22")]));
    assert_eq!(answers.spoke.keys().collect::<Vec<_>>(), [&name("host05")]);
}

#[test]
fn who_cannot_be_reached_is_asked_and_not_waited_for() {
    let (mut mud, _) = pair();
    let outputs = mud.ask(&everybody(&["host05"]), SEVENS, 43, 2_000);
    assert_eq!(sent(&outputs)[0].to, address(2, 7009));
    assert!(outputs.iter().any(|o| matches!(o, Output::Answered(43, _))), "{outputs:?}");
    // One server is asked wherever it may be, known or not.
    let outputs = mud.ask(&Ask::Server(name("host21")), SEVENS, 44, 2_000);
    assert_eq!(sent(&outputs)[0].to, address(255, 7009));
}

#[test]
fn too_many_questions_are_answered_by_nobody_rather_than_by_no() {
    let (mut mud, _) = pair();
    for nonce in 0..question::QUESTIONS_MAX as u64 {
        assert!(!mud.ask(&everybody(&[]), SEVENS, nonce, 0).is_empty());
    }
    let outputs = mud.ask(&everybody(&[]), SEVENS, 9_999, 0);
    let Some(Output::Answered(9_999, answers)) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!(answers.silent, BTreeSet::from([name("host05")]));
}

#[test]
fn a_token_question_or_answer_from_outside_the_group_is_dropped() {
    let (mut mud, _) = pair();
    let question = TokenQ { nonce: 1, host: name("host05"), hash: [7; 32], session: None };
    let datagram = GroupMessage::TokenQ(question).to_datagram(&key(2));
    let said = hear(&mut mud, &datagram, address(2, 7009), 0);
    assert!(sent(&said).is_empty(), "{said:?}");
    mud.ask(&everybody(&[]), SEVENS, 42, 0);
    let has = TokenSession { session: SessionId([3; 16]), epoch: Epoch(2), connection: 9 };
    let answer = TokenR { nonce: 42, host: name("host05"), session: Some(has) };
    let datagram = GroupMessage::TokenR(answer).to_datagram(&key(2));
    let said = hear(&mut mud, &datagram, address(2, 7009), 0);
    assert!(!said.iter().any(|o| matches!(o, Output::Answered(..))), "{said:?}");
}

#[test]
fn a_search_is_answered_near_by_and_at_a_bounded_rate() {
    let mut mud = server("mud", 1, 100);
    let question = GroupMessage::ServerQ(ServerQ { nonce: 5 }).to_datagram(&key(1));
    let near = address(77, 40_000);
    let said = sent(&hear(&mut mud, &question, near, 0));
    assert_eq!(said[0].to, near);
    assert!(said[0].datagram.len() <= question.len());
    let text = String::from_utf8(said[0].datagram.clone()).expect("text");
    assert_eq!(text, "serverR=0000000000000005 host=mud addr=c0a80101 port=7010");
    let far = SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, 8), 40_000);
    assert_eq!(hear(&mut mud, &question, far, 0), []);
    let answered = (0..10_000).filter(|_| !hear(&mut mud, &question, near, 1_000).is_empty());
    assert_eq!(answered.count() as u64, SERVER_Q_LIMITS.address_per_s);
    // Too short to be answered: no more than a report.
    let short = hear(&mut mud, &question[..400], near, 2_000);
    assert!(sent(&short).is_empty(), "{short:?}");
}

#[test]
fn our_own_word_and_our_own_name() {
    let mut mud = server("mud", 1, 100);
    let word = sent(&mud.tick(0, WALL_MS));
    assert_eq!(hear(&mut mud, &word[0].datagram, address(1, 7009), 0), []);
    let mut twin = server("mud", 9, 101);
    let word = sent(&twin.tick(0, WALL_MS));
    let heard = hear(&mut mud, &word[0].datagram, address(9, 7009), 0);
    assert!(matches!(&heard[..], [Output::Report(text)] if text.contains("called mud")));
    assert_eq!(mud.topology().hosts().count(), 0);
}
