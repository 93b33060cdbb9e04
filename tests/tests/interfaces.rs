//! Hosts with two interfaces: one network fails, and the other carries on.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::netns::lan::Segment;
use afterglow_tests::site::{Site, TERMINAL};
use anyhow::{Result, ensure};

const SERVERS: [&str; 3] = ["s1", "s2", "s3"];

#[test]
fn a_session_goes_on_when_the_interface_that_carried_it_is_lost() -> Result<()> {
    let (mut site, _capture) = Site::start_apart("net-interfaces", &SERVERS, (2, 2), TERMINAL)?;
    let screen = site.screen(640, 480)?;
    let desk = site.desk(1, &[Segment::Bridge(0), Segment::Bridge(1)])?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:lovelace"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("lamp=green")?;
    let host = dtu.attached_host()?;
    let attached = dtu.events.wait("attached")?;
    let endpoint = attached.text("endpoint").unwrap_or_default().to_owned();

    let node = site.host(&host)?.node()?.clone();
    let carried = |address: std::net::Ipv4Addr| endpoint.starts_with(&format!("{address}:"));
    let lost = node.interfaces().iter().find(|interface| carried(interface.address));
    let Some(lost) = lost else { anyhow::bail!("{endpoint} is none of {host}'s addresses") };
    let mark = dtu.events.mark()?;
    site.lan()?.cut(lost)?;
    dtu.events.wait_after(mark, "server_lost", |_| true)?;
    let again = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(again.text("host") == Some(&host), "{again:?}");
    ensure!(again.number("epoch") == Some(1), "{again:?}");
    dtu.type_line("clear; echo lamp $lamp by the other way")?;
    dtu.wait_shows("lamp green by the other way")?;
    dtu.expect_none(mark, &["taken_over"])?;
    site.passed()
}

#[test]
fn a_desktop_unit_on_one_network_is_not_sent_where_it_cannot_go() -> Result<()> {
    let (mut site, _capture) = Site::start_apart("net-one-way", &SERVERS, (2, 2), TERMINAL)?;
    let screen = site.screen(640, 480)?;
    // On the servers' second network alone, which is not the one that they
    // name first.
    let desk = site.desk(1, &[Segment::Bridge(1)])?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:lovelace"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    let lost = dtu.attached_host()?;
    let mark = dtu.events.mark()?;
    // The servers hear each other still, but this DTU reaches that one no
    // more: its session waits for it there.
    let node = site.host(&lost)?.node()?.clone();
    site.lan()?.cut(&node.interfaces()[1])?;
    dtu.events.wait_after(mark, "server_lost", |_| true)?;
    let connected = dtu.events.wait_after(mark, "connected", |_| true)?;
    ensure!(connected.text("server") != Some(&lost), "{connected:?}");
    dtu.events.wait_after(mark, "detached", |_| true)?;
    site.lan()?.mend(&node.interfaces()[1])?;
    let again = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!((again.text("host"), again.number("epoch")) == (Some(&*lost), Some(1)), "{again:?}");
    dtu.expect_none(mark, &["taken_over"])?;
    site.passed()
}
