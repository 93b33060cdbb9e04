//! What a DTU's window shows is the session's framebuffer, byte for byte, at
//! every size.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::picture::Picture;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

/// Colours, lines and letters: nothing that a coarse comparison would miss.
const COLORFUL: &[&str] = &[
    "sh",
    "-c",
    "xsetroot -mod 7 11 -fg '#123456' -bg '#fedcba' 2>/dev/null; \
     xterm -geometry 60x15+31+47 -bg '#103050' -fg '#f0e0c0' -e sh -c \
     'for c in 1 2 3 4 5 6 7; do printf \"\\033[3${c}mcolour ${c} \\033[4${c}m  \\033[0m\\n\"; done; exec cat'",
];

#[test]
fn at_rest_the_window_is_the_sessions_framebuffer() -> Result<()> {
    let site = Site::start("picture-equal", &["mud"], COLORFUL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("colour 7")?;
    let session = site.hosts[0].only_session()?;
    ensure!(session.size()? == (640, 480), "the session has the window's size");
    let window = dtu.wait_equals(&session)?;
    ensure!(!window.is_of_one_color());
    ensure!(dtu.wait_compared(0)? == 0, "the DTU finds its picture wrong at rest");
    // What the DTU itself says it shows is what is to be seen from outside.
    ensure!(dtu.own_screenshot()? == window.to_rgb(), "the DTU's own screenshot differs");
    site.passed()
}

#[test]
fn a_resize_arrives_and_the_window_is_exact_again() -> Result<()> {
    let site = Site::start("picture-resize", &["mud"], COLORFUL)?;
    let screen = site.screen(1000, 800)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    let session = site.hosts[0].only_session()?;
    let mark = dtu.events.mark()?;
    for (width_px, height_px) in [(901, 703), (333, 257), (640, 480)] {
        screen.resize_window(dtu.window(), width_px.into(), height_px.into())?;
        wait::until_true("the session has the window's new size", || {
            Ok(session.size()? == (width_px, height_px))
        })?;
        let window: Picture = dtu.wait_equals(&session)?;
        ensure!((window.width_px, window.height_px) == (width_px.into(), height_px.into()));
    }
    ensure!(dtu.wait_compared(mark)? == 0, "the DTU finds its picture wrong at rest");
    // The session was not connected anew for it.
    dtu.expect_none(mark, &["attached", "detached", "server_lost"])?;
    site.passed()
}

#[test]
fn what_changes_while_nobody_looks_is_right_when_somebody_does() -> Result<()> {
    let site = Site::start("picture-busy", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    let mark = dtu.events.mark()?;
    // Scrolls thousands of lines as fast as the terminal can: COPY and SET.
    dtu.type_line("seq 5000; echo the end")?;
    dtu.wait_shows("5000")?;
    let session = site.hosts[0].only_session()?;
    dtu.wait_equals(&session)?;
    ensure!(dtu.wait_compared(mark)? == 0, "the DTU finds its picture wrong at rest");
    site.passed()
}
