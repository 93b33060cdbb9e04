//! That nothing of a session stays behind: its processes are found by the
//! variable that all of them inherit.

use super::program::SESSION_VARIABLE;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::process::Child;

/// How long programs have to end in order.
const IN_ORDER_WITHIN: Duration = Duration::from_millis(1000);
/// How often what is left is looked for again: something may come meanwhile.
const ROUNDS: u32 = 5;

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

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Kills every process that has the session's mark in its environment.
pub async fn kill_marked(mark: &str) {
    let wanted = format!("{SESSION_VARIABLE}={mark}");
    for _ in 0..ROUNDS {
        let marked = marked_processes(wanted.as_bytes());
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            let _ = kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every process but our own that has this in its environment.
pub fn marked_processes(wanted: &[u8]) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    processes
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != own && has_variable(*pid, wanted))
        .collect()
}

/// Another user's process cannot be read, and a dead one has no variables.
fn has_variable(pid: Pid, wanted: &[u8]) -> bool {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|pair| pair == wanted))
}

/// Removes the session's directory and everything in it.
pub fn remove_dir(dir: &Path) {
    for round in 1..=ROUNDS {
        match std::fs::remove_dir_all(dir) {
            // A log may be made while the directory is emptied.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && round < ROUNDS => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return tracing::warn!("cannot remove {}: {error}", dir.display());
            }
            Ok(()) | Err(_) => return,
        }
    }
}
