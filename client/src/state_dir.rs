//! What a DTU keeps between its runs: its key, the groups that its user
//! trusts, and the servers that it saw last (`--state DIR`).
//!
//! | file | content |
//! | --- | --- |
//! | `dtu.key` | the DTU's Ed25519 key, PKCS #8, mode 0600: who the DTU is |
//! | `known.json` | trusted groups, last servers, where insert numbers go on |
//! | `lock` | held while a DTU runs, so that no two are the same one |

use afterglow_link::certificates::{CertificateError, Credentials, dtu_credentials};
use afterglow_wire::control::Server;
use afterglow_wire::ids::{DtuId, GroupId, ServerName};
use afterglow_wire::limits::SERVERS_MAX;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddrV4;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The most groups that are remembered; beyond it the oldest is forgotten.
const GROUPS_MAX: usize = 64;
/// The longest `known.json` that is read, in bytes.
const KNOWN_BYTES_MAX: u64 = 256 * 1024;
/// How many insert numbers a run reserves for itself.
const INSERTS_RESERVED: u64 = 1_000_000;

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or the folder itself cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another DTU runs with this folder.
    #[error(
        "another DTU already uses {0}: two would be the same DTU. \
         Give this one a folder of its own with --state DIR"
    )]
    Locked(PathBuf),
    /// The key file holds no key.
    #[error(
        "{path} holds no usable key ({source}). Remove it to make this a new DTU; \
         its pseudo-token will then be a new one too"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// `known.json` is damaged.
    #[error("{path} is damaged ({source}). Remove it: the DTU asks about its group again")]
    Known {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Known {
    #[serde(default)]
    groups: Vec<KnownGroup>,
    #[serde(default)]
    servers: Vec<KnownServer>,
    #[serde(default)]
    next_insert: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KnownGroup {
    group: String,
    since_unix_s: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KnownServer {
    name: String,
    address: SocketAddrV4,
}

/// An opened state folder. The lock is held as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    key: Zeroizing<Vec<u8>>,
    known: Known,
    _lock: File,
}

impl StateDir {
    /// Opens the folder, and makes it and a key where there is none.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => {
                return Err(StateError::Io { path: lock_path, source });
            }
        }
        let key = read_or_make_key(&path.join("dtu.key"))?;
        let known = read_known(&path.join("known.json"))?;
        Ok(StateDir { path: path.to_owned(), key, known, _lock: lock })
    }

    /// Where the folder is if the user names none.
    pub fn default_path() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let base = set("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
        Some(base.join("afterglow"))
    }

    /// The DTU's id and the credentials of its links.
    pub fn credentials(&self) -> Result<(DtuId, Credentials), StateError> {
        dtu_credentials(&self.key)
            .map_err(|source| StateError::Key { path: self.path.join("dtu.key"), source })
    }

    /// The groups that the user trusts.
    pub fn groups(&self) -> Vec<GroupId> {
        self.known.groups.iter().filter_map(|known| known.group.parse().ok()).collect()
    }

    /// The servers that were up when this DTU last saw its group.
    pub fn servers(&self) -> Vec<Server> {
        let server = |known: &KnownServer| {
            Some(Server { name: known.name.parse::<ServerName>().ok()?, address: known.address })
        };
        self.known.servers.iter().filter_map(server).take(SERVERS_MAX).collect()
    }

    /// Trusts a group from now on.
    pub fn remember_group(&mut self, group: GroupId) -> Result<(), StateError> {
        if self.groups().contains(&group) {
            return Ok(());
        }
        if self.known.groups.len() >= GROUPS_MAX {
            self.known.groups.remove(0);
        }
        let since_unix_s = unix_ms() / 1000;
        self.known.groups.push(KnownGroup { group: group.to_string(), since_unix_s });
        self.save()
    }

    /// Remembers these servers instead of those before.
    pub fn remember_servers(&mut self, servers: &[Server]) -> Result<(), StateError> {
        self.known.servers = servers
            .iter()
            .take(SERVERS_MAX)
            .map(|server| KnownServer { name: server.name.to_string(), address: server.address })
            .collect();
        self.save()
    }

    /// The number before this run's first insert: higher than every insert
    /// number of the runs before, also where the clock was set back, because
    /// servers remember the highest number that a remove ended.
    pub fn reserve_inserts(&mut self) -> Result<u64, StateError> {
        let base = unix_ms().max(self.known.next_insert);
        self.known.next_insert = base + INSERTS_RESERVED;
        self.save()?;
        Ok(base)
    }

    fn save(&self) -> Result<(), StateError> {
        let path = self.path.join("known.json");
        let text = serde_json::to_vec_pretty(&self.known)
            .map_err(|source| StateError::Known { path: path.clone(), source })?;
        replace_file(&path, &text).map_err(|source| StateError::Io { path, source })
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError + '_ {
    move |source| StateError::Io { path: path.to_owned(), source }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn read_or_make_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let key_error = |source| StateError::Key { path: path.to_owned(), source };
    let key = match fs::read(path) {
        Ok(key) => Zeroizing::new(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = afterglow_link::certificates::generate_dtu_key().map_err(key_error)?;
            let key = Zeroizing::new(key);
            replace_file(path, &key).map_err(io_error(path))?;
            key
        }
        Err(error) => return Err(io_error(path)(error)),
    };
    dtu_credentials(&key).map_err(key_error)?;
    Ok(key)
}

fn read_known(path: &Path) -> Result<Known, StateError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
        Err(error) => return Err(io_error(path)(error)),
        Ok(metadata) if metadata.len() > KNOWN_BYTES_MAX => {
            return Err(io_error(path)(io::Error::other("it is longer than this program writes")));
        }
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(io_error(path))?;
    serde_json::from_slice(&text)
        .map_err(|source| StateError::Known { path: path.to_owned(), source })
}

/// Puts a file in place whole or not at all.
fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // A rest of a run that was killed here.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_gets_a_key_that_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let state = StateDir::open(&path).unwrap();
        let (dtu, _) = state.credentials().unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("dtu.key")), 0o600);
        drop(state);
        assert_eq!(StateDir::open(&path).unwrap().credentials().unwrap().0, dtu);
    }

    #[test]
    fn two_dtus_cannot_share_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let _first = StateDir::open(parent.path()).unwrap();
        let error = StateDir::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains("--state"), "{error}");
    }

    #[test]
    fn groups_servers_and_insert_numbers_outlive_a_run() {
        let parent = tempfile::tempdir().unwrap();
        let group = GroupId([7; 32]);
        let server =
            Server { name: "mud".parse().unwrap(), address: "10.0.0.1:7010".parse().unwrap() };
        let mut state = StateDir::open(parent.path()).unwrap();
        state.remember_group(group).unwrap();
        state.remember_group(group).unwrap();
        state.remember_servers(std::slice::from_ref(&server)).unwrap();
        let first = state.reserve_inserts().unwrap();
        drop(state);
        let mut state = StateDir::open(parent.path()).unwrap();
        assert_eq!(state.groups(), [group]);
        assert_eq!(state.servers(), [server]);
        assert!(state.reserve_inserts().unwrap() >= first + INSERTS_RESERVED);
    }

    #[test]
    fn damaged_files_are_named() {
        let parent = tempfile::tempdir().unwrap();
        drop(StateDir::open(parent.path()).unwrap());
        fs::write(parent.path().join("known.json"), "{").unwrap();
        let error = StateDir::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains("known.json"), "{error}");
        fs::write(parent.path().join("dtu.key"), "no key").unwrap();
        let error = StateDir::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains("dtu.key"), "{error}");
    }
}
