//! The worker: started with its two sockets, and started again whenever it
//! dies.

use super::protocol::{FromWorker, ToWorker, WorkerStart};
use super::restarts::{Restarts, WAIT_MAX, WELL_AFTER};
use afterglow_link::stream::{MessageReader, MessageWriter};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

/// So many that die young in a row are told of.
const TROUBLE_AFTER: u32 = 3;
/// A worker that does not take what it is told within this time hangs.
const TAKES_WITHIN: Duration = Duration::from_secs(5);

/// The worker, or the wait for the next one.
#[derive(Debug)]
pub struct Worker {
    /// Kept by the keeper, so that the port stays the session's.
    udp: UdpSocket,
    running: Option<Running>,
    restarts: Restarts,
    start_at: Instant,
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
}

impl Worker {
    /// None yet; the first is due at once.
    pub fn new(udp: UdpSocket) -> Self {
        Worker { udp, running: None, restarts: Restarts::default(), start_at: Instant::now() }
    }

    /// Starts one.
    pub async fn start(&mut self, start: WorkerStart) {
        match self.spawn(start).await {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                tracing::error!("cannot start the session's worker: {error}");
                self.start_at = Instant::now() + self.restarts.died(Duration::ZERO);
            }
        }
    }

    async fn spawn(&self, start: WorkerStart) -> std::io::Result<Running> {
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
        let mut writer = MessageWriter::new(writing);
        writer.send(ToWorker::Start(Box::new(start))).await.map_err(std::io::Error::other)?;
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
        if let Ok(Some(said)) = running.reader.next().await {
            return WorkerEvent::Said(said);
        }
        // It closed its socket, or broke the protocol: either way it is over.
        let _ = running.process.start_kill();
        let status = running.process.wait().await;
        let lived = running.started.elapsed();
        self.running = None;
        let wait = self.restarts.died(lived);
        self.start_at = Instant::now() + wait;
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        tracing::warn!(
            "the session's worker died after {lived:.1?} ({status}); the next starts in {wait:?}"
        );
        WorkerEvent::Died
    }

    /// What the user should know of workers that die one after the other;
    /// `None` while one is well, or died but once or twice.
    pub fn trouble(&self) -> Option<String> {
        let times = self.restarts.died_young();
        let well = self.running.as_ref().is_some_and(|now| now.started.elapsed() >= WELL_AFTER);
        (times >= TROUBLE_AFTER && !well).then(|| {
            format!(
                "What shows your session failed {times} times in a row and is started again, at \
                 most every {} s. Your programs keep running. Tell the administrator.",
                WAIT_MAX.as_secs()
            )
        })
    }

    /// When [`Worker::trouble`] may be over.
    pub fn well_at(&self) -> Option<Instant> {
        let now = self.running.as_ref().filter(|_| self.restarts.died_young() >= TROUBLE_AFTER)?;
        Some(now.started + WELL_AFTER).filter(|at| *at > Instant::now())
    }

    /// Ends it.
    pub async fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.process.kill().await;
        }
    }
}
