//! The tests' hosts with networks of their own: nothing of them is left.

use afterglow_tests::netns::Displays;
use afterglow_tests::netns::lan::{Lan, Segment};
use afterglow_tests::wait;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

#[test]
fn whatever_runs_on_a_host_ends_with_it() -> Result<()> {
    let mut lan = Lan::new(1)?;
    let interfaces = [(Segment::Bridge(0), "10.79.0.1".parse()?)];
    let host = lan.plug(&interfaces, Displays::Own)?;
    // Twice removed from us, in a process group of its own, and deaf to what
    // ends a program in good order.
    let script = "trap '' TERM HUP INT; setsid sleep 1000 & wait";
    let mut child = host.namespace().inside(Command::new("sh").args(["-c", script])).spawn()?;
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let sleeper = wait::until("the program runs", wait::PATIENCE, || {
        let children = std::fs::read_to_string(&children)?;
        Ok(children.split_whitespace().next().map(str::to_owned))
    })?;
    drop(host);
    child.wait()?;
    let process = format!("/proc/{sleeper}/ns/net");
    wait::until_true("it is gone", || Ok(!Path::new(&process).exists()))
}

#[test]
fn hosts_have_networks_and_displays_of_their_own() -> Result<()> {
    let mut lan = Lan::new(1)?;
    let on = |address: &str| Ok::<_, anyhow::Error>([(Segment::Bridge(0), address.parse()?)]);
    let (one, two) = (on("10.79.0.1")?, on("10.79.0.2")?);
    let (one, two) = (lan.plug(&one, Displays::Own)?, lan.plug(&two, Displays::Own)?);
    let desk = lan.plug(&on("10.79.0.101")?, Displays::Shared)?;
    let link = |pid: u32, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    let of = |kind: &str| -> Result<Vec<_>> {
        let here = std::process::id();
        let pids = [here, lan.switch().pid(), one.namespace().pid(), two.namespace().pid()];
        Ok(pids.into_iter().map(|pid| link(pid, kind)).collect::<Result<_, _>>()?)
    };
    for kind in ["net", "mnt"] {
        let mut all = of(kind)?;
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4, "{kind}");
    }
    let switch = lan.switch().pid();
    assert_eq!(link(desk.namespace().pid(), "mnt")?, link(switch, "mnt")?);
    assert_ne!(link(desk.namespace().pid(), "net")?, link(switch, "net")?);
    Ok(())
}
