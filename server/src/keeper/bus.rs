//! The session's D-Bus: one for the desktop and all services, so that they
//! find each other, and never the host's.
//!
//! It has the session's mark and is ended with all that has it. It is not
//! started again: those that were on it know nothing of a new one.

use super::output;
use super::program::{self, find_program, programs_dir};
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

const PROGRAM: &str = "dbus-daemon";
/// Its socket, in the directory that programs have as `XDG_RUNTIME_DIR`.
const SOCKET: &str = "bus";
/// How long it may take until it can be reached.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// Starts it, and waits until it can be reached. A session without one works,
/// but for the programs that need it.
pub async fn start(spec: &SessionSpec, display: &Display) {
    if find_program(PROGRAM, "/").is_none() {
        tracing::warn!(
            "the session has no D-Bus: install {PROGRAM} (Debian's package dbus-daemon)"
        );
        return;
    }
    match tokio::time::timeout(READY_WITHIN, try_start(spec, display)).await {
        Ok(Ok(())) => {}
        Ok(Err(text)) => tracing::warn!("the session has no D-Bus: {text}"),
        Err(_) => tracing::warn!("the session's D-Bus was not ready within {READY_WITHIN:?}"),
    }
}

async fn try_start(spec: &SessionSpec, display: &Display) -> Result<(), String> {
    let dir = Path::new(&spec.runtime_dir);
    let address = escaped(&programs_dir(dir)?.join(SOCKET));
    let mut command = program::command(spec, display, PROGRAM)?;
    let (reader, errors) = std::io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let mut process = command
        .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
        .arg(format!("--address={address}"))
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|e| format!("cannot start {PROGRAM}: {e}"))?;
    let said = output::collect(reader.into(), &dir.join("bus.log"))
        .map_err(|e| format!("cannot read what {PROGRAM} says: {e}"))?;
    let ready = match process.stdout.take() {
        Some(mut stdout) => stdout.read_u8().await.is_ok(),
        None => false,
    };
    if !ready {
        return Err(format!("{PROGRAM} ended{}", said.last_words().await));
    }
    tokio::spawn(async move {
        // It ends with the session, and then nobody is left to say it.
        let status = process.wait().await.map(|status| status.to_string()).unwrap_or_default();
        tracing::info!("the session's D-Bus ended: {status}{}", said.last_words().await);
    });
    Ok(())
}

/// The address for a program of the session in this directory, if there is a
/// bus.
pub fn address(programs_dir: &Path) -> Option<String> {
    let socket = programs_dir.join(SOCKET);
    socket.exists().then(|| escaped(&socket))
}

/// A socket's path as an address (D-Bus specification, "Server Addresses").
fn escaped(socket: &Path) -> String {
    let mut address = "unix:path=".to_owned();
    for byte in socket.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(byte) {
            address.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(address, "%{byte:02x}");
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_any_characters_is_an_address() {
        assert_eq!(escaped(Path::new("/run/a-b_c.d/bus")), "unix:path=/run/a-b_c.d/bus");
        assert_eq!(escaped(Path::new("/my run,é/bus")), "unix:path=/my%20run%2c%c3%a9/bus");
    }

    #[test]
    fn there_is_no_address_without_a_bus() {
        assert_eq!(address(Path::new("/nowhere")), None);
    }
}
