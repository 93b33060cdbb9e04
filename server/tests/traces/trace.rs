//! A trace: what a session's screen had, from its first frame on, as the
//! encoder was handed it; and the file that holds one.
//!
//! The file is one zstd frame. In it, in the wire's own encoding:
//!
//! | field | type |
//! | --- | --- |
//! | the screen's size | `Size` |
//! | how many frames | u16 |
//! | of each: when, in ms since the recording began; how many parts; their rectangles | u32, u16, `Rect`s |
//! | of each part, each row: a predictor, and what is left of its pixels ([`predict`]) | u8, three bytes a pixel |

use afterglow_server::display::Screen;
use afterglow_wire::codec::{DecodeError, Reader, Wire};
use afterglow_wire::coding::COLOR_BYTES;
use afterglow_wire::coding::predict::{self, Predictor};
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::PIXEL_BYTES;
use afterglow_wire::ids::Size;
use std::path::PathBuf;

/// What is recorded, by its file's name.
pub const NAMES: [&str; 5] = ["terminal", "editor", "pages", "drag", "video"];

/// The screens that a session had.
#[derive(Debug, PartialEq)]
pub struct Trace {
    /// The screen's size.
    pub size: Size,
    /// In their order; the first is of all of the screen.
    pub frames: Vec<Frame>,
}

/// What changed from one screen to the next.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// When it was captured, since the recording began.
    pub at_ms: u64,
    /// Whole tiles, as they were captured.
    pub parts: Vec<Part>,
}

/// A rectangle and its pixels, four bytes each.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// Where.
    pub rect: Rect,
    /// Row by row; each fourth byte is 0.
    pub pixels: Vec<u8>,
}

/// Where the trace of this name is.
pub fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../tests/traces").join(format!("{name}.trace"))
}

impl Trace {
    /// The trace of this name.
    pub fn load(name: &str) -> Trace {
        let path = path(name);
        let file = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; record it: make traces", path.display()));
        Trace::decode(&file)
    }

    /// Reads a file's bytes.
    pub fn decode(file: &[u8]) -> Trace {
        let plain = zstd::decode_all(file).expect("a zstd frame");
        let mut from = Reader::new(plain.into());
        let trace = get(&mut from).expect("a trace");
        from.finish().expect("nothing after the trace");
        trace
    }
}

impl Frame {
    /// The rectangles that changed.
    pub fn changed(&self) -> Vec<Rect> {
        self.parts.iter().map(|part| part.rect).collect()
    }
}

/// The encoder reads no more of it than the parts that it is told of.
impl Screen for Frame {
    fn read(&self, rect: &Rect, pixels: &mut [u8]) {
        let around = |part: &&Part| part.rect.intersection(rect) == Some(*rect);
        // What changed again in another part is newest in the last of them.
        let part = self.parts.iter().rev().find(around).expect("a tile that was captured");
        let bytes = usize::from(rect.width_px) * PIXEL_BYTES;
        let stride = usize::from(part.rect.width_px) * PIXEL_BYTES;
        let mut from = usize::from(rect.y_px - part.rect.y_px) * stride
            + usize::from(rect.x_px - part.rect.x_px) * PIXEL_BYTES;
        for row in pixels.chunks_exact_mut(bytes) {
            row.copy_from_slice(&part.pixels[from..from + bytes]);
            from += stride;
        }
    }
}

fn get(from: &mut Reader) -> Result<Trace, DecodeError> {
    let (size, count) = (Size::get(from)?, u16::get(from)?);
    let mut frames = Vec::new();
    for _ in 0..count {
        let (at_ms, count) = (u32::get(from)?.into(), u16::get(from)?);
        let rects: Result<Vec<_>, _> = (0..count).map(|_| Rect::get(from)).collect();
        let part = |rect| Ok(Part { rect, pixels: get_pixels(from, &rect)? });
        let parts: Result<Vec<_>, DecodeError> = rects?.into_iter().map(part).collect();
        frames.push(Frame { at_ms, parts: parts? });
    }
    Ok(Trace { size, frames })
}

fn get_pixels(from: &mut Reader, rect: &Rect) -> Result<Vec<u8>, DecodeError> {
    let row_bytes = usize::from(rect.width_px) * COLOR_BYTES;
    let mut pixels = vec![0; rect.pixels() as usize * PIXEL_BYTES];
    let mut above = vec![0; row_bytes];
    for pixels in pixels.chunks_exact_mut(usize::from(rect.width_px) * PIXEL_BYTES) {
        let predictor = Predictor::from_byte(u8::get(from)?);
        let predictor = predictor.ok_or(DecodeError::Invalid("predictor"))?;
        let mut row = from.take(row_bytes)?.to_vec();
        predict::restore::<COLOR_BYTES>(predictor, &above, &mut row);
        predict::join_colors(&row, pixels);
        above = row;
    }
    Ok(pixels)
}
