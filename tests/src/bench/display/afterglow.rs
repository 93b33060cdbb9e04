//! Afterglow: one server, one session, a DTU in a window.

use super::connect::Connect;
use super::plan::{Plan, Workload};
use super::stage::{DRAWING, Display, SIZE_PX, Stage};
use super::table::Measured;
use super::watch::Watch;
use super::workloads;
use crate::dtu::{Dtu, DtuOptions};
use crate::host::Host;
use crate::netns::lan::{Lan, Node, Segment};
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::site::Site;
use crate::{programs, wait};
use anyhow::{Context, Result};
use std::sync::Arc;

/// The product's name.
pub const NAME: &str = "Afterglow";
/// Where the host and the DTU are.
const LAN: [Segment; 1] = [Segment::Bridge(0)];
/// The token that is in.
const TOKEN: &str = "soft:bench";

/// Measures what the plan has.
pub fn measure(plan: &Plan) -> Result<Measured> {
    let more = plan.quality.iter().map(|quality| format!("quality = {quality:?}\n"));
    let (site, desk) = prepare("bench-display-afterglow", &more.collect::<String>())?;
    let screen = site.screen(SIZE_PX.0, SIZE_PX.1)?;
    let mut measured = Measured::new(NAME);
    let dtu = open(&site, &screen, &desk, "unit")?;
    dtu.wait_first_frame(0)?;
    let stage = stage(&site, &screen, &desk, &dtu)?;
    workloads::run(&stage, plan, &mut measured)?;
    if plan.has(Workload::Connect) {
        connects(&stage, dtu, plan, &mut measured, |number| {
            open(&site, &screen, &desk, &format!("unit-{number}"))
        })?;
    }
    drop(stage);
    if !measured.is_wrong() {
        site.passed()?;
    }
    Ok(measured)
}

/// A host with its server, whose sessions are an even ground, and a place for a
/// DTU. `more` are further lines of the configuration.
pub fn prepare(name: &str, more: &str) -> Result<(Site, Arc<Node>)> {
    let drawing = programs::path(DRAWING)?;
    let desktop = [&*drawing.to_string_lossy(), "stage"];
    let scratch = Scratch::new(name)?;
    let mut site = Site::prepare_apart(scratch, Lan::new(1)?, &["s1"], &LAN, &desktop, more)?;
    site.host("s1")?.start_server()?;
    let desk = site.desk(0, &LAN)?;
    Ok((site, desk))
}

/// Connects again and again: by the card at a DTU that runs, then with DTUs
/// that start with the card in.
fn connects<'a>(
    stage: &Stage,
    dtu: Dtu<'_>,
    plan: &Plan,
    measured: &mut Measured,
    open: impl Fn(u64) -> Result<Dtu<'a>>,
) -> Result<()> {
    let connect = Connect::prepare(stage)?;
    for _ in 0..plan.connects() {
        let mark = dtu.events.mark()?;
        dtu.toggle_card()?;
        dtu.events.wait_after(mark, "removed", |_| true)?;
        connect.wait_gone()?;
        let (inserted_us, ()) = connect.time(|| dtu.toggle_card())?;
        measured.insert_us.push(inserted_us);
    }
    drop(dtu);
    for number in 0..plan.starts() {
        connect.wait_gone()?;
        let (started_us, dtu) = connect.time(|| open(number))?;
        measured.start_us.push(started_us);
        drop(dtu);
    }
    measured.sort();
    Ok(())
}

/// A DTU whose window is all of the screen.
pub fn open<'a>(site: &Site, screen: &'a Screen, desk: &Arc<Node>, name: &str) -> Result<Dtu<'a>> {
    let mut options = DtuOptions::new(name, TOKEN);
    options.size_px = SIZE_PX;
    options.desk = Some(desk.clone());
    site.dtu(screen, options)
}

/// All of it, as what is measured sees it.
pub fn stage<'a>(
    site: &'a Site,
    screen: &'a Screen,
    desk: &Arc<Node>,
    dtu: &Dtu<'_>,
) -> Result<Stage<'a>> {
    let host = &site.hosts[0];
    let directory = host.only_session()?.directory().to_owned();
    let number = std::fs::read_to_string(directory.join("display")).context("its display")?;
    let number = number.trim().trim_start_matches(':').parse().context("a display's number")?;
    let node = host.node()?.clone();
    let session = Display::open(&node.namespace().root(), number, &directory.join("Xauthority"))?;
    wait::until_true("the session has the window's size", || session.is_of_size())?;
    let (server_pids, session_pids) = pids(host)?;
    Ok(Stage {
        product: NAME,
        screen,
        watch: Watch::on(screen)?,
        session,
        host: node,
        desk: desk.clone(),
        server_pids,
        session_pids,
        viewer_pid: dtu.process.pid(),
        directory: site.scratch().path(),
    })
}

/// Everything at the host but the session's own program; and what of it is the
/// session's.
fn pids(host: &Host) -> Result<(Vec<u32>, Vec<u32>)> {
    let mut all = host.processes()?;
    all.retain(|(pid, _)| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|program| !program.ends_with(DRAWING))
    });
    let is_server = |line: &str| line.contains("afterglow-server run");
    let server = all.iter().map(|(pid, _)| *pid).collect();
    let session = all.iter().filter(|(_, line)| !is_server(line)).map(|(pid, _)| *pid).collect();
    Ok((server, session))
}
