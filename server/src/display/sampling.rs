//! A rectangle's pixels as luma and less chroma (4:2:0), coarser than they are:
//! a smooth picture comes out at 40 dB (peak signal to noise).

use afterglow_wire::coding::planes::{Chroma, Planes, chroma, luma};
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};

/// Samples are multiples of this: what is left of them once they are
/// predicted is, too, and takes two bits less of each.
const STEP: u8 = 4;

/// Takes the samples of a rectangle that fits, all planes one after the other;
/// gives their layout. Four pixels share their chroma, which is that of their
/// mean.
pub fn sample(picture: &Framebuffer, rect: &Rect, samples: &mut Vec<u8>) -> Planes {
    let (width_px, height_px) = (rect.width_px, rect.height_px);
    let planes = Planes { chroma: Chroma::Quarter, width_px, height_px };
    samples.resize(planes.bytes(), 0);
    let (lumas, chromas) = samples.split_at_mut(rect.pixels() as usize);
    for (row, lumas) in (0..height_px).zip(lumas.chunks_exact_mut(width_px.into())) {
        for (pixel, sample) in picture.row(rect, row).chunks_exact(PIXEL_BYTES).zip(lumas) {
            *sample = coarse(luma([pixel[0], pixel[1], pixel[2]]));
        }
    }
    let (blues, reds) = chromas.split_at_mut(chromas.len() / 2);
    let chroma_width = usize::from(planes.chroma_px().0);
    let rows = blues.chunks_exact_mut(chroma_width).zip(reds.chunks_exact_mut(chroma_width));
    for (top, (blues, reds)) in (0..height_px).step_by(2).zip(rows) {
        // Beyond the last row and column is what is on this side of them.
        let above = picture.row(rect, top).chunks(2 * PIXEL_BYTES);
        let below = picture.row(rect, (top + 1).min(height_px - 1)).chunks(2 * PIXEL_BYTES);
        for (((above, below), blue), red) in above.zip(below).zip(blues).zip(reds) {
            [*blue, *red] = chroma(mean(above, below)).map(coarse);
        }
    }
    planes
}

/// The mean of two pixels beside each other, or of one, and those below.
fn mean(above: &[u8], below: &[u8]) -> [u8; 3] {
    let last = above.len() - PIXEL_BYTES;
    std::array::from_fn(|channel| {
        let value = |row: &[u8], at: usize| u16::from(row[at + channel]);
        let sum = value(above, 0) + value(above, last) + value(below, 0) + value(below, last);
        ((sum + 2) / 4) as u8
    })
}

/// The nearest multiple of the step. Black, and the chroma of greys, are some;
/// white is none, and stays what it is all the same.
fn coarse(sample: u8) -> u8 {
    match sample {
        254.. => 255,
        sample => (sample + STEP / 2) / STEP * STEP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::ids::Size;

    /// A picture, and what a DTU makes of its samples.
    fn round_trip(rect: &Rect, color: impl Fn(u16, u16) -> [u8; 4]) -> (Framebuffer, Framebuffer) {
        let mut picture = Framebuffer::new(Size::new(200, 160).unwrap());
        let mut shown = picture.clone();
        for (x, y) in (0..200).flat_map(|x| (0..160).map(move |y| (x, y))) {
            picture.set(&Rect::new(x, y, 1, 1), &color(x, y));
        }
        let mut samples = vec![9; 3];
        let planes = sample(&picture, rect, &mut samples);
        assert_eq!(samples.len(), planes.bytes());
        shown.cscs(rect, &planes, &samples);
        (picture, shown)
    }

    /// The peak signal to noise ratio, in decibels.
    fn psnr_db(rect: &Rect, one: &Framebuffer, other: &Framebuffer) -> f64 {
        let squares = (0..rect.height_px).flat_map(|row| {
            let pairs = one.row(rect, row).iter().zip(other.row(rect, row));
            pairs.map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2))
        });
        let mean = squares.sum::<f64>() / f64::from(rect.pixels() * 3);
        10.0 * (255.0 * 255.0 / mean).log10()
    }

    #[test]
    fn a_smooth_picture_is_nearly_as_it_was_wherever_its_edges_are() {
        let slope = |x: u16, y: u16| [x + 20, (x + y) / 2 + 10, y + 40].map(|value| value as u8);
        for rect in [Rect::new(0, 0, 200, 160), Rect::new(3, 5, 101, 77)] {
            let (picture, shown) = round_trip(&rect, |x, y| {
                let [blue, green, red] = slope(x, y);
                [blue, green, red, 0]
            });
            let psnr_db = psnr_db(&rect, &picture, &shown);
            assert!(psnr_db > 39.5, "{psnr_db:.1} dB");
        }
    }

    #[test]
    fn black_and_white_stay_and_one_pixel_has_samples_too() {
        for value in [0, 255] {
            let rect = Rect::new(0, 0, 33, 1);
            let (picture, shown) = round_trip(&rect, |_, _| [value, value, value, 0]);
            assert_eq!(picture.row(&rect, 0), shown.row(&rect, 0));
        }
        let rect = Rect::new(7, 9, 1, 1);
        let (picture, shown) = round_trip(&rect, |_, _| [120, 64, 32, 0]);
        assert!(psnr_db(&rect, &picture, &shown) > 35.0);
    }
}
