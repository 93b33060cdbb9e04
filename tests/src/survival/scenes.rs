//! What dies while somebody types.

use super::account::{Account, Layer, Row, compare};
use super::ground::{Ground, LAN, SERVERS};
use super::hands::{Hands, typing};
use crate::dtu::{Dtu, DtuOptions};
use crate::process::processes_like;
use crate::screen::Screen;
use crate::wait;
use anyhow::{Context, Result, ensure};

/// Keys before and after what happens, at least.
const KEYS: usize = 20;

struct Play<'a, 's> {
    ground: Ground,
    screen: &'s Screen,
    dtu: Dtu<'s>,
    account: &'a mut Account,
    /// What was typed since the program that is typed into began.
    typed: Vec<u8>,
}

/// One round of all scenes, on hosts of its own.
pub fn round(test: &str, account: &mut Account) -> Result<()> {
    let mut ground = Ground::new(test)?;
    let screen = ground.site.screen(640, 480)?;
    let desk = ground.site.desk(1, &LAN)?;
    let dtu = ground.site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    ground.program()?;
    let typed = Vec::new();
    let mut play = Play { ground, screen: &screen, dtu, account, typed };
    play.lives_on("server killed", Layer::Server, |play, _| {
        let mark = play.dtu.events.mark()?;
        let owner = play.owner()?;
        play.ground.site.host(&owner)?.kill_server()?;
        play.dtu.events.wait_after(mark, "resumed", |_| true)?;
        play.start_server(&owner)
    })?;
    play.lives_on("store restarted", Layer::Server, |play, hands| {
        play.ground.store.kill()?;
        hands.wait_typed(KEYS)?;
        play.ground.store.start()
    })?;
    play.lives_on("rolling restart", Layer::Server, |play, hands| {
        for name in SERVERS {
            play.ground.site.host(name)?.stop_server()?;
            hands.wait_typed(KEYS / 2)?;
            play.ground.site.host(name)?.start_server()?;
        }
        Ok(())
    })?;
    play.lives_on("worker killed", Layer::Worker, |play, _| {
        let owner = play.owner()?;
        play.kill_worker(&owner)
    })?;
    play.lives_on("server and worker killed", Layer::Worker, |play, _| {
        let owner = play.owner()?;
        let mark = play.dtu.events.mark()?;
        play.ground.site.host(&owner)?.kill_server()?;
        play.kill_worker(&owner)?;
        play.dtu.events.wait_after(mark, "first_frame", |_| true)?;
        play.start_server(&owner)
    })?;
    let cut = play.cut_off()?;
    play.host_killed(&cut)?;
    play.ground.site.passed()
}

impl Play<'_, '_> {
    /// The host of the session that is shown.
    fn owner(&self) -> Result<String> {
        self.dtu.attached_host()
    }

    fn kill_worker(&mut self, owner: &str) -> Result<()> {
        let mark = self.dtu.events.mark()?;
        self.ground.site.host(owner)?.kill_workers()?;
        self.dtu.events.wait_after(mark, "first_frame", |_| true)?;
        Ok(())
    }

    /// Starts a server again, and waits until it is in charge again.
    fn start_server(&mut self, owner: &str) -> Result<()> {
        let mark = self.dtu.events.mark()?;
        self.ground.site.host(owner)?.start_server()?;
        self.dtu.events.wait_after(mark, "resumed", |e| e.text("server") == Some(owner))?;
        Ok(())
    }

    /// A scene that no program notices: each key arrives, once and in order.
    fn lives_on(
        &mut self,
        name: &'static str,
        layer: Layer,
        scene: impl FnOnce(&mut Self, &Hands) -> Result<()>,
    ) -> Result<()> {
        let program = self.ground.program()?;
        let before = self.typed.len();
        self.dtu.focus()?;
        let (screen, window) = (self.screen, self.dtu.window());
        let (played, typed, gap_ms) = typing(screen, window, before, |hands| {
            hands.wait_typed(KEYS)?;
            scene(self, hands)?;
            hands.wait_typed(KEYS)
        })
        .with_context(|| name)?;
        let () = played;
        self.typed.extend(&typed);
        let received = self.wait_received()?;
        let (lost, doubled) = compare(&self.typed, &received);
        let programs_lost = usize::from(self.ground.program()? != program);
        self.account.rows.push(Row {
            name,
            layer,
            sent: typed.len(),
            lost,
            doubled,
            gap_ms,
            programs_lost,
            writes_lost: 0,
            double_sessions: 0,
        });
        // What follows counts from here.
        self.typed = received;
        Ok(())
    }

    /// Waits until the program has as many keys as were typed, or no more come.
    fn wait_received(&self) -> Result<Vec<u8>> {
        let wanted = self.typed.len();
        let all = wait::until("every key arrives", wait::PATIENCE, || {
            Ok(Some(self.ground.received()?).filter(|received| received.len() >= wanted))
        });
        all.or_else(|_| self.ground.received())
    }

    /// The session's host is cut off from everything, the store too, and comes
    /// back: its older copy is frozen then. Gives that host.
    fn cut_off(&mut self) -> Result<String> {
        let lost = self.owner()?;
        let node = self.ground.site.host(&lost)?.node()?.clone();
        self.host_gone("cut off and healed", &lost, |play| {
            play.ground.site.lan()?.cut(node.first())
        })?;
        // Alone it cannot write anything about its session.
        self.ground.site.host(&lost)?.wait_log("is away")?;
        self.ground.site.lan()?.mend(node.first())?;
        self.ground.site.host(&lost)?.wait_log("is frozen, until its user decides")?;
        wait::until_true("the older copy's programs stand still", || {
            let host = self.ground.site.host(&lost)?;
            let programs = processes_like(host, "xterm")?;
            ensure!(!programs.is_empty(), "they were killed");
            Ok(programs.into_iter().all(is_stopped))
        })?;
        Ok(lost)
    }

    fn host_killed(&mut self, cut: &str) -> Result<()> {
        let lost = self.owner()?;
        ensure!(lost != cut, "the older copy is shown");
        self.host_gone("host killed", &lost, |play| {
            play.ground.site.host(&lost)?.kill()?;
            Ok(())
        })
    }

    /// A scene in which programs are started again on another host.
    fn host_gone(
        &mut self,
        name: &'static str,
        lost: &str,
        scene: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let program = self.ground.program()?;
        let before = self.typed.len();
        self.dtu.focus()?;
        let (screen, window) = (self.screen, self.dtu.window());
        let (written, typed, gap_ms) = typing(screen, window, before, |hands| {
            hands.wait_typed(KEYS)?;
            let mark = self.dtu.events.mark()?;
            // Whoever has read this relies on it.
            let written = self.ground.received()?;
            scene(self)?;
            let taken = self.dtu.events.wait_after(mark, "taken_over", |_| true)?;
            ensure!(taken.text("on") != Some(lost), "{taken:?}");
            self.dtu.events.wait_after(mark, "first_frame", |_| true)?;
            wait::until_true("another program runs", || Ok(self.ground.program()? != program))?;
            hands.wait_typed(KEYS)?;
            Ok(written)
        })
        .with_context(|| name)?;
        let now = self.ground.received()?;
        let kept = written.iter().zip(&now).take_while(|(then, now)| then == now).count();
        let on = self.owner()?;
        let mut copies = 0;
        for host in SERVERS {
            let host = self.ground.site.host(host)?;
            let running = processes_like(host, "xterm")?.into_iter().any(|pid| !is_stopped(pid));
            copies += usize::from(running && host.name() != lost);
        }
        ensure!(copies >= 1, "nothing runs on {on}");
        self.account.rows.push(Row {
            name,
            layer: Layer::Host,
            sent: typed.len(),
            lost: 0,
            doubled: 0,
            gap_ms,
            programs_lost: 1,
            writes_lost: written.len() - kept,
            double_sessions: copies - 1,
        });
        // Keys that came while nobody was there are nobody's.
        self.typed = now;
        Ok(())
    }
}

/// True if the process stands still, or is over.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('R' | 'S' | 'D' | 'I'))
}
