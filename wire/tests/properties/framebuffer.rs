//! What the display commands do, against the plainest way to say it.

use afterglow_wire::coding::Unpacker;
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::{CommandError, Framebuffer, PIXEL_BYTES};
use afterglow_wire::ids::Size;
use afterglow_wire::limits::SET_PIXELS_MAX;
use proptest::prelude::*;

const SIDE_PX: u16 = 24;

/// A picture with a pixel of its own at every place.
fn picture() -> Framebuffer {
    let mut picture = Framebuffer::new(Size::new(SIDE_PX, SIDE_PX).expect("a size"));
    for (number, pixel) in picture.pixels_mut().chunks_exact_mut(PIXEL_BYTES).enumerate() {
        pixel.copy_from_slice(&[number as u8, (number >> 8) as u8, 7, 0]);
    }
    picture
}

fn pixel(picture: &Framebuffer, x_px: u16, y_px: u16) -> [u8; 4] {
    let row = picture.row(&Rect::new(x_px, y_px, 1, 1), 0);
    row.try_into().expect("one pixel")
}

/// The picture after a command, place by place.
fn expected(before: &Framebuffer, command: &Command) -> Result<Framebuffer, CommandError> {
    let mut after = before.clone();
    let size = before.size();
    let mut draw = |rect: &Rect, color: &dyn Fn(u16, u16) -> [u8; 4]| {
        for y in 0..rect.height_px {
            for x in 0..rect.width_px {
                after.set(&Rect::new(rect.x_px + x, rect.y_px + y, 1, 1), &color(x, y));
            }
        }
    };
    match command {
        Command::Set { rect, .. } if !rect.fits(size) => return Err(CommandError::Outside("SET")),
        Command::Set { rect, coding, payload } => {
            let pixels = Unpacker::new().set(rect, *coding, payload)?;
            let width = usize::from(rect.width_px);
            draw(rect, &|x, y| {
                let at = (usize::from(y) * width + usize::from(x)) * PIXEL_BYTES;
                pixels[at..at + PIXEL_BYTES].try_into().expect("one pixel")
            });
        }
        Command::Fill { rect, .. } if !rect.fits(size) => {
            return Err(CommandError::Outside("FILL"));
        }
        Command::Fill { rect, color } => draw(rect, &|_, _| *color),
        Command::Copy { rect, .. } if !rect.fits(size) => {
            return Err(CommandError::Outside("COPY"));
        }
        Command::Copy { rect, from_x_px, from_y_px } => {
            let source = Rect { x_px: *from_x_px, y_px: *from_y_px, ..*rect };
            if !source.fits(size) {
                return Err(CommandError::Outside("COPY's source"));
            }
            draw(rect, &|x, y| pixel(before, from_x_px + x, from_y_px + y));
        }
        Command::Bitmap { rect, .. } if !rect.fits(size) => {
            return Err(CommandError::Outside("BITMAP"));
        }
        Command::Bitmap { rect, foreground, background, coding, payload } => {
            let bits = Unpacker::new().bitmap(rect, *coding, payload)?;
            let row_bits = usize::from(rect.width_px).next_multiple_of(8);
            draw(rect, &|x, y| {
                let bit = usize::from(y) * row_bits + usize::from(x);
                match bits[bit / 8] >> (7 - bit % 8) & 1 {
                    1 => *foreground,
                    _ => {
                        let beneath = pixel(before, rect.x_px + x, rect.y_px + y);
                        background.unwrap_or(beneath)
                    }
                }
            });
        }
        Command::Cscs { rect, .. } if !rect.fits(size) => {
            return Err(CommandError::Outside("CSCS"));
        }
        Command::Cscs { rect, planes, coding, payload } => {
            let samples = Unpacker::new().planes(planes, *coding, payload)?;
            draw(rect, &|x, y| cscs_pixel(rect, planes, &samples, x, y));
        }
        Command::Cursor(_) => {}
        Command::Size(size) => {
            after = Framebuffer::new(*size);
            for y in 0..size.height_px().min(SIDE_PX) {
                for x in 0..size.width_px().min(SIDE_PX) {
                    after.set(&Rect::new(x, y, 1, 1), &pixel(before, x, y));
                }
            }
        }
        Command::Unknown(kind) => {
            return Err(CommandError::Unknown { what: "command", kind: *kind });
        }
    }
    Ok(after)
}

/// A pixel of a CSCS, in whole 65536ths.
fn cscs_pixel(rect: &Rect, planes: &Planes, samples: &[u8], x: u16, y: u16) -> [u8; 4] {
    // The last source pixel that begins no later than the centre.
    let beneath = |at: u16, target: u16, source: u16| {
        let (at, target, source) = (u64::from(at), u64::from(target), u64::from(source));
        let begins_in_time = |place: &u64| place * 2 * target <= (2 * at + 1) * source;
        (0..source).filter(begins_in_time).max().expect("the first one") as usize
    };
    let x = beneath(x, rect.width_px, planes.width_px);
    let y = beneath(y, rect.height_px, planes.height_px);
    let (x_shared, y_shared) = match planes.chroma {
        Chroma::Full => (1, 1),
        Chroma::Half => (2, 1),
        Chroma::Quarter => (2, 2),
    };
    let (width, height) = (usize::from(planes.width_px), usize::from(planes.height_px));
    let (chroma_width, chroma_height) = (width.div_ceil(x_shared), height.div_ceil(y_shared));
    let (luma, chroma) = samples.split_at(width * height);
    let (blue, red) = chroma.split_at(chroma_width * chroma_height);
    let shared = y / y_shared * chroma_width + x / x_shared;
    let whole = |sample: u8| i64::from(sample) * 65_536;
    let (luma, blue, red) = (luma[y * width + x], blue[shared], red[shared]);
    let (blue, red) = (i64::from(blue) - 128, i64::from(red) - 128);
    let byte = |parts: i64| (parts + 32_768).div_euclid(65_536).clamp(0, 255) as u8;
    [
        byte(whole(luma) + 116_130 * blue),
        byte(whole(luma) - 22_554 * blue - 46_802 * red),
        byte(whole(luma) + 91_881 * red),
        0,
    ]
}

/// Rectangles that lie inside more often than not.
fn rect() -> impl Strategy<Value = Rect> {
    let short = 1..=SIDE_PX / 2;
    let inside = (0..=SIDE_PX / 2, 0..=SIDE_PX / 2, short.clone(), short)
        .prop_map(|(x, y, w, h)| Rect::new(x, y, w, h));
    prop_oneof![4 => inside, 1 => crate::messages::rect(SIDE_PX)]
}

/// Bytes in one of the codings that need no other payload before them.
fn payload(plain: Vec<u8>, zstd: bool) -> (Coding, bytes::Bytes) {
    match zstd {
        false => (Coding::Raw, plain.into()),
        true => (Coding::Zstd, zstd::bulk::compress(&plain, 1).expect("packs").into()),
    }
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(seed) ^ (i / 7) as u8).collect()
}

fn command() -> impl Strategy<Value = Command> {
    let set = (rect(), any::<bool>(), any::<u8>()).prop_map(|(rect, packed, seed)| {
        let (coding, payload) = payload(bytes(rect.pixels() as usize * PIXEL_BYTES, seed), packed);
        Command::Set { rect, coding, payload }
    });
    let colors = any::<([u8; 4], Option<[u8; 4]>)>();
    let bitmap = (rect(), colors, any::<bool>(), any::<u8>()).prop_map(
        |(rect, (foreground, background), packed, seed)| {
            let row_bytes = usize::from(rect.width_px).div_ceil(8);
            let bits = bytes(row_bytes * usize::from(rect.height_px), seed);
            let (coding, payload) = payload(bits, packed);
            Command::Bitmap { rect, foreground, background, coding, payload }
        },
    );
    let cscs = (rect(), crate::messages::planes(30), any::<bool>(), any::<u8>()).prop_map(
        |(rect, planes, packed, seed)| {
            let (coding, payload) = payload(bytes(planes.bytes(), seed), packed);
            Command::Cscs { rect, planes, coding, payload }
        },
    );
    let size = (16u16..40, 16u16..40)
        .prop_map(|(w, h)| Command::Size(Size::new(w, h).expect("within the limits")));
    prop_oneof![
        set,
        (rect(), any::<[u8; 4]>()).prop_map(|(rect, color)| Command::Fill { rect, color }),
        (rect(), 0..SIDE_PX, 0..SIDE_PX).prop_map(|(rect, from_x_px, from_y_px)| Command::Copy {
            rect,
            from_x_px,
            from_y_px
        }),
        bitmap,
        cscs,
        size,
        (8u8..=255).prop_map(Command::Unknown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_command_does_what_it_says_or_nothing(command in command()) {
        let before = picture();
        let mut after = before.clone();
        let applied = after.apply(&command, &mut Unpacker::new());
        match expected(&before, &command) {
            Ok(expected) => {
                prop_assert_eq!(applied, Ok(()));
                prop_assert!(after == expected, "{:?}", command);
            }
            Err(error) => {
                prop_assert_eq!(applied, Err(error));
                prop_assert!(after == before, "{:?} left something behind", command);
            }
        }
    }
}

fn set(rect: Rect, coding: Coding, payload: Vec<u8>) -> Command {
    Command::Set { rect, coding, payload: payload.into() }
}

#[test]
fn a_payload_that_is_not_the_rectangles_pixels_is_refused() {
    let rect = Rect::new(1, 1, 4, 3);
    let len = 4 * 3 * PIXEL_BYTES;
    let packed = |len: usize| zstd::bulk::compress(&vec![5; len], 1).expect("packs");
    let apply = |coding, payload| {
        let mut after = picture();
        let applied = after.apply(&set(rect, coding, payload), &mut Unpacker::new());
        assert!(after == picture());
        applied
    };
    for payload in [vec![], vec![0; len - 1], vec![0; len + 1]] {
        assert_eq!(apply(Coding::Raw, payload), Err(CommandError::Payload("SET")));
    }
    // The last one would unpack to a thousand times as much.
    for payload in [vec![], vec![0; 9], packed(len - 1), packed(len + 1), packed(1000 * len)] {
        assert_eq!(apply(Coding::Zstd, payload), Err(CommandError::Payload("SET")));
    }
    let unknown = CommandError::Unknown { what: "coding", kind: 9 };
    assert_eq!(apply(Coding::Unknown(9), vec![]), Err(unknown));
}

#[test]
fn a_set_of_more_pixels_than_allowed_unpacks_to_nothing() {
    let rect = Rect::new(0, 0, 4096, (SET_PIXELS_MAX / 4096 + 1) as u16);
    let payload = bytes::Bytes::from_static(&[]);
    let mut unpacker = Unpacker::new();
    let refused = Err(CommandError::Payload("SET"));
    assert_eq!(unpacker.set(&rect, Coding::Raw, &payload), refused);
}
