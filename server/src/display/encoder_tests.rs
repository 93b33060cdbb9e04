//! Whatever happens on the screen, the commands give exactly its picture.

use super::*;
use afterglow_wire::coding::Unpacker;
use proptest::prelude::*;

#[path = "video_tests.rs"]
mod video;

/// From one frame to the next.
const FRAME_MS: u64 = 40;

/// A screen, its encoder, and a DTU that follows the commands.
struct Pair {
    screen: Framebuffer,
    encoder: Encoder,
    dtu: Framebuffer,
    unpacker: Unpacker,
    commands: Vec<Command>,
    now_ms: u64,
}

/// A screen as the X server gives it: the fourth bytes are anything.
struct Captured<'a>(&'a Framebuffer);

impl Screen for Captured<'_> {
    fn read(&self, rect: &Rect, pixels: &mut [u8]) {
        let rows: Vec<u8> =
            (0..rect.height_px).flat_map(|row| self.0.row(rect, row)).copied().collect();
        pixels.copy_from_slice(&rows);
        for (index, pixel) in pixels.chunks_exact_mut(PIXEL_BYTES).enumerate() {
            pixel[3] = (index * 31) as u8;
        }
    }
}

impl Pair {
    fn new(size: Size) -> Self {
        Pair::of(size, Quality::Lossless)
    }

    fn of(size: Size, quality: Quality) -> Self {
        // The DTU has something else before the first frame.
        let mut dtu = Framebuffer::new(Size::new(50, 60).unwrap());
        dtu.pixels_mut().fill(77);
        let (screen, encoder) = (Framebuffer::new(size), Encoder::new(size, quality));
        let (unpacker, commands) = (Unpacker::new(), Vec::new());
        let mut pair = Pair { screen, encoder, dtu, unpacker, commands, now_ms: 0 };
        pair.send(&[Rect::whole(size)]);
        pair
    }

    /// Captures these rectangles, sends the frame and compares.
    fn send(&mut self, damage: &[Rect]) {
        self.follow(damage, FRAME_MS);
        assert!(self.dtu == self.screen, "the DTU's picture is another: {:?}", self.kinds());
        assert!(!self.encoder.is_behind(self.now_ms));
    }

    /// Captures these rectangles some time after the last frame, and sends the
    /// frame; the encoder knows what the DTU has then.
    fn follow(&mut self, damage: &[Rect], after_ms: u64) {
        self.now_ms += after_ms;
        self.commands = self.encoder.encode(damage, &Captured(&self.screen), self.now_ms);
        for command in &self.commands {
            self.dtu.apply(command, &mut self.unpacker).unwrap();
        }
        assert!(self.dtu == *self.encoder.shown(), "it has something else: {:?}", self.kinds());
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kind = |command: &Command| match command {
            Command::Set { .. } => "SET",
            Command::Bitmap { .. } => "BITMAP",
            Command::Cscs { .. } => "CSCS",
            Command::Fill { .. } => "FILL",
            Command::Copy { .. } => "COPY",
            Command::Cursor(_) => "CURSOR",
            Command::Size(_) => "SIZE",
            Command::Unknown(_) => "unknown",
        };
        self.commands.iter().map(kind).collect()
    }

    fn payload_bytes(&self) -> usize {
        self.commands.iter().map(Command::payload_bytes).sum()
    }

    fn whole(&self) -> Rect {
        Rect::whole(self.screen.size())
    }
}

/// Pixels that no other place has, of a reproducible kind.
fn noise(rect: &Rect, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..rect.pixels()).flat_map(|_| (next() & 0x00ff_ffff).to_le_bytes()).collect()
}

/// Lines of "text": dark marks on a light ground.
fn text(rect: &Rect, seed: u32) -> Vec<u8> {
    let noise = noise(rect, seed);
    noise
        .chunks_exact(PIXEL_BYTES)
        .flat_map(|pixel| if pixel[0] < 60 { [20, 20, 20, 0] } else { [240, 240, 230, 0] })
        .collect()
}

#[test]
fn nothing_changed_is_no_command() {
    let mut pair = Pair::new(Size::new(200, 100).unwrap());
    let whole = pair.whole();
    pair.send(&[whole]);
    assert_eq!(pair.commands, []);
}

#[test]
fn a_small_change_is_a_small_set() {
    let mut pair = Pair::new(Size::new(640, 480).unwrap());
    let glyph = Rect::new(301, 203, 6, 13);
    pair.screen.set(&glyph, &text(&glyph, 5));
    let whole = pair.whole();
    pair.send(&[whole]);
    assert_eq!(pair.kinds(), ["BITMAP"]);
    assert!(pair.payload_bytes() <= 13);
}

#[test]
fn one_colour_is_one_fill() {
    let mut pair = Pair::new(Size::new(1280, 720).unwrap());
    let whole = pair.whole();
    pair.screen.fill(&whole, [10, 20, 30, 0]);
    pair.send(&[whole]);
    assert_eq!(pair.commands, [Command::Fill { rect: whole, color: [10, 20, 30, 0] }]);
}

#[test]
fn scrolled_text_is_a_copy() {
    let mut pair = Pair::new(Size::new(640, 480).unwrap());
    let window = Rect::new(37, 21, 500, 400);
    pair.screen.set(&window, &text(&window, 5));
    pair.send(&[window]);
    for (from_y, to_y) in [(13, 0), (0, 26), (3, 0)] {
        let rect = Rect { y_px: window.y_px + to_y, height_px: 400 - from_y.max(to_y), ..window };
        let (from_x_px, from_y_px) = (rect.x_px, window.y_px + from_y);
        pair.screen.copy(&rect, from_x_px, from_y_px);
        let line_y_px = if to_y == 0 { window.y_px + rect.height_px } else { window.y_px };
        let line = Rect { y_px: line_y_px, height_px: 1, ..rect };
        pair.screen.set(&line, &text(&line, 99 + u32::from(from_y)));
        let whole_text = 500 * 400 / 8;
        pair.send(&[window]);
        assert!(pair.kinds().contains(&"COPY"), "{:?}", pair.kinds());
        assert!(pair.payload_bytes() < whole_text / 4, "{}", pair.payload_bytes());
    }
}

#[test]
fn a_dragged_window_is_a_copy() {
    let mut pair = Pair::new(Size::new(800, 600).unwrap());
    let background = pair.whole();
    pair.screen.fill(&background, [90, 60, 30, 0]);
    let before = pair.screen.clone();
    let mut window = Rect::new(100, 80, 300, 200);
    let content = noise(&window, 3);
    pair.screen.set(&window, &content);
    pair.send(&[background]);
    for (x_px, y_px) in [(111, 93), (60, 200), (400, 150)] {
        let old = window;
        window = Rect { x_px, y_px, ..window };
        pair.screen = before.clone();
        pair.screen.set(&window, &content);
        pair.send(&[old.union(&window)]);
        assert!(pair.kinds().contains(&"COPY"), "{:?}", pair.kinds());
        assert!(pair.payload_bytes() < 300 * 200, "{}", pair.payload_bytes());
    }
}

#[test]
fn a_picture_too_large_for_a_frame_comes_in_several() {
    let size = Size::new(8192, 1800).unwrap();
    let mut screen = Framebuffer::new(size);
    let whole = Rect::whole(size);
    screen.set(&whole, &noise(&whole, 9));
    let mut encoder = Encoder::new(size, Quality::Lossless);
    let mut dtu = Framebuffer::new(size);
    let mut unpacker = Unpacker::new();
    let mut frames = 0;
    let mut changed = vec![whole];
    while encoder.is_behind(0) {
        let mut bytes = 0;
        for command in encoder.encode(&changed, &Captured(&screen), 0) {
            bytes += command.payload_bytes();
            dtu.apply(&command, &mut unpacker).unwrap();
        }
        assert!(bytes < FRAME_BYTES_MAX);
        changed.clear();
        frames += 1;
    }
    assert!(frames > 1);
    assert!(dtu == screen);
}

#[test]
fn a_frame_keeps_to_what_it_may_come_to_and_nothing_waits_for_ever() {
    let size = Size::new(640, 400).unwrap();
    let mut screen = Framebuffer::new(size);
    let whole = Rect::whole(size);
    let (mut encoder, mut dtu) = (Encoder::new(size, Quality::Lossless), Framebuffer::new(size));
    let mut unpacker = Unpacker::new();
    let tile_bytes = usize::from(TILE_PX * TILE_PX) * PIXEL_BYTES;
    let bytes_max = 20_000;
    encoder.set_frame_bytes_max(bytes_max);
    // The upper half never rests; what changed once below is there soon.
    let upper = Rect::new(0, 0, 640, 192);
    let lower = Rect::new(0, 192, 640, 208);
    let mut frames = 0;
    let mut changed = vec![whole];
    screen.set(&lower, &noise(&lower, 3));
    while (192..400)
        .any(|row| dtu.size() != size || dtu.row(&whole, row) != screen.row(&whole, row))
    {
        frames += 1;
        screen.set(&upper, &noise(&upper, frames));
        let mut bytes = 0;
        for command in encoder.encode(&changed, &Captured(&screen), 0) {
            bytes += command.payload_bytes();
            dtu.apply(&command, &mut unpacker).unwrap();
        }
        assert!(bytes <= bytes_max + 4 * tile_bytes, "{bytes} in frame {frames}");
        changed = vec![upper];
        assert!(frames < 60, "the lower half never comes");
    }
    assert!(frames >= 10, "{frames} frames, of hardly more than they may come to each");
}

#[test]
fn what_somebody_typed_goes_before_a_video_that_the_link_cannot_follow() {
    let size = Size::new(640, 400).unwrap();
    let mut pair = Pair::new(size);
    pair.encoder.set_frame_bytes_max(20_000);
    let (whole, letters) = (Rect::whole(size), Rect::new(320, 224, 64, 32));
    let mut typed = text(&letters, 1);
    for frame in 1..60 {
        let types = frame % 5 == 0;
        if types {
            typed = text(&letters, 2 * frame);
        }
        pair.screen.set(&whole, &noise(&whole, 2 * frame));
        pair.screen.set(&letters, &typed);
        pair.follow(&[whole], FRAME_MS);
        let same = (0..32).all(|row| pair.dtu.row(&letters, row) == pair.screen.row(&letters, row));
        // What changes all the time is not known before it did.
        assert!(same || !types || frame < 8, "frame {frame} has nothing of it");
    }
}

#[test]
fn what_reaches_outside_is_cut_and_whole_tiles_are_read() {
    let size = Size::new(70, 64).unwrap();
    let mut screen = Framebuffer::new(size);
    let mut encoder = Encoder::new(size, Quality::Lossless);
    encoder.encode(&[], &Captured(&screen), 0);
    screen.fill(&Rect::whole(size), [5; 4]);
    let commands = encoder.encode(&[Rect::new(69, 40, 9, 90)], &Captured(&screen), 0);
    let rect = Rect::new(64, 32, 6, 32);
    assert_eq!(commands, [Command::Fill { rect, color: [5, 5, 5, 0] }]);
    assert_eq!(encoder.encode(&[Rect::new(80, 80, 3, 3)], &Captured(&screen), 0), []);
}

/// Something that happens on a screen; coordinates are cut to its size.
#[derive(Debug, Clone)]
enum Happening {
    Noise(Rect, u32),
    Text(Rect, u32),
    Fill(Rect, u8),
    Move(Rect, u16, u16),
    Resize(u16, u16),
}

impl Happening {
    /// What happens when it happens once more; no two numbers are alike.
    fn again(&self, number: u32) -> Self {
        match self {
            Happening::Noise(rect, seed) => Happening::Noise(*rect, seed.wrapping_add(2 * number)),
            Happening::Text(rect, seed) => Happening::Text(*rect, seed.wrapping_add(2 * number)),
            other => other.clone(),
        }
    }
}

fn rects() -> impl Strategy<Value = Rect> {
    (0..300u16, 0..300u16, 1..300u16, 1..300u16).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h))
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (rects(), any::<u32>()).prop_map(|(rect, seed)| Happening::Noise(rect, seed)),
        (rects(), any::<u32>()).prop_map(|(rect, seed)| Happening::Text(rect, seed)),
        (rects(), any::<u8>()).prop_map(|(rect, color)| Happening::Fill(rect, color)),
        (rects(), 0..300u16, 0..300u16).prop_map(|(rect, x, y)| Happening::Move(rect, x, y)),
        (16..320u16, 16..320u16).prop_map(|(w, h)| Happening::Resize(w, h)),
    ]
}

/// Lets it happen; gives what it touched.
fn happen(pair: &mut Pair, happening: &Happening) -> Option<Rect> {
    let whole = pair.whole();
    match happening {
        Happening::Noise(rect, seed) => {
            let rect = rect.intersection(&whole)?;
            pair.screen.set(&rect, &noise(&rect, *seed));
            Some(rect)
        }
        Happening::Text(rect, seed) => {
            let rect = rect.intersection(&whole)?;
            pair.screen.set(&rect, &text(&rect, *seed));
            Some(rect)
        }
        Happening::Fill(rect, color) => {
            let rect = rect.intersection(&whole)?;
            pair.screen.fill(&rect, [*color, 0, 9, 0]);
            Some(rect)
        }
        Happening::Move(rect, x_px, y_px) => {
            let to = rect.intersection(&whole)?;
            let (from_x_px, from_y_px) = (
                *x_px.min(&(whole.width_px - to.width_px)),
                *y_px.min(&(whole.height_px - to.height_px)),
            );
            pair.screen.copy(&to, from_x_px, from_y_px);
            Some(to)
        }
        Happening::Resize(width, height) => {
            let size = Size::new(*width, *height).unwrap();
            pair.screen.resize(size);
            pair.encoder.resize(size);
            Some(Rect::whole(size))
        }
    }
}

#[test]
fn what_the_dtu_has_wrong_is_sent_again_whatever_else_happens() {
    let mut pair = Pair::new(Size::new(300, 200).unwrap());
    let whole = pair.whole();
    let pixels = noise(&whole, 5);
    pair.screen.set(&whole, &pixels);
    pair.send(&[whole]);
    pair.dtu.pixels_mut()[..400].fill(1);
    let wrong = Rect::new(0, 0, 128, 64);
    pair.encoder.distrust(&wrong);
    assert!(pair.encoder.is_behind(pair.now_ms));
    // Nothing may be copied from there, though the screen scrolled.
    let moved = Rect::new(0, 80, 300, 120);
    let pixels = pixels[..300 * 120 * PIXEL_BYTES].to_vec();
    pair.screen.set(&moved, &pixels);
    pair.send(&[moved]);
    assert!(!pair.kinds().contains(&"COPY"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_dtus_picture_is_the_screens_after_every_frame(
        width in 16..320u16,
        height in 16..320u16,
        frames in prop::collection::vec(prop::collection::vec(happenings(), 0..4), 1..8),
    ) {
        let mut pair = Pair::new(Size::new(width, height).unwrap());
        for frame in frames {
            let mut damage: Vec<Rect> =
                frame.iter().filter_map(|happening| happen(&mut pair, happening)).collect();
            // What was damaged before the screen shrank is cut, as X does.
            let whole = pair.whole();
            damage = damage.iter().filter_map(|rect| rect.intersection(&whole)).collect();
            if frame.iter().any(|happening| matches!(happening, Happening::Resize(..))) {
                damage = vec![whole];
            }
            pair.send(&damage);
        }
    }
}
