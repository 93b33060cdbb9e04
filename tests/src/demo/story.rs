//! The demo by itself: it plays the story under a private X server, checks
//! each step on the pixels of the windows, and leaves pictures of it.

use super::film::Film;
use super::record::Record;
use super::{CARD, FONT};
use crate::dtu::{Dtu, DtuOptions};
use crate::events::EventLog;
use crate::picture::Picture;
use crate::screen::Screen;
use crate::site::Site;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// How long the picture is watched after the server process was killed.
const WATCH: Duration = Duration::from_millis(2500);
/// Fewer nearly white pixels than this are not a panel's words.
const LETTERS_PIXELS_MIN: usize = 100;

struct Story<'a, 's> {
    site: &'a mut Site,
    screen: &'s Screen,
    record: &'a mut Record,
    started: Instant,
    logs: Vec<(&'static str, EventLog)>,
}

/// Plays it.
pub fn play() -> Result<()> {
    let started = Instant::now();
    let mut record = Record::new()?;
    println!("Afterglow's demo, played by itself: for want of a terminal or a display.");
    let mut site = super::servers()?;
    let screen = site.screen(1300, 480)?;
    let (site_ref, record_ref) = (&mut site, &mut record);
    let mut story =
        Story { site: site_ref, screen: &screen, record: record_ref, started, logs: Vec::new() };
    let told = story.tell();
    let logs = std::mem::take(&mut story.logs);
    record.write_timeline(&logs)?;
    let directory = record.directory().display().to_string();
    told.with_context(|| format!("see the pictures and timeline.json in {directory}"))?;
    site.passed()?;
    println!(
        "\nEvery step was seen, in {:.0} s. Pictures, timeline.json and afterglow.gif: {directory}",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

impl<'s> Story<'_, 's> {
    fn step(&mut self, what: &str) {
        self.record.step(what);
        println!("{:6.1} s  {what}", self.started.elapsed().as_secs_f32());
    }

    fn keep(&mut self, name: &str, picture: &Picture) -> Result<()> {
        let file = self.record.picture(name, picture)?;
        println!("          {file}");
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        let first = self.desk("desk1", 0)?;
        let mut second = None;
        let told = self.tell_from(&first, &mut second);
        if told.is_err() {
            let picture = self.screen.picture()?;
            self.keep("failed", &picture)?;
        }
        told
    }

    fn tell_from(&mut self, first: &Dtu<'s>, second: &mut Option<Dtu<'s>>) -> Result<()> {
        let owner = self.first_desktop(first)?;
        let shell = self.remember(first)?;
        let second = second.insert(self.card_moves(first)?);
        let caption = format!("A desktop that runs on {owner}.");
        let film = Film::start(self.screen, second.window(), &caption)?;
        self.server_dies(second, &owner, &shell, &film)?;
        self.host_dies(second, &owner, &film)?;
        let bytes = film.finish(&self.record.directory().join("afterglow.gif"))?;
        self.step(&format!("the animated picture has {} kB", bytes / 1000));
        self.host_returns(second, &owner)
    }

    /// Opens a desk unit with the card in it.
    fn desk(&mut self, name: &'static str, x_px: i32) -> Result<Dtu<'s>> {
        let mut options = DtuOptions::new(name, CARD).place(x_px, 0);
        options.font = FONT;
        let dtu = self.site.dtu(self.screen, options)?;
        self.logs.push((name, dtu.events.clone()));
        Ok(dtu)
    }

    /// A word typed into the terminal comes back as pixels.
    fn first_desktop(&mut self, first: &Dtu<'_>) -> Result<String> {
        self.step("the card is put into the first desk unit");
        first.wait_first_frame(0)?;
        let owner = first.attached_host()?;
        first.wait_shows(&format!("{owner}$ "))?;
        self.step(&format!("a desktop runs on {owner}; somebody types"));
        first.type_line("echo afterglow")?;
        let picture = first.wait_shows("afterglow")?;
        self.keep("typed", &picture)?;
        Ok(owner)
    }

    /// Something that is only in a program's memory, and something in a file.
    /// Gives the process id of the program.
    fn remember(&mut self, first: &Dtu<'_>) -> Result<String> {
        first.type_line("clear; lamp=lit; echo dear reader > letter; echo $$ > pid")?;
        let pid = wait::until("the shell tells its process id", wait::PATIENCE, || {
            let text = self.site.home_file("pid")?.map(std::fs::read_to_string).transpose()?;
            Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
        })?;
        first.type_line("echo the lamp is $lamp, process $$")?;
        first.wait_shows(&format!("the lamp is lit, process {pid}"))?;
        self.step(&format!("its shell, process {pid}, remembers a word and has written a file"));
        Ok(pid)
    }

    fn card_moves(&mut self, first: &Dtu<'_>) -> Result<Dtu<'s>> {
        let mark = first.events.mark()?;
        first.toggle_card()?;
        first.events.wait_after(mark, "removed", |_| true)?;
        let picture = first.wait_hides("the lamp is lit")?;
        self.step("the card is taken out: the first desk unit is blank");
        self.keep("removed", &picture)?;
        let second = self.desk("desk2", 650)?;
        second.wait_first_frame(0)?;
        second.wait_shows("the lamp is lit")?;
        self.step("the card is put into the second desk unit: the same desktop is there");
        let both = self.screen.picture()?;
        self.keep("moved", &both)?;
        ensure!(!first.shows(&first.word("the lamp is lit")?)?, "it is gone from the first");
        Ok(second)
    }

    fn server_dies(&mut self, desk: &Dtu<'_>, owner: &str, pid: &str, film: &Film) -> Result<()> {
        let mark = desk.events.mark()?;
        film.caption(&format!("kill -9 of the server process on {owner}: the picture goes on."));
        self.step(&format!("SIGKILL to the server process on {owner}"));
        self.site.host(owner)?.kill_server()?;
        let lamp = desk.word("the lamp is lit")?;
        wait::throughout("the picture goes on", WATCH, || desk.shows(&lamp))?;
        let resumed = desk.events.wait_after(mark, "resumed", |_| true)?;
        let caretaker = resumed.text("server").context("a caretaker")?.to_owned();
        desk.type_line("clear; echo still $lamp, still process $$")?;
        let picture = desk.wait_shows(&format!("still lit, still process {pid}"))?;
        desk.expect_none(mark, &["attached", "detached", "taken_over"])?;
        self.step(&format!("same program, same process {pid}; {caretaker} is the caretaker"));
        self.keep("server-killed", &picture)
    }

    fn host_dies(&mut self, desk: &Dtu<'_>, owner: &str, film: &Film) -> Result<()> {
        let mark = desk.events.mark()?;
        let before = desk.picture()?;
        film.caption(&format!("kill -9 of everything on {owner}: the whole host is lost."));
        let killed = self.site.host(owner)?.kill()?;
        self.step(&format!("SIGKILL to everything on {owner}: {killed} processes"));
        desk.events.wait_after(mark, "view", |view| {
            view.text("picture") == Some("dimmed") && view.text("panel").is_some()
        })?;
        // Darker, neither black nor a new desktop, and bright letters on it.
        let osd = wait::until("the picture is dimmed under a panel", wait::PATIENCE, || {
            let picture = desk.picture()?;
            let (now, then) = (picture.brightness(), before.brightness());
            let told = picture.bright_pixels() > LETTERS_PIXELS_MIN;
            Ok((now < 0.8 * then && told).then_some(picture))
        })?;
        self.step("the last picture, dimmed, and what is happening");
        self.keep("host-killed", &osd)?;
        let taken = desk.events.wait_after(mark, "taken_over", |_| true)?;
        let heir = taken.text("on").context("who took over")?.to_owned();
        desk.wait_first_frame(mark)?;
        film.caption(&format!("{heir} has started the session's programs again."));
        desk.wait_shows(&format!("{heir}$ "))?;
        desk.type_line("cat letter")?;
        let picture = desk.wait_shows("dear reader")?;
        self.step(&format!("a desktop again, on {heir}; the file is there"));
        self.keep("taken-over", &picture)?;
        desk.events.wait_after(mark, "view", |view| {
            view.t_us > taken.t_us && view.text("panel").is_none()
        })?;
        film.caption(&format!("The file is there, on {heir}. Only open programs were lost."));
        desk.type_line("echo good evening")?;
        let picture = desk.wait_shows("good evening")?;
        self.keep("evening", &picture)
    }

    fn host_returns(&mut self, desk: &Dtu<'_>, owner: &str) -> Result<()> {
        let mark = desk.events.mark()?;
        self.site.host(owner)?.start_server()?;
        desk.type_line("echo and goodbye")?;
        desk.wait_shows("and goodbye")?;
        desk.expect_none(mark, &["detached", "server_lost", "taken_over"])?;
        self.step(&format!("{owner} is back, and the desktop stays where it is"));
        Ok(())
    }
}
