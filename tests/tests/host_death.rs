//! A whole host dies: the DTU says so, and another server starts the session's
//! services again, with the user's files.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::picture::Picture;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

#[test]
fn the_osd_tells_and_then_a_desktop_runs_on_the_other_server() -> Result<()> {
    let mut site = Site::start("host-death", &["mud", "host05"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("echo kept in a file > note; echo only on the screen")?;
    dtu.wait_shows("only on the screen")?;
    wait::until_true("the file is written", || Ok(site.home_file("note")?.is_some()))?;
    let lost = dtu.attached_host()?;
    let other = if lost == "mud" { "host05" } else { "mud" };
    let before = dtu.picture()?;

    let mark = dtu.events.mark()?;
    let killed = site.host(&lost)?.kill()?;
    ensure!(killed >= 4, "server, keeper, worker, X and the programs: {killed}");

    // First the last picture, dimmed, under a panel that says what happens.
    let silent = dtu.events.wait_after(mark, "server_lost", |_| true)?;
    ensure!(silent.text("server") == Some(&lost), "{silent:?}");
    dtu.events.wait_after(mark, "view", |e| {
        e.text("picture") == Some("dimmed") && e.text("panel").is_some()
    })?;
    // At the edge of the terminal, where no panel is.
    let paper = |picture: &Picture| picture.at(10, 450);
    let dimmed = wait::until("the picture is dimmed", wait::PATIENCE, || {
        let picture = dtu.picture()?;
        Ok((paper(&picture) != paper(&before)).then_some(picture))
    })?;
    ensure!(paper(&dimmed)[0] < paper(&before)[0] && paper(&dimmed) != [0; 4], "{dimmed:?}");

    let taken = dtu.events.wait_after(mark, "taken_over", |_| true)?;
    ensure!(taken.text("on") == Some(other), "{taken:?}");
    ensure!(taken.number("epoch") == Some(2), "{taken:?}");
    let frame = dtu.wait_first_frame(mark)?;
    ensure!(frame.number("epoch") == Some(2), "{frame:?}");

    dtu.wait_shows("$ ")?;
    dtu.type_line("cat note")?;
    dtu.wait_shows("kept in a file")?;
    ensure!(!dtu.shows(&dtu.word("only on the screen")?)?, "these programs are new");
    let session = site.host(other)?.only_session()?;
    dtu.wait_equals(&session)?;
    site.passed()
}

#[test]
fn a_host_that_comes_back_finds_that_its_session_has_moved() -> Result<()> {
    let mut site = Site::start("host-back", &["mud", "host05"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    let lost = dtu.attached_host()?;
    let mark = dtu.events.mark()?;
    site.host(&lost)?.kill()?;
    dtu.events.wait_after(mark, "taken_over", |_| true)?;
    dtu.wait_first_frame(mark)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("echo the new one")?;
    dtu.wait_shows("the new one")?;

    site.host(&lost)?.start_server()?;
    // Whoever asks the host that was lost is sent to where the session is.
    let mark = dtu.events.mark()?;
    dtu.toggle_card()?;
    dtu.events.wait_after(mark, "removed", |_| true)?;
    dtu.wait_hides("the new one")?;
    dtu.toggle_card()?;
    let attached = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(attached.number("epoch") == Some(2), "{attached:?}");
    dtu.wait_shows("the new one")?;
    site.passed()
}
