//! Typed text reaches a real X11 program and comes back as pixels.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::keys::Keyboard;
use afterglow_tests::site::{Site, TERMINAL};
use anyhow::{Result, ensure};

/// Types the text at a DTU with this layout, and finds it in the window.
fn typed_text_appears(test: &str, layout: &str, keyboard: Keyboard, text: &str) -> Result<()> {
    let site = Site::start(test, &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").keymap(layout))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    let mark = dtu.events.mark()?;
    dtu.type_text(keyboard, text)?;
    dtu.wait_shows(text)?;
    ensure!(dtu.wait_compared(mark)? == 0, "the DTU finds its picture wrong at rest");
    site.passed()
}

#[test]
fn on_a_us_keyboard() -> Result<()> {
    let text = "The Quick {brown} fox: ~50% <over> \"lazy\" dogs_#1!";
    typed_text_appears("typing-us", "us", Keyboard::Us, text)
}

#[test]
fn on_a_german_keyboard() -> Result<()> {
    let text = "Zwölf Boxkämpfer jagen @Yvonne {über} den Sylter Großdeich?";
    typed_text_appears("typing-de", "de", Keyboard::German, text)
}
