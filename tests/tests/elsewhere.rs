//! A service on a host that is no server's (the patent's figure 5): a real ssh
//! and a real sshd, with networks of their own.

use afterglow_tests::bench::pattern::Nonce;
use afterglow_tests::dtu::{Dtu, DtuOptions, private};
use afterglow_tests::netns::Displays;
use afterglow_tests::netns::lan::{Lan, Node, Segment};
use afterglow_tests::process::running;
use afterglow_tests::scratch::Scratch;
use afterglow_tests::site::Site;
use afterglow_tests::sshd::{PORT, Sshd};
use afterglow_tests::{programs, wait};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;

const LAN: [Segment; 1] = [Segment::Bridge(0)];
const BIG: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 201);
const SERVICE: &str = "afterglow-test-service";

/// The only process of the service, if it runs on this host.
fn runs_on(node: &Node) -> Result<Option<u32>> {
    let network = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net"));
    let here = network(node.namespace().pid())?;
    let mut found = Vec::new();
    for pid in running(SERVICE)? {
        // One that ends meanwhile is not there.
        found.extend(network(pid).ok().filter(|of| *of == here).map(|_| pid));
    }
    Ok(match found[..] {
        [pid] => Some(pid),
        _ => None,
    })
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// What ssh looks for in the home of whoever's session this is.
fn furnish_home(site: &Site, sshd: &Sshd) -> Result<()> {
    let mut homes = std::fs::read_dir(site.home_root())?.flatten().map(|entry| entry.path());
    // The servers' own files begin with a dot.
    let is_users = |path: &Path| !path.file_name().is_some_and(is_hidden);
    let home = homes.find(|path| is_users(path)).context("the session has a home")?;
    let own = private(&home.join(".ssh"))?;
    std::fs::copy(sshd.user_key(), own.join("id_ed25519"))?;
    std::fs::copy(sshd.known_hosts(), own.join("known_hosts"))?;
    std::fs::write(own.join("config"), format!("Port {PORT}\n"))?;
    Ok(())
}

fn wait_shown(dtu: &Dtu<'_>, sshd: &Sshd, wanted: impl Fn(&Nonce) -> bool) -> Result<Nonce> {
    wait::until("the service is shown", wait::PATIENCE, || {
        Ok(Nonce::read(&dtu.picture()?).filter(|nonce| wanted(nonce)))
    })
    .with_context(|| sshd.log_text())
}

#[test]
fn its_windows_are_in_the_session_and_come_back_with_it_on_another_server() -> Result<()> {
    let scratch = Scratch::new("elsewhere")?;
    let mut lan = Lan::new(1)?;
    let big = lan.plug(&[(LAN[0], BIG)], Displays::Own)?;
    let sshd = Sshd::start(&big, scratch.private_directory("big")?)?;
    let (program, host) = (programs::path(SERVICE)?, sshd.destination());
    let more = format!(
        "[[service]]\nname = \"solver\"\ncommand = [{:?}]\nhost = {host:?}\n",
        program.display().to_string()
    );
    let idle = ["sleep", "1000"];
    let mut site = Site::prepare_apart(scratch, lan, &["mud", "host05"], &LAN, &idle, &more)?;
    let with_client = std::env::var("PATH").context("PATH")?;
    let with_client = format!("{}:{with_client}", sshd.client_directory()?.display());
    for host in &mut site.hosts {
        host.set_search_path(&with_client);
        host.start_server()?;
    }
    site.wait_acquainted()?;
    let screen = site.screen(640, 480)?;
    let desk = site.desk(1, &LAN)?;
    let dtu = site.dtu_at(&desk, &screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    let attached = dtu.events.wait("attached")?;
    let session = attached.text("session").context("a session")?;
    let lost = dtu.attached_host()?;
    ensure!(runs_on(&big)?.is_none(), "nobody has asked for it yet");

    furnish_home(&site, &sshd)?;
    site.host(&lost)?.administer(&["services", "start", session, "solver"])?;
    let first = wait_shown(&dtu, &sshd, |_| true)?;
    ensure!(runs_on(&big)?.is_some(), "what is shown does not run on the other host");

    // What the user had started is started again, from the new host.
    let mark = dtu.events.mark()?;
    site.host(&lost)?.kill()?;
    let taken = dtu.events.wait_after(mark, "taken_over", |_| true)?;
    ensure!(taken.text("on") != Some(&lost), "{taken:?}");
    wait_shown(&dtu, &sshd, |nonce| *nonce != first)?;
    wait::until_true("only the new one runs there", || Ok(runs_on(&big)?.is_some()))?;
    site.passed()
}
