//! Comparing a picture with its golden.

use afterglow_client::render::readback::Pixels;
use image::{Rgb, RgbImage};
use std::path::PathBuf;

/// How far a picture may be from its golden.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// For text only, whose edges are computed in floats: each channel of a
    /// pixel may be off by this much.
    Text { channel_max: u8 },
}

/// Fails unless the picture is its golden. Then `NAME.actual.png` is beside
/// it, and `NAME.difference.png`: expected, actual and difference side by
/// side.
#[track_caller]
pub fn check(name: &str, actual: &Pixels, tolerance: Tolerance) {
    let actual = rgb(actual);
    let path = |suffix: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/snapshots");
        PathBuf::from(folder).join(format!("{name}{suffix}.png"))
    };
    if std::env::var_os("AFTERGLOW_RECORD_SNAPSHOTS").is_some_and(|value| value == "1") {
        save(&actual, &path(""));
        return;
    }
    let golden = image::open(path("")).unwrap_or_else(|error| {
        save(&actual, &path(".actual"));
        panic!("{name} has no golden ({error}); record it with AFTERGLOW_RECORD_SNAPSHOTS=1");
    });
    let golden = golden.to_rgb8();
    let allowed = match tolerance {
        Tolerance::Exact => 0,
        Tolerance::Text { channel_max } => channel_max,
    };
    let (differing, worst) = differing(&golden, &actual, allowed);
    if differing > 0 {
        save(&actual, &path(".actual"));
        save(&side_by_side(&golden, &actual), &path(".difference"));
        panic!(
            "{name}: {differing} pixels are not as expected (by {worst} at most); see {}",
            path(".difference").display()
        );
    }
    for stale in [path(".actual"), path(".difference")] {
        // Mostly there is none.
        let _ = std::fs::remove_file(stale);
    }
}

fn rgb(pixels: &Pixels) -> RgbImage {
    let bytes = pixels.bytes.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    RgbImage::from_raw(pixels.width_px, pixels.height_px, bytes).expect("as many as it says")
}

fn save(picture: &RgbImage, path: &PathBuf) {
    use image::ImageEncoder;
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let file = std::fs::File::create(path).unwrap();
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
    let (width, height) = picture.dimensions();
    encoder.write_image(picture, width, height, image::ExtendedColorType::Rgb8).unwrap();
}

/// How many pixels differ by more than is allowed, and the worst difference.
fn differing(golden: &RgbImage, actual: &RgbImage, allowed: u8) -> (usize, u8) {
    if golden.dimensions() != actual.dimensions() {
        return (usize::MAX, u8::MAX);
    }
    let differences = golden
        .pixels()
        .zip(actual.pixels())
        .map(|(a, b)| a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0));
    differences.fold((0, 0), |(count, worst), difference| {
        (count + usize::from(difference > allowed), worst.max(difference))
    })
}

/// Expected, actual, and where they differ: black where they do not.
fn side_by_side(golden: &RgbImage, actual: &RgbImage) -> RgbImage {
    const GAP_PX: u32 = 4;
    let width = golden.width().max(actual.width());
    let height = golden.height().max(actual.height());
    let mut all = RgbImage::from_pixel(width * 3 + GAP_PX * 2, height, Rgb([255, 0, 255]));
    for (x, y, pixel) in golden.enumerate_pixels() {
        all.put_pixel(x, y, *pixel);
    }
    for (x, y, pixel) in actual.enumerate_pixels() {
        all.put_pixel(x + width + GAP_PX, y, *pixel);
        let expected = golden.get_pixel_checked(x, y).unwrap_or(&Rgb([0, 0, 0]));
        let louder =
            |channel: usize| expected.0[channel].abs_diff(pixel.0[channel]).saturating_mul(8);
        all.put_pixel(x + 2 * (width + GAP_PX), y, Rgb([louder(0), louder(1), louder(2)]));
    }
    all
}

#[test]
fn one_different_pixel_is_found_and_text_may_be_a_little_off() {
    let golden = RgbImage::from_pixel(4, 3, Rgb([10, 20, 30]));
    let mut actual = golden.clone();
    assert_eq!(differing(&golden, &actual, 0), (0, 0));
    actual.put_pixel(3, 2, Rgb([10, 22, 30]));
    assert_eq!(differing(&golden, &actual, 0), (1, 2));
    assert_eq!(differing(&golden, &actual, 2), (0, 2));
    assert_eq!(differing(&golden, &RgbImage::new(3, 4), 9).0, usize::MAX);
    let all = side_by_side(&golden, &actual);
    assert_eq!(all.dimensions(), (20, 3));
    assert_eq!(all.get_pixel(19, 2), &Rgb([0, 16, 0]));
    assert_eq!(all.get_pixel(16, 0), &Rgb([0, 0, 0]));
}
