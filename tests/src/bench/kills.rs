//! Killing hosts: every second one all at once, as by a power cut, the others
//! cut off silently, so that no packet tells that they are gone.

use super::pattern::Nonce;
use super::stages::Stages;
use super::watch::{Corner, Seen};
use crate::dtu::{Dtu, DtuOptions};
use crate::events::now_us;
use crate::netns::capture::Capture;
use crate::netns::lan::{Lan, Segment};
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{programs, wait};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// A DTU that has nothing of another host's after this is stranded.
const STRANDED_AFTER: Duration = Duration::from_secs(15);
/// Between a frame and the next kill there is at least this, and at most twice
/// as much, so that kills meet every phase of the hosts' and the DTU's timers.
const PAUSE_MS: u64 = 500;

/// How many host messages two servers hear of each other before the next
/// kill: as on a day on which nobody had just booted.
const MESSAGES: usize = 4;

/// How a host goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// SIGKILL to everything on it.
    Killed,
    /// Its cable is dead; all on it goes on.
    CutOff,
}

/// One kill that ended with another host's frame.
#[derive(Debug, Clone)]
pub struct Kill {
    /// How.
    pub way: Way,
    /// When, by CLOCK_MONOTONIC: before the first signal, or before the switch
    /// was told.
    pub killed_us: u64,
    /// What was seen at the window.
    pub seen: Seen,
    /// Where the time went.
    pub stages: Stages,
}

impl Kill {
    /// From the kill to the dimmed picture under the on-screen display.
    pub fn osd_us(&self) -> u64 {
        self.seen.changed_us - self.killed_us
    }

    /// From the kill to the new service's number at the window.
    pub fn frame_us(&self) -> u64 {
        self.seen.frame_us - self.killed_us
    }
}

/// What came of all kills.
#[derive(Debug, Default)]
pub struct Measured {
    /// Those that ended well.
    pub kills: Vec<Kill>,
    /// How many did not.
    pub stranded: u64,
}

impl Measured {
    /// A time of all kills, sorted, in milliseconds.
    pub fn times_ms(&self, time_us: impl Fn(&Kill) -> u64) -> Vec<u64> {
        let mut times: Vec<u64> = self.kills.iter().map(|kill| time_us(kill) / 1000).collect();
        times.sort_unstable();
        times
    }
}

/// Two hosts on a network of their own, and one DTU.
pub fn measure(kills: u64) -> Result<Measured> {
    let mut measured = Measured::default();
    if kills == 0 {
        return Ok(measured);
    }
    let scratch = Scratch::new("bench-failover")?;
    let service = programs::path(super::SERVICE)?;
    let desktop = [&*service.to_string_lossy()];
    let lan = Lan::new(1)?;
    let capture = lan.capture(&scratch.path().join("group.jsonl"))?;
    let segments = [Segment::Bridge(0)];
    let mut site = Site::prepare_apart(scratch, lan, &["mud", "host05"], &segments, &desktop, "")?;
    for host in &mut site.hosts {
        host.start_server()?;
    }
    site.wait_acquainted()?;
    let screen = site.screen(640, 480)?;
    let desk = site.desk(1, &segments)?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:ada"))?;
    let connection = screen.connect_again()?;
    let corner = Corner::of(&dtu, &connection);
    let mut number = corner.wait_number(wait::PATIENCE)?;
    wait_settled(&site, &capture, now_us())?;
    for count in 0..kills {
        let way = if count % 2 == 0 { Way::Killed } else { Way::CutOff };
        pause(count);
        match kill_once(&mut site, &dtu, &corner, &capture, number, way)? {
            Some(kill) => {
                eprintln!(
                    "{}/{kills} {way:?}: on-screen display after {} ms, frame after {} ms",
                    count + 1,
                    kill.osd_us() / 1000,
                    kill.frame_us() / 1000
                );
                number = kill.seen.nonce;
                measured.kills.push(kill);
            }
            None => {
                measured.stranded += 1;
                eprintln!("{}/{kills} {way:?}: STRANDED", count + 1);
                number = corner.wait_number(2 * wait::PATIENCE)?;
            }
        }
    }
    // Its logs are kept: they tell more of where the time went.
    Ok(measured)
}

/// Golden-ratio steps: no randomness is needed to meet every phase.
fn pause(count: u64) {
    let fraction = (count as f64 * 0.618_034).fract();
    std::thread::sleep(Duration::from_millis(PAUSE_MS + (PAUSE_MS as f64 * fraction) as u64));
}

/// Kills the host that the session is on, watches, and brings the host back.
fn kill_once(
    site: &mut Site,
    dtu: &Dtu<'_>,
    corner: &Corner<'_>,
    capture: &Capture,
    old: Nonce,
    way: Way,
) -> Result<Option<Kill>> {
    let lost = dtu.attached_host()?;
    let before = corner.picture()?;
    ensure!(Nonce::read(&before) == Some(old), "the session shows what it drew");
    let mark = dtu.events.mark()?;
    let killed_us = match way {
        Way::Killed => site.host(&lost)?.kill_at_once()?,
        Way::CutOff => {
            let node = site.host(&lost)?.node()?.clone();
            let cut_us = now_us();
            site.lan()?.cut(node.first())?;
            cut_us
        }
    };
    let seen = corner.watch(&before, old, killed_us, STRANDED_AFTER)?;
    let kill = match seen {
        Some(seen) => {
            let frame = dtu.wait_first_frame(mark)?;
            let other = dtu.attached_host()?;
            ensure!(other != lost, "the frame is another host's: {frame:?}");
            let events = dtu.events.after(mark)?;
            let stages = Stages::of(killed_us, &events, site.host(&other)?, seen)?;
            Some(Kill { way, killed_us, seen, stages })
        }
        None => None,
    };
    let mended_us = now_us();
    bring_back(site, &lost)?;
    wait_settled(site, capture, mended_us)?;
    Ok(kill)
}

/// Waits until every server has spoken a few times from a time on.
fn wait_settled(site: &Site, capture: &Capture, since_us: u64) -> Result<()> {
    for host in &site.hosts {
        let what = format!("{} tells of itself {MESSAGES} times", host.name());
        let address = host.address();
        wait::until_true(&what, || {
            let seen = capture.all()?.into_iter().filter(|seen| {
                seen.t_us >= since_us
                    && seen.kind() == "host"
                    && *seen.from.ip() == address
                    && seen.to.ip().octets()[3] == 255
            });
            Ok(seen.count() >= MESSAGES)
        })?;
    }
    Ok(())
}

/// The host boots again: nothing of before runs, and its cable is mended.
fn bring_back(site: &mut Site, name: &str) -> Result<()> {
    let host = site.host(name)?;
    host.kill()?;
    let node = host.node()?.clone();
    site.lan()?.mend(node.first())?;
    let others: Vec<String> = site.hosts.iter().map(|host| host.name().to_owned()).collect();
    let host = site.host(name)?;
    let logged = host.server_log().len();
    host.start_server()?;
    for other in others.iter().filter(|other| *other != name) {
        let words = format!("server {other} is up");
        wait::until_true(&format!("{name} hears {other}"), || {
            Ok(host.server_log().get(logged..).context("a log grows")?.contains(&words))
        })?;
    }
    Ok(())
}
