//! `afterglow-server init`: the first files of a server, with nothing to edit
//! on a plain network.

use crate::config::{Config, ConfigError, default_desktop, host_name};
use afterglow_link::certificates::{Authority, CertificateError};
use afterglow_wire::ids::{GroupId, ServerName};
use afterglow_wire::trust::{GroupKey, KEY_BYTES};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why the files cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file or directory cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// Which one.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random bytes")]
    Random,
    /// The configuration or the key that is already there cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The authority cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What `init` did.
#[derive(Debug)]
pub struct Made {
    /// The configuration file.
    pub config: PathBuf,
    /// True if the file was there before and was left as it is.
    pub config_kept: bool,
    /// True if the group key was there before and was left as it is.
    pub key_kept: bool,
    /// The group.
    pub group: GroupId,
}

/// Makes the directory, the group key and the configuration, each only if it
/// is not there yet: a key that was copied from another server stays.
pub fn init(dir: &Path) -> Result<Made, InitError> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source| InitError::Write { path, source }
    };
    let dir = std::path::absolute(dir).map_err(at(dir))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(at(&dir))?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| InitError::Random)?;
    let key_path = dir.join("group.key");
    let key_kept = !create(&key_path, &*key).map_err(at(&key_path))?;
    let config_path = dir.join("afterglow.toml");
    let config_kept = !create(&config_path, template().as_bytes()).map_err(at(&config_path))?;
    let config = Config::load(&config_path)?;
    let group = group_of(&config.read_group_key()?)?;
    Ok(Made { config: config_path, config_kept, key_kept, group })
}

/// The fingerprint of the group with this key.
pub fn group_of(key: &GroupKey) -> Result<GroupId, CertificateError> {
    Authority::of_group(key)?.group_id()
}

/// Writes a file for our own eyes; false if there is one already.
fn create(path: &Path, content: &[u8]) -> std::io::Result<bool> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e),
    };
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would be refused at every later start.
        let _ = std::fs::remove_file(path);
    }
    written.map(|()| true)
}

/// The configuration file of a new server.
pub fn template() -> String {
    let name = match host_name().parse::<ServerName>() {
        Ok(name) => name.to_string(),
        Err(_) => "server".to_owned(),
    };
    let desktop = default_desktop();
    include_str!("afterglow.toml.in").replace("@NAME@", &name).replace(
        "@DESKTOP@",
        &desktop.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn init_makes_what_run_accepts_and_never_overwrites() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("mud");
        let first = init(&dir).expect("made");
        assert!(!first.key_kept && !first.config_kept);
        let key = std::fs::read(dir.join("group.key")).expect("a key");
        let mode = |p: &Path| std::fs::metadata(p).expect("is there").permissions().mode() & 0o777;
        assert_eq!(key.len(), 32);
        assert_eq!((mode(&dir), mode(&dir.join("group.key"))), (0o700, 0o600));
        let second = init(&dir).expect("kept");
        assert!(second.key_kept && second.config_kept);
        assert_eq!(std::fs::read(dir.join("group.key")).expect("a key"), key);
        assert_eq!(first.group, second.group);
    }

    #[test]
    fn the_template_shows_the_defaults() {
        // Each key that is commented out must be valid, and the default.
        let path = Path::new("/etc/afterglow/afterglow.toml");
        let plain = Config::parse(path, &template()).expect("valid");
        let all: String = template()
            .lines()
            .map(|line| match line.strip_prefix("#") {
                Some(key) if key.contains(" = ") && !key.starts_with(' ') => key,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut all = Config::parse(path, &all).expect("every example is valid");
        assert_eq!(all.peers.len(), 1);
        // These are examples: their defaults depend on the host.
        all.peers.clear();
        all.networks.clear();
        all.advertise = None;
        all.interfaces = None;
        all.session_program = plain.session_program.clone();
        assert_eq!(format!("{plain:?}"), format!("{all:?}"));
    }
}
