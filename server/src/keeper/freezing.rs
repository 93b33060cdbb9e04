//! Freezing a session's programs, so that an older copy changes nothing any
//! more: by the kernel's freezer where the session has a cgroup of its own,
//! else by SIGSTOP to every process that has the session's mark.
//!
//! The X server goes on: it does nothing without its programs, and theirs is
//! the state that is kept.

use super::ending::marked_processes;
use super::program::SESSION_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The cgroup of a session that has one: made by `systemd-run --scope`.
pub const SCOPE_PREFIX: &str = "afterglow-session-";
/// How long the kernel has to freeze or to thaw.
const WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where programs are kept so that they can be frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pen {
    /// A cgroup of theirs alone, in this directory.
    Cgroup(PathBuf),
    /// Wherever they are: they are known by the session's mark.
    Marked,
}

impl Pen {
    /// Makes the best pen that can be had.
    pub fn new() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (mounts, own) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
        let Some(scope) = own_scope(&mounts, &own) else { return Pen::Marked };
        let programs = scope.join("programs");
        match std::fs::create_dir(&programs) {
            Ok(()) if programs.join("cgroup.freeze").exists() => Pen::Cgroup(programs),
            Ok(()) => Pen::Marked,
            Err(error) => {
                tracing::warn!("cannot make the cgroup {}: {error}", programs.display());
                Pen::Marked
            }
        }
    }

    /// The command line that runs this one in the pen: a shell moves itself in
    /// first, so that nothing is ever started outside.
    pub fn lead_in(&self, line: Vec<OsString>) -> Vec<OsString> {
        let Pen::Cgroup(dir) = self else { return line };
        let script = "echo $$ > \"$0\"; exec \"$@\"";
        let mut led: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
        led.push(dir.join("cgroup.procs").into_os_string());
        led.extend(line);
        led
    }

    /// Freezes all that is in it; `spared` are processes with the mark that
    /// are no programs of the user's.
    pub async fn freeze(&self, mark: &str, spared: &[u32]) {
        match self {
            Pen::Cgroup(dir) => set_cgroup(dir, true).await,
            Pen::Marked => stop_marked(mark, spared).await,
        }
    }

    /// Lets it go on.
    pub async fn thaw(&self, mark: &str) {
        match self {
            Pen::Cgroup(dir) => set_cgroup(dir, false).await,
            Pen::Marked => {
                for pid in marked(mark) {
                    // It may be gone.
                    let _ = kill_process(pid, Signal::CONT);
                }
            }
        }
    }
}

/// Our own cgroup, if it is the scope of this session alone. `mounts` is
/// `/proc/self/mountinfo`, `own` is `/proc/self/cgroup`.
fn own_scope(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let is_scope = |name: &str| name.starts_with(SCOPE_PREFIX) && name.ends_with(".scope");
    Path::new(path).file_name()?.to_str().filter(|name| is_scope(name))?;
    // 25 30 0:26 / /sys/fs/cgroup rw,… shared:4 - cgroup2 cgroup2 rw
    let mount = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup2 ").then(|| {
            let mut fields = left.split(' ').skip(3);
            fields.next().zip(fields.next())
        })?
    })?;
    let (root, at) = mount;
    let inside = path.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(at).join(inside.trim_start_matches('/')))
}

async fn set_cgroup(dir: &Path, frozen: bool) {
    let value = if frozen { "1" } else { "0" };
    if let Err(error) = std::fs::write(dir.join("cgroup.freeze"), value) {
        return tracing::error!("cannot freeze or thaw {}: {error}", dir.display());
    }
    let wanted = format!("frozen {value}");
    let done = async {
        loop {
            let events = std::fs::read_to_string(dir.join("cgroup.events")).unwrap_or_default();
            if events.lines().any(|line| line == wanted) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(WITHIN, done).await.is_err() {
        tracing::warn!("{} is not {wanted} after {WITHIN:?}", dir.display());
    }
}

/// Stops all, and looks again until nothing runs: a program may have started
/// another one before it was stopped itself.
async fn stop_marked(mark: &str, spared: &[u32]) {
    let stop = async {
        loop {
            let running: Vec<Pid> = marked(mark)
                .into_iter()
                .filter(|pid| !spared.contains(&(pid.as_raw_nonzero().get() as u32)))
                .filter(|pid| !is_stopped(*pid))
                .collect();
            if running.is_empty() {
                return;
            }
            for pid in running {
                // It may be gone.
                let _ = kill_process(pid, Signal::STOP);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(WITHIN, stop).await.is_err() {
        tracing::warn!("some of the session's programs do not stop");
    }
}

fn marked(mark: &str) -> Vec<Pid> {
    marked_processes(format!("{SESSION_VARIABLE}={mark}").as_bytes())
}

/// True if it is stopped, or over.
fn is_stopped(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The command's name, in parentheses, may hold anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('R' | 'S' | 'D' | 'I'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "24 19 0:22 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        25 19 0:23 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw";

    #[test]
    fn only_a_scope_of_its_own_is_a_pen() {
        let scope = "0::/afterglow.slice/afterglow-session-ab12.scope";
        assert_eq!(
            own_scope(HYBRID, &format!("1:name=systemd:/x\n{scope}\n")),
            Some("/sys/fs/cgroup/unified/afterglow.slice/afterglow-session-ab12.scope".into())
        );
        let nested = "25 19 0:23 /afterglow.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(
            own_scope(nested, scope),
            Some("/sys/fs/cgroup/afterglow-session-ab12.scope".into())
        );
        for other in ["0::/", "0::/system.slice/afterglow-server.service", "1:freezer:/x", ""] {
            assert_eq!(own_scope(HYBRID, other), None, "{other}");
        }
        assert_eq!(own_scope("24 19 0:22 / /sys/fs/cgroup rw - cgroup cgroup rw", scope), None);
    }

    #[test]
    fn a_program_is_led_into_its_pen_before_it_starts() {
        let line = vec![OsString::from("xterm"), "-e".into()];
        assert_eq!(Pen::Marked.lead_in(line.clone()), line);
        let led = Pen::Cgroup("/sys/x".into()).lead_in(line);
        assert_eq!(led[3], "/sys/x/cgroup.procs");
        assert_eq!(led[4..], ["xterm", "-e"].map(OsString::from));
    }
}
