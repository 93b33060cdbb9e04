//! What the window shows, as a PNG file.

use crate::render::readback::Readback;
use std::path::{Path, PathBuf};

/// Writes the file on a thread of its own, so that neither the GPU nor the
/// disk holds the window up.
pub fn write(readback: Readback, path: PathBuf) {
    std::thread::spawn(move || {
        if let Err(error) = write_now(readback, &path) {
            tracing::error!(%error, file = %path.display(), "the screenshot was not written");
        }
    });
}

fn write_now(readback: Readback, path: &Path) -> anyhow::Result<()> {
    let png = readback.wait()?.to_png()?;
    // Whoever waits for the file never sees half of it.
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, png)?;
    Ok(std::fs::rename(&partial, path)?)
}
