//! The processes of a session's services, and the commands that they name for
//! a DTU's coming and going.

use super::ending;
use super::program::{Place, Program, find_program};
use super::services::{Services, Step};
use afterglow_wire::local::{CommandLine, SessionSpec};
use afterglow_wire::service::{ServiceName, ServiceOrder, ServiceSpec, ServiceStatus};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a command for a DTU's coming or going may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);
/// The most of them that wait.
const COMMANDS_MAX: usize = 64;
/// How long a service's last words may take to be read.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// A service that ended: why, if not well.
#[derive(Debug)]
pub struct Ended {
    name: ServiceName,
    why: Option<String>,
}

/// All services of a session, with their processes.
#[derive(Debug)]
pub struct ServiceProcesses {
    place: Place,
    services: Services,
    began: Instant,
    /// The way to end each that runs.
    running: BTreeMap<ServiceName, mpsc::Sender<()>>,
    ended: mpsc::Receiver<Ended>,
    tell_ended: mpsc::Sender<Ended>,
    commands: mpsc::Sender<Vec<String>>,
}

impl ServiceProcesses {
    /// Starts those that are to run with the session.
    pub fn start(spec: &SessionSpec, place: Place) -> Self {
        let mut services = Services::new(spec.services.to_vec());
        let steps = services.begin();
        let (tell_ended, ended) = mpsc::channel(COMMANDS_MAX);
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        tokio::spawn(run_commands(place.clone(), queue));
        let (began, running) = (Instant::now(), BTreeMap::new());
        let mut all =
            ServiceProcesses { place, services, began, running, ended, tell_ended, commands };
        steps.into_iter().for_each(|step| all.perform(step));
        all
    }

    /// How all of them stand.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services.status()
    }

    /// Does what somebody wants of a service.
    pub fn order(&mut self, order: &ServiceOrder) {
        if let Some(step) = self.services.order(order) {
            self.perform(step);
        }
    }

    /// Waits until something about them changed. Safe to cancel.
    pub async fn changed(&mut self) {
        let wake_ms = self.services.wake_ms();
        let wake = async {
            match wake_ms {
                None => std::future::pending().await,
                Some(at_ms) => {
                    let at = self.began + Duration::from_millis(at_ms);
                    tokio::time::sleep_until(at.into()).await;
                }
            }
        };
        tokio::select! {
            Some(Ended { name, why }) = self.ended.recv() => {
                self.running.remove(&name);
                let now_ms = self.now_ms();
                if let Some(step) = self.services.ended(&name, why, now_ms) {
                    self.perform(step);
                }
            }
            () = wake => {
                for step in self.services.on_time(self.now_ms()) {
                    self.perform(step);
                }
            }
        }
    }

    /// A DTU shows the session, or does not any more (the patent's connect
    /// and disconnect messages).
    pub fn dtu_came_or_went(&self, came: bool) {
        for spec in self.services.specs() {
            let line = if came { &spec.on_connect } else { &spec.on_disconnect };
            if !line.0.is_empty() && self.commands.try_send(command_line(spec, line)).is_err() {
                tracing::warn!("too many commands wait: one of {} is left out", spec.name);
            }
        }
    }

    /// Asks all of them to end.
    pub fn end_all(&mut self) {
        self.running.clear();
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Start(name) => self.spawn(&name),
            Step::End(name) => {
                // Without a sender its process is ended.
                self.running.remove(&name);
            }
        }
    }

    fn spawn(&mut self, name: &ServiceName) {
        let Some(spec) = self.services.spec(name) else { return };
        let line = command_line(spec, &spec.command);
        let known = line.first().is_some_and(|program| find_program(program, "/").is_some());
        let missing = !spec.host.is_empty() && !known;
        let (to, name) = (self.tell_ended.clone(), name.clone());
        let started = match missing {
            true => Err("ssh is not installed on the server: install openssh-client".to_owned()),
            false => self.place.start(&line, &format!("service-{name}.log")),
        };
        match started {
            Ok(program) => {
                let (alive, over) = mpsc::channel(1);
                self.running.insert(name.clone(), alive);
                self.services.started(&name, self.now_ms());
                tokio::spawn(mind(name, program, over, to));
            }
            Err(why) => {
                tracing::warn!("the service {name} does not start: {why}");
                tokio::spawn(async move { to.send(Ended { name, why: Some(why) }).await });
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// Waits for a service's end, or ends it once nobody wants it any more.
async fn mind(
    name: ServiceName,
    mut program: Program,
    mut over: mpsc::Receiver<()>,
    to: mpsc::Sender<Ended>,
) {
    let status = tokio::select! {
        status = program.process.wait() => Some(status),
        _ = over.recv() => None,
    };
    let why = match status {
        None => {
            ending::ask_group(&program.process);
            ending::end_group(&mut program.process).await;
            None
        }
        Some(Ok(status)) if status.success() => None,
        Some(status) => {
            let _ = tokio::time::timeout(LAST_WORDS_WITHIN, &mut program.reading).await;
            let how = status.map_or_else(|e| e.to_string(), |status| status.to_string());
            let said = program.said.last_line().map(|line| format!(": {line}"));
            Some(format!("it ended with {how}{}", said.unwrap_or_default()))
        }
    };
    if let Some(why) = &why {
        tracing::warn!("the service {name}: {why}");
    }
    // Nobody waits for it once the session ends.
    let _ = to.send(Ended { name, why }).await;
}

/// Runs one after the other, each for a bounded time.
async fn run_commands(place: Place, mut queue: mpsc::Receiver<Vec<String>>) {
    while let Some(line) = queue.recv().await {
        match place.start(&line, "commands.log") {
            Ok(mut program) => {
                let ended = tokio::time::timeout(COMMAND_TIME, program.process.wait()).await;
                if ended.is_err() {
                    tracing::warn!("{:?} takes too long, and is ended", line.join(" "));
                    ending::ask_group(&program.process);
                    ending::end_group(&mut program.process).await;
                }
            }
            Err(why) => tracing::warn!("{why}"),
        }
    }
}

/// What runs for a service: the command itself, or `ssh` that runs it on
/// another host with its windows here (patent, figure 5).
fn command_line(spec: &ServiceSpec, line: &CommandLine) -> Vec<String> {
    if spec.host.is_empty() {
        return line.0.clone();
    }
    // What may hang must not: no questions, and a dead connection ends.
    let ssh = [
        "ssh",
        "-X",
        "-o",
        "BatchMode=yes",
        "-o",
        "ExitOnForwardFailure=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "ServerAliveInterval=5",
        "-o",
        "ServerAliveCountMax=3",
        "--",
    ];
    let remote = line.0.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    ssh.into_iter().map(String::from).chain([spec.host.clone(), remote]).collect()
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_another_host_runs_by_ssh_with_its_windows_here() {
        let mut spec = ServiceSpec {
            name: "big".parse().expect("a name"),
            command: CommandLine(vec!["xterm".into(), "-T".into(), "it's big".into()]),
            required: false,
            start: false,
            host: String::new(),
            on_connect: CommandLine(Vec::new()),
            on_disconnect: CommandLine(Vec::new()),
        };
        assert_eq!(command_line(&spec, &spec.command), spec.command.0);
        spec.host = "ada@big.example".into();
        let line = command_line(&spec, &spec.command);
        assert_eq!(line[..2], ["ssh", "-X"]);
        let end = &line[line.len() - 3..];
        assert_eq!(end, ["--", "ada@big.example", "'xterm' '-T' 'it'\\''s big'"]);
    }
}
