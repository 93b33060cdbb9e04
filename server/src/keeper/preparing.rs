//! What is up before anybody hears of the session: its port and its X server.
//! A start that is held stops here until the server wants the session.

use super::desktop_command::session_mark;
use super::shell::Signals;
use super::start_link::{self, GivenUp, HELD_MAX, Order};
use super::x_server::{self, Starting, XServer};
use crate::desktop::{DesktopError, Display, layout, size};
use afterglow_link::quic::{LinkError, bind_udp};
use afterglow_wire::local::{SessionSpec, Started};
use std::net::{SocketAddrV4, UdpSocket};
use std::path::Path;

/// What nothing of the user's is needed for.
#[derive(Debug)]
pub struct Prepared {
    /// The display link's socket, which nobody listens on yet.
    pub udp: UdpSocket,
    /// Its port.
    pub port: u16,
    /// The X server, with its first size and layout.
    pub x_server: XServer,
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

/// Prepares the session and waits until it is wanted. If that comes to nothing
/// no process is left.
pub async fn prepare(
    spec: &SessionSpec,
    order: Option<Order>,
    signals: &mut Signals,
) -> Result<Prepared, NotStarted> {
    let udp = bind_display_port(spec)?;
    let port = udp.local_addr().map_err(|e| format!("cannot use the UDP socket: {e}"))?.port();
    let dir = Path::new(&spec.runtime_dir);
    let (mut process, said, starting) = x_server::spawn(dir, spec.size_max, &session_mark(spec))?;
    let prepared = tokio::select! {
        // What the X server said before it died is worth more than its status.
        biased;
        prepared = prepare_and_wait(spec, starting, order) => prepared,
        status = process.wait() => Err(x_server::died(status, &said).into()),
        () = signals.end() => Err("the session was ended on its host".to_owned().into()),
    };
    match prepared {
        Ok(display) => Ok(Prepared { udp, port, x_server: XServer { display, process, said } }),
        Err(why) => {
            x_server::end(&mut process).await;
            Err(why)
        }
    }
}

/// Prepares and waits at the same time: the order may come at any time, and a
/// start that is given up has not to be prepared first.
async fn prepare_and_wait(
    spec: &SessionSpec,
    starting: Starting,
    order: Option<Order>,
) -> Result<Display, NotStarted> {
    let prepared = async {
        let display = starting.ready().await?;
        set_up(spec, display.clone()).await?;
        if spec.hold {
            let told = start_link::report(&Started::Prepared);
            told.map_err(|error| GivenUp::ServerGone(format!("{error:#}")))?;
        }
        Ok::<_, NotStarted>(display)
    };
    let wanted = async { start_link::wanted(order, HELD_MAX).await.map_err(NotStarted::from) };
    let (display, ()) = tokio::try_join!(prepared, wanted)?;
    Ok(display)
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
