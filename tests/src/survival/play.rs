//! A scene: somebody types and looks while it is played, and then what came of
//! it is put down.

use super::account::{Layer, Row};
use super::eyes::Eyes;
use super::ground::{Ground, LAN};
use super::hands::{self, Hands};
use super::keyboard::Text;
use super::notes::Notes;
use super::page::Page;
use super::tally::Tally;
use crate::dtu::{Dtu, DtuOptions};
use crate::events::Event;
use crate::netns::lan::Node;
use crate::screen::Screen;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::Arc;
use x11rb::protocol::xproto::Window;

/// Keys before and after what happens, at least: more than a line.
pub const KEYS: usize = 30;
/// The user's card.
pub const TOKEN: &str = "soft:ada";

/// Everything that plays.
pub struct Play<'s> {
    /// The hosts.
    pub ground: Ground,
    /// Where all windows are.
    pub screen: &'s Screen,
    /// The user's DTU.
    pub dtu: Dtu<'s>,
    /// Where that is; it goes with its place.
    _desk: Arc<Node>,
    text: Text,
    /// All notebooks that there were; the last one is shown.
    notebooks: Vec<Notebook>,
    /// How many promised lines were counted, and how many refused ones.
    writes: usize,
    refused: usize,
}

/// A notebook, and how many of its keys were counted.
#[derive(Debug, Clone, Copy)]
struct Notebook {
    instance: u64,
    counted: usize,
}

/// What was done and seen in a scene.
struct Played {
    before: Page,
    after: Page,
    typed: Vec<char>,
    gap_ms: u64,
}

impl<'s> Play<'s> {
    /// The DTU shows a new session.
    pub fn begin(mut ground: Ground, screen: &'s Screen) -> Result<Self> {
        hands::stop_repeat(screen)?;
        let desk = ground.site.desk(1, &LAN)?;
        let dtu = ground.site.dtu_at(&desk, screen, DtuOptions::new("desk1", TOKEN))?;
        dtu.wait_first_frame(0)?;
        let (text, notebooks) = (Text::default(), Vec::new());
        let mut play =
            Play { ground, screen, dtu, _desk: desk, text, notebooks, writes: 0, refused: 0 };
        // Whatever was typed meanwhile came too early to be counted.
        let (instance, counted) = play.typing(|play, hands, eyes| {
            hands.finish()?;
            let page = eyes.wait_page("the notebook is shown", |_| true)?;
            let notes = play.settle(page.instance, hands.typed().len())?;
            Ok((page.instance, notes.pressed.len()))
        })?;
        play.notebooks.push(Notebook { instance, counted });
        Ok(play)
    }

    /// The host of the session that is shown.
    pub fn owner(&self) -> Result<String> {
        self.dtu.attached_host()
    }

    /// Plays something while somebody types into the DTU's window, and looks
    /// at it.
    fn typing<T>(
        &mut self,
        scene: impl FnOnce(&mut Self, &Hands, &Eyes) -> Result<T>,
    ) -> Result<T> {
        self.dtu.focus()?;
        let (screen, window): (&Screen, Window) = (self.screen, self.dtu.window());
        let (hands, eyes) = (Hands::default(), Eyes::on(window));
        let mut text = std::mem::take(&mut self.text);
        let played = std::thread::scope(|scope| {
            let typist = scope.spawn(|| hands.work(screen, &mut text));
            let watcher = scope.spawn(|| eyes.work(screen));
            let played = scene(self, &hands, &eyes);
            hands.stop();
            eyes.stop();
            for thread in [typist, watcher] {
                thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            played
        });
        self.text = text;
        played
    }

    fn shown(&self) -> Result<Notebook> {
        Ok(*self.notebooks.last().context("a notebook is shown")?)
    }

    /// Waits until this notebook has so many keys, none is down and each line is
    /// saved or refused; or no more come.
    fn settle(&self, instance: u64, keys: usize) -> Result<Notes> {
        let settled = wait::until("every key arrives", wait::PATIENCE, || {
            let notes = self.ground.notes(instance)?;
            let all = notes.pressed.len() >= keys && notes.lines_pending() == 0;
            Ok(Some(notes).filter(|notes| all && notes.held.is_empty()))
        });
        settled.or_else(|_| self.ground.notes(instance))
    }

    /// A scene that no program notices.
    pub fn lives_on(
        &mut self,
        name: &'static str,
        layer: Layer,
        scene: impl FnOnce(&mut Self, &Hands, &Eyes) -> Result<()>,
    ) -> Result<Row> {
        let Notebook { instance, counted } = self.shown()?;
        let played = self.typing(|play, hands, eyes| {
            let before = eyes.wait_page("the notebook is shown", |_| true)?;
            hands.wait_typed(KEYS)?;
            scene(play, hands, eyes)?;
            hands.wait_typed(KEYS)?;
            hands.finish()?;
            let (typed, gap_ms) = (hands.typed(), eyes.longest_us() / 1000);
            let keys = play.settle(instance, counted + typed.len())?.pressed.len() as u32;
            let newest = |page: &Page| page.instance != instance || page.keys == keys;
            let after = eyes.wait_page("the last key is shown", newest)?;
            Ok(Played { before, after, typed, gap_ms })
        });
        let Played { before, after, typed, gap_ms } = played.with_context(|| name)?;
        let notes = self.ground.notes(instance)?;
        ensure!(notes.held.is_empty(), "{name}: {:?} stay down", notes.held);
        let same = (before.instance, before.pid) == (after.instance, after.pid)
            && after.instance == instance
            && after.unsaved == notes.checksum();
        let keys = Tally::of(&typed, &notes.pressed[counted..]);
        if keys != (Tally { sent: keys.sent, ..Tally::default() }) {
            let text = |keys: &[char]| keys.iter().collect::<String>();
            eprintln!("typed:    {}", text(&typed));
            eprintln!("received: {}", text(&notes.pressed[counted..]));
        }
        self.notebooks.pop();
        self.notebooks.push(Notebook { instance, counted: notes.pressed.len() });
        let mut row = self.row(name, layer, keys, gap_ms)?;
        row.programs_lost = u64::from(!same);
        row.double_sessions = self.ground.active_copies()?.saturating_sub(1) as u64;
        Ok(row)
    }

    /// A scene in which the session's services are started again on another
    /// host than `lost`; it gives when that one went, by CLOCK_MONOTONIC.
    pub fn host_gone(
        &mut self,
        name: &'static str,
        lost: &str,
        scene: impl FnOnce(&mut Self) -> Result<u64>,
    ) -> Result<Row> {
        let old = self.shown()?;
        let mut first_frame_ms = None;
        let played = self.typing(|play, hands, eyes| {
            let before = eyes.wait_page("the notebook is shown", |_| true)?;
            let saves = |page: &Page| page.saved > before.saved;
            eyes.wait_page("the notebook saves", saves)?;
            let mark = play.dtu.events.mark()?;
            let gone_us = scene(play)?;
            let taken = play.dtu.events.wait_after(mark, "taken_over", |_| true)?;
            ensure!(taken.text("on") != Some(lost), "{taken:?}");
            let is_new = |frame: &Event| frame.number("epoch") == taken.number("epoch");
            let frame = play.dtu.events.wait_after(mark, "first_frame", is_new)?;
            first_frame_ms = Some(frame.t_us.saturating_sub(gone_us) / 1000);
            let other = |page: &Page| page.instance != old.instance;
            let begun = eyes.wait_page("another notebook is shown", other)?;
            let saves = |page: &Page| page.instance == begun.instance && page.saved > 0;
            eyes.wait_page("the other notebook saves", saves)?;
            hands.wait_typed(KEYS)?;
            hands.finish()?;
            let (typed, gap_ms) = (hands.typed(), eyes.longest_us() / 1000);
            let last = typed[typed.len() - KEYS / 3..].to_vec();
            wait::until_true("the last keys arrive", || {
                let notes = play.ground.notes(begun.instance)?;
                Ok(notes.pressed.ends_with(&last) && notes.held.is_empty())
            })?;
            let after = eyes.page().context("a page")?;
            Ok(Played { before, after, typed, gap_ms })
        });
        let Played { before, after, typed, gap_ms } = played.with_context(|| name)?;
        let (notes, new) =
            (self.ground.notes(before.instance)?, self.ground.notes(after.instance)?);
        let received = [&notes.pressed[old.counted..], &new.pressed].concat();
        self.expect_files(&new).with_context(|| name)?;
        self.notebooks.push(Notebook { instance: new.instance, counted: new.pressed.len() });
        let keys = Tally::of(&typed, &received);
        let row = self.row(name, Layer::Host, keys, gap_ms)?;
        let programs_lost = u64::from(new.instance != old.instance);
        Ok(Row { first_frame_ms, programs_lost, ..row })
    }

    /// A new notebook has found what the others were promised.
    fn expect_files(&self, new: &Notes) -> Result<()> {
        let mut promised = 0;
        for notebook in &self.notebooks {
            promised += self.ground.notes(notebook.instance)?.saved.len();
        }
        ensure!(
            new.found.is_some_and(|found| found >= promised),
            "{:?} lines were there of {promised} that were promised",
            new.found
        );
        Ok(())
    }

    /// What came of a scene, as far as keys, pictures and lines tell: the lines
    /// that were promised and refused since the last time, and those of all
    /// promised ones that are not in the journal.
    fn row(&mut self, name: &'static str, layer: Layer, keys: Tally, gap_ms: u64) -> Result<Row> {
        let journal = self.ground.journal()?;
        let (mut promised, mut missing, mut refused) = (0, 0, 0);
        for notebook in &self.notebooks {
            let notes = self.ground.notes(notebook.instance)?;
            promised += notes.saved.len();
            refused += notes.failed.len();
            missing += notes.missing_in(&journal).len();
        }
        let writes = promised - std::mem::replace(&mut self.writes, promised);
        let writes_refused = refused - std::mem::replace(&mut self.refused, refused);
        Ok(Row {
            name,
            layer,
            keys,
            gap_ms,
            first_frame_ms: None,
            programs_lost: 0,
            writes: writes as u64,
            writes_lost: missing as u64,
            writes_refused: writes_refused as u64,
            double_sessions: 0,
        })
    }

    /// The process of the notebook before the last, which is there still.
    pub fn older_process(&self) -> Result<u32> {
        let older = self.notebooks.iter().rev().nth(1).context("there was another notebook")?;
        let pid = self.ground.notes(older.instance)?.pid;
        ensure!(Path::new(&format!("/proc/{pid}")).exists(), "the older copy was killed");
        Ok(pid)
    }
}
