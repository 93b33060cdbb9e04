//! What the display commands do, against the plainest way to say it.

use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::{CommandError, Framebuffer, PIXEL_BYTES, unpack};
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
            let pixels = unpack(rect, *coding, payload)?;
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

/// Rectangles that lie inside more often than not.
fn rect() -> impl Strategy<Value = Rect> {
    let short = 1..=SIDE_PX / 2;
    let inside = (0..=SIDE_PX / 2, 0..=SIDE_PX / 2, short.clone(), short)
        .prop_map(|(x, y, w, h)| Rect::new(x, y, w, h));
    prop_oneof![4 => inside, 1 => crate::messages::rect(SIDE_PX)]
}

fn command() -> impl Strategy<Value = Command> {
    let set = (rect(), any::<bool>(), any::<u8>()).prop_map(|(rect, packed, seed)| {
        let raw: Vec<u8> = (0..rect.pixels() as usize * PIXEL_BYTES)
            .map(|i| (i as u8).wrapping_mul(seed))
            .collect();
        match packed {
            false => Command::Set { rect, coding: Coding::Raw, payload: raw.into() },
            true => {
                let payload = zstd::bulk::compress(&raw, 1).expect("packs").into();
                Command::Set { rect, coding: Coding::Zstd, payload }
            }
        }
    });
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
        size,
        (6u8..=255).prop_map(Command::Unknown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_command_does_what_it_says_or_nothing(command in command()) {
        let before = picture();
        let mut after = before.clone();
        let applied = after.apply(&command);
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
    for payload in [vec![], vec![0; len - 1], vec![0; len + 1]] {
        let mut after = picture();
        assert_eq!(after.apply(&set(rect, Coding::Raw, payload)), Err(CommandError::Payload));
        assert!(after == picture());
    }
    // The last one would unpack to a thousand times as much.
    for payload in [vec![], vec![0; 9], packed(len - 1), packed(len + 1), packed(1000 * len)] {
        let mut after = picture();
        assert_eq!(after.apply(&set(rect, Coding::Zstd, payload)), Err(CommandError::Payload));
        assert!(after == picture());
    }
    let error = picture().apply(&set(rect, Coding::Unknown(9), vec![]));
    assert_eq!(error, Err(CommandError::Unknown { what: "coding", kind: 9 }));
}

#[test]
fn a_set_of_more_pixels_than_allowed_unpacks_to_nothing() {
    let rect = Rect::new(0, 0, 4096, (SET_PIXELS_MAX / 4096 + 1) as u16);
    let payload = bytes::Bytes::from_static(&[]);
    assert_eq!(unpack(&rect, Coding::Raw, &payload), Err(CommandError::Payload));
}
