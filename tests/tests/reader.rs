//! Real PC/SC: a private pcscd, vpcd's reader, and a card in it.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::reader::{CARD_UID, Reader};
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

#[test]
fn a_card_brings_its_session_and_a_dead_pcscd_is_survived() -> Result<()> {
    let site = Site::start("reader", &["mud"], TERMINAL)?;
    let mut reader = Reader::start(site.scratch().path())?;
    let screen = site.screen(800, 600)?;
    let mut options = DtuOptions::new("desk1", "card");
    options.pcscd = Some(reader.socket().to_owned());
    let dtu = site.dtu(&screen, options)?;
    dtu.wait_panel(0, "InsertCard")?;
    ensure!(dtu.events.all()?.iter().all(|event| event.name != "inserted"), "no card is in yet");

    // In: the session of this card.
    reader.insert()?;
    let inserted = dtu.events.wait("inserted")?;
    ensure!(inserted.text("token_kind") == Some("card"), "{inserted:?}");
    let first = dtu.events.wait("attached")?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("echo my own desktop")?;
    dtu.wait_shows("my own desktop")?;

    // Out: blank.
    let mark = dtu.events.mark()?;
    reader.remove()?;
    dtu.events.wait_after(mark, "removed", |_| true)?;
    dtu.wait_panel(mark, "InsertCard")?;
    dtu.wait_hides("my own desktop")?;

    // In again, then pcscd dies: whoever cannot tell that the card is there
    // takes it for gone.
    let mark = dtu.events.mark()?;
    reader.insert()?;
    let again = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(again.text("session") == first.text("session"), "{again:?}");
    dtu.wait_shows("my own desktop")?;
    let mark = dtu.events.mark()?;
    reader.kill_daemon()?;
    dtu.events.wait_after(mark, "removed", |_| true)?;
    dtu.wait_hides("my own desktop")?;

    // pcscd is back, and with it the card.
    let mark = dtu.events.mark()?;
    reader.start_daemon()?;
    reader.insert()?;
    dtu.wait_first_frame(mark)?;
    dtu.wait_shows("my own desktop")?;
    // The card's number is told to the server, and to no log.
    let uid: String = CARD_UID.iter().map(|byte| format!("{byte:02x}")).collect();
    let log = std::fs::read_to_string(dtu.events.path())?.to_lowercase();
    ensure!(!log.contains(&uid), "the event log gives the card's number away");
    ensure!(!site.hosts[0].server_log().to_lowercase().contains(&uid));
    site.passed()
}

#[test]
fn without_pcscd_the_dtu_says_so_and_offers_itself() -> Result<()> {
    let site = Site::start("reader-none", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "card"))?;
    dtu.wait_panel(0, "InsertCard")?;
    wait::until_true("the panel is to be seen", || Ok(!dtu.picture()?.is_of_one_color()))?;
    let troubles = dtu.events.wait_after(0, "reader", |event| event.text("trouble").is_some())?;
    ensure!(troubles.text("trouble").is_some_and(|text| text.contains("pcscd")), "{troubles:?}");
    ensure!(dtu.events.all()?.iter().all(|event| event.name != "inserted"));
    site.passed()
}
