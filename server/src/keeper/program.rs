//! Programs of the user's: their environment, and how they are started.

use super::freezing::Pen;
use super::output::{self, Tail};
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

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
    /// What it printed last.
    pub said: Tail,
    /// Ends with its output.
    pub reading: JoinHandle<()>,
}

/// Where a session's programs run.
#[derive(Debug, Clone)]
pub struct Place {
    /// The session's directory.
    pub dir: PathBuf,
    home_dir: String,
    display: Display,
    pen: Pen,
}

/// The value of [`SESSION_VARIABLE`]: the name of the session's directory,
/// which stays its own whatever session it becomes.
pub fn session_mark(spec: &SessionSpec) -> String {
    mark_of(Path::new(&spec.runtime_dir))
}

/// Likewise, by the directory.
pub fn mark_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Place {
    /// A session's place, with its private directory for programs.
    pub fn new(spec: &SessionSpec, display: &Display, pen: Pen) -> Result<Self, String> {
        let dir = PathBuf::from(&spec.runtime_dir);
        let programs_dir = dir.join("run");
        make_private_dir(&programs_dir)
            .map_err(|e| format!("cannot make {}: {e}", programs_dir.display()))?;
        Ok(Place { dir, home_dir: spec.home_dir.clone(), display: display.clone(), pen })
    }

    /// Starts a program, whose output goes to a log of this name. The error is
    /// for the user.
    pub fn start(&self, words: &[String], log: &str) -> Result<Program, String> {
        let program = words.first().ok_or("the command is empty")?;
        if find_program(program, &self.home_dir).is_none() {
            return Err(format!("{program:?} cannot be found or run on the server"));
        }
        // A bus of its own, so that no program finds the host's desktop.
        let mut line = Vec::new();
        if let Some(bus) = find_program("dbus-run-session", "/") {
            line.extend([bus.into_os_string(), "--".into()]);
        }
        line.extend(words.iter().map(OsString::from));
        let line = self.pen.lead_in(line);
        let (first, rest) = line.split_first().ok_or("the command is empty")?;
        let (reader, writer) =
            std::io::pipe().map_err(|e| format!("cannot make a pipe for {program:?}: {e}"))?;
        let both = || writer.try_clone().map_err(|e| format!("cannot share a pipe: {e}"));
        let process = Command::new(first)
            .args(rest)
            .env_clear()
            .envs(environment(std::env::vars_os()))
            .env("HOME", &self.home_dir)
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("XDG_SESSION_TYPE", "x11")
            .env("DISPLAY", self.display.name())
            .env("XAUTHORITY", &self.display.authority_file)
            .env(SESSION_VARIABLE, mark_of(&self.dir))
            .current_dir(&self.home_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::from(both()?))
            .stderr(Stdio::from(both()?))
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start {program:?}: {e}"))?;
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())
            .map_err(|e| format!("cannot read what {program:?} prints: {e}"))?;
        let (said, reading) = output::collect(reader, &self.dir.join(log));
        Ok(Program { process, said, reading })
    }
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
