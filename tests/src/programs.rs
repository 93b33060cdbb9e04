//! Where the programs and Debian's files are.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The directory that the programs were built into: that of this executable,
/// or the one above it for a test.
pub fn directory() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("where this program is")?;
    let mut directory = executable.parent().context("an executable is in a directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("deps/ is in a directory")?;
    }
    Ok(directory.to_owned())
}

/// One of the project's programs, built before.
pub fn path(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    if !path.exists() {
        bail!("{} is not there: run 'cargo build --workspace' first", path.display());
    }
    Ok(path)
}

/// Cargo's target directory, for what tests and the demo leave behind.
pub fn target() -> Result<PathBuf> {
    let directory = directory()?;
    Ok(directory.parent().context("programs are in a directory of target/")?.to_owned())
}

/// A command that sees nothing of the desktop that this runs on.
pub fn secluded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in [
        "DISPLAY",
        "XAUTHORITY",
        "WAYLAND_DISPLAY",
        "WAYLAND_SOCKET",
        "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_STARTUP_ID",
        "WINIT_X11_SCALE_FACTOR",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
    ] {
        command.env_remove(name);
    }
    command
}

/// Makes a DTU draw in software, the same on every machine.
pub fn draw_in_software(command: &mut Command) {
    let drivers = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    let lavapipe = drivers.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_"))
    });
    if let Some(lavapipe) = lavapipe {
        command.env("VK_DRIVER_FILES", &lavapipe).env("VK_ICD_FILENAMES", lavapipe);
    }
}
