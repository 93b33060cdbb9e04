//! What a user sees of a session, and what that costs (`make bench-display`):
//! how soon a key's pixels are there, how soon a connection's whole picture,
//! with how many bytes and how much work pictures come that change; and whether
//! they are right at the end, bit for bit.
//!
//! Everything is real: a server and a session on a host of their own, a viewer
//! in a window on an X server, programs that draw. What is not Afterglow is
//! measured by the same means.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`plan`] | which workloads, and for how long |
//! | [`drawing`] | the program that draws them |
//! | [`workloads`] | what happens in the session, and what it costs |
//! | [`latency`] | from a key to its pixels |
//! | [`connect`] | from nothing to the whole picture |
//! | [`watch`] | the viewer's screen, with times |
//! | [`counters`] | bytes, processor time, memory |
//! | [`stage`] | where one product is measured |
//! | [`afterglow`] | a server and a DTU |
//! | [`tigervnc`] | Debian's TigerVNC, where it is |
//! | [`alone`] | no product at all: the programs on the viewer's screen |
//! | [`table`] | the table, the last line |

use anyhow::Result;

pub mod afterglow;
pub mod alone;
pub mod connect;
pub mod counters;
pub mod drawing;
pub mod latency;
pub mod plan;
pub mod stage;
pub mod table;
pub mod tigervnc;
pub mod watch;
pub mod workloads;

/// Measures, and prints what was measured. The last line is for programs. False
/// if Afterglow's viewer showed anything else than the session.
pub fn run() -> Result<bool> {
    let plan = plan::Plan::from_environment()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(", ");
    println!("Measured on {}; load before: {load}", super::machine::today_here());
    let mut measured = vec![alone::measure(&plan)?];
    if plan.has_product("afterglow") {
        measured.push(afterglow::measure(&plan)?);
    }
    if plan.has_product("tigervnc") {
        match tigervnc::find() {
            Some(packages) => measured.push(tigervnc::measure(&packages, &plan)?),
            None => println!("TigerVNC is not on this machine: it is not measured"),
        }
    }
    if measured.iter().any(|one| one.product == tigervnc::NAME) {
        println!("TigerVNC's viewer: {}; no encryption", tigervnc::VIEWER_OPTIONS.join(" "));
    }
    print!("{}", table::table(&plan, &measured));
    let afterglow = measured.iter().find(|one| one.product == afterglow::NAME);
    println!("{}", table::last_line(afterglow));
    Ok(afterglow.is_none_or(|afterglow| !afterglow.is_wrong()))
}
