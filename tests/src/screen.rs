//! A private X server that DTUs open their windows on: its windows, its
//! pixels, and hands on its keyboard and pointer (XTEST).

use crate::keys::{Keyboard, SHIFT, Stroke};
use crate::netns::Namespace;
use crate::picture::Picture;
use crate::process::Process;
use crate::{programs, wait, xauthority};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConfigureWindowAux, ConnectionExt,
    InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, MapState, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// X key codes are evdev's and 8.
const X_KEY_OFFSET: u8 = 8;

/// The X server; it ends when this is dropped.
pub struct Screen {
    server: Process,
    connection: RustConnection,
    display: u32,
    /// The root directory of the system that it runs on.
    root: PathBuf,
    xauthority: PathBuf,
}

impl Screen {
    /// Starts one of this size; its files go into `directory`.
    pub fn start(directory: &Path, width_px: u16, height_px: u16) -> Result<Self> {
        Screen::start_in(None, directory, width_px, height_px)
    }

    /// Likewise, in a namespace; programs of all of them reach it.
    pub fn start_in(
        namespace: Option<&Namespace>,
        directory: &Path,
        width_px: u16,
        height_px: u16,
    ) -> Result<Self> {
        let xauthority = directory.join("Xauthority");
        xauthority::create(&xauthority)?;
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{width_px}x{height_px}x24"))
            .arg("-auth")
            .arg(&xauthority);
        if let Some(namespace) = namespace {
            command = namespace.inside(&command);
        }
        command.stdout(Stdio::piped());
        let mut server = Process::spawn("Xvfb", &mut command, &directory.join("screen.log"))?;
        let mut line = String::new();
        let stdout = server.take_stdout().context("its standard output is a pipe")?;
        BufReader::new(stdout).read_line(&mut line)?;
        server.check()?;
        let display = line.trim().parse().context("Xvfb tells its display's number")?;
        let root = namespace.map_or_else(|| PathBuf::from("/"), Namespace::root);
        let connection = xauthority::connect(&root, display, &xauthority)?;
        Ok(Screen { server, connection, display, root, xauthority })
    }

    /// Lets a command's windows appear here, and nowhere else.
    pub fn lend_to(&self, command: &mut Command) {
        command.env("DISPLAY", format!(":{}", self.display)).env("XAUTHORITY", &self.xauthority);
    }

    /// Starts a window manager here.
    pub fn start_window_manager(&self, directory: &Path) -> Result<Process> {
        let mut command = programs::secluded("openbox");
        self.lend_to(&mut command);
        command.arg("--sm-disable").env("HOME", directory);
        let manager = Process::spawn("openbox", &mut command, &directory.join("openbox.log"))?;
        let check = self.atom("_NET_SUPPORTING_WM_CHECK")?;
        wait::until_true("the window manager runs", || {
            Ok(self.property(self.root(), check, AtomEnum::WINDOW)?.is_some())
        })?;
        Ok(manager)
    }

    /// Another connection to the X server, for another thread.
    pub fn connect_again(&self) -> Result<RustConnection> {
        xauthority::connect(&self.root, self.display, &self.xauthority)
    }

    /// The connection to the X server.
    pub fn connection(&self) -> &RustConnection {
        &self.connection
    }

    /// Fails if the X server is gone.
    pub fn check(&mut self) -> Result<()> {
        self.server.check()
    }

    /// The root window.
    pub fn root(&self) -> Window {
        self.connection.setup().roots[0].root
    }

    /// All that this screen shows.
    pub fn picture(&self) -> Result<Picture> {
        let screen = &self.connection.setup().roots[0];
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        Picture::of(&self.connection, screen.root, width, height)
    }

    /// What a window shows; all of it must be on the screen and uncovered.
    pub fn window_picture(&self, window: Window) -> Result<Picture> {
        let (width, height) = self.window_size(window)?;
        Picture::of(&self.connection, window, width, height)
    }

    /// A window's size.
    pub fn window_size(&self, window: Window) -> Result<(u16, u16)> {
        let geometry = self.connection.get_geometry(window)?.reply()?;
        Ok((geometry.width, geometry.height))
    }

    /// The visible window of this process, if it has one.
    pub fn window_of(&self, pid: u32) -> Result<Option<Window>> {
        let atom = self.atom("_NET_WM_PID")?;
        let mut windows = vec![self.root()];
        while let Some(window) = windows.pop() {
            // Windows that go while we look are not the one.
            let Ok(tree) = self.connection.query_tree(window)?.reply() else { continue };
            windows.extend(tree.children);
            let owner = self.property(window, atom, AtomEnum::CARDINAL)?;
            if owner != Some(pid) {
                continue;
            }
            let attributes = self.connection.get_window_attributes(window)?.reply();
            if attributes.is_ok_and(|attributes| attributes.map_state == MapState::VIEWABLE) {
                return Ok(Some(window));
            }
        }
        Ok(None)
    }

    fn atom(&self, name: &str) -> Result<u32> {
        Ok(self.connection.intern_atom(false, name.as_bytes())?.reply()?.atom)
    }

    fn property(&self, window: Window, property: u32, kind: AtomEnum) -> Result<Option<u32>> {
        let reply = self.connection.get_property(false, window, property, kind, 0, 1)?.reply();
        Ok(reply.ok().and_then(|reply| reply.value32()?.next()))
    }

    /// Moves a window.
    pub fn move_window(&self, window: Window, x_px: i32, y_px: i32) -> Result<()> {
        let place = ConfigureWindowAux::new().x(x_px).y(y_px);
        self.connection.configure_window(window, &place)?.check()?;
        Ok(())
    }

    /// Changes a window's size.
    pub fn resize_window(&self, window: Window, width_px: u32, height_px: u32) -> Result<()> {
        let size = ConfigureWindowAux::new().width(width_px).height(height_px);
        self.connection.configure_window(window, &size)?.check()?;
        Ok(())
    }

    /// Gives the keyboard to a window.
    pub fn focus(&self, window: Window) -> Result<()> {
        let time = x11rb::CURRENT_TIME;
        self.connection.set_input_focus(InputFocus::PARENT, window, time)?.check()?;
        Ok(())
    }

    fn fake(&self, kind: u8, detail: u8, x_px: i16, y_px: i16) -> Result<()> {
        let root = self.root();
        self.connection.xtest_fake_input(kind, detail, 0, root, x_px, y_px, 0)?.check()?;
        Ok(())
    }

    /// Presses a key and keeps it down.
    pub fn key_down(&self, key: u8) -> Result<()> {
        self.fake(KEY_PRESS_EVENT, key + X_KEY_OFFSET, 0, 0)
    }

    /// Lets a key go.
    pub fn key_up(&self, key: u8) -> Result<()> {
        self.fake(KEY_RELEASE_EVENT, key + X_KEY_OFFSET, 0, 0)
    }

    /// Presses a key while others are held.
    pub fn chord(&self, held: &[u8], key: u8) -> Result<()> {
        for key in held {
            self.key_down(*key)?;
        }
        self.key_down(key)?;
        self.key_up(key)?;
        for key in held.iter().rev() {
            self.key_up(*key)?;
        }
        Ok(())
    }

    /// A DTU's own hot key: Ctrl, Alt and Shift with a letter.
    pub fn hot_key(&self, letter: u8) -> Result<()> {
        self.chord(&[crate::keys::CTRL, crate::keys::ALT, SHIFT], letter)
    }

    /// Types a text, as somebody would who sits at this keyboard.
    pub fn type_text(&self, keyboard: Keyboard, text: &str) -> Result<()> {
        for c in text.chars() {
            let Stroke { key, held } = keyboard
                .stroke(c)
                .with_context(|| format!("no key of {keyboard:?} makes {c:?}"))?;
            self.chord(held.as_slice(), key)?;
        }
        Ok(())
    }

    /// Moves the pointer to a place in a window.
    pub fn point_at(&self, window: Window, x_px: i16, y_px: i16) -> Result<()> {
        let place =
            self.connection.translate_coordinates(window, self.root(), x_px, y_px)?.reply()?;
        self.fake(MOTION_NOTIFY_EVENT, 0, place.dst_x, place.dst_y)
    }

    /// Presses and lets go a pointer button: 1 left, 4 wheel up, 5 wheel down.
    pub fn click(&self, button: u8) -> Result<()> {
        ensure!((1..=9).contains(&button), "there is no button {button}");
        self.fake(BUTTON_PRESS_EVENT, button, 0, 0)?;
        self.fake(BUTTON_RELEASE_EVENT, button, 0, 0)
    }
}
