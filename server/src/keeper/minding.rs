//! The keeper's loop: minds everything of a session until it is over, and ends
//! it.

use super::connecting::Change;
use super::desktop_command::{self, DesktopCommand};
use super::freezing::Frozen;
use super::local_link::{self, Standing};
use super::own_choice::{self, Chosen};
use super::preparing::{self, NotStarted, Prepared};
use super::protocol::{Attachment, AttachmentState, FromWorker, ToWorker};
use super::session_dir::{self, SOCKET};
use super::shell::Signals;
use super::tending::Tending;
use super::troubles::Troubles;
use super::worker_process::{Worker, WorkerEvent};
use super::x_server::{self, XServer};
use super::{bus, cgroup, ending};
use afterglow_wire::local::{
    Become, CommandLine, End, Freeze, KeeperStart, SessionSpec, Status, ToKeeper,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

/// How long the worker has to tell its DTU that the session is over.
const FAREWELL_WITHIN: Duration = Duration::from_millis(1500);
/// Messages of servers that may wait.
const SAID_MAX: usize = 16;

/// A session and all that runs for it.
pub struct Keeper {
    spec: SessionSpec,
    dir: PathBuf,
    x_server: XServer,
    desktop: DesktopCommand,
    /// The configured desktop, as long as the user's own has not proven good.
    desktop_else: Option<CommandLine>,
    services: Tending,
    worker: Worker,
    reset_key: [u8; 32],
    last: Option<Attachment>,
    /// What stands still, and what did not want to.
    frozen: Option<Frozen>,
    troubles: Troubles,
    standing: watch::Sender<Standing>,
    said: mpsc::Receiver<ToKeeper>,
}

impl Keeper {
    /// Prepares, waits until the session is wanted, and starts it.
    pub async fn start(start: KeeperStart, signals: &mut Signals) -> Result<Self, NotStarted> {
        let (mut spec, prepared) = preparing::prepare(start, signals).await?;
        let Prepared { port, mut x_server, mut worker, reset_key } = prepared;
        if std::mem::take(&mut spec.hold) {
            worker.tell(ToWorker::Go).await;
        }
        let started = async {
            let Chosen { spec, desktop_else, notice } = own_choice::read(&spec).await?;
            let socket = listen(&spec)?;
            bus::start(&spec, &x_server.display).await;
            let desktop = desktop_command::start(&spec, &x_server.display)?;
            Ok::<_, String>((spec, desktop_else, notice, socket, desktop))
        };
        let (spec, desktop_else, home, socket, desktop) = match started.await {
            Ok(started) => started,
            Err(text) => {
                worker.end().await;
                x_server.end().await;
                return Err(text.into());
            }
        };
        let troubles = Troubles { home, ..Troubles::default() };
        let mut services = Tending::new(spec.services.to_vec());
        services.begin(&spec, &x_server.display);
        let status = Status {
            session: spec.session,
            epoch: spec.epoch,
            token: spec.token.clone(),
            port,
            shown_on: None,
            connection: 0,
            services: services.statuses().collect(),
            frozen: false,
            trouble: troubles.text(),
        };
        let (standing, watching) = watch::channel(Standing { status, ended: None });
        let (said_to, said) = mpsc::channel(SAID_MAX);
        tokio::spawn(local_link::serve(socket, watching, said_to));
        let dir = PathBuf::from(&spec.runtime_dir);
        let (last, frozen) = (None, None);
        Ok(Keeper {
            spec,
            dir,
            x_server,
            desktop,
            desktop_else,
            services,
            worker,
            reset_key,
            last,
            frozen,
            troubles,
            standing,
            said,
        })
    }

    /// The display link's port.
    pub fn port(&self) -> u16 {
        self.standing.borrow().status.port
    }

    /// Keeps the session until it is over, and ends it.
    pub async fn keep(mut self, mut signals: Signals) {
        let text = self.mind(&mut signals).await;
        tracing::info!("the session is over: {text}");
        self.end(text).await;
    }

    /// Minds the session until it is over, and says why it is.
    async fn mind(&mut self, signals: &mut Signals) -> String {
        loop {
            tokio::select! {
                status = self.desktop.process().wait() => {
                    if let Some(text) = self.desktop_ended(status).await {
                        return text;
                    }
                }
                status = self.x_server.process.wait() => {
                    return x_server::died(status, &self.x_server.said).await;
                }
                event = self.worker.event() => self.worker_event(event).await,
                event = self.services.event() => {
                    self.services.happened(event, &self.spec, &self.x_server.display);
                }
                Some(message) = self.said.recv() => {
                    if let Some(text) = self.server_said(message).await {
                        return text;
                    }
                }
                () = signals.end() => return "the session was ended on its host".into(),
            }
            self.show_standing();
        }
    }

    /// The desktop is gone: why the session is over, if it is. A desktop of
    /// the user's own that does not work must not keep its user out.
    async fn desktop_ended(
        &mut self,
        status: std::io::Result<std::process::ExitStatus>,
    ) -> Option<String> {
        let young = self.desktop.is_young();
        let text = self.desktop.ended(status).await;
        let Some(configured) = self.desktop_else.take().filter(|_| young) else {
            return Some(text);
        };
        self.spec.desktop = configured;
        match desktop_command::start(&self.spec, &self.x_server.display) {
            Ok(desktop) => {
                self.desktop = desktop;
                self.troubles.desktop = format!("You have the usual desktop, because {text}");
                None
            }
            Err(_) => Some(text),
        }
    }

    async fn worker_event(&mut self, event: WorkerEvent) {
        match event {
            WorkerEvent::Said(FromWorker::Attachment(attachment)) => self.attached(attachment),
            WorkerEvent::Said(FromWorker::Finished) | WorkerEvent::Lives => {}
            WorkerEvent::Died => {
                if let Some(last) = self.last
                    && last.state == AttachmentState::Shown
                {
                    self.attached(Attachment { state: AttachmentState::Lost, ..last });
                }
            }
            WorkerEvent::Due => {
                let display = &self.x_server.display;
                let mut start =
                    preparing::worker_start(&self.spec, display, self.reset_key, self.last);
                start.frozen = self.frozen.is_some();
                self.worker.start(start).await;
            }
        }
        self.troubles.picture = self.worker.trouble().to_owned();
    }

    fn attached(&mut self, attachment: Attachment) {
        self.last = Some(attachment);
        if self.frozen.is_none() {
            let change = match attachment.state {
                AttachmentState::Shown => Change::Connected,
                AttachmentState::Lost | AttachmentState::Over => Change::Disconnected,
            };
            self.services.connected(change, &self.spec, &self.x_server.display);
        }
    }

    /// Tells servers how things stand, if that is not what they know.
    fn show_standing(&self) {
        self.standing.send_if_modified(|standing| {
            let before = standing.status.clone();
            let status = &mut standing.status;
            (status.session, status.epoch) = (self.spec.session, self.spec.epoch);
            if let Some(last) = self.last {
                let shown = last.state == AttachmentState::Shown;
                status.shown_on = shown.then_some(last.dtu);
                status.connection = last.connection;
            }
            status.services = self.services.statuses().collect();
            status.frozen = self.frozen.as_ref().is_some_and(|frozen| frozen.complete);
            status.trouble = self.troubles.text();
            *status != before
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
                self.services.order(&order, &self.spec, &self.x_server.display);
            }
            ToKeeper::Freeze(freeze) => self.freeze(freeze).await,
            ToKeeper::Become(becomes) => self.become_other(becomes).await,
            ToKeeper::Unknown(_) => {}
        }
        None
    }

    /// Detaches whoever shows the session, and makes its programs stand still.
    async fn freeze(&mut self, freeze: Freeze) {
        let mut frozen = self.frozen.take().unwrap_or_default();
        if !frozen.complete {
            tracing::warn!("the session was taken over with epoch {}: it is frozen", freeze.by);
            self.services.freeze(true, &self.spec, &self.x_server.display);
            self.worker.tell(ToWorker::Server(ToKeeper::Freeze(freeze))).await;
            let x_server = ending::pid_of(&self.x_server.process);
            let but: Vec<_> = x_server.into_iter().chain(self.worker.pid()).collect();
            frozen.freeze(&self.dir, &but).await;
            if !frozen.complete {
                tracing::warn!("some of the session's programs do not stand still yet");
            }
        }
        self.frozen = Some(frozen);
    }

    /// Goes on as another session.
    async fn become_other(&mut self, becomes: Become) {
        let Become { session, epoch, certificate, certificate_key } = becomes;
        if (session, epoch) == (self.spec.session, self.spec.epoch) {
            // Said again by a server that did not hear that it is done.
            return;
        }
        tracing::info!("the session goes on as {session} epoch {epoch}");
        self.spec =
            SessionSpec { session, epoch, certificate, certificate_key, ..self.spec.clone() };
        if let Err(text) = session_dir::write_identity(&self.dir, session, epoch) {
            // Servers ask the keeper.
            tracing::warn!("{text}");
        }
        // The next one speaks for the new session from its first word on.
        self.worker.replace().await;
        if let Some(last) = &mut self.last {
            last.state = AttachmentState::Over;
        }
        if let Some(frozen) = self.frozen.take() {
            frozen.thaw();
        }
        self.services.freeze(false, &self.spec, &self.x_server.display);
    }

    /// Ends everything: first whoever looks at it is told, then programs are
    /// asked, then all that is left is killed.
    async fn end(mut self, text: String) {
        self.worker.tell(ToWorker::Server(ToKeeper::End(End { text: text.clone() }))).await;
        // What is frozen does nothing any more, not even end in order: another
        // copy works in the same home.
        let mark = session_dir::mark(&self.dir);
        match self.frozen {
            Some(_) => ending::kill_marked(&mark).await,
            None => {
                self.services.ask_all();
                ending::ask_group(self.desktop.process());
            }
        }
        let _ = tokio::time::timeout(FAREWELL_WITHIN, async {
            while let WorkerEvent::Said(FromWorker::Attachment(attachment)) =
                self.worker.event().await
            {
                self.last = Some(attachment);
                self.show_standing();
            }
        })
        .await;
        self.worker.end().await;
        ending::end_group(self.desktop.process()).await;
        self.x_server.end().await;
        ending::kill_marked(&mark).await;
        cgroup::leave(&self.dir);
        if let Err(text) = ending::remove_dir(&self.dir) {
            tracing::warn!("{text}");
        }
        // Told last: whoever hears it finds nothing left.
        self.standing.send_modify(|standing| standing.ended = Some(text));
        let _ = tokio::time::timeout(FAREWELL_WITHIN, self.standing.closed()).await;
    }
}

/// Opens the socket by which servers find the session.
fn listen(spec: &SessionSpec) -> Result<UnixListener, String> {
    let socket = Path::new(&spec.runtime_dir).join(SOCKET);
    local_link::listen(&socket).map_err(|e| format!("cannot listen on {}: {e}", socket.display()))
}
