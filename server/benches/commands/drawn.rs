//! Pictures that never come twice.

use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};

/// Where numbers come from: Marsaglia's xorshift.
pub struct Drawn {
    state: u64,
}

impl Default for Drawn {
    fn default() -> Self {
        Drawn { state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Drawn {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// What a camera might have taken: a slope, and the sensor's noise.
    pub fn photo(&mut self, picture: &mut Framebuffer, rect: &Rect) {
        let from = self.next() as u16 & 0x3f;
        for row in 0..rect.height_px {
            for (x, pixel) in picture.row_mut(rect, row).chunks_exact_mut(PIXEL_BYTES).enumerate() {
                let noise = self.next();
                let light = from + (x as u16 + row) / 8;
                for (channel, byte) in pixel[..3].iter_mut().enumerate() {
                    *byte =
                        (light + 9 * channel as u16 + (noise >> (8 * channel)) as u16 % 6) as u8;
                }
            }
        }
    }

    /// What a program might have drawn: runs of 1 to 8 pixels of this many
    /// colours, all of which are there.
    pub fn runs(&mut self, picture: &mut Framebuffer, rect: &Rect, colors: u64) {
        let shift = self.next();
        let mut place = 0;
        for row in 0..rect.height_px {
            let pixels = picture.row_mut(rect, row).as_chunks_mut::<PIXEL_BYTES>().0;
            let mut left = pixels;
            while !left.is_empty() {
                let drawn = self.next();
                let run = (1 + drawn as usize % 8).min(left.len());
                // The first runs have one colour after the other.
                let number = if place < colors { place } else { (drawn >> 8) % colors };
                place += 1;
                let color = (shift.wrapping_add(number * 0x31_2b17)) as u32 & 0xff_ffff;
                let (run, rest) = left.split_at_mut(run);
                run.fill(color.to_le_bytes());
                left = rest;
            }
        }
    }
}
