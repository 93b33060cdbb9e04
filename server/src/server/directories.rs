//! The directories of the sessions on this host: their names, whose turn it is
//! with each, and what does not belong there.

use super::{Shared, clock, lock, private_dir};
use crate::keeper::session_dir::{self, NAME_BYTES};
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many things that do not belong there are told of.
const TOLD_MAX: usize = 256;

/// What is known of the directories.
#[derive(Debug, Default)]
pub struct Directories {
    /// Those that somebody minds: a start, a follower, or one who looks.
    minded: HashSet<String>,
    /// What was complained of, so that it is logged once.
    told: HashSet<String>,
}

/// A directory that only its holder minds.
pub struct Minded {
    shared: Arc<Shared>,
    name: String,
}

impl Minded {
    /// The directory of this name, if nobody minds it.
    pub fn take(shared: &Arc<Shared>, name: &str) -> Option<Self> {
        let new = lock(&shared.directories).minded.insert(name.to_owned());
        new.then(|| Minded { shared: shared.clone(), name: name.to_owned() })
    }

    /// A new one, made.
    pub fn make(shared: &Arc<Shared>) -> Result<Self, String> {
        let mut random = [0; NAME_BYTES];
        clock::fill_random(&mut random);
        let minded = Minded::take(shared, &session_dir::name(random));
        let minded = minded.ok_or("the system gives no random bytes")?;
        let dir = minded.path();
        // It must not be there: what is belongs to somebody else.
        let made = private_dir(&sessions_dir(&shared.config.runtime_dir))
            .and_then(|()| std::fs::create_dir(&dir))
            .and_then(|()| std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)));
        made.map_err(|e| format!("cannot make the directory {}: {e}", dir.display()))?;
        Ok(minded)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        sessions_dir(&self.shared.config.runtime_dir).join(&self.name)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Minded {
    fn drop(&mut self) {
        lock(&self.shared.directories).minded.remove(&self.name);
    }
}

/// Where sessions have their directories.
pub fn sessions_dir(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("sessions")
}

/// Refuses a runtime directory that somebody else could put sessions into.
pub fn check_runtime_dir(runtime_dir: &Path) -> anyhow::Result<()> {
    let dir = sessions_dir(runtime_dir);
    private_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for dir in [runtime_dir, &dir] {
        let found = std::fs::symlink_metadata(dir)
            .with_context(|| format!("cannot look at {}", dir.display()))?;
        let us = rustix::process::geteuid().as_raw();
        let mode = found.permissions().mode() & 0o777;
        if !found.is_dir() || found.uid() != us || mode & 0o022 != 0 {
            bail!(
                "{} must be a directory of user {us} that nobody else can write (mode 0700); it \
                 is of user {} with mode {mode:04o}",
                dir.display(),
                found.uid()
            );
        }
    }
    Ok(())
}

/// The sessions' directories that nobody minds: from now on their holder does.
/// What else is there is left alone, and told of once.
pub fn unminded(shared: &Arc<Shared>) -> Vec<Minded> {
    let dir = sessions_dir(&shared.config.runtime_dir);
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) => {
            complain(shared, &dir, &format!("cannot be read: {e}"));
            return Vec::new();
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| match check(&dir.join(&name)) {
            Ok(()) => Minded::take(shared, name.to_str()?),
            Err(why) => {
                complain(shared, &dir.join(&name), &why);
                None
            }
        })
        .collect()
}

/// Why this is not the directory of a session of ours.
fn check(path: &Path) -> Result<(), String> {
    let name = path.file_name().and_then(|name| name.to_str());
    if !name.is_some_and(session_dir::is_name) {
        return Err("is not called as a session's directory".into());
    }
    // It may end at any time; then the next look does not find it.
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if found.is_symlink() {
        return Err("is a link".into());
    }
    if !found.is_dir() {
        return Err("is not a directory".into());
    }
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        return Err(format!("belongs to user {}, not to {us}", found.uid()));
    }
    match found.permissions().mode() & 0o022 {
        0 => Ok(()),
        _ => Err("can be written by others".into()),
    }
}

/// Logs once what is the matter with a path.
pub fn complain(shared: &Shared, path: &Path, what: &str) {
    let text = format!("{} {what}: it is left alone", path.display().to_string().escape_debug());
    let told = &mut lock(&shared.directories).told;
    if told.len() < TOLD_MAX && told.insert(text.clone()) {
        tracing::warn!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_ours_with_such_a_name_is_a_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let private = |name: &str, mode| {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        private("0123456789abcdef", 0o700);
        private("0123456789abcde0", 0o777);
        private("lost+found", 0o700);
        std::fs::write(path("0123456789abcde1"), "").unwrap();
        std::os::unix::fs::symlink("/", path("0123456789abcde2")).unwrap();
        assert_eq!(check(&path("0123456789abcdef")), Ok(()));
        for (name, why) in [
            ("lost+found", "called"),
            ("0123456789abcde0", "written by others"),
            ("0123456789abcde1", "not a directory"),
            ("0123456789abcde2", "a link"),
        ] {
            let said = check(&path(name)).unwrap_err();
            assert!(said.contains(why), "{name}: {said}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path("0123456789abcdef"), Some(12345), None).unwrap();
            let said = check(&path("0123456789abcdef")).unwrap_err();
            assert!(said.contains("belongs to user 12345"), "{said}");
        }
    }
}
