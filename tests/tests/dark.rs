//! A DTU that nobody uses goes dark, and wakes when somebody does.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::keys::{self, Keyboard};
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

/// Waits until the DTU says that it is dark, or no longer.
fn wait_dark(dtu: &Dtu<'_>, mark: usize, dark: bool) -> Result<()> {
    dtu.events.wait_after(mark, "dark", |event| event.fields["dark"] == dark)?;
    Ok(())
}

/// True if the window is black, as others and the DTU itself see it.
fn is_black(dtu: &Dtu<'_>) -> Result<bool> {
    let all_black = |picture: &image::RgbImage| picture.pixels().all(|pixel| pixel.0 == [0, 0, 0]);
    Ok(all_black(&dtu.picture()?.to_rgb()) && all_black(&dtu.own_screenshot()?))
}

#[test]
fn a_key_wakes_it_and_types_nothing() -> Result<()> {
    let site = Site::start("dark-key", &["mud"], TERMINAL)?;
    let screen = site.screen(640, 480)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").dark_after(2))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    let mark = dtu.events.mark()?;
    screen.type_text(Keyboard::Us, "echo seen > ")?;
    wait_dark(&dtu, mark, true)?;
    wait::until_true("the window is black", || is_black(&dtu))?;

    let mark = dtu.events.mark()?;
    // The first key is for the screen alone.
    screen.type_text(Keyboard::Us, "xnote\n")?;
    wait_dark(&dtu, mark, false)?;
    dtu.wait_shows("echo seen > note")?;
    wait::until_true("the line without the first key is done", || {
        Ok(site.home_file("note")?.is_some())
    })?;
    ensure!(site.home_file("xnote")?.is_none(), "the key that woke the screen was typed");
    site.passed()
}

#[test]
fn a_card_wakes_it() -> Result<()> {
    let site = Site::start("dark-card", &["mud"], TERMINAL)?;
    let screen = site.screen(640, 480)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").dark_after(1))?;
    dtu.wait_first_frame(0)?;
    let mark = dtu.events.mark()?;
    screen.hot_key(keys::C)?;
    dtu.wait_panel(mark, "InsertCard")?;
    wait_dark(&dtu, mark, true)?;
    wait::until_true("the window is black", || is_black(&dtu))?;

    let mark = dtu.events.mark()?;
    dtu.toggle_card()?;
    wait_dark(&dtu, mark, false)?;
    dtu.wait_shows("$ ")?;
    site.passed()
}
