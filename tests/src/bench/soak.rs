//! A bad network, stalls and busy processors, and no host that dies: nothing
//! may be taken over.

use super::watch::Corner;
use crate::dtu::DtuOptions;
use crate::events::{Event, now_us};
use crate::host::Host;
use crate::netns::lan::{Lan, Segment};
use crate::netns::relay::Weather;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{programs, wait};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Command;
use std::time::{Duration, Instant};

/// Every frame of every host goes through this.
const WEATHER: Weather = Weather { loss_percent: 5, jitter_ms: 200 };
/// How long a process stands still.
const STALL: Duration = Duration::from_secs(1);
/// Between two stalls there is at least this, and at most twice as much.
const QUIET_MS: u64 = 3_000;
/// What a stall causes may come this much later than its end.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How many processors are kept busy.
const BUSY: usize = 2;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Soaked {
    /// For how long.
    seconds: u64,
    /// How often the server stood still, and how often the session did.
    stalls: (u64, u64),
    /// How often the DTU suspected a link, and how often without a stall of its
    /// other end.
    suspicions: (u64, u64),
    /// How often the DTU gave its server up while the picture went on, which
    /// its badge tells; and how often without a stall of the server.
    badges: (u64, u64),
    /// How often the DTU put a panel over a dimmed picture, and how often
    /// without a stall of either.
    panels: (u64, u64),
    /// How often a session was taken over. Nobody died, so each is false.
    pub takeovers: u64,
}

impl std::fmt::Display for Soaked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.seconds == 0 {
            return write!(f, "soak: none");
        }
        write!(
            f,
            "soak: {} s with {}% loss, {} ms jitter, {BUSY} busy processors, {} stalls of the \
             server and {} of the session, {} ms each: suspicions {}, of them {} without a stall \
             of the other end; badges {}, of them {} without a stall of the server; panels {}, of \
             them {} without a stall; take-overs {}",
            self.seconds,
            WEATHER.loss_percent,
            WEATHER.jitter_ms,
            self.stalls.0,
            self.stalls.1,
            STALL.as_millis(),
            self.suspicions.0,
            self.suspicions.1,
            self.badges.0,
            self.badges.1,
            self.panels.0,
            self.panels.1,
            self.takeovers
        )
    }
}

/// What stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Session,
}

/// A stall that was.
struct Stall {
    victim: Victim,
    from_us: u64,
    to_us: u64,
}

impl Stall {
    fn explains(&self, at_us: u64) -> bool {
        let aftermath_us = AFTERMATH.as_micros() as u64;
        (self.from_us..self.to_us + aftermath_us).contains(&at_us)
    }
}

/// Two hosts and a DTU endure it for this long.
pub fn endure(seconds: u64) -> Result<Soaked> {
    let scratch = Scratch::new("bench-soak")?;
    let service = programs::path(super::SERVICE)?;
    let desktop = [&*service.to_string_lossy()];
    let segments = [Segment::Loose];
    let lan = Lan::new(0)?;
    let mut site = Site::prepare_apart(scratch, lan, &["mud", "host05"], &segments, &desktop, "")?;
    let desk = site.desk(1, &segments)?;
    let nodes = [site.hosts[0].node()?.clone(), site.hosts[1].node()?.clone(), desk.clone()];
    let nodes = nodes.each_ref().map(AsRef::as_ref);
    let mut relay = site.lan()?.relay(&nodes, Weather::FAIR)?;
    for host in &mut site.hosts {
        host.start_server()?;
    }
    site.wait_acquainted()?;
    let screen = site.screen(640, 480)?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:ada"))?;
    let connection = screen.connect_again()?;
    let corner = Corner::of(&dtu, &connection);
    let number = corner.wait_number(wait::PATIENCE)?;

    let mark = dtu.events.mark()?;
    relay.set(WEATHER)?;
    let busy = busy_processors(&site)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut stalls = Vec::new();
    let mut told = Instant::now();
    while Instant::now() < end {
        let fraction = (stalls.len() as f64 * 0.618_034).fract();
        std::thread::sleep(Duration::from_millis(QUIET_MS + (QUIET_MS as f64 * fraction) as u64));
        let victim = if stalls.len() % 2 == 0 { Victim::Server } else { Victim::Session };
        let host = dtu.attached_host()?;
        stalls.push(stall(site.host(&host)?, victim)?);
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            let soaked = count(seconds, &stalls, &dtu.events.after(mark)?);
            eprintln!("{} s to go; {soaked}", (end - Instant::now().min(end)).as_secs());
        }
    }
    drop(busy);
    relay.set(Weather::FAIR)?;
    let soaked = count(seconds, &stalls, &dtu.events.after(mark)?);
    // What was there before is there still.
    let now = corner.wait_number(3 * wait::PATIENCE)?;
    if soaked.takeovers == 0 && now != number {
        bail!("the session's service is another one, and no take-over was told");
    }
    Ok(soaked)
}

/// Programs that only compute.
fn busy_processors(site: &Site) -> Result<Vec<Process>> {
    let log = site.scratch().path().join("busy.log");
    let start = |_| {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        // In the switch's namespace they end with everything.
        let mut command = site.lan()?.switch().inside(&command);
        Process::spawn("a busy program", &mut command, &log)
    };
    (0..BUSY).map(start).collect()
}

/// Lets the server, or all of its sessions' processes, stand still for a while.
fn stall(host: &Host, victim: Victim) -> Result<Stall> {
    let server = host.server_pid()?;
    let pids = host.processes()?.into_iter().map(|(pid, _)| pid);
    let pids: Vec<Pid> = pids
        .filter(|pid| (*pid == server) == (victim == Victim::Server))
        .map(|pid| Pid::from_raw(pid as i32).context("a process id"))
        .collect::<Result<_>>()?;
    let from_us = now_us();
    for signal in [Signal::STOP, Signal::CONT] {
        for pid in &pids {
            // Programs of a desktop come and go.
            let _ = kill_process(*pid, signal);
        }
        if signal == Signal::STOP {
            std::thread::sleep(STALL);
        }
    }
    Ok(Stall { victim, from_us, to_us: now_us() })
}

fn count(seconds: u64, stalls: &[Stall], events: &[Event]) -> Soaked {
    let of = |victim| stalls.iter().filter(|stall| stall.victim == victim).count() as u64;
    let mut soaked =
        Soaked { seconds, stalls: (of(Victim::Server), of(Victim::Session)), ..Soaked::default() };
    let alive = |event: &Event| event.fields.get("display_alive") == Some(&true.into());
    let explained = |event: &Event, only: Option<Victim>| {
        let mut stalls = stalls.iter();
        stalls.any(|stall| {
            only.is_none_or(|victim| victim == stall.victim) && stall.explains(event.t_us)
        })
    };
    for event in events {
        match event.name.as_str() {
            "taken_over" => soaked.takeovers += 1,
            "suspected" => {
                let other_end = match event.text("link") {
                    Some("display") => Victim::Session,
                    _ => Victim::Server,
                };
                soaked.suspicions.0 += 1;
                soaked.suspicions.1 += u64::from(!explained(event, Some(other_end)));
            }
            "server_lost" if alive(event) => {
                soaked.badges.0 += 1;
                soaked.badges.1 += u64::from(!explained(event, Some(Victim::Server)));
            }
            "view" if event.text("picture") == Some("dimmed") => {
                soaked.panels.0 += 1;
                soaked.panels.1 += u64::from(!explained(event, None));
            }
            _ => {}
        }
    }
    soaked
}
