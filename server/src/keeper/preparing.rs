//! What is up before anybody hears of the session: its port, its X server, and
//! a worker that does not listen. A start that is held stops here until the
//! server wants the session; a warm one, until it is told which session it is.

use super::protocol::{Attachment, WorkerStart};
use super::random::random;
use super::session_dir;
use super::shell::Signals;
use super::start_link::{self, GivenUp, HELD_MAX, Orders};
use super::worker_process::Worker;
use super::x_server::{self, XServer};
use crate::desktop::{DesktopError, Display, layout, size};
use afterglow_link::quic::{LinkError, bind_udp};
use afterglow_wire::ids::Size;
use afterglow_wire::local::{KeeperStart, SessionSpec, Started};
use std::net::{SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// What nothing of the user's is needed for.
#[derive(Debug)]
pub struct Prepared {
    /// The display link's port.
    pub port: u16,
    /// The X server, with its first size and layout.
    pub x_server: XServer,
    /// The worker. If the start is held it waits to be told to go.
    pub worker: Worker,
    /// By which a new worker tells the DTUs of an old one that it is gone.
    pub reset_key: [u8; 32],
}

/// Why a session does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// What happened, to what, and what to do: for the user.
    Failed(String),
    /// It was held, and is not wanted.
    GivenUp(GivenUp),
}

impl From<String> for NotStarted {
    fn from(text: String) -> Self {
        NotStarted::Failed(text)
    }
}

impl From<GivenUp> for NotStarted {
    fn from(why: GivenUp) -> Self {
        NotStarted::GivenUp(why)
    }
}

/// Prepares the session and waits until it is wanted: gives it as it is then.
/// If that comes to nothing no process is left.
pub async fn prepare(
    start: KeeperStart,
    signals: &mut Signals,
) -> Result<(SessionSpec, Prepared), NotStarted> {
    let place = Place::of(&start);
    let udp = bind_display_port(&place)?;
    let port = udp.local_addr().map_err(|e| format!("cannot use the UDP socket: {e}"))?.port();
    let reset_key = random()?;
    let mut worker = Worker::new(udp);
    let dir = place.dir.clone();
    let (mut process, said, starting) = x_server::spawn(&dir, place.size_max)?;
    let (tell, told) = oneshot::channel();
    let wanted = wanted(&start, tell);
    let prepared = async {
        if matches!(start, KeeperStart::Warm(_)) {
            worker.get_ready();
        }
        let display = starting.ready().await?;
        let report = || {
            let told = start_link::report(&Started::Prepared);
            told.map_err(|error| GivenUp::ServerGone(format!("{error:#}")))
        };
        let spec = match start {
            KeeperStart::Session(ref spec) => (**spec).clone(),
            KeeperStart::Warm(_) => {
                report()?;
                told.await.map_err(|_| GivenUp::Discarded)?
            }
        };
        if Path::new(&spec.runtime_dir) != dir {
            return Err(format!("{} is not this session's directory", spec.runtime_dir).into());
        }
        session_dir::write_identity(&dir, spec.session, spec.epoch)?;
        // It takes longer than the rest, and knows what to do with a screen
        // that changes.
        worker.start(worker_start(&spec, &display, reset_key, None)).await;
        set_up(&spec, display.clone()).await?;
        if spec.hold && matches!(start, KeeperStart::Session(_)) {
            report()?;
        }
        Ok::<_, NotStarted>((spec, display))
    };
    let prepared = tokio::select! {
        // What the X server said before it died is worth more than its status.
        biased;
        // At the same time, for an order may come at any time, and a start
        // that is given up has not to be prepared first.
        both = async { tokio::try_join!(prepared, wanted) } => both.map(|(prepared, ())| prepared),
        status = process.wait() => Err(x_server::died(status, &said).await.into()),
        () = signals.end() => Err("the session was ended on its host".to_owned().into()),
    };
    match prepared {
        Ok((spec, display)) => {
            let x_server = XServer { display, process, said };
            Ok((spec, Prepared { port, x_server, worker, reset_key }))
        }
        Err(why) => {
            worker.end().await;
            x_server::end(&mut process).await;
            Err(why)
        }
    }
}

/// What is known before it is known which session it will be.
#[derive(Debug)]
struct Place {
    dir: PathBuf,
    size_max: Size,
    listen: SocketAddrV4,
    port_last: u16,
}

impl Place {
    fn of(start: &KeeperStart) -> Self {
        let (dir, size_max, listen, port_last) = match start {
            KeeperStart::Session(s) => (&s.runtime_dir, s.size_max, s.listen, s.port_last),
            KeeperStart::Warm(w) => (&w.runtime_dir, w.size_max, w.listen, w.port_last),
        };
        Place { dir: dir.into(), size_max, listen, port_last }
    }
}

/// Waits for the orders that this start takes, and tells what a warm keeper
/// is to be. They are read from now on.
fn wanted(
    start: &KeeperStart,
    tell: oneshot::Sender<SessionSpec>,
) -> impl Future<Output = Result<(), NotStarted>> + use<> {
    let (warm, hold) = match start {
        KeeperStart::Session(spec) => (false, spec.hold),
        KeeperStart::Warm(_) => (true, false),
    };
    let orders = (warm || hold).then(Orders::read);
    async move {
        let Some(mut orders) = orders else { return Ok(()) };
        let mut hold = hold;
        if warm {
            let spec = orders.be().await?;
            hold = spec.hold;
            // If nobody waits for it the other side says why.
            let _ = tell.send(spec);
        }
        match hold {
            true => Ok(orders.go(HELD_MAX).await?),
            false => Ok(()),
        }
    }
}

/// What a worker has to know to begin where the one before it ended.
pub fn worker_start(
    spec: &SessionSpec,
    display: &Display,
    reset_key: [u8; 32],
    last: Option<Attachment>,
) -> WorkerStart {
    let (spec, display) = (spec.clone(), display.clone());
    WorkerStart { spec, display, reset_key, last, frozen: false }
}

/// The first free port of the range.
fn bind_display_port(spec: &Place) -> Result<UdpSocket, String> {
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
async fn set_up(spec: &SessionSpec, display: Display) -> Result<(), String> {
    let (first_size, keymap) = (spec.size, spec.keymap.clone());
    let set_up = tokio::task::spawn_blocking(move || {
        let connection = display.connect()?;
        size::change(&connection, first_size)?;
        if let Err(error) = layout::load(&connection, &display, &keymap) {
            tracing::warn!("{error}");
            layout::stop_repeat(&connection)?;
        }
        Ok(())
    });
    match set_up.await {
        Ok(result) => result.map_err(|error: DesktopError| error.to_string()),
        Err(_) => Err("the X server could not be prepared".into()),
    }
}
