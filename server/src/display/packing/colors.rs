//! Which colours a rectangle has, and which of them each pixel has.

use afterglow_wire::coding::palette::COLORS_MAX;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};

/// How many bits of a hash choose a colour's slot.
const SLOT_BITS: u32 = 10;
/// Slots of the table of colours: four times what it may hold.
const SLOTS: usize = 1 << SLOT_BITS;
const _: () = assert!(SLOTS == 4 * COLORS_MAX);
/// No colour: its fourth byte is not 0.
const NONE: u32 = u32::MAX;

/// The colours of one rectangle after the other; keeps its memory.
#[derive(Debug)]
pub(super) struct Colors {
    /// In the order in which they were met. The fourth byte is 0.
    found: Vec<u32>,
    /// By a hash of the colour: the colour or [`NONE`], and its place in
    /// `found`.
    slots: Box<[u32; SLOTS]>,
    places: Box<[u8; SLOTS]>,
    /// Each pixel's colour, by its place in `found`.
    indices: Vec<u8>,
}

impl Default for Colors {
    fn default() -> Self {
        Colors {
            found: Vec::new(),
            slots: Box::new([NONE; SLOTS]),
            places: Box::new([0; SLOTS]),
            indices: Vec::new(),
        }
    }
}

impl Colors {
    /// Counts the colours of a rectangle that fits and is not empty. `None` if
    /// there are more than a palette holds.
    pub(super) fn find(&mut self, picture: &Framebuffer, rect: &Rect) -> Option<usize> {
        self.found.clear();
        self.slots.fill(NONE);
        self.indices.resize(rect.pixels() as usize, 0);
        let mut indices = std::mem::take(&mut self.indices);
        let rows = (0..rect.height_px).map(|row| picture.row(rect, row));
        let found = rows
            .zip(indices.chunks_exact_mut(rect.width_px.into()))
            .try_for_each(|(row, indices)| self.find_in_row(row, indices));
        self.indices = indices;
        found.map(|()| self.found.len())
    }

    fn find_in_row(&mut self, row: &[u8], indices: &mut [u8]) -> Option<()> {
        let (mut last, mut place) = (NONE, 0);
        for (pixel, index) in row.chunks_exact(PIXEL_BYTES).zip(indices) {
            let color = u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]);
            if color != last {
                last = color;
                place = self.place(color)?;
            }
            *index = place;
        }
        Some(())
    }

    fn place(&mut self, color: u32) -> Option<u8> {
        // The high bits of a product depend on all bits of the colour.
        let mut slot = (color.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOT_BITS)) as usize;
        while self.slots[slot] != color {
            if self.slots[slot] == NONE {
                let place = u8::try_from(self.found.len()).ok()?;
                self.found.push(color);
                self.slots[slot] = color;
                self.places[slot] = place;
                break;
            }
            slot = (slot + 1) % SLOTS;
        }
        Some(self.places[slot])
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
