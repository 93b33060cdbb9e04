//! Hosts with two interfaces: one network fails, and the other carries on.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::netns::lan::Segment;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};
use serde_json::Value;

const SERVERS: [&str; 3] = ["s1", "s2", "s3"];

/// What `afterglowctl topology` on one host tells of another server's
/// interface: how long ago it was heard through it, and whether it is up.
fn interface(told: &Value, server: &str, name: &str) -> Option<(i64, bool)> {
    let named = |list: &Value, name: &str| {
        list.as_array()?.iter().find(|entry| entry["name"] == name).cloned()
    };
    let host = named(&told["hosts"], server);
    let found = named(&host?["interfaces"], name)?;
    found["lastpkt_ms"].as_i64().zip(found["up"].as_bool())
}

#[test]
fn the_topology_tells_through_which_interface_a_server_is_heard() -> Result<()> {
    let (mut site, _capture) = Site::start_apart("net-topology", &SERVERS, (2, 2), TERMINAL)?;
    let node = site.host("s2")?.node()?.clone();
    let look = |name: &str| anyhow::Ok(interface(&site.hosts[0].topology()?, "s2", name));
    let is_fresh = |told: Option<(i64, bool)>| {
        told.is_some_and(|(lastpkt_ms, up)| up && (0..4_000).contains(&lastpkt_ms))
    };
    for name in ["eth0", "eth1"] {
        wait::until_true(&format!("s2 is heard through {name}"), || Ok(is_fresh(look(name)?)))?;
    }
    site.lan()?.cut(node.first())?;
    wait::until_true("eth0 ages and is down, and eth1 stays", || {
        let aged = look("eth0")?.is_some_and(|(lastpkt_ms, up)| !up && lastpkt_ms >= 6_000);
        ensure!(is_fresh(look("eth1")?), "eth1 carries on: {:?}", look("eth1")?);
        Ok(aged)
    })?;
    site.lan()?.mend(node.first())?;
    wait::until_true("s2 is heard through eth0 again", || Ok(is_fresh(look("eth0")?)))?;
    site.passed()
}

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
    // What is typed at a panel goes nowhere.
    dtu.wait_first_frame(mark)?;
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
