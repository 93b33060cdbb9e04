//! A session's services, tended: their processes do what the decisions about
//! them say, and the decisions hear what the processes do.

use super::connecting::{Change, Connecting};
use super::service_process::{self, Ended, Running};
use super::services::{Do, Services};
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use afterglow_wire::service::{ServiceOrder, ServiceSpec, ServiceStatus};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Ends that may wait to be heard.
const ENDED_MAX: usize = 64;

/// The services and their processes.
#[derive(Debug)]
pub struct Tending {
    services: Services,
    connecting: Connecting,
    running: BTreeMap<usize, Running>,
    began: Instant,
    ended: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
}

/// What happens without anybody's order.
#[derive(Debug)]
pub enum Event {
    /// A process ended.
    Ended(Ended),
    /// Something is due.
    Due,
}

impl Tending {
    /// Of this catalogue; none runs yet.
    pub fn new(catalogue: Vec<ServiceSpec>) -> Self {
        Tending {
            services: Services::new(catalogue),
            connecting: Connecting::default(),
            running: BTreeMap::new(),
            began: Instant::now(),
            ended: mpsc::channel(ENDED_MAX),
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Starts those that run with the session.
    pub fn begin(&mut self, spec: &SessionSpec, display: &Display) {
        self.services.begin(self.now_ms());
        self.act(spec, display);
    }

    /// Does what the user wants.
    pub fn order(&mut self, order: &ServiceOrder, spec: &SessionSpec, display: &Display) {
        self.services.order(order, self.now_ms());
        self.act(spec, display);
    }

    /// How all of them stand.
    pub fn statuses(&self) -> impl Iterator<Item = ServiceStatus> {
        self.services.statuses()
    }

    /// The session is frozen, or goes on.
    pub fn freeze(&mut self, frozen: bool, spec: &SessionSpec, display: &Display) {
        if frozen {
            self.connecting.forget();
        }
        self.services.freeze(frozen, self.now_ms());
        self.act(spec, display);
    }

    /// A DTU came or went.
    pub fn connected(&mut self, change: Change, spec: &SessionSpec, display: &Display) {
        for (index, change) in self.connecting.changed(change, self.services.running()) {
            self.tell(index, change, spec, display);
        }
    }

    /// Waits for the next event. Safe to cancel.
    pub async fn event(&mut self) -> Event {
        let due = self.services.deadline_ms().map(|ms| self.began + Duration::from_millis(ms));
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = self.ended.1.recv() => Event::Ended(ended),
            () = wait => Event::Due,
        }
    }

    /// Does what follows from it.
    pub fn happened(&mut self, event: Event, spec: &SessionSpec, display: &Display) {
        match event {
            Event::Due => {
                self.services.tick(self.now_ms());
            }
            Event::Ended(Ended::Service(index, how)) => {
                self.running.remove(&index);
                if let (Err(text), Some(service)) = (&how, self.services.spec(index)) {
                    tracing::warn!("the service {}: {text}", service.name);
                }
                self.services.ended(index, how, self.now_ms());
            }
            Event::Ended(Ended::Told(index)) => {
                if let Some(change) = self.connecting.over(index) {
                    self.tell(index, change, spec, display);
                }
            }
        }
        self.act(spec, display);
    }

    /// Runs a service's command for a change, if it has one.
    fn tell(&mut self, index: usize, change: Change, spec: &SessionSpec, display: &Display) {
        let mut next = Some(change);
        while let Some(change) = next {
            let Some(service) = self.services.spec(index) else { return };
            let command = match change {
                Change::Connected => &service.on_connect.0,
                Change::Disconnected => &service.on_disconnect.0,
            };
            if !command.is_empty() {
                let ended = self.ended.0.clone();
                return service_process::tell(spec, display, index, service, command, ended);
            }
            next = self.connecting.over(index);
        }
    }

    fn act(&mut self, spec: &SessionSpec, display: &Display) {
        while let Some(action) = self.services.poll() {
            match action {
                Do::Start(index) => self.start(index, spec, display),
                Do::Ask(index) => self.signal(index, Signal::TERM),
                Do::Kill(index) => self.signal(index, Signal::KILL),
            }
        }
    }

    fn start(&mut self, index: usize, spec: &SessionSpec, display: &Display) {
        let Some(service) = self.services.spec(index) else { return };
        let ended = self.ended.0.clone();
        match service_process::start(spec, display, index, service, ended) {
            Ok(running) => {
                self.running.insert(index, running);
            }
            Err(text) => {
                tracing::warn!("the service {} does not start: {text}", service.name);
                self.services.ended(index, Err(text), self.now_ms());
            }
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(running) = self.running.get(&index) {
            running.signal(signal);
        }
    }

    /// Asks all of them to end.
    pub fn ask_all(&self) {
        self.running.values().for_each(|running| running.signal(Signal::TERM));
    }
}
