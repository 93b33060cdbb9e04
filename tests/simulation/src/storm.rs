//! Ten thousand desktop units: switched on at once, and one host's worth of
//! them orphaned at once; and sixty-four servers from cold.
//!
//! **Messages.** At rest a server of a group of `s` servers and `d` desktop
//! units, spread evenly, sends `10 × d / s` messages a second to desktop units
//! (`Alive`), and one host message for each of its networks every host
//! interval; it takes `s − 1` host messages every host interval. An insert
//! costs its server `s − 1` questions and as many answers, once. [`Rates`]
//! measures it.

use crate::fault::Fault;
use crate::plan::{MS_US, Noise, Plan, SECOND_US};
use crate::world::World;
use afterglow_wire::guard::Guards;

/// When the desktop units are switched on: the servers know each other then.
const FIRST_ON_US: u64 = 3 * SECOND_US;
/// How often it is looked whether all is well.
const LOOK_US: u64 = 20 * MS_US;

/// A calm world of so many servers and desktop units.
pub fn calm_plan(seed: u64, servers: usize, dtus: usize) -> Plan {
    Plan {
        seed,
        servers,
        dtus,
        networks: 1,
        faults: vec![Fault::PowerOn, Fault::SimultaneousBoot],
        noise: Noise::QUIET,
        faults_per_min: 0,
        calm_us: u64::MAX / 4,
        end_us: u64::MAX / 4,
        host_every_ms: 2_000,
        down_after_ms: 6_000,
        sessions_max: 4_096,
        guards: Guards::ALL,
        multicast: false,
        first_on_us: FIRST_ON_US,
        busy_users: false,
        echo: false,
    }
}

/// How many messages and datagrams a server sends and takes in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// How many it sends.
    pub sent_per_s: f64,
    /// How many it takes.
    pub heard_per_s: f64,
}

/// What a storm came to.
#[derive(Debug, Clone)]
pub struct Storm {
    /// How long it took from the power-on until all were attached, in
    /// milliseconds.
    pub power_on_ms: u64,
    /// How many sessions each server had then.
    pub sessions: Vec<usize>,
    /// Messages for each server and second at rest.
    pub rates: Rates,
    /// How long it took from the death of a host until all were attached
    /// again, in milliseconds.
    pub failover_ms: u64,
    /// How many desktop units had to be attached again.
    pub orphans: usize,
    /// How many sessions each of the others had then.
    pub sessions_after: Vec<usize>,
    /// How many sessions were taken over.
    pub take_overs: u64,
}

impl World {
    /// Runs until all desktop units show their sessions; gives how long that
    /// took, in milliseconds, or `None` if it took longer than `most_us`.
    pub fn until_all_attached(&mut self, most_us: u64) -> Option<u64> {
        let began_us = self.now_us;
        while self.now_us < began_us + most_us {
            let next_us = self.now_us + LOOK_US;
            self.run_until(next_us);
            if self.oracle.violation.is_some() {
                return None;
            }
            if (0..self.dtus.len()).all(|dtu| self.is_well(dtu)) {
                return Some((self.now_us - began_us) / MS_US);
            }
        }
        None
    }

    /// True if a desktop unit shows a session that runs on this server's
    /// machine.
    pub fn shows_on(&self, dtu: usize, host: usize) -> bool {
        let Some((session, epoch)) = self.dtus[dtu].window.copy else { return false };
        let owner = self.store.session(session).filter(|row| row.epoch == epoch);
        owner.is_some_and(|row| row.owner == self.servers[host].name)
    }

    /// How many sessions run on each server's machine.
    pub fn sessions_by_host(&self) -> Vec<usize> {
        let mut counts = vec![0; self.servers.len()];
        for copy in self.copies.iter().filter(|copy| copy.alive) {
            counts[copy.host] += 1;
        }
        counts
    }

    fn rates_over(&mut self, us: u64) -> Rates {
        let total = |world: &World| {
            let sent: u64 = world.servers.iter().map(|server| server.sent).sum();
            let heard: u64 = world.servers.iter().map(|server| server.heard).sum();
            (sent, heard)
        };
        let before = total(self);
        self.run_until(self.now_us + us);
        let after = total(self);
        let server_seconds = self.servers.len() as f64 * us as f64 / SECOND_US as f64;
        Rates {
            sent_per_s: (after.0 - before.0) as f64 / server_seconds,
            heard_per_s: (after.1 - before.1) as f64 / server_seconds,
        }
    }
}

/// Switches all desktop units on at once, and kills a host once they show
/// their sessions. An error says what did not come true.
pub fn storm(seed: u64, servers: usize, dtus: usize) -> Result<Storm, String> {
    let mut world = World::new(calm_plan(seed, servers, dtus));
    let wrong = |world: &World, what: &str| match &world.oracle.violation {
        Some(violation) => format!("{what}: {}", violation.text),
        None => {
            let late = (0..world.dtus.len()).filter(|dtu| !world.is_well(*dtu)).count();
            format!("{what}: {late} desktop units are not attached")
        }
    };
    world.run_until(FIRST_ON_US);
    let Some(power_on_ms) = world.until_all_attached(30 * SECOND_US) else {
        return Err(wrong(&world, "the power-on"));
    };
    let sessions = world.sessions_by_host();
    // All is at rest, and the servers know who has how many sessions.
    world.run_until(world.now_us + SECOND_US);
    let rates = world.rates_over(SECOND_US);
    let host = 0;
    let orphans: Vec<usize> = (0..dtus).filter(|dtu| world.shows_on(*dtu, host)).collect();
    let killed_us = world.now_us;
    world.servers[host].lost = true;
    world.kill_host(host);
    let back = |world: &World, dtu: usize| {
        let since_us = world.dtus[dtu].attached_us.filter(|at_us| *at_us > killed_us)?;
        world.is_well(dtu).then_some(since_us)
    };
    let mut failover_us = None;
    while failover_us.is_none() && world.now_us < killed_us + 30 * SECOND_US {
        world.run_until(world.now_us + LOOK_US);
        let all: Option<Vec<u64>> = orphans.iter().map(|dtu| back(&world, *dtu)).collect();
        failover_us = all.and_then(|all| all.into_iter().max());
    }
    let Some(failover_us) = failover_us.filter(|_| world.oracle.violation.is_none()) else {
        return Err(wrong(&world, "the failover"));
    };
    let sessions_after = world.sessions_by_host().split_off(1);
    Ok(Storm {
        power_on_ms,
        sessions,
        rates,
        failover_ms: (failover_us - killed_us) / MS_US,
        orphans: orphans.len(),
        sessions_after,
        take_overs: world.oracle.take_overs,
    })
}

/// By how much the fullest and the emptiest of these differ from an even
/// spread, in percent of it.
pub fn unevenness_percent(sessions: &[usize]) -> f64 {
    let even = sessions.iter().sum::<usize>() as f64 / sessions.len().max(1) as f64;
    let most = sessions.iter().map(|count| (*count as f64 - even).abs()).fold(0.0, f64::max);
    100.0 * most / even.max(1.0)
}

/// Starts so many servers from cold, all within one host interval; gives after
/// how many milliseconds each holds exactly the others to be up.
pub fn cold_view_ms(seed: u64, servers: usize) -> Result<u64, String> {
    let mut plan = calm_plan(seed, servers, 0);
    // One after the other, over two seconds.
    plan.faults.clear();
    let mut world = World::new(plan);
    let most_us = 30 * SECOND_US;
    while world.now_us < most_us {
        world.run_until(world.now_us + LOOK_US);
        (0..servers).for_each(|server| world.judge_view(server));
        let all_run = world.servers.iter().all(|server| server.core.is_some());
        let agreed = world.oracle.violation.take().is_none();
        if all_run && agreed {
            return Ok(world.now_us / MS_US);
        }
    }
    Err("the servers never agreed".into())
}
