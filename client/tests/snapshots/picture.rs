//! Pictures to work with, and what a frame makes of them on the GPU.

use afterglow_client::render::framebuffer::{FrameError, Framebuffer};
use afterglow_client::render::gpu::Gpu;
use afterglow_client::render::readback::{Pixels, Readback};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::Framebuffer as Reference;
use afterglow_wire::ids::Size;
use bytes::Bytes;

/// A size within the limits.
pub fn size(width_px: u16, height_px: u16) -> Size {
    Size::new(width_px, height_px).unwrap()
}

/// Pixels of which no two neighbours are alike, so that every shift shows.
pub fn pattern(rect: &Rect, seed: u8) -> Vec<u8> {
    let pixel = |x: u16, y: u16| {
        let checks = if (x / 8 + y / 8).is_multiple_of(2) { 40 } else { 0 };
        let across = (u32::from(x) * 255 / u32::from(rect.width_px)) as u8;
        let down = (u32::from(y) * 255 / u32::from(rect.height_px)) as u8;
        [across.wrapping_add(seed), down.wrapping_mul(3) ^ x as u8, down / 2 + checks, 0]
    };
    let rows = 0..rect.height_px;
    rows.flat_map(|y| (0..rect.width_px).flat_map(move |x| pixel(x, y))).collect()
}

/// A SET of the pattern.
pub fn set(rect: Rect, coding: Coding, seed: u8) -> Command {
    let pixels = pattern(&rect, seed);
    let payload = match coding {
        Coding::Zstd => zstd::bulk::compress(&pixels, 1).unwrap(),
        _ => pixels,
    };
    Command::Set { rect, coding, payload: Bytes::from(payload) }
}

/// A FILL.
pub fn fill(x: u16, y: u16, width: u16, height: u16, color: [u8; 3]) -> Command {
    let [blue, green, red] = color;
    Command::Fill { rect: Rect::new(x, y, width, height), color: [blue, green, red, 0] }
}

/// A COPY.
pub fn copy(from_x_px: u16, from_y_px: u16, rect: Rect) -> Command {
    Command::Copy { rect, from_x_px, from_y_px }
}

/// What the GPU makes of these frames, and what came of the last.
pub fn on_gpu(gpu: &Gpu, frames: &[Vec<Command>]) -> (Option<Pixels>, Result<(), FrameError>) {
    let mut framebuffer = Framebuffer::new(gpu);
    let mut result = Ok(());
    let mut readback = None;
    for commands in frames {
        let (mut encoder, applied) = framebuffer.apply(commands);
        result = applied;
        readback = framebuffer
            .picture()
            .map(|picture| Readback::record(gpu, &mut encoder, &picture.texture));
        gpu.queue.submit([encoder.finish()]);
    }
    (readback.map(|readback| readback.wait().unwrap()), result)
}

/// What the reference makes of these frames: the first has to begin with a
/// SIZE. The first error ends its frame, as on the GPU.
pub fn on_cpu(frames: &[Vec<Command>]) -> (Reference, Result<(), FrameError>) {
    let Some(Command::Size(first)) = frames.first().and_then(|frame| frame.first()) else {
        panic!("a picture begins with a SIZE");
    };
    let mut reference = Reference::new(*first);
    let mut unpacker = Unpacker::new();
    let mut result = Ok(());
    for commands in frames {
        result = commands
            .iter()
            .try_for_each(|command| reference.apply(command, &mut unpacker))
            .map_err(FrameError::from);
    }
    (reference, result)
}

/// Applies the frames both ways, fails unless they agree in every byte, the
/// unused ones too, and returns the picture.
#[track_caller]
pub fn both_ways(frames: &[Vec<Command>]) -> (Pixels, Result<(), FrameError>) {
    let (reference, expected_result) = on_cpu(frames);
    let (pixels, result) = on_gpu(&crate::gpu(), frames);
    let pixels = pixels.expect("there was a SIZE");
    assert_eq!(result, expected_result);
    let width = usize::from(reference.size().width_px());
    assert_eq!(pixels.width_px as usize, width);
    assert_eq!(pixels.bytes.len(), reference.pixels().len());
    let wrong = pixels.bytes.iter().zip(reference.pixels()).position(|(a, b)| a != b);
    if let Some(byte) = wrong {
        let (x, y) = (byte / 4 % width, byte / 4 / width);
        panic!("the GPU and the reference first differ at {x}, {y} (byte {})", byte % 4);
    }
    (pixels, result)
}
