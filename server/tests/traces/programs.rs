//! The programs that are recorded, and what is typed into them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// One of them.
pub struct Program {
    /// The trace's name.
    pub name: &'static str,
    /// The screen's width and height.
    pub size_px: (u16, u16),
    /// What starts it; its files go into the directory.
    pub command: fn(&Path) -> Command,
    /// What is typed, one key after the other.
    pub keys: &'static str,
    /// It says when it is ready, and then waits for [`GO`].
    pub waits: bool,
    /// No two frames are nearer to each other.
    pub every_ms: u64,
    /// It is recorded for so long...
    pub lasts_ms: u64,
    /// ...or until there are so many frames.
    pub frames_max: usize,
}

/// The file that those wait for which are to begin.
pub const GO: &str = "go";
/// Down line by line, a page, a search, a new line that is written, and back.
const EDITOR_KEYS: &str = "jjjjLjjjjjjz+jjj/Digest\nnOlet more = written + here;\x1bjddu{{{";
/// When the first key is pressed: whatever is typed into has to be there.
const TYPES_FROM_MS: u64 = 2_000;
const TYPES_EVERY_MS: u64 = 80;

/// In the order of [`crate::trace::NAMES`].
pub const PROGRAMS: [Program; 5] = [
    Program {
        name: "terminal",
        size_px: (640, 400),
        command: terminal,
        keys: "",
        waits: false,
        every_ms: 20,
        lasts_ms: 3_000,
        frames_max: 50,
    },
    Program {
        name: "editor",
        size_px: (640, 400),
        command: editor,
        keys: EDITOR_KEYS,
        waits: false,
        every_ms: 20,
        lasts_ms: TYPES_FROM_MS + TYPES_EVERY_MS * (EDITOR_KEYS.len() as u64 + 4),
        frames_max: 80,
    },
    // A photograph cannot be made small, so the screen is.
    Program {
        name: "pages",
        size_px: (400, 256),
        command: |dir| drawing(dir, "pages", 4),
        keys: "",
        waits: true,
        every_ms: 20,
        lasts_ms: 4_500,
        frames_max: 10,
    },
    Program {
        name: "drag",
        size_px: (640, 400),
        command: |dir| drawing(dir, "drag", 1_000),
        keys: "",
        waits: true,
        every_ms: 20,
        lasts_ms: 2_000,
        frames_max: 40,
    },
    Program {
        name: "video",
        size_px: (448, 288),
        command: |dir| drawing(dir, "video", 1_000),
        keys: "",
        waits: true,
        every_ms: 20,
        lasts_ms: 2_000,
        frames_max: 22,
    },
];

/// What a build says, a few lines at a time, and then a long text at once.
fn terminal(dir: &Path) -> Command {
    let (slow, quick, script) = (dir.join("slow"), dir.join("quick"), dir.join("script"));
    write(&slow, &lines(1, 60));
    write(&quick, &lines(2, 4_000));
    let text = "while read -r one && read -r two; do printf '%s\\n%s\\n' \"$one\" \"$two\"; \
                sleep 0.04; done < \"$1\"; cat \"$2\"; exec sleep 60";
    write(&script, text);
    let mut command = xterm();
    command.arg("sh").arg(script).arg(slow).arg(quick);
    command
}

/// A program's source in vi, in colours.
fn editor(dir: &Path) -> Command {
    let source = dir.join("truth.rs");
    write(&source, include_str!("../../../wire/src/truth.rs"));
    let mut command = xterm();
    // Nothing of the user's, and no files beside the one.
    command.args(["vim", "-u", "NONE", "-i", "NONE", "-N", "-n", "-c", "syntax on"]).arg(source);
    command
}

/// A terminal that fills the screen and has nothing around its letters.
fn xterm() -> Command {
    let mut command = Command::new("xterm");
    command.args(["-b", "0", "+sb", "-fn", "fixed", "-geometry", "106x30+0+0", "-bw", "0"]);
    command.args(["-fg", "black", "-bg", "white", "-e"]);
    command
}

/// What the bench of the display draws.
fn drawing(dir: &Path, what: &str, amount: u32) -> Command {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_afterglow-server"));
    let mut command = Command::new(programs.with_file_name("afterglow-test-drawing"));
    command.arg(what).arg(amount.to_string()).arg(dir.join(GO));
    command
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Lines as a build has them, some of their words in colour: the same in every
/// run, and each another.
fn lines(seed: u64, count: u64) -> String {
    const WORDS: [&str; 12] = [
        "server", "of", "display", "warning", "the", "picture", "is", "session", "and", "in",
        "unused", "network",
    ];
    let mut text = String::new();
    for line in 0..count {
        // Writing into a string does not fail.
        let _ = write!(text, "\x1b[32m{seed}.{line:05}\x1b[0m");
        let mut drawn = seed << 32 | line;
        for _ in 0..5 + line % 9 {
            drawn = drawn.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let _ = write!(text, " {}", WORDS[(drawn >> 40) as usize % WORDS.len()]);
        }
        text.push('\n');
    }
    text
}

/// Types, a key at a time.
pub struct Typist {
    connection: RustConnection,
    keys: std::str::Chars<'static>,
    at_ms: u64,
}

impl Typist {
    /// Types these, over a connection of its own.
    pub fn new(connection: RustConnection, keys: &'static str) -> Self {
        Typist { connection, keys: keys.chars(), at_ms: TYPES_FROM_MS }
    }

    /// When the next key is to be pressed, if there is one.
    pub fn next_at_ms(&self) -> Option<u64> {
        (!self.keys.as_str().is_empty()).then_some(self.at_ms)
    }

    /// Presses the keys that are due.
    pub fn type_until(&mut self, now_ms: u64) {
        while self.next_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.keys.next().into_iter().for_each(|letter| self.press(letter));
            self.at_ms += TYPES_EVERY_MS;
        }
    }

    /// Presses the key that has this letter, with Shift if it takes that.
    fn press(&self, letter: char) {
        const SHIFT: u8 = 50;
        let symbol = match letter {
            '\n' => 0xff0d,
            '\x1b' => 0xff1b,
            // Latin 1 has its own numbers.
            letter => letter as u32,
        };
        let (low, high) =
            (self.connection.setup().min_keycode, self.connection.setup().max_keycode);
        let mapping = self.connection.get_keyboard_mapping(low, high - low + 1).expect("a request");
        let mapping = mapping.reply().expect("a keyboard");
        let columns = usize::from(mapping.keysyms_per_keycode);
        let keys = (low..=high).zip(mapping.keysyms.chunks_exact(columns));
        let found = keys.filter_map(|(key, symbols)| {
            let column = symbols.iter().take(2).position(|found| *found == symbol)?;
            Some((key, column == 1))
        });
        let (key, shifted) = found.into_iter().next().expect("a key for each letter");
        let shift = shifted.then_some(SHIFT);
        for (kind, keys) in
            [(KEY_PRESS_EVENT, [shift, Some(key)]), (KEY_RELEASE_EVENT, [Some(key), shift])]
        {
            for key in keys.into_iter().flatten() {
                self.connection
                    .xtest_fake_input(kind, key, 0, x11rb::NONE, 0, 0, 0)
                    .expect("XTEST");
            }
        }
        self.connection.flush().expect("an X server that lives");
    }
}
