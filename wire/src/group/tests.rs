//! The patent's form, and what spoils it.

use super::*;
use crate::trust::GroupKey;

fn key(byte: u8) -> MessageKey {
    GroupKey::from_file_content(&[byte; 32]).expect("32 bytes").message_key()
}

fn mud() -> HostMessage {
    let interface = |name: &str, ip: u32, mask: u32, bcast: u32| Interface {
        name: name.into(),
        ip: Ipv4Addr::from_bits(ip),
        mask: Ipv4Addr::from_bits(mask),
        bcast: Ipv4Addr::from_bits(bcast),
    };
    HostMessage {
        host: "mud".parse().expect("a name"),
        addr: Ipv4Addr::from_bits(0x8190_7f05),
        time_ms: 950_739_941_250,
        flags: 4,
        cpus: 2,
        clock_mhz: 248,
        boot: 7,
        seq: 9,
        port: 7010,
        load_percent: 12,
        sessions: 3,
        memory_mib: 2048,
        version: "0.1.0".into(),
        home: None,
        part: (1, 1),
        interfaces: vec![
            interface("hme0", 0x8190_7f05, 0xffff_ff00, 0x8190_7fff),
            interface("ge0", 0xc0a8_8003, 0xffff_ff00, 0xc0a8_80ff),
        ],
    }
}

#[test]
fn a_host_message_reads_as_the_patent_prints_it() {
    let datagram = GroupMessage::Host(mud()).to_datagram(&key(1));
    let text = String::from_utf8(datagram).expect("text");
    let (signed, signature) = text.split_once(" sig=sha1:").expect("signed");
    assert_eq!(
        signed,
        "host=mud addr=81907f05 time=950739941 ms=250 numifs=2 flags=4 cpus=2 clock=248 \
         boot=7 seq=9 port=7010 load=12 sessions=3 memory=2048 version=0.1.0 part=1/1 \
         interface=hme0 ip=81907f05 mask=ffffff00 bcast=81907fff \
         interface=ge0 ip=c0a88003 mask=ffffff00 bcast=c0a880ff"
    );
    assert_eq!(signature.len(), 40);
}

#[test]
fn only_the_groups_own_signature_makes_a_message_trusted() {
    let message = GroupMessage::Host(mud());
    let datagram = message.to_datagram(&key(1));
    let ours = GroupMessage::parse(&datagram, Some(&key(1))).expect("parses");
    assert_eq!(ours, Received { message: message.clone(), trusted: true });
    let theirs = GroupMessage::parse(&datagram, Some(&key(2))).expect("parses");
    assert_eq!(theirs, Received { message, trusted: false });
    let changed = String::from_utf8(datagram).expect("text").replace("load=12", "load=10");
    let changed = GroupMessage::parse(changed.as_bytes(), Some(&key(1))).expect("parses");
    assert!(!changed.trusted);
}

#[test]
fn a_signature_that_is_not_the_last_pair_does_not_count() {
    let mut datagram = GroupMessage::Host(mud()).to_datagram(&key(1));
    datagram.extend_from_slice(b" more=1");
    let received = GroupMessage::parse(&datagram, Some(&key(1))).expect("parses");
    assert!(!received.trusted);
}

#[test]
fn a_server_r_is_never_longer_than_its_question() {
    let longest = "a".repeat(63).parse().expect("a name");
    let q = GroupMessage::ServerQ(ServerQ { nonce: u64::MAX }).to_datagram(&key(1));
    let r = GroupMessage::ServerR(ServerR {
        nonce: u64::MAX,
        host: longest,
        addr: Ipv4Addr::BROADCAST,
        port: u16::MAX,
    })
    .to_datagram(&key(1));
    assert!(r.len() <= q.len(), "{} > {}", r.len(), q.len());
    assert_eq!(
        GroupMessage::parse(&q[..SERVER_Q_BYTES_MIN - 1], None),
        Err(GroupMessageError::ShortQuestion(SERVER_Q_BYTES_MIN - 1))
    );
}

#[test]
fn a_message_without_memory_says_that_it_is_not_known() {
    let text = mud().pairs().replace(" memory=2048", "");
    let received = GroupMessage::parse(text.as_bytes(), None).expect("parses");
    let GroupMessage::Host(host) = received.message else { panic!("a host message") };
    assert_eq!(host, HostMessage { memory_mib: 0, ..mud() });
    for wrong in ["memory=", "memory=-1", "memory=4294967296", "memory=1 memory=1"] {
        let text = mud().pairs().replace("memory=2048", wrong);
        let error = GroupMessage::parse(text.as_bytes(), None).expect_err(wrong);
        assert_eq!(error, GroupMessageError::Field("memory"));
    }
}

#[test]
fn what_a_server_wrote_into_its_home_root_is_told_or_not() {
    let text = HostMessage { home: Some(*b"01234567"), ..mud() }.pairs();
    assert!(text.contains(" part=1/1 home=3031323334353637 interface=hme0"), "{text}");
    let received = GroupMessage::parse(text.as_bytes(), None).expect("parses");
    let GroupMessage::Host(host) = received.message else { panic!("a host message") };
    assert_eq!(host.home, Some(*b"01234567"));
    for wrong in ["home=", "home=30313233343536", "home=x031323334353637", "home=1 home=1"] {
        let text = text.replace("home=3031323334353637", wrong);
        let error = GroupMessage::parse(text.as_bytes(), None).expect_err(wrong);
        assert_eq!(error, GroupMessageError::Field("home"));
    }
}

#[test]
fn bad_datagrams_are_told_apart() {
    let parse = |text: &str| GroupMessage::parse(text.as_bytes(), None).expect_err(text);
    assert_eq!(parse(""), GroupMessageError::NotPairs);
    assert_eq!(parse("hello"), GroupMessageError::NotPairs);
    assert_eq!(parse("what=1"), GroupMessageError::UnknownKind);
    assert_eq!(parse("host=mud"), GroupMessageError::Field("numifs"));
    assert_eq!(parse("host=mud numifs=1"), GroupMessageError::Field("numifs"));
    assert_eq!(parse("host=mud numifs=0 numifs=0"), GroupMessageError::Field("numifs"));
    assert_eq!(parse(&"x".repeat(1401)), GroupMessageError::TooLong(1401));
    assert_eq!(parse(&"a=b ".repeat(200)), GroupMessageError::TooMany);
    assert_eq!(GroupMessage::parse(b"host=\xff", None), Err(GroupMessageError::NotPairs));
}
