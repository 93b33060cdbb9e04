//! A slow link and a slow DTU: fewer pictures, and never a growing delay. What
//! is typed is not behind pictures, nothing is lost, and at rest the picture is
//! exact.

use afterglow_tests::bench::slow::{Loaded, loaded, on_stage, percentile_us};
use afterglow_tests::dtu::Dtu;
use afterglow_tests::process::Process;
use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// So many keys are pressed, at least 300 ms after each other.
const KEYS: u64 = 36;
/// The machine may be busy: this much later is no sign of a queue that grows.
const MARGIN_US: u64 = 500_000;

/// What must never happen because something is slow.
const ALARMS: [&str; 5] = ["suspected", "server_lost", "detached", "taken_over", "input_resent"];

/// Fails if delays grew, or if nine of ten are not within this.
fn expect_steady(seen: &Loaded, p90_us_max: u64) -> Result<()> {
    let delays_us = &seen.delays_us;
    println!("{seen:?}");
    let third = delays_us.len() / 3;
    let first_us = percentile_us(&delays_us[..third], 50);
    let last_us = percentile_us(&delays_us[delays_us.len() - third..], 50);
    ensure!(last_us <= 2 * first_us + MARGIN_US, "from {first_us} µs to {last_us} µs: {seen:?}");
    let p90_us = percentile_us(delays_us, 90);
    ensure!(p90_us < p90_us_max, "nine of ten within {p90_us} µs: {seen:?}");
    ensure!(seen.pictures_per_s > 1.0, "hardly any picture is shown: {seen:?}");
    Ok(())
}

fn slow_link(test: &str, mbit_per_s: u32, p90_us_max: u64) -> Result<()> {
    on_stage(test, |site, dtu, stage| {
        site.hosts[0].node()?.limit_sending(mbit_per_s)?;
        let mark = dtu.events.mark()?;
        let seen = loaded(stage, KEYS)?;
        expect_steady(&seen, p90_us_max)?;
        dtu.expect_none(mark, &ALARMS)
    })
}

#[test]
fn two_megabits_a_second_are_fewer_pictures_and_no_growing_delay() -> Result<()> {
    slow_link("slow-link-2", 2, 2_000_000)
}

#[test]
fn twenty_megabits_a_second_are_fewer_pictures_and_no_growing_delay() -> Result<()> {
    slow_link("slow-link-20", 20, 1_500_000)
}

/// Lets a process run for a fifth of the time, until told to stop.
fn slow_down(process: &Process, stop: &AtomicBool) -> Result<()> {
    let pid = Pid::from_raw(process.pid() as i32).expect("a process id");
    while !stop.load(Ordering::SeqCst) {
        for (signal, ms) in [(Signal::STOP, 80), (Signal::CONT, 20)] {
            kill_process(pid, signal)?;
            std::thread::sleep(Duration::from_millis(ms));
        }
    }
    Ok(())
}

/// Does some work beside a DTU that is slow meanwhile.
fn beside_slow<T>(dtu: &Dtu<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let slowed = scope.spawn(|| slow_down(&dtu.process, &stop));
        let done = work();
        stop.store(true, Ordering::SeqCst);
        slowed.join().expect("slowing down does not panic")?;
        done
    })
}

#[test]
fn a_slow_dtu_is_fewer_pictures_and_no_growing_delay() -> Result<()> {
    on_stage("slow-dtu", |_, dtu, stage| {
        let quick = loaded(stage, KEYS / 3)?;
        let mark = dtu.events.mark()?;
        let slow = beside_slow(dtu, || loaded(stage, KEYS))?;
        expect_steady(&slow, 3_000_000)?;
        ensure!(slow.pictures_per_s < quick.pictures_per_s, "{slow:?} and before {quick:?}");
        // A third frame ahead of its acknowledgement would end the link.
        dtu.expect_none(mark, &ALARMS)
    })
}
