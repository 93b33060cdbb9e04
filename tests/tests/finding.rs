//! Hosts on a network of their own that know the group's key and nobody else:
//! how a session is found there, as the patent's figure 9c draws it, from what
//! passes over the wire.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::events::now_us;
use afterglow_tests::netns::capture::Datagram;
use afterglow_tests::netns::lan::Segment;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_wire::group::GroupMessage;
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;

const SERVERS: [&str; 3] = ["s1", "s2", "s3"];
const TOKEN: &str = "soft:lovelace";

#[test]
fn a_session_is_found_through_another_server_that_asks_the_group() -> Result<()> {
    let (mut site, capture) = Site::start_apart("net-finding", &SERVERS, (1, 1), TERMINAL)?;
    let screen = site.screen(1280, 480)?;
    let desk1 = site.desk(1, &[Segment::Bridge(0)])?;
    let first = site.dtu_at(&desk1, &screen, DtuOptions::new("desk1", TOKEN))?;
    first.wait_first_frame(0)?;
    first.wait_shows("$ ")?;
    first.type_line("echo the very session")?;
    first.wait_shows("the very session")?;
    let owner = first.attached_host()?;

    // The owner does not hear the second DTU's question, so that this meets
    // another server first.
    let desk2 = site.desk(2, &[Segment::Bridge(0)])?;
    let owner_node = site.host(&owner)?.node()?.clone();
    desk2.know(&owner_node)?;
    site.lan()?.set_deaf(owner_node.first(), true)?;
    let since_us = now_us();
    let options = DtuOptions::new("desk2", TOKEN).place(640, 0);
    let second = site.dtu_at(&desk2, &screen, options)?;
    let met = second.events.wait("connected")?;
    site.lan()?.set_deaf(owner_node.first(), false)?;
    let asked = met.text("server").context("connected to whom")?.to_owned();
    ensure!(asked != owner, "{met:?}");

    let redirected = second.events.wait("redirected")?;
    ensure!(redirected.text("from") == Some(&asked), "{redirected:?}");
    ensure!(redirected.text("to") == Some(&owner), "{redirected:?}");
    ensure!(redirected.text("plan") == Some("existing"), "{redirected:?}");
    second.wait_shows("the very session")?;
    let attached = second.events.wait("attached")?;
    ensure!(attached.text("host") == Some(&owner), "{attached:?}");
    first.wait_panel(0, "Elsewhere")?;

    let (desk, asked) = (desk2.first().address, site.host(&asked)?.address());
    let owner = site.host(&owner)?.address();
    let step = |what: &str, since_us: u64, wanted: &dyn Fn(&Datagram) -> bool| {
        capture.wait(what, since_us, |seen| seen.kind() == what && wanted(seen))
    };
    let server_q = step("serverQ", since_us, &|seen| *seen.from.ip() == desk)?;
    let server_r =
        step("serverR", server_q.t_us, &|seen| (*seen.from.ip(), *seen.to.ip()) == (asked, desk))?;
    ensure!(server_r.value("serverR") == server_q.value("serverQ"), "{server_r:?}");
    let token_q =
        step("tokenQ", server_r.t_us, &|seen| (*seen.from.ip(), *seen.to.ip()) == (asked, owner))?;
    let token_r =
        step("tokenR", token_q.t_us, &|seen| (*seen.from.ip(), *seen.to.ip()) == (owner, asked))?;
    ensure!(token_r.value("tokenR") == token_q.value("tokenQ"), "{token_r:?}");
    ensure!(token_r.value("session").is_some(), "{token_r:?}");
    // It asks nobody by name.
    for seen in capture.all()?.iter().filter(|seen| seen.kind() == "serverQ") {
        let to_all = seen.to.ip().octets()[3] == 255 || seen.to.ip().is_multicast();
        ensure!(to_all, "it knows nobody: {seen:?}");
    }
    step("serverQ", since_us, &|seen| {
        *seen.from.ip() == desk && *seen.to.ip() == Ipv4Addr::new(10, 79, 0, 255)
    })?;
    site.passed()
}

#[test]
fn what_the_group_says_is_signed_and_tells_no_token() -> Result<()> {
    let (mut site, capture) = Site::start_apart("net-signed", &SERVERS, (1, 1), TERMINAL)?;
    let screen = site.screen(640, 480)?;
    let desk = site.desk(1, &[Segment::Bridge(0)])?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", TOKEN))?;
    dtu.wait_first_frame(0)?;
    capture.wait("tokenQ", 0, |seen| seen.kind() == "tokenQ")?;

    let key = site.group_key()?.message_key();
    let mut hosts = std::collections::BTreeSet::new();
    for seen in capture.all()? {
        let bytes = seen.text.as_bytes();
        let received = GroupMessage::parse(bytes, Some(&key))
            .with_context(|| format!("the group's own words: {seen:?}"))?;
        ensure!(!seen.text.contains("lovelace"), "the token is on the wire: {seen:?}");
        match received.message {
            GroupMessage::ServerQ(_) | GroupMessage::ServerR(_) => continue,
            GroupMessage::Host(host) => {
                hosts.insert(host.host.to_string());
            }
            GroupMessage::TokenQ(_) | GroupMessage::TokenR(_) => {}
        }
        let signature = seen.text.rsplit(' ').next().context("a last pair")?;
        ensure!(signature.starts_with("sig=sha1:") && received.trusted, "{seen:?}");
        let mut changed = bytes.to_vec();
        changed[bytes.len() / 2] ^= 1;
        let forged = GroupMessage::parse(&changed, Some(&key));
        ensure!(!forged.is_ok_and(|forged| forged.trusted), "a changed one is trusted");
    }
    ensure!(hosts.iter().eq(SERVERS.iter()), "all speak by themselves: {hosts:?}");
    site.passed()
}
