//! The event log (`--event-log FILE|-`): one JSON object a line.
//!
//! `t_us` is the system's monotonic clock in microseconds, so that the logs of
//! several DTUs of one machine can be merged. Lines are written by a thread of
//! their own: a full disk, a slow pipe or a closed one costs lines, which are
//! counted, and never stops the DTU.

use crate::diagnostics::Figures;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// The most lines that wait for the disk.
const LINES_WAITING_MAX: usize = 4096;

/// What happened. Its variant's name, in snake case, is the line's `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the log's format, told in the documentation")]
pub enum Event {
    /// Who draws: `renderer` is wgpu or cpu. The adapter draws everything, or
    /// what the processor does not; `software` tells if it is a program.
    Renderer { renderer: &'static str, adapter: String, software: bool },
    /// A server is known: `via` is listed, dns, dhcp, group, answer, remembered
    /// or heard.
    ServerFound { server: Option<String>, address: String, via: &'static str },
    /// A control link is up and the server has greeted.
    Connected { server: String, address: String },
    /// The group is unknown: the user is asked.
    FirstMeeting { server: String, group: String },
    /// An insert was sent.
    Inserted { server: String, cause: &'static str, token_kind: &'static str, insert: u64 },
    /// The server tells what it does about the insert, and about which host:
    /// looking, probing, starting, restarting or waiting_for_store.
    Progress { server: String, stage: &'static str, host: Option<String> },
    /// The server wants proof of the token.
    Challenged { server: String },
    /// A display link is up.
    Attached {
        session: String,
        epoch: u64,
        host: String,
        origin: &'static str,
        endpoint: String,
        attachment: u64,
    },
    /// The first frame of a display link is on the screen.
    FirstFrame { session: String, epoch: u64, width_px: u16, height_px: u16 },
    /// A display link is gone.
    Detached { reason: &'static str, text: String },
    /// The session that was shown, or was to be, is over.
    SessionEnded { text: String },
    /// The token went.
    Removed { insert: u64 },
    /// A link is silent for longer than its limit. Nothing is lost yet.
    Suspected { link: &'static str, server: String, silent_ms: u64, limit_ms: u64 },
    /// A suspected link spoke again.
    FalseAlarm { link: &'static str, server: String, silent_ms: u64, limit_ms: u64 },
    /// A control link is lost.
    ServerLost { server: String, silent_ms: u64, display_alive: bool },
    /// A server sent the DTU to another.
    Redirected { from: String, to: String, plan: &'static str },
    /// A server takes charge while the picture goes on.
    Resumed { server: String, session: String, epoch: u64 },
    /// The programs were started again on another host.
    TakenOver { on: String, session: String, epoch: u64 },
    /// An insert leads nowhere, or a server is not accepted.
    Refused { server: String, code: &'static str, text: String },
    /// A message of the past was dropped.
    Dropped { what: &'static str, why: &'static str },
    /// What the session panel lists: sessions, and earlier copies.
    Sessions { sessions: usize, older: usize },
    /// The user wants another session.
    Switched { new: bool },
    /// The user was told something, by the server or about it.
    Notice { text: String },
    /// The server asks the user something.
    Question { text: String },
    /// Input was sent again after a gap.
    InputResent { events: usize },
    /// The token source has trouble, or is well again (`null`).
    Reader { trouble: Option<String> },
    /// What the user sees changed.
    View { panel: Option<&'static str>, picture: &'static str },
    /// The picture at rest was compared with the session's; what differed is
    /// asked for again. It should never be anything.
    Compared { frame: u64, blocks_differing: usize },
    /// How exact the session's picture is while it changes: lossless or auto.
    Quality { quality: &'static str },
    /// Nobody uses the DTU and the screen is dark, or somebody does again.
    Dark { dark: bool },
    /// What frames cost, once a second while the diagnostics are on
    /// (`docs/diagnostics.md`).
    Diagnostics(Figures),
    /// Lines that could not be written.
    LinesLost { lines: u64 },
    /// The DTU ends.
    Closed { reason: &'static str },
}

#[derive(Serialize)]
struct Line<'a> {
    t_us: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// The system's monotonic clock in microseconds.
pub fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// Where events go. Clones write to the same log.
#[derive(Debug, Clone, Default)]
pub struct EventLog {
    out: Option<Out>,
}

#[derive(Debug, Clone)]
struct Out {
    lines: SyncSender<Work>,
    lost: Arc<AtomicU64>,
}

enum Work {
    Line(String),
    Flush(SyncSender<()>),
}

impl EventLog {
    /// A log that keeps nothing.
    pub fn none() -> Self {
        EventLog::default()
    }

    /// Opens a log: a file that is appended to, or `-` for the standard output.
    pub fn open(name: &str) -> io::Result<Self> {
        if name == "-" {
            return Self::to_writer(Box::new(io::stdout()));
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(name)?;
        Self::to_writer(Box::new(file))
    }

    fn to_writer(writer: Box<dyn Write + Send>) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        std::thread::Builder::new()
            .name("event-log".into())
            .spawn(move || write_lines(writer, &waiting, &counter))?;
        Ok(EventLog { out: Some(Out { lines, lost }) })
    }

    /// Writes an event, now or never.
    pub fn log(&self, event: &Event) {
        let Some(out) = &self.out else { return };
        let Ok(mut line) = serde_json::to_string(&Line { t_us: monotonic_us(), event }) else {
            return;
        };
        line.push('\n');
        if let Err(TrySendError::Full(_)) = out.lines.try_send(Work::Line(line)) {
            out.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged is written, but not for long.
    pub fn flush(&self, at_most: Duration) {
        let Some(out) = &self.out else { return };
        let (done, written) = sync_channel(1);
        if out.lines.try_send(Work::Flush(done)).is_ok() {
            let _ = written.recv_timeout(at_most);
        }
    }
}

/// The log's thread; ends with the last [`EventLog`].
fn write_lines(mut writer: Box<dyn Write + Send>, work: &Receiver<Work>, lost: &AtomicU64) {
    let mut torn = false;
    while let Ok(work) = work.recv() {
        let line = match work {
            Work::Line(line) => line,
            Work::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let event = Event::LinesLost { lines: missing };
            let note = serde_json::to_string(&Line { t_us: monotonic_us(), event: &event });
            let note = note.unwrap_or_default() + "\n";
            if put(&mut *writer, &note, &mut torn).is_err() {
                lost.fetch_add(missing, Ordering::Relaxed);
            }
        }
        if put(&mut *writer, &line, &mut torn).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes a line; `torn` tells that the one before it was cut by an error.
fn put(writer: &mut dyn Write, line: &str, torn: &mut bool) -> io::Result<()> {
    let result = if *torn { writer.write_all(b"\n") } else { Ok(()) }
        .and_then(|()| writer.write_all(line.as_bytes()))
        .and_then(|()| writer.flush());
    *torn = result.is_err();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_line_is_an_object_with_time_and_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = EventLog::open(path.to_str().unwrap()).unwrap();
        let before_us = monotonic_us();
        log.log(&Event::ServerFound { server: None, address: "1.2.3.4:5".into(), via: "listed" });
        log.clone().log(&Event::Closed { reason: "quit" });
        log.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["event"], "server_found");
        assert!(lines[0]["server"].is_null());
        assert!(lines[0]["t_us"].as_u64().unwrap() >= before_us);
        assert_eq!(lines[1]["event"], "closed");
    }

    /// Fails as long as it is full.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            if disk.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_says_how_many() {
        let disk = Disk::default();
        disk.0.lock().unwrap().0 = true;
        let log = EventLog::to_writer(Box::new(disk.clone())).unwrap();
        for insert in 0..3 {
            log.log(&Event::Removed { insert });
        }
        log.flush(Duration::from_secs(10));
        disk.0.lock().unwrap().0 = false;
        log.log(&Event::Closed { reason: "quit" });
        log.flush(Duration::from_secs(10));
        let text = String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap();
        assert!(text.contains(r#""event":"lines_lost","lines":3"#), "{text}");
        assert!(text.contains(r#""event":"closed""#), "{text}");
    }
}
