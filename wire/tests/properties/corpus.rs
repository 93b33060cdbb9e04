//! The fuzz targets on stable Rust: over a seeded corpus of good messages and
//! their mutations, the same in every run.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use afterglow_wire::codec::{Message, Wire};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::coding::stream::Compressor;
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::group::{GroupMessage, ServerQ, TokenQ};
use afterglow_wire::ids::Size;
use afterglow_wire::limits::{FRAME_PARTS_MAX, LOCAL_MESSAGE_BYTES_MAX};
use bytes::{Bytes, BytesMut};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

const SEEDS_PER_KIND: usize = 24;
const MUTATIONS_PER_SEED: usize = 120;
/// More than all messages of the corpus together, and far less than a length
/// that a mutation announces.
const MEMORY_GROWTH_KB_MAX: u64 = 64 * 1024;

/// Numbers that are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn samples<S: Strategy>(strategy: S, encode: impl Fn(&S::Value) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    (0..SEEDS_PER_KIND)
        .map(|_| encode(&strategy.new_tree(&mut runner).expect("a message").current()))
        .collect()
}

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    message.encode().to_vec()
}

fn put<W: Wire>(value: &W) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    value.put(&mut bytes);
    bytes.to_vec()
}

fn corpus() -> Vec<Vec<u8>> {
    let key = crate::messages::group_key().message_key();
    let mut corpus = vec![vec![], vec![0], vec![0xff; 64]];
    corpus.extend(samples(crate::messages::to_server(), encoded));
    corpus.extend(samples(crate::messages::to_dtu(), encoded));
    corpus.extend(samples(crate::messages::to_session(), encoded));
    corpus.extend(samples(crate::messages::from_session(), encoded));
    corpus.extend(samples(crate::messages::local::to_keeper(), encoded));
    corpus.extend(samples(crate::messages::local::from_keeper(), encoded));
    corpus.extend(samples(crate::messages::local::started(), encoded));
    corpus.extend(samples(crate::messages::local::start_order(), encoded));
    corpus.extend(samples(crate::messages::local::session_spec(), encoded));
    corpus.extend(samples(crate::messages::sealed(), put));
    corpus.extend(samples(crate::messages::command(60), put));
    corpus.push(one_attachment());
    corpus.push(GroupMessage::ServerQ(ServerQ { nonce: 5 }).to_datagram(&key));
    let host = "mud".parse().expect("a name");
    let question = TokenQ { nonce: 5, host, hash: [1; 32], session: None };
    corpus.push(GroupMessage::TokenQ(question).to_datagram(&key));
    corpus
}

/// Commands whose payloads are all of one stream.
fn one_attachment() -> Vec<u8> {
    let mut stream = Compressor::new().expect("there is memory");
    let mut payload = |head: &[u8], plain: &[u8]| {
        let mut payload = head.to_vec();
        stream.pack(plain, &mut payload).expect("packs");
        Bytes::from(payload)
    };
    let rect = Rect::new(3, 4, 20, 10);
    let planes = Planes { chroma: Chroma::Quarter, width_px: 5, height_px: 3 };
    let colors_and_indices = [&[7; 9][..], &[0b01_10_00_01; 5 * 10]].concat();
    let predictors_and_residuals =
        [&[0, 1, 2, 3, 3, 2, 1, 0, 3, 3][..], &[9; 20 * 10 * 3]].concat();
    let (foreground, background) = ([1; 4], None);
    let commands = [
        Command::Set { rect, coding: Coding::Stream, payload: payload(&[], &[5; 20 * 10 * 4]) },
        Command::Set { rect, coding: Coding::Palette, payload: payload(&[2], &colors_and_indices) },
        Command::Set {
            rect,
            coding: Coding::Predicted,
            payload: payload(&[], &predictors_and_residuals),
        },
        Command::Bitmap {
            rect,
            foreground,
            background,
            coding: Coding::Stream,
            payload: payload(&[], &[0xa5; 3 * 10]),
        },
        Command::Cscs {
            rect,
            planes,
            coding: Coding::Predicted,
            payload: payload(&[], &[3; 3 + 2 + 2 + 15 + 6 + 6]),
        },
    ];
    let mut picture = Framebuffer::new(Size::new(64, 48).expect("a size"));
    let mut unpacker = Unpacker::new();
    let mut bytes = BytesMut::new();
    for command in commands {
        picture.apply(&command, &mut unpacker).expect("they are good");
        command.put(&mut bytes);
    }
    bytes.to_vec()
}

/// One change of the kinds that find mistakes: bits, lengths, cuts, joins.
fn mutate(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    match numbers.below(6) {
        0 => bytes.truncate(numbers.below(seed.len() + 1)),
        1 => bytes.extend_from_slice(&other[..numbers.below(other.len() + 1)]),
        2 if bytes.len() >= 4 => {
            let at = numbers.below(bytes.len() - 3);
            let lengths = [0, 1, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, FRAME_PARTS_MAX as u32];
            bytes[at..at + 4].copy_from_slice(&lengths[numbers.below(7)].to_le_bytes());
        }
        3 if !bytes.is_empty() => {
            let at = numbers.below(bytes.len());
            bytes.splice(at..at, other.iter().take(8).copied());
        }
        _ => {
            for _ in 0..=numbers.below(4) {
                if let Some(byte) = {
                    let at = numbers.below(bytes.len());
                    bytes.get_mut(at)
                } {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
    bytes
}

/// The most memory that this process ever asked for, touched or not.
fn memory_peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).expect("VmPeak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

#[test]
fn no_target_panics_or_takes_what_a_length_announces() {
    let corpus = corpus();
    let mut numbers = Numbers(0x5eed);
    let before_kb = memory_peak_kb();
    for seed in &corpus {
        for _ in 0..MUTATIONS_PER_SEED {
            let other = &corpus[numbers.below(corpus.len())];
            let bytes = mutate(seed, other, &mut numbers);
            assert!(bytes.len() < 2 * LOCAL_MESSAGE_BYTES_MAX);
            for (name, target) in targets::ALL {
                if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                    panic!("{name} panicked on {bytes:02x?}");
                }
            }
        }
    }
    let grown_kb = memory_peak_kb() - before_kb;
    assert!(grown_kb < MEMORY_GROWTH_KB_MAX, "{grown_kb} kB more");
}
