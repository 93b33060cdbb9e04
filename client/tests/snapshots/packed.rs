//! The commands that bring packed payloads, and every coding, against the
//! reference and a golden, without any tolerance.

use crate::commands::{HEIGHT, WIDTH, golden, patterned};
use crate::golden::{Tolerance, check};
use crate::picture::{Payloads, both_ways, copy, fill, size};
use afterglow_client::render::framebuffer::{FrameError, Framebuffer};
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::CommandError;
use bytes::Bytes;

const YELLOW: [u8; 3] = [40, 220, 250];
const BLUE: [u8; 3] = [160, 60, 20];

fn planes(chroma: Chroma, width_px: u16, height_px: u16) -> Planes {
    Planes { chroma, width_px, height_px }
}

#[test]
fn bitmap_in_two_colours() {
    let mut payloads = Payloads::new();
    let mut bitmap = |rect, coding| payloads.bitmap(rect, coding, YELLOW, Some(BLUE));
    golden(
        "bitmap",
        vec![
            bitmap(Rect::new(10, 8, 33, 29), Coding::Raw),
            bitmap(Rect::new(50, 20, 8, 40), Coding::Zstd),
            bitmap(Rect::new(64, 3, 31, 17), Coding::Stream),
            bitmap(Rect::new(64, 30, 31, 17), Coding::Stream),
        ],
    );
}

#[test]
fn bitmap_over_what_is_there() {
    let mut payloads = Payloads::new();
    let mut bitmap = |rect, color| payloads.bitmap(rect, Coding::Stream, color, None);
    golden(
        "bitmap-transparent",
        vec![
            bitmap(Rect::new(10, 8, 33, 29), YELLOW),
            // One over the other, in their order.
            bitmap(Rect::new(40, 20, 40, 40), BLUE),
            bitmap(Rect::new(48, 26, 40, 40), YELLOW),
        ],
    );
}

#[test]
fn bitmap_at_the_edges() {
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    let mut payloads = Payloads::new();
    let mut bitmap = |rect, back| payloads.bitmap(rect, Coding::Raw, YELLOW, back);
    golden(
        "bitmap-edges",
        vec![
            bitmap(Rect::new(0, 0, 1, 1), Some(BLUE)),
            bitmap(Rect::new(right, 0, 1, HEIGHT), Some(BLUE)),
            bitmap(Rect::new(0, bottom, WIDTH, 1), None),
            bitmap(Rect::new(right - 8, bottom - 6, 9, 7), Some(BLUE)),
            bitmap(Rect::new(20, 10, 7, 40), None),
        ],
    );
    let mut payloads = Payloads::new();
    let whole = Rect::new(0, 0, WIDTH, HEIGHT);
    golden("bitmap-whole", vec![payloads.bitmap(whole, Coding::Stream, YELLOW, Some(BLUE))]);
}

#[test]
fn cscs_of_every_kind() {
    for (name, chroma) in [("444", Chroma::Full), ("422", Chroma::Half), ("420", Chroma::Quarter)] {
        let mut payloads = Payloads::new();
        let rect = Rect::new(11, 6, 71, 53);
        let same_size = planes(chroma, rect.width_px, rect.height_px);
        golden(&format!("cscs-{name}"), vec![payloads.cscs(rect, same_size, Coding::Predicted, 0)]);
    }
}

#[test]
fn cscs_is_stretched_to_its_rectangle() {
    let mut payloads = Payloads::new();
    let mut cscs = |rect, chroma, (width, height), coding| {
        payloads.cscs(rect, planes(chroma, width, height), coding, 30)
    };
    golden(
        "cscs-scaled",
        vec![
            // Larger, smaller, higher and narrower, and from a single pixel.
            cscs(Rect::new(2, 2, 45, 31), Chroma::Quarter, (17, 13), Coding::Raw),
            cscs(Rect::new(50, 2, 29, 23), Chroma::Half, (97, 81), Coding::Zstd),
            cscs(Rect::new(82, 2, 9, 60), Chroma::Full, (31, 11), Coding::Stream),
            cscs(Rect::new(2, 40, 30, 20), Chroma::Quarter, (1, 1), Coding::Raw),
            cscs(Rect::new(50, 40, 1, 1), Chroma::Quarter, (33, 27), Coding::Predicted),
        ],
    );
}

#[test]
fn cscs_at_the_edges() {
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    let mut payloads = Payloads::new();
    let mut cscs = |rect: Rect, chroma| {
        let same_size = planes(chroma, rect.width_px, rect.height_px);
        payloads.cscs(rect, same_size, Coding::Predicted, 90)
    };
    golden(
        "cscs-edges",
        vec![
            cscs(Rect::new(0, 0, 1, 1), Chroma::Quarter),
            cscs(Rect::new(right, 0, 1, HEIGHT), Chroma::Quarter),
            cscs(Rect::new(0, bottom, WIDTH, 1), Chroma::Half),
            cscs(Rect::new(right - 8, bottom - 6, 9, 7), Chroma::Full),
        ],
    );
}

#[test]
fn cscs_has_every_colour() {
    // Both chroma samples over their whole range, for some luma.
    let side = 256;
    let mut commands = vec![Command::Size(size(4 * side, side))];
    for (column, luma) in [0u8, 90, 170, 255].into_iter().enumerate() {
        let pairs = || (0..=255u8).flat_map(|red| (0..=255u8).map(move |blue| (blue, red)));
        let mut samples = vec![luma; 256 * 256];
        samples.extend(pairs().map(|(blue, _)| blue));
        samples.extend(pairs().map(|(_, red)| red));
        commands.push(Command::Cscs {
            rect: Rect::new(column as u16 * side, 0, side, side),
            planes: planes(Chroma::Full, side, side),
            coding: Coding::Raw,
            payload: Bytes::from(samples),
        });
    }
    let (pixels, _) = both_ways(&[commands]);
    check("cscs-colors", &pixels, Tolerance::Exact);
}

#[test]
fn set_in_every_coding_of_the_stream() {
    let mut payloads = Payloads::new();
    golden(
        "set-codings",
        vec![
            payloads.set(Rect::new(3, 3, 29, 23), Coding::Predicted, 7),
            payloads.set(Rect::new(36, 3, 29, 23), Coding::Stream, 120),
            // Indices of one, two, four and eight bits.
            payloads.set(Rect::new(3, 30, 21, 31), Coding::Palette, 1),
            payloads.set(Rect::new(26, 30, 21, 31), Coding::Palette, 2),
            payloads.set(Rect::new(49, 30, 21, 31), Coding::Palette, 10),
            payloads.set(Rect::new(72, 30, 27, 31), Coding::Palette, 50),
            payloads.set(Rect::new(70, 3, 1, 1), Coding::Palette, 255),
            payloads.set(Rect::new(74, 3, 1, 1), Coding::Predicted, 1),
        ],
    );
}

#[test]
fn commands_of_every_kind_are_applied_in_their_order() {
    let mut payloads = Payloads::new();
    let mut commands = patterned();
    commands.extend([
        fill(5, 5, 50, 40, [30, 30, 220]),
        payloads.cscs(Rect::new(20, 15, 40, 30), planes(Chroma::Quarter, 20, 15), Coding::Raw, 5),
        payloads.bitmap(Rect::new(10, 10, 40, 20), Coding::Stream, YELLOW, None),
        payloads.bitmap(Rect::new(40, 20, 30, 30), Coding::Stream, BLUE, Some(YELLOW)),
        payloads.cscs(Rect::new(55, 35, 20, 20), planes(Chroma::Half, 9, 9), Coding::Stream, 60),
        fill(60, 40, 4, 4, [255, 255, 255]),
        copy(10, 10, Rect::new(40, 25, 40, 30)),
        payloads.bitmap(Rect::new(42, 27, 20, 20), Coding::Raw, [0, 0, 0], None),
        payloads.set(Rect::new(70, 5, 20, 9), Coding::Palette, 3),
        payloads.bitmap(Rect::new(75, 1, 20, 20), Coding::Raw, [0, 255, 0], None),
    ]);
    let more = vec![
        copy(40, 25, Rect::new(55, 1, 40, 30)),
        payloads.cscs(Rect::new(0, 50, 17, 17), planes(Chroma::Full, 40, 40), Coding::Predicted, 1),
        payloads.set(Rect::new(20, 50, 30, 17), Coding::Predicted, 8),
    ];
    let (pixels, result) = both_ways(&[commands, more]);
    assert_eq!(result, Ok(()));
    check("order-of-all", &pixels, Tolerance::Exact);
}

#[test]
fn more_payloads_than_one_texture_holds_are_still_exact() {
    let side = 512;
    let mut payloads = Payloads::new();
    let mut commands = vec![Command::Size(size(side, side))];
    let whole = Rect::new(0, 0, side, side);
    // Twelve times 0.4 MB, then two hundred times 32 kB.
    for round in 0..12 {
        let rect = Rect::new(round * 40, round * 30, 60, 50);
        let large = planes(Chroma::Quarter, side, side);
        commands.push(payloads.cscs(rect, large, Coding::Stream, round as u8));
    }
    for round in 0..200u8 {
        let color = [round, 255 - round, 9];
        commands.push(payloads.bitmap(whole, Coding::Stream, color, None));
    }
    assert_eq!(both_ways(&[commands.clone()]).1, Ok(()));
}

#[test]
fn a_new_picture_begins_with_a_new_stream() {
    let gpu = crate::gpu();
    let mut framebuffer = Framebuffer::new(&gpu);
    let rect = Rect::new(0, 0, 30, 30);
    let frame = || {
        let mut payloads = Payloads::new();
        let begun = vec![Command::Size(size(64, 64)), payloads.set(rect, Coding::Stream, 3)];
        (begun, vec![payloads.set(rect, Coding::Stream, 4)])
    };
    let apply = |framebuffer: &mut Framebuffer, commands: &[Command]| {
        let (encoder, result) = framebuffer.apply(commands);
        gpu.queue.submit([encoder.finish()]);
        result
    };
    let (begun, goes_on) = frame();
    assert_eq!(apply(&mut framebuffer, &begun), Ok(()));
    assert_eq!(apply(&mut framebuffer, &goes_on), Ok(()));
    // The same once more would be another stream's beginning.
    let refused = Err(FrameError::Command(CommandError::Payload("SET")));
    assert_eq!(apply(&mut framebuffer, &begun), refused);
    framebuffer.clear();
    let (begun, goes_on) = frame();
    assert_eq!(apply(&mut framebuffer, &begun), Ok(()));
    assert_eq!(apply(&mut framebuffer, &goes_on), Ok(()));
}
