//! The tests' own eyes and hands: if these fail, the other tests say nothing.

use afterglow_tests::glyphs::{Word, XTERM_FONT};
use afterglow_tests::keys::Keyboard;
use afterglow_tests::process::Process;
use afterglow_tests::scratch::Scratch;
use afterglow_tests::screen::Screen;
use afterglow_tests::{programs, wait};
use anyhow::Result;

#[test]
fn what_is_typed_into_an_xterm_is_found_in_its_pixels_and_nothing_else_is() -> Result<()> {
    let scratch = Scratch::new("harness")?;
    let screen = Screen::start(scratch.path(), 500, 300)?;
    let mut command = programs::secluded("xterm");
    screen.lend_to(&mut command);
    command.args(["-geometry", "70x20+0+0", "-e", "cat"]).env("HOME", scratch.path());
    let xterm = Process::spawn("xterm", &mut command, &scratch.path().join("xterm.log"))?;
    let window =
        wait::until("xterm has a window", wait::PATIENCE, || screen.window_of(xterm.pid()))?;
    screen.focus(window)?;
    screen.type_text(Keyboard::Us, "Afterglow 2026\n")?;
    let word = |text| Word::drawn(screen.connection(), XTERM_FONT, text);
    let (seen, unseen) = (word("Afterglow 2026")?, word("Afterglow 2027")?);
    wait::until_true("the text is there", || Ok(screen.picture()?.find(&seen).is_some()))?;
    assert!(screen.picture()?.find(&unseen).is_none());
    assert!(!screen.picture()?.is_of_one_color());
    scratch.passed()
}
