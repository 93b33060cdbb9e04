//! A DTU on a private screen: the real program, its window and its event log.

use crate::events::{Event, EventLog};
use crate::glyphs::{Word, XTERM_FONT};
use crate::keys::Keyboard;
use crate::netns::lan::Node;
use crate::picture::Picture;
use crate::process::Process;
use crate::screen::Screen;
use crate::session::SessionDesktop;
use crate::{programs, wait};
use afterglow_wire::ids::GroupId;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use x11rb::protocol::xproto::Window;

/// Its event log, among its files.
const EVENTS: &str = "events.jsonl";

/// How a DTU is opened.
#[derive(Clone)]
pub struct DtuOptions {
    /// Names its files; two DTUs of a test have two names.
    pub name: String,
    /// `--token`.
    pub token: String,
    /// `--keymap`; detected if not given.
    pub keymap: Option<String>,
    /// `--size`.
    pub size_px: (u16, u16),
    /// `--fullscreen --dark-after`, in seconds.
    pub dark_after_s: Option<u32>,
    /// `--renderer`; it chooses itself if not given.
    pub renderer: Option<&'static str>,
    /// `--scale`.
    pub scale: Option<&'static str>,
    /// `--spoil-pixel`: its first picture at rest is wrong.
    pub spoil_pixel: bool,
    /// Where its window goes.
    pub place_px: (i32, i32),
    /// The font of its session's terminals, for who looks for words.
    pub font: &'static str,
    /// The socket of the pcscd that it may talk to; none unless told.
    pub pcscd: Option<PathBuf>,
    /// The place that it runs at, if that has networks of its own.
    pub desk: Option<Arc<Node>>,
}

impl DtuOptions {
    /// A DTU with this token in.
    pub fn new(name: &str, token: &str) -> Self {
        DtuOptions {
            name: name.to_owned(),
            token: token.to_owned(),
            keymap: Some("us".to_owned()),
            size_px: (640, 480),
            dark_after_s: None,
            renderer: None,
            scale: None,
            spoil_pixel: false,
            place_px: (0, 0),
            font: XTERM_FONT,
            pcscd: None,
            desk: None,
        }
    }

    /// With another keyboard layout.
    pub fn keymap(mut self, keymap: &str) -> Self {
        self.keymap = Some(keymap.to_owned());
        self
    }

    /// All of its screen, and dark when nobody uses it for so long.
    pub fn dark_after(mut self, seconds: u32) -> Self {
        self.dark_after_s = Some(seconds);
        self
    }

    /// With this renderer: `wgpu` or `cpu`.
    pub fn renderer(mut self, renderer: &'static str) -> Self {
        self.renderer = Some(renderer);
        self
    }

    /// With a picture that is scaled in this way: `fit`, `1:1` or `integer`.
    pub fn scale(mut self, scale: &'static str) -> Self {
        self.scale = Some(scale);
        self
    }

    /// With a wrong pixel in its first picture at rest.
    pub fn spoil_pixel(mut self) -> Self {
        self.spoil_pixel = true;
        self
    }

    /// With a window of this size.
    pub fn size(mut self, width_px: u16, height_px: u16) -> Self {
        self.size_px = (width_px, height_px);
        self
    }

    /// With its window at another place.
    pub fn place(mut self, x_px: i32, y_px: i32) -> Self {
        self.place_px = (x_px, y_px);
        self
    }
}

/// The command that opens a DTU on whatever display it finds; its files go
/// into a directory of its own in `directory`.
pub fn command(
    mut program: Command,
    directory: &Path,
    servers: &[SocketAddrV4],
    group: GroupId,
    options: &DtuOptions,
) -> Result<Command> {
    let files = private(&files(directory, &options.name))?;
    for server in servers {
        program.arg("--server").arg(server.to_string());
    }
    let (width_px, height_px) = options.size_px;
    program
        .args(["--token", &options.token, "--group", &group.to_string()])
        .args(["--size", &format!("{width_px}x{height_px}")])
        .arg("--state")
        .arg(files.join("state"))
        .arg("--event-log")
        .arg(events(directory, &options.name).path())
        .arg("--screenshot")
        .arg(files.join("screenshot.png"));
    if let Some(keymap) = &options.keymap {
        program.args(["--keymap", keymap]);
    }
    let choices = [("--renderer", options.renderer), ("--scale", options.scale)];
    for (flag, choice) in choices {
        program.args(choice.into_iter().flat_map(|choice| [flag, choice]));
    }
    if options.spoil_pixel {
        program.arg("--spoil-pixel");
    }
    if let Some(seconds) = options.dark_after_s {
        program.args(["--fullscreen", "--dark-after", &seconds.to_string()]);
    }
    Ok(program)
}

/// The event log of the DTU of this name.
pub fn events(directory: &Path, name: &str) -> EventLog {
    EventLog::new(&files(directory, name).join(EVENTS))
}

/// Fails if a DTU of this directory ever found its picture at rest to be
/// another than the session's.
pub fn expect_true_pictures(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory)?.flatten();
    let logs = entries.map(|entry| entry.path().join(EVENTS)).filter(|path| path.is_file());
    for log in logs.map(|path| EventLog::new(&path)) {
        for event in log.all()? {
            let differing = event.number("blocks_differing").unwrap_or(0);
            ensure!(differing == 0, "{}: {}", log.path().display(), event.fields);
        }
    }
    Ok(())
}

fn files(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("dtu-{name}"))
}

/// A DTU and its window.
pub struct Dtu<'a> {
    /// The program.
    pub process: Process,
    /// Its event log.
    pub events: EventLog,
    screen: &'a Screen,
    window: Window,
    font: &'static str,
}

impl<'a> Dtu<'a> {
    /// Opens one and waits for its window; its files go into `directory`.
    pub fn open(
        screen: &'a Screen,
        directory: &Path,
        servers: &[SocketAddrV4],
        group: GroupId,
        options: DtuOptions,
    ) -> Result<Self> {
        let program = programs::secluded(programs::path("afterglow")?);
        let mut command = command(program, directory, servers, group, &options)?;
        let pcscd = options.pcscd.unwrap_or_else(|| directory.join("no-pcscd"));
        let files = files(directory, &options.name);
        command
            .env("HOME", private(&files.join("home"))?)
            .env("XDG_RUNTIME_DIR", private(&files.join("runtime"))?)
            .env("PCSCLITE_CSOCK_NAME", pcscd);
        screen.lend_to(&mut command);
        programs::draw_in_software(&mut command);
        if let Some(place) = &options.desk {
            command = place.namespace().inside(&command);
        }
        let mut process = Process::spawn("afterglow", &mut command, &files.join("afterglow.log"))?;
        let window = wait::until("the DTU opens its window", wait::PATIENCE, || {
            process.check()?;
            screen.window_of(process.pid())
        })?;
        let (x_px, y_px) = options.place_px;
        screen.move_window(window, x_px, y_px)?;
        let events = events(directory, &options.name);
        let dtu = Dtu { process, events, screen, window, font: options.font };
        dtu.focus()?;
        Ok(dtu)
    }

    /// Its window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Gives the keyboard to this DTU, and puts the pointer into its window.
    pub fn focus(&self) -> Result<()> {
        self.screen.focus(self.window)?;
        self.screen.point_at(self.window, 20, 20)
    }

    /// What its window shows, from outside.
    pub fn picture(&self) -> Result<Picture> {
        self.screen.window_picture(self.window)
    }

    /// Types a text at this DTU.
    pub fn type_text(&self, keyboard: Keyboard, text: &str) -> Result<()> {
        self.focus()?;
        self.screen.type_text(keyboard, text)
    }

    /// Types a line at this DTU, on a US keyboard.
    pub fn type_line(&self, line: &str) -> Result<()> {
        self.type_text(Keyboard::Us, &format!("{line}\n"))
    }

    /// Presses one of the DTU's own hot keys (Ctrl+Alt+Shift and this letter).
    pub fn hot_key(&self, letter: u8) -> Result<()> {
        self.focus()?;
        self.screen.hot_key(letter)
    }

    /// A word as its session's terminals draw it.
    pub fn word(&self, text: &str) -> Result<Word> {
        Word::drawn(self.screen.connection(), self.font, text)
    }

    /// True if this word is to be seen.
    pub fn shows(&self, word: &Word) -> Result<bool> {
        Ok(self.picture()?.find(word).is_some())
    }

    /// Waits until a word is to be seen; gives the picture.
    pub fn wait_shows(&self, text: &str) -> Result<Picture> {
        let word = self.word(text)?;
        let what = format!("the word {text:?} is in the window");
        let found = wait::until(&what, wait::PATIENCE, || {
            let picture = self.picture()?;
            Ok(picture.find(&word).is_some().then_some(picture))
        });
        found.or_else(|error| self.keep_picture(error))
    }

    /// Waits until a word is not to be seen any more; gives the picture.
    pub fn wait_hides(&self, text: &str) -> Result<Picture> {
        let word = self.word(text)?;
        let what = format!("the word {text:?} is gone from the window");
        let found = wait::until(&what, wait::PATIENCE, || {
            let picture = self.picture()?;
            Ok(picture.find(&word).is_none().then_some(picture))
        });
        found.or_else(|error| self.keep_picture(error))
    }

    /// Waits until the window shows the session's framebuffer, byte for byte.
    pub fn wait_equals(&self, session: &SessionDesktop) -> Result<Picture> {
        let mut last = None;
        let equal = wait::until("the window equals the session", wait::PATIENCE, || {
            // Looked at on both sides of the window, so that a change in
            // between is no difference.
            let before = session.picture()?;
            let window = self.picture()?;
            if before == window && before == session.picture()? {
                return Ok(Some(window));
            }
            last = Some((before, window));
            Ok(None)
        });
        equal.or_else(|error| {
            if let Some((session, window)) = last {
                let directory = self.directory();
                session.save(&directory.join("expected.png"))?;
                window.save(&directory.join("actual.png"))?;
                let differing = window.differing_pixels(&session);
                return Err(error.context(format!(
                    "session {session:?}, window {window:?}, differing pixels: {differing:?}"
                )));
            }
            Err(error)
        })
    }

    /// Keeps what is to be seen now beside the log, for who reads the error.
    fn keep_picture<T>(&self, error: anyhow::Error) -> Result<T> {
        self.picture()?.save(&self.directory().join("last.png"))?;
        Err(error)
    }

    fn directory(&self) -> PathBuf {
        self.events.path().parent().map(Path::to_owned).unwrap_or_default()
    }

    /// Waits until a session's first frame is on the screen.
    pub fn wait_first_frame(&self, mark: usize) -> Result<Event> {
        self.events.wait_after(mark, "first_frame", |_| true)
    }

    /// Waits until this panel of the on-screen display is up.
    pub fn wait_panel(&self, mark: usize, panel: &str) -> Result<Event> {
        self.events.wait_after(mark, "view", |event| event.text("panel") == Some(panel))
    }

    /// The host of the session that was attached last.
    pub fn attached_host(&self) -> Result<String> {
        let events = self.events.all()?;
        let attached = events.iter().rev().find(|event| event.name == "attached");
        let host = attached.and_then(|event| event.text("host"));
        Ok(host.context("no session was attached yet")?.to_owned())
    }

    /// Inserts or removes the software card.
    pub fn toggle_card(&self) -> Result<()> {
        self.process.signal(Signal::USR2)
    }

    /// The DTU's own picture of what it shows (SIGUSR1, `--screenshot`).
    pub fn own_screenshot(&self) -> Result<image::RgbImage> {
        let path = self.directory().join("screenshot.png");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        self.process.signal(Signal::USR1)?;
        wait::until("the DTU writes its screenshot", wait::PATIENCE, || {
            // A file that is still being written is not a PNG yet.
            Ok(image::open(&path).ok().map(image::DynamicImage::into_rgb8))
        })
    }

    /// Fails if the DTU has ended.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Waits until the DTU has compared its picture with the session's at rest;
    /// gives how many blocks were others.
    pub fn wait_compared(&self, mark: usize) -> Result<u64> {
        let compared = self.events.wait_after(mark, "compared", |_| true)?;
        compared.number("blocks_differing").context("a number of blocks")
    }

    /// Fails if any of these events came after the mark.
    pub fn expect_none(&self, mark: usize, names: &[&str]) -> Result<()> {
        for event in self.events.after(mark)? {
            if names.contains(&event.name.as_str()) {
                bail!("there must be none: {}", event.fields);
            }
        }
        Ok(())
    }

    /// Closes it with its hot key.
    pub fn quit(&mut self) -> Result<()> {
        self.hot_key(crate::keys::Q)?;
        let status = self.process.wait_end(Duration::from_secs(10))?;
        if !status.success() {
            bail!("the DTU ended with {status}:\n{}", self.process.log_text());
        }
        Ok(())
    }
}

/// Makes a directory that only its owner can enter.
pub fn private(path: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.to_owned())
}
