//! The loop that feeds the core and does what it says.

use super::core::{About, Action, Core, LinkId, Now};
use super::links::{LinkEvent, Links, Outbox};
use super::painter::{Made, Painter, Resting, Work};
use super::typist::{Order, Told, TooFast, Typist};
use crate::keeper::protocol::{FromWorker, ToWorker, WorkerStart};
use crate::keeper::{ending, session_dir};
use afterglow_link::certificates::{Credentials, group_of};
use afterglow_link::quic::{Liveness, accepting_endpoint};
use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_link::tls;
use afterglow_wire::display::{ALPN, FromSession};
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::GroupId;
use afterglow_wire::trust::TicketVerifier;
use anyhow::{Context as _, bail};
use std::collections::HashMap;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// Link events that may wait; a link that says more waits itself.
const EVENTS_MAX: usize = 64;
/// How many closed links are logged in a second.
const LOGGED_A_SECOND: u32 = 10;

/// Serves a session's display link until the keeper or the X server goes.
/// Standard input is the socket to the keeper, standard output the UDP socket.
pub fn run() -> anyhow::Result<()> {
    let inherited = |what: &str, fd: std::io::Result<OwnedFd>| {
        fd.with_context(|| format!("cannot use the inherited {what}"))
    };
    let keeper = inherited("keeper socket", std::io::stdin().as_fd().try_clone_to_owned())?;
    let udp = inherited("UDP socket", std::io::stdout().as_fd().try_clone_to_owned())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(keeper.into(), udp.into()))
}

async fn serve(keeper: std::os::unix::net::UnixStream, udp: UdpSocket) -> anyhow::Result<()> {
    keeper.set_nonblocking(true).context("cannot use the keeper socket")?;
    let (reading, writing) =
        UnixStream::from_std(keeper).context("cannot use the keeper socket")?.into_split();
    let mut from_keeper = MessageReader::new(reading);
    let start = match from_keeper.next().await.context("the keeper")? {
        Some(ToWorker::Start(start)) => start,
        Some(_) => bail!("the keeper's first message is not the start"),
        // It was started in advance, and is not wanted.
        None => return Ok(()),
    };
    let dir = PathBuf::from(&start.spec.runtime_dir);
    let ready = Ready::new(*start)?;
    let end = match ready.held && !go(&mut from_keeper).await? {
        true => End::KeeperGone,
        false => {
            let to_keeper = MessageWriter::new(writing);
            Worker::start(ready, udp, from_keeper, to_keeper)?.work().await?
        }
    };
    if end == End::KeeperGone {
        // Nobody is left to mind the session, and nobody can reach it.
        tracing::error!("the keeper is gone: the session is ended");
        ending::kill_marked(&session_dir::mark(&dir)).await;
        if let Err(text) = ending::remove_dir(&dir) {
            tracing::warn!("{text}");
        }
    }
    Ok(())
}

/// Waits until a start that is held goes on; false if the keeper dies first.
async fn go(from_keeper: &mut MessageReader<OwnedReadHalf, ToWorker>) -> anyhow::Result<bool> {
    match from_keeper.next().await {
        Ok(Some(ToWorker::Go)) => Ok(true),
        Ok(Some(_)) => bail!("the keeper tells a held worker something else than to go"),
        Ok(None) | Err(StreamError::Io(_)) => Ok(false),
        Err(error) => Err(error).context("the keeper"),
    }
}

/// How a worker's work ends in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session is over.
    Finished,
    /// The keeper died.
    KeeperGone,
}

struct Worker {
    core: Core,
    began: Instant,
    endpoint: quinn::Endpoint,
    from_keeper: MessageReader<OwnedReadHalf, ToWorker>,
    to_keeper: MessageWriter<OwnedWriteHalf, FromWorker>,
    links: Links,
    link_events: mpsc::Receiver<LinkEvent>,
    outboxes: HashMap<LinkId, Outbox>,
    painter: Painter,
    made: mpsc::UnboundedReceiver<Made>,
    typist: Typist,
    told: mpsc::UnboundedReceiver<Told>,
    closings: ClosingsLog,
}

/// All that a worker can get ready before anybody may see it.
struct Ready {
    held: bool,
    group: GroupId,
    tls: quinn::rustls::ServerConfig,
    reset_key: [u8; 32],
    core: Core,
    began: Instant,
    painter: Painter,
    made: mpsc::UnboundedReceiver<Made>,
    typist: Typist,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Ready {
    fn new(start: WorkerStart) -> anyhow::Result<Self> {
        let WorkerStart { spec, display, reset_key, last, frozen } = start;
        let (told_to, told) = mpsc::unbounded_channel();
        let (typist, position) = Typist::start(display.clone(), told_to)?;
        let (made_to, made) = mpsc::unbounded_channel();
        let painter = Painter::start(&display, spec.size_max, spec.quality, made_to)?;

        let credentials =
            Credentials::from_der(&spec.certificate.0, &spec.certificate_key.0, &spec.authority.0);
        let group = group_of(&spec.authority.0.to_vec().into())?;
        let tls = tls::server_config(&credentials, ALPN)?;
        let about = About {
            session: spec.session,
            epoch: spec.epoch,
            token: spec.token,
            verifier: TicketVerifier(spec.ticket_key),
            size_max: spec.size_max,
            quality: spec.quality,
            guards: Guards::ALL,
        };
        let began = Instant::now();
        let mut core = Core::new(about, spec.clocks, last, position, now(began));
        if frozen {
            core.freeze();
        }
        let held = spec.hold;
        Ok(Ready { held, group, tls, reset_key, core, began, painter, made, typist, told })
    }
}

impl Worker {
    fn start(
        ready: Ready,
        udp: UdpSocket,
        from_keeper: MessageReader<OwnedReadHalf, ToWorker>,
        to_keeper: MessageWriter<OwnedWriteHalf, FromWorker>,
    ) -> anyhow::Result<Self> {
        let Ready { group, tls, reset_key, core, began, painter, made, typist, told, .. } = ready;
        let endpoint = accepting_endpoint(udp, tls, Liveness::DISPLAY, Some(reset_key))?;
        let (events, link_events) = mpsc::channel(EVENTS_MAX);
        Ok(Worker {
            core,
            began,
            endpoint,
            from_keeper,
            to_keeper,
            links: Links::new(group, events),
            link_events,
            outboxes: HashMap::new(),
            painter,
            made,
            typist,
            told,
            closings: ClosingsLog::default(),
        })
    }

    async fn work(&mut self) -> anyhow::Result<End> {
        loop {
            while let Some(action) = self.core.poll() {
                if self.act(action).await {
                    return Ok(End::Finished);
                }
            }
            let deadline = self.core.deadline_ms();
            let deadline = deadline.map(|ms| self.began + Duration::from_millis(ms));
            tokio::select! {
                biased;
                // Due at most every 100 ms, so nothing below is kept waiting;
                // below, a busy session would be silent.
                () = sleep_until(deadline) => self.core.tick(now(self.began)),
                Some(event) = self.link_events.recv() => self.link_event(event),
                Some(told) = self.told.recv() => {
                    let done = told.context("input")?;
                    if let Some(link) = self.core.input_link()
                        && let Some(outbox) = self.outboxes.get(&link)
                    {
                        outbox.input_done(done);
                    }
                }
                Some(made) = self.made.recv() => {
                    self.painted(made.context("capture")?);
                }
                message = self.from_keeper.next() => match message {
                    Ok(Some(ToWorker::Server(message))) => self.core.server_said(message),
                    Ok(Some(ToWorker::Start(_) | ToWorker::Go)) => {
                        bail!("the keeper started this worker twice")
                    }
                    Ok(None) | Err(StreamError::Io(_)) => return Ok(End::KeeperGone),
                    Err(error) => return Err(error).context("the keeper"),
                },
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => {
                        if let Some(link) = self.links.accept(incoming) {
                            self.gone(link, "too many connections: the oldest has to go");
                        }
                    }
                    None => bail!("the UDP socket is gone"),
                },
            }
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened(link, peer, outbox) => {
                self.outboxes.insert(link, outbox);
                self.core.opened(link, peer);
            }
            LinkEvent::Message(link, message) => {
                self.core.message(link, message, now(self.began));
            }
            LinkEvent::Garbage(link, why) => self.core.protocol_error(link, why),
            LinkEvent::Closed(link, why) => self.gone(link, &why),
        }
    }

    fn gone(&mut self, link: LinkId, why: &str) {
        self.closings.log(link, why);
        self.outboxes.remove(&link);
        self.core.closed(link, now(self.began));
    }

    fn send(
        &mut self,
        link: LinkId,
        send: impl FnOnce(&Outbox) -> Result<(), super::links::Stuck>,
    ) {
        let Some(outbox) = self.outboxes.get(&link) else { return };
        if let Err(stuck) = send(outbox) {
            self.gone(link, &stuck.to_string());
        }
    }

    fn painted(&mut self, work: Work) {
        match work {
            Work::Frame(frame) => {
                if let Some(link) = self.core.frame(frame.attachment, now(self.began)) {
                    self.send(link, |outbox| outbox.send_parts(frame.parts));
                }
            }
            Work::Resting(Resting { attachment, frame, size, blocks }) => {
                if let Some((link, truth)) = self.core.truth(attachment, frame, size, blocks) {
                    self.send(link, |outbox| outbox.send(&truth.into()));
                }
            }
        }
    }

    /// Does what the core says; true at the end.
    async fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Send(link, message) => self.send(link, |outbox| outbox.send(&message)),
            Action::SayAlive(link, alive) => {
                if let Some(outbox) = self.outboxes.get(&link) {
                    outbox.alive(alive);
                }
            }
            Action::Close { link, farewell, why } => {
                if let Some(outbox) = self.outboxes.remove(&link) {
                    self.closings.log(link, &why);
                    // If the peer is stuck, dropping the outbox closes too.
                    let _ = outbox.close(farewell.map(FromSession::from));
                }
            }
            Action::Admit(link) => self.links.admit(link),
            Action::Report(attachment) => {
                tracing::info!(
                    number = attachment.number,
                    dtu = ?attachment.dtu,
                    state = ?attachment.state,
                    "attachment"
                );
                // If it is gone, reading from it tells.
                let _ = self.to_keeper.send(FromWorker::Attachment(attachment)).await;
            }
            Action::Show { attachment, size } => self.painter.show(attachment, size),
            Action::Hide => self.painter.hide(),
            Action::FrameShown { attachment, number } => self.painter.shown(attachment, number),
            Action::Repair { attachment, blocks } => self.painter.repair(attachment, &blocks),
            Action::Diagnose { attachment, on } => self.painter.diagnose(attachment, on),
            Action::Resize(size) => self.painter.resize(size),
            Action::SetQuality(quality) => self.painter.set_quality(quality),
            Action::Layout(keymap) => {
                let passed = self.typist.try_order(Order::Layout(keymap));
                self.typed(passed);
            }
            Action::Type { first, events } => {
                let passed = self.typist.try_order(Order::Type(first, events));
                self.typed(passed);
            }
            Action::BeginInput(position) => self.typist.order(Order::Begin(position)),
            Action::ReleaseAll => self.typist.order(Order::ReleaseAll),
            Action::Finish => {
                self.links.finish().await;
                let _ = self.to_keeper.send(FromWorker::Finished).await;
                return true;
            }
        }
        false
    }

    fn typed(&mut self, passed: Result<(), TooFast>) {
        if let (Err(error), Some(link)) = (passed, self.core.input_link()) {
            self.core.protocol_error(link, error.to_string());
        }
    }
}

fn now(began: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { steady_ms: began.elapsed().as_millis() as u64, wall_ms: wall.as_millis() as u64 }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Logs each closed link once, and of a flood only a few a second.
#[derive(Debug)]
struct ClosingsLog {
    second: Instant,
    logged: u32,
    left_out: u64,
}

impl Default for ClosingsLog {
    fn default() -> Self {
        ClosingsLog { second: Instant::now(), logged: 0, left_out: 0 }
    }
}

impl ClosingsLog {
    fn log(&mut self, link: LinkId, why: &str) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.left_out > 0 {
                tracing::info!("{} more links were closed", self.left_out);
            }
            *self = ClosingsLog::default();
        }
        if self.logged >= LOGGED_A_SECOND {
            self.left_out += 1;
            return;
        }
        self.logged += 1;
        tracing::info!(link, "link closed: {why}");
    }
}
