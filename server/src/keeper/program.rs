//! A program of the user's: its environment, its process group, and what it
//! prints.

use super::bus;
use super::output::{self, Tail};
use super::session_dir::mark;
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The variable by which a session's processes are known.
pub const SESSION_VARIABLE: &str = "AFTERGLOW_SESSION";

/// Variables of the desktop that the server itself was started from.
const FOREIGN: [&str; 13] = [
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WAYLAND_SOCKET",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SESSION_BUS_PID",
    "DESKTOP_SESSION",
    "DESKTOP_STARTUP_ID",
    "SESSION_MANAGER",
    "WINDOWID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
];
/// And how those begin whose names are many.
const FOREIGN_PREFIXES: [&str; 8] =
    ["XDG_", "SSH_", "GNOME_", "KDE_", "GDM", "GTK_", "QT_", "VTE_"];

/// A running program.
#[derive(Debug)]
pub struct Program {
    /// The process, the leader of a group of its own.
    pub process: Child,
    /// What it says.
    pub said: Tail,
}

/// Starts a program in the session. The error is for the user.
pub fn start(
    spec: &SessionSpec,
    display: &Display,
    words: &[String],
    log: &str,
) -> Result<Program, String> {
    let [program, arguments @ ..] = words else { return Err("the command is empty".into()) };
    let mut command = command(spec, display, program)?;
    let (reader, writer) = std::io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let both = || writer.try_clone().map_err(|e| format!("cannot share a pipe: {e}"));
    let process = command
        .args(arguments)
        .stdout(Stdio::from(both()?))
        .stderr(Stdio::from(both()?))
        .spawn()
        .map_err(|e| format!("cannot start {program:?} in {}: {e}", spec.home_dir))?;
    let said = output::collect(reader.into(), &Path::new(&spec.runtime_dir).join(log))
        .map_err(|e| format!("cannot read what {program:?} prints: {e}"))?;
    Ok(Program { process, said })
}

/// A program of the session that is about to start: where it finds everything,
/// and a group of its own. The error is for the user.
pub fn command(spec: &SessionSpec, display: &Display, program: &str) -> Result<Command, String> {
    let dir = Path::new(&spec.runtime_dir);
    let programs_dir = programs_dir(dir)?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(environment(std::env::vars_os()))
        .env("HOME", &spec.home_dir)
        .env("XDG_SESSION_TYPE", "x11")
        .env("DISPLAY", display.name())
        .env("XAUTHORITY", &display.authority_file)
        .env(SESSION_VARIABLE, mark(dir))
        .envs(bus::address(&programs_dir).map(|address| ("DBUS_SESSION_BUS_ADDRESS", address)))
        .env("XDG_RUNTIME_DIR", programs_dir)
        .current_dir(&spec.home_dir)
        .stdin(Stdio::null())
        .process_group(0);
    Ok(command)
}

/// The directory that a session's programs have as `XDG_RUNTIME_DIR`.
pub fn programs_dir(dir: &Path) -> Result<PathBuf, String> {
    let programs_dir = dir.join("run");
    make_private_dir(&programs_dir)
        .map_err(|e| format!("cannot make {}: {e}", programs_dir.display()))?;
    Ok(programs_dir)
}

/// The variables that the user's programs inherit.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| {
        let prefix = |prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
        !FOREIGN.iter().any(|foreign| name == OsStr::new(foreign))
            && !FOREIGN_PREFIXES.iter().any(|p| prefix(p))
    })
}

/// Where a program is, if it can be run.
pub fn find_program(program: &str, working_dir: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(Path::new(working_dir).join(program)).filter(runs);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(runs)
}

fn make_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_desktop_does_not_leak_into_a_session() {
        let variables = [
            "PATH",
            "LANG",
            "DISPLAY",
            "XDG_SESSION_ID",
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "ANYTHING_ELSE",
        ];
        let pairs = variables.map(|name| (OsString::from(name), OsString::from("x")));
        let kept: Vec<_> = environment(pairs.into_iter()).map(|(name, _)| name).collect();
        assert_eq!(kept, ["PATH", "LANG", "ANYTHING_ELSE"]);
    }

    #[test]
    fn programs_are_found_as_a_shell_would() {
        assert!(find_program("sh", "/").is_some());
        assert!(find_program("no-such-program-anywhere", "/").is_none());
        assert!(find_program("/bin/sh", "/").is_some());
        assert!(find_program("./sh", "/bin").is_some());
        assert!(find_program(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "/").is_none());
    }
}
