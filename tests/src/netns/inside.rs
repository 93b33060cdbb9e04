//! What runs inside a namespace on the tests' behalf.

use super::{Displays, capture, relay};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where X servers have their sockets.
const SOCKETS: &str = "/tmp/.X11-unix";

/// Obeys the command line; ends when the standard input does.
pub fn obey(words: &[OsString]) -> Result<()> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["hold", outside, displays] => hold(Path::new(outside), displays),
        ["capture", file] => {
            end_with_input();
            capture::write_down(Path::new(file), ready)
        }
        ["relay", seed, ref ports @ ..] => relay::carry(seed, ports, ready),
        _ => bail!(
            "usage: afterglow-test-hosts hold NS DISPLAYS | capture FILE | relay SEED PORT..."
        ),
    }
}

fn ready() -> Result<()> {
    println!("ready");
    std::io::stdout().flush().context("the test does not listen")
}

/// Ends this process when its standard input ends.
fn end_with_input() {
    std::thread::spawn(|| {
        wait_for_end();
        std::process::exit(0);
    });
}

fn wait_for_end() {
    let mut input = std::io::stdin().lock();
    let mut byte = [0];
    while matches!(input.read(&mut byte), Ok(1)) {}
}

/// Holds the namespace, and ends all that runs in it with it. `outside` is the
/// namespace that the test runs in, where nobody is to be ended.
fn hold(outside: &Path, displays: &str) -> Result<()> {
    let own = std::fs::read_link("/proc/self/ns/net").context("procfs")?;
    ensure!(own != outside, "this is to run in a network namespace of its own");
    if displays == Displays::Own.word() {
        own_displays()?;
    }
    ready()?;
    wait_for_end();
    while end_others(&own)? {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(())
}

/// Puts an empty directory where X servers have their sockets, for this mount
/// namespace alone.
fn own_displays() -> Result<()> {
    if !Path::new(SOCKETS).exists() {
        std::fs::DirBuilder::new().mode(0o1777).create(SOCKETS)?;
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=1777", "tmpfs", SOCKETS]);
    let output = mount.output().context("cannot run 'mount'")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot mount {SOCKETS}: {said}");
    Ok(())
}

/// Kills every other process of this network namespace; false if there is
/// none.
fn end_others(own: &PathBuf) -> Result<bool> {
    let mut any = false;
    for process in std::fs::read_dir("/proc").context("procfs")?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let namespace = std::fs::read_link(process.path().join("ns/net"));
        if namespace.is_ok_and(|namespace| namespace == *own) && pid != rustix::process::getpid() {
            any = true;
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(any)
}
