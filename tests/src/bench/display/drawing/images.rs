//! Pictures that are computed, so that they are the same in every run: rows of
//! blue, green, red, 0.

/// Steele, Lea and Flood's SplitMix64.
pub fn mixed(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A number from 0 to 1 for a place.
fn at(seed: u64, x: i64, y: i64) -> f32 {
    let place = (x as u64).wrapping_mul(0x1_0000_0001) ^ (y as u64).wrapping_mul(0x51_7cc1_b727);
    (mixed(seed ^ place) >> 40) as f32 / (1 << 24) as f32
}

/// Smooth noise: the numbers of a coarse grid, blended.
fn smooth(seed: u64, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (across, down) = (ease(x - left), ease(y - top));
    let (left, top) = (left as i64, top as i64);
    let row = |y| at(seed, left, y) * (1.0 - across) + at(seed, left + 1, y) * across;
    row(top) * (1.0 - down) + row(top + 1) * down
}

/// Noise of several sizes, the finer the fainter, from 0 to 1.
fn clouds(seed: u64, x: f32, y: f32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut total) = (0.0, 1.0, 0.0);
    let mut scale = 1.0;
    for octave in 0..octaves {
        sum += weight * smooth(seed + u64::from(octave), x * scale, y * scale);
        total += weight;
        (weight, scale) = (weight * 0.5, scale * 2.0);
    }
    sum / total
}

fn image(width_px: u16, height_px: u16, color: impl Fn(f32, f32) -> [f32; 3]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(usize::from(width_px) * usize::from(height_px) * 4);
    for y in 0..height_px {
        for x in 0..width_px {
            let [red, green, blue] = color(f32::from(x), f32::from(y));
            // Values outside of a byte are cut off.
            pixels.extend_from_slice(&[blue as u8, green as u8, red as u8, 0]);
        }
    }
    pixels
}

/// What a camera might have taken: a sky that shades, hills with sharp edges
/// and texture on them, and the sensor's noise in every pixel.
pub fn photo(width_px: u16, height_px: u16, seed: u64) -> Vec<u8> {
    let seed = mixed(seed);
    let (width, height) = (f32::from(width_px), f32::from(height_px));
    image(width_px, height_px, |x, y| {
        let (across, down) = (x / width, y / height);
        let cloud = clouds(seed, across * 4.0, down * 4.0, 5);
        let mut color = [90.0 + 90.0 * down, 130.0 + 60.0 * down, 220.0 - 40.0 * down];
        color = color.map(|value| value + 70.0 * (cloud - 0.4));
        for hill in 0..4_u8 {
            let number = seed + 100 + u64::from(hill);
            let step = f32::from(hill);
            let edge = 0.35 + 0.15 * step + 0.25 * (clouds(number, across * 3.0, 0.5, 4) - 0.5);
            if down > edge {
                let ground = clouds(number + 50, x / 24.0, y / 24.0, 5);
                let light = (0.45 + 0.9 * ground) * (1.0 - 0.12 * step);
                color = [110.0 - 18.0 * step, 120.0 - 6.0 * step, 70.0 + 6.0 * step];
                color = color.map(|value| value * light);
            }
        }
        // Mostly of the same brightness in all channels, as a sensor's is.
        let grain = |number| at(seed + number, x as i64, y as i64) - 0.5;
        let bright = 6.0 * grain(7);
        let tints = [8, 9, 10].map(|number| bright + 3.0 * grain(number));
        std::array::from_fn(|channel| color[channel] + tints[channel])
    })
}

/// A desktop's background: woven, with a few shades.
pub fn texture(width_px: u16, height_px: u16) -> Vec<u8> {
    image(width_px, height_px, |x, y| {
        let weave = if (x as u32 / 2 + y as u32 / 2).is_multiple_of(2) { 6.0 } else { 0.0 };
        let shade = (clouds(5, x / 160.0, y / 160.0, 4) * 16.0).floor() * 5.0;
        [40.0 + shade + weave, 60.0 + shade + weave, 90.0 + shade + weave]
    })
}

/// A test pattern: bars that stand, stripes and a square that move.
pub fn pattern(width_px: u16, height_px: u16, number: u32) -> Vec<u8> {
    const BARS: [[f32; 3]; 8] = [
        [255.0, 255.0, 255.0],
        [255.0, 255.0, 0.0],
        [0.0, 255.0, 255.0],
        [0.0, 255.0, 0.0],
        [255.0, 0.0, 255.0],
        [255.0, 0.0, 0.0],
        [0.0, 0.0, 255.0],
        [0.0, 0.0, 0.0],
    ];
    let (width, height, time) = (f32::from(width_px), f32::from(height_px), number as f32);
    let square = (20.0 + time * 8.0, 30.0 + time * 3.0, 64.0);
    image(width_px, height_px, |x, y| {
        let (left, top, size) = square;
        if (left..left + size).contains(&x) && (top..top + size).contains(&y) {
            return [240.0, 240.0, 240.0];
        }
        if y > height * 0.8 {
            let stripe = ((x + y + time * 4.0) / 16.0) as u32;
            return if stripe.is_multiple_of(2) { [20.0; 3] } else { [220.0, 180.0, 40.0] };
        }
        if y > height * 0.7 {
            return [x / width * 255.0; 3];
        }
        BARS[(x / width * 8.0) as usize % 8]
    })
}

/// A Julia set whose parameter moves: it changes everywhere, and has both
/// smooth and fine parts.
pub fn fractal(width_px: u16, height_px: u16, number: u32) -> Vec<u8> {
    const STEPS_MAX: u32 = 64;
    let (width, height) = (f32::from(width_px), f32::from(height_px));
    let turn = 0.9 + number as f32 * 0.012;
    let (c_re, c_im) = (0.7885 * turn.cos(), 0.7885 * turn.sin());
    image(width_px, height_px, |x, y| {
        let (mut re, mut im) =
            ((x - width / 2.0) / height * 2.6, (y - height / 2.0) / height * 2.6);
        let mut steps = 0;
        while re * re + im * im < 16.0 && steps < STEPS_MAX {
            (re, im) = (re * re - im * im + c_re, 2.0 * re * im + c_im);
            steps += 1;
        }
        if steps == STEPS_MAX {
            return [0.0; 3];
        }
        let smooth = steps as f32 + 1.0 - (re * re + im * im).ln().log2().max(0.0);
        let wave = |phase: f32| 128.0 + 120.0 * (smooth * 0.9 + phase).sin();
        [wave(0.0), wave(2.1), wave(4.2)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_the_same_in_every_run_and_have_much_in_them() {
        let photo_of = |seed| photo(64, 48, seed);
        assert_eq!(photo_of(1), photo_of(1));
        assert_ne!(photo_of(1), photo_of(2));
        let colors = |pixels: &[u8]| {
            let mut colors: Vec<_> = pixels.chunks(4).collect();
            colors.sort_unstable();
            colors.dedup();
            colors.len()
        };
        assert!(colors(&photo_of(1)) > 1000);
        assert!(colors(&texture(640, 360)) > 8);
        assert!(colors(&pattern(640, 360, 0)) < 300);
        assert!(colors(&fractal(320, 180, 3)) > 1000);
        assert_ne!(fractal(64, 36, 3), fractal(64, 36, 4));
        assert_eq!(photo_of(1).len(), 64 * 48 * 4);
    }
}
