//! The program that is typed into: it notes every key in a file of its host,
//! keeps all characters in its memory alone, and puts each line into the
//! user's home when Enter is pressed. It says that a line is saved once the
//! home's file system has said so (fsync), never before.

use super::keyboard::{self, ENTER};
use super::page::{Page, SIZE_PX};
use crate::bench::pattern::random;
use crate::events::now_us;
use crate::squares::checksum;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, InputFocus,
    KeyButMask, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// How often a page is drawn.
pub const PAGE_EVERY: Duration = Duration::from_millis(20);
/// Where lines go, in the user's home.
pub const JOURNAL: &str = "journal";

/// The notebook: shows itself on all of the display that the environment
/// names, for as long as that runs. Its own notes go into `directory`.
pub fn run(directory: &Path) -> Result<()> {
    let instance = random()?;
    let notes = Notes::begin(directory, instance)?;
    let desk = Desk::open()?;
    let saver = Saver::start(instance, notes.clone())?;
    let mut page = Page { instance, pid: std::process::id(), ..Page::default() };
    let (mut memory, mut line) = (String::new(), String::new());
    let mut lines = 0;
    let mut due_us = now_us();
    loop {
        while let Some(event) = desk.connection.poll_for_event()? {
            let (code, state, what) = match event {
                Event::KeyPress(key) => (key.detail, key.state, 'p'),
                Event::KeyRelease(key) => (key.detail, key.state, 'r'),
                _ => continue,
            };
            let shifted = state.contains(KeyButMask::SHIFT);
            let Some(c) = keyboard::character(code, shifted) else { continue };
            notes.note(&format!("{what} {}", keyboard::printable(c)))?;
            if what == 'p' && c != keyboard::SHIFT_KEY {
                page.keys += 1;
                memory.push(c);
                line.push(c);
            }
            if what == 'p' && c == ENTER {
                lines += 1;
                saver.lines.send((lines, std::mem::take(&mut line)))?;
            }
        }
        let now = now_us();
        if now >= due_us {
            due_us = now + PAGE_EVERY.as_micros() as u64;
            page.drawn_us = now;
            page.unsaved = checksum(memory.as_bytes());
            page.saved = saver.saved.load(Ordering::Acquire);
            page.failed = saver.failed.load(Ordering::Acquire);
            desk.draw(&page)?;
        }
        desk.wait(due_us.saturating_sub(now_us()))?;
    }
}

/// The window.
struct Desk {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    depth: u8,
}

impl Desk {
    fn open() -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("the session's display")?;
        let screen = connection.setup().roots[screen].clone();
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let attributes = CreateWindowAux::new()
            .override_redirect(1)
            .background_pixel(screen.white_pixel)
            .event_mask(EventMask::KEY_PRESS | EventMask::KEY_RELEASE | EventMask::EXPOSURE);
        connection.create_window(
            x11rb::COPY_DEPTH_FROM_PARENT,
            window,
            screen.root,
            0,
            0,
            screen.width_in_pixels,
            screen.height_in_pixels,
            0,
            WindowClass::INPUT_OUTPUT,
            x11rb::COPY_FROM_PARENT,
            &attributes,
        )?;
        connection.create_gc(gc, window, &CreateGCAux::new())?;
        connection.map_window(window)?;
        connection.set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME)?.check()?;
        Ok(Desk { connection, window, gc, depth: screen.root_depth })
    }

    /// In one request, so that nobody sees half of it.
    fn draw(&self, page: &Page) -> Result<()> {
        let (width_px, height_px) = SIZE_PX;
        let (format, pixels) = (ImageFormat::Z_PIXMAP, page.draw());
        let (window, gc, depth) = (self.window, self.gc, self.depth);
        self.connection
            .put_image(format, window, gc, width_px, height_px, 0, 0, 0, depth, &pixels)?;
        Ok(self.connection.flush()?)
    }

    /// Waits for the X server, at most for this long.
    fn wait(&self, timeout_us: u64) -> Result<()> {
        let timeout = Timespec::try_from(Duration::from_micros(timeout_us))?;
        let mut polled = [PollFd::new(self.connection.stream(), PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("the X server"),
        }
    }
}

/// What happened, in a file of the host: it is there whatever becomes of the
/// home.
#[derive(Clone)]
struct Notes(Arc<Mutex<File>>);

impl Notes {
    fn begin(directory: &Path, instance: u64) -> Result<Self> {
        let path = directory.join(format!("{instance:016x}.notes"));
        let file = File::options().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        let notes = Notes(Arc::new(Mutex::new(file)));
        notes.note(&format!("begin {}", std::process::id()))?;
        Ok(notes)
    }

    fn note(&self, what: &str) -> Result<()> {
        let line = format!("{} {what}\n", now_us());
        let mut file = self.0.lock().map_err(|_| anyhow::anyhow!("the other thread panicked"))?;
        file.write_all(line.as_bytes()).context("the notes")
    }
}

/// The thread that saves: a home that hangs is not to stop the pages.
struct Saver {
    lines: Sender<(u32, String)>,
    saved: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
}

impl Saver {
    fn start(instance: u64, notes: Notes) -> Result<Self> {
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        let journal = PathBuf::from(home).join(JOURNAL);
        let (lines, waiting) = channel();
        let (saved, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counts = (saved.clone(), failed.clone());
        std::thread::spawn(move || {
            // If the notes cannot be written the test finds it out.
            if let Err(error) = save(instance, &journal, &waiting, &notes, counts) {
                eprintln!("the notebook saves nothing any more: {error:#}");
            }
        });
        Ok(Saver { lines, saved, failed })
    }
}

fn save(
    instance: u64,
    journal: &Path,
    waiting: &Receiver<(u32, String)>,
    notes: &Notes,
    (saved, failed): (Arc<AtomicU32>, Arc<AtomicU32>),
) -> Result<()> {
    // What was there before this instance began.
    let before = std::fs::read_to_string(journal).unwrap_or_default();
    notes.note(&format!("found {}", before.lines().count()))?;
    while let Ok((number, text)) = waiting.recv() {
        let line = format!("{instance:016x} {number} {}\n", text.trim_end());
        let done =
            File::options().create(true).append(true).open(journal).and_then(|mut file| {
                file.write_all(line.as_bytes()).and_then(|()| file.sync_all())
            });
        match done {
            Ok(()) => {
                notes.note(&format!("saved {number} {}", text.trim_end()))?;
                saved.store(number, Ordering::Release);
            }
            Err(error) => {
                notes.note(&format!("failed {number} {error}"))?;
                failed.fetch_add(1, Ordering::Release);
            }
        }
    }
    Ok(())
}
