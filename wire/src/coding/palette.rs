//! Pixels as indices into a few colours. Indices have 1, 2, 4 or 8 bits, the
//! leftmost pixel's the highest of a byte; each row is padded to a byte.

use super::COLOR_BYTES;

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

/// Appends the pixels of a packed row, four bytes each. `None` if an index has
/// no colour.
pub(super) fn draw_row(
    packed: &[u8],
    index_bits: u32,
    width_px: u16,
    colors: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let per_byte = 8 / index_bits as usize;
    let mask = 0xff >> (8 - index_bits);
    for x in 0..usize::from(width_px) {
        let place = per_byte - 1 - x % per_byte;
        let index = (packed.get(x / per_byte)? >> (place as u32 * index_bits)) & mask;
        let start = usize::from(index) * COLOR_BYTES;
        let color = colors.get(start..start + COLOR_BYTES)?;
        out.extend_from_slice(&[color[0], color[1], color[2], 0]);
    }
    Some(())
}
