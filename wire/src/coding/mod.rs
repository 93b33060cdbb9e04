//! How the payloads of SET, BITMAP and CSCS are packed, and their unpacking.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`stream`] | one zstd stream through all payloads of an attachment |
//! | [`palette`] | pixels as indices into a few colours |
//! | [`predict`] | what is left of a byte once its neighbours are known |
//! | [`planes`] | the layout of a CSCS's samples, and their colours |
//!
//! The layout of each payload, by its coding:
//!
//! | coding | plain bytes | of |
//! | --- | --- | --- |
//! | Raw | the payload itself | all |
//! | Zstd | what the payload, one zstd frame (RFC 8878), unpacks to | all |
//! | Stream | what the stream gives for the payload | all |
//! | Palette | a byte with the number of colours less one; then by the stream: the colours (blue, green, red), and for each row the indices, packed | SET |
//! | Predicted | by the stream: a predictor for each row, then the rows' residuals | SET, CSCS |
//!
//! The plain bytes of a SET are its pixels, four bytes each; those of a BITMAP
//! its rows of bits, the leftmost pixel highest, each row padded to a byte;
//! those of a CSCS its planes. Bits of padding may be anything.

pub mod palette;
pub mod planes;
pub mod predict;
pub mod stream;

use crate::command::{Coding, Rect};
use crate::framebuffer::{CommandError, PIXEL_BYTES};
use crate::limits::{CSCS_PLANES_BYTES_MAX, SET_PIXELS_MAX};
use bytes::Bytes;
use planes::Planes;
use predict::Predictor;
use stream::Decompressor;

/// Bytes per pixel once the unused one is dropped.
pub const COLOR_BYTES: usize = 3;

/// What the payloads of one attachment are unpacked with.
///
/// Payloads of the stream build on all before them: each has to be unpacked
/// exactly once, and in the order of the commands. A new attachment begins
/// with a new unpacker. After one that cannot be unpacked the stream is
/// broken, and every later payload of it is refused.
#[derive(Debug, Default)]
pub struct Unpacker {
    stream: Decompressor,
}

impl Unpacker {
    /// One that saw no payload yet.
    pub fn new() -> Self {
        Unpacker::default()
    }

    /// The pixels of a SET: `rect.pixels()` of four bytes each.
    ///
    /// The memory is bounded by the rectangle, whatever the payload says. An
    /// error if the payload does not unpack to exactly the pixels, or its
    /// coding is none for a SET.
    pub fn set(
        &mut self,
        rect: &Rect,
        coding: Coding,
        payload: &Bytes,
    ) -> Result<Bytes, CommandError> {
        const REFUSED: CommandError = CommandError::Payload("SET");
        if rect.is_empty() || rect.pixels() > SET_PIXELS_MAX {
            return Err(REFUSED);
        }
        let pixels = match coding {
            Coding::Palette => self.palette(rect, payload),
            Coding::Predicted => self.predicted(rect, payload),
            _ => self.plain(coding, payload, rect.pixels() as usize * PIXEL_BYTES)?,
        };
        pixels.ok_or(REFUSED)
    }

    /// The rows of a BITMAP: [`bitmap_row_bytes`] for each.
    ///
    /// Bounded and refused as in [`Unpacker::set`].
    pub fn bitmap(
        &mut self,
        rect: &Rect,
        coding: Coding,
        payload: &Bytes,
    ) -> Result<Bytes, CommandError> {
        const REFUSED: CommandError = CommandError::Payload("BITMAP");
        if rect.is_empty() || rect.pixels() > SET_PIXELS_MAX {
            return Err(REFUSED);
        }
        let len = bitmap_row_bytes(rect.width_px) * usize::from(rect.height_px);
        self.plain(coding, payload, len)?.ok_or(REFUSED)
    }

    /// The samples of a CSCS: [`Planes::bytes`] of them.
    ///
    /// Bounded by [`CSCS_PLANES_BYTES_MAX`], and refused as in
    /// [`Unpacker::set`].
    pub fn planes(
        &mut self,
        planes: &Planes,
        coding: Coding,
        payload: &Bytes,
    ) -> Result<Bytes, CommandError> {
        const REFUSED: CommandError = CommandError::Payload("CSCS");
        let len = planes.bytes();
        if planes.is_empty() || len > CSCS_PLANES_BYTES_MAX {
            return Err(REFUSED);
        }
        let samples = match coding {
            Coding::Predicted => self.predicted_planes(planes, payload),
            _ => self.plain(coding, payload, len)?,
        };
        samples.ok_or(REFUSED)
    }

    /// The codings that every command may have; `None` if the payload does
    /// not unpack to exactly `len` bytes.
    fn plain(
        &mut self,
        coding: Coding,
        payload: &Bytes,
        len: usize,
    ) -> Result<Option<Bytes>, CommandError> {
        let plain = match coding {
            Coding::Raw => Some(payload.clone()),
            Coding::Zstd => zstd::bulk::decompress(payload, len).ok().map(Bytes::from),
            Coding::Stream => self.stream(payload, len).as_deref().map(Bytes::copy_from_slice),
            Coding::Palette | Coding::Predicted => None,
            Coding::Unknown(kind) => return Err(CommandError::Unknown { what: "coding", kind }),
        };
        Ok(plain.filter(|plain| plain.len() == len))
    }

    fn stream(&mut self, payload: &[u8], len: usize) -> Option<&mut [u8]> {
        self.stream.unpack(payload, len).ok()
    }

    fn palette(&mut self, rect: &Rect, payload: &[u8]) -> Option<Bytes> {
        let (head, packed) = payload.split_first()?;
        let count = usize::from(*head) + 1;
        let bits = palette::index_bits(count);
        let row_bytes = palette::row_bytes(rect.width_px, bits);
        let len = count * COLOR_BYTES + row_bytes * usize::from(rect.height_px);
        let (colors, rows) = self.stream(packed, len)?.split_at(count * COLOR_BYTES);
        let color = |color: &[u8; COLOR_BYTES]| [color[0], color[1], color[2], 0];
        let colors: Vec<_> = colors.as_chunks().0.iter().map(color).collect();
        let pixel_row_bytes = usize::from(rect.width_px) * PIXEL_BYTES;
        let mut pixels = vec![0; rect.pixels() as usize * PIXEL_BYTES];
        for (row, pixels) in
            rows.chunks_exact(row_bytes).zip(pixels.chunks_exact_mut(pixel_row_bytes))
        {
            palette::draw_row(row, bits, &colors, pixels)?;
        }
        Some(pixels.into())
    }

    fn predicted(&mut self, rect: &Rect, payload: &[u8]) -> Option<Bytes> {
        let (width, height) = (usize::from(rect.width_px), usize::from(rect.height_px));
        let len = height + width * height * COLOR_BYTES;
        let (predictors, rows) = self.stream(payload, len)?.split_at_mut(height);
        restore::<COLOR_BYTES>(predictors, rows, width * COLOR_BYTES)?;
        let mut pixels = vec![0; width * height * PIXEL_BYTES];
        predict::join_colors(rows, &mut pixels);
        Some(pixels.into())
    }

    fn predicted_planes(&mut self, planes: &Planes, payload: &[u8]) -> Option<Bytes> {
        let heights = planes.sizes_px().map(|(_, height)| usize::from(height));
        let predictors_len = heights.iter().sum();
        let len = predictors_len + planes.bytes();
        let (mut predictors, samples) = self.stream(payload, len)?.split_at_mut(predictors_len);
        let mut left = &mut *samples;
        for ((width, _), height) in planes.sizes_px().into_iter().zip(heights) {
            let (plane, rest) = left.split_at_mut(usize::from(width) * height);
            let (own, others) = predictors.split_at_mut(height);
            restore::<1>(own, plane, width.into())?;
            (left, predictors) = (rest, others);
        }
        Some(Bytes::copy_from_slice(samples))
    }
}

/// How many bytes a row of a BITMAP has.
pub fn bitmap_row_bytes(width_px: u16) -> usize {
    palette::row_bytes(width_px, 1)
}

/// Turns residuals into what they are of, row by row.
fn restore<const CHANNELS: usize>(
    predictors: &[u8],
    rows: &mut [u8],
    row_bytes: usize,
) -> Option<()> {
    // Above the first row all is 0.
    let zeros = vec![0; row_bytes];
    let mut above: &[u8] = &zeros;
    for (predictor, row) in predictors.iter().zip(rows.chunks_exact_mut(row_bytes)) {
        predict::restore::<CHANNELS>(Predictor::from_byte(*predictor)?, above, row);
        above = row;
    }
    Some(())
}
