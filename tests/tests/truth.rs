//! A picture at rest that is wrong is found and repaired.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

/// How many blocks differed, each time that the picture was compared.
fn compared(dtu: &Dtu<'_>) -> Result<Vec<u64>> {
    let events = dtu.events.all()?.into_iter();
    Ok(events.filter_map(|event| event.number("blocks_differing")).collect())
}

fn a_wrong_pixel_is_repaired(renderer: &'static str) -> Result<()> {
    let site = Site::start(&format!("truth-{renderer}"), &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let options = DtuOptions::new("desk1", "soft:ada").renderer(renderer).spoil_pixel();
    let dtu = site.dtu(&screen, options)?;
    let compared = wait::until("the picture is compared twice", wait::PATIENCE, || {
        Ok(Some(compared(&dtu)?).filter(|compared| compared.len() >= 2))
    })?;
    ensure!(compared[..2] == [1, 0], "blocks that differed: {compared:?}");
    let session = site.hosts[0].only_session()?;
    dtu.wait_equals(&session)?;
    // Nothing was begun anew for it, and the user was told nothing.
    dtu.expect_none(0, &["detached", "notice", "refused"])?;
    // This one was wrong on purpose.
    site.scratch().passed()
}

#[test]
fn a_wrong_pixel_is_found_and_repaired_where_the_processor_draws() -> Result<()> {
    a_wrong_pixel_is_repaired("cpu")
}

#[test]
fn a_wrong_pixel_is_found_and_repaired_where_an_adapter_draws() -> Result<()> {
    a_wrong_pixel_is_repaired("wgpu")
}
