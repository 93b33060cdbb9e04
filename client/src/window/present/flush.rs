//! Sends what waits for the X server in this program.
//!
//! `softbuffer` leaves a picture in the connection's buffer, and winit sends it
//! when its loop waits again: once all else of the turn is done, and the
//! network's thread is awake and in the way.

use winit::event_loop::OwnedDisplayHandle;
use winit::raw_window_handle::{HasDisplayHandle, RawDisplayHandle};
use x11_dl::xlib::{self, Xlib};

/// The window system's connection, if it has to be told to send.
pub struct Flush {
    /// Keeps the connection open.
    display: OwnedDisplayHandle,
    /// Xlib; none on Wayland, where what is presented is sent.
    xlib: Option<Xlib>,
}

impl Flush {
    /// For the connection of winit's loop.
    pub fn new(display: OwnedDisplayHandle) -> Self {
        let xlib = connection(&display).and_then(|_| Xlib::open().ok());
        Flush { display, xlib }
    }

    /// Sends everything now. Waits for no answer.
    pub fn now(&self) {
        let (Some(xlib), Some(connection)) = (&self.xlib, connection(&self.display)) else {
            return;
        };
        // SAFETY: winit has opened this connection, after XInitThreads, and
        // closes it once the last handle of it is dropped: not as long as we
        // have ours.
        unsafe { (xlib.XFlush)(connection) };
    }
}

fn connection(display: &OwnedDisplayHandle) -> Option<*mut xlib::Display> {
    match display.display_handle().ok()?.as_raw() {
        RawDisplayHandle::Xlib(handle) => Some(handle.display?.as_ptr().cast()),
        _ => None,
    }
}
