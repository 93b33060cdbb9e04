//! The demo by itself: it plays the story under a private X server, checks
//! each step on the pixels of the windows, and leaves pictures of it.

use super::film::Film;
use super::record::Record;
use super::{CARD, FONT};
use crate::dtu::{Dtu, DtuOptions};
use crate::events::EventLog;
use crate::picture::Picture;
use crate::process::processes_like;
use crate::screen::Screen;
use crate::site::Site;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// How long the picture is watched after the server process was killed.
const WATCH: Duration = Duration::from_millis(2500);
/// What did not change for so long is drawn.
const STILL: Duration = Duration::from_millis(250);
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
        self.worker_dies(second, &owner, &shell, &film)?;
        self.server_dies(second, &owner, &shell, &film)?;
        self.both_die(second, &owner, &shell, &film)?;
        let heir = self.host_stalls(second, &owner, &film)?;
        self.host_dies(second, &heir, &film)?;
        let bytes = film.finish(&self.record.directory().join("afterglow.gif"))?;
        self.step(&format!("the animated picture has {} kB", bytes / 1000));
        self.host_returns(second, &heir)
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

    /// Types, and sees that the same shell answers that remembered the word.
    fn same_shell(&self, desk: &Dtu<'_>, pid: &str, greeting: &str) -> Result<Picture> {
        desk.type_line(&format!("clear; echo the lamp is $lamp, {greeting} process $$"))?;
        desk.wait_shows(&format!("the lamp is lit, {greeting} process {pid}"))
    }

    /// The process that makes the pictures dies: its keeper starts another.
    fn worker_dies(&mut self, desk: &Dtu<'_>, owner: &str, pid: &str, film: &Film) -> Result<()> {
        let mark = desk.events.mark()?;
        film.caption("kill -9 of the process that sends the pictures: another one goes on.");
        self.step(&format!("SIGKILL to the session's worker on {owner}"));
        self.kill_worker(owner)?;
        desk.wait_first_frame(mark)?;
        let picture = self.same_shell(desk, pid, "yet")?;
        self.step("another worker shows the same programs");
        self.keep("worker-killed", &picture)
    }

    fn kill_worker(&mut self, owner: &str) -> Result<()> {
        let workers = processes_like(self.site.host(owner)?, "afterglow-session worker")?;
        ensure!(workers.len() == 1, "{owner} has one worker, not {}", workers.len());
        crate::process::kill(workers[0])
    }

    /// The worker and the server die together.
    fn both_die(&mut self, desk: &Dtu<'_>, owner: &str, pid: &str, film: &Film) -> Result<()> {
        let mark = desk.events.mark()?;
        film.caption(&format!("kill -9 of both, the server process on {owner} and the pictures'."));
        self.step(&format!("SIGKILL to the server process on {owner} and the worker together"));
        self.site.host(owner)?.kill_server()?;
        self.kill_worker(owner)?;
        desk.wait_first_frame(mark)?;
        let picture = self.same_shell(desk, pid, "even so")?;
        desk.expect_none(mark, &["taken_over"])?;
        self.step("the same programs again, under a caretaker's care");
        self.keep("both-killed", &picture)?;
        self.site.host(owner)?.start_server()?;
        wait::until_true("its own server is in charge again", || {
            let resumed = desk.events.after(mark)?;
            Ok(resumed.iter().any(|e| e.name == "resumed" && e.text("server") == Some(owner)))
        })?;
        self.step(&format!("{owner}'s server is started again, and in charge again"));
        Ok(())
    }

    /// The whole host stands still, as if it were cut off, and comes back:
    /// there are two copies then, and the older one is frozen.
    fn host_stalls(&mut self, desk: &Dtu<'_>, owner: &str, film: &Film) -> Result<String> {
        let mark = desk.events.mark()?;
        film.caption(&format!("{owner} is cut off: nothing of it can be heard any more."));
        let stopped = self.site.host(owner)?.stall()?;
        self.step(&format!("{owner} is cut off: {stopped} processes stand still"));
        let taken = desk.events.wait_after(mark, "taken_over", |_| true)?;
        let heir = taken.text("on").context("who took over")?.to_owned();
        desk.wait_first_frame(mark)?;
        desk.wait_shows(&format!("{heir}$ "))?;
        self.step(&format!("{heir} has started the session's programs again"));
        self.site.host(owner)?.go_on()?;
        self.site.host(owner)?.wait_log("is frozen, until its user decides")?;
        self.step(&format!("{owner} is back, and has frozen its older copy"));
        film.caption(&format!("{owner} is back: its older copy is frozen, and listed."));
        desk.hot_key(crate::keys::P)?;
        desk.events.wait_after(mark, "sessions", |listed| listed.number("older") == Some(1))?;
        // The list is drawn by the time that nothing changes any more.
        let mut before = desk.picture()?;
        let picture = wait::until("the list is at the window", wait::PATIENCE, || {
            std::thread::sleep(STILL);
            let now = desk.picture()?;
            let still = now == before;
            before = now;
            Ok(still.then(|| before.clone()))
        })?;
        self.step("the session panel lists the earlier copy");
        self.keep("older-copy", &picture)?;
        desk.hot_key(crate::keys::P)?;
        Ok(heir)
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
        let picture = self.same_shell(desk, pid, "still")?;
        desk.expect_none(mark, &["attached", "detached", "taken_over"])?;
        self.step(&format!("same program, same process {pid}; {caretaker} is the caretaker"));
        self.keep("server-killed", &picture)?;
        let mark = desk.events.mark()?;
        self.site.host(owner)?.start_server()?;
        desk.events.wait_after(mark, "resumed", |e| e.text("server") == Some(owner))?;
        self.step(&format!("{owner}'s server is started again, and in charge again"));
        Ok(())
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
