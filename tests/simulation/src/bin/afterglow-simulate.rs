//! Runs seeds of the simulation: one with its trace, or many on all cores.

use afterglow_simulation::fault::Fault;
use afterglow_simulation::run::{Summary, run, run_many};
use afterglow_simulation::schedule::{Plan, run_plan};
use afterglow_wire::guard::{Guard, Guards};
use clap::Parser;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds a core takes at a time.
const BATCH: u64 = 50;

/// Runs the control plane in virtual time, with the faults that each seed
/// makes up.
#[derive(Debug, Parser)]
struct Options {
    /// Run only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Run only the schedule of this seed, with a store that misbehaves.
    #[arg(long)]
    schedule: Option<u64>,
    /// Take this check away (see wire/src/guard.rs); the run should fail.
    #[arg(long)]
    without: Option<String>,
    /// With --schedule and --without: that schedule, with all checks made.
    #[arg(long)]
    whole: bool,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many cores to use; all if it is not given.
    #[arg(long)]
    cores: Option<usize>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let without = options.without.as_deref().map(guard_named).transpose()?;
    if let Some(seed) = options.schedule {
        let mut plan = Plan::of(seed, without);
        if options.whole {
            plan.guards = Guards::ALL;
        }
        let outcome = run_plan(plan, without.filter(|_| !options.whole), options.trace);
        println!("schedule={seed} trace={:016x} {:?}", outcome.trace, outcome.counts);
        println!("{}", outcome.failure());
        let well = outcome.violation.is_none();
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(seed) = options.seed {
        let report = run(seed, without, options.trace);
        println!("seed={seed} events={} trace={:016x}", report.events, report.trace);
        return Ok(match report.violation {
            None => ExitCode::SUCCESS,
            Some(_) => {
                println!("{}", report.failure());
                ExitCode::FAILURE
            }
        });
    }
    if let Some(guard) = without {
        return Ok(hunt(guard, options.first, options.seeds));
    }
    let summary = run_on_cores(options.first, options.seeds, options.cores);
    for failure in &summary.failures {
        println!("{failure}");
    }
    for fault in Fault::EVERY {
        println!("{:>10} {}", summary.counts.of(*fault), fault.word());
    }
    println!(
        "{} attachments, {} redirects, {} take-overs, {} events",
        summary.attachments, summary.redirects, summary.take_overs, summary.events
    );
    println!("{}", summary.line());
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn guard_named(name: &str) -> anyhow::Result<Guard> {
    let named = |guard: &Guard| format!("{guard:?}").eq_ignore_ascii_case(name);
    Guard::EVERY.into_iter().find(named).ok_or_else(|| {
        let all: Vec<String> = Guard::EVERY.iter().map(|guard| format!("{guard:?}")).collect();
        anyhow::anyhow!("{name} is no check; there are {}", all.join(", "))
    })
}

/// How many seeds notice that a check is missing.
fn hunt(guard: Guard, first: u64, seeds: u64) -> ExitCode {
    let mut noticed = 0;
    for seed in first..first + seeds {
        let report = run(seed, Some(guard), false);
        if report.violation.is_some() {
            noticed += 1;
            if noticed <= 5 {
                println!("{}", report.failure());
            }
        }
    }
    println!("{guard:?}: {noticed} of {seeds} seeds notice that it is missing");
    if noticed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_on_cores(first: u64, seeds: u64, cores: Option<usize>) -> Summary {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let work = || {
        let mut summary = Summary::default();
        loop {
            let at = next.fetch_add(BATCH, Ordering::Relaxed);
            if at >= seeds {
                return summary;
            }
            summary.merge(run_many(first + at, BATCH.min(seeds - at)));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.unwrap_or(available)).map(|_| scope.spawn(work)).collect();
        let mut whole = Summary::default();
        for thread in threads {
            if let Ok(summary) = thread.join() {
                whole.merge(summary);
            }
        }
        whole
    })
}
