//! Where one product is measured: a session on a host of its own, and its
//! viewer on a screen that is watched.

use super::counters;
use super::watch::Watch;
use crate::netns::lan::Node;
use crate::picture::Picture;
use crate::process::Process;
use crate::screen::Screen;
use crate::{programs, wait, xauthority};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt;
use x11rb::rust_connection::RustConnection;

/// The size of the session and of the viewer's screen.
pub const SIZE_PX: (u16, u16) = (1280, 720);
/// The program that draws.
pub const DRAWING: &str = "afterglow-test-drawing";

/// The session's own X server, asked directly.
pub struct Display {
    /// Its number.
    pub number: u32,
    /// Its cookie.
    pub xauthority: PathBuf,
    connection: RustConnection,
}

impl Display {
    /// That of this number on a system whose root directory this is.
    pub fn open(root: &Path, number: u32, xauthority: &Path) -> Result<Self> {
        let connection = xauthority::connect(root, number, xauthority)?;
        Ok(Display { number, xauthority: xauthority.to_owned(), connection })
    }

    /// True if its screen is as large as the viewer's.
    pub fn is_of_size(&self) -> Result<bool> {
        let root = self.connection.setup().roots[0].root;
        let geometry = self.connection.get_geometry(root)?.reply()?;
        Ok((geometry.width, geometry.height) == SIZE_PX)
    }

    /// Its framebuffer.
    pub fn picture(&self) -> Result<Picture> {
        let root = self.connection.setup().roots[0].root;
        Picture::of(&self.connection, root, SIZE_PX.0, SIZE_PX.1)
    }
}

/// A session, its viewer, and all that counts.
pub struct Stage<'a> {
    /// The product's name.
    pub product: &'static str,
    /// The viewer's screen.
    pub screen: &'a Screen,
    /// The viewer's screen, watched.
    pub watch: Watch,
    /// The session's display.
    pub session: Display,
    /// Where the session runs.
    pub host: Arc<Node>,
    /// Where the viewer runs.
    pub desk: Arc<Node>,
    /// The product's processes at the host, without the programs that draw.
    pub server_pids: Vec<u32>,
    /// Those of them that are the session's.
    pub session_pids: Vec<u32>,
    /// The viewer.
    pub viewer_pid: u32,
    /// Where files go.
    pub directory: &'a Path,
}

/// What has been used up so far.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    bytes: u64,
    server_s: f64,
    viewer_s: f64,
    at: Instant,
}

/// What something took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// From the server to the viewer.
    pub bytes: u64,
    /// The processor time of everything at the host.
    pub server_cpu_s: f64,
    /// That of the viewer.
    pub viewer_cpu_s: f64,
    /// How long it took.
    pub time_s: f64,
}

impl Stage<'_> {
    /// A program that is to run in the session.
    pub fn in_session(&self, mut command: Command) -> Command {
        command
            .env("DISPLAY", format!(":{}", self.session.number))
            .env("XAUTHORITY", &self.session.xauthority)
            .env("HOME", self.directory);
        self.host.namespace().inside(&command)
    }

    /// Starts a drawing in the session, and waits until it can be seen there.
    pub fn draw(&self, words: &[&str]) -> Result<Process> {
        start_drawing(self.in_session(drawing(words)?), self.directory, words)
    }

    /// A terminal in all of the session.
    pub fn terminal(&self, words: &[&str]) -> Result<Process> {
        let log = self.directory.join("xterm.log");
        Process::spawn("xterm", &mut self.in_session(terminal(words)), &log)
    }

    /// What has been used up until now.
    pub fn used(&self) -> Result<Used> {
        Ok(Used {
            bytes: counters::received_bytes(self.desk.namespace().pid(), &self.desk.first().name)?,
            server_s: counters::cpu_s(&self.server_pids),
            viewer_s: counters::cpu_s(&[self.viewer_pid]),
            at: Instant::now(),
        })
    }

    /// What was used up since then.
    pub fn cost_since(&self, before: Used) -> Result<Cost> {
        let now = self.used()?;
        Ok(Cost {
            bytes: now.bytes - before.bytes,
            server_cpu_s: now.server_s - before.server_s,
            viewer_cpu_s: now.viewer_s - before.viewer_s,
            time_s: now.at.duration_since(before.at).as_secs_f64(),
        })
    }

    /// True if the viewer's screen is what the session is, bit for bit, once
    /// both are at rest; else both are kept.
    pub fn is_exact(&self, what: &str) -> Result<bool> {
        self.watch.wait_rest()?;
        let equal = || -> Result<Option<()>> {
            let before = self.session.picture()?;
            let seen = self.watch.picture()?;
            Ok((before == seen && before == self.session.picture()?).then_some(()))
        };
        if wait::until("the viewer shows the session", Duration::from_secs(3), equal).is_ok() {
            return Ok(true);
        }
        let name = |end: &str| self.directory.join(format!("{}-{what}-{end}.png", self.product));
        let (session, seen) = (self.session.picture()?, self.watch.picture()?);
        session.save(&name("session"))?;
        seen.save(&name("viewer"))?;
        let differing = seen.differing_pixels(&session).unwrap_or(usize::MAX);
        eprintln!(
            "{}, {what}: the viewer differs from the session in {differing} pixels",
            self.product
        );
        Ok(false)
    }
}

/// A terminal that fills the screen and has nothing around its letters.
pub fn terminal(words: &[&str]) -> Command {
    let mut command = programs::secluded("xterm");
    command.args(["-b", "0", "+sb", "-fn", "fixed", "-geometry", "213x55+0+0", "-bw", "0"]);
    command.args(["-fg", "black", "-bg", "white", "-e"]).args(words);
    command
}

/// Starts a drawing, and waits until it can be seen.
pub fn start_drawing(mut command: Command, directory: &Path, words: &[&str]) -> Result<Process> {
    let log = directory.join(format!("drawing-{}.log", words[0]));
    std::fs::write(&log, "")?;
    let mut process = Process::spawn(DRAWING, &mut command, &log)?;
    wait_said(&mut process, "ready", wait::PATIENCE)?;
    Ok(process)
}

/// Waits until a drawing has said this.
pub fn wait_said(process: &mut Process, word: &str, timeout: Duration) -> Result<()> {
    wait::until(&format!("the drawing says {word:?}"), timeout, || {
        process.check()?;
        Ok(process.log_text().lines().any(|line| line == word).then_some(()))
    })
    .with_context(|| format!("it said:\n{}", process.log_text()))
}

/// What draws on the display that it is told.
pub fn drawing(words: &[&str]) -> Result<Command> {
    let mut command = programs::secluded(programs::path(DRAWING)?);
    command.args(words);
    Ok(command)
}
