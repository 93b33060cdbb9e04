//! Which colours a rectangle has, and which of them each pixel has.

use afterglow_wire::coding::palette::COLORS_MAX;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};

/// Slots of the table of colours: twice what it may hold, and a power of two.
const SLOTS: usize = 4 * COLORS_MAX;

/// The colours of one rectangle after the other; keeps its memory.
#[derive(Debug)]
pub(super) struct Colors {
    /// In the order in which they were met. The fourth byte is 0.
    found: Vec<u32>,
    /// By a hash of the colour: its place in `found` and 1, or 0.
    slots: Vec<u16>,
    /// Each pixel's colour, by its place in `found`.
    indices: Vec<u8>,
}

impl Default for Colors {
    fn default() -> Self {
        Colors { found: Vec::new(), slots: vec![0; SLOTS], indices: Vec::new() }
    }
}

impl Colors {
    /// Counts the colours of a rectangle that fits. `None` if there are more
    /// than a palette holds, or more than both `max` and 2.
    pub(super) fn find(&mut self, picture: &Framebuffer, rect: &Rect, max: usize) -> Option<usize> {
        self.found.clear();
        self.slots.fill(0);
        self.indices.clear();
        let max = max.clamp(2, COLORS_MAX);
        // No colour has this fourth byte.
        let (mut last, mut last_index) = (u32::MAX, 0);
        for row in 0..rect.height_px {
            for pixel in picture.row(rect, row).chunks_exact(PIXEL_BYTES) {
                let color = u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]);
                if color != last {
                    last = color;
                    last_index = self.place(color, max)?;
                }
                self.indices.push(last_index);
            }
        }
        Some(self.found.len())
    }

    fn place(&mut self, color: u32, max: usize) -> Option<u8> {
        // The high bits of a product depend on all bits of the colour.
        let mut slot = (color.wrapping_mul(0x9e37_79b1) >> 22) as usize % SLOTS;
        loop {
            match self.slots[slot] {
                0 if self.found.len() == max => return None,
                0 => {
                    self.found.push(color);
                    self.slots[slot] = self.found.len() as u16;
                    return Some((self.found.len() - 1) as u8);
                }
                place if self.found[usize::from(place) - 1] == color => {
                    return Some((place - 1) as u8);
                }
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    /// How many were found.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// One of those that were found: blue, green, red, 0.
    pub(super) fn color(&self, index: usize) -> [u8; 4] {
        self.found[index].to_le_bytes()
    }

    /// Each pixel's colour, row by row without padding.
    pub(super) fn indices(&self) -> &[u8] {
        &self.indices
    }
}
