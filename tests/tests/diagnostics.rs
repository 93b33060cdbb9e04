//! The diagnostics overlay: what it shows is told to the event log, and only
//! while it is up.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::events::Event;
use afterglow_tests::keys;
use afterglow_tests::site::{Site, TERMINAL};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Longer than the time between two figures.
const NO_MORE: Duration = Duration::from_millis(2500);

/// How many commands of all kinds the figures tell of.
fn commands(figures: &Event) -> u64 {
    let kinds = ["set", "bitmap", "fill", "copy", "cscs"];
    kinds.iter().filter_map(|kind| figures.fields["commands"][kind].as_u64()).sum()
}

/// The median of something that took its time.
fn p50_us(figures: &Event, what: &str) -> Result<u64> {
    let p50 = figures.fields[what]["p50"].as_u64();
    p50.with_context(|| format!("{what} of {}", figures.fields))
}

fn plausible(figures: &Event, renderer: &str) -> Result<()> {
    let told = &figures.fields;
    let over_ms = figures.number("over_ms").context("over_ms")?;
    ensure!((1_000..10_000).contains(&over_ms), "{told}");
    ensure!(figures.number("frames").is_some_and(|frames| (1..1_000).contains(&frames)), "{told}");
    ensure!(commands(figures) > 0, "{told}");
    for what in ["apply_us", "present_us", "capture_us", "encode_us", "input_to_pixel_us"] {
        ensure!(p50_us(figures, what)? < 1_000_000, "{told}");
    }
    // A frame cannot be on the screen before it is drawn.
    ensure!(p50_us(figures, "input_to_pixel_us")? > 0, "{told}");
    ensure!(figures.number("round_trip_us").is_some_and(|us| us < 1_000_000), "{told}");
    ensure!(figures.number("received_bytes").is_some_and(|bytes| bytes > 0), "{told}");
    ensure!(figures.text("renderer") == Some(renderer), "{told}");
    ensure!(figures.text("adapter").is_some_and(|name| !name.is_empty()), "{told}");
    let picture = (&told["picture"]["width_px"], &told["picture"]["height_px"]);
    ensure!(picture == (&640.into(), &480.into()), "{told}");
    ensure!(told["picture"]["scale_percent"] == 100, "{told}");
    Ok(())
}

/// Types until there are figures of a time in which something was typed.
fn wait_figures(dtu: &Dtu<'_>, mark: usize) -> Result<Event> {
    dtu.events
        .wait_after(mark, "diagnostics", |figures| figures.number("received_bytes").is_some())?;
    let mark = dtu.events.mark()?;
    dtu.type_text(keys::Keyboard::Us, "echo seen")?;
    dtu.events.wait_after(mark, "diagnostics", |figures| {
        commands(figures) > 0
            && figures.fields["input_to_pixel_us"].is_object()
            && figures.fields["encode_us"].is_object()
    })
}

/// The hot key brings the overlay and its figures up, and takes them away.
fn the_hot_key_shows_figures(renderer: &'static str) -> Result<()> {
    let site = Site::start(&format!("diagnostics-{renderer}"), &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").renderer(renderer))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.expect_none(0, &["diagnostics"])?;
    let session = site.hosts[0].only_session()?;

    let mark = dtu.events.mark()?;
    dtu.hot_key(keys::D)?;
    let figures = wait_figures(&dtu, mark)?;
    plausible(&figures, renderer)?;
    // The keys went on to the session, and the box covers no letter up there.
    dtu.wait_shows("echo seen")?;
    let (window, shown) = (dtu.picture()?, session.picture()?);
    ensure!(window.differing_pixels(&shown).is_some_and(|pixels| pixels > 1_000), "no overlay");

    dtu.hot_key(keys::D)?;
    // The window is the session's again, where the box was, too.
    dtu.wait_equals(&session)?;
    let mark = dtu.events.mark()?;
    // The hot key itself was typed nowhere.
    dtu.type_text(keys::Keyboard::Us, " twice")?;
    dtu.wait_shows("echo seen twice")?;
    afterglow_tests::wait::throughout("no more figures come", NO_MORE, || {
        Ok(dtu.expect_none(mark, &["diagnostics"]).is_ok())
    })?;
    site.passed()
}

#[test]
fn the_hot_key_shows_what_frames_cost_where_the_processor_draws() -> Result<()> {
    the_hot_key_shows_figures("cpu")
}

#[test]
fn the_hot_key_shows_what_frames_cost_where_an_adapter_draws() -> Result<()> {
    the_hot_key_shows_figures("wgpu")
}
