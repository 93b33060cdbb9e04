//! The demo in a terminal on somebody's desktop: windows on their display, and
//! keys that make things happen.

use super::{CARD, words};
use crate::dtu::{self, DtuOptions};
use crate::events::EventLog;
use crate::process::{Process, kill, processes_like};
use crate::site::Site;
use crate::{programs, wait};
use anyhow::{Context, Result};
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::Read;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const HELP: &str = concat!(
    "  1  the card goes into the first desk unit      2  into the second (opens it)\n",
    "  r  the card is taken out                       i  and put in again\n",
    "  k  kill the server process of the session      w  kill what sends its pictures\n",
    "  b  kill both                                   h  kill its whole host\n",
    "  x  cut its host off: it stands still           s  start again what was killed or cut off\n",
    "  q  quit                  in the window: Ctrl+Alt+Shift+P for the session panel"
);

/// How often the event logs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(80);

/// A desk unit on this person's own display.
struct Desk {
    name: &'static str,
    process: Process,
    events: EventLog,
    told: usize,
}

struct Hands {
    site: Site,
    desks: Vec<Desk>,
    /// Which desk unit the card was in last.
    last: usize,
    started: Instant,
}

/// Lets a person play.
pub fn play() -> Result<()> {
    println!("Afterglow's demo: two servers, mud and host05, on this machine's loopback alone.");
    println!("Keys, in this terminal:\n{HELP}\n");
    let mut hands =
        Hands { site: super::servers()?, desks: Vec::new(), last: 0, started: Instant::now() };
    hands.open("desk1")?;
    let _raw = RawTerminal::new()?;
    let keys = keys()?;
    loop {
        match keys.recv_timeout(LOOK_EVERY) {
            Ok('q' | '\u{3}' | '\u{4}') | Err(RecvTimeoutError::Disconnected) => break,
            Ok(key) => {
                if let Err(error) = hands.press(key) {
                    hands.say(&format!("That did not work: {error:#}"));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        hands.tell()?;
        if hands.all_closed()? {
            break;
        }
    }
    hands.say("Ending both servers and all of their sessions.");
    hands.site.passed()
}

impl Hands {
    fn say(&self, text: &str) {
        println!("{:6.1} s  {text}", self.started.elapsed().as_secs_f32());
    }

    fn open(&mut self, name: &'static str) -> Result<()> {
        let directory = self.site.scratch().path().to_owned();
        let mut options = DtuOptions::new(name, CARD);
        options.size_px = (800, 600);
        options.keymap = None;
        let program = Command::new(programs::path("afterglow")?);
        let servers = self.site.control_addresses();
        let mut command = dtu::command(program, &directory, &servers, self.site.group(), &options)?;
        let log = directory.join(format!("{name}.log"));
        let process = Process::spawn("afterglow", &mut command, &log)?;
        self.say(&format!("{name}: a window opens, with the card in it"));
        let events = dtu::events(&directory, name);
        self.desks.push(Desk { name, process, events, told: 0 });
        self.last = self.desks.len() - 1;
        Ok(())
    }

    fn press(&mut self, key: char) -> Result<()> {
        match key {
            '1' => self.present(0),
            '2' if self.desks.len() < 2 => self.open("desk2"),
            '2' => self.present(1),
            'r' => self.desks[self.last].set_card(false),
            'i' => self.desks[self.last].set_card(true),
            'k' => {
                let owner = self.owner()?;
                self.say(&format!("SIGKILL to the server process on {owner}"));
                self.site.host(&owner)?.kill_server()
            }
            'w' => {
                let owner = self.owner()?;
                self.kill_worker(&owner)
            }
            'b' => {
                let owner = self.owner()?;
                self.say(&format!("SIGKILL to the server process on {owner}"));
                self.site.host(&owner)?.kill_server()?;
                self.kill_worker(&owner)
            }
            'x' => {
                let owner = self.owner()?;
                let stopped = self.site.host(&owner)?.stall()?;
                self.say(&format!("{owner} is cut off: {stopped} processes stand still"));
                Ok(())
            }
            'h' => {
                let owner = self.owner()?;
                let killed = self.site.host(&owner)?.kill()?;
                self.say(&format!("SIGKILL to everything on {owner}: {killed} processes"));
                Ok(())
            }
            's' => self.start_again(),
            _ => {
                println!("{HELP}");
                Ok(())
            }
        }
    }

    /// Puts the card into this desk unit, as if it came from elsewhere.
    fn present(&mut self, desk: usize) -> Result<()> {
        self.last = desk;
        self.desks[desk].set_card(false)?;
        self.desks[desk].set_card(true)
    }

    fn kill_worker(&mut self, owner: &str) -> Result<()> {
        for worker in processes_like(self.site.host(owner)?, "afterglow-session worker")? {
            self.say(&format!("SIGKILL to process {worker} on {owner}, which sends the pictures"));
            kill(worker)?;
        }
        Ok(())
    }

    fn start_again(&mut self) -> Result<()> {
        for number in 0..self.site.hosts.len() {
            self.site.hosts[number].go_on()?;
            if !self.site.hosts[number].server_runs()? {
                self.site.hosts[number].start_server()?;
                self.say(&format!("{} runs again", self.site.hosts[number].name()));
            }
        }
        Ok(())
    }

    /// The host of the session that is shown.
    fn owner(&self) -> Result<String> {
        let mut attached = None;
        for desk in &self.desks {
            let events = desk.events.all()?.into_iter();
            attached = attached
                .into_iter()
                .chain(events.filter(|e| e.name == "attached"))
                .max_by_key(|e| e.t_us);
        }
        let host = attached.and_then(|event| event.text("host").map(str::to_owned));
        host.context("no session is there yet")
    }

    /// Tells what happened since the last time.
    fn tell(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        for desk in &mut self.desks {
            let events = desk.events.after(desk.told)?;
            desk.told += events.len();
            lines.extend(events.iter().filter_map(|event| {
                Some((event.t_us, format!("{} {}", desk.name, words::of(event)?)))
            }));
        }
        lines.sort();
        for (_, line) in lines {
            self.say(&line);
        }
        Ok(())
    }

    fn all_closed(&mut self) -> Result<bool> {
        for desk in &mut self.desks {
            if desk.process.ended()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Desk {
    /// True if its software card is in, as far as its log tells.
    fn has_card(&self) -> Result<bool> {
        let events = self.events.all()?.into_iter().rev();
        let mut changes = events.filter(|e| e.name == "inserted" || e.name == "removed");
        Ok(changes.next().is_none_or(|event| event.name == "inserted"))
    }

    fn set_card(&mut self, wanted: bool) -> Result<()> {
        if self.has_card()? != wanted {
            self.process.signal(Signal::USR2)?;
            wait::until_true("the desk unit notices", || Ok(self.has_card()? == wanted))?;
        }
        Ok(())
    }
}

/// Keys come one by one and unseen as long as this lives.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn new() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("the terminal's settings")?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context("the terminal")?;
        Ok(RawTerminal { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The keys that are pressed; the channel ends when the terminal goes or the
/// demo is asked to end, so that nothing of it is left running.
fn keys() -> Result<Receiver<char>> {
    let (pressed, keys) = channel();
    let signals = pressed.clone();
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            let Ok(byte) = byte else { break };
            if pressed.send(char::from(byte)).is_err() {
                return;
            }
        }
        let _ = pressed.send('q');
    });
    quit_on_signals(signals)?;
    Ok(keys)
}

fn quit_on_signals(pressed: Sender<char>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        let _ = pressed.send('q');
    });
    Ok(())
}
