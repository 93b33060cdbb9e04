//! The network thread: the shell around the connection logic.
//!
//! It waits for whatever happens next, on links, window, token source, signals
//! and the clock, tells [`Connection`], and does what that decides. It never
//! waits for a reader, a disk or a peer: those have tasks and threads of their
//! own, behind bounded queues.

mod discovery;
mod hearing;
mod interfaces;
mod lease;
mod links;
mod server_list;
mod srv;

use crate::connection::{Action, Config, Connection, Event, LinkId};
use crate::event_log::EventLog;
use crate::state_dir::{StateDir, StateError};
use crate::token::card::CardWatch;
use crate::token::{self, Choice, Source};
use crate::view::{Ask, FromWindow, ToWindow};
use afterglow_link::certificates::Credentials;
use afterglow_link::quic::{LinkError, Liveness, connect, opening_endpoint};
use afterglow_link::tls::{Accept, client_config};
use afterglow_wire::control::ToServer;
use afterglow_wire::display::ToSession;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::GroupId;
use afterglow_wire::{control, display};
use discovery::Discovery;
use links::{ControlLink, DisplayLink, LinkHandle};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often the network interfaces are looked at.
const NETWORK_CHECK: Duration = Duration::from_secs(1);
/// How long the last messages and log lines may take at the end.
const FAREWELL: Duration = Duration::from_millis(700);
/// Beyond this delay the clock is served before what still waits. It is longer
/// than what counts as a standstill of our own.
const TICK_LATE_MS_MAX: u64 = 200;

/// What the network thread works with.
#[derive(Debug)]
pub struct Options {
    /// `--server HOST[:PORT]`, as given.
    pub servers: Vec<String>,
    /// `--group`: the only group to be accepted.
    pub group: Option<GroupId>,
    /// `--group-port`: where the servers' group messages go.
    pub group_port: u16,
    /// `--token`.
    pub token: Choice,
    /// `--reader`: a part of the reader's name.
    pub reader: Option<String>,
    /// What people call this DTU: its host's name.
    pub dtu_name: String,
    /// The DTU's key and what it remembers.
    pub state: StateDir,
    /// Where events go.
    pub event_log: EventLog,
}

/// Why the network thread cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot use the state folder: {0}")]
    State(#[from] StateError),
    #[error("cannot use the network: {0}")]
    Link(#[from] LinkError),
    #[error("cannot start the network thread: {0}")]
    Io(#[from] std::io::Error),
    #[error("the system gives no random numbers")]
    Random,
}

type Window = Box<dyn Fn(ToWindow) + Send + Sync>;

/// Starts the network thread. It ends when the window is closed or a signal
/// asks for it, and has then told the window to quit.
pub fn spawn(
    options: Options,
    window: Window,
    from_window: mpsc::Receiver<FromWindow>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.map_err(StartError::from).and_then(|runtime| {
            let result = runtime.block_on(run(options, &window, from_window));
            runtime.shutdown_timeout(FAREWELL);
            result
        });
        if let Err(error) = result {
            eprintln!("afterglow: {error}");
            window(ToWindow::Quit);
        }
    })
}

/// The queues through which everything comes to the connection logic.
struct Inbox {
    control: mpsc::Receiver<Event>,
    display: mpsc::Receiver<Event>,
    found: mpsc::Receiver<Event>,
    heard: mpsc::Receiver<Event>,
    token: mpsc::Receiver<token::Event>,
    window: mpsc::Receiver<FromWindow>,
    screenshot: Signal,
    toggle: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What comes next.
enum Next {
    Event(Event),
    Token(token::Event),
    Screenshot,
    CheckNetwork,
}

impl Inbox {
    /// Waits for what comes next; what takes the picture away goes first. The
    /// clock comes after the links, so that nobody is found silent whose words
    /// wait here, and before the search, where strangers may say much.
    async fn next(&mut self, wake: Option<Instant>, check: Instant) -> Next {
        let wake = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Next::Event(Event::Quit { reason: "SIGTERM" }),
            _ = self.interrupt.recv() => Next::Event(Event::Quit { reason: "SIGINT" }),
            Some(event) = self.token.recv() => Next::Token(event),
            event = self.window.recv() => {
                Next::Event(Event::Window(event.unwrap_or(FromWindow::Closed)))
            }
            _ = self.toggle.recv() => {
                Next::Event(Event::Window(FromWindow::Ask(Ask::ToggleCard)))
            }
            Some(event) = self.control.recv() => Next::Event(event),
            Some(event) = self.display.recv() => Next::Event(event),
            () = wake => Next::Event(Event::Tick),
            _ = self.screenshot.recv() => Next::Screenshot,
            Some(event) = self.found.recv() => Next::Event(event),
            () = tokio::time::sleep_until(check) => Next::CheckNetwork,
            Some(event) = self.heard.recv() => Next::Event(event),
        }
    }
}

/// Does what the connection logic decides.
struct Shell<'a> {
    window: &'a Window,
    event_log: EventLog,
    state: Arc<Mutex<StateDir>>,
    credentials: Arc<Credentials>,
    endpoint: quinn::Endpoint,
    tasks: JoinSet<()>,
    control: HashMap<LinkId, LinkHandle<ToServer>>,
    display: HashMap<LinkId, LinkHandle<ToSession>>,
    control_events: mpsc::Sender<Event>,
    display_events: mpsc::Sender<Event>,
    discovery: Discovery,
    source: Source,
    card: Option<CardWatch>,
    /// News of our own making.
    own: VecDeque<Event>,
    ended: bool,
}

async fn run(
    options: Options,
    window: &Window,
    from_window: mpsc::Receiver<FromWindow>,
) -> Result<(), StartError> {
    let Options { servers, group, group_port, token, reader, dtu_name, mut state, event_log } =
        options;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StartError::Random)?;
    let [seed, nonce] = [0, 8].map(|at| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&random[at..at + 8]);
        u64::from_le_bytes(bytes)
    });
    let (dtu, credentials) = state.credentials()?;
    let mut connection = Connection::new(Config {
        dtu_name,
        group,
        known_groups: state.groups(),
        remembered: state.servers(),
        servers_listed: !servers.is_empty(),
        pseudo_offered: token == Choice::Card,
        insert_base: state.reserve_inserts()?,
        jitter_seed: seed,
        guards: Guards::ALL,
    });
    let (control_events, control) = mpsc::channel(64);
    let (display_events, display) = mpsc::channel(16);
    let (found_events, found) = mpsc::channel(64);
    let (heard_events, heard) = mpsc::channel(64);
    let (token_events, token_inbox) = mpsc::channel(16);
    let (source, first) = Source::new(token, dtu);
    let card = source.needs_reader().then(|| CardWatch::start(reader, token_events));
    let mut inbox = Inbox {
        control,
        display,
        found,
        heard,
        token: token_inbox,
        window: from_window,
        screenshot: signal(SignalKind::user_defined1())?,
        toggle: signal(SignalKind::user_defined2())?,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let mut shell = Shell {
        window,
        event_log,
        state: Arc::new(Mutex::new(state)),
        credentials: Arc::new(credentials),
        endpoint: opening_endpoint()?,
        tasks: JoinSet::new(),
        control: HashMap::new(),
        display: HashMap::new(),
        control_events,
        display_events,
        discovery: Discovery::new(&servers, nonce, group_port, found_events, heard_events),
        source,
        card,
        own: first.into_iter().map(Event::Token).collect(),
        ended: false,
    };
    shell.serve(&mut connection, &mut inbox).await;
    shell.end().await;
    Ok(())
}

impl Shell<'_> {
    async fn serve(&mut self, connection: &mut Connection, inbox: &mut Inbox) {
        let started = Instant::now();
        let now_ms = || started.elapsed().as_millis() as u64;
        let mut check = started;
        while !self.ended {
            while let Some(event) = self.own.pop_front() {
                if let Event::ControlFailed { link, .. } | Event::ControlClosed { link, .. } =
                    &event
                {
                    self.control.remove(link);
                }
                let actions = connection.handle(now_ms(), event);
                self.perform(actions).await;
            }
            if self.ended {
                break;
            }
            let wake_ms = connection.wake_ms();
            if wake_ms.is_some_and(|wake_ms| now_ms() > wake_ms + TICK_LATE_MS_MAX) {
                self.own.push_back(Event::Tick);
            }
            let wake = wake_ms.map(|wake_ms| started + Duration::from_millis(wake_ms));
            match inbox.next(wake, check).await {
                Next::Event(event) => self.own.push_back(event),
                Next::Token(event) => {
                    let told = self.source.reader_says(event);
                    self.own.extend(told.into_iter().map(Event::Token));
                }
                Next::Screenshot => (self.window)(ToWindow::Screenshot),
                Next::CheckNetwork => {
                    check = Instant::now() + NETWORK_CHECK;
                    let up = self.discovery.network_is_up();
                    self.own.push_back(Event::Network { up });
                    self.own.push_back(Event::Addresses(self.discovery.addresses()));
                }
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    async fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Resolve => self.discovery.resolve(),
                Action::AskSite => self.discovery.ask_site(),
                Action::SendServerQ => self.discovery.ask().await,
                Action::OpenControl { link, address, group } => {
                    self.open_control(link, address, group);
                }
                Action::CloseControl { link, reason } => {
                    if let Some(handle) = self.control.remove(&link) {
                        handle.close(reason);
                    }
                }
                Action::SendControl { link, message } => self.send_control(link, message),
                Action::OpenDisplay { link, endpoint, group, session, epoch } => {
                    let accept = Accept::Session { group, id: session, epoch };
                    let connecting =
                        self.connect(endpoint, accept, display::ALPN, Liveness::DISPLAY);
                    let events = self.display_events.clone();
                    let handle =
                        links::open::<DisplayLink>(&mut self.tasks, link, connecting, events);
                    self.display.insert(link, handle);
                }
                Action::CloseDisplay { link, reason } => {
                    if let Some(handle) = self.display.remove(&link) {
                        handle.close(reason);
                    }
                }
                Action::SendDisplay { link, message } => self.send_display(link, message),
                Action::MeasureLink { link } => {
                    if let Some(measured) = self.display.get(&link).and_then(LinkHandle::measure) {
                        (self.window)(ToWindow::LinkMeasured(measured));
                    }
                }
                Action::ToWindow(message) => (self.window)(message),
                Action::Log(event) => self.event_log.log(&event),
                Action::RememberGroup(group) => {
                    self.remember(move |state| state.remember_group(group));
                }
                Action::RememberServers(servers) => {
                    self.remember(move |state| state.remember_servers(&servers));
                }
                Action::ReadTokenAgain => self.read_token_again(),
                Action::ToggleCard => {
                    let told = self.source.toggle();
                    self.own.extend(told.into_iter().map(Event::Token));
                }
                Action::UsePseudo => {
                    let told = self.source.use_pseudo();
                    self.own.extend(told.into_iter().map(Event::Token));
                }
                Action::Quit => self.ended = true,
            }
        }
    }

    fn connect(
        &self,
        address: SocketAddrV4,
        accept: Accept,
        alpn: &'static [u8],
        liveness: Liveness,
    ) -> impl Future<Output = Result<quinn::Connection, LinkError>> + Send + 'static {
        let (endpoint, credentials) = (self.endpoint.clone(), self.credentials.clone());
        async move {
            let tls = client_config(&credentials, accept, alpn)?;
            connect(&endpoint, address, tls, liveness).await
        }
    }

    fn open_control(&mut self, link: LinkId, address: SocketAddrV4, group: Option<GroupId>) {
        let accept = Accept::AnyServer { group };
        let connecting = self.connect(address, accept, control::ALPN, Liveness::CONTROL);
        let events = self.control_events.clone();
        let handle = links::open::<ControlLink>(&mut self.tasks, link, connecting, events);
        self.control.insert(link, handle);
    }

    fn send_control(&mut self, link: LinkId, message: ToServer) {
        let Some(handle) = self.control.get(&link) else { return };
        if !handle.send(message) {
            self.control.remove(&link);
            let why = "it does not read what this DTU sends".into();
            self.own.push_back(Event::ControlClosed { link, why });
        }
    }

    fn send_display(&mut self, link: LinkId, message: ToSession) {
        let Some(handle) = self.display.get(&link) else { return };
        if !handle.send(message) {
            self.display.remove(&link);
            let why = "it does not read what this DTU sends".into();
            self.own.push_back(Event::DisplayClosed { link, why });
        }
    }

    fn read_token_again(&mut self) {
        match (self.source.read_again(), &self.card) {
            (Some(answer), _) => self.own.push_back(Event::Token(answer)),
            (None, Some(card)) => card.read_again(),
            (None, None) => {}
        }
    }

    /// Writes to the state folder, away from this thread.
    fn remember(
        &self,
        change: impl FnOnce(&mut StateDir) -> Result<(), StateError> + Send + 'static,
    ) {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || {
            let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(error) = change(&mut state) {
                tracing::warn!("{error}");
            }
        });
    }

    /// Lets the links send their last messages.
    async fn end(mut self) {
        self.card = None;
        for (_, handle) in self.control.drain() {
            handle.close("the DTU ends");
        }
        for (_, handle) in self.display.drain() {
            handle.close("the DTU ends");
        }
        let farewell = async {
            while self.tasks.join_next().await.is_some() {}
            self.endpoint.wait_idle().await;
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        self.event_log.flush(FAREWELL);
    }
}
