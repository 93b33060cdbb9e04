//! What plays is sent inexactly, and only that; at rest all is exact.

use super::*;
use proptest::test_runner::TestRunner;

/// As long as a tile may be inexact after its last change.
const REFINED_AFTER_MS: u64 = 200;

/// A picture of a Julia set, which changes everywhere with its number.
fn fractal(rect: &Rect, number: u32) -> Vec<u8> {
    let (width, height) = (f32::from(rect.width_px), f32::from(rect.height_px));
    let turn = 0.9 + number as f32 * 0.012;
    let (c_re, c_im) = (0.7885 * turn.cos(), 0.7885 * turn.sin());
    let color = |x: u16, y: u16| {
        let mut re = (f32::from(x) - width / 2.0) / height * 2.6;
        let mut im = (f32::from(y) - height / 2.0) / height * 2.6;
        let mut steps = 0;
        while re * re + im * im < 16.0 && steps < 64 {
            (re, im) = (re * re - im * im + c_re, 2.0 * re * im + c_im);
            steps += 1;
        }
        if steps == 64 {
            return [0; 4];
        }
        let smooth = steps as f32 + 1.0 - (re * re + im * im).ln().log2().max(0.0);
        let wave = |phase: f32| (128.0 + 120.0 * (smooth * 0.9 + phase).sin()) as u8;
        [wave(4.2), wave(2.1), wave(0.0), 0]
    };
    let rows = 0..rect.height_px;
    rows.flat_map(|y| (0..rect.width_px).flat_map(move |x| color(x, y))).collect()
}

/// What a camera sees while it turns: shades, and its sensor's noise.
fn photo(rect: &Rect, number: u32) -> Vec<u8> {
    let grain = noise(rect, number.wrapping_mul(7919).wrapping_add(1));
    let mut pixels = Vec::with_capacity(grain.len());
    for (index, grain) in grain.chunks_exact(PIXEL_BYTES).enumerate() {
        let (x, y) = (index % usize::from(rect.width_px), index / usize::from(rect.width_px));
        let (x, y) = (x as f32 + number as f32 * 1.7, y as f32 + number as f32 * 0.6);
        let shade = 110.0 + 50.0 * (x * 0.021).sin() + 40.0 * (y * 0.033 + x * 0.011).cos();
        let detail = 20.0 * (x * 0.37).sin() * (y * 0.29).cos();
        let value = |tint: f32, grain: u8| {
            (shade * tint + detail + f32::from(grain % 8) - 3.5).clamp(0.0, 255.0) as u8
        };
        pixels.extend([value(0.8, grain[0]), value(1.0, grain[1]), value(0.9, grain[2]), 0]);
    }
    pixels
}

type Film = fn(&Rect, u32) -> Vec<u8>;

impl Pair {
    /// Shows pictures of a film in a rectangle; gives the bytes of each frame.
    fn play(&mut self, film: Film, rect: &Rect, numbers: std::ops::Range<u32>) -> Vec<usize> {
        let mut frames = Vec::new();
        for number in numbers {
            self.screen.set(rect, &film(rect, number));
            self.follow(&[*rect], FRAME_MS);
            frames.push(self.payload_bytes());
        }
        frames
    }

    /// Lets all come to rest, as the painter does; gives the bytes that took.
    fn rest(&mut self) -> usize {
        let mut bytes = 0;
        for _ in 0..3 {
            let Some(at_ms) = self.encoder.refines_at_ms() else { break };
            assert!(at_ms <= self.now_ms + REFINED_AFTER_MS);
            self.follow(&[], at_ms.saturating_sub(self.now_ms));
            bytes += self.payload_bytes();
            assert!(!self.kinds().contains(&"CSCS"), "at rest: {:?}", self.kinds());
        }
        assert_eq!(self.encoder.refines_at_ms(), None);
        assert!(!self.encoder.is_behind(self.now_ms));
        assert!(self.dtu == self.screen, "at rest the DTU's picture is the screen's");
        bytes
    }
}

#[test]
fn a_video_is_sent_inexactly_and_is_exact_as_soon_as_it_rests() {
    let mut pair = Pair::of(Size::new(400, 300).unwrap(), Quality::Auto);
    let video = Rect::new(50, 30, 300, 240);
    pair.play(photo, &video, 0..8);
    assert!(pair.kinds().contains(&"CSCS"), "{:?}", pair.kinds());
    assert!(pair.dtu != pair.screen);
    // Nothing is due before it rests, and then at once.
    let at_ms = pair.encoder.refines_at_ms().expect("something is to become exact");
    assert_eq!(at_ms, pair.now_ms + REFINED_AFTER_MS);
    assert!(!pair.encoder.is_behind(at_ms - 1) && pair.encoder.is_behind(at_ms));
    pair.follow(&[], REFINED_AFTER_MS - 1);
    assert_eq!(pair.commands, []);
    pair.follow(&[], 1);
    assert!(pair.dtu == pair.screen && !pair.encoder.is_behind(pair.now_ms));
    assert_eq!(pair.encoder.refines_at_ms(), None);
}

#[test]
fn a_video_over_a_slow_link_is_one_too() {
    let mut pair = Pair::of(Size::new(300, 300).unwrap(), Quality::Auto);
    let whole = pair.whole();
    for number in 0..8 {
        pair.screen.set(&whole, &photo(&whole, number));
        pair.follow(&[whole], 450);
    }
    assert!(pair.kinds().contains(&"CSCS"), "{:?}", pair.kinds());
    pair.rest();
}

#[test]
fn pictures_with_pauses_are_exact_and_so_is_what_changes_a_few_times() {
    let mut pair = Pair::of(Size::new(300, 300).unwrap(), Quality::Auto);
    let whole = pair.whole();
    for (number, after_ms) in [(1, 40), (2, 40), (3, 600), (4, 600), (5, 600), (6, 600), (7, 600)] {
        pair.screen.set(&whole, &photo(&whole, number));
        pair.follow(&[whole], after_ms);
        assert!(pair.dtu == pair.screen && !pair.kinds().contains(&"CSCS"));
    }
}

#[test]
fn lossless_is_exact_in_every_frame() {
    for film in [fractal, photo] {
        let mut pair = Pair::new(Size::new(320, 200).unwrap());
        let whole = pair.whole();
        for number in 0..12 {
            pair.screen.set(&whole, &film(&whole, number));
            pair.send(&[whole]);
            assert!(!pair.kinds().contains(&"CSCS"));
        }
        assert_eq!(pair.encoder.refines_at_ms(), None);
    }
}

#[test]
fn who_switches_to_lossless_has_it_with_the_next_frame() {
    let mut pair = Pair::of(Size::new(320, 200).unwrap(), Quality::Auto);
    let whole = pair.whole();
    pair.play(photo, &whole, 0..8);
    assert!(pair.dtu != pair.screen);
    pair.encoder.set_quality(Quality::Lossless);
    assert!(pair.encoder.is_behind(pair.now_ms));
    pair.screen.set(&whole, &photo(&whole, 8));
    pair.send(&[whole]);
    assert!(!pair.kinds().contains(&"CSCS"));
    pair.encoder.set_quality(Quality::Auto);
    pair.play(photo, &whole, 9..20);
    assert!(pair.kinds().contains(&"CSCS"));
}

#[test]
fn text_in_a_video_is_exact_in_every_frame_however_often_it_changes() {
    let mut pair = Pair::of(Size::new(640, 360).unwrap(), Quality::Auto);
    let whole = pair.whole();
    // Whole tiles, for the unit is the tile.
    let (plain, smoothed) = (Rect::new(64, 64, 256, 64), Rect::new(352, 64, 256, 96));
    for number in 0..12 {
        pair.screen.set(&whole, &photo(&whole, number));
        pair.screen.set(&plain, &text(&plain, number + 7));
        // Edges of letters have shades between their colour and the ground's.
        let mut letters = text(&smoothed, number + 99);
        for at in (PIXEL_BYTES..letters.len()).step_by(3 * PIXEL_BYTES) {
            let shade = 20 + (at / 12 % 16 * 13) as u8;
            letters[at..at + 3].copy_from_slice(&[shade, shade, shade / 2 + 10]);
        }
        pair.screen.set(&smoothed, &letters);
        pair.follow(&[whole], FRAME_MS);
        for rect in [&plain, &smoothed] {
            assert!(equal(&pair.dtu, &pair.screen, rect), "frame {number}");
        }
    }
    assert!(pair.kinds().contains(&"CSCS"), "{:?}", pair.kinds());
    pair.rest();
}

#[test]
fn a_photograph_that_is_scrolled_stays_exact_so_that_it_can_be_copied() {
    let mut pair = Pair::of(Size::new(640, 480).unwrap(), Quality::Auto);
    let whole = pair.whole();
    let page = Rect::new(0, 0, 640, 2000);
    let content = photo(&page, 3);
    for step in 0..20 {
        let start = step * 40 * pair.screen.stride();
        pair.screen.set(&whole, &content[start..start + 480 * 640 * PIXEL_BYTES]);
        pair.send(&[whole]);
        if step > 0 {
            assert!(pair.kinds().contains(&"COPY"), "step {step}: {:?}", pair.kinds());
        }
    }
}

#[test]
fn a_video_takes_less_than_half_of_what_it_takes_exactly() {
    let size = Size::new(640, 360).unwrap();
    for (name, film) in [("fractal", fractal as Film), ("photo", photo)] {
        let [(lossless, _), (auto, refined)] = [Quality::Lossless, Quality::Auto].map(|quality| {
            let mut pair = Pair::of(size, quality);
            let whole = pair.whole();
            pair.play(film, &whole, 0..5);
            let frames = pair.play(film, &whole, 5..30);
            (frames.iter().sum::<usize>(), pair.rest())
        });
        println!(
            "{name}: 25 frames of {size} are {lossless} bytes, {auto} with auto \
             and {refined} once it rests: {:.2} times less",
            lossless as f64 / auto as f64
        );
        assert!(auto * 2 < lossless, "{name}: {auto} of {lossless}");
    }
}

/// The tiles of few colours that the DTU has otherwise than the screen.
fn wrong_text(pair: &Pair) -> Vec<Rect> {
    let tiles = DirtyTiles::new(pair.screen.size());
    let few = |rect: &Rect| {
        let rows =
            (0..rect.height_px).flat_map(|row| pair.screen.row(rect, row).as_chunks::<4>().0);
        let mut colors: Vec<_> = rows.collect();
        colors.sort_unstable();
        colors.dedup();
        colors.len() <= 16
    };
    let wrong = |rect: &Rect| few(rect) && !equal(&pair.dtu, &pair.screen, rect);
    (0..tiles.total()).map(|index| tiles.rect(index)).filter(wrong).collect()
}

/// Something that happens again and again at even times, under a quality.
type Scene = (Vec<Happening>, u32, u64, Quality);

/// Mostly such as plays, and with text in it.
fn scenes() -> impl Strategy<Value = Vec<Scene>> {
    let film = (0..60u16, 0..60u16, 130..400u16, 130..400u16, any::<u32>()).prop_map(
        |(x_px, y_px, width_px, height_px, seed)| {
            Happening::Noise(Rect::new(x_px, y_px, width_px, height_px), seed)
        },
    );
    let film = prop::collection::vec(film, 0..2);
    let more = prop::collection::vec(happenings(), 0..3);
    let all = (film, more).prop_map(|(film, more)| [film, more].concat());
    let quality = prop_oneof![4 => Just(Quality::Auto), 1 => Just(Quality::Lossless)];
    prop::collection::vec((all, 1..9u32, 5..300u64, quality), 1..6)
}

/// Shows a scene; gives how many of its frames were inexact.
fn show(pair: &mut Pair, (happenings, repeated, every_ms, quality): Scene) -> usize {
    pair.encoder.set_quality(quality);
    let mut inexact = 0;
    for number in 0..repeated {
        let mut damage = Vec::new();
        for happening in &happenings {
            damage.extend(happen(pair, &happening.again(number)));
        }
        let whole = pair.whole();
        if happenings.iter().any(|happening| matches!(happening, Happening::Resize(..))) {
            damage = vec![whole];
        }
        damage = damage.iter().filter_map(|rect| rect.intersection(&whole)).collect();
        pair.follow(&damage, every_ms);
        assert_eq!(wrong_text(pair), []);
        let has_inexact = pair.kinds().contains(&"CSCS");
        assert!(quality == Quality::Auto || (!has_inexact && pair.dtu == pair.screen));
        inexact += usize::from(has_inexact);
    }
    inexact
}

#[test]
fn with_auto_text_is_always_exact_and_all_is_once_it_rests() {
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() };
    let inexact = std::cell::Cell::new(0);
    let strategy = (130..420u16, 130..420u16, scenes());
    let ran = TestRunner::new(config).run(&strategy, |(width, height, scenes)| {
        let mut pair = Pair::of(Size::new(width, height).unwrap(), Quality::Auto);
        for scene in scenes {
            inexact.set(inexact.get() + show(&mut pair, scene));
        }
        pair.rest();
        Ok(())
    });
    ran.unwrap();
    assert!(inexact.get() > 30, "only {} frames were inexact", inexact.get());
}
