//! Schedules of faults for the session managers alone: servers' cores, the
//! store's semantics, and keepers and desktop units that are scripts.
//!
//! The world of [`crate::world`] has real desktop units and real workers on a
//! network that fails. This one has none of that, and a store that does all
//! that a store may do to those who ask it: it does what it is asked and does
//! not say so, or does not do it and says the same, or does it long after it
//! was given up, or answers late, or twice, or not to one server, or it has
//! lost its last writes. Its users have several sessions, start, switch, name
//! and end them, and decide about earlier copies; administrators move
//! sessions.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`world`] | the clock, the servers' shells, the group's datagrams |
//! | [`store`] | the store that misbehaves |
//! | [`keeper`] | the copies of sessions, and their keepers |
//! | [`desk`] | who sits before the desktop units |
//! | [`faults`] | what goes wrong, and how it ends |
//! | [`judge`] | what must hold |

pub mod desk;
pub mod faults;
pub mod judge;
pub mod keeper;
pub mod store;
pub mod world;

use crate::random::Rng;
use afterglow_wire::guard::{Guard, Guards};
use faults::Fault;
use std::collections::BTreeMap;
use world::World;

/// What a schedule's world looks like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of everything that is drawn while it runs.
    pub seed: u64,
    /// How many servers.
    pub servers: usize,
    /// How many desktop units, each with a user.
    pub desks: usize,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// When that ends, in milliseconds.
    pub calm_ms: u64,
    /// When everything must be well again, in milliseconds.
    pub end_ms: u64,
    /// Which checks are made.
    pub guards: Guards,
}

impl Plan {
    /// The schedule of this seed; without one of the checks, one in which it
    /// is likely to matter.
    pub fn of(seed: u64, without: Option<Guard>) -> Plan {
        let mut rng = Rng::of(seed, "schedule", 0);
        let likely = if without.is_some() { 600_000 } else { 350_000 };
        // A store that lost data is a world of its own: little can be said
        // of what the others would lead to meanwhile.
        let back = rng.chance(120_000) && without.is_none();
        let faults: Vec<Fault> = match back {
            true => vec![Fault::StoreGoesBack, Fault::ServerRestart],
            false => Fault::EVERY
                .into_iter()
                .filter(|fault| *fault != Fault::StoreGoesBack && rng.chance(likely))
                .collect(),
        };
        let calm_ms = rng.range(15_000, 40_000);
        Plan {
            seed,
            servers: rng.range(2, 5) as usize,
            desks: rng.range(1, 4) as usize,
            faults,
            calm_ms,
            end_ms: calm_ms + 45_000,
            guards: without.map_or(Guards::ALL, Guards::all_but),
        }
    }

    /// True if it has this fault.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// How a schedule went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The check that was taken away, if one was.
    pub without: Option<Guard>,
    /// What was wrong, and when, in milliseconds.
    pub violation: Option<(u64, String)>,
    /// Everything that happened, as one number.
    pub trace: u64,
    /// How often each thing that matters happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Outcome {
    /// What was wrong and how to see it again; empty if nothing was.
    pub fn failure(&self) -> String {
        let Some((at_ms, text)) = &self.violation else { return String::new() };
        let without = self.without.map_or(String::new(), |guard| format!(" --without {guard:?}"));
        format!(
            "schedule {} at {:.3} s: {text}; to see it: afterglow-simulate --schedule {}{without} \
             --trace",
            self.seed,
            *at_ms as f64 / 1e3,
            self.seed
        )
    }
}

/// Runs a schedule.
pub fn run(seed: u64, without: Option<Guard>, print: bool) -> Outcome {
    run_plan(Plan::of(seed, without), without, print)
}

/// Runs a plan to its end.
pub fn run_plan(plan: Plan, without: Option<Guard>, print: bool) -> Outcome {
    let (seed, end_ms) = (plan.seed, plan.end_ms);
    if print {
        println!("{plan:#?}");
    }
    let mut world = World::new(plan, print);
    world.run_until(end_ms);
    world.judge_end();
    let World { violation, counts, trace, .. } = world;
    Outcome { seed, without, violation, trace: trace.hash(), counts }
}
