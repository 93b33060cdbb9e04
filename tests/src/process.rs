//! Child processes that end with their owner, and those of a whole host.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with its output in a log file.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot open {}", log.display()))?;
        command.stderr(file.try_clone()?);
        if name != "Xvfb" {
            command.stdout(file);
        }
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if it was piped.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills it at once, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails if it is not running any more.
    pub fn check(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, self.log_tail()),
        }
    }

    /// Waits until it ends by itself.
    pub fn wait_end(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        crate::wait::until(&what, timeout, || self.ended())
    }

    /// All that it said.
    pub fn log_text(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The environment variable that marks every process of one host.
pub const HOST_MARK: &str = "AFTERGLOW_HOST_MARK";

/// Every process that carries this mark, and its command line.
pub fn marked(mark: &str) -> Result<Vec<(Pid, String)>> {
    let entry = format!("{HOST_MARK}={mark}");
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").context("procfs")?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // A process that ends meanwhile, or is another user's, is not ours.
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes()) {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    Ok(found)
}

/// Sends a signal to every process that carries this mark; gives how many
/// there were.
pub fn signal_marked(mark: &str, signal: Signal) -> Result<usize> {
    let processes = marked(mark)?;
    for (pid, _) in &processes {
        // It may be gone already.
        let _ = kill_process(*pid, signal);
    }
    Ok(processes.len())
}

/// Kills every process that carries this mark, as a power cut would; gives
/// how many there were.
pub fn kill_marked(mark: &str) -> Result<usize> {
    let mut killed = 0;
    crate::wait::until_true("every process of the host is gone", || {
        let signalled = signal_marked(mark, Signal::KILL)?;
        killed += signalled;
        Ok(signalled == 0)
    })?;
    Ok(killed)
}

/// Kills one process at once (SIGKILL).
pub fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid as i32).context("a process id")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill process {pid:?}"))
}

/// The ids of every process of a host.
pub fn marked_pids(host: &crate::host::Host) -> Result<Vec<u32>> {
    Ok(host.processes()?.into_iter().map(|(pid, _)| pid).collect())
}

/// The ids of those processes of a host whose command line has these words.
pub fn processes_like(host: &crate::host::Host, words: &str) -> Result<Vec<u32>> {
    let processes = host.processes()?.into_iter();
    Ok(processes.filter(|(_, line)| line.contains(words)).map(|(pid, _)| pid).collect())
}

/// The processes of this machine that run this program, by its file's name.
pub fn running(program: &str) -> Result<Vec<u32>> {
    let pids = std::fs::read_dir("/proc").context("procfs")?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| runs(*pid, program)).collect())
}

/// True if this process runs this program.
pub fn runs(pid: u32, program: &str) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with(program))
}
