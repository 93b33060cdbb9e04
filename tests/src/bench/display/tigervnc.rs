//! TigerVNC, as Debian has it: the same session programs on its X server, the
//! same screen under its viewer, a network of the same kind between them.
//!
//! It is told to lose nothing (`-NoJPEG`), as Afterglow never does; all else
//! that changes how pictures are coded is as it comes. It does not encrypt
//! here, which only can make it faster.

use super::connect::Connect;
use super::plan::{Plan, Workload};
use super::stage::{Display, SIZE_PX, Stage};
use super::table::Measured;
use super::watch::Watch;
use super::workloads;
use crate::netns::Displays;
use crate::netns::lan::{Lan, Node, Segment};
use crate::process::Process;
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::unpacked::Unpacked;
use crate::{wait, xauthority};
use anyhow::Result;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use x11rb::protocol::xproto::{ConnectionExt, MapState, Window};

/// The product's name.
pub const NAME: &str = "TigerVNC";
const SERVER: &str = "usr/bin/Xtigervnc";
const VIEWER: &str = "usr/bin/xtigervncviewer";
/// How its viewer is told to code pictures.
pub const VIEWER_OPTIONS: &[&str] =
    &["-AutoSelect=0", "-PreferredEncoding=Tight", "-NoJPEG=1", "-CompressLevel=2", "-FullColor=1"];
/// How it is told to fill the screen, and to be quiet.
const WINDOW_OPTIONS: &[&str] = &[
    "-FullScreen=1",
    "-FullscreenSystemKeys=0",
    "-MenuKey=",
    "-RemoteResize=0",
    "-SecurityTypes=None",
    "-AlertOnFatalError=0",
    "-ReconnectOnError=0",
];
/// How many pictures a second its server sends at most, unless `TIGERVNC_RATE`
/// says otherwise; it comes with this.
const RATE: u64 = 60;
/// The display and the port of its X server, on a host of its own.
const DISPLAY: u32 = 1;
const PORT: u16 = 5901;
const HOST: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const DESK: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 101);

/// It, if it is on this machine.
pub fn find() -> Option<Unpacked> {
    Unpacked::find("tigervnc", &[SERVER, VIEWER]).ok()
}

/// Measures what the plan has.
pub fn measure(packages: &Unpacked, plan: &Plan) -> Result<Measured> {
    let scratch = Scratch::new("bench-display-tigervnc")?;
    let directory = scratch.path();
    let mut lan = Lan::new(1)?;
    let host = lan.plug(&[(Segment::Bridge(0), HOST)], Displays::Own)?;
    let desk = lan.plug(&[(Segment::Bridge(0), DESK)], Displays::Shared)?;
    let screen = Screen::start_in(Some(lan.switch()), directory, SIZE_PX.0, SIZE_PX.1)?;
    let (server, session) = start_server(packages, &host, directory)?;
    let mut measured = Measured::new(NAME);
    let viewer = start_viewer(packages, &desk, &screen, directory)?;
    let stage = Stage {
        product: NAME,
        screen: &screen,
        watch: Watch::on(&screen)?,
        session,
        host,
        desk: desk.clone(),
        server_pids: vec![server.pid()],
        session_pids: vec![server.pid()],
        viewer_pid: viewer.pid(),
        directory,
    };
    workloads::run(&stage, plan, &mut measured)?;
    if plan.has(Workload::Connect) {
        let connect = Connect::prepare(&stage)?;
        let mut viewer = Some(viewer);
        for _ in 0..plan.starts() {
            drop(viewer.take());
            connect.wait_gone()?;
            let start = || start_viewer(packages, &desk, &screen, directory);
            let (started_us, started) = connect.time(start)?;
            measured.start_us.push(started_us);
            viewer = Some(started);
        }
        measured.sort();
    }
    if !measured.is_wrong() {
        scratch.passed()?;
    }
    Ok(measured)
}

/// Starts its X server, whose display is to be had then.
fn start_server(packages: &Unpacked, host: &Node, directory: &Path) -> Result<(Process, Display)> {
    let xauthority = directory.join("session-Xauthority");
    xauthority::create(&xauthority)?;
    let rate = crate::bench::from_environment("TIGERVNC_RATE", RATE)?;
    let mut command = packages.command(SERVER);
    command
        .arg(format!(":{DISPLAY}"))
        .args(["-geometry", &format!("{}x{}", SIZE_PX.0, SIZE_PX.1), "-depth", "24"])
        .args(["-rfbport", &PORT.to_string(), "-SecurityTypes", "None"])
        .args(["-FrameRate", &rate.to_string()])
        .args(["-nolisten", "tcp", "-noreset", "-auth"])
        .arg(&xauthority)
        .env("HOME", directory);
    let mut command = host.namespace().inside(&command);
    let mut server = Process::spawn("Xtigervnc", &mut command, &directory.join("server.log"))?;
    let session = wait::until("TigerVNC's X server runs", wait::PATIENCE, || {
        server.check()?;
        Ok(Display::open(&host.namespace().root(), DISPLAY, &xauthority).ok())
    })?;
    Ok((server, session))
}

/// Starts its viewer, whose window fills the screen and has the keyboard then.
fn start_viewer(
    packages: &Unpacked,
    desk: &Arc<Node>,
    screen: &Screen,
    directory: &Path,
) -> Result<Process> {
    let mut command = packages.command(VIEWER);
    command.args(WINDOW_OPTIONS).args(VIEWER_OPTIONS).arg(format!("{HOST}::{PORT}"));
    command.env("HOME", directory);
    screen.lend_to(&mut command);
    let mut command = desk.namespace().inside(&command);
    let mut viewer =
        Process::spawn("xtigervncviewer", &mut command, &directory.join("viewer.log"))?;
    let window = wait::until("TigerVNC's viewer opens its window", wait::PATIENCE, || {
        viewer.check()?;
        full_window(screen)
    })?;
    screen.focus(window)?;
    // Where its server believes that the pointer of a new viewer is. From any
    // other place the server would draw its own pointer into the picture.
    screen.point_at(window, 0, 0)?;
    Ok(viewer)
}

/// The window that fills the screen, if there is one.
fn full_window(screen: &Screen) -> Result<Option<Window>> {
    let connection = screen.connection();
    for window in connection.query_tree(screen.root())?.reply()?.children {
        // A window that goes while we look is not the one.
        let Ok(attributes) = connection.get_window_attributes(window)?.reply() else { continue };
        let visible = attributes.map_state == MapState::VIEWABLE;
        if visible && screen.window_size(window).is_ok_and(|size| size == SIZE_PX) {
            return Ok(Some(window));
        }
    }
    Ok(None)
}
