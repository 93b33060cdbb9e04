//! What each display command costs, at the encoder and at the DTU: a time to
//! start with, and one for each pixel (`make bench-commands`). The table is
//! that of SLIM's paper (Schmidt, Lam, Northcutt: "The interactive performance
//! of SLIM", SOSP 1999, table 5).
//!
//! Each command is made from, and drawn as, several sizes of a picture that
//! comes only once, so that no payload repeats an earlier one. The median of
//! each size counts; a line is laid through them by the least squares of the
//! relative errors, for else the largest size alone would decide.

#[path = "commands/drawn.rs"]
mod drawn;
#[path = "commands/fit.rs"]
mod fit;

use afterglow_server::display::motion;
use afterglow_server::display::packing::Packer;
use afterglow_server::display::sampling;
use afterglow_server::display::tiles::{DirtyTiles, Tile};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::ids::Size;
use bytes::Bytes;
use drawn::Drawn;
use fit::Line;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The picture in which all commands draw.
const SIZE_PX: (u16, u16) = (1280, 720);
/// Where they draw in it, but for COPY's source.
const PLACE_PX: (u16, u16) = (64, 96);
/// What is drawn, width and height. The last has nearly as many pixels as a
/// SET may.
const SIZES_PX: [(u16, u16); 4] = [(16, 16), (64, 64), (256, 256), (640, 360)];
/// What moves is not looked for in less than eight tiles.
const MOVED_SIZES_PX: [(u16, u16); 4] = [(128, 128), (192, 192), (256, 256), (640, 360)];
/// How far up it moved: a line of text.
const MOVED_PX: u16 = 13;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Raw,
    Palette,
    Predicted,
    Bitmap,
    Fill,
    Copy,
    Cscs,
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Raw, "SET, raw"),
    (Kind::Palette, "SET, 12 colours"),
    (Kind::Predicted, "SET, a photograph"),
    (Kind::Bitmap, "BITMAP"),
    (Kind::Fill, "FILL"),
    (Kind::Copy, "COPY"),
    (Kind::Cscs, "CSCS, 4:2:0"),
];

/// The session's side and the DTU's, of one attachment.
struct Pair {
    next: Framebuffer,
    packer: Packer,
    dtu: Framebuffer,
    unpacker: Unpacker,
    samples: Vec<u8>,
    drawn: Drawn,
}

/// How long one command took: at the encoder, if that ever makes it, and at
/// the DTU.
type Times = (Option<Duration>, Duration);

impl Pair {
    fn new() -> Self {
        let size = Size::new(SIZE_PX.0, SIZE_PX.1).expect("a size that a screen may have");
        Pair {
            next: Framebuffer::new(size),
            packer: Packer::new(),
            dtu: Framebuffer::new(size),
            unpacker: Unpacker::new(),
            samples: Vec::new(),
            drawn: Drawn::default(),
        }
    }

    /// Has something new in the rectangle, and brings it to the DTU.
    fn once(&mut self, kind: Kind, rect: &Rect) -> Times {
        match kind {
            Kind::Raw | Kind::Predicted | Kind::Cscs => self.drawn.photo(&mut self.next, rect),
            Kind::Palette => self.drawn.runs(&mut self.next, rect, 12),
            Kind::Bitmap => self.drawn.runs(&mut self.next, rect, 2),
            Kind::Fill => self.drawn.runs(&mut self.next, rect, 1),
            Kind::Copy => self.scroll(rect),
        }
        let began = Instant::now();
        let command = black_box(self.command(kind, rect));
        let encoded = (kind != Kind::Raw).then(|| began.elapsed());
        assert!(is_of(kind, &command), "{kind:?}, {rect:?}: {command:?}");
        let began = Instant::now();
        self.dtu.apply(black_box(&command), &mut self.unpacker).expect("a command of ours");
        let drawn = began.elapsed();
        if let Command::Copy { rect, .. } | Command::Set { rect, .. } = &command {
            let same = |row| self.dtu.row(rect, row) == self.next.row(rect, row);
            assert!((0..rect.height_px).all(same), "{kind:?}: another picture");
        }
        (encoded, drawn)
    }

    /// Both have the same text, and then ours moves up.
    fn scroll(&mut self, rect: &Rect) {
        self.drawn.runs(&mut self.next, rect, 6);
        for row in 0..rect.height_px {
            self.dtu.row_mut(rect, row).copy_from_slice(self.next.row(rect, row));
        }
        let moved = Rect { height_px: rect.height_px - MOVED_PX, ..*rect };
        self.next.copy(&moved, rect.x_px, rect.y_px + MOVED_PX);
        let new = Rect { y_px: rect.bottom_px() as u16 - MOVED_PX, height_px: MOVED_PX, ..*rect };
        self.drawn.runs(&mut self.next, &new, 6);
    }

    fn command(&mut self, kind: Kind, rect: &Rect) -> Command {
        match kind {
            // The encoder sends none that is larger than four pixels.
            Kind::Raw => {
                let rows: Vec<u8> =
                    (0..rect.height_px).flat_map(|row| self.next.row(rect, row)).copied().collect();
                Command::Set { rect: *rect, coding: Coding::Raw, payload: Bytes::from(rows) }
            }
            Kind::Copy => {
                let mut dirty = DirtyTiles::new(self.next.size());
                dirty.touching(rect).for_each(|index| dirty.mark(index, Tile::Changed));
                motion::find(&self.dtu, &self.next, &dirty).expect("it is found")
            }
            Kind::Cscs => {
                let planes = sampling::sample(&self.next, rect, &mut self.samples);
                self.packer.cscs(rect, planes, &self.samples)
            }
            Kind::Palette | Kind::Predicted | Kind::Bitmap | Kind::Fill => {
                self.packer.pack(&self.next, rect)
            }
        }
    }
}

/// True if the command is what was to be measured.
fn is_of(kind: Kind, command: &Command) -> bool {
    match (kind, command) {
        (Kind::Raw, Command::Set { coding, .. }) => *coding == Coding::Raw,
        (Kind::Palette, Command::Set { coding, .. }) => *coding == Coding::Palette,
        (Kind::Predicted, Command::Set { coding, .. }) => *coding == Coding::Predicted,
        (Kind::Bitmap, Command::Bitmap { .. }) | (Kind::Fill, Command::Fill { .. }) => true,
        (Kind::Copy, Command::Copy { .. }) | (Kind::Cscs, Command::Cscs { .. }) => true,
        _ => false,
    }
}

/// The lines of one kind, at the encoder and at the DTU.
fn measure(kind: Kind, each: Duration, times_min: usize) -> (Option<Line>, Line) {
    let sizes = if kind == Kind::Copy { MOVED_SIZES_PX } else { SIZES_PX };
    let (mut encoder, mut dtu) = (Vec::new(), Vec::new());
    for (width_px, height_px) in sizes {
        let rect = Rect::new(PLACE_PX.0, PLACE_PX.1, width_px, height_px);
        let mut pair = Pair::new();
        // The first one has to get its memory.
        pair.once(kind, &rect);
        let (mut encoded, mut drawn) = (Vec::new(), Vec::new());
        let began = Instant::now();
        while drawn.len() < times_min || began.elapsed() < each {
            let times = pair.once(kind, &rect);
            encoded.extend(times.0);
            drawn.push(times.1);
        }
        let pixels = f64::from(rect.pixels());
        encoder.extend(fit::median_ns(encoded).map(|ns| (pixels, ns)));
        dtu.extend(fit::median_ns(drawn).map(|ns| (pixels, ns)));
    }
    ((!encoder.is_empty()).then(|| Line::through(&encoder)), Line::through(&dtu))
}

fn main() {
    // Without this word cargo only wants to know whether it runs.
    let measured = std::env::args().any(|word| word == "--bench");
    let (each, times_min) =
        if measured { (Duration::from_millis(500), 20) } else { Default::default() };
    println!("| command | encoder: start, µs | ns a pixel | DTU: start, µs | ns a pixel |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (kind, name) in KINDS {
        let (encoder, dtu) = measure(kind, each, times_min.max(1));
        let encoder = encoder.map_or("– | –".to_owned(), |line| line.to_string());
        println!("| {name} | {encoder} | {dtu} |");
    }
}
