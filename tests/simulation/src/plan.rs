//! What a seed's world looks like, and which faults it meets.
//!
//! Swarm testing: each seed meets a random subset of the faults, since a world
//! that always meets all of them never gets far enough for the rare ones to
//! matter.

use crate::fault::Fault;
use crate::random::Rng;
use afterglow_wire::guard::{Guard, Guards};

/// A second, in the simulation's time.
pub const SECOND_US: u64 = 1_000_000;
/// A millisecond, likewise.
pub const MS_US: u64 = 1_000;

/// How badly the network treats every packet while faults last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noise {
    /// How many packets in a million are lost.
    pub loss_ppm: u64,
    /// How many datagrams in a million come twice.
    pub duplicate_ppm: u64,
    /// How many packets in a million come very late.
    pub late_ppm: u64,
    /// How late those come at most, in microseconds.
    pub late_us_max: u64,
    /// Every packet's least time on the way.
    pub delay_us_min: u64,
    /// And its most.
    pub delay_us_max: u64,
}

impl Noise {
    /// A quiet local network.
    pub const QUIET: Noise = Noise {
        loss_ppm: 0,
        duplicate_ppm: 0,
        late_ppm: 0,
        late_us_max: 0,
        delay_us_min: 100,
        delay_us_max: 400,
    };
}

/// Everything that a run is made from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of everything that is drawn while it runs.
    pub seed: u64,
    /// How many servers.
    pub servers: usize,
    /// How many desktop units.
    pub dtus: usize,
    /// On how many networks the servers are.
    pub networks: u8,
    /// The faults that it meets.
    pub faults: Vec<Fault>,
    /// How the network is while faults last.
    pub noise: Noise,
    /// How many faults a minute, of each kind that comes at a moment.
    pub faults_per_min: u64,
    /// When the faults end.
    pub calm_us: u64,
    /// When everything must be well again.
    pub end_us: u64,
    /// How often servers speak.
    pub host_every_ms: u64,
    /// After which silence they count as down.
    pub down_after_ms: u64,
    /// How many sessions a host takes.
    pub sessions_max: usize,
    /// Which checks are made.
    pub guards: Guards,
    /// True if servers speak by multicast, too.
    pub multicast: bool,
    /// When the first desktop unit is switched on.
    pub first_on_us: u64,
    /// True if users move, type and remove their cards.
    pub busy_users: bool,
    /// True if sessions draw again when something is typed.
    pub echo: bool,
}

/// Faults that lead straight to what a check is for.
fn towards(guard: Guard) -> &'static [Fault] {
    match guard {
        Guard::DtuHighestEpoch => &[Fault::StaleHost],
        Guard::SessionOrder => &[Fault::SharedToken, Fault::Reordering, Fault::Loss],
        Guard::ConfirmEpoch => &[Fault::Isolation, Fault::SharedToken, Fault::CardRace],
        Guard::DtuRemoveEndsInsert | Guard::SessionRemoveEndsInsert => {
            &[Fault::CardRace, Fault::Reordering, Fault::Loss, Fault::Delay]
        }
        Guard::Challenge => &[Fault::Rogue],
        Guard::Signature => &[Fault::Forged, Fault::ForgedAnswer],
        Guard::Replay => &[Fault::Replay],
        Guard::ProbeBeforeTakeover => &[Fault::ServerCrash, Fault::Rogue],
        Guard::ShownIsAlive => &[Fault::Isolation, Fault::ServerCrash, Fault::Partition],
        Guard::CompareAndSet => &[Fault::SharedToken, Fault::HostCrash],
        Guard::RedirectLimit | Guard::Unreachable => &[Fault::Rogue],
        Guard::ExistingStaysExisting => &[Fault::Rogue, Fault::LogOut, Fault::HostCrash],
        Guard::AnswerRate | Guard::UntrustedBound => &[Fault::Flood],
        Guard::Draining => &[Fault::Drain],
        Guard::SilenceIsDown => &[Fault::HostCrash],
        Guard::SearchGoesOn => &[Fault::HostCrash, Fault::ServerCrash],
        Guard::OlderCopyStale => &[Fault::Isolation, Fault::SharedToken],
    }
}

impl Plan {
    /// The world of this seed, with all checks made.
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::of(seed, "plan", 0);
        let mut faults: Vec<Fault> =
            Fault::EVERY.iter().copied().filter(|_| rng.chance(250_000)).collect();
        if rng.chance(50_000) {
            faults.clear();
        }
        Plan::with(seed, &mut rng, faults)
    }

    /// A world of this seed without one of the checks, among faults that give
    /// it the occasion to matter.
    pub fn without(seed: u64, guard: Guard) -> Plan {
        let mut rng = Rng::of(seed, "mutant", 0);
        let mut faults: Vec<Fault> = Fault::EVERY
            .iter()
            .copied()
            .filter(|fault| towards(guard).contains(fault) || rng.chance(60_000))
            .collect();
        faults.dedup();
        let mut plan = Plan::with(seed, &mut rng, faults);
        plan.guards = Guards::all_but(guard);
        plan.faults_per_min = 40;
        if guard == Guard::SessionOrder {
            (plan.noise.late_ppm, plan.noise.late_us_max) = (200_000, 600 * MS_US);
        }
        plan
    }

    fn with(seed: u64, rng: &mut Rng, faults: Vec<Fault>) -> Plan {
        let host_every_ms = rng.pick(&[500, 1_000, 2_000]).unwrap_or(2_000);
        let fault_us = rng.range(10, 26) * SECOND_US;
        let noise = noise(rng, &faults);
        Plan {
            seed,
            servers: rng.range(2, 6) as usize,
            dtus: rng.range(1, 9) as usize,
            networks: 1 + u8::from(faults.contains(&Fault::Interface) || rng.chance(200_000)),
            noise,
            faults_per_min: rng.range(3, 16),
            calm_us: fault_us,
            end_us: fault_us + 30 * SECOND_US,
            host_every_ms,
            down_after_ms: host_every_ms * rng.range(2, 4),
            sessions_max: 64,
            guards: Guards::ALL,
            multicast: rng.chance(300_000),
            first_on_us: 0,
            busy_users: true,
            echo: true,
            faults,
        }
    }

    /// True if it meets this fault.
    pub fn meets(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

fn noise(rng: &mut Rng, faults: &[Fault]) -> Noise {
    let meets = |fault| faults.contains(&fault);
    let mut noise = Noise::QUIET;
    if meets(Fault::Delay) {
        noise.delay_us_min = rng.range(500, 5_000);
        noise.delay_us_max = noise.delay_us_min + rng.range(1_000, 60_000);
    }
    if meets(Fault::Loss) {
        noise.loss_ppm = rng.range(2_000, 150_000);
    }
    if meets(Fault::Duplication) {
        noise.duplicate_ppm = rng.range(2_000, 100_000);
    }
    if meets(Fault::Reordering) {
        noise.late_ppm = rng.range(2_000, 60_000);
        noise.late_us_max = rng.range(20_000, 600_000);
    }
    noise
}
