//! Which services run, and what becomes of those that end. No I/O: processes
//! and time are the shell's.
//!
//! A required service is started again whenever it ends, after a pause that
//! grows while it keeps ending young. Any other is stopped once it ends well,
//! and has failed if it does not.

use super::restarts::Restarts;
use afterglow_wire::limits::{SERVICES_MAX, TEXT_BYTES_MAX};
use afterglow_wire::service::{
    ServiceAct, ServiceName, ServiceOrder, ServiceSpec, ServiceState, ServiceStatus,
};
use std::time::Duration;

/// What is to be done about a service's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Start it.
    Start(ServiceName),
    /// End it.
    End(ServiceName),
}

/// All services of a session.
#[derive(Debug, Default)]
pub struct Services {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    spec: ServiceSpec,
    phase: Phase,
    restarts: Restarts,
    /// Why it does not run, for the user.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It does not run.
    Stopped,
    /// It ended although it was wanted.
    Failed,
    /// It is being started.
    Starting,
    /// It runs since then.
    Running { since_ms: u64 },
    /// It is being ended, perhaps to be started again.
    Ending { again: bool },
    /// It is started again at this time.
    Waiting { at_ms: u64 },
}

impl Services {
    /// None of them runs yet.
    pub fn new(catalogue: Vec<ServiceSpec>) -> Self {
        let entry = |spec| Entry {
            spec,
            phase: Phase::Stopped,
            restarts: Restarts::default(),
            text: String::new(),
        };
        Services { entries: catalogue.into_iter().take(SERVICES_MAX).map(entry).collect() }
    }

    /// The session begins: those run that are to run with it.
    pub fn begin(&mut self) -> Vec<Step> {
        let wanted = |entry: &&mut Entry| entry.spec.start || entry.spec.required;
        self.entries.iter_mut().filter(wanted).map(Entry::start).collect()
    }

    /// A service's description.
    pub fn spec(&self, name: &ServiceName) -> Option<&ServiceSpec> {
        self.entries.iter().map(|entry| &entry.spec).find(|spec| spec.name == *name)
    }

    /// All descriptions.
    pub fn specs(&self) -> impl Iterator<Item = &ServiceSpec> {
        self.entries.iter().map(|entry| &entry.spec)
    }

    /// Somebody wants a service started, stopped or restarted. A required one
    /// that is stopped is restarted.
    pub fn order(&mut self, order: &ServiceOrder) -> Option<Step> {
        let entry = self.entry(&order.name)?;
        let again = entry.spec.required || order.act != ServiceAct::Stop;
        match (order.act, entry.phase) {
            (ServiceAct::Start, Phase::Starting | Phase::Running { .. }) => None,
            (_, Phase::Starting | Phase::Running { .. }) => {
                entry.phase = Phase::Ending { again };
                Some(Step::End(order.name.clone()))
            }
            (_, Phase::Ending { .. }) => {
                entry.phase = Phase::Ending { again };
                None
            }
            (_, Phase::Stopped | Phase::Failed | Phase::Waiting { .. }) if again => {
                entry.restarts = Restarts::default();
                Some(entry.start())
            }
            (_, _) => {
                entry.phase = Phase::Stopped;
                entry.text.clear();
                None
            }
        }
    }

    /// A service was started.
    pub fn started(&mut self, name: &ServiceName, now_ms: u64) {
        if let Some(entry) = self.entry(name).filter(|entry| entry.phase == Phase::Starting) {
            entry.phase = Phase::Running { since_ms: now_ms };
            entry.text.clear();
        }
    }

    /// A service ended, or could not be started: why, if not by itself and
    /// well.
    pub fn ended(&mut self, name: &ServiceName, why: Option<String>, now_ms: u64) -> Option<Step> {
        let entry = self.entry(name)?;
        let lived_ms = match entry.phase {
            Phase::Running { since_ms } => now_ms.saturating_sub(since_ms),
            _ => 0,
        };
        match entry.phase {
            Phase::Ending { again: true } => return Some(entry.start()),
            Phase::Ending { again: false } => entry.stop(None),
            _ if entry.spec.required => {
                let wait = entry.restarts.died(Duration::from_millis(lived_ms));
                entry.stop(Some(why.unwrap_or_else(|| "it ended".into())));
                entry.phase = Phase::Waiting { at_ms: now_ms + wait.as_millis() as u64 };
            }
            _ => entry.stop(why),
        }
        None
    }

    /// Starts what is to be started again by now.
    pub fn on_time(&mut self, now_ms: u64) -> Vec<Step> {
        let due = |entry: &&mut Entry| match entry.phase {
            Phase::Waiting { at_ms } => at_ms <= now_ms,
            _ => false,
        };
        self.entries.iter_mut().filter(due).map(Entry::start).collect()
    }

    /// When [`Services::on_time`] has something to do.
    pub fn wake_ms(&self) -> Option<u64> {
        let due = self.entries.iter().filter_map(|entry| match entry.phase {
            Phase::Waiting { at_ms } => Some(at_ms),
            _ => None,
        });
        due.min()
    }

    /// How all of them stand.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.entries.iter().map(Entry::status).collect()
    }

    fn entry(&mut self, name: &ServiceName) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.spec.name == *name)
    }
}

impl Entry {
    fn start(&mut self) -> Step {
        self.phase = Phase::Starting;
        Step::Start(self.spec.name.clone())
    }

    fn stop(&mut self, why: Option<String>) {
        self.phase = if why.is_some() { Phase::Failed } else { Phase::Stopped };
        self.text = why.unwrap_or_default();
        while self.text.len() > TEXT_BYTES_MAX {
            self.text.pop();
        }
    }

    fn status(&self) -> ServiceStatus {
        ServiceStatus {
            name: self.spec.name.clone(),
            state: match self.phase {
                Phase::Stopped | Phase::Ending { again: false } => ServiceState::Stopped,
                Phase::Failed | Phase::Waiting { .. } => ServiceState::Failed,
                Phase::Starting | Phase::Ending { again: true } => ServiceState::Starting,
                Phase::Running { .. } => ServiceState::Running,
            },
            required: self.spec.required,
            host: self.spec.host.clone(),
            text: self.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::local::CommandLine;
    use proptest::prelude::*;

    fn name(text: &str) -> ServiceName {
        text.parse().expect("a name")
    }

    fn spec(text: &str, required: bool, start: bool) -> ServiceSpec {
        ServiceSpec {
            name: name(text),
            command: CommandLine(vec!["sleep".into()]),
            required,
            start,
            host: String::new(),
            on_connect: CommandLine(Vec::new()),
            on_disconnect: CommandLine(Vec::new()),
        }
    }

    fn order(text: &str, act: ServiceAct) -> ServiceOrder {
        ServiceOrder { name: name(text), act }
    }

    fn state(services: &Services, text: &str) -> ServiceState {
        let status = services.status().into_iter().find(|status| status.name == name(text));
        status.expect("is in the catalogue").state
    }

    #[test]
    fn those_run_with_the_session_that_are_to() {
        let catalogue =
            vec![spec("a", false, false), spec("b", false, true), spec("c", true, false)];
        let mut services = Services::new(catalogue);
        assert_eq!(services.begin(), [Step::Start(name("b")), Step::Start(name("c"))]);
        services.started(&name("b"), 5);
        assert_eq!(state(&services, "a"), ServiceState::Stopped);
        assert_eq!(state(&services, "b"), ServiceState::Running);
        assert_eq!(state(&services, "c"), ServiceState::Starting);
    }

    #[test]
    fn a_required_service_comes_back_at_once_and_later_and_later_if_it_dies_young() {
        let mut services = Services::new(vec![spec("c", true, false)]);
        services.begin();
        let mut waits = Vec::new();
        let mut now_ms = 0;
        for _ in 0..12 {
            services.started(&name("c"), now_ms);
            assert_eq!(services.ended(&name("c"), None, now_ms), None);
            let at_ms = services.wake_ms().expect("it comes back");
            waits.push(at_ms - now_ms);
            now_ms = at_ms;
            assert_eq!(services.on_time(now_ms), [Step::Start(name("c"))]);
        }
        assert_eq!(waits[0], 0);
        assert!(waits.is_sorted() && waits[11] == 5_000, "{waits:?}");
        services.started(&name("c"), now_ms);
        services.ended(&name("c"), None, now_ms + 60_000);
        assert_eq!(services.wake_ms(), Some(now_ms + 60_000), "it was well for long");
    }

    #[test]
    fn another_service_is_stopped_when_it_ends_well_and_has_failed_when_it_does_not() {
        let mut services = Services::new(vec![spec("b", false, true)]);
        services.begin();
        services.started(&name("b"), 0);
        services.ended(&name("b"), None, 9);
        assert_eq!(state(&services, "b"), ServiceState::Stopped);
        assert_eq!(services.order(&order("b", ServiceAct::Start)), Some(Step::Start(name("b"))));
        services.ended(&name("b"), Some("no such file".into()), 9);
        let failed = services.status().remove(0);
        assert_eq!((failed.state, failed.text.as_str()), (ServiceState::Failed, "no such file"));
        assert_eq!(services.wake_ms(), None);
    }

    #[test]
    fn a_required_service_that_is_stopped_is_restarted() {
        let mut services = Services::new(vec![spec("c", true, false)]);
        services.begin();
        services.started(&name("c"), 0);
        assert_eq!(services.order(&order("c", ServiceAct::Stop)), Some(Step::End(name("c"))));
        let why = Some("it was ended".into());
        assert_eq!(services.ended(&name("c"), why, 1), Some(Step::Start(name("c"))));
    }

    proptest! {
        /// Whatever is ordered and whatever ends: a service is started only if
        /// it does not run, and ended only if it does.
        #[test]
        fn a_service_runs_once_at_most(events in prop::collection::vec(0..7u8, 0..60)) {
            let (both, mut now_ms) = (vec![spec("b", false, true), spec("c", true, false)], 0);
            let mut services = Services::new(both);
            let mut running = std::collections::BTreeSet::new();
            let mut steps = services.begin();
            for event in events {
                for step in std::mem::take(&mut steps) {
                    match step {
                        Step::Start(name) => {
                            prop_assert!(running.insert(name.clone()), "{name} runs already");
                            services.started(&name, now_ms);
                        }
                        Step::End(name) => prop_assert!(running.contains(&name)),
                    }
                }
                now_ms += 700;
                let of = if event % 2 == 0 { name("b") } else { name("c") };
                let acts = [ServiceAct::Start, ServiceAct::Stop, ServiceAct::Restart];
                match event {
                    0..6 if running.contains(&of) && now_ms % 2_100 == 0 => {
                        running.remove(&of);
                        steps.extend(services.ended(&of, (event > 2).then(String::new), now_ms));
                    }
                    0..6 => {
                        let act = acts[usize::from(event / 2)];
                        steps.extend(services.order(&ServiceOrder { name: of, act }));
                    }
                    _ => steps.extend(services.on_time(now_ms)),
                }
            }
        }
    }
}
