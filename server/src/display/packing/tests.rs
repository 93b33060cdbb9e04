//! Whatever the pixels: what is packed unpacks to them, bit for bit.

use super::*;
use afterglow_wire::codec::{Reader, Wire};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::coding::planes::Chroma;
use afterglow_wire::ids::Size;
use afterglow_wire::limits::SET_PIXELS_MAX;
use proptest::prelude::*;

/// A session's picture, and a DTU that is told of it by a kept context.
struct Pair {
    picture: Framebuffer,
    packer: Packer,
    dtu: Framebuffer,
    unpacker: Unpacker,
}

impl Pair {
    fn new(size: Size) -> Self {
        Pair {
            picture: Framebuffer::new(size),
            packer: Packer::new(),
            dtu: Framebuffer::new(size),
            unpacker: Unpacker::new(),
        }
    }

    /// Draws on the DTU by what comes out of the command's encoding.
    fn follow(&mut self, command: &Command) {
        let mut bytes = BytesMut::new();
        command.put(&mut bytes);
        let mut reader = Reader::new(bytes.freeze());
        let received = Command::get(&mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(&received, command);
        self.dtu.apply(&received, &mut self.unpacker).unwrap();
    }

    /// Packs a rectangle; the DTU then has its pixels.
    fn send(&mut self, rect: &Rect) -> Command {
        let command = self.packer.pack(&self.picture, rect);
        self.follow(&command);
        for row in 0..rect.height_px {
            assert!(self.dtu.row(rect, row) == self.picture.row(rect, row), "{command:?}");
        }
        command
    }
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::Fill { .. } => "FILL",
        Command::Bitmap { coding: Coding::Raw, .. } => "BITMAP, raw",
        Command::Bitmap { coding: Coding::Stream, .. } => "BITMAP",
        Command::Set { coding: Coding::Raw, .. } => "SET, raw",
        Command::Set { coding: Coding::Palette, .. } => "SET, palette",
        Command::Set { coding: Coding::Predicted, .. } => "SET, predicted",
        _ => "another",
    }
}

/// Pixels of so many colours at random places.
fn scatter(picture: &mut Framebuffer, rect: &Rect, colors: u32, seed: u32) {
    let mut state = seed | 1;
    let pixels: Vec<u8> = (0..rect.pixels())
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let color = (state >> 4) % colors;
            (color.wrapping_mul(0x01f3_5b07).wrapping_add(seed) & 0x00ff_ffff).to_le_bytes()
        })
        .collect();
    picture.set(rect, &pixels);
}

/// A soft slope in all channels.
fn shade(picture: &mut Framebuffer, rect: &Rect, seed: u32) {
    for y in 0..rect.height_px {
        for x in 0..rect.width_px {
            let (x_part, y_part) = (u32::from(x) * 3, u32::from(y) * 5);
            let pixel = [x_part + seed, y_part, (x_part + y_part) / 2].map(|value| value as u8);
            let at = Rect::new(rect.x_px + x, rect.y_px + y, 1, 1);
            picture.set(&at, &[pixel[0], pixel[1], pixel[2], 0]);
        }
    }
}

#[test]
fn each_content_goes_as_what_suits_it() {
    let size = Size::new(300, 200).unwrap();
    let whole = Rect::whole(size);
    let small = Rect::new(7, 9, 32, 32);
    for (colors, rect, expected) in [
        (1, whole, "FILL"),
        (2, whole, "BITMAP"),
        (2, Rect::new(3, 3, 6, 13), "BITMAP, raw"),
        (3, whole, "SET, palette"),
        (3, Rect::new(0, 0, 2, 2), "SET, raw"),
        (16, small, "SET, palette"),
        (40, small, "SET, predicted"),
        (256, whole, "SET, palette"),
        (257, whole, "SET, predicted"),
        (1 << 24, whole, "SET, predicted"),
    ] {
        let mut pair = Pair::new(size);
        // Every colour is there, if there are pixels enough.
        scatter(&mut pair.picture, &whole, colors, 77);
        let sent = pair.send(&rect);
        // Chance may leave colours out of the smallest.
        if rect.pixels() > 4 {
            assert_eq!(kind(&sent), expected, "{colors} colours in {rect:?}");
        }
    }
}

#[test]
fn slopes_and_photographs_are_predicted_and_what_is_drawn_is_not() {
    let size = Size::new(300, 200).unwrap();
    let whole = Rect::whole(size);
    let predictors = |pair: &mut Pair| {
        let Command::Set { coding: Coding::Predicted, .. } = pair.send(&whole) else {
            panic!("it has too many colours for anything else");
        };
        pair.packer.plain[..usize::from(whole.height_px)].to_vec()
    };
    let mut pair = Pair::new(size);
    shade(&mut pair.picture, &whole, 5);
    assert!(predictors(&mut pair).iter().all(|byte| *byte != Predictor::Zero as u8));
    // Most of it is of one colour, if one looks at it from near.
    let mut pair = Pair::new(size);
    scatter(&mut pair.picture, &Rect { width_px: 60, ..whole }, 1 << 20, 3);
    assert!(predictors(&mut pair).iter().all(|byte| *byte == Predictor::Zero as u8));
}

#[test]
fn the_rarer_of_two_colours_is_the_foreground() {
    let mut pair = Pair::new(Size::new(64, 64).unwrap());
    let rect = Rect::new(0, 0, 33, 20);
    pair.picture.fill(&rect, [9, 9, 9, 0]);
    // The first pixel is of the rarer one.
    pair.picture.fill(&Rect::new(0, 0, 5, 5), [200, 1, 1, 0]);
    let Command::Bitmap { foreground, background, .. } = pair.send(&rect) else {
        panic!("two colours are a BITMAP");
    };
    assert_eq!((foreground, background), ([200, 1, 1, 0], Some([9, 9, 9, 0])));
}

#[test]
fn a_picture_that_comes_back_costs_next_to_nothing() {
    let size = Size::new(400, 300).unwrap();
    let whole = Rect::whole(size);
    let mut pair = Pair::new(size);
    scatter(&mut pair.picture, &whole, 1 << 24, 1);
    let first = pair.send(&whole).payload_bytes();
    let before = pair.picture.clone();
    scatter(&mut pair.picture, &whole, 1 << 24, 2);
    pair.send(&whole);
    pair.picture = before;
    let again = pair.send(&whole).payload_bytes();
    assert!(first > 350_000 && again < 500, "{first}, then {again}");
}

#[test]
fn the_largest_rectangle_of_noise_fits_into_a_command() {
    let size = Size::new(1024, 256).unwrap();
    let whole = Rect::whole(size);
    assert_eq!(whole.pixels(), SET_PIXELS_MAX);
    let mut pair = Pair::new(size);
    scatter(&mut pair.picture, &whole, 1 << 24, 1);
    pair.send(&whole);
    pair.packer.stream = None;
    pair.send(&whole);
}

#[test]
fn without_a_stream_pictures_go_as_they_are() {
    let size = Size::new(90, 70).unwrap();
    let whole = Rect::whole(size);
    let mut pair = Pair::new(size);
    scatter(&mut pair.picture, &whole, 1 << 24, 1);
    pair.send(&whole);
    pair.packer.stream = None;
    for (colors, expected) in [(2, "BITMAP, raw"), (9, "SET, raw"), (1 << 24, "SET, raw")] {
        scatter(&mut pair.picture, &whole, colors, 5);
        assert_eq!(kind(&pair.send(&whole)), expected);
    }
}

/// What is drawn next, and where.
#[derive(Debug, Clone)]
enum Content {
    Scatter(u32, u32),
    Shade(u32),
    /// What is there already.
    Same,
}

fn content() -> impl Strategy<Value = Content> {
    let colors = prop_oneof![1u32..5, 5u32..40, 200u32..300, Just(1 << 24)];
    prop_oneof![
        4 => (colors, 0u32..1000).prop_map(|(colors, seed)| Content::Scatter(colors, seed)),
        1 => (0u32..256).prop_map(Content::Shade),
        1 => Just(Content::Same),
    ]
}

fn rects() -> impl Strategy<Value = Rect> {
    let side = || prop_oneof![1u16..9, 1u16..80];
    (side(), side()).prop_flat_map(|(width, height)| {
        (0..=80 - width, 0..=80 - height).prop_map(move |(x, y)| Rect::new(x, y, width, height))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_dtu_has_what_was_packed(steps in prop::collection::vec((content(), rects(), rects()), 1..20)) {
        let mut pair = Pair::new(Size::new(80, 80).unwrap());
        for (content, drawn, sent) in steps {
            match content {
                Content::Scatter(colors, seed) => scatter(&mut pair.picture, &drawn, colors, seed),
                Content::Shade(seed) => shade(&mut pair.picture, &drawn, seed),
                Content::Same => {}
            }
            pair.send(&sent);
            pair.send(&drawn);
        }
    }

    #[test]
    fn samples_come_out_as_they_went_in(
        frames in prop::collection::vec((0usize..3, 1u16..40, 1u16..40, any::<u32>(), rects()), 1..6),
    ) {
        let mut pair = Pair::new(Size::new(80, 80).unwrap());
        for (chroma, width_px, height_px, seed, rect) in frames {
            let chroma = [Chroma::Full, Chroma::Half, Chroma::Quarter][chroma];
            let planes = Planes { chroma, width_px, height_px };
            let samples: Vec<u8> = (0..planes.bytes() as u32)
                .map(|i| (i.wrapping_mul(seed) >> 7) as u8)
                .collect();
            let command = pair.packer.cscs(&rect, planes, &samples);
            pair.follow(&command);
            pair.picture.cscs(&rect, &planes, &samples);
            prop_assert!(pair.dtu == pair.picture);
        }
    }
}
