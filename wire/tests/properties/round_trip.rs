//! What is put comes back; what is cut short is refused; what is changed never
//! panics. For every message of every binary link.

use crate::messages::local as any_local;
use afterglow_wire::codec::{DecodeError, Message};
use afterglow_wire::control::{ToDtu, ToServer};
use afterglow_wire::display::{FromSession, ToSession};
use afterglow_wire::local::{FromKeeper, SessionSpec, StartOrder, Started, ToKeeper};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Encodes and decodes, whole, cut at every length, and with some bits flipped.
fn check<M: Message + PartialEq + std::fmt::Debug>(
    message: M,
    flips: &[(prop::sample::Index, u8)],
) -> Result<(), TestCaseError> {
    let bytes = message.encode();
    prop_assert!(bytes.len() <= M::BYTES_MAX);
    let framed = message.encode_framed();
    prop_assert_eq!(&framed[..4], (bytes.len() as u32).to_le_bytes());
    prop_assert_eq!(&framed[4..], &bytes[..]);
    let decoded = M::decode(bytes.clone());
    prop_assert_eq!(decoded.as_ref(), Ok(&message));

    for len in 0..bytes.len() {
        prop_assert!(M::decode(bytes.slice(..len)).is_err(), "{} of {} bytes", len, bytes.len());
    }
    let mut longer = BytesMut::from(&bytes[..]);
    longer.put_u8(0);
    prop_assert_eq!(M::decode(longer.freeze()), Err(DecodeError::Trailing(1)));

    for (index, bit) in flips {
        let mut changed = bytes.to_vec();
        changed[index.index(bytes.len())] ^= 1 << (bit % 8);
        // Any answer will do, as long as it is one; and what is accepted has
        // one meaning.
        if let Ok(other) = M::decode(changed.into()) {
            prop_assert_eq!(M::decode(other.encode()), Ok(other));
        }
    }
    Ok(())
}

fn flips() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 16)
}

macro_rules! round_trip {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]
            $(#[test]
            fn $name(message in $strategy, flips in flips()) {
                check(message, &flips)?;
            })*
        }
    };
}

round_trip! {
    control_up: crate::messages::to_server();
    control_down: crate::messages::to_dtu();
    display_up: crate::messages::to_session();
    display_down: crate::messages::from_session();
    local_down: any_local::to_keeper();
    local_up: any_local::from_keeper();
    started: any_local::started();
    start_order: any_local::start_order();
    session_spec: any_local::session_spec();
    keeper_start: any_local::keeper_start();
}

/// A kind that nobody has given a meaning yet, with fields of its own.
fn unknown<M: Message>() -> Result<M, DecodeError> {
    M::decode(Bytes::from_static(&[0xfe, 0x7f, 1, 2, 3, 4, 5]))
}

#[test]
fn an_unknown_kind_is_skipped_on_every_link() {
    assert_eq!(unknown(), Ok(ToServer::Unknown(0x7ffe)));
    assert_eq!(unknown(), Ok(ToDtu::Unknown(0x7ffe)));
    assert_eq!(unknown(), Ok(ToSession::Unknown(0x7ffe)));
    assert_eq!(unknown(), Ok(FromSession::Unknown(0x7ffe)));
    assert_eq!(unknown(), Ok(ToKeeper::Unknown(0x7ffe)));
    assert_eq!(unknown(), Ok(FromKeeper::Unknown(0x7ffe)));
}

fn oversized<M: Message + std::fmt::Debug>() {
    let len = M::BYTES_MAX + 1;
    let error = M::decode(vec![0xff; len].into()).expect_err("it is too long");
    assert_eq!(error, DecodeError::TooLong { what: "message", len, max: M::BYTES_MAX });
}

#[test]
fn a_message_above_its_limit_is_refused_before_it_is_read() {
    oversized::<ToServer>();
    oversized::<ToDtu>();
    oversized::<ToSession>();
    oversized::<FromSession>();
    oversized::<ToKeeper>();
    oversized::<FromKeeper>();
    oversized::<SessionSpec>();
    oversized::<Started>();
    oversized::<StartOrder>();
}

#[test]
fn every_message_of_the_longest_texts_stays_below_its_limit() {
    // 64 words of 512 bytes are the largest command line that config accepts.
    let words = vec!["w".repeat(512); 64];
    let spec = crate::messages::local::session_spec();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut spec = spec.new_tree(&mut runner).expect("a spec").current();
    spec.desktop = afterglow_wire::local::CommandLine(words);
    for der in [&mut spec.certificate, &mut spec.certificate_key, &mut spec.authority] {
        der.0 = vec![1; afterglow_wire::limits::CERTIFICATE_BYTES_MAX].into();
    }
    let bytes = spec.encode();
    assert!(bytes.len() <= SessionSpec::BYTES_MAX, "{}", bytes.len());
    assert_eq!(SessionSpec::decode(bytes), Ok(spec));
}

#[test]
fn a_text_that_is_too_long_is_cut_between_two_letters() {
    let text = "ä".repeat(400);
    let hello = afterglow_wire::control::Hello { version: 1, dtu_name: text };
    let Ok(ToServer::Hello(hello)) = ToServer::decode(ToServer::from(hello).encode()) else {
        panic!("a Hello");
    };
    assert_eq!(hello.dtu_name, "ä".repeat(256));
}
