//! A window whose size changes while programs draw: the session follows as far
//! as it can, and in the end the picture is exact.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::screen::Screen;
use afterglow_tests::session::SessionDesktop;
use afterglow_tests::site::Site;
use afterglow_tests::wait;
use anyhow::{Result, ensure};
use std::io::Write as _;

/// A terminal that always has something new to show, until it may rest.
const BUSY: &[&str] = &[
    "xterm",
    "-geometry",
    "160x50+0+0",
    "-bg",
    "#103050",
    "-e",
    "sh",
    "-c",
    "while [ ! -e rest ]; do date; echo \"$RANDOM $$\"; sleep 0.01; done; exec cat",
];

/// The largest that a session may be here.
const SIZE_MAX_PX: (u16, u16) = (900, 700);

/// Smaller and larger, in one direction and in both; larger than the session
/// can be in each of them.
const SIZES_PX: [(u16, u16); 12] = [
    (641, 479),
    (333, 257),
    (16, 16),
    (900, 700),
    (17, 700),
    (900, 16),
    (1000, 300),
    (300, 800),
    (1000, 800),
    (16, 800),
    (1000, 16),
    (800, 600),
];

fn start(test: &str) -> Result<Site> {
    let mut site = Site::prepare(test, &["mud"], BUSY)?;
    let mut config = std::fs::OpenOptions::new().append(true).open(site.hosts[0].config())?;
    writeln!(config, "size_max = \"{}x{}\"", SIZE_MAX_PX.0, SIZE_MAX_PX.1)?;
    site.hosts[0].start_server()?;
    Ok(site)
}

/// The session's size for a window of this one.
fn fitting(window_px: (u16, u16)) -> (u16, u16) {
    (window_px.0.min(SIZE_MAX_PX.0), window_px.1.min(SIZE_MAX_PX.1))
}

fn resize(screen: &Screen, dtu: &Dtu<'_>, size_px: (u16, u16)) -> Result<()> {
    screen.resize_window(dtu.window(), size_px.0.into(), size_px.1.into())
}

fn wait_size(session: &SessionDesktop, window_px: (u16, u16)) -> Result<()> {
    let expected = fitting(window_px);
    wait::until_true(&format!("the session follows the window to {window_px:?}"), || {
        Ok(session.size()? == expected)
    })
}

/// The program rests, and what is to be seen is what is to be seen.
fn wait_exact(site: &Site, dtu: &Dtu<'_>, session: &SessionDesktop) -> Result<()> {
    let mark = dtu.events.mark()?;
    for home in std::fs::read_dir(site.home_root())?.flatten() {
        std::fs::write(home.path().join("rest"), "")?;
    }
    dtu.wait_equals(session)?;
    ensure!(dtu.wait_compared(mark)? == 0, "the DTU finds its picture wrong at rest");
    dtu.wait_equals(session)?;
    Ok(())
}

fn follows_while_a_program_draws(renderer: &'static str) -> Result<()> {
    let site = start(&format!("sizes-{renderer}"))?;
    let screen = site.screen(1100, 900)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").renderer(renderer))?;
    dtu.wait_first_frame(0)?;
    let session = site.hosts[0].only_session()?;
    let mark = dtu.events.mark()?;
    for size_px in SIZES_PX {
        resize(&screen, &dtu, size_px)?;
        wait_size(&session, size_px)?;
    }
    // And as a hand that drags a corner does, which waits for nobody.
    for step in 0..60u16 {
        let wave = if step % 20 < 10 { step % 10 } else { 9 - step % 10 };
        resize(&screen, &dtu, (16 + 108 * wave, 880 - 96 * wave))?;
    }
    let last = (640, 480);
    resize(&screen, &dtu, last)?;
    wait_size(&session, last)?;
    wait_exact(&site, &dtu, &session)?;
    // The session was not connected anew for it.
    dtu.expect_none(mark, &["attached", "detached", "server_lost"])?;
    // The user heard of the largest size, and once.
    let notices = dtu.events.after(mark)?.into_iter().filter(|event| event.name == "notice");
    let told: Vec<_> = notices.filter_map(|event| Some(event.text("text")?.to_owned())).collect();
    ensure!(told.len() == 1 && told[0].contains("900 × 700"), "{told:?}");
    site.passed()
}

#[test]
fn a_session_follows_its_window_while_a_program_draws_and_the_processor_shows_it() -> Result<()> {
    follows_while_a_program_draws("cpu")
}

#[test]
fn a_session_follows_its_window_while_a_program_draws_and_an_adapter_shows_it() -> Result<()> {
    follows_while_a_program_draws("wgpu")
}

#[test]
fn who_comes_with_a_window_that_is_too_large_is_told_so_and_the_picture_is_as_large_as_it_can()
-> Result<()> {
    let site = start("sizes-large")?;
    let screen = site.screen(1100, 900)?;
    let options = DtuOptions::new("desk1", "soft:ada").size(1000, 800).scale("1:1");
    let dtu = site.dtu(&screen, options)?;
    let frame = dtu.wait_first_frame(0)?;
    ensure!(frame.number("width_px") == Some(SIZE_MAX_PX.0.into()), "{frame:?}");
    ensure!(frame.number("height_px") == Some(SIZE_MAX_PX.1.into()), "{frame:?}");
    dtu.events.wait_after(0, "notice", |event| {
        event.text("text").is_some_and(|text| text.contains("900 × 700"))
    })?;
    let session = site.hosts[0].only_session()?;
    resize(&screen, &dtu, SIZE_MAX_PX)?;
    wait_size(&session, SIZE_MAX_PX)?;
    wait_exact(&site, &dtu, &session)?;
    site.passed()
}
