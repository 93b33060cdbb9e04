//! What the payloads of one attachment unpack to, and what is refused.

use afterglow_wire::coding::palette::{index_bits, pack_row};
use afterglow_wire::coding::planes::{Chroma, Planes, chroma, color, luma, nearest};
use afterglow_wire::coding::predict::{Predictor, residuals, split_colors};
use afterglow_wire::coding::stream::Compressor;
use afterglow_wire::coding::{COLOR_BYTES, Unpacker, bitmap_row_bytes};
use afterglow_wire::command::{Coding, Rect};
use afterglow_wire::framebuffer::{CommandError, PIXEL_BYTES};
use afterglow_wire::limits::{CSCS_BYTES_MAX, CSCS_PLANES_BYTES_MAX, SET_PIXELS_MAX};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// Both ends of an attachment.
struct Pair {
    compressor: Compressor,
    unpacker: Unpacker,
}

impl Pair {
    fn new() -> Self {
        let compressor = Compressor::new().expect("there is memory");
        Pair { compressor, unpacker: Unpacker::new() }
    }

    /// A payload of these plain bytes, after a head that is not packed.
    fn pack(&mut self, head: &[u8], plain: &[u8]) -> Bytes {
        let mut payload = head.to_vec();
        self.compressor.pack(plain, &mut payload).expect("packs");
        payload.into()
    }
}

fn predictor() -> impl Strategy<Value = Predictor> {
    (0u8..4).prop_map(|byte| Predictor::from_byte(byte).expect("a predictor"))
}

/// A command's rectangle, something to fill it with, and how it is coded.
#[derive(Debug, Clone)]
struct Sample {
    rect: Rect,
    colors: Vec<[u8; 3]>,
    seed: u32,
    predictors: Vec<Predictor>,
    how: u8,
}

fn sample() -> impl Strategy<Value = Sample> {
    let colors = prop_oneof![
        4 => vec(any::<[u8; 3]>(), 1..20),
        1 => vec(any::<[u8; 3]>(), 1..=256),
    ];
    (1u16..60, 1u16..40, colors, any::<u32>(), vec(predictor(), 60 + 3), 0u8..6).prop_map(
        |(width, height, colors, seed, predictors, how)| {
            let rect = Rect::new(0, 0, width, height);
            Sample { rect, colors, seed, predictors, how }
        },
    )
}

fn numbers(seed: u32, count: usize) -> Vec<usize> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as usize
    };
    (0..count).map(|_| next()).collect()
}

impl Sample {
    fn height(&self) -> usize {
        self.rect.height_px.into()
    }

    fn indices(&self) -> Vec<u8> {
        let count = self.rect.pixels() as usize;
        numbers(self.seed, count).iter().map(|n| (n % self.colors.len()) as u8).collect()
    }

    fn pixels(&self) -> Vec<u8> {
        let pixel = |index: &u8| {
            let [blue, green, red] = self.colors[usize::from(*index)];
            [blue, green, red, 0]
        };
        self.indices().iter().flat_map(pixel).collect()
    }

    /// Sends it one way or another; what comes out has to be what went in.
    fn check(&self, pair: &mut Pair) {
        let bytes = |seed, len| numbers(seed, len).iter().map(|n| *n as u8).collect::<Vec<_>>();
        match self.how {
            0 => self.check_set(pair, Coding::Raw, self.pixels().into()),
            1 => {
                let payload = zstd::bulk::compress(&self.pixels(), 1).expect("packs");
                self.check_set(pair, Coding::Zstd, payload.into());
            }
            2 => {
                let payload = pair.pack(&[], &self.pixels());
                self.check_set(pair, Coding::Stream, payload);
            }
            3 => {
                let mut plain: Vec<u8> = self.colors.iter().flatten().copied().collect();
                for row in self.indices().chunks(self.rect.width_px.into()) {
                    pack_row(row, index_bits(self.colors.len()), &mut plain);
                }
                let payload = pair.pack(&[(self.colors.len() - 1) as u8], &plain);
                self.check_set(pair, Coding::Palette, payload);
            }
            4 => {
                let pixels = self.pixels();
                let mut split = vec![0; pixels.len() / PIXEL_BYTES * COLOR_BYTES];
                split_colors(&pixels, &mut split);
                let mut plain = Vec::new();
                let row_bytes = usize::from(self.rect.width_px) * COLOR_BYTES;
                self.predict::<COLOR_BYTES>(&[(row_bytes, self.height())], &split, &mut plain);
                let payload = pair.pack(&[], &plain);
                self.check_set(pair, Coding::Predicted, payload);
            }
            _ => {
                let chroma = [Chroma::Full, Chroma::Half, Chroma::Quarter][self.colors.len() % 3];
                let (width_px, height_px) = (self.rect.width_px, self.rect.height_px);
                let planes = Planes { chroma, width_px, height_px };
                let samples = bytes(self.seed, planes.bytes());
                let sizes = planes.sizes_px().map(|(w, h)| (usize::from(w), usize::from(h)));
                let mut plain = Vec::new();
                self.predict::<1>(&sizes, &samples, &mut plain);
                let payload = pair.pack(&[], &plain);
                let unpacked = pair.unpacker.planes(&planes, Coding::Predicted, &payload);
                assert_eq!(unpacked, Ok(samples.into()));
                let bits = bytes(self.seed, bitmap_row_bytes(width_px) * self.height());
                let payload = pair.pack(&[], &bits);
                let unpacked = pair.unpacker.bitmap(&self.rect, Coding::Stream, &payload);
                assert_eq!(unpacked, Ok(bits.into()));
            }
        }
    }

    fn check_set(&self, pair: &mut Pair, coding: Coding, payload: Bytes) {
        let unpacked = pair.unpacker.set(&self.rect, coding, &payload);
        assert_eq!(unpacked, Ok(self.pixels().into()), "{coding:?}");
    }

    /// Predictors and residuals of planes of these row lengths and heights.
    fn predict<const CHANNELS: usize>(
        &self,
        sizes: &[(usize, usize)],
        bytes: &[u8],
        plain: &mut Vec<u8>,
    ) {
        let of_row = |row: usize| self.predictors[row % self.predictors.len()];
        for (_, height) in sizes {
            plain.extend((0..*height).map(|row| of_row(row) as u8));
        }
        let mut left = bytes;
        for (row_bytes, height) in sizes {
            let mut above = vec![0; *row_bytes];
            for row in 0..*height {
                let (bytes, rest) = left.split_at(*row_bytes);
                let start = plain.len();
                plain.resize(start + row_bytes, 0);
                residuals::<CHANNELS>(of_row(row), &above, bytes, &mut plain[start..]);
                above.copy_from_slice(bytes);
                left = rest;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_went_in_comes_out_over_a_kept_context(samples in vec(sample(), 1..12)) {
        let mut pair = Pair::new();
        for sample in samples {
            sample.check(&mut pair);
        }
    }

    #[test]
    fn any_bytes_unpack_to_the_right_length_or_not_at_all(
        payloads in vec((0u8..8, 1u16..40, 1u16..40, vec(any::<u8>(), 0..80)), 1..6),
        good in any::<bool>(),
    ) {
        let mut pair = Pair::new();
        for (coding, width, height, bytes) in payloads {
            let rect = Rect::new(0, 0, width, height);
            let coding = [
                Coding::Raw,
                Coding::Zstd,
                Coding::Stream,
                Coding::Palette,
                Coding::Predicted,
                Coding::Unknown(77),
            ][usize::from(coding.min(5))];
            // Half of them are at least of the stream, if of a wrong length.
            let payload = if good { pair.pack(&bytes[..1.min(bytes.len())], &bytes) } else { bytes.into() };
            let pixels = rect.pixels() as usize;
            if let Ok(unpacked) = pair.unpacker.set(&rect, coding, &payload) {
                prop_assert_eq!(unpacked.len(), pixels * PIXEL_BYTES);
            }
            if let Ok(unpacked) = pair.unpacker.bitmap(&rect, coding, &payload) {
                prop_assert_eq!(unpacked.len(), bitmap_row_bytes(width) * usize::from(height));
            }
            let planes = Planes { chroma: Chroma::Half, width_px: width, height_px: height };
            if let Ok(unpacked) = pair.unpacker.planes(&planes, coding, &payload) {
                prop_assert_eq!(unpacked.len(), planes.bytes());
            }
        }
    }
}

const RECT: Rect = Rect { x_px: 0, y_px: 0, width_px: 8, height_px: 4 };

#[test]
fn repeated_content_costs_next_to_nothing() {
    let mut pair = Pair::new();
    let noise: Vec<u8> = numbers(5, 30_000).iter().map(|n| *n as u8).collect();
    let first = pair.pack(&[], &noise).len();
    // Much else in between, but less than the window.
    pair.pack(&[], &numbers(6, 1_000_000).iter().map(|n| *n as u8).collect::<Vec<_>>());
    let again = pair.pack(&[], &noise).len();
    assert!(first > 30_000 && again < 100, "{first}, then {again}");
}

#[test]
fn a_payload_of_the_stream_has_to_have_exactly_its_length() {
    let len = RECT.pixels() as usize * PIXEL_BYTES;
    // The last is a bomb: 16 MB in few bytes.
    for wrong in [0, 1, len - 1, len + 1, 2 * len, 1 << 24] {
        let mut pair = Pair::new();
        let payload = pair.pack(&[], &vec![5; wrong]);
        let refused = Err(CommandError::Payload("SET"));
        assert_eq!(pair.unpacker.set(&RECT, Coding::Stream, &payload), refused, "{wrong}");
        // What follows cannot be understood any more.
        let good = pair.pack(&[], &vec![5; len]);
        assert_eq!(pair.unpacker.set(&RECT, Coding::Stream, &good), refused);
        // A coding without a context still can.
        let raw = Bytes::from(vec![5; len]);
        assert_eq!(pair.unpacker.set(&RECT, Coding::Raw, &raw), Ok(raw));
    }
}

#[test]
fn a_payload_left_out_or_repeated_is_noticed() {
    let noise: Vec<u8> =
        numbers(5, RECT.pixels() as usize * PIXEL_BYTES).iter().map(|n| *n as u8).collect();
    let refused = Err(CommandError::Payload("SET"));
    let mut pair = Pair::new();
    let _left_out = pair.pack(&[], &noise);
    let second = pair.pack(&[], &noise);
    assert_eq!(pair.unpacker.set(&RECT, Coding::Stream, &second), refused);
    // The first payload holds the stream's head, which comes only once.
    let mut pair = Pair::new();
    let first = pair.pack(&[], &noise);
    assert!(pair.unpacker.set(&RECT, Coding::Stream, &first).is_ok());
    assert_eq!(pair.unpacker.set(&RECT, Coding::Stream, &first), refused);
}

#[test]
fn a_stream_that_ends_or_looks_too_far_back_is_refused() {
    let len = RECT.pixels() as usize * PIXEL_BYTES;
    let refused = Err(CommandError::Payload("SET"));
    let ended = Bytes::from(zstd::bulk::compress(&vec![5; len], 1).expect("packs"));
    assert_eq!(Unpacker::new().set(&RECT, Coding::Stream, &ended), refused);
    // A frame's head that asks for a window of 128 MB, and an empty block.
    let far = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0, 0, 0]);
    assert_eq!(Unpacker::new().set(&RECT, Coding::Stream, &far), refused);
}

#[test]
fn an_index_without_a_colour_and_an_unknown_predictor_are_refused() {
    let refused = Err(CommandError::Payload("SET"));
    let mut pair = Pair::new();
    // Three colours have two bits, and 3 is none of them.
    let colors = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let good = pair.pack(&[2], &[&colors[..], &[0b00_01_10_00; 8]].concat());
    assert!(pair.unpacker.set(&RECT, Coding::Palette, &good).is_ok());
    let bad = pair.pack(&[2], &[&colors[..], &[0b00_01_10_11; 8]].concat());
    assert_eq!(pair.unpacker.set(&RECT, Coding::Palette, &bad), refused);
    assert_eq!(pair.unpacker.set(&RECT, Coding::Palette, &Bytes::new()), refused);
    let bad = pair.pack(&[], &[&[0, 1, 2, 4][..], &[0; 8 * 4 * 3]].concat());
    assert_eq!(pair.unpacker.set(&RECT, Coding::Predicted, &bad), refused);
}

#[test]
fn codings_are_refused_where_they_mean_nothing() {
    let payload = Bytes::from_static(&[0; 4]);
    for coding in [Coding::Palette, Coding::Predicted] {
        let refused = Err(CommandError::Payload("BITMAP"));
        assert_eq!(Unpacker::new().bitmap(&RECT, coding, &payload), refused);
    }
    let planes = Planes { chroma: Chroma::Quarter, width_px: 2, height_px: 1 };
    let refused = Err(CommandError::Payload("CSCS"));
    assert_eq!(Unpacker::new().planes(&planes, Coding::Palette, &payload), refused);
    let unknown = Err(CommandError::Unknown { what: "coding", kind: 99 });
    let coding = Coding::Unknown(99);
    assert_eq!(Unpacker::new().planes(&planes, coding, &payload), unknown);
    assert_eq!(Unpacker::new().bitmap(&RECT, coding, &payload), unknown);
}

#[test]
fn sizes_of_nothing_and_of_too_much_are_refused() {
    let payload = Bytes::new();
    let side = 1024;
    let high = (SET_PIXELS_MAX / u32::from(side) + 1) as u16;
    for rect in [Rect::new(0, 0, 0, 9), Rect::new(0, 0, 9, 0), Rect::new(0, 0, side, high)] {
        for coding in [Coding::Raw, Coding::Stream, Coding::Palette, Coding::Predicted] {
            let mut unpacker = Unpacker::new();
            assert!(unpacker.set(&rect, coding, &payload).is_err());
            assert!(unpacker.bitmap(&rect, coding, &payload).is_err());
        }
    }
    for (width_px, height_px) in [(0, 9), (9, 0), (2048, 1024)] {
        let planes = Planes { chroma: Chroma::Full, width_px, height_px };
        assert!(Unpacker::new().planes(&planes, Coding::Raw, &payload).is_err());
    }
}

#[test]
fn noise_of_the_largest_size_fits_into_a_command() {
    let noise: Vec<u8> = numbers(9, CSCS_PLANES_BYTES_MAX).iter().map(|n| *n as u8).collect();
    assert!(Pair::new().pack(&[], &noise).len() <= CSCS_BYTES_MAX);
}

#[test]
fn colours_are_those_of_bt_601() {
    assert_eq!(color(0, 128, 128), [0, 0, 0, 0]);
    assert_eq!(color(255, 128, 128), [255, 255, 255, 0]);
    assert_eq!(color(76, 85, 255), [0, 0, 254, 0]);
    assert_eq!(color(150, 44, 21), [1, 255, 0, 0]);
    assert_eq!(color(29, 255, 107), [254, 0, 0, 0]);
    assert_eq!(color(255, 255, 255), [255, 121, 255, 0]);
    assert_eq!(color(0, 0, 0), [0, 135, 0, 0]);
}

#[test]
fn colours_are_as_near_to_the_real_numbers_as_whole_ones_can_be() {
    for (luma, blue, red) in (0..1 << 12).map(|n: u32| (n & 15, n >> 4 & 15, n >> 8)) {
        let sample = |n: u32| (n * 17) as u8;
        let found = color(sample(luma), sample(blue), sample(red));
        let (y, u, v) = (f64::from(luma * 17), f64::from(blue * 17), f64::from(red * 17));
        let (u, v) = (u - 128.0, v - 128.0);
        let real = [y + 1.772 * u, y - 0.344_136 * u - 0.714_136 * v, y + 1.402 * v];
        for (found, real) in found.into_iter().zip(real) {
            assert!((f64::from(found) - real.clamp(0.0, 255.0)).abs() < 0.51);
        }
    }
}

#[test]
fn a_colour_comes_back_from_its_samples_to_within_two_and_a_grey_exactly() {
    let values = || (0..=255u8).step_by(5);
    let of_red = |red| values().map(move |green| [green, red]);
    for ([green, red], blue) in
        values().flat_map(of_red).flat_map(|two| values().map(move |blue| (two, blue)))
    {
        let before = [blue, green, red];
        let [of_blue, of_red] = chroma(before);
        let [found @ .., _] = color(luma(before), of_blue, of_red);
        let off = before.iter().zip(found).map(|(before, found)| before.abs_diff(found)).max();
        assert!(off <= Some(2), "{before:?} became {found:?}");
    }
    for grey in 0..=255 {
        assert_eq!((luma([grey; 3]), chroma([grey; 3])), (grey, [128; 2]));
    }
}

#[test]
fn the_nearest_pixel_is_the_one_beneath_the_centre() {
    let all =
        |target, source| (0..target).map(|at| nearest(at, target, source)).collect::<Vec<_>>();
    assert_eq!(all(4, 4), [0, 1, 2, 3]);
    assert_eq!(all(5, 3), [0, 0, 1, 2, 2]);
    assert_eq!(all(3, 7), [1, 3, 5]);
    assert_eq!(nearest(8191, 8192, 1), 0);
    assert_eq!(nearest(0, 1, 8192), 4096);
}
