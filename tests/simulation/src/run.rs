//! One seed, and many.

use crate::fault::Counts;
use crate::invariants::Violation;
use crate::plan::Plan;
use crate::world::World;
use afterglow_wire::guard::{Guard, Guards};

/// How a seed's run went.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The check that was taken away, if one was.
    pub without: Option<Guard>,
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
    /// Everything that happened, as one number.
    pub trace: u64,
    /// How many things happened.
    pub events: u64,
    /// How many desktop units there were.
    pub dtus: usize,
    /// Which faults happened.
    pub counts: Counts,
    /// How many sessions were taken over.
    pub take_overs: u64,
    /// How many redirects were sent.
    pub redirects: u64,
    /// How many attachments were made.
    pub attachments: u64,
    /// How many copies were frozen, and how many of those went on.
    pub older: (u64, u64),
}

impl Report {
    /// The command that shows this run again.
    pub fn command(&self) -> String {
        let without = self.without.map_or(String::new(), |guard| format!(" --without {guard:?}"));
        format!("afterglow-simulate --seed {}{without} --trace", self.seed)
    }

    /// What was wrong and how to see it again, in one line; empty if nothing
    /// was.
    pub fn failure(&self) -> String {
        match &self.violation {
            None => String::new(),
            Some(violation) => format!(
                "seed {} violates invariant {} at {:.3} s: {}; to see it: {}",
                self.seed,
                violation.invariant,
                violation.at_us as f64 / 1e6,
                violation.text,
                self.command()
            ),
        }
    }
}

/// Runs a seed.
pub fn run(seed: u64, without: Option<Guard>, print: bool) -> Report {
    let plan = match without {
        None => Plan::of(seed),
        Some(guard) => Plan::without(seed, guard),
    };
    run_plan(plan, without, print)
}

/// Runs a plan to its end.
pub fn run_plan(plan: Plan, without: Option<Guard>, print: bool) -> Report {
    let (seed, end_us, dtus) = (plan.seed, plan.end_us, plan.dtus);
    let mut world = World::new(plan);
    world.trace.print = print;
    if print {
        println!("{:#?}", world.plan);
    }
    world.run_until(end_us);
    if world.oracle.violation.is_none() {
        world.judge_liveness();
    }
    Report {
        seed,
        without,
        violation: world.oracle.violation,
        trace: world.trace.hash(),
        events: world.trace.events(),
        dtus,
        counts: world.counts,
        take_overs: world.oracle.take_overs,
        redirects: world.oracle.redirects,
        attachments: world.oracle.attachments,
        older: world.oracle.older,
    }
}

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many ran.
    pub seeds: u64,
    /// Those that failed, as [`Report::failure`] tells it; at most so many are
    /// kept.
    pub failures: Vec<String>,
    /// How many failed.
    pub failed: u64,
    /// The most desktop units of any.
    pub dtus_max: usize,
    /// All traces, as one number that does not depend on their order.
    pub trace: u64,
    /// Which faults happened.
    pub counts: Counts,
    /// How many sessions were taken over.
    pub take_overs: u64,
    /// How many redirects were sent.
    pub redirects: u64,
    /// How many attachments were made.
    pub attachments: u64,
    /// How many copies were frozen, and how many of those went on.
    pub older: (u64, u64),
    /// How many things happened.
    pub events: u64,
}

/// The most failures that a summary tells one by one.
const FAILURES_TOLD_MAX: usize = 20;

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.dtus_max = self.dtus_max.max(report.dtus);
        self.trace ^= report.trace.rotate_left((report.seed % 64) as u32);
        self.counts.merge(&report.counts);
        self.take_overs += report.take_overs;
        self.redirects += report.redirects;
        self.attachments += report.attachments;
        self.events += report.events;
        self.older.0 += report.older.0;
        self.older.1 += report.older.1;
        if report.violation.is_some() {
            self.failed += 1;
            if self.failures.len() < FAILURES_TOLD_MAX {
                self.failures.push(report.failure());
            }
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Summary) {
        self.seeds += other.seeds;
        self.failed += other.failed;
        self.dtus_max = self.dtus_max.max(other.dtus_max);
        self.trace ^= other.trace;
        self.counts.merge(&other.counts);
        self.take_overs += other.take_overs;
        self.redirects += other.redirects;
        self.attachments += other.attachments;
        self.events += other.events;
        self.older.0 += other.older.0;
        self.older.1 += other.older.1;
        let room = FAILURES_TOLD_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
    }

    /// The last line of a long run.
    pub fn line(&self) -> String {
        format!(
            "simulate: seeds={} failures={} dtus_max={} trace={:016x}",
            self.seeds, self.failed, self.dtus_max, self.trace
        )
    }
}

/// Runs the seeds from `first` on.
pub fn run_many(first: u64, count: u64) -> Summary {
    let mut summary = Summary::default();
    for seed in first..first + count {
        summary.add(&run(seed, None, false));
    }
    summary
}

/// The first of these seeds that notices that the check is missing, and whose
/// world is well with it. An error is a world that is not.
pub fn first_to_notice(guard: Guard, seeds: u64) -> Result<Option<Report>, Box<Report>> {
    for seed in 0..seeds {
        let report = run(seed, Some(guard), false);
        if report.violation.is_none() {
            continue;
        }
        let plan = Plan { guards: Guards::ALL, ..Plan::without(seed, guard) };
        let whole = run_plan(plan, None, false);
        return match whole.violation {
            None => Ok(Some(report)),
            Some(_) => Err(Box::new(whole)),
        };
    }
    Ok(None)
}
