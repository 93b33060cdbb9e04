//! The processes of services: each leads a group of its own, and nothing of
//! the group stays once it has ended.

use super::program::{self, Program, find_program};
use super::{elsewhere, ending};
use crate::desktop::Display;
use afterglow_wire::local::SessionSpec;
use afterglow_wire::service::ServiceSpec;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a command about a DTU's coming or going may take.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether a service that was asked to end is all gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What processes of services do.
#[derive(Debug)]
pub enum Ended {
    /// A service's processes are gone: how, for the user, if not well.
    Service(usize, Result<(), String>),
    /// A command about a DTU's coming or going is over.
    Told(usize),
}

/// The way to a service's process.
#[derive(Debug)]
pub struct Running(mpsc::UnboundedSender<Signal>);

impl Running {
    /// Sends all its processes a signal. At most two are ever sent: one asks,
    /// one kills.
    pub fn signal(&self, signal: Signal) {
        // If nobody listens it has ended.
        let _ = self.0.send(signal);
    }
}

/// Starts a service; its end is told. The error is for the user.
pub fn start(
    spec: &SessionSpec,
    display: &Display,
    index: usize,
    service: &ServiceSpec,
    ended: mpsc::Sender<Ended>,
) -> Result<Running, String> {
    let log = format!("service.{}.log", service.name);
    let program = spawn(spec, display, service, &service.command.0, &log)?;
    let (signals, to_send) = mpsc::unbounded_channel();
    let host = service.host.clone();
    tokio::spawn(async move {
        let how = watch(program, to_send, &host).await;
        // Nobody hears it at the session's end.
        let _ = ended.send(Ended::Service(index, how)).await;
    });
    Ok(Running(signals))
}

/// Runs a command about a DTU's coming or going, for a bounded time; its end
/// is told.
pub fn tell(
    spec: &SessionSpec,
    display: &Display,
    index: usize,
    service: &ServiceSpec,
    words: &[String],
    ended: mpsc::Sender<Ended>,
) {
    let log = format!("service.{}.log", service.name);
    let started = spawn(spec, display, service, words, &log);
    let (name, host) = (service.name.clone(), service.host.clone());
    tokio::spawn(async move {
        let how = match started {
            Ok(program) => {
                let (kill, to_send) = mpsc::unbounded_channel();
                let mut watching = std::pin::pin!(watch(program, to_send, &host));
                match tokio::time::timeout(TOLD_WITHIN, &mut watching).await {
                    Ok(how) => how,
                    Err(_) => {
                        let _ = kill.send(Signal::KILL);
                        watching.await.and(Err(format!("killed after {TOLD_WITHIN:?}")))
                    }
                }
            }
            Err(text) => Err(text),
        };
        if let Err(text) = how {
            tracing::warn!("the service {name} was not told of a DTU: {text}");
        }
        let _ = ended.send(Ended::Told(index)).await;
    });
}

fn spawn(
    spec: &SessionSpec,
    display: &Display,
    service: &ServiceSpec,
    words: &[String],
    log: &str,
) -> Result<Program, String> {
    let home = Path::new(&spec.home_dir);
    if service.host.is_empty() {
        let program = words.first().map(String::as_str).unwrap_or_default();
        if find_program(program, &spec.home_dir).is_none() {
            return Err(format!(
                "{program:?} cannot be found or run on the server: install it, or change the \
                 service's command"
            ));
        }
        return program::start(spec, display, words, log);
    }
    if find_program(elsewhere::PROGRAM, "/").is_none() {
        return Err(format!(
            "it runs on {}, which takes ssh, and that is not installed on the server: install \
             the package openssh-client",
            service.host
        ));
    }
    let command = elsewhere::command(&service.host, words, home, |path| path.exists());
    program::start(spec, display, &command, log)
}

/// Waits for the end, sends the signals that are wanted meanwhile, and clears
/// the group away.
async fn watch(
    mut program: Program,
    mut to_send: mpsc::UnboundedReceiver<Signal>,
    host: &str,
) -> Result<(), String> {
    let group = ending::pid_of(&program.process);
    let mut asked = false;
    let status = loop {
        tokio::select! {
            status = program.process.wait() => break status,
            Some(signal) = to_send.recv() => {
                asked = true;
                // It was not waited for yet, so the number is its own.
                send(group, signal);
            }
        }
    };
    // Its leader may be gone, and others of it may have something to save.
    while asked && group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(signal) = to_send.recv() => send(group, signal),
            else => break,
        }
    }
    send(group, Signal::KILL);
    let said = program.said.last_words().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(words_for(status, host, &said)),
        Err(error) => Err(format!("its end is unknown: {error}")),
    }
}

/// A group that is empty takes no signal.
fn send(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

fn words_for(status: ExitStatus, host: &str, said: &str) -> String {
    match status.code() {
        Some(elsewhere::OWN_FAILURE) if !host.is_empty() => {
            format!("ssh to {host} failed{said}")
        }
        _ if host.is_empty() => format!("it ended with {status}{said}"),
        _ => format!("it ended on {host} with {status}{said}"),
    }
}
