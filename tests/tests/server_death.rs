//! The server process dies: the picture goes on, frame by frame, and another
//! server cares for it until it is back.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::process::marked_pids;
use afterglow_tests::scripted::{ScriptedDtu, show_frames};
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// A terminal whose last lines count, without end, beside a shell.
const COUNTING: &[&str] = &[
    "xterm",
    "-geometry",
    "60x20+0+0",
    "-e",
    "sh",
    "-c",
    "PS1='$ '; export PS1; i=0; (while sleep 0.02; do i=$((i+1)); \
     printf '\\0337\\033[18;1Hcount %d \\0338' $i; done) & exec sh",
];

/// What would tell that the picture was interrupted.
const INTERRUPTIONS: &[&str] = &["attached", "first_frame", "detached", "taken_over", "refused"];

#[test]
fn the_window_goes_on_and_control_comes_back_to_the_restarted_server() -> Result<()> {
    let mut site = Site::start("server-death", &["mud", "host05"], COUNTING)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("count")?;
    dtu.type_line("lamp=green; echo shell $$ > shell; echo unsaved")?;
    dtu.wait_shows("unsaved")?;
    let owner = dtu.attached_host()?;
    let pids = marked_pids(site.host(&owner)?)?;

    let mark = dtu.events.mark()?;
    site.host(&owner)?.kill_server()?;
    let counts = dtu.word("count")?;
    wait::throughout("the picture stays", Duration::from_secs(3), || dtu.shows(&counts))?;
    dtu.events.wait_after(mark, "server_lost", |_| true)?;
    let resumed = dtu.events.wait_after(mark, "resumed", |_| true)?;
    ensure!(resumed.text("server") != Some(&owner), "by the other server: {resumed:?}");
    dtu.type_line("clear; echo lamp $lamp by caretaker")?;
    dtu.wait_shows("lamp green by caretaker")?;
    dtu.expect_none(mark, INTERRUPTIONS)?;

    site.host(&owner)?.start_server()?;
    let back = dtu.events.wait_after(mark, "resumed", |e| e.text("server") == Some(&owner))?;
    ensure!(back.t_us > resumed.t_us);
    dtu.type_line("clear; echo lamp $lamp at home")?;
    dtu.wait_shows("lamp green at home")?;
    dtu.expect_none(mark, INTERRUPTIONS)?;
    let now = marked_pids(site.host(&owner)?)?;
    let gone: Vec<_> = pids.iter().filter(|pid| !now.contains(pid)).collect();
    // The server itself, and perhaps a `sleep` of the counting loop.
    ensure!(gone.len() <= 2, "of {} processes {} are gone", pids.len(), gone.len());
    site.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn not_one_frame_is_missed() -> Result<()> {
    let mut site = Site::start("server-frames", &["mud"], COUNTING)?;
    let dtu = ScriptedDtu::new(site.group())?;
    let address = site.hosts[0].control_address();
    let (mut control, _) = dtu.meet(address).await?;
    let attach = dtu.insert(&mut control, &"soft.ada".parse()?, 1).await?;
    let (mut display, attached) = dtu.attach(&attach).await?;
    ensure!(attached.session == attach.session);
    let number = show_frames(&mut display, 1, |number| number < 20).await?;

    site.hosts[0].kill_server()?;
    let number = show_frames(&mut display, number, |number| number < 60).await?;
    site.hosts[0].start_server()?;
    show_frames(&mut display, number, |number| number < 100).await?;

    // The restarted server has found the session, and gives it to who asks.
    let (mut control, _) = dtu.meet(address).await?;
    let again = dtu.insert(&mut control, &"soft.ada".parse()?, 2).await?;
    ensure!((again.session, again.epoch) == (attach.session, attach.epoch), "{again:?}");
    site.passed()
}

#[test]
fn a_server_that_ends_in_good_order_leaves_its_sessions_running() -> Result<()> {
    let mut site = Site::start("server-term", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    let mark = dtu.events.mark()?;
    site.hosts[0].stop_server()?;
    dtu.events.wait_after(mark, "server_lost", |_| true)?;
    dtu.type_line("echo alive without a server")?;
    dtu.wait_shows("alive without a server")?;
    site.hosts[0].start_server()?;
    dtu.events.wait_after(mark, "resumed", |_| true)?;
    dtu.expect_none(mark, INTERRUPTIONS)?;
    site.passed()
}

#[test]
fn a_worker_that_dies_is_replaced_and_keys_are_not_lost() -> Result<()> {
    let site = Site::start("worker-death", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada"))?;
    dtu.wait_first_frame(0)?;
    dtu.wait_shows("$ ")?;
    dtu.type_line("lamp=green")?;
    let mark = dtu.events.mark()?;
    site.hosts[0].kill_workers()?;
    let killed = Instant::now();
    // Typed at once, while there is no worker to hear it.
    dtu.type_line("clear; echo lamp $lamp after the worker")?;
    dtu.wait_shows("lamp green after the worker")?;
    ensure!(killed.elapsed() < Duration::from_secs(10));
    let attached = dtu.events.wait_after(mark, "attached", |_| true)?;
    ensure!(attached.number("epoch") == Some(1), "{attached:?}");
    let session = site.hosts[0].only_session()?;
    ensure!(session.keys_down()?.is_empty(), "no key stays down");
    dtu.wait_equals(&session)?;
    site.passed()
}
