//! The display's power, where X11 manages it (its DPMS extension). Elsewhere a
//! dark screen is a black one.

use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectError, ReplyError};
use x11rb::protocol::dpms::{ConnectionExt as _, DPMSMode};
use x11rb::protocol::xproto::{ConnectionExt as _, ScreenSaver};
use x11rb::rust_connection::RustConnection;

/// Why the display stays as it is.
#[derive(Debug, thiserror::Error)]
enum PowerError {
    #[error("the X server cannot be reached: {0}")]
    NoServer(#[from] ConnectError),
    #[error("the X server refuses: {0}")]
    Refused(#[from] ReplyError),
    #[error("the connection to the X server broke: {0}")]
    Broken(#[from] x11rb::errors::ConnectionError),
    #[error("the X server does not manage its display's power")]
    NotManaged,
}

/// The display of an X server, or one whose power is not ours to manage.
#[derive(Debug, Default)]
pub struct Power {
    /// The way to it, from its first use.
    server: Option<RustConnection>,
    /// True if we had to turn the server's own power saving on, and are to
    /// turn it off again.
    enabled_by_us: bool,
}

impl Power {
    /// Turns the display off.
    pub fn off(&mut self) {
        if let Err(error) = self.try_off() {
            tracing::info!(%error, "the display stays on, and is black");
            self.server = None;
        }
    }

    /// Turns the display on, whoever turned it off.
    pub fn on(&mut self) {
        if let Err(error) = self.try_on() {
            tracing::debug!(%error, "the display is left as it is");
            self.server = None;
        }
    }

    fn try_off(&mut self) -> Result<(), PowerError> {
        let server = self.reach()?;
        if !server.dpms_capable()?.reply()?.capable {
            return Err(PowerError::NotManaged);
        }
        let enabled = server.dpms_info()?.reply()?.state;
        if !enabled {
            server.dpms_enable()?.check()?;
        }
        server.dpms_force_level(DPMSMode::OFF)?.check()?;
        self.enabled_by_us |= !enabled;
        Ok(())
    }

    fn try_on(&mut self) -> Result<(), PowerError> {
        let enabled_by_us = std::mem::take(&mut self.enabled_by_us);
        let server = self.reach()?;
        // The server's own screen saver may be on as well, and a card is
        // nothing that it hears of.
        server.force_screen_saver(ScreenSaver::RESET)?.check()?;
        if server.dpms_capable()?.reply()?.capable && server.dpms_info()?.reply()?.state {
            server.dpms_force_level(DPMSMode::ON)?.check()?;
            if enabled_by_us {
                server.dpms_disable()?.check()?;
            }
        }
        server.flush()?;
        Ok(())
    }

    fn reach(&mut self) -> Result<&RustConnection, PowerError> {
        if self.server.is_none() {
            self.server = Some(x11rb::connect(None)?.0);
        }
        self.server.as_ref().ok_or(PowerError::NotManaged)
    }
}
