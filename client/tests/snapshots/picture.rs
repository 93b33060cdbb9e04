//! Pictures to work with, and what a frame makes of them on the GPU.

use afterglow_client::render::framebuffer::{FrameError, Framebuffer};
use afterglow_client::render::gpu::Gpu;
use afterglow_client::render::readback::{Pixels, Readback};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::coding::palette::{index_bits, pack_row};
use afterglow_wire::coding::planes::Planes;
use afterglow_wire::coding::predict::{Predictor, residuals, split_colors};
use afterglow_wire::coding::stream::Compressor;
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

/// Packs the payloads of one attachment, in their order.
pub struct Payloads {
    stream: Compressor,
}

impl Payloads {
    pub fn new() -> Self {
        Payloads { stream: Compressor::new().unwrap() }
    }

    /// In one of the codings that suit everything.
    fn plain(&mut self, coding: Coding, plain: &[u8]) -> Bytes {
        match coding {
            Coding::Zstd => zstd::bulk::compress(plain, 1).unwrap().into(),
            Coding::Stream => self.stream(&[], plain),
            _ => Bytes::copy_from_slice(plain),
        }
    }

    fn stream(&mut self, head: &[u8], plain: &[u8]) -> Bytes {
        let mut payload = head.to_vec();
        self.stream.pack(plain, &mut payload).unwrap();
        payload.into()
    }

    /// A SET of the pattern in any coding.
    pub fn set(&mut self, rect: Rect, coding: Coding, seed: u8) -> Command {
        let pixels = pattern(&rect, seed);
        let payload = match coding {
            Coding::Palette => return self.palette(rect, seed),
            Coding::Predicted => {
                let mut split = vec![0; rect.pixels() as usize * 3];
                split_colors(&pixels, &mut split);
                let (row_bytes, height) = (usize::from(rect.width_px) * 3, rect.height_px);
                let plain = predicted::<3>(&[(row_bytes, height)], &split, seed);
                self.stream(&[], &plain)
            }
            _ => self.plain(coding, &pixels),
        };
        Command::Set { rect, coding, payload }
    }

    /// As many colours as the seed says, in slanted stripes.
    fn palette(&mut self, rect: Rect, seed: u8) -> Command {
        let count = usize::from(seed) + 1;
        let color = |index: usize| [index * 67, index * 31 + 200, index * 101].map(|n| n as u8);
        let mut plain: Vec<u8> = (0..count).flat_map(color).collect();
        for y in 0..usize::from(rect.height_px) {
            let stripe = |x| ((x + 2 * y) / 3 % count) as u8;
            let indices: Vec<u8> = (0..usize::from(rect.width_px)).map(stripe).collect();
            pack_row(&indices, index_bits(count), &mut plain);
        }
        let payload = self.stream(&[seed], &plain);
        Command::Set { rect, coding: Coding::Palette, payload }
    }

    /// A BITMAP of rings around its middle.
    pub fn bitmap(
        &mut self,
        rect: Rect,
        coding: Coding,
        foreground: [u8; 3],
        background: Option<[u8; 3]>,
    ) -> Command {
        let ring = |x: u16, y: u16| {
            let from_middle = |at: u16, side: u16| (i32::from(at) * 2 - i32::from(side)).pow(2);
            let square = from_middle(x, rect.width_px) + from_middle(y, rect.height_px);
            (f64::from(square).sqrt() / 7.0) as u8 % 2
        };
        let mut bits = Vec::new();
        for y in 0..rect.height_px {
            let row: Vec<u8> = (0..rect.width_px).map(|x| ring(x, y)).collect();
            pack_row(&row, 1, &mut bits);
        }
        let color = |[blue, green, red]: [u8; 3]| [blue, green, red, 0];
        let (foreground, background) = (color(foreground), background.map(color));
        let payload = self.plain(coding, &bits);
        Command::Bitmap { rect, foreground, background, coding, payload }
    }

    /// A CSCS of brighter and darker squares, with colours that change across
    /// and down.
    pub fn cscs(&mut self, rect: Rect, planes: Planes, coding: Coding, seed: u8) -> Command {
        let [(width, height), (chroma_width, chroma_height), _] = planes.sizes_px();
        let mut samples = Vec::with_capacity(planes.bytes());
        for y in 0..height {
            samples.extend((0..width).map(|x| match (x / 4 + y / 4) % 2 {
                0 => 70 + (x % 4) as u8 * 9,
                _ => 190 - (y % 4) as u8 * 7,
            }));
        }
        let slope = |at: u16, side: u16| (u32::from(at) * 255 / u32::from(side)) as u8;
        for _ in 0..chroma_height {
            let blue = |x| slope(x, chroma_width).wrapping_add(seed);
            samples.extend((0..chroma_width).map(blue));
        }
        for y in 0..chroma_height {
            samples.extend((0..chroma_width).map(|_| slope(y, chroma_height)));
        }
        let payload = match coding {
            Coding::Predicted => {
                let sizes = planes.sizes_px().map(|(width, height)| (width.into(), height));
                let plain = predicted::<1>(&sizes, &samples, seed);
                self.stream(&[], &plain)
            }
            _ => self.plain(coding, &samples),
        };
        Command::Cscs { rect, planes, coding, payload }
    }
}

/// Predictors and residuals of planes of these row lengths and heights; each
/// row has another predictor.
fn predicted<const CHANNELS: usize>(sizes: &[(usize, u16)], bytes: &[u8], seed: u8) -> Vec<u8> {
    let of_row = |row: u16| Predictor::from_byte(((u16::from(seed) + row) % 4) as u8).unwrap();
    let mut plain: Vec<u8> = Vec::new();
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
    plain
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
