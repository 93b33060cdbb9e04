//! The layout of a CSCS's samples, and their colours.
//!
//! The samples are 8 bits each, in three planes, row by row: luma (Y), then
//! the two of chroma (U, blue; V, red). How they become pixels is integer
//! arithmetic, so that every processor comes to the same bytes.

use crate::codec::{DecodeError, Reader, Wire};
use crate::limits::{CSCS_PLANES_BYTES_MAX, SIZE_PX_MAX};
use bytes::BytesMut;

wire_choice! {
    /// How many pixels share a sample of chroma.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Chroma {
        /// 4:4:4: each has its own.
        Full = 0,
        /// 4:2:2: two beside each other share one.
        Half = 1,
        /// 4:2:0: two by two share one.
        Quarter = 2,
    }
}

/// The size and kind of a CSCS's planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Planes {
    /// How many pixels share a sample of chroma.
    pub chroma: Chroma,
    /// Width of the luma plane; 1 to [`SIZE_PX_MAX`] in a command.
    pub width_px: u16,
    /// Height of the luma plane, likewise.
    pub height_px: u16,
}

impl Planes {
    /// True if they have no sample.
    pub fn is_empty(&self) -> bool {
        self.width_px == 0 || self.height_px == 0
    }

    /// The size of a chroma plane, width and height. Where an odd row or
    /// column shares a sample with none, the sample is there all the same.
    pub fn chroma_px(&self) -> (u16, u16) {
        let (width, height) = (self.width_px, self.height_px);
        match self.chroma {
            Chroma::Full => (width, height),
            Chroma::Half => (width.div_ceil(2), height),
            Chroma::Quarter => (width.div_ceil(2), height.div_ceil(2)),
        }
    }

    /// The sizes of the three planes, in their order: widths and heights.
    pub fn sizes_px(&self) -> [(u16, u16); 3] {
        [(self.width_px, self.height_px), self.chroma_px(), self.chroma_px()]
    }

    /// How many bytes all planes have together.
    pub fn bytes(&self) -> usize {
        let plane = |(width, height)| usize::from(width) * usize::from(height);
        self.sizes_px().map(plane).iter().sum()
    }

    /// The colour at a place of the luma plane. `samples` are all planes, as
    /// many bytes as [`Planes::bytes`] says.
    pub fn pixel(&self, samples: &[u8], x_px: usize, y_px: usize) -> [u8; 4] {
        let luma_bytes = usize::from(self.width_px) * usize::from(self.height_px);
        let (chroma_width, chroma_height) = self.chroma_px();
        let (x_chroma, y_chroma) = match self.chroma {
            Chroma::Full => (x_px, y_px),
            Chroma::Half => (x_px / 2, y_px),
            Chroma::Quarter => (x_px / 2, y_px / 2),
        };
        let blue = luma_bytes + y_chroma * usize::from(chroma_width) + x_chroma;
        let red = blue + usize::from(chroma_width) * usize::from(chroma_height);
        color(samples[y_px * usize::from(self.width_px) + x_px], samples[blue], samples[red])
    }
}

impl Wire for Planes {
    fn put(&self, out: &mut BytesMut) {
        self.chroma.put(out);
        self.width_px.put(out);
        self.height_px.put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let chroma = Chroma::get(from)?;
        let planes = Planes { chroma, width_px: u16::get(from)?, height_px: u16::get(from)? };
        let side_max_px = planes.width_px.max(planes.height_px);
        let bounded = side_max_px <= SIZE_PX_MAX && planes.bytes() <= CSCS_PLANES_BYTES_MAX;
        if planes.is_empty() || !bounded {
            return Err(DecodeError::Invalid("CSCS's size"));
        }
        Ok(planes)
    }
}

/// Blue, green, red and 0 of a luma and two chroma samples: BT.601 with the
/// full range of 8 bits, in 65536ths, rounded to the nearest, and cut to 0 to
/// 255. Shifts to the right round down, negative numbers, too.
pub fn color(luma: u8, chroma_blue: u8, chroma_red: u8) -> [u8; 4] {
    const HALF: i32 = 1 << 15;
    let (luma, u, v) = (i32::from(luma), i32::from(chroma_blue) - 128, i32::from(chroma_red) - 128);
    let cut = |value: i32| value.clamp(0, 255) as u8;
    let red = luma + ((91_881 * v + HALF) >> 16);
    let green = luma + ((HALF - 22_554 * u - 46_802 * v) >> 16);
    let blue = luma + ((116_130 * u + HALF) >> 16);
    [cut(blue), cut(green), cut(red), 0]
}

/// The luma of a blue, green and red: the reverse of [`color`], rounded to the
/// nearest. A grey has itself.
pub fn luma([blue, green, red]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + (1 << 15)) >> 16) as u8
}

/// The two samples of chroma, blue and red, likewise. A grey has 128 of both.
pub fn chroma([blue, green, red]: [u8; 3]) -> [u8; 2] {
    const HALF: i32 = 1 << 15;
    let (blue, green, red) = (i32::from(blue), i32::from(green), i32::from(red));
    // The purest blue and red would have half a step more than there is.
    let sample = |sum: i32| (((sum + HALF) >> 16) + 128).min(255) as u8;
    [
        sample(32_768 * blue - 21_709 * green - 11_059 * red),
        sample(32_768 * red - 27_439 * green - 5_329 * blue),
    ]
}

/// The source pixel of a target pixel along one side: the one that its centre
/// lies in. `at` is less than `target_px`; the result is less than `source_px`.
pub fn nearest(at: u16, target_px: u16, source_px: u16) -> usize {
    let centre_halves = 2 * u32::from(at) + 1;
    (centre_halves * u32::from(source_px) / (2 * u32::from(target_px))) as usize
}
