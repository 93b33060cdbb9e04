//! The session's X server, seen from the worker and the keeper: capture,
//! input, keyboard layout, size.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`capture`] | what is on the screen, by Damage and XFIXES, with MIT-SHM |
//! | [`live`] | its pixels, read where the X server has them |
//! | [`size`] | the screen's size, by RandR |
//! | [`layout`] | the keyboard layout, and that keys do not repeat |
//! | [`keys`] | which keys and buttons are down (no I/O) |
//! | [`input`] | keys, buttons and pointer, by XTEST |
//!
//! Everything here blocks, on threads of its own: the X server is near and
//! answers in fractions of a millisecond.

pub mod capture;
pub mod input;
pub mod keys;
pub mod layout;
pub mod live;
pub mod size;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::xproto::Screen;
use x11rb::protocol::xtest::{self, ConnectionExt as _};
use x11rb::rust_connection::{DefaultStream, RustConnection};

/// How many bytes an X server's cookie has.
pub const COOKIE_BYTES: usize = 16;
/// The name of the cookie's kind.
pub const COOKIE_KIND: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Where the session's X server is, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Display {
    /// The display's number, without the colon.
    pub number: u16,
    /// Its cookie.
    pub cookie: [u8; COOKIE_BYTES],
    /// The file that has the cookie, for programs.
    pub authority_file: PathBuf,
}

impl std::fmt::Debug for Display {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Display(:{})", self.number)
    }
}

/// What goes wrong with an X server.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// No connection to it.
    #[error("cannot connect to the X server :{display}: {why}")]
    Connect {
        /// The display's number.
        display: u16,
        /// What was said.
        why: String,
    },
    /// The connection broke.
    #[error("the X server is gone: {0}")]
    Gone(#[from] x11rb::errors::ConnectionError),
    /// It refused a request, or is gone.
    #[error("the X server refused: {0}")]
    Reply(#[from] x11rb::errors::ReplyError),
    /// It refused a request, is gone, or has no more identifiers.
    #[error("the X server refused: {0}")]
    ReplyOrId(#[from] x11rb::errors::ReplyOrIdError),
    /// It cannot do what a session needs.
    #[error("the X server lacks {0}")]
    Lacks(&'static str),
    /// Memory to share with it cannot be had.
    #[error("cannot share memory with the X server: {0}")]
    Memory(#[from] rustix::io::Errno),
    /// The keyboard layout cannot be loaded.
    #[error("cannot load the keyboard layout {layout}: {why}")]
    Layout {
        /// The layout.
        layout: String,
        /// What was said.
        why: String,
    },
}

impl Display {
    /// The value of `DISPLAY`.
    pub fn name(&self) -> String {
        format!(":{}", self.number)
    }

    /// Opens a connection with the cookie. It goes on while a program has the
    /// X server for itself: a window manager that does so while a window is
    /// dragged waits for the button that we let go.
    pub fn connect(&self) -> Result<RustConnection, DesktopError> {
        let failed = |why: String| DesktopError::Connect { display: self.number, why };
        let path = format!("/tmp/.X11-unix/X{}", self.number);
        let socket = UnixStream::connect(path).map_err(|e| failed(e.to_string()))?;
        let (stream, _) =
            DefaultStream::from_unix_stream(socket).map_err(|e| failed(e.to_string()))?;
        let connection = RustConnection::connect_to_stream_with_auth_info(
            stream,
            0,
            COOKIE_KIND.to_vec(),
            self.cookie.to_vec(),
        )
        .map_err(|e| failed(e.to_string()))?;
        if connection.extension_information(xtest::X11_EXTENSION_NAME)?.is_some() {
            connection.xtest_grab_control(true)?.check()?;
        }
        Ok(connection)
    }
}

/// The X server's one screen.
fn screen(connection: &RustConnection) -> Result<&Screen, DesktopError> {
    connection.setup().roots.first().ok_or(DesktopError::Lacks("a screen"))
}
