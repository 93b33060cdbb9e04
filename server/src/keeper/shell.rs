//! The keeper's loop: starts everything of a session, minds it, ends it.

use super::desktop_command::{self, DesktopCommand, session_mark};
use super::ending;
use super::local_link::{self, Standing};
use super::protocol::{Attachment, AttachmentState, FromWorker, ToWorker, WorkerStart};
use super::worker_process::{Worker, WorkerEvent};
use super::x_server::{self, XServer};
use crate::desktop::{Display, layout, size};
use afterglow_link::quic::{LinkError, bind_udp};
use afterglow_wire::codec::Message as _;
use afterglow_wire::local::{End, SessionSpec, Started, Status, ToKeeper};
use anyhow::{Context as _, bail};
use std::io::{Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How long the worker has to tell its DTU that the session is over.
const FAREWELL_WITHIN: Duration = Duration::from_millis(1500);
/// Messages of servers that may wait.
const SAID_MAX: usize = 16;

/// Keeps one session until it is over. Its description comes on the standard
/// input; how the start went is told on the standard output.
pub fn run() -> anyhow::Result<()> {
    // Fails only for the leader of a group, which has a session already.
    let _ = rustix::process::setsid();
    let spec = read_spec().context("cannot read the session's description")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(keep(spec))
}

fn read_spec() -> anyhow::Result<SessionSpec> {
    let mut stdin = std::io::stdin().lock();
    let mut len = [0; 4];
    stdin.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > SessionSpec::BYTES_MAX {
        bail!("it is {len} bytes long");
    }
    let mut bytes = vec![0; len];
    stdin.read_exact(&mut bytes)?;
    Ok(SessionSpec::decode(bytes.into())?)
}

async fn keep(spec: SessionSpec) -> anyhow::Result<()> {
    let signals = Signals::new().context("cannot listen for signals")?;
    let mut keeper = match Keeper::start(spec.clone()).await {
        Ok(keeper) => keeper,
        Err(text) => {
            tracing::error!("the session cannot start: {text}");
            ending::kill_marked(&session_mark(&spec)).await;
            ending::remove_dir(Path::new(&spec.runtime_dir));
            report(&Started::Failed { text })?;
            // The report and the log say it; this is how it ends.
            std::process::exit(1);
        }
    };
    let port = keeper.standing.borrow().status.port;
    let told = report(&Started::Ready { port });
    if let Err(error) = told.and_then(|()| Ok(let_go_of_standard_streams()?)) {
        // A server that comes back finds the session by its directory.
        tracing::warn!("the server went away during the start: {error:#}");
    }
    let text = keeper.mind(signals).await;
    tracing::info!("the session is over: {text}");
    keeper.end(text).await;
    Ok(())
}

fn report(started: &Started) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&started.encode_framed()).context("cannot tell the server")?;
    stdout.flush().context("cannot tell the server")
}

/// Puts `/dev/null` in the place of standard input and output, so that
/// nothing ties the keeper to the server that started it.
fn let_go_of_standard_streams() -> std::io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in [0, 1] {
        // SAFETY: 0 and 1 are open in every process that the standard library
        // started, and `ManuallyDrop` keeps them from being closed here.
        let mut stream = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup2(&null, &mut stream)?;
    }
    Ok(())
}

/// The signals that mean something to a keeper.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Taken and ignored: a keeper has no terminal to lose.
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

struct Keeper {
    spec: SessionSpec,
    dir: PathBuf,
    x_server: XServer,
    desktop: DesktopCommand,
    worker: Worker,
    reset_key: [u8; 32],
    last: Option<Attachment>,
    standing: watch::Sender<Standing>,
    said: mpsc::Receiver<ToKeeper>,
}

impl Keeper {
    /// Starts everything. The error is for the user.
    async fn start(spec: SessionSpec) -> Result<Self, String> {
        let dir = PathBuf::from(&spec.runtime_dir);
        let udp = bind_display_port(&spec)?;
        let port = udp.local_addr().map_err(|e| format!("cannot use the UDP socket: {e}"))?.port();
        let mut reset_key = [0; 32];
        aws_lc_rs::rand::fill(&mut reset_key).map_err(|_| "the system gives no random bytes")?;

        let socket = dir.join("keeper.sock");
        let listener = local_link::listen(&socket)
            .map_err(|e| format!("cannot listen on {}: {e}", socket.display()))?;
        let status = Status {
            session: spec.session,
            epoch: spec.epoch,
            token: spec.token.clone(),
            port,
            shown_on: None,
            connection: 0,
        };
        let mut x_server = x_server::start(&dir, spec.size_max, &session_mark(&spec)).await?;
        let started = match prepare(&spec, x_server.display.clone()).await {
            Ok(()) => desktop_command::start(&spec, &x_server.display),
            Err(text) => Err(text),
        };
        let desktop = match started {
            Ok(desktop) => desktop,
            Err(text) => {
                ending::ask_group(&x_server.process);
                ending::end_group(&mut x_server.process).await;
                return Err(text);
            }
        };
        let (standing, watching) = watch::channel(Standing { status, ended: None });
        let (said_to, said) = mpsc::channel(SAID_MAX);
        tokio::spawn(local_link::serve(listener, watching, said_to));
        let worker = Worker::new(udp);
        let mut keeper =
            Keeper { spec, dir, x_server, desktop, worker, reset_key, last: None, standing, said };
        keeper.start_worker().await;
        Ok(keeper)
    }

    async fn start_worker(&mut self) {
        let start = WorkerStart {
            spec: self.spec.clone(),
            display: self.x_server.display.clone(),
            reset_key: self.reset_key,
            last: self.last,
        };
        self.worker.start(start).await;
    }

    /// Minds the session until it is over, and says why it is.
    async fn mind(&mut self, mut signals: Signals) -> String {
        loop {
            tokio::select! {
                status = self.desktop.process.wait() => {
                    return self.desktop.ended(status).await;
                }
                status = self.x_server.process.wait() => {
                    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
                    let said = self.x_server.said.last_line();
                    let said = said.map(|line| format!(": {line}")).unwrap_or_default();
                    return format!("the session's X server died{status}{said}");
                }
                event = self.worker.event() => self.worker_event(event).await,
                Some(message) = self.said.recv() => {
                    if let Some(text) = self.server_said(message).await {
                        return text;
                    }
                }
                _ = signals.terminate.recv() => return "the session was ended on its host".into(),
                _ = signals.interrupt.recv() => return "the session was ended on its host".into(),
                _ = signals.hang_up.recv() => {}
            }
        }
    }

    async fn worker_event(&mut self, event: WorkerEvent) {
        match event {
            WorkerEvent::Said(FromWorker::Attachment(attachment)) => self.attached(attachment),
            WorkerEvent::Said(FromWorker::Finished) => {}
            WorkerEvent::Died => {
                if let Some(last) = self.last
                    && last.state == AttachmentState::Shown
                {
                    self.attached(Attachment { state: AttachmentState::Lost, ..last });
                }
            }
            WorkerEvent::Due => self.start_worker().await,
        }
    }

    fn attached(&mut self, attachment: Attachment) {
        self.last = Some(attachment);
        self.standing.send_modify(|standing| {
            let shown = attachment.state == AttachmentState::Shown;
            standing.status.shown_on = shown.then_some(attachment.dtu);
            standing.status.connection = attachment.connection;
        });
    }

    /// Does what a server says; gives why, if it ends the session.
    async fn server_said(&mut self, message: ToKeeper) -> Option<String> {
        match message {
            ToKeeper::End(end) => return Some(end.text),
            ToKeeper::Clocks(clocks) => {
                self.spec.clocks = clocks.clone();
                self.worker.tell(ToWorker::Server(ToKeeper::Clocks(clocks))).await;
            }
            ToKeeper::Detach(detach) => {
                self.worker.tell(ToWorker::Server(ToKeeper::Detach(detach))).await;
            }
            ToKeeper::Unknown(_) => {}
        }
        None
    }

    /// Ends everything: first whoever looks at it is told, then programs are
    /// asked, then all that is left is killed.
    async fn end(mut self, text: String) {
        self.worker.tell(ToWorker::Server(ToKeeper::End(End { text: text.clone() }))).await;
        ending::ask_group(&self.desktop.process);
        let _ = tokio::time::timeout(FAREWELL_WITHIN, async {
            while let WorkerEvent::Said(FromWorker::Attachment(attachment)) =
                self.worker.event().await
            {
                self.attached(attachment);
            }
        })
        .await;
        self.worker.end().await;
        ending::end_group(&mut self.desktop.process).await;
        ending::ask_group(&self.x_server.process);
        ending::end_group(&mut self.x_server.process).await;
        ending::kill_marked(&session_mark(&self.spec)).await;
        ending::remove_dir(&self.dir);
        // Told last: whoever hears it finds nothing left.
        self.standing.send_modify(|standing| standing.ended = Some(text));
        let _ = tokio::time::timeout(FAREWELL_WITHIN, self.standing.closed()).await;
    }
}

/// The first free port of the range.
fn bind_display_port(spec: &SessionSpec) -> Result<UdpSocket, String> {
    let first = spec.listen.port();
    for port in first..=spec.port_last.max(first) {
        match bind_udp(SocketAddrV4::new(*spec.listen.ip(), port)) {
            Ok(socket) => return Ok(socket),
            Err(LinkError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!(
        "no UDP port from {first} to {} is free for the session: end other sessions, or widen \
         `session_ports` in the server's configuration",
        spec.port_last
    ))
}

/// Gives the X server its first size and layout before any program starts.
async fn prepare(spec: &SessionSpec, display: Display) -> Result<(), String> {
    let (first_size, keymap) = (spec.size, spec.keymap.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let connection = display.connect()?;
        size::change(&connection, first_size)?;
        if let Err(error) = layout::load(&connection, &display, &keymap) {
            tracing::warn!("{error}");
            layout::stop_repeat(&connection)?;
        }
        Ok(())
    });
    match prepared.await {
        Ok(result) => result.map_err(|error: crate::desktop::DesktopError| error.to_string()),
        Err(_) => Err("the X server could not be prepared".into()),
    }
}
