//! `afterglow-server run`: the sockets, files and processes around the
//! decisions of [`crate::group`], [`crate::auth`] and [`crate::session`].
//!
//! | module | what it drives |
//! | --- | --- |
//! | [`group_link`] | the group's UDP socket |
//! | [`control`] | the control endpoint: who may open a link |
//! | [`dtu_link`] | one DTU's link |
//! | [`placing`] | one insert's course |
//! | [`keepers`] | the sessions on this host |
//! | [`start`] | the start of one session |
//! | [`hand_back`] | the way back to a server that was silent |
//! | [`probe`] | a session whose server is silent |
//! | [`tickets`], [`clock`], [`host`], [`close`], [`complaints`] | what these share |

pub mod clock;
pub mod close;
pub mod complaints;
pub mod control;
pub mod dtu_link;
pub mod group_link;
pub mod hand_back;
pub mod host;
pub mod keepers;
pub mod placing;
pub mod probe;
pub mod start;
pub mod tickets;

use crate::auth::{Authentication, LinkId};
use crate::config::Config;
use crate::group::{GroupConfig, GroupManager};
use crate::session::care::Care;
use crate::session::table::Table;
use crate::store::Store;
use afterglow_link::certificates::{Authority, Credentials};
use afterglow_link::quic::{LinkError, Liveness, accepting_endpoint, bind_udp, opening_endpoint};
use afterglow_link::tls;
use afterglow_wire::control::{ALPN, ToDtu};
use afterglow_wire::group::flags;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{DtuId, Epoch, GroupId, SessionId};
use afterglow_wire::trust::{GroupKey, Role, TicketSigner};
use anyhow::{Context, anyhow};
use clock::Clock;
use complaints::Complaints;
use group_link::GroupLink;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long goodbyes may take when the server is stopped.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the server's tasks share. Locks are held for a moment, never while
/// something is awaited.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The address at which others reach us.
    pub advertise: Ipv4Addr,
    /// The group, as DTUs know it.
    pub group_id: GroupId,
    /// Hashes tokens for questions.
    pub group_key: GroupKey,
    /// Issues sessions' certificates.
    pub authority: Authority,
    /// Our own certificate.
    pub credentials: Credentials,
    /// Signs tickets.
    pub signer: TicketSigner,
    /// What outlives us.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Who is let in.
    pub auth: Mutex<Authentication>,
    /// The sessions on this host.
    pub table: Mutex<Table>,
    /// The DTUs of silent servers.
    pub care: Mutex<Care>,
    /// The other servers.
    pub group: GroupLink,
    /// The DTUs that are connected.
    pub links: Mutex<BTreeMap<LinkId, LinkEntry>>,
    /// The way to each keeper.
    pub keepers: Mutex<HashMap<(SessionId, Epoch), keepers::KeeperEntry>>,
    /// The sessions that are being started.
    pub starts: Mutex<HashMap<(SessionId, Epoch), start::Outcome>>,
    /// Opens probes' connections.
    pub prober: quinn::Endpoint,
    /// What peers do wrong.
    pub complaints: Mutex<Complaints>,
}

/// A DTU that is connected.
#[derive(Debug, Clone)]
pub struct LinkEntry {
    /// The DTU, as its link proved it.
    pub dtu: DtuId,
    /// Its address.
    pub address: Ipv4Addr,
    /// What others have for it. Bounded; who finds it full tries later or
    /// leaves it.
    pub sender: mpsc::Sender<ToLink>,
}

/// For a DTU's link, from other tasks.
#[derive(Debug, Clone)]
pub enum ToLink {
    /// Tell the DTU this.
    Tell(ToDtu),
    /// A session is over; tell the DTU if it shows it.
    Ended {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Why, for the user.
        text: String,
    },
    /// The same DTU opened another link: close this one.
    Replaced,
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
    let (shared, endpoint) = set_up(config).await?;
    // Before anybody may ask, we know what runs here.
    keepers::find(&shared).await;
    let tasks = [
        tokio::spawn(group_link::run(shared.clone())),
        tokio::spawn(keepers::keep_finding(shared.clone())),
        tokio::spawn(control::run(shared.clone(), endpoint.clone())),
    ];
    say_ready(&shared)?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping; sessions go on"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping; sessions go on"),
    }
    for task in tasks {
        task.abort();
    }
    endpoint.close(close::STOPPING.code.into(), close::STOPPING.reason.as_bytes());
    let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
    let _ = tokio::time::timeout(GOODBYE, shared.store.close()).await;
    Ok(())
}

async fn set_up(config: Config) -> anyhow::Result<(Arc<Shared>, quinn::Endpoint)> {
    let group_key = config.read_group_key()?;
    let authority = Authority::of_group(&group_key)?;
    let credentials = authority.issue(&Role::Server(config.name.clone()))?;
    let signer = group_key.ticket_signer();
    let group_id = authority.group_id()?;
    for dir in [&config.runtime_dir, &config.home_root] {
        private_dir(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    keepers::check_runtime_dir(&config.runtime_dir)?;
    let interfaces = host::interfaces(&config);
    let advertise = host::advertise(&config, &interfaces);
    let control = SocketAddrV4::new(config.listen, config.control_port);
    let in_use = |e: LinkError| anyhow!("{e}; if another server runs here, choose other ports");
    let socket = bind_udp(control).map_err(in_use).context("control_port")?;
    let tls = tls::server_config(&credentials, ALPN)?;
    let endpoint = accepting_endpoint(socket, tls, Liveness::CONTROL, None)?;
    let group_socket =
        group_link::bind(config.listen, config.group_port).map_err(in_use).context("group_port")?;
    let store = Store::open(&config.store).await?;
    let clock = Clock::start();
    let boot = store.next_boot(&config.name, clock.now().wall_ms).await?;
    let root = rustix::process::geteuid().is_root();
    let mut manager = GroupManager::new(GroupConfig {
        name: config.name.clone(),
        key: group_key.message_key(),
        advertise,
        control_port: config.control_port,
        group_port: config.group_port,
        peers: group_link::resolve(&config.peers).await,
        networks: config.networks.clone(),
        multicast: !config.listen.is_loopback(),
        host_every_ms: config.host_every_ms,
        down_after_ms: config.down_after_ms,
        boot,
        flags: if root { flags::ROOT } else { 0 },
        guards: Guards::ALL,
    });
    manager.set_present(host::present(&config, 0));
    let auth = Authentication::new(config.name.clone(), config.policy, signer.verifier());
    let shared = Arc::new(Shared {
        advertise,
        group_id,
        authority,
        credentials,
        store,
        clock,
        auth: Mutex::new(auth),
        table: Mutex::new(Table::new(config.sessions_max)),
        care: Mutex::default(),
        group: GroupLink::new(manager, group_socket),
        links: Mutex::default(),
        keepers: Mutex::default(),
        starts: Mutex::default(),
        prober: opening_endpoint()?,
        complaints: Mutex::default(),
        signer,
        group_key,
        config,
    });
    Ok((shared, endpoint))
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
        lock(&shared.table).len(),
    )?;
    out.flush()
}
