//! What a peer may not do: it is dropped, and everyone else goes on.

use afterglow_link::quic::Liveness;
use afterglow_link::tls::Accept;
use afterglow_tests::scripted::{ControlLink, ScriptedDtu, in_time, show_frames};
use afterglow_tests::site::Site;
use afterglow_wire::codec::Message;
use afterglow_wire::control::{self, Hello, ToDtu, ToServer};
use afterglow_wire::display::{self, FromSession};
use afterglow_wire::ids::Token;
use afterglow_wire::limits::{CONTROL_MESSAGE_BYTES_MAX, FRAMES_UNACKNOWLEDGED_MAX};
use anyhow::{Context, Result, ensure};
use std::net::UdpSocket;

/// A terminal that always has something new to show.
const BUSY: &[&str] =
    &["xterm", "-geometry", "60x20+0+0", "-e", "sh", "-c", "while :; do date; sleep 0.02; done"];
/// The most memory that any of this may cost a server.
const MEMORY_GROWTH_KB_MAX: u64 = 64 * 1024;

fn ada() -> Token {
    "soft.ada".parse().expect("a token")
}

/// The server still serves: a good DTU gets its session.
async fn a_good_dtu_is_served(site: &Site) -> Result<()> {
    let dtu = ScriptedDtu::new(site.group())?;
    let (mut link, _) = dtu.meet(site.hosts[0].control_address()).await?;
    let attach = dtu.insert(&mut link, &ada(), 1).await?;
    let (mut display, _) = dtu.attach(&attach).await?;
    show_frames(&mut display, 1, |number| number < 3).await?;
    Ok(())
}

fn memory_kb(site: &Site) -> Result<u64> {
    let path = format!("/proc/{}/status", site.hosts[0].server_pid()?);
    let status = std::fs::read_to_string(path)?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

/// Bytes that look like nothing, the same in every run.
fn garbage(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(len)
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_datagrams_change_nothing() -> Result<()> {
    let site = Site::start("bad-datagrams", &["mud"], BUSY)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let (mut link, _) = dtu.meet(site.hosts[0].control_address()).await?;
    let attach = dtu.insert(&mut link, &ada(), 1).await?;
    let before_kb = memory_kb(&site)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let ports = [site.hosts[0].group_address(), site.hosts[0].control_address(), attach.endpoint];
    for round in 0..2000_usize {
        let mut datagram = garbage(round % 1500);
        if round % 3 == 0 {
            datagram.splice(..0, *b"host=mud numifs=0 ");
        }
        for port in ports {
            // The kernel may drop some when the server is slow: so be it.
            let _ = socket.send_to(&datagram, port);
        }
    }
    a_good_dtu_is_served(&site).await?;
    let grown_kb = memory_kb(&site)?.saturating_sub(before_kb);
    ensure!(grown_kb < MEMORY_GROWTH_KB_MAX, "{grown_kb} kB more");
    // It is told, and not once for each.
    let lines = site.hosts[0].server_log().lines().count();
    ensure!(lines < 500, "{lines} lines of log");
    site.passed()
}

/// Sends these bytes as the first of a stream; the server must end the
/// connection.
async fn bytes_end_the_connection(site: &Site, what: &str, bytes: &[u8]) -> Result<()> {
    let dtu = ScriptedDtu::new(site.group())?;
    let connection = dtu.server_connection(site.hosts[0].control_address()).await?;
    let (mut send, _receive) = connection.open_bi().await?;
    send.write_all(bytes).await?;
    // It may be gone before the end could be told.
    let _ = send.finish();
    in_time(what, connection.closed()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_ends_its_own_connection_only() -> Result<()> {
    let site = Site::start("bad-streams", &["mud"], BUSY)?;
    let hello = ToServer::from(Hello { version: control::VERSION, dtu_name: "x".into() });
    let hello = hello.encode_framed();
    let too_long = ((CONTROL_MESSAGE_BYTES_MAX + 1) as u32).to_le_bytes();
    bytes_end_the_connection(&site, "garbage", &garbage(5000)).await?;
    bytes_end_the_connection(&site, "a message cut short", &hello[..hello.len() - 1]).await?;
    bytes_end_the_connection(&site, "a message too long", &too_long).await?;
    let after_hello = [&hello[..], &garbage(64)].concat();
    bytes_end_the_connection(&site, "garbage after a Hello", &after_hello).await?;
    a_good_dtu_is_served(&site).await?;
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_of_message_is_skipped() -> Result<()> {
    let site = Site::start("bad-kind", &["mud"], BUSY)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let (mut link, _) = dtu.meet(site.hosts[0].control_address()).await?;
    link.send(ToServer::Unknown(0x7ffe)).await?;
    let attach = dtu.insert(&mut link, &ada(), 1).await?;
    ensure!(attach.insert == 1);
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_refused_on_both_links() -> Result<()> {
    let site = Site::start("bad-alpn", &["mud"], BUSY)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let (mut link, _) = dtu.meet(site.hosts[0].control_address()).await?;
    let attach = dtu.insert(&mut link, &ada(), 1).await?;
    let any = Accept::AnyServer { group: Some(site.group()) };
    let session = Accept::Session { group: site.group(), id: attach.session, epoch: attach.epoch };
    let control_address = site.hosts[0].control_address();
    for (address, accept, alpn) in [
        (control_address, any.clone(), display::ALPN),
        (control_address, any, b"h3"),
        (attach.endpoint, session, control::ALPN),
    ] {
        let opened = dtu.connection(address, accept, alpn, Liveness::CONTROL).await;
        ensure!(opened.is_err(), "{address} accepted {}", String::from_utf8_lossy(alpn));
    }
    a_good_dtu_is_served(&site).await?;
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_silent_clients_keep_nobody_out_and_are_dropped() -> Result<()> {
    let site = Site::start("bad-silence", &["mud"], BUSY)?;
    let before_kb = memory_kb(&site)?;
    let mut silent = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        // One endpoint each for ten, as ten machines would have.
        let dtu = ScriptedDtu::new(site.group())?;
        for _ in 0..10 {
            match dtu.server_connection(site.hosts[0].control_address()).await {
                Ok(connection) => silent.push((dtu.endpoint(), connection)),
                Err(_) => refused += 1,
            }
        }
    }
    a_good_dtu_is_served(&site).await?;
    let grown_kb = memory_kb(&site)?.saturating_sub(before_kb);
    ensure!(grown_kb < MEMORY_GROWTH_KB_MAX, "{grown_kb} kB more");
    println!("{} connected and silent, {refused} refused, {grown_kb} kB", silent.len());
    for (_, connection) in &silent {
        in_time("a silent client is dropped", connection.closed()).await?;
    }
    a_good_dtu_is_served(&site).await?;
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dtu_that_never_acknowledges_gets_two_frames_and_keeps_nobody_out() -> Result<()> {
    let site = Site::start("bad-silent-dtu", &["mud"], BUSY)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let (mut link, _) = dtu.meet(site.hosts[0].control_address()).await?;
    let attach = dtu.insert(&mut link, &ada(), 1).await?;
    let (mut display, _) = dtu.attach(&attach).await?;
    let (mut newest, mut alive) = (0, 0);
    // For two seconds: the session says ten times a second that it lives.
    while alive < 20 {
        match display.next().await? {
            FromSession::Frame(part) => newest = part.number,
            FromSession::Alive(_) => alive += 1,
            _ => {}
        }
    }
    ensure!(newest == u64::from(FRAMES_UNACKNOWLEDGED_MAX), "{newest} frames came");
    a_good_dtu_is_served(&site).await?;
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_speaks_before_its_hello_is_not_served() -> Result<()> {
    let site = Site::start("bad-order", &["mud"], BUSY)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let connection = dtu.server_connection(site.hosts[0].control_address()).await?;
    let mut link = ControlLink::open(connection.clone()).await?;
    link.send(afterglow_tests::scripted::first_insert(&ada(), 1)).await?;
    loop {
        match link.next().await {
            Ok(ToDtu::Attach(attach)) => anyhow::bail!("{attach:?} without a Hello"),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    in_time("the connection ends", connection.closed()).await?;
    a_good_dtu_is_served(&site).await?;
    site.passed()
}
