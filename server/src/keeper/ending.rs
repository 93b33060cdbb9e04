//! That nothing of a session stays behind: its processes are found by the
//! variable that all of them inherit, and by what its directory notes.

use super::noted::{self, Part};
use super::program::SESSION_VARIABLE;
use super::session_dir;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Child;

/// How long programs have to end in order.
const IN_ORDER_WITHIN: Duration = Duration::from_millis(1000);
/// How often what is left is looked for again: something may come meanwhile.
const ROUNDS: u32 = 5;

/// How often it is looked whether a process that was just started has its
/// environment by now, and how many times.
const LAID_OUT_EVERY: Duration = Duration::from_micros(500);
const LAID_OUT_LOOKS: u32 = 20;

/// Asks a process group to end.
pub fn ask_group(leader: &Child) {
    if let Some(pid) = pid_of(leader) {
        // It may have ended already.
        let _ = kill_process_group(pid, Signal::TERM);
    }
}

/// Waits for a process to end in order, then kills its group.
pub async fn end_group(leader: &mut Child) {
    let pid = pid_of(leader);
    let _ = tokio::time::timeout(IN_ORDER_WITHIN, leader.wait()).await;
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = leader.wait().await;
}

/// A child's number, until it was waited for.
pub fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Kills every process of ours that has the session's mark in its environment.
pub async fn kill_marked(mark: &str) {
    for _ in 0..ROUNDS {
        let marked = marked_processes(mark);
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            noted::signal_if(pid, Signal::KILL, |pid| is_marked(pid, mark));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The processes of ours that have the session's mark and live.
pub fn marked_processes(mark: &str) -> Vec<Pid> {
    // A directory without a name would mean all sessions' processes.
    if mark.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    processes
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != own && is_marked(*pid, mark))
        .collect()
}

/// Another user's process may have copied the mark; a dead one has none.
pub fn is_marked(pid: Pid, mark: &str) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let us = rustix::process::geteuid().as_raw();
    if !process.metadata().is_ok_and(|found| found.uid() == us) {
        return false;
    }
    let wanted = format!("{SESSION_VARIABLE}={mark}");
    environment(&process).split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
}

/// A process's environment. For a moment after it was started it seems to have
/// none, while the kernel lays it out, and such a one is not to be missed. A
/// thread of the kernel's, and what is dead, have no program either.
fn environment(process: &Path) -> Vec<u8> {
    let mut environment = Vec::new();
    for _ in 0..LAID_OUT_LOOKS {
        environment = std::fs::read(process.join("environ")).unwrap_or_default();
        if !environment.is_empty() || process.join("exe").read_link().is_err() {
            break;
        }
        std::thread::sleep(LAID_OUT_EVERY);
    }
    environment
}

/// True if the directory's keeper is noted in it, and lives.
pub fn keeper_lives(dir: &Path) -> bool {
    noted::read(dir).iter().any(|(part, keeper)| *part == Part::Keeper && keeper.lives())
}

/// True if the directory's keeper is noted in it, and is gone.
pub fn keeper_is_gone(dir: &Path) -> bool {
    let is_noted = noted::read(dir).iter().any(|(part, _)| *part == Part::Keeper);
    is_noted && !keeper_lives(dir)
}

/// Clears away what is left of a session that nobody keeps: its processes,
/// then its directory. The error says why the directory stays.
pub async fn clear_away(dir: &Path) -> Result<(), String> {
    for (_, process) in noted::read(dir) {
        // Its group too, which it leads: as long as it lives, the number of
        // the group is its own.
        if process.lives() {
            let _ = kill_process_group(process.pid, Signal::KILL);
            process.signal(Signal::KILL);
        }
    }
    kill_marked(&session_dir::mark(dir)).await;
    remove_dir(dir)
}

/// Removes the session's directory and everything in it.
pub fn remove_dir(dir: &Path) -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(mount) = mounted_below(&mounts, dir) {
        // A program's own file system: what is in it is not ours to remove.
        return Err(format!("{} stays: {} is mounted in it", dir.display(), mount.display()));
    }
    for round in 1..=ROUNDS {
        match std::fs::remove_dir_all(dir) {
            // A log may be made while the directory is emptied.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && round < ROUNDS => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", dir.display()));
            }
            Ok(()) | Err(_) => break,
        }
    }
    Ok(())
}

/// A file system that is mounted somewhere below a directory, by the text of
/// `/proc/self/mountinfo`, whose fifth field is the place, spaces written as
/// `\040`.
fn mounted_below(mountinfo: &str, dir: &Path) -> Option<PathBuf> {
    let places = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    places
        .map(|place| PathBuf::from(place.replace("\\040", " ")))
        .find(|place| place != dir && place.starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_in_a_directory_is_seen() {
        let mounts = "22 1 0:20 / / rw - ext4 x rw\n\
                      30 22 0:30 / /run/s/aa/run/my\\040doc rw - fuse.portal portal rw\n";
        let below = |dir: &str| mounted_below(mounts, Path::new(dir));
        assert_eq!(below("/run/s/aa"), Some("/run/s/aa/run/my doc".into()));
        assert_eq!(below("/run/s/a"), None);
        assert_eq!(below("/run/s/bb"), None);
        assert_eq!(mounted_below("garbage\n\n1 2", Path::new("/run")), None);
    }

    #[test]
    fn what_was_started_this_very_moment_is_found() {
        for _ in 0..200 {
            let mut command = std::process::Command::new("sleep");
            let mut child = command.arg("1000").env(SESSION_VARIABLE, "c3d4").spawn().unwrap();
            assert!(is_marked(Pid::from_child(&child), "c3d4"));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn only_processes_with_the_mark_are_killed() {
        let start = |mark: &str| {
            let mut command = std::process::Command::new("sleep");
            command.arg("1000").env(SESSION_VARIABLE, mark).spawn().unwrap()
        };
        let (mut ours, mut longer, mut none) = (start("a1b2"), start("a1b2c"), start(""));
        kill_marked("a1b2").await;
        ours.wait().unwrap();
        kill_marked("").await;
        for other in [&mut longer, &mut none] {
            assert!(other.try_wait().unwrap().is_none());
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }
}
