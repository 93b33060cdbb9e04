//! The keeper's loop: starts everything of a session, minds it, ends it.

use super::desktop_command::{self, DesktopCommand};
use super::ending;
use super::freezing::Pen;
use super::local_link::{self, Standing};
use super::preparing::{self, NotStarted, Prepared};
use super::program::{Place, mark_of, session_mark};
use super::protocol::{Attachment, AttachmentState, FromWorker, ToWorker};
use super::service_process::ServiceProcesses;
use super::start_link;
use super::worker_process::{Worker, WorkerEvent};
use super::x_server::{self, XServer};
use afterglow_wire::local::{Become, End, KeeperStart, SessionSpec, Started, Status, ToKeeper};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;
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
    let start = start_link::read_start().context("cannot read the session's description")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(keep(start))
}

async fn keep(start: KeeperStart) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let dir = PathBuf::from(match &start {
        KeeperStart::Session(spec) => &spec.runtime_dir,
        KeeperStart::Warm(warm) => &warm.runtime_dir,
    });
    let mut keeper = match Keeper::start(start, &mut signals).await {
        Ok(keeper) => keeper,
        Err(why) => {
            ending::kill_marked(&mark_of(&dir)).await;
            ending::remove_dir(&dir);
            return not_started(why);
        }
    };
    let port = keeper.standing.borrow().status.port;
    let told = start_link::report(&Started::Ready { port });
    if let Err(error) = told.and_then(|()| Ok(start_link::let_go()?)) {
        // A server that comes back finds the session by its directory.
        tracing::warn!("the server went away during the start: {error:#}");
    }
    let text = keeper.mind(signals).await;
    tracing::info!("the session is over: {text}");
    keeper.end(text).await;
    Ok(())
}

/// What is said once nothing is left of a start.
fn not_started(why: NotStarted) -> anyhow::Result<()> {
    match why {
        NotStarted::GivenUp(why) => {
            tracing::info!("the session's start is given up: {why}");
            Ok(())
        }
        NotStarted::Failed(text) => {
            tracing::error!("the session cannot start: {text}");
            start_link::report(&Started::Failed { text })?;
            // The report and the log say it; this is how it ends.
            std::process::exit(1);
        }
    }
}

/// The signals that mean something to a keeper.
#[derive(Debug)]
pub struct Signals {
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

    /// Waits until one says that the session is to end. Safe to cancel.
    pub async fn end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
        }
    }
}

struct Keeper {
    spec: SessionSpec,
    dir: PathBuf,
    x_server: XServer,
    desktop: DesktopCommand,
    services: ServiceProcesses,
    pen: Pen,
    worker: Worker,
    reset_key: [u8; 32],
    last: Option<Attachment>,
    standing: watch::Sender<Standing>,
    said: mpsc::Receiver<ToKeeper>,
}

impl Keeper {
    /// Prepares, waits until the session is wanted, and starts it.
    async fn start(start: KeeperStart, signals: &mut Signals) -> Result<Self, NotStarted> {
        let (begun, mut spec) = match start {
            KeeperStart::Session(spec) => (preparing::begin(&spec.warm())?, *spec),
            KeeperStart::Warm(warm) => {
                preparing::wait_warm(preparing::begin(&warm)?, signals).await?
            }
        };
        let order = spec.hold.then(start_link::read_order);
        let prepared = preparing::prepare(&spec, begun, order, signals).await?;
        let Prepared { port, mut x_server, mut worker, reset_key } = prepared;
        if std::mem::take(&mut spec.hold) {
            worker.tell(ToWorker::Go).await;
        }
        let pen = Pen::new();
        let started = listen(&spec).and_then(|socket| {
            let place = Place::new(&spec, &x_server.display, pen.clone())?;
            let desktop = desktop_command::start(&place, &spec.desktop.0)?;
            Ok((socket, place, desktop))
        });
        let (socket, place, desktop) = match started {
            Ok(started) => started,
            Err(text) => {
                worker.end().await;
                x_server.end().await;
                return Err(text.into());
            }
        };
        let services = ServiceProcesses::start(&spec, place);
        let status = Status {
            session: spec.session,
            epoch: spec.epoch,
            token: spec.token.clone(),
            port,
            shown_on: None,
            connection: 0,
            services: services.status().into_iter().collect(),
            frozen: false,
            trouble: String::new(),
        };
        let (standing, watching) = watch::channel(Standing { status, ended: None });
        let (said_to, said) = mpsc::channel(SAID_MAX);
        tokio::spawn(local_link::serve(socket, watching, said_to));
        let dir = PathBuf::from(&spec.runtime_dir);
        Ok(Keeper {
            spec,
            dir,
            x_server,
            desktop,
            services,
            pen,
            worker,
            reset_key,
            last: None,
            standing,
            said,
        })
    }

    async fn start_worker(&mut self) {
        let display = &self.x_server.display;
        let start = preparing::worker_start(&self.spec, display, self.reset_key, self.last);
        self.worker.start(start).await;
    }

    /// Minds the session until it is over, and says why it is.
    async fn mind(&mut self, mut signals: Signals) -> String {
        loop {
            let frozen = self.standing.borrow().status.frozen;
            let well_at = self.worker.well_at();
            tokio::select! {
                status = self.desktop.program.process.wait() => {
                    return self.desktop.ended(status).await;
                }
                status = self.x_server.process.wait() => {
                    return x_server::died(status, &self.x_server.said);
                }
                // Nobody is shown an older copy.
                event = self.worker.event(), if !frozen => self.worker_event(event).await,
                () = self.services.changed() => self.services_changed(),
                () = until(well_at) => self.note_trouble(),
                Some(message) = self.said.recv() => {
                    if let Some(text) = self.server_said(message).await {
                        return text;
                    }
                }
                () = signals.end() => return "the session was ended on its host".into(),
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
        self.note_trouble();
    }

    /// Tells what the user should know of the worker, if that changed.
    fn note_trouble(&mut self) {
        let trouble = self.worker.trouble().unwrap_or_default();
        self.standing.send_if_modified(|standing| {
            let changed = standing.status.trouble != trouble;
            standing.status.trouble = trouble;
            changed
        });
    }

    fn services_changed(&mut self) {
        let services = self.services.status().into_iter().collect();
        self.standing.send_modify(|standing| standing.status.services = services);
    }

    fn attached(&mut self, attachment: Attachment) {
        self.last = Some(attachment);
        let shown = attachment.state == AttachmentState::Shown;
        if self.standing.borrow().status.shown_on.is_some() != shown {
            self.services.dtu_came_or_went(shown);
        }
        self.standing.send_modify(|standing| {
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
            ToKeeper::Service(order) => {
                self.services.order(&order);
                self.services_changed();
            }
            ToKeeper::Freeze(_) => self.freeze().await,
            ToKeeper::Become(identity) => self.become_another(identity).await,
            ToKeeper::Unknown(_) => {}
        }
        None
    }

    /// The session was taken over elsewhere: nobody is shown this copy any
    /// more, and its programs change nothing.
    async fn freeze(&mut self) {
        if self.standing.borrow().status.frozen {
            return;
        }
        tracing::warn!("the session was taken over elsewhere: this copy is frozen");
        self.worker.end().await;
        let spared: Vec<u32> = self.x_server.process.id().into_iter().collect();
        self.pen.freeze(&session_mark(&self.spec), &spared).await;
        self.standing.send_modify(|standing| {
            standing.status.frozen = true;
            standing.status.shown_on = None;
        });
    }

    /// Goes on as a session of its own: for its programs nothing changes.
    async fn become_another(&mut self, identity: Become) {
        let Become { session, epoch, certificate, certificate_key } = identity;
        tracing::info!("goes on as session {session} epoch {epoch}");
        self.worker.end().await;
        let spec = &mut self.spec;
        (spec.session, spec.epoch) = (session, epoch);
        (spec.certificate, spec.certificate_key) = (certificate, certificate_key);
        // Whom the copy was shown to says nothing about the new session.
        self.last = None;
        self.pen.thaw(&session_mark(&self.spec)).await;
        self.standing.send_modify(|standing| {
            let status = &mut standing.status;
            (status.session, status.epoch) = (session, epoch);
            (status.frozen, status.shown_on, status.connection) = (false, None, 0);
        });
    }

    /// Ends everything: first whoever looks at it is told, then programs are
    /// asked, then all that is left is killed.
    async fn end(mut self, text: String) {
        if self.standing.borrow().status.frozen {
            // What stands still cannot end in order.
            self.pen.thaw(&session_mark(&self.spec)).await;
        }
        self.services.end_all();
        self.worker.tell(ToWorker::Server(ToKeeper::End(End { text: text.clone() }))).await;
        ending::ask_group(&self.desktop.program.process);
        let _ = tokio::time::timeout(FAREWELL_WITHIN, async {
            while let WorkerEvent::Said(FromWorker::Attachment(attachment)) =
                self.worker.event().await
            {
                self.attached(attachment);
            }
        })
        .await;
        self.worker.end().await;
        ending::end_group(&mut self.desktop.program.process).await;
        self.x_server.end().await;
        ending::kill_marked(&session_mark(&self.spec)).await;
        ending::remove_dir(&self.dir);
        // Told last: whoever hears it finds nothing left.
        self.standing.send_modify(|standing| standing.ended = Some(text));
        let _ = tokio::time::timeout(FAREWELL_WITHIN, self.standing.closed()).await;
    }
}

/// Resolves at this time; never if there is none.
async fn until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Opens the socket by which servers find the session.
fn listen(spec: &SessionSpec) -> Result<UnixListener, String> {
    let socket = Path::new(&spec.runtime_dir).join("keeper.sock");
    local_link::listen(&socket).map_err(|e| format!("cannot listen on {}: {e}", socket.display()))
}
