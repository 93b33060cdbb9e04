//! A video in a session whose picture need not be exact while it changes: at
//! rest it is, bit for bit.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::events::Event;
use afterglow_tests::programs;
use afterglow_tests::site::Site;
use afterglow_tests::wait;
use anyhow::{Result, ensure};
use std::io::Write as _;
use std::time::Duration;

/// The video is computed before it plays, which takes its time.
const DRAWN_WITHIN: Duration = Duration::from_secs(120);
/// More frames than there are before it plays, and fewer than it has.
const FRAMES_BEFORE_MAX: u64 = 15;

#[test]
fn a_video_that_was_inexact_is_at_rest_bit_for_bit() -> Result<()> {
    let drawing = programs::path("afterglow-test-drawing")?;
    let drawing = drawing.display();
    // What it says becomes files: `ready`, and `done` at the end.
    let script = format!("cd; {drawing} video 4000 / | while read word; do : > \"$word\"; done");
    let mut site = Site::prepare("video", &["mud"], &["sh", "-c", &script])?;
    let config = site.hosts[0].config();
    let mut config = std::fs::OpenOptions::new().append(true).open(config)?;
    writeln!(config, "quality = \"auto\"")?;
    site.hosts[0].start_server()?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    let told = dtu.events.wait("quality")?;
    ensure!(told.text("quality") == Some("auto"), "{}", told.fields);
    wait::until("the video is over", DRAWN_WITHIN, || site.home_file("done"))?;
    let session = site.hosts[0].only_session()?;
    let window = dtu.wait_equals(&session)?;
    ensure!(!window.is_of_one_color(), "the video was never there");
    let later = |event: &Event| event.number("frame") > Some(FRAMES_BEFORE_MAX);
    dtu.events.wait_after(0, "compared", later)?;
    for event in dtu.events.all()?.iter().filter(|event| event.name == "compared") {
        ensure!(event.number("blocks_differing") == Some(0), "{}", event.fields);
    }
    site.passed()
}
