//! `afterglow-server run`: the sockets, files and processes around the
//! decisions of [`crate::core`].
//!
//! | module | what it drives |
//! | --- | --- |
//! | [`driver`] | the core: gives it what happened, does what it decides |
//! | [`group_socket`], [`peers`] | the group's UDP socket, and where others are |
//! | [`control`] | the control endpoint: who may open a link |
//! | [`dtu_link`] | one DTU's link |
//! | [`keepers`] | the sessions on this host |
//! | [`directories`] | where they have their files, and what does not belong there |
//! | [`start`] | the start of a session |
//! | [`keeper_process`] | the process of its keeper |
//! | [`scope`] | the scope that systemd gives it |
//! | [`warm`] | X servers that wait for a session |
//! | [`stored`] | the core's questions to the store |
//! | [`administer`] | what administrators ask |
//! | [`homes`] | the proof that home folders are shared |
//! | [`probe`] | a session whose server is silent |
//! | [`clock`], [`host`], [`close`], [`complaints`] | what these share |

pub mod administer;
pub mod clock;
pub mod close;
pub mod complaints;
pub mod control;
pub mod directories;
pub mod driver;
pub mod dtu_link;
pub mod group_socket;
pub mod homes;
pub mod host;
pub mod keeper_process;
pub mod keepers;
pub mod peers;
pub mod probe;
pub mod scope;
pub mod start;
pub mod stored;
pub mod warm;

use crate::auth::LinkId;
use crate::config::Config;
use crate::core::{CoreConfig, Event, ServerCore};
use crate::group::GroupConfig;
use crate::store::Store;
use afterglow_link::certificates::{Authority, Credentials};
use afterglow_link::quic::{LinkError, Liveness, accepting_endpoint, bind_udp, opening_endpoint};
use afterglow_link::tls;
use afterglow_wire::control::ALPN;
use afterglow_wire::group::flags;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{Epoch, GroupId, SessionId};
use afterglow_wire::trust::{MessageKey, Role};
use anyhow::{Context, anyhow};
use clock::Clock;
use complaints::Complaints;
use driver::{Inbox, Query};
use dtu_link::ToLink;
use group_socket::GroupSocket;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// How long goodbyes may take when the server is stopped.
const GOODBYE: Duration = Duration::from_millis(500);
/// The most events that wait for the core; who has more waits too.
const EVENTS_MAX: usize = 1024;
/// The most questions of administrators that wait.
const QUERIES_MAX: usize = 16;

/// What the server's tasks share. Locks are held for a moment, never while
/// something is awaited.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The address at which others reach us.
    pub advertise: Ipv4Addr,
    /// The group, as DTUs know it.
    pub group_id: GroupId,
    /// Issues sessions' certificates.
    pub authority: Authority,
    /// Our own certificate.
    pub credentials: Credentials,
    /// The public half of the key that signs tickets.
    pub ticket_key: [u8; 32],
    /// What outlives us.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// To the core.
    pub events: mpsc::Sender<Event>,
    /// For administrators' questions to the core.
    pub queries: mpsc::Sender<Query>,
    /// The way to each DTU that is connected. Bounded; who takes too little is
    /// sent away.
    pub links: Mutex<BTreeMap<LinkId, mpsc::Sender<ToLink>>>,
    /// The way to each keeper.
    pub keepers: Mutex<HashMap<(SessionId, Epoch), keepers::KeeperEntry>>,
    /// The sessions that are being started.
    pub starts: Mutex<HashMap<(SessionId, Epoch), start::StartEntry>>,
    /// What is known of sessions' directories.
    pub directories: Mutex<directories::Directories>,
    /// The X servers that wait for a session.
    pub warm: warm::Pool,
    /// Whether sessions get scopes.
    pub scopes: scope::Scopes,
    /// Administrators who wait for what comes of an order, by its number.
    pub answers: Mutex<HashMap<u64, oneshot::Sender<Result<String, String>>>>,
    /// The number of the last of them.
    pub last_answer: std::sync::atomic::AtomicU64,
    /// Opens probes' connections.
    pub prober: quinn::Endpoint,
    /// What peers do wrong.
    pub complaints: Mutex<Complaints>,
}

impl Shared {
    /// A number for an order whose outcome somebody waits for.
    pub fn next_answer(&self) -> u64 {
        self.last_answer.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }

    /// Tells the core what happened. It goes away only with the server.
    pub async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// Takes a lock. A task that panicked while it held one left nothing half
/// done that matters more than going on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes something that a peer did wrong.
pub(crate) fn complain(shared: &Shared, from: std::net::IpAddr, what: &str) {
    let now_ms = shared.clock.now().steady_ms;
    match lock(&shared.complaints).note(from, now_ms) {
        Some(0) => tracing::warn!("{from}: {what}"),
        Some(unlogged) => tracing::warn!("{from}: {what} (and {unlogged} more since the last)"),
        None => {}
    }
}

/// Makes a directory that is only ours.
pub(crate) fn private_dir(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Serves until a signal ends it. Sessions go on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let SetUp { shared, core, endpoint, socket, events, queries } = set_up(config).await?;
    let (tell_found, found) = oneshot::channel();
    let (judged, are_judged) = oneshot::channel();
    let inbox = Inbox { events, queries, found, judged };
    let driver = tokio::spawn(driver::run(shared.clone(), core, socket, inbox));
    let peers = tokio::spawn(driver::keep_finding_peers(shared.clone()));
    // Before anybody may ask, we know what runs here, and what of it counts.
    tokio::join!(keepers::find(&shared), shared.scopes.find_out());
    let _ = tell_found.send(());
    let _ = are_judged.await;
    let administer = {
        let shared = shared.clone();
        move |request| administer::administer(shared.clone(), request)
    };
    let admin = crate::admin::listen::start(&shared.config, administer)?;
    let tasks = [
        driver,
        peers,
        tokio::spawn(keepers::keep_finding(shared.clone())),
        tokio::spawn(warm::keep_waiting(shared.clone())),
        tokio::spawn(homes::keep(shared.clone())),
        tokio::spawn(control::run(shared.clone(), endpoint.clone())),
    ];
    say_ready(&shared)?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping; sessions go on"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping; sessions go on"),
    }
    drop(admin);
    for task in tasks {
        task.abort();
    }
    endpoint.close(close::STOPPING.code.into(), close::STOPPING.reason.as_bytes());
    let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
    let _ = tokio::time::timeout(GOODBYE, shared.store.close()).await;
    Ok(())
}

/// What a server consists of before it runs.
struct SetUp {
    shared: Arc<Shared>,
    core: ServerCore,
    endpoint: quinn::Endpoint,
    socket: GroupSocket,
    events: mpsc::Receiver<Event>,
    queries: mpsc::Receiver<Query>,
}

async fn set_up(config: Config) -> anyhow::Result<SetUp> {
    let key = config.read_group_key()?;
    let authority = Authority::of_group(&key)?;
    let credentials = authority.issue(&Role::Server(config.name.clone()))?;
    let group_id = authority.group_id()?;
    for dir in [&config.runtime_dir, &config.home_root] {
        private_dir(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    directories::check_runtime_dir(&config.runtime_dir)?;
    let advertise = host::advertise(&config, &host::interfaces(&config));
    let control = SocketAddrV4::new(config.listen, config.control_port);
    let in_use = |e: LinkError| anyhow!("{e}; if another server runs here, choose other ports");
    let socket = bind_udp(control).map_err(in_use).context("control_port")?;
    let tls = tls::server_config(&credentials, ALPN)?;
    let endpoint = accepting_endpoint(socket, tls, Liveness::CONTROL, None)?;
    let group_socket = GroupSocket::bind(config.listen, config.group_port)
        .map_err(in_use)
        .context("group_port")?;
    let store = Store::open(&config.store).await?;
    let clock = Clock::start();
    let boot = store.next_boot(&config.name, clock.now().wall_ms).await?;
    let ticket_key = key.ticket_signer().verifier().0;
    let core = CoreConfig {
        group: group_config(&config, key.message_key(), advertise, boot),
        key,
        policy: config.policy,
        sessions_max: config.sessions_max,
        home_root: config.home_root.display().to_string(),
        desktop: config.desktop.clone(),
        services: config.services.clone(),
        guards: Guards::ALL,
    };
    let core = ServerCore::new(core, Box::new(clock::fill_random));
    let (event_sender, events) = mpsc::channel(EVENTS_MAX);
    let (query_sender, queries) = mpsc::channel(QUERIES_MAX);
    let shared = Arc::new(Shared {
        advertise,
        group_id,
        authority,
        credentials,
        ticket_key,
        store,
        clock,
        events: event_sender,
        queries: query_sender,
        links: Mutex::default(),
        keepers: Mutex::default(),
        starts: Mutex::default(),
        directories: Mutex::default(),
        warm: warm::Pool::default(),
        scopes: scope::Scopes::default(),
        answers: Mutex::default(),
        last_answer: Default::default(),
        prober: opening_endpoint()?,
        complaints: Mutex::default(),
        config,
    });
    Ok(SetUp { shared, core, endpoint, socket: group_socket, events, queries })
}

fn group_config(config: &Config, key: MessageKey, advertise: Ipv4Addr, boot: u64) -> GroupConfig {
    let root = rustix::process::geteuid().is_root();
    GroupConfig {
        name: config.name.clone(),
        key,
        advertise,
        control_port: config.control_port,
        group_port: config.group_port,
        peers: Vec::new(),
        networks: config.networks.clone(),
        multicast: !config.listen.is_loopback(),
        host_every_ms: config.host_every_ms,
        down_after_ms: config.down_after_ms,
        boot,
        flags: if root { flags::ROOT } else { 0 },
        guards: Guards::ALL,
    }
}

/// One line that scripts and people wait for.
fn say_ready(shared: &Shared) -> std::io::Result<()> {
    let Shared { config, advertise, group_id, .. } = shared;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "ready name={} control={advertise}:{} group={advertise}:{} fingerprint={group_id} \
         sessions={}",
        config.name,
        config.control_port,
        config.group_port,
        lock(&shared.keepers).len(),
    )?;
    out.flush()
}
