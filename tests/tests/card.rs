//! The card goes, comes back, and moves: the session follows it, and its
//! programs run on.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::keys;
use afterglow_tests::process::marked_pids;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

/// Types a shell command that leaves the shell's process id on the screen and
/// in its memory only; gives the id.
fn remember(dtu: &Dtu<'_>, site: &Site) -> Result<String> {
    dtu.wait_shows("$ ")?;
    dtu.type_line("lamp=green; echo $$ > shell.pid; echo ready")?;
    let pid = wait::until("the shell tells its process id", wait::PATIENCE, || {
        let text = site.home_file("shell.pid")?.map(std::fs::read_to_string).transpose()?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    })?;
    dtu.wait_shows("ready")?;
    Ok(pid)
}

#[test]
fn a_removed_card_blanks_the_dtu_and_the_programs_run_on() -> Result<()> {
    let site = Site::start("card-remove", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    let pid = remember(&dtu, &site)?;
    dtu.type_line("while sleep 0.05; do echo tick >> ticks; done & clear; echo visible")?;
    dtu.wait_shows("visible")?;

    let mark = dtu.events.mark()?;
    dtu.focus()?;
    screen.hot_key(keys::C)?;
    dtu.events.wait_after(mark, "removed", |_| true)?;
    dtu.wait_panel(mark, "InsertCard")?;
    dtu.wait_hides("visible")?;
    let blank = dtu.events.wait_after(mark, "view", |e| e.text("picture") == Some("blank"))?;
    ensure!(blank.t_us > 0);

    // Nothing is there before the first tick.
    let ticks = || -> Result<u64> {
        let file = site.home_file("ticks")?.map(std::fs::metadata).transpose()?;
        Ok(file.map_or(0, |file| file.len()))
    };
    let then = ticks()?;
    wait::until_true("the program runs on without a DTU", || Ok(ticks()? > then))?;

    let mark = dtu.events.mark()?;
    screen.hot_key(keys::C)?;
    let attached = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(attached.number("epoch") == Some(1), "nothing was started again: {attached:?}");
    dtu.wait_shows("visible")?;
    dtu.type_line("clear; echo lamp $lamp, shell $$")?;
    dtu.wait_shows(&format!("lamp green, shell {pid}"))?;
    ensure!(marked_pids(&site.hosts[0])?.contains(&pid.parse()?));
    site.passed()
}

#[test]
fn the_same_card_on_a_second_dtu_takes_the_session_over_and_the_first_says_so() -> Result<()> {
    let site = Site::start("card-move", &["mud"], TERMINAL)?;
    let screen = site.screen(1300, 500)?;
    let first = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    first.wait_first_frame(0)?;
    let pid = remember(&first, &site)?;
    first.type_line("clear; echo follows me")?;
    first.wait_shows("follows me")?;

    let mark = first.events.mark()?;
    let second = site.dtu(&screen, DtuOptions::new("desk2", "soft:ada").place(650, 0))?;
    second.wait_first_frame(0)?;
    second.wait_shows("follows me")?;
    let detached = first.events.wait_after(mark, "detached", |_| true)?;
    ensure!(detached.text("reason") == Some("elsewhere"), "{detached:?}");
    first.wait_panel(mark, "Elsewhere")?;
    first.wait_hides("follows me")?;

    second.type_line("clear; echo lamp $lamp, shell $$")?;
    second.wait_shows(&format!("lamp green, shell {pid}"))?;
    // What is typed at the first one goes nowhere.
    first.type_line("echo stray > stray")?;
    second.type_line("echo done > done")?;
    wait::until_true("the second DTU's line is done", || Ok(site.home_file("done")?.is_some()))?;
    ensure!(site.home_file("stray")?.is_none(), "the first DTU still reaches the session");

    // And back: whoever presents the card last has the session.
    let mark = first.events.mark()?;
    first.toggle_card()?;
    first.events.wait_after(mark, "removed", |_| true)?;
    first.toggle_card()?;
    first.wait_first_frame(mark)?;
    first.wait_shows(&format!("lamp green, shell {pid}"))?;
    site.passed()
}

#[test]
fn another_card_gets_a_session_of_its_own() -> Result<()> {
    let site = Site::start("card-other", &["mud"], TERMINAL)?;
    let screen = site.screen(1300, 500)?;
    let ada = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    ada.wait_first_frame(0)?;
    ada.wait_shows("$ ")?;
    ada.type_line("echo private of ada")?;
    ada.wait_shows("private of ada")?;
    let bob = site.dtu(&screen, DtuOptions::new("desk2", "soft:bob").place(650, 0))?;
    bob.wait_first_frame(0)?;
    bob.wait_shows("$ ")?;
    ensure!(!bob.shows(&bob.word("private of ada")?)?);
    let session = |dtu: &Dtu<'_>| -> Result<Option<String>> {
        Ok(dtu.events.wait("attached")?.text("session").map(str::to_owned))
    };
    ensure!(session(&ada)? != session(&bob)?);
    ensure!(ada.shows(&ada.word("private of ada")?)?, "ada's desktop is untouched");
    site.passed()
}
