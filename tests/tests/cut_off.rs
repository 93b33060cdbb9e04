//! Real hosts that go: cut off from the network without a word, or killed; and
//! what becomes of the older copy when a network that was split is whole again.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::netns::lan::Segment;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};

const SERVERS: [&str; 3] = ["s1", "s2", "s3"];
const LAN: [Segment; 1] = [Segment::Bridge(0)];
const TOKEN: &str = "soft:lovelace";

/// A session is shown and something of it is kept in a file.
fn settle(dtu: &Dtu<'_>, site: &Site) -> Result<String> {
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("echo kept in a file > note; echo only on the screen")?;
    dtu.wait_shows("only on the screen")?;
    wait::until_true("the file is written", || Ok(site.home_file("note")?.is_some()))?;
    dtu.attached_host()
}

/// The DTU says whom it lost and who goes on, and shows new programs there.
fn expect_taken_over(dtu: &Dtu<'_>, mark: usize, lost: &str) -> Result<String> {
    let silent = dtu.events.wait_after(mark, "server_lost", |_| true)?;
    ensure!(silent.text("server") == Some(lost), "{silent:?}");
    dtu.events.wait_after(mark, "view", |event| {
        event.text("picture") == Some("dimmed") && event.text("panel").is_some()
    })?;
    let taken = dtu.events.wait_after(mark, "taken_over", |_| true)?;
    let by = taken.text("on").unwrap_or_default().to_owned();
    ensure!(by != lost && SERVERS.contains(&by.as_str()), "{taken:?}");
    ensure!(taken.number("epoch") == Some(2), "{taken:?}");
    dtu.wait_panel(mark, "Restarted")?;
    let frame = dtu.wait_first_frame(mark)?;
    ensure!(frame.number("epoch") == Some(2), "{frame:?}");
    dtu.wait_hides("only on the screen")?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("cat note")?;
    dtu.wait_shows("kept in a file")?;
    Ok(by)
}

fn lose(test: &str, how: impl FnOnce(&mut Site, &str) -> Result<()>) -> Result<()> {
    let (mut site, _capture) = Site::start_apart(test, &SERVERS, (1, 1), TERMINAL)?;
    let screen = site.screen(640, 480)?;
    let desk = site.desk(1, &LAN)?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", TOKEN))?;
    let lost = settle(&dtu, &site)?;
    let mark = dtu.events.mark()?;
    how(&mut site, &lost)?;
    let by = expect_taken_over(&dtu, mark, &lost)?;
    let session = site.host(&by)?.only_session()?;
    dtu.wait_equals(&session)?;
    site.passed()
}

#[test]
fn a_host_that_is_cut_off_without_a_word_is_replaced_by_another() -> Result<()> {
    lose("net-cut-off", |site, lost| {
        let node = site.host(lost)?.node()?.clone();
        site.lan()?.cut(node.first())
    })
}

#[test]
fn a_host_that_is_killed_is_replaced_by_another() -> Result<()> {
    lose("net-killed", |site, lost| {
        let killed = site.host(lost)?.kill()?;
        ensure!(killed >= 4, "server, keeper, worker, X and the programs: {killed}");
        Ok(())
    })
}

#[test]
fn after_a_split_the_older_copy_is_attached_no_more() -> Result<()> {
    let (mut site, _capture) = Site::start_apart("net-split", &SERVERS, (1, 2), TERMINAL)?;
    let screen = site.screen(1280, 480)?;
    let (desk1, desk2) = (site.desk(1, &LAN)?, site.desk(2, &LAN)?);
    // The second DTU is where the session was made; its card goes on to the
    // first.
    let options = DtuOptions::new("desk2", TOKEN).place(640, 0);
    let second = site.dtu_at(&desk2, &screen, options)?;
    let old = settle(&second, &site)?;
    second.toggle_card()?;
    second.events.wait("removed")?;
    let first = site.dtu_at(&desk1, &screen, DtuOptions::new("desk1", TOKEN))?;
    first.wait_shows("only on the screen")?;
    ensure!(first.attached_host()? == old);

    // The session's host and the second DTU are on one side, all others on
    // the other one.
    let old_node = site.host(&old)?.node()?.clone();
    let mark = first.events.mark()?;
    for there in [&old_node, &desk2] {
        site.lan()?.move_to(there.first(), 1)?;
    }
    let new = expect_taken_over(&first, mark, &old)?;
    first.type_line("clear; echo the newer copy")?;
    first.wait_shows("the newer copy")?;
    for back in [&old_node, &desk2] {
        site.lan()?.move_to(back.first(), 0)?;
    }

    // Whoever asks the older copy's host is shown the newer one.
    let mark = second.events.mark()?;
    second.toggle_card()?;
    let attached = second.events.wait_after(mark, "attached", |_| true)?;
    ensure!(attached.number("epoch") == Some(2), "{attached:?}");
    ensure!(attached.text("host") == Some(&new), "{attached:?}");
    second.wait_shows("the newer copy")?;
    first.wait_panel(mark, "Elsewhere")?;
    let shown = second.events.all()?.into_iter().filter(|event| event.name == "first_frame");
    let epochs: Vec<_> = shown.filter_map(|event| event.number("epoch")).collect();
    ensure!(epochs.is_sorted(), "an older copy was shown after a newer one: {epochs:?}");
    site.host(&old)?.wait_log("is frozen, until its user decides")?;
    site.passed()
}
