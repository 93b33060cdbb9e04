//! Which services run: what is started, stopped and started again, and when.
//! No I/O: time comes in, in milliseconds of a clock that only grows.

use super::restarts::Restarts;
use afterglow_wire::service::{
    ServiceAct, ServiceName, ServiceOrder, ServiceSpec, ServiceState, ServiceStatus,
};
use std::collections::VecDeque;
use std::time::Duration;

/// A service that lived this long was started well.
const SETTLED_AFTER_MS: u64 = 1_000;
/// How long a service that is stopped has to end in order.
const STOPS_WITHIN_MS: u64 = 5_000;

/// What is to be done, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Start this service's command, and answer with [`Services::ended`] if
    /// that fails.
    Start(usize),
    /// Ask its processes to end.
    Ask(usize),
    /// End its processes.
    Kill(usize),
}

/// What a service does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Idle,
    /// It waits to be started again.
    Waits { until_ms: u64 },
    /// It runs.
    Runs { since_ms: u64, settled: bool },
    /// It was asked to end; it is killed then. Afterwards it starts again, or
    /// does not.
    Stops { kill_ms: u64, killed: bool, again: bool },
}

#[derive(Debug)]
struct Service {
    spec: ServiceSpec,
    phase: Phase,
    failed: bool,
    text: String,
    restarts: Restarts,
}

/// The services of a session, by their place in the catalogue.
#[derive(Debug)]
pub struct Services {
    all: Vec<Service>,
    /// While the session is frozen nothing is started.
    frozen: bool,
    to_do: VecDeque<Do>,
}

impl Services {
    /// None runs yet.
    pub fn new(catalogue: Vec<ServiceSpec>) -> Self {
        let service = |spec| Service {
            spec,
            phase: Phase::Idle,
            failed: false,
            text: String::new(),
            restarts: Restarts::default(),
        };
        let all = catalogue.into_iter().map(service).collect();
        Services { all, frozen: false, to_do: VecDeque::new() }
    }

    /// Starts those that run with the session.
    pub fn begin(&mut self, now_ms: u64) {
        for index in 0..self.all.len() {
            if self.all[index].spec.start || self.all[index].spec.required {
                self.start(index, now_ms);
            }
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Do> {
        self.to_do.pop_front()
    }

    /// A service of the catalogue.
    pub fn spec(&self, index: usize) -> Option<&ServiceSpec> {
        self.all.get(index).map(|service| &service.spec)
    }

    /// Those that run, for whom it matters whether a DTU is connected.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let runs = |(_, service): &(usize, &Service)| matches!(service.phase, Phase::Runs { .. });
        self.all.iter().enumerate().filter(runs).map(|(index, _)| index)
    }

    /// How all of them stand.
    pub fn statuses(&self) -> impl Iterator<Item = ServiceStatus> {
        self.all.iter().map(|service| ServiceStatus {
            name: service.spec.name.clone(),
            state: service.state(),
            required: service.spec.required,
            host: service.spec.host.clone(),
            text: service.text.clone(),
        })
    }

    /// Does what the user wants. What is asked of a service that is not in the
    /// catalogue has no effect: the catalogue may have changed meanwhile. A
    /// required service that is stopped is started again.
    pub fn order(&mut self, order: &ServiceOrder, now_ms: u64) {
        let Some(index) = self.index(&order.name) else { return };
        let again = match order.act {
            ServiceAct::Start => return self.start(index, now_ms),
            ServiceAct::Stop => self.all[index].spec.required,
            ServiceAct::Restart => true,
        };
        self.stop(index, again, now_ms);
    }

    fn index(&self, name: &ServiceName) -> Option<usize> {
        self.all.iter().position(|service| service.spec.name == *name)
    }

    fn start(&mut self, index: usize, now_ms: u64) {
        let frozen = self.frozen;
        let service = &mut self.all[index];
        match &mut service.phase {
            Phase::Runs { .. } => {}
            Phase::Stops { again, .. } => *again = true,
            Phase::Idle | Phase::Waits { .. } if frozen => {
                service.phase = Phase::Waits { until_ms: now_ms };
            }
            Phase::Idle | Phase::Waits { .. } => {
                service.phase = Phase::Runs { since_ms: now_ms, settled: false };
                self.to_do.push_back(Do::Start(index));
            }
        }
    }

    fn stop(&mut self, index: usize, and_start: bool, now_ms: u64) {
        let service = &mut self.all[index];
        match &mut service.phase {
            Phase::Runs { .. } => {
                service.phase = Phase::Stops {
                    kill_ms: now_ms + STOPS_WITHIN_MS,
                    killed: false,
                    again: and_start,
                };
                self.to_do.push_back(Do::Ask(index));
            }
            Phase::Stops { again, .. } => *again = and_start,
            Phase::Idle | Phase::Waits { .. } => {
                service.phase = Phase::Idle;
                service.rest();
                if and_start {
                    self.start(index, now_ms);
                }
            }
        }
    }

    /// A service's processes are gone, or could not be started: how, for the
    /// user, if that is not well.
    pub fn ended(&mut self, index: usize, how: Result<(), String>, now_ms: u64) {
        let Some(service) = self.all.get_mut(index) else { return };
        match service.phase {
            Phase::Stops { again, .. } => {
                service.phase = Phase::Idle;
                service.rest();
                if again {
                    self.start(index, now_ms);
                }
            }
            Phase::Runs { since_ms, .. } if service.spec.required => {
                let lived = Duration::from_millis(now_ms.saturating_sub(since_ms));
                let wait = service.restarts.died(lived);
                service.failed = !wait.is_zero();
                service.text = match wait.is_zero() {
                    true => String::new(),
                    false => {
                        let how = how.err().unwrap_or_else(|| "it ended".into());
                        let wait = wait.as_secs_f32();
                        format!("it is started again in {wait:.1} s, since it has to run: {how}")
                    }
                };
                service.phase = Phase::Waits { until_ms: now_ms + wait.as_millis() as u64 };
                self.tick(now_ms);
            }
            Phase::Runs { .. } => {
                service.phase = Phase::Idle;
                service.failed = how.is_err();
                service.text = how.err().unwrap_or_default();
            }
            Phase::Idle | Phase::Waits { .. } => {}
        }
    }

    /// The session is frozen, or goes on.
    pub fn freeze(&mut self, frozen: bool, now_ms: u64) {
        self.frozen = frozen;
        self.tick(now_ms);
    }

    /// When [`Services::tick`] wants to be called.
    pub fn deadline_ms(&self) -> Option<u64> {
        let due = self.all.iter().filter_map(|service| match service.phase {
            Phase::Waits { until_ms } => Some(until_ms),
            Phase::Runs { since_ms, settled: false } => Some(since_ms + SETTLED_AFTER_MS),
            Phase::Stops { kill_ms, killed: false, .. } => Some(kill_ms),
            Phase::Idle | Phase::Runs { .. } | Phase::Stops { .. } => None,
        });
        if self.frozen { None } else { due.min() }
    }

    /// The time went on. True if something stands otherwise than before.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        let mut changed = false;
        let count = if self.frozen { 0 } else { self.all.len() };
        for index in 0..count {
            let service = &mut self.all[index];
            match &mut service.phase {
                Phase::Waits { until_ms } if *until_ms <= now_ms => {
                    self.start(index, now_ms);
                }
                Phase::Runs { since_ms, settled }
                    if !*settled && *since_ms + SETTLED_AFTER_MS <= now_ms =>
                {
                    *settled = true;
                    service.rest();
                }
                Phase::Stops { kill_ms, killed, .. } if !*killed && *kill_ms <= now_ms => {
                    *killed = true;
                    self.to_do.push_back(Do::Kill(index));
                }
                _ => continue,
            }
            changed = true;
        }
        changed
    }
}

impl Service {
    fn rest(&mut self) {
        self.failed = false;
        self.text.clear();
    }

    fn state(&self) -> ServiceState {
        match self.phase {
            Phase::Idle | Phase::Waits { .. } if self.failed => ServiceState::Failed,
            Phase::Idle => ServiceState::Stopped,
            Phase::Stops { again: false, .. } => ServiceState::Stopped,
            Phase::Runs { settled: true, .. } => ServiceState::Running,
            Phase::Waits { .. } | Phase::Runs { .. } | Phase::Stops { .. } => {
                ServiceState::Starting
            }
        }
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
