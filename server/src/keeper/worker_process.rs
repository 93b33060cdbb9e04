//! The worker: started with its two sockets, and started again whenever it
//! dies.

use super::ending;
use super::protocol::{FromWorker, ToWorker, WorkerStart};
use super::restarts::{Restarts, WELL_AFTER};
use super::troubles;
use afterglow_link::stream::{MessageReader, MessageWriter};
use rustix::process::Pid;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

/// A worker that does not take what it is told within this time hangs.
const TAKES_WITHIN: Duration = Duration::from_secs(5);

/// The worker, or the wait for the next one.
#[derive(Debug)]
pub struct Worker {
    /// Kept by the keeper, so that the port stays the session's.
    udp: UdpSocket,
    running: Option<Running>,
    /// One that was started before it was known what for.
    ready: Option<Running>,
    restarts: Restarts,
    start_at: Instant,
    /// What the user should know of those before.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    started: Instant,
    reader: MessageReader<OwnedReadHalf, FromWorker>,
    writer: MessageWriter<OwnedWriteHalf, ToWorker>,
}

/// What happens with a worker.
#[derive(Debug)]
pub enum WorkerEvent {
    /// It said something.
    Said(FromWorker),
    /// It is dead.
    Died,
    /// It is time to start one.
    Due,
    /// After several that died it lives.
    Lives,
}

impl Worker {
    /// None yet; the first is due at once.
    pub fn new(udp: UdpSocket) -> Self {
        Worker {
            udp,
            running: None,
            ready: None,
            restarts: Restarts::default(),
            start_at: Instant::now(),
            trouble: None,
        }
    }

    /// Starts one that waits to be told what for. If that fails it is tried
    /// again once it is known.
    pub fn get_ready(&mut self) {
        match self.spawn() {
            Ok(ready) => self.ready = Some(ready),
            Err(error) => tracing::warn!("cannot start a worker in advance: {error}"),
        }
    }

    /// Starts one.
    pub async fn start(&mut self, start: WorkerStart) {
        let started = async {
            let mut running = match self.ready.take() {
                Some(ready) => ready,
                None => self.spawn()?,
            };
            running.started = Instant::now();
            let start = ToWorker::Start(Box::new(start));
            running.writer.send(start).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(running)
        };
        match started.await {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                tracing::error!("cannot start the session's worker: {error}");
                self.died(Duration::ZERO);
            }
        }
    }

    /// What the user should know of its deaths.
    pub fn trouble(&self) -> &str {
        self.trouble.as_deref().unwrap_or_default()
    }

    /// One is dead after this long: the next has to wait.
    fn died(&mut self, lived: Duration) -> Duration {
        let wait = self.restarts.died(lived);
        self.start_at = Instant::now() + wait;
        self.trouble = troubles::of_worker(&self.restarts, wait);
        wait
    }

    fn spawn(&self) -> std::io::Result<Running> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let udp = self.udp.try_clone()?;
        // The file that this process was started from, also if it was
        // replaced since.
        let process = Command::new("/proc/self/exe")
            .arg0("afterglow-session")
            .arg("worker")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(udp)))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        ours.set_nonblocking(true)?;
        let (reading, writing) = UnixStream::from_std(ours)?.into_split();
        let writer = MessageWriter::new(writing);
        let (started, reader) = (Instant::now(), MessageReader::new(reading));
        Ok(Running { process, started, reader, writer })
    }

    /// Tells the worker something. If it cannot be told it is dead or about
    /// to be.
    pub async fn tell(&mut self, message: ToWorker) {
        let Some(running) = &mut self.running else { return };
        let told = tokio::time::timeout(TAKES_WITHIN, running.writer.send(message)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::warn!("the session's worker takes no messages: it is ended");
            let _ = running.process.start_kill();
        }
    }

    /// Waits for the next event. Safe to cancel.
    pub async fn event(&mut self) -> WorkerEvent {
        let Some(running) = &mut self.running else {
            tokio::time::sleep_until(self.start_at.into()).await;
            return WorkerEvent::Due;
        };
        let well = running.started + WELL_AFTER;
        let said = tokio::select! {
            said = running.reader.next() => said,
            () = tokio::time::sleep_until(well.into()), if self.trouble.is_some() => {
                self.restarts.lives();
                self.trouble = None;
                return WorkerEvent::Lives;
            }
        };
        if let Ok(Some(said)) = said {
            return WorkerEvent::Said(said);
        }
        // It closed its socket, or broke the protocol: either way it is over.
        let _ = running.process.start_kill();
        let status = running.process.wait().await;
        let lived = running.started.elapsed();
        self.running = None;
        let wait = self.died(lived);
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        tracing::warn!(
            "the session's worker died after {lived:.1?} ({status}); the next starts in {wait:?}"
        );
        WorkerEvent::Died
    }

    /// Its process, if one runs.
    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().and_then(|running| ending::pid_of(&running.process))
    }

    /// Ends it; the next may start at once.
    pub async fn replace(&mut self) {
        self.end().await;
        self.start_at = Instant::now();
    }

    /// Ends it.
    pub async fn end(&mut self) {
        for mut running in self.running.take().into_iter().chain(self.ready.take()) {
            let _ = running.process.kill().await;
        }
    }
}
