//! A rectangle's pixels as the command that takes the least: one colour is a
//! FILL, two are a BITMAP, a few a SET of indices, and many a SET of what is
//! left once each pixel is predicted from its neighbours.
//!
//! All payloads but the smallest go through one zstd stream, so that what was
//! sent before costs next to nothing. So every command has to be sent, in
//! order: none may be packed on trial.

mod colors;

use afterglow_wire::coding::palette::{index_bits, pack_row};
use afterglow_wire::coding::planes::Planes;
use afterglow_wire::coding::predict::{Predictor, residuals, split_colors};
use afterglow_wire::coding::stream::Compressor;
use afterglow_wire::coding::{COLOR_BYTES, bitmap_row_bytes};
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use bytes::{Bytes, BytesMut};
use colors::Colors;

/// The stream adds more than it saves to payloads up to this length.
const RAW_BYTES_MAX: usize = 16;
/// So many colours are always worth a palette: indices have half a byte.
const PALETTE_COLORS_MIN: usize = 16;
/// More are worth one if so many pixels share each. In small rectangles the
/// same letters would have other indices in each, and be sent each time.
const PIXELS_PER_COLOR_MIN: usize = 64;
/// Of so many rows one is looked at to choose a predictor: an odd number, that
/// keeps step with no lines of text for long.
const TRIED_ROWS: usize = 7;
/// How much memory for payloads is asked for at once, in bytes.
const PAYLOADS_BYTES: usize = 64 * 1024;

/// Packs the pixels for one attachment.
#[derive(Debug)]
pub struct Packer {
    /// `None` after it failed: what follows goes as it is.
    stream: Option<Compressor>,
    colors: Colors,
    /// What goes into the stream, and what comes out.
    plain: Vec<u8>,
    packed: Vec<u8>,
    rows: SplitRows,
    /// Room that payloads are cut from.
    payloads: BytesMut,
}

/// Two rows of pixels, their channels decorrelated, and room for residuals.
#[derive(Debug, Default)]
struct SplitRows {
    above: Vec<u8>,
    row: Vec<u8>,
    residuals: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Packer::new()
    }
}

impl Packer {
    /// For an attachment to which nothing was sent yet.
    pub fn new() -> Self {
        Packer {
            stream: Compressor::new().ok(),
            colors: Colors::default(),
            plain: Vec::new(),
            packed: Vec::new(),
            rows: SplitRows::default(),
            payloads: BytesMut::with_capacity(PAYLOADS_BYTES),
        }
    }

    /// The command that draws a rectangle's pixels: FILL, BITMAP or SET. The
    /// rectangle fits into the picture, is not empty and has no more pixels
    /// than a SET may.
    pub fn pack(&mut self, picture: &Framebuffer, rect: &Rect) -> Command {
        let pixels = rect.pixels() as usize;
        let command = match self.colors.find(picture, rect) {
            Some(1) => return Command::Fill { rect: *rect, color: self.colors.color(0) },
            Some(2) => return self.bitmap(rect),
            _ if pixels * PIXEL_BYTES <= RAW_BYTES_MAX => None,
            Some(colors) if colors <= PALETTE_COLORS_MIN.max(pixels / PIXELS_PER_COLOR_MIN) => {
                self.palette(rect)
            }
            // So few colours are drawn and not photographed.
            Some(_) => self.predicted(picture, rect, Predictor::Zero),
            None => {
                let predictor = self.rows.best_predictor(picture, rect);
                self.predicted(picture, rect, predictor)
            }
        };
        command.unwrap_or_else(|| self.raw(picture, rect))
    }

    /// The CSCS that draws samples, all planes one after the other, stretched
    /// to a rectangle. They have no more bytes than a CSCS may.
    pub fn cscs(&mut self, rect: &Rect, planes: Planes, samples: &[u8]) -> Command {
        self.plain.clear();
        for (_, height) in planes.sizes_px() {
            self.plain.extend(std::iter::repeat_n(Predictor::Median as u8, height.into()));
        }
        let mut left = samples;
        for (width, height) in planes.sizes_px() {
            let width = usize::from(width);
            let (plane, rest) = left.split_at(width * usize::from(height));
            left = rest;
            self.rows.begin(width);
            for row in plane.chunks_exact(width) {
                let start = self.plain.len();
                self.plain.resize(start + width, 0);
                let out = &mut self.plain[start..];
                residuals::<1>(Predictor::Median, &self.rows.above, row, out);
                self.rows.above.copy_from_slice(row);
            }
        }
        let (coding, payload) = match self.stream(None) {
            Some(payload) => (Coding::Predicted, payload),
            None => (Coding::Raw, cut(&mut self.payloads, samples)),
        };
        Command::Cscs { rect: *rect, planes, coding, payload }
    }

    /// The two colours that were found, as bits.
    fn bitmap(&mut self, rect: &Rect) -> Command {
        let (mut background, mut foreground) = (self.colors.color(0), self.colors.color(1));
        let indices = self.colors.indices();
        // The rarer one is the foreground, so that the same letters are the
        // same bits wherever they are.
        let ones: usize = indices.iter().map(|index| usize::from(*index)).sum();
        let swapped = ones > indices.len() / 2;
        if swapped {
            std::mem::swap(&mut background, &mut foreground);
        }
        self.plain.clear();
        for row in indices.chunks_exact(rect.width_px.into()) {
            pack_row(row, 1, &mut self.plain);
        }
        if swapped {
            self.plain.iter_mut().for_each(|byte| *byte = !*byte);
        }
        debug_assert_eq!(
            self.plain.len(),
            bitmap_row_bytes(rect.width_px) * usize::from(rect.height_px)
        );
        let streamed = (self.plain.len() > RAW_BYTES_MAX).then(|| self.stream(None)).flatten();
        let (coding, payload) = match streamed {
            Some(payload) => (Coding::Stream, payload),
            None => (Coding::Raw, cut(&mut self.payloads, &self.plain)),
        };
        Command::Bitmap { rect: *rect, foreground, background: Some(background), coding, payload }
    }

    fn raw(&mut self, picture: &Framebuffer, rect: &Rect) -> Command {
        for row in 0..rect.height_px {
            self.payloads.extend_from_slice(picture.row(rect, row));
        }
        let payload = self.payloads.split().freeze();
        Command::Set { rect: *rect, coding: Coding::Raw, payload }
    }

    /// The few colours that were found, and indices into them.
    fn palette(&mut self, rect: &Rect) -> Option<Command> {
        let count = self.colors.count();
        let bits = index_bits(count);
        self.plain.clear();
        for index in 0..count {
            self.plain.extend_from_slice(&self.colors.color(index)[..COLOR_BYTES]);
        }
        for row in self.colors.indices().chunks_exact(rect.width_px.into()) {
            pack_row(row, bits, &mut self.plain);
        }
        let payload = self.stream(Some((count - 1) as u8))?;
        Some(Command::Set { rect: *rect, coding: Coding::Palette, payload })
    }

    fn predicted(
        &mut self,
        picture: &Framebuffer,
        rect: &Rect,
        predictor: Predictor,
    ) -> Option<Command> {
        let row_bytes = usize::from(rect.width_px) * COLOR_BYTES;
        self.plain.clear();
        self.plain.extend(std::iter::repeat_n(predictor as u8, rect.height_px.into()));
        self.rows.begin(row_bytes);
        for row in 0..rect.height_px {
            let SplitRows { above, row: split, .. } = &mut self.rows;
            split_colors(picture.row(rect, row), split);
            let start = self.plain.len();
            self.plain.resize(start + row_bytes, 0);
            residuals::<COLOR_BYTES>(predictor, above, split, &mut self.plain[start..]);
            std::mem::swap(above, split);
        }
        let payload = self.stream(None)?;
        Some(Command::Set { rect: *rect, coding: Coding::Predicted, payload })
    }

    /// Sends the plain bytes through the stream, after a byte that stays
    /// outside it. Once that fails the stream is never used again.
    fn stream(&mut self, head: Option<u8>) -> Option<Bytes> {
        self.packed.clear();
        self.packed.extend(head);
        let stream = self.stream.as_mut()?;
        if let Err(error) = stream.pack(&self.plain, &mut self.packed) {
            tracing::warn!("pictures are sent without packing from now on: {error}");
            self.stream = None;
            return None;
        }
        Some(cut(&mut self.payloads, &self.packed))
    }
}

fn cut(payloads: &mut BytesMut, bytes: &[u8]) -> Bytes {
    payloads.extend_from_slice(bytes);
    payloads.split().freeze()
}

impl SplitRows {
    /// Makes room for rows of this many bytes; all is 0 above the first.
    fn begin(&mut self, row_bytes: usize) {
        for rows in [&mut self.above, &mut self.row, &mut self.residuals] {
            rows.clear();
            rows.resize(row_bytes, 0);
        }
    }

    /// The predictor that leaves the least of a few of the rectangle's rows;
    /// none where most pixels are like the one before. Those are of something
    /// drawn, which repeats itself and would not once it is predicted.
    fn best_predictor(&mut self, picture: &Framebuffer, rect: &Rect) -> Predictor {
        const TRIED: [Predictor; 3] = [Predictor::Median, Predictor::Left, Predictor::Up];
        self.begin(usize::from(rect.width_px) * COLOR_BYTES);
        let mut left = [0; TRIED.len()];
        let (mut alike, mut looked_at) = (0, 0);
        for row in (1..rect.height_px).step_by(TRIED_ROWS) {
            split_colors(picture.row(rect, row - 1), &mut self.above);
            split_colors(picture.row(rect, row), &mut self.row);
            for (predictor, left) in TRIED.iter().zip(&mut left) {
                residuals::<COLOR_BYTES>(*predictor, &self.above, &self.row, &mut self.residuals);
                // How far from 0, which is as far down as up.
                let far = |byte: &u8| u64::from(byte.cast_signed().unsigned_abs());
                *left += self.residuals.iter().map(far).sum::<u64>();
            }
            let pixels = picture.row(rect, row).as_chunks::<PIXEL_BYTES>().0;
            alike += pixels.windows(2).filter(|pair| pair[0] == pair[1]).count();
            looked_at += pixels.len();
        }
        if alike > looked_at / 2 {
            return Predictor::Zero;
        }
        let pairs = TRIED.into_iter().zip(left);
        pairs.min_by_key(|(_, left)| *left).map_or(Predictor::Left, |(predictor, _)| predictor)
    }
}

#[cfg(test)]
mod tests;
