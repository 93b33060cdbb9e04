//! Group messages: what is sent is read again, and nothing that was changed on
//! its way is trusted.

use crate::messages::{epoch, group_key, server_name, session};
use afterglow_wire::group::*;
use afterglow_wire::limits::GROUP_DATAGRAM_BYTES_MAX;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn ip() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

fn interface() -> impl Strategy<Value = Interface> {
    ("[a-z0-9.:-]{1,32}", ip(), ip(), ip()).prop_map(|(name, ip, mask, bcast)| Interface {
        name,
        ip,
        mask,
        bcast,
    })
}

fn host() -> impl Strategy<Value = HostMessage> {
    let clock = (0..u64::MAX / 1000, any::<u64>(), any::<u64>());
    let machine = any::<[u32; 6]>();
    let part = (1u8..=9, 0u8..=9).prop_map(|(part, more)| (part, part + more));
    let rest = (any::<u16>(), "[0-9.a-z-]{1,32}", part, option::of(any::<[u8; 8]>()));
    (server_name(), ip(), clock, machine, rest, vec(interface(), 0..=11)).prop_map(
        |(host, addr, (time_ms, boot, seq), machine, (port, version, part, home), interfaces)| {
            let [flags, cpus, clock_mhz, load_percent, sessions, memory_mib] = machine;
            HostMessage {
                host,
                addr,
                time_ms,
                flags,
                cpus,
                clock_mhz,
                boot,
                seq,
                port,
                load_percent,
                sessions,
                memory_mib,
                version,
                home,
                part,
                interfaces,
            }
        },
    )
}

fn any_message() -> impl Strategy<Value = GroupMessage> {
    let found = (session(), epoch(), any::<u64>())
        .prop_map(|(session, epoch, connection)| TokenSession { session, epoch, connection });
    prop_oneof![
        host().prop_map(GroupMessage::Host),
        any::<u64>().prop_map(|nonce| GroupMessage::ServerQ(ServerQ { nonce })),
        (any::<u64>(), server_name(), ip(), any::<u16>()).prop_map(|(nonce, host, addr, port)| {
            GroupMessage::ServerR(ServerR { nonce, host, addr, port })
        }),
        (any::<u64>(), server_name(), any::<[u8; 32]>(), option::of(any::<[u8; 16]>())).prop_map(
            |(nonce, host, hash, session)| {
                let session = session.map(afterglow_wire::ids::SessionId);
                GroupMessage::TokenQ(TokenQ { nonce, host, hash, session })
            }
        ),
        (any::<u64>(), server_name(), option::of(found)).prop_map(|(nonce, host, session)| {
            GroupMessage::TokenR(TokenR { nonce, host, session })
        }),
    ]
}

fn is_signed(message: &GroupMessage) -> bool {
    !matches!(message, GroupMessage::ServerQ(_) | GroupMessage::ServerR(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_sent_is_read_again(message in any_message()) {
        let key = group_key().message_key();
        let datagram = message.to_datagram(&key);
        prop_assert!(datagram.len() <= GROUP_DATAGRAM_BYTES_MAX);
        let trusted = is_signed(&message);
        let received = GroupMessage::parse(&datagram, Some(&key));
        prop_assert_eq!(received, Ok(Received { message, trusted }));
    }

    #[test]
    fn nothing_cut_short_is_trusted(message in any_message()) {
        let key = group_key().message_key();
        let datagram = message.to_datagram(&key);
        for len in 0..datagram.len() {
            if let Ok(received) = GroupMessage::parse(&datagram[..len], Some(&key)) {
                prop_assert!(!received.trusted);
            }
        }
    }

    #[test]
    fn no_changed_bit_changes_what_a_trusted_message_says(
        message in any_message(),
        flips in vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let key = group_key().message_key();
        let mut datagram = message.to_datagram(&key);
        for (index, bit) in flips {
            let at = index.index(datagram.len());
            datagram[at] ^= 1 << (bit % 8);
        }
        if let Ok(received) = GroupMessage::parse(&datagram, Some(&key)) {
            // The digits of the signature itself may be of either case.
            prop_assert!(!received.trusted || received.message == message);
        }
    }

    #[test]
    fn any_text_has_an_answer(text in "[ -~]{0,300}", pairs in vec(("(host|ip|sig|addr|[a-z]{1,3})", "[!-~]{0,9}"), 0..20)) {
        let key = group_key().message_key();
        let _ = GroupMessage::parse(text.as_bytes(), Some(&key));
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if let Ok(received) = GroupMessage::parse(pairs.join(" ").as_bytes(), Some(&key)) {
            prop_assert!(!received.trusted);
        }
    }
}
