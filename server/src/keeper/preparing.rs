//! What is up before anybody hears of the session: its port, its X server, and
//! a worker that does not listen. A start that is held stops here until the
//! server wants the session; a warm one has a port and an X server, and waits to
//! be told which session it is.

use super::output::Tail;
use super::program::mark_of;
use super::protocol::{Attachment, WorkerStart};
use super::random::random;
use super::shell::Signals;
use super::start_link::{self, GivenUp, HELD_MAX, Order};
use super::worker_process::Worker;
use super::x_server::{self, XServer};
use crate::desktop::{DesktopError, Display, layout, size};
use afterglow_link::quic::{LinkError, bind_udp};
use afterglow_wire::local::{SessionSpec, Started, WarmSpec};
use std::net::{SocketAddrV4, UdpSocket};
use std::path::Path;
use tokio::process::Child;

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

/// An X server that starts or waits, with the port that goes with it.
#[derive(Debug)]
pub struct Begun {
    udp: UdpSocket,
    port: u16,
    process: Child,
    said: Tail,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Starting(x_server::Starting),
    Ready(Display),
}

impl Stage {
    async fn ready(self) -> Result<Display, String> {
        match self {
            Stage::Starting(starting) => starting.ready().await,
            Stage::Ready(display) => Ok(display),
        }
    }
}

/// Binds the first free port, and starts the X server.
pub fn begin(warm: &WarmSpec) -> Result<Begun, String> {
    let udp = bind_display_port(warm.listen, warm.port_last)?;
    let port = udp.local_addr().map_err(|e| format!("cannot use the UDP socket: {e}"))?.port();
    let dir = Path::new(&warm.runtime_dir);
    let (process, said, starting) = x_server::spawn(dir, warm.size_max, &mark_of(dir))?;
    Ok(Begun { udp, port, process, said, stage: Stage::Starting(starting) })
}

/// Waits, with an X server that is up, for the session that it is for. If that
/// comes to nothing no process is left.
pub async fn wait_warm(
    begun: Begun,
    signals: &mut Signals,
) -> Result<(Begun, SessionSpec), NotStarted> {
    let Begun { udp, port, mut process, said, stage } = begun;
    let order = start_link::read_order();
    let waited = async {
        let display = stage.ready().await?;
        let told = start_link::report(&Started::Prepared);
        told.map_err(|error| GivenUp::ServerGone(format!("{error:#}")))?;
        Ok::<_, NotStarted>((display, start_link::identity(order).await?))
    };
    let waited = tokio::select! {
        biased;
        waited = waited => waited,
        status = process.wait() => Err(x_server::died(status, &said).into()),
        () = signals.end() => Err(GivenUp::Discarded.into()),
    };
    match waited {
        Ok((display, spec)) => {
            let stage = Stage::Ready(display);
            Ok((Begun { udp, port, process, said, stage }, spec))
        }
        Err(why) => {
            x_server::end(&mut process).await;
            Err(why)
        }
    }
}

/// Prepares the session and waits until it is wanted. If that comes to nothing
/// no process is left.
pub async fn prepare(
    spec: &SessionSpec,
    begun: Begun,
    order: Option<Order>,
    signals: &mut Signals,
) -> Result<Prepared, NotStarted> {
    let Begun { udp, port, mut process, said, stage } = begun;
    let mut worker = Worker::new(udp);
    let prepared = async {
        let reset_key = random()?;
        let display = stage.ready().await?;
        // It takes longer than the rest, and knows what to do with a screen
        // that changes.
        worker.start(worker_start(spec, &display, reset_key, None)).await;
        set_up(spec, display.clone()).await?;
        if spec.hold {
            let told = start_link::report(&Started::Prepared);
            told.map_err(|error| GivenUp::ServerGone(format!("{error:#}")))?;
        }
        Ok::<_, NotStarted>((display, reset_key))
    };
    // At the same time, for the order may come at any time, and a start that
    // is given up has not to be prepared first.
    let wanted = async { start_link::wanted(order, HELD_MAX).await.map_err(NotStarted::from) };
    let display = tokio::select! {
        // What the X server said before it died is worth more than its status.
        biased;
        both = async { tokio::try_join!(prepared, wanted) } => both.map(|(display, ())| display),
        status = process.wait() => Err(x_server::died(status, &said).into()),
        () = signals.end() => Err("the session was ended on its host".to_owned().into()),
    };
    match display {
        Ok((display, reset_key)) => {
            let x_server = XServer { display, process, said };
            Ok(Prepared { port, x_server, worker, reset_key })
        }
        Err(why) => {
            worker.end().await;
            x_server::end(&mut process).await;
            Err(why)
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
    WorkerStart { spec: spec.clone(), display: display.clone(), reset_key, last }
}

/// The first free port of the range.
fn bind_display_port(listen: SocketAddrV4, port_last: u16) -> Result<UdpSocket, String> {
    let first = listen.port();
    for port in first..=port_last.max(first) {
        match bind_udp(SocketAddrV4::new(*listen.ip(), port)) {
            Ok(socket) => return Ok(socket),
            Err(LinkError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!(
        "no UDP port from {first} to {} is free for the session: end other sessions, or widen \
         `session_ports` in the server's configuration",
        port_last
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
