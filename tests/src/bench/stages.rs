//! Where the time between a kill and the new frame goes.

use super::kills::{Kill, Way};
use super::percentile;
use super::watch::Seen;
use crate::events::{Event, now_us};
use crate::host::Host;
use crate::session::IDENTITY;
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// When each stage was over, in microseconds after the kill; `None` where
/// nothing tells.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// The DTU finds a link too silent.
    suspected_us: Option<u64>,
    /// It gave its server up.
    lost_us: Option<u64>,
    /// It has a control link to another one.
    connected_us: Option<u64>,
    /// It has asked that one for its session.
    inserted_us: Option<u64>,
    /// That one has begun to make room for the session: its directory says
    /// which it is.
    prepared_us: Option<u64>,
    /// The session's X server is ready.
    display_us: Option<u64>,
    /// The service has started.
    service_us: Option<u64>,
    /// The DTU is attached to the new session.
    attached_us: Option<u64>,
    /// The DTU says that the first frame is on the screen.
    first_frame_us: Option<u64>,
    /// The service's number is at the window.
    number_us: Option<u64>,
}

/// One line of the table: a name, and when it was over.
type Stage = (&'static str, fn(&Stages) -> Option<u64>);

const STAGES: [Stage; 10] = [
    ("the DTU suspects a link (suspicion)", |stages| stages.suspected_us),
    ("it gives its server up", |stages| stages.lost_us),
    ("it is connected to another (reconnect)", |stages| stages.connected_us),
    ("it has sent its insert", |stages| stages.inserted_us),
    ("a session is being prepared (probes, store)", |stages| stages.prepared_us),
    ("its X server is ready", |stages| stages.display_us),
    ("its service has started", |stages| stages.service_us),
    ("the DTU is attached", |stages| stages.attached_us),
    ("the DTU shows a first frame", |stages| stages.first_frame_us),
    ("the service's number is at the window", |stages| stages.number_us),
];

impl Stages {
    /// Puts together what the DTU's log, the new host's files and the window
    /// tell.
    pub fn of(killed_us: u64, events: &[Event], host: &Host, seen: Seen) -> Result<Self> {
        let after = |at_us: u64| at_us.checked_sub(killed_us);
        let first = |name: &str| {
            events.iter().find(|event| event.name == name).and_then(|event| after(event.t_us))
        };
        let mut stages = Stages {
            suspected_us: first("suspected"),
            lost_us: first("server_lost"),
            connected_us: first("connected"),
            inserted_us: first("inserted"),
            service_us: after(seen.nonce.started_us),
            attached_us: first("attached"),
            first_frame_us: first("first_frame"),
            number_us: after(seen.frame_us),
            ..Stages::default()
        };
        // The newest session of the host is the one that was started.
        for directory in host.session_directories()? {
            // Its X server may have waited since long before.
            let made_us = written_us(&directory.join(IDENTITY)).and_then(after);
            if made_us > stages.prepared_us {
                stages.prepared_us = made_us;
                stages.display_us = written_us(&directory.join("display")).and_then(after);
            }
        }
        Ok(stages)
    }
}

fn written_us(file: &Path) -> Option<u64> {
    let at = std::fs::metadata(file).and_then(|file| file.modified()).ok()?;
    Some(monotonic_us(at))
}

/// A file's time on the clock of the logs.
fn monotonic_us(at: SystemTime) -> u64 {
    let since_epoch_us =
        |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let ago_us = since_epoch_us(SystemTime::now()).saturating_sub(since_epoch_us(at));
    now_us().saturating_sub(ago_us)
}

/// When each stage was over: p50 and p99 in milliseconds after the kill.
pub fn table(kills: &[Kill]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{:<46} {:>17} {:>17}", "ms after the kill", "killed", "cut off");
    let _ = writeln!(text, "{:<46} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "p50", "p99");
    let line = |text: &mut String, name: &str, time: &dyn Fn(&Kill) -> Option<u64>| {
        let _ = write!(text, "{name:<46}");
        for way in [Way::Killed, Way::CutOff] {
            let of_way = kills.iter().filter(|kill| kill.way == way);
            let mut times: Vec<u64> = of_way.filter_map(time).map(|us| us / 1000).collect();
            times.sort_unstable();
            for percent in [50, 99] {
                let _ = match times.is_empty() {
                    true => write!(text, " {:>8}", "-"),
                    false => write!(text, " {:>8}", percentile(&times, percent)),
                };
            }
        }
        text.push('\n');
    };
    line(&mut text, "the on-screen display is up", &|kill| Some(kill.osd_us()));
    for (name, time) in STAGES {
        line(&mut text, name, &|kill| time(&kill.stages));
    }
    text
}
