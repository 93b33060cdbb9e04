//! Whether the DTU's picture is the session's, bit for bit: when the picture
//! rests, the session tells a digest of each block of it, and the DTU answers
//! if one of its own is another.
//!
//! Both sides work block by block, so that neither holds up a key that is
//! pressed meanwhile for longer than one block takes.

use crate::command::Rect;
use crate::control::BoundedList;
use crate::framebuffer::{Framebuffer, PIXEL_BYTES};
use crate::ids::Size;
use crate::limits::BLOCKS_MAX;
use sha2::{Digest as _, Sha256};

/// A block's side, in pixels; at the right and bottom edge it may be shorter.
pub const BLOCK_PX: u16 = 256;

/// A digest of a block: the first eight bytes of SHA-256 over its rows, of each
/// pixel blue, green, red and a zero. Chance makes two different blocks alike
/// once in 2⁶⁴; nobody gains from making it on purpose.
pub type BlockDigest = [u8; 8];

wire_struct! {
    /// What the DTU's picture is, once it shows this frame.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Truth {
        /// The last frame that was sent; there is none under way.
        pub frame: u64,
        /// The picture's size.
        pub size: Size,
        /// All its blocks, row by row.
        pub blocks: BoundedList<BlockDigest, BLOCKS_MAX>,
    }
}

wire_struct! {
    /// The DTU's picture is another, and has to be repaired.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Differs {
        /// From the [`Truth`].
        pub frame: u64,
        /// The blocks that differ, by their place in it.
        pub blocks: BoundedList<u16, BLOCKS_MAX>,
    }
}

/// The blocks of a picture of this size, row by row.
pub fn blocks(size: Size) -> impl Iterator<Item = Rect> {
    let step = usize::from(BLOCK_PX);
    (0..size.height_px()).step_by(step).flat_map(move |y_px| {
        (0..size.width_px()).step_by(step).map(move |x_px| {
            let width_px = BLOCK_PX.min(size.width_px() - x_px);
            Rect::new(x_px, y_px, width_px, BLOCK_PX.min(size.height_px() - y_px))
        })
    })
}

/// The digest of a block of a picture, in whose pixels the fourth byte is 0.
pub fn digest(picture: &Framebuffer, block: &Rect) -> BlockDigest {
    digest_of_rows((0..block.height_px).map(|row| picture.row(block, row)))
}

/// The digest of a block, from its rows; each pixel's fourth byte has to be 0.
pub fn digest_of_rows<'a>(rows: impl Iterator<Item = &'a [u8]>) -> BlockDigest {
    let mut hash = Sha256::new();
    for row in rows {
        debug_assert!(row.chunks_exact(PIXEL_BYTES).all(|pixel| pixel[3] == 0));
        hash.update(row);
    }
    let mut digest = [0; 8];
    digest.copy_from_slice(&hash.finalize()[..8]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SIZE_PX_MAX;

    #[test]
    fn blocks_cover_a_picture_once() {
        for (width_px, height_px) in [(16, 16), (256, 256), (257, 513), (1280, 720)] {
            let size = Size::new(width_px, height_px).unwrap();
            let pixels: u32 = blocks(size).map(|block| block.pixels()).sum();
            assert_eq!(pixels, u32::from(width_px) * u32::from(height_px));
            assert!(blocks(size).all(|block| block.fits(size) && !block.is_empty()));
        }
    }

    #[test]
    fn the_largest_picture_has_as_many_blocks_as_a_message_takes() {
        let size = Size::new(SIZE_PX_MAX, SIZE_PX_MAX).unwrap();
        assert_eq!(blocks(size).count(), BLOCKS_MAX);
    }

    #[test]
    fn every_pixel_counts() {
        let size = Size::new(300, 20).unwrap();
        let mut picture = Framebuffer::new(size);
        let all = |picture: &Framebuffer| -> Vec<BlockDigest> {
            blocks(size).map(|block| digest(picture, &block)).collect()
        };
        let before = all(&picture);
        picture.pixels_mut()[(300 * 20 - 1) * PIXEL_BYTES] = 1;
        let after = all(&picture);
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
    }
}
