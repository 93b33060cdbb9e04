//! `afterglow.toml`: reading it, and saying which line is wrong.
//!
//! Every error names the file, the line and the key, because a person is going
//! to open the file next.

use afterglow_wire::ids::{InvalidName, ServerName, Size};
use afterglow_wire::quality::Quality;
use afterglow_wire::service::ServiceSpec;
use afterglow_wire::trust::GroupKey;
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use toml::Spanned;
use values::{
    between, desktop, interfaces, ipv4, networks, peers, policy, port_range, quality, store,
};
use zeroize::Zeroizing;

/// The group's UDP port.
pub const GROUP_PORT: u16 = 7009;
/// The control links' UDP port.
pub const CONTROL_PORT: u16 = 7010;
/// The display links' UDP ports.
pub const SESSION_PORTS: (u16, u16) = (7100, 7999);
/// The configuration of the server that a host's system starts.
pub const SYSTEM_CONFIG: &str = "/etc/afterglow/afterglow.toml";
/// The admin socket where that configuration is not there to ask.
pub const SYSTEM_ADMIN_SOCKET: &str = "/run/afterglow/admin.sock";

/// The most X servers that wait.
const WARM_X_SERVERS_MAX: u64 = 16;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path}: cannot read the configuration: {source}; `afterglow-server init DIR` makes one"
    )]
    Read {
        /// The file.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A key, or the file's form, is wrong.
    #[error("{path}:{line}: {key}: {text}")]
    Key {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What is wrong, and what to do.
        text: String,
    },
    /// The group key cannot be used.
    #[error("{path}: {text}")]
    GroupKey {
        /// The key's file.
        path: String,
        /// What is wrong, and what to do.
        text: String,
    },
}

/// Which tokens are accepted, and what they have to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every token, by its id alone: identification only.
    Open,
}

/// A server that is told about ourselves by unicast, and asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// A host's name or address.
    pub host: String,
    /// Its group port.
    pub port: u16,
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// In this file.
    Sqlite(PathBuf),
    /// In a PostgreSQL database.
    Postgres(DatabaseUrl),
}

/// A database's URL. It may hold a password, so it is never printed whole.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The host and the database alone.
impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.split('?').next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        write!(f, "postgres://{place}")
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreLocation::Sqlite(path) => path.display().fmt(f),
            StoreLocation::Postgres(url) => url.fmt(f),
        }
    }
}

/// A network in the form address/bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    /// True if the address is in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.address & self.mask
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
        Some(Network { address: address.to_bits(), mask })
    }
}

/// The configuration of a server; every path is absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's name in the group.
    pub name: ServerName,
    /// The address that its sockets listen on.
    pub listen: Ipv4Addr,
    /// The address that DTUs and servers reach; found from the interfaces if
    /// it is not configured.
    pub advertise: Option<Ipv4Addr>,
    /// Where it takes DTUs.
    pub control_port: u16,
    /// Where it hears the group.
    pub group_port: u16,
    /// Which interfaces it speaks on; all but loopback if not configured.
    pub interfaces: Option<Vec<String>>,
    /// Servers that broadcasts do not reach.
    pub peers: Vec<PeerAddress>,
    /// Networks beyond the interfaces' own whose DTUs are answered.
    pub networks: Vec<Network>,
    /// The first and the last port of display links.
    pub session_ports: (u16, u16),
    /// The group key's file.
    pub group_key: PathBuf,
    /// Where the store is.
    pub store: StoreLocation,
    /// Where sessions have their directories.
    pub runtime_dir: PathBuf,
    /// Where `afterglowctl` speaks to the server.
    pub admin_socket: PathBuf,
    /// Where users have their homes.
    pub home_root: PathBuf,
    /// The desktop's command line.
    pub desktop: Vec<String>,
    /// The catalogue of services.
    pub services: Vec<ServiceSpec>,
    /// How many X servers wait for a session.
    pub warm_x_servers: usize,
    /// The largest size of a session.
    pub size_max: Size,
    /// How exact sessions' pictures are until their users switch it.
    pub quality: Quality,
    /// The `afterglow-session` program.
    pub session_program: PathBuf,
    /// Which tokens are accepted.
    pub policy: Policy,
    /// How often the server speaks to the group.
    pub host_every_ms: u64,
    /// After which silence a server of the group counts as down.
    pub down_after_ms: u64,
    /// The most sessions on this host.
    pub sessions_max: usize,
}

/// The file as it is written. Spans lead from a bad value back to its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    advertise: Option<Spanned<String>>,
    control_port: Option<Spanned<u16>>,
    group_port: Option<Spanned<u16>>,
    interfaces: Option<Spanned<Vec<String>>>,
    peers: Option<Spanned<Vec<String>>>,
    networks: Option<Spanned<Vec<String>>>,
    session_ports: Option<Spanned<String>>,
    group_key: Option<Spanned<String>>,
    store: Option<Spanned<String>>,
    runtime_dir: Option<Spanned<String>>,
    admin_socket: Option<Spanned<String>>,
    home_root: Option<Spanned<String>>,
    desktop: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    service: Vec<Spanned<services::ServiceTable>>,
    warm_x_servers: Option<Spanned<u64>>,
    size_max: Option<Spanned<String>>,
    quality: Option<Spanned<String>>,
    session_program: Option<Spanned<String>>,
    policy: Option<Spanned<String>>,
    host_every_ms: Option<Spanned<u64>>,
    down_after_ms: Option<Spanned<u64>>,
    sessions_max: Option<Spanned<u64>>,
}

/// Turns places in the file into errors a person can act on.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, offset: usize, key: Option<&str>, text: String) -> ConfigError {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let at = self.text.lines().nth(line - 1).unwrap_or("");
        let found = at.split('=').next().unwrap_or("").trim();
        let key = key.unwrap_or(if found.is_empty() { "the file" } else { found }).to_owned();
        ConfigError::Key { path: self.path.display().to_string(), line, key, text }
    }

    /// The value as `parse` reads it, the default if there is none, or an
    /// error that says what the value must be.
    fn value<R: Clone, T>(
        &self,
        key: &str,
        raw: Option<Spanned<R>>,
        default: T,
        parse: impl FnOnce(R) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let Some(raw) = raw else { return Ok(default) };
        let offset = raw.span().start;
        parse(raw.into_inner()).map_err(|text| self.error(offset, Some(key), text))
    }
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read_error = |source| ConfigError::Read { path: path.display().to_string(), source };
        let text = std::fs::read_to_string(path).map_err(read_error)?;
        let path = std::path::absolute(path).map_err(read_error)?;
        Config::parse(&path, &text)
    }

    /// Checks the text of the file at this absolute path.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|e| {
            source.error(e.span().map_or(0, |span| span.start), None, e.message().to_owned())
        })?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let inside = |name: &str| base.join(name);
        let name_offset = file.name.as_ref().map_or(0, |name| name.span().start);
        let name = match file.name {
            Some(name) => name.into_inner().parse(),
            None => host_name().parse(),
        }
        .map_err(|e: InvalidName| source.error(name_offset, Some("name"), e.to_string()))?;
        let interfaces = source.value("interfaces", file.interfaces, None, interfaces)?;
        let loopback = interfaces.as_deref().is_some_and(|all| all == ["lo"]);
        let any = if loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let port = |port: u16| match port {
            0 => Err("a port is 1 to 65535".to_owned()),
            port => Ok(port),
        };
        let directory = |text: String| match text.as_str() {
            "" => Err("a path is wanted".to_owned()),
            text => Ok(base.join(text)),
        };
        let runtime_dir =
            source.value("runtime_dir", file.runtime_dir, inside("run"), directory)?;
        let host_every_ms =
            source.value("host_every_ms", file.host_every_ms, 2_000, between(100, 60_000))?;
        let down_offset = file.down_after_ms.as_ref().map_or(0, |v| v.span().start);
        let down_after_ms = source.value(
            "down_after_ms",
            file.down_after_ms,
            3 * host_every_ms,
            between(200, 600_000),
        )?;
        if down_after_ms < 2 * host_every_ms {
            let text = format!(
                "must be at least twice host_every_ms ({host_every_ms}), or one lost message \
                 makes a server look dead"
            );
            return Err(source.error(down_offset, Some("down_after_ms"), text));
        }
        Ok(Config {
            name,
            listen: source.value("listen", file.listen, any, ipv4)?,
            advertise: source.value("advertise", file.advertise, None, |v| ipv4(v).map(Some))?,
            control_port: source.value("control_port", file.control_port, CONTROL_PORT, port)?,
            group_port: source.value("group_port", file.group_port, GROUP_PORT, port)?,
            interfaces,
            peers: source.value("peers", file.peers, Vec::new(), peers)?,
            networks: source.value("networks", file.networks, Vec::new(), networks)?,
            session_ports: source.value(
                "session_ports",
                file.session_ports,
                SESSION_PORTS,
                port_range,
            )?,
            group_key: source.value("group_key", file.group_key, inside("group.key"), directory)?,
            store: source.value(
                "store",
                file.store,
                StoreLocation::Sqlite(inside("store.db")),
                |text| store(base, &text),
            )?,
            admin_socket: source.value(
                "admin_socket",
                file.admin_socket,
                runtime_dir.join("admin.sock"),
                directory,
            )?,
            runtime_dir,
            home_root: source.value("home_root", file.home_root, inside("homes"), directory)?,
            desktop: source.value("desktop", file.desktop, default_desktop(), desktop)?,
            services: services::catalogue(&source, file.service)?,
            warm_x_servers: source.value(
                "warm_x_servers",
                file.warm_x_servers,
                1,
                between(0, WARM_X_SERVERS_MAX),
            )? as usize,
            size_max: source.value("size_max", file.size_max, default_size_max(), |v| {
                v.parse().map_err(|e: InvalidName| e.to_string())
            })?,
            quality: source.value("quality", file.quality, Quality::default(), quality)?,
            session_program: source.value(
                "session_program",
                file.session_program,
                beside_own_program("afterglow-session"),
                directory,
            )?,
            policy: source.value("policy", file.policy, Policy::Open, policy)?,
            host_every_ms,
            down_after_ms,
            sessions_max: source.value("sessions_max", file.sessions_max, 64, between(1, 4096))?
                as usize,
        })
    }

    /// Reads the group key, after checking that nobody else can.
    pub fn read_group_key(&self) -> Result<GroupKey, ConfigError> {
        let path = &self.group_key;
        let error = |text: String| ConfigError::GroupKey { path: path.display().to_string(), text };
        let metadata = std::fs::metadata(path).map_err(|e| {
            error(format!(
                "the group key cannot be read: {e}; copy it from another server of the group, or \
                 make a new group with `afterglow-server init DIR`"
            ))
        })?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(error(format!(
                "the group key is open to other users (mode {mode:04o}); whoever reads it is the \
                 group. Run: chmod 600 {}",
                path.display()
            )));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(error(format!(
                "the group key belongs to user {}, the server runs as user {us}. Run: chown {us} \
                 {}",
                metadata.uid(),
                path.display()
            )));
        }
        let content = Zeroizing::new(
            std::fs::read(path).map_err(|e| error(format!("the group key cannot be read: {e}")))?,
        );
        GroupKey::from_file_content(&content).map_err(|e| {
            error(format!("{e}; copy it again from another server of the group, byte for byte"))
        })
    }
}

/// A window manager with a background, a panel and a terminal.
pub fn default_desktop() -> Vec<String> {
    let startup = "sh -c 'xsetroot -solid steelblue4; tint2 & exec xterm'";
    ["openbox", "--startup", startup].map(String::from).to_vec()
}

fn default_size_max() -> Size {
    Size::new(3840, 2160).unwrap_or_else(|| unreachable!("within the limits"))
}

fn beside_own_program(name: &str) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join(name)))
        .unwrap_or_else(|| PathBuf::from(name))
}

/// The first label of the host's name, in the form of a server name.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim()
        .to_lowercase()
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect()
}

pub mod own;
mod services;
#[cfg(test)]
mod tests;
mod values;
