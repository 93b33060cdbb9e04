//! A session's own X server, asked directly: what a DTU should show.

use crate::picture::Picture;
use crate::xauthority;
use afterglow_wire::ids::{Epoch, SessionId};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt;
use x11rb::rust_connection::RustConnection;

/// The file in a session's directory that says which session it is.
pub const IDENTITY: &str = "identity";

/// Which copy of which session has this directory.
pub fn identity(directory: &Path) -> Option<(SessionId, Epoch)> {
    let text = std::fs::read_to_string(directory.join(IDENTITY)).ok()?;
    let (session, epoch) = text.trim_end().split_once(' ')?;
    Some((session.parse().ok()?, Epoch(epoch.parse().ok()?)))
}

/// A session on this machine, by its directory.
pub struct SessionDesktop {
    directory: PathBuf,
    connection: RustConnection,
}

impl SessionDesktop {
    /// The session of this directory, on a system whose root directory this is.
    pub fn open(root: &Path, directory: &Path) -> Result<Self> {
        let path = directory.join("display");
        let display = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let display = display.trim().trim_start_matches(':').parse();
        let display = display.context("the session's display is a number")?;
        let connection = xauthority::connect(root, display, &directory.join("Xauthority"))?;
        Ok(SessionDesktop { directory: directory.to_owned(), connection })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The size of its screen now.
    pub fn size(&self) -> Result<(u16, u16)> {
        let root = self.connection.setup().roots[0].root;
        let geometry = self.connection.get_geometry(root)?.reply()?;
        Ok((geometry.width, geometry.height))
    }

    /// Its framebuffer (GetImage).
    pub fn picture(&self) -> Result<Picture> {
        let root = self.connection.setup().roots[0].root;
        let (width, height) = self.size()?;
        Picture::of(&self.connection, root, width, height)
    }

    /// Which keys and buttons its X server believes to be down.
    pub fn keys_down(&self) -> Result<Vec<u8>> {
        let bits = self.connection.query_keymap()?.reply()?.keys;
        let down = |code: &u8| bits[usize::from(code / 8)] & (1 << (code % 8)) != 0;
        Ok((8..=255).filter(down).collect())
    }

    /// Its connection, for more questions.
    pub fn connection(&self) -> &RustConnection {
        &self.connection
    }
}
