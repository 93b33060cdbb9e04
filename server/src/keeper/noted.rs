//! Processes by more than their number: a number is given again once its
//! process is gone, so each is noted with the time at which it started, and a
//! process that started at another time is never touched.

use super::session_dir::read_bounded;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::Write as _;
use std::path::Path;

/// The file in a session's directory.
const FILE: &str = "processes";
/// The longest such file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a noted process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The keeper itself.
    Keeper,
    /// The X server.
    XServer,
    /// The leader of the desktop's processes.
    Desktop,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::Keeper => "keeper",
            Part::XServer => "x-server",
            Part::Desktop => "desktop",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Part::Keeper, Part::XServer, Part::Desktop].into_iter().find(|part| part.word() == word)
    }
}

/// One process, and no other that has its number later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its number.
    pub pid: Pid,
    /// When it started, in the kernel's ticks since the boot.
    start_ticks: u64,
    /// Which boot.
    boot: String,
}

impl Noted {
    /// The process that has this number now.
    pub fn of(pid: Pid) -> Option<Self> {
        let start_ticks = Stat::of(pid)?.start_ticks;
        Some(Noted { pid, start_ticks, boot: boot() })
    }

    /// True as long as it lives; what is dead and not yet buried does not.
    pub fn lives(&self) -> bool {
        self.is_it() && Stat::of(self.pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    fn is_it(&self) -> bool {
        self.boot == boot()
            && Stat::of(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks)
    }

    /// Sends it a signal; false if it is gone, or is not to be signalled.
    pub fn signal(&self, signal: Signal) -> bool {
        signal_if(self.pid, signal, |_| self.is_it())
    }
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `T`, `Z` and so on.
    pub state: char,
    /// When it started, in ticks since the boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Of the process that has this number now.
    pub fn of(pid: Pid) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        Stat::parse(&String::from_utf8_lossy(&text))
    }

    /// The name may hold anything, so what follows its last bracket counts
    /// (proc_pid_stat(5): the state is field 3, the start time field 22).
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Stat { state, start_ticks: fields.nth(18)?.parse().ok()? })
    }
}

/// Sends a signal to the process that has this number, if it is the right one.
/// A process that takes its place meanwhile gets nothing.
pub fn signal_if(pid: Pid, signal: Signal, right: impl FnOnce(Pid) -> bool) -> bool {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => right(pid) && pidfd_send_signal(process, signal).is_ok(),
        // A kernel without descriptors for processes (before 5.3).
        Err(rustix::io::Errno::NOSYS) => {
            right(pid) && rustix::process::kill_process(pid, signal).is_ok()
        }
        Err(_) => false,
    }
}

/// Notes a process in a session's directory.
pub fn note(dir: &Path, part: Part, pid: Pid) {
    let Some(noted) = Noted::of(pid) else { return };
    let line =
        format!("{} {} {} {}\n", part.word(), pid.as_raw_nonzero(), noted.start_ticks, noted.boot);
    let path = dir.join(FILE);
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        // It has its mark all the same.
        tracing::warn!("cannot write {}: {error}", path.display());
    }
}

/// The processes that are noted in a session's directory. What is not in form
/// is passed over.
pub fn read(dir: &Path) -> Vec<(Part, Noted)> {
    let text = read_bounded(&dir.join(FILE), FILE_BYTES_MAX).unwrap_or_default();
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Part, Noted)> {
    let mut words = line.split(' ');
    let part = Part::of_word(words.next()?)?;
    let pid = Pid::from_raw(words.next()?.parse().ok().filter(|pid| *pid > 1)?)?;
    let start_ticks = words.next()?.parse().ok()?;
    let boot = words.next()?.to_owned();
    words.next().is_none().then_some((part, Noted { pid, start_ticks, boot }))
}

/// Which boot this is: start times count from it.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = Some(Stat { state: 'S', start_ticks: 4711 });
        assert_eq!(Stat::parse(&format!("42 (sh) {tail}")), stat);
        assert_eq!(Stat::parse(&format!("42 (a ) Z 1) {tail}")), stat);
        for garbage in ["", "42", "42 (sh)", "42 (sh) S", "42 (sh) S 1 2 3"] {
            assert_eq!(Stat::parse(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_number_that_belongs_to_another_program_now_is_never_signalled() {
        let mut other = sleeper();
        let pid = Pid::from_child(&other);
        let right = Noted::of(pid).unwrap();
        let earlier = Noted { start_ticks: right.start_ticks - 1, ..right.clone() };
        let other_boot = Noted { boot: "another".into(), ..right.clone() };
        for wrong in [&earlier, &other_boot] {
            assert!(!wrong.lives());
            assert!(!wrong.signal(Signal::KILL));
        }
        assert!(right.lives() && other.try_wait().unwrap().is_none());
        assert!(right.signal(Signal::KILL));
        other.wait().unwrap();
        assert!(!right.lives() && !right.signal(Signal::KILL));
    }

    #[test]
    fn what_was_noted_is_read_and_garbage_in_the_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), []);
        let own = rustix::process::getpid();
        note(dir.path(), Part::Keeper, own);
        let mut text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        text += "x-server 1 2 here\nx-server -5 2 here\nx-server 0 2 here\nfoe 77 2 here\n\0\n\
                 desktop 77 two here\ndesktop 77\n\ndesktop 99999999999 2 here\n";
        std::fs::write(dir.path().join(FILE), text).unwrap();
        assert_eq!(read(dir.path()), [(Part::Keeper, Noted::of(own).unwrap())]);
        std::fs::write(dir.path().join(FILE), [b'x'; 100_000]).unwrap();
        assert_eq!(read(dir.path()), []);
    }
}
