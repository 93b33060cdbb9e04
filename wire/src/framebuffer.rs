//! What the display commands mean: the reference that every renderer equals
//! byte for byte, and that the encoder uses to know what a DTU shows.

use crate::coding::planes::{Planes, nearest};
use crate::coding::{Unpacker, bitmap_row_bytes};
use crate::command::{Command, Rect};
use crate::ids::Size;

/// Why a command cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A rectangle, or a COPY's source, is not inside the framebuffer.
    #[error("a {0} reaches outside the framebuffer")]
    Outside(&'static str),
    /// A payload does not unpack to its rectangle's pixels.
    #[error("a {0}'s payload does not unpack to its pixels")]
    Payload(&'static str),
    /// A command or a coding of a newer version.
    #[error("a {what} of kind {kind} is not known to this version")]
    Unknown {
        /// Command or coding.
        what: &'static str,
        /// Its number.
        kind: u8,
    },
}

/// Bytes per pixel.
pub const PIXEL_BYTES: usize = 4;

/// A picture: rows of four-byte pixels (blue, green, red, unused).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framebuffer {
    size: Size,
    pixels: Vec<u8>,
}

impl Framebuffer {
    /// A black picture.
    pub fn new(size: Size) -> Self {
        Framebuffer { size, pixels: vec![0; size.pixels() * PIXEL_BYTES] }
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All of it, row by row from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All of it, to be changed in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// How many bytes a row has.
    pub fn stride(&self) -> usize {
        usize::from(self.size.width_px()) * PIXEL_BYTES
    }

    /// The bytes of one row of a rectangle that fits.
    pub fn row(&self, rect: &Rect, row: u16) -> &[u8] {
        let range = self.row_range(rect, row);
        &self.pixels[range]
    }

    /// Likewise, to be changed in place.
    pub fn row_mut(&mut self, rect: &Rect, row: u16) -> &mut [u8] {
        let range = self.row_range(rect, row);
        &mut self.pixels[range]
    }

    fn row_range(&self, rect: &Rect, row: u16) -> std::ops::Range<usize> {
        let start = (usize::from(rect.y_px) + usize::from(row)) * self.stride()
            + usize::from(rect.x_px) * PIXEL_BYTES;
        start..start + usize::from(rect.width_px) * PIXEL_BYTES
    }

    /// Applies one command, or leaves the picture as it was. CURSOR changes
    /// no pixel. The unpacker is the attachment's, and sees every command of
    /// it exactly once, in their order.
    pub fn apply(
        &mut self,
        command: &Command,
        unpacker: &mut Unpacker,
    ) -> Result<(), CommandError> {
        match command {
            Command::Set { rect, coding, payload } => {
                self.check("SET", rect)?;
                self.set(rect, &unpacker.set(rect, *coding, payload)?);
            }
            Command::Bitmap { rect, foreground, background, coding, payload } => {
                self.check("BITMAP", rect)?;
                let bits = unpacker.bitmap(rect, *coding, payload)?;
                self.bitmap(rect, &bits, *foreground, *background);
            }
            Command::Fill { rect, color } => {
                self.check("FILL", rect)?;
                self.fill(rect, *color);
            }
            Command::Copy { rect, from_x_px, from_y_px } => {
                self.check("COPY", rect)?;
                let source = Rect { x_px: *from_x_px, y_px: *from_y_px, ..*rect };
                self.check("COPY's source", &source)?;
                self.copy(rect, *from_x_px, *from_y_px);
            }
            Command::Cscs { rect, planes, coding, payload } => {
                self.check("CSCS", rect)?;
                let samples = unpacker.planes(planes, *coding, payload)?;
                self.cscs(rect, planes, &samples);
            }
            Command::Cursor(_) => {}
            Command::Size(size) => self.resize(*size),
            Command::Unknown(kind) => {
                return Err(CommandError::Unknown { what: "command", kind: *kind });
            }
        }
        Ok(())
    }

    /// Writes literal pixels, `rect.pixels()` of them, into a rectangle that
    /// fits.
    pub fn set(&mut self, rect: &Rect, pixels: &[u8]) {
        let row_bytes = usize::from(rect.width_px) * PIXEL_BYTES;
        for (row, source) in (0..rect.height_px).zip(pixels.chunks_exact(row_bytes)) {
            let range = self.row_range(rect, row);
            self.pixels[range].copy_from_slice(source);
        }
    }

    /// Gives every pixel of a rectangle that fits one colour.
    pub fn fill(&mut self, rect: &Rect, color: [u8; 4]) {
        for row in 0..rect.height_px {
            let range = self.row_range(rect, row);
            for pixel in self.pixels[range].chunks_exact_mut(PIXEL_BYTES) {
                pixel.copy_from_slice(&color);
            }
        }
    }

    /// Draws the bits of a rectangle that fits, rows of [`bitmap_row_bytes`]:
    /// 1 in the foreground, 0 in the background or not at all.
    pub fn bitmap(
        &mut self,
        rect: &Rect,
        bits: &[u8],
        foreground: [u8; 4],
        background: Option<[u8; 4]>,
    ) {
        let rows = bits.chunks_exact(bitmap_row_bytes(rect.width_px));
        for (row, bits) in (0..rect.height_px).zip(rows) {
            let range = self.row_range(rect, row);
            for (x, pixel) in self.pixels[range].chunks_exact_mut(PIXEL_BYTES).enumerate() {
                let bit = bits[x / 8] & (0x80 >> (x % 8)) != 0;
                if let Some(color) = if bit { Some(foreground) } else { background } {
                    pixel.copy_from_slice(&color);
                }
            }
        }
    }

    /// Draws samples into a rectangle that fits. Each pixel has the colour of
    /// the sample that its centre lies in once the planes are stretched to the
    /// rectangle ([`nearest`], [`Planes::pixel`]).
    pub fn cscs(&mut self, rect: &Rect, planes: &Planes, samples: &[u8]) {
        let stretched = rect.width_px != planes.width_px;
        for row in 0..rect.height_px {
            let y = nearest(row, rect.height_px, planes.height_px);
            let range = self.row_range(rect, row);
            let pixels = self.pixels[range].chunks_exact_mut(PIXEL_BYTES);
            for (column, pixel) in (0..rect.width_px).zip(pixels) {
                // A division for each pixel is only made where it is needed.
                let x = match stretched {
                    true => nearest(column, rect.width_px, planes.width_px),
                    false => column.into(),
                };
                pixel.copy_from_slice(&planes.pixel(samples, x, y));
            }
        }
    }

    /// Copies what is elsewhere, as it was before, into a rectangle. Both
    /// have to fit, and may overlap.
    pub fn copy(&mut self, to: &Rect, from_x_px: u16, from_y_px: u16) {
        let from = Rect { x_px: from_x_px, y_px: from_y_px, ..*to };
        // Rows are moved in the order that never overwrites one that is still
        // to be read; within a row `copy_within` allows overlap.
        let mut move_row = |row: u16| {
            let source = self.row_range(&from, row);
            let target = self.row_range(to, row).start;
            self.pixels.copy_within(source, target);
        };
        if to.y_px > from.y_px {
            (0..to.height_px).rev().for_each(&mut move_row);
        } else {
            (0..to.height_px).for_each(&mut move_row);
        }
    }

    /// Gives the picture another size: what is inside both stays, new pixels
    /// are black.
    pub fn resize(&mut self, size: Size) {
        let mut resized = Framebuffer::new(size);
        let kept = Rect::new(
            0,
            0,
            size.width_px().min(self.size.width_px()),
            size.height_px().min(self.size.height_px()),
        );
        for row in 0..kept.height_px {
            let range = resized.row_range(&kept, row);
            resized.pixels[range].copy_from_slice(self.row(&kept, row));
        }
        *self = resized;
    }

    fn check(&self, what: &'static str, rect: &Rect) -> Result<(), CommandError> {
        if rect.fits(self.size) { Ok(()) } else { Err(CommandError::Outside(what)) }
    }
}
