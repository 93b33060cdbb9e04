//! Each display command against the reference and a golden, without any
//! tolerance.

use crate::golden::{Tolerance, check};
use crate::picture::{Payloads, both_ways, copy, fill, set, size};
use afterglow_client::render::damage::Damage;
use afterglow_client::render::framebuffer::{FrameError, Framebuffer};
use afterglow_client::render::overlay::Drawing;
use afterglow_client::render::placement::{Placement, Scale};
use afterglow_client::render::plain::{Canvas, PlainPicture};
use afterglow_client::render::scene::Scene;
use afterglow_client::view;
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::{Coding, Command, CursorShape, Rect};
use afterglow_wire::framebuffer::CommandError;
use bytes::Bytes;

/// Odd, so that no row is aligned to anything.
pub const WIDTH: u16 = 101;
pub const HEIGHT: u16 = 67;

/// A picture full of pattern, to which commands are then applied.
pub fn patterned() -> Vec<Command> {
    let whole = Rect::new(0, 0, WIDTH, HEIGHT);
    vec![Command::Size(size(WIDTH, HEIGHT)), set(whole, Coding::Raw, 0)]
}

/// Applies more commands to it, both ways, and compares with the golden.
#[track_caller]
pub fn golden(name: &str, more: Vec<Command>) {
    let mut commands = patterned();
    commands.extend(more);
    let (pixels, result) = both_ways(&[commands]);
    assert_eq!(result, Ok(()));
    check(name, &pixels, Tolerance::Exact);
}

#[test]
fn set_raw() {
    golden("set-raw", vec![set(Rect::new(13, 7, 33, 29), Coding::Raw, 99)]);
}

#[test]
fn set_zstd() {
    golden("set-zstd", vec![set(Rect::new(50, 31, 41, 23), Coding::Zstd, 150)]);
}

#[test]
fn set_at_the_edges() {
    let (right, bottom) = (WIDTH - 1, HEIGHT - 1);
    golden(
        "set-edges",
        vec![
            set(Rect::new(0, 0, 1, 1), Coding::Raw, 200),
            set(Rect::new(right, 0, 1, HEIGHT), Coding::Zstd, 10),
            set(Rect::new(0, bottom, WIDTH, 1), Coding::Raw, 20),
            set(Rect::new(right - 6, bottom - 4, 7, 5), Coding::Raw, 230),
        ],
    );
}

#[test]
fn fill_in_order_and_at_the_edges() {
    golden(
        "fill",
        vec![
            fill(10, 10, 40, 30, [200, 80, 20]),
            fill(30, 20, 40, 30, [20, 80, 200]),
            fill(30, 20, 1, 1, [255, 255, 255]),
            fill(0, 0, WIDTH, 1, [0, 255, 0]),
            fill(WIDTH - 1, 0, 1, HEIGHT, [0, 0, 255]),
            fill(0, HEIGHT - 3, 3, 3, [255, 0, 0]),
        ],
    );
}

#[test]
fn fill_stores_every_value_exactly() {
    let strips = (0..=255u8).map(|value| {
        let color = [value, 255 - value, value ^ 0x55, value.rotate_left(3)];
        Command::Fill { rect: Rect::new(value.into(), 0, 1, 16), color }
    });
    let commands = std::iter::once(Command::Size(size(256, 16))).chain(strips).collect();
    let (pixels, _) = both_ways(&[commands]);
    check("fill-values", &pixels, Tolerance::Exact);
}

#[test]
fn copy_apart() {
    golden("copy-apart", vec![copy(0, 0, Rect::new(60, 40, 41, 27))]);
}

#[test]
fn copy_onto_itself_in_every_direction() {
    for (name, dx, dy) in [
        ("left", -5i16, 0i16),
        ("right", 5, 0),
        ("up", 0, -5),
        ("down", 0, 5),
        ("up-left", -7, -3),
        ("up-right", 7, -3),
        ("down-left", -3, 7),
        ("down-right", 3, 7),
        ("in-place", 0, 0),
    ] {
        let (from_x, from_y) = (20u16, 15u16);
        let to = Rect::new(from_x.strict_add_signed(dx), from_y.strict_add_signed(dy), 60, 40);
        golden(&format!("copy-{name}"), vec![copy(from_x, from_y, to)]);
    }
}

#[test]
fn copy_of_everything_but_a_row() {
    golden("copy-scroll", vec![copy(0, 1, Rect::new(0, 0, WIDTH, HEIGHT - 1))]);
}

#[test]
fn size_keeps_what_is_inside_both_and_the_rest_is_black() {
    golden("size-grow", vec![Command::Size(size(128, 90))]);
    golden("size-shrink", vec![Command::Size(size(64, 40))]);
    let there_and_back = vec![Command::Size(size(50, 90)), Command::Size(size(WIDTH, HEIGHT))];
    golden("size-there-and-back", there_and_back);
}

#[test]
fn commands_of_one_frame_are_applied_in_their_order() {
    golden(
        "order",
        vec![
            fill(5, 5, 50, 40, [30, 30, 220]),
            set(Rect::new(20, 15, 21, 17), Coding::Raw, 90),
            copy(10, 10, Rect::new(40, 25, 40, 30)),
            fill(45, 30, 9, 9, [0, 220, 220]),
            copy(40, 25, Rect::new(55, 1, 40, 30)),
            set(Rect::new(60, 5, 8, 8), Coding::Zstd, 180),
            Command::Size(size(96, 72)),
            fill(80, 60, 16, 12, [90, 160, 0]),
            copy(70, 50, Rect::new(0, 52, 20, 20)),
        ],
    );
}

#[test]
fn a_frame_follows_on_the_one_before() {
    let frames = [
        patterned(),
        vec![copy(0, 8, Rect::new(0, 0, WIDTH, HEIGHT - 8))],
        vec![set(Rect::new(0, HEIGHT - 8, WIDTH, 8), Coding::Zstd, 77)],
    ];
    let (pixels, _) = both_ways(&frames);
    check("frames", &pixels, Tolerance::Exact);
}

#[test]
fn a_cursor_changes_no_pixel() {
    let shape =
        CursorShape { width_px: 0, height_px: 0, hot_x_px: 0, hot_y_px: 0, pixels: Bytes::new() };
    let mut commands = patterned();
    commands.push(Command::Cursor(shape));
    assert_eq!(both_ways(&[commands]).0, both_ways(&[patterned()]).0);
}

#[test]
fn what_cannot_be_applied_ends_the_frame_where_the_reference_ends_it() {
    let short = Command::Set {
        rect: Rect::new(0, 0, 4, 4),
        coding: Coding::Raw,
        payload: Bytes::from_static(&[0; 63]),
    };
    let planes = Planes { chroma: Chroma::Quarter, width_px: 3, height_px: 3 };
    let outside = Rect::new(0, HEIGHT - 3, 4, 4);
    let cscs_outside = Payloads::new().cscs(outside, planes, Coding::Raw, 0);
    let bad = [
        fill(WIDTH - 1, 0, 2, 1, [1, 2, 3]),
        copy(WIDTH - 9, 0, Rect::new(0, 0, 10, 10)),
        copy(0, 0, Rect::new(0, HEIGHT - 9, 10, 10)),
        set(Rect::new(0, HEIGHT, 1, 1), Coding::Raw, 0),
        set(Rect::new(65_535, 65_535, 1, 1), Coding::Zstd, 0),
        Payloads::new().bitmap(Rect::new(WIDTH - 3, 0, 4, 4), Coding::Raw, [0; 3], None),
        cscs_outside,
        short,
        Command::Set {
            rect: Rect::new(0, 0, 4, 4),
            coding: Coding::Unknown(9),
            payload: Bytes::new(),
        },
        Command::Unknown(77),
    ];
    for command in bad {
        let mut commands = patterned();
        commands.extend([fill(3, 3, 9, 9, [9, 9, 9]), command, fill(0, 0, 50, 50, [1, 1, 1])]);
        let (_, result) = both_ways(&[commands]);
        assert!(matches!(result, Err(FrameError::Command(_))), "{result:?}");
    }
}

#[test]
fn before_the_first_size_there_is_nothing_to_draw_on() {
    let mut framebuffer = Framebuffer::new(&crate::gpu());
    let (_, result) = framebuffer.apply(&[fill(0, 0, 1, 1, [0, 0, 0])]);
    assert_eq!(result, Err(FrameError::Command(CommandError::Outside("FILL"))));
}

#[test]
fn a_cleared_picture_leaves_nothing_behind() {
    let gpu = crate::gpu();
    let mut framebuffer = Framebuffer::new(&gpu);
    let (encoder, _) = framebuffer.apply(&patterned());
    gpu.queue.submit([encoder.finish()]);
    framebuffer.clear();
    assert!(framebuffer.picture().is_none());
    let (mut encoder, _) = framebuffer.apply(&[Command::Size(size(WIDTH, HEIGHT))]);
    let texture = &framebuffer.picture().unwrap().texture;
    let readback =
        afterglow_client::render::readback::Readback::record(&gpu, &mut encoder, texture);
    gpu.queue.submit([encoder.finish()]);
    assert!(readback.wait().unwrap().bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn more_than_is_staged_at_once_is_still_exact() {
    // Rows of 65 pixels are padded to 512 bytes: in 128 SETs, 64 MB.
    let mut commands = vec![Command::Size(size(700, 1024))];
    for round in 0..128u16 {
        let seed = round as u8;
        commands.push(set(Rect::new(round * 5, 0, 65, 1024), Coding::Zstd, seed));
        commands.push(fill(round * 5, round * 4, 30, 500, [seed, seed, 0]));
    }
    assert_eq!(both_ways(&[commands.clone(), commands]).1, Ok(()));
}

/// How the picture is shown on a window.
#[track_caller]
fn shown(name: &str, how: view::Picture, window_px: (u32, u32)) {
    shown_scaled(name, how, Scale::Fit, window_px);
}

#[track_caller]
fn shown_scaled(name: &str, how: view::Picture, scale: Scale, window_px: (u32, u32)) {
    let gpu = crate::gpu();
    let mut scene = Scene::new(&gpu, afterglow_client::render::FORMAT);
    scene.scale = scale;
    let (encoder, _) = scene.framebuffer.apply(&patterned());
    gpu.queue.submit([encoder.finish()]);
    let pixels = scene.snapshot(how, &Drawing::default(), window_px).wait().unwrap();
    if how == view::Picture::Live && window_px == (WIDTH.into(), HEIGHT.into()) {
        assert_eq!(pixels, both_ways(&[patterned()]).0);
    }
    check(name, &pixels, Tolerance::Exact);
}

#[test]
fn the_picture_on_a_window() {
    shown("shown-same-size", view::Picture::Live, (WIDTH.into(), HEIGHT.into()));
    shown("shown-dimmed", view::Picture::Dimmed, (WIDTH.into(), HEIGHT.into()));
    shown("shown-wider", view::Picture::Live, (300, 120));
    shown("shown-higher", view::Picture::Live, (150, 200));
    shown("shown-smaller", view::Picture::Live, (60, 50));
    shown("shown-blank", view::Picture::Blank, (320, 200));
}

#[test]
fn the_picture_on_a_window_scaled_in_other_ways() {
    let how = view::Picture::Live;
    shown_scaled("shown-unscaled", how, Scale::Unscaled, (160, 91));
    shown_scaled("shown-cut-off", how, Scale::Unscaled, (80, 41));
    shown_scaled("shown-multiple", how, Scale::Integer, (230, 150));
    // Where no multiple fits, it is as large as fits.
    shown_scaled("shown-smaller", how, Scale::Integer, (60, 50));
}

#[test]
fn the_processor_puts_the_same_pixels_on_a_window_as_the_gpu() {
    for window_px in [(WIDTH.into(), HEIGHT.into()), (160, 91), (80, 41), (101, 40)] {
        let gpu = crate::gpu();
        let mut scene = Scene::new(&gpu, afterglow_client::render::FORMAT);
        scene.scale = Scale::Unscaled;
        let (encoder, _) = scene.framebuffer.apply(&patterned());
        gpu.queue.submit([encoder.finish()]);
        let expected = scene.snapshot(view::Picture::Live, &Drawing::default(), window_px);
        let mut picture = PlainPicture::default();
        let mut damage = Damage::default();
        assert_eq!(picture.apply(&patterned(), &mut damage), Ok(()));
        let place = Placement::of(Scale::Unscaled, (WIDTH.into(), HEIGHT.into()), window_px);
        let mut pixels = vec![0; (window_px.0 * window_px.1) as usize];
        picture.draw(&place, &damage, &mut Canvas { pixels: &mut pixels, size_px: window_px });
        let rgb = |pixel: &u32| pixel & 0x00ff_ffff;
        let expected = expected.wait().unwrap();
        let expected =
            expected.bytes.chunks_exact(4).map(|p| u32::from_le_bytes([p[0], p[1], p[2], 0]));
        assert!(pixels.iter().map(rgb).eq(expected), "{window_px:?}");
    }
}
