//! That a session's programs stand still: all but the keeper, the worker and
//! the X server. Nothing of theirs is lost, and nothing of theirs goes on.
//!
//! Where the session has a control group of its own its programs are put into
//! a part of it that is frozen; nothing gets away from that. Elsewhere each is
//! stopped by a signal, again and again until none runs: what is stopped
//! starts nothing.

use super::noted::{Noted, Stat, signal_if};
use super::{cgroup, ending};
use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether all stand still, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 200;

/// What was done to make a session's programs stand still.
#[derive(Debug, Default)]
pub struct Frozen {
    /// The group that is frozen.
    group: Option<PathBuf>,
    /// Those that were stopped.
    stopped: Vec<Noted>,
    /// True once none of them goes on.
    pub complete: bool,
}

impl Frozen {
    /// Freezes the programs of the session in this directory, `but` these
    /// processes. It may be called again if it was not complete.
    pub async fn freeze(&mut self, dir: &Path, but: &[Pid]) {
        let group = cgroup::own(dir).map(|own| (cgroup::programs(&own), own));
        match group {
            Some((Ok(programs), own)) => {
                match freeze_group(&own, &programs, but).await {
                    Ok(complete) => self.complete = complete,
                    Err(error) => tracing::warn!("{}: {error}", programs.display()),
                }
                self.group = Some(programs);
            }
            Some((Err(error), own)) => {
                tracing::warn!("{}: {error}; programs are stopped by signals", own.display());
            }
            None => {}
        }
        if !self.complete {
            self.complete = self.stop(&super::session_dir::mark(dir), but).await;
        }
    }

    async fn stop(&mut self, mark: &str, but: &[Pid]) -> bool {
        for _ in 0..LOOKS_MAX {
            let marked = ending::marked_processes(mark).into_iter();
            let running: Vec<Pid> =
                marked.filter(|pid| !but.contains(pid) && !self.stands_still(*pid)).collect();
            if running.is_empty() {
                return true;
            }
            for pid in running {
                let Some(noted) = Noted::of(pid) else { continue };
                let stopped = signal_if(pid, Signal::STOP, |pid| ending::is_marked(pid, mark));
                if stopped && !self.stopped.contains(&noted) {
                    self.stopped.push(noted);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// True if a process is stopped, runs no more, or was told to stop while
    /// it waits in the kernel: it stops before it does anything else. One that
    /// starts another (vfork) waits so for as long as the other is stopped.
    fn stands_still(&self, pid: Pid) -> bool {
        match Stat::of(pid).map(|stat| stat.state) {
            None | Some('T' | 't' | 'Z' | 'X') => true,
            Some('D') => Noted::of(pid).is_some_and(|noted| self.stopped.contains(&noted)),
            Some(_) => false,
        }
    }

    /// Lets all of them go on; what its user had stopped before stays stopped.
    pub fn thaw(self) {
        if let Some(group) = self.group
            && let Err(error) = std::fs::write(group.join("cgroup.freeze"), "0")
        {
            tracing::error!("{} cannot be thawed: {error}", group.display());
        }
        // What was stopped last waits for nobody that was stopped before.
        for noted in self.stopped.iter().rev() {
            noted.signal(Signal::CONT);
        }
    }
}

/// True once all is frozen.
async fn freeze_group(own: &Path, programs: &Path, but: &[Pid]) -> std::io::Result<bool> {
    // Frozen first: what comes in then stands still.
    std::fs::write(programs.join("cgroup.freeze"), "1")?;
    for _ in 0..LOOKS_MAX {
        let outside: Vec<Pid> = std::fs::read_to_string(own.join("cgroup.procs"))?
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
            .filter(|pid| !but.contains(pid) && *pid != rustix::process::getpid())
            .collect();
        for pid in &outside {
            let text = pid.as_raw_nonzero().to_string();
            // It may be gone by now; if it is not it is tried again.
            let _ = std::fs::write(programs.join("cgroup.procs"), text);
        }
        let events = std::fs::read_to_string(programs.join("cgroup.events"))?;
        if outside.is_empty() && events.lines().any(|line| line == "frozen 1") {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::program::SESSION_VARIABLE;
    use std::process::Command;

    fn stands_still(pid: Pid) -> bool {
        Stat::of(pid).is_some_and(|stat| stat.state == 'T')
    }

    fn sleeper(mark: &str) -> std::process::Child {
        Command::new("sleep").arg("1000").env(SESSION_VARIABLE, mark).spawn().unwrap()
    }

    #[tokio::test]
    async fn programs_are_stopped_and_go_on_and_what_was_stopped_before_stays_so() {
        let dir = Path::new("/nowhere/00112233aabbccdd");
        let mark = "00112233aabbccdd";
        let mut children = [sleeper(mark), sleeper(mark), sleeper(mark), sleeper("other")];
        let pids: Vec<Pid> = children.iter().map(Pid::from_child).collect();
        rustix::process::kill_process(pids[1], Signal::STOP).unwrap();
        while !stands_still(pids[1]) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut frozen = Frozen::default();
        frozen.freeze(dir, &[pids[2]]).await;
        assert!(frozen.complete);
        let still =
            |pids: &[Pid]| -> Vec<bool> { pids.iter().map(|pid| stands_still(*pid)).collect() };
        assert_eq!(still(&pids), [true, true, false, false]);
        frozen.thaw();
        while stands_still(pids[0]) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        assert_eq!(still(&pids), [false, true, false, false]);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
