//! Pixels as indices into a few colours. Indices have 1, 2, 4 or 8 bits, the
//! leftmost pixel's the highest of a byte; each row is padded to a byte.

use crate::framebuffer::PIXEL_BYTES;

/// The most colours of a palette.
pub const COLORS_MAX: usize = 256;

/// How many bits an index into so many colours has.
pub fn index_bits(colors: usize) -> u32 {
    match colors {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    }
}

/// How many bytes a row of indices has.
pub fn row_bytes(width_px: u16, index_bits: u32) -> usize {
    (usize::from(width_px) * index_bits as usize).div_ceil(8)
}

/// Appends a row of indices, packed. Each has to fit into `index_bits`.
pub fn pack_row(indices: &[u8], index_bits: u32, out: &mut Vec<u8>) {
    if index_bits == 8 {
        return out.extend_from_slice(indices);
    }
    let per_byte = 8 / index_bits as usize;
    let pack = |indices: &[u8]| indices.iter().fold(0, |byte, index| (byte << index_bits) | index);
    let (whole, rest) = indices.split_at(indices.len() - indices.len() % per_byte);
    out.extend(whole.chunks_exact(per_byte).map(pack));
    if !rest.is_empty() {
        out.push(pack(rest) << (index_bits as usize * (per_byte - rest.len())));
    }
}

/// Writes the pixels of a packed row. `None` if an index has no colour.
pub(super) fn draw_row(
    packed: &[u8],
    index_bits: u32,
    colors: &[[u8; PIXEL_BYTES]],
    pixels: &mut [u8],
) -> Option<()> {
    let mask = 0xff >> (8 - index_bits);
    let pixels_of_bytes = pixels.chunks_mut(PIXEL_BYTES * 8 / index_bits as usize);
    for (byte, pixels) in packed.iter().zip(pixels_of_bytes) {
        let mut left = 8;
        for pixel in pixels.chunks_exact_mut(PIXEL_BYTES) {
            left -= index_bits;
            pixel.copy_from_slice(colors.get(usize::from((byte >> left) & mask))?);
        }
    }
    Some(())
}
