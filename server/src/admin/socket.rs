//! The admin socket's file: made, shared with a group, replaced when nobody
//! listens behind it any more, and removed at the end.

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The local group whose members may speak to a server that runs as root.
pub const GROUP: &str = "afterglow";
/// The socket's mode: its user and its group.
const MODE: u32 = 0o660;
/// How many connections the kernel keeps until we take them.
const BACKLOG: i32 = 64;
/// The longest path that a socket's address holds, in bytes.
const PATH_BYTES_MAX: usize = 107;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A server listens there.
    #[error(
        "another afterglow-server listens at {}; stop it, or give this server a runtime_dir and \
         an admin_socket of its own",
        .0.display()
    )]
    Served(PathBuf),
    /// Something else has that name.
    #[error(
        "{} is there and is not a socket; remove it, or set admin_socket to another path",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// The directory cannot be opened.
    #[error(
        "cannot open {} for the admin socket: {source}; make the directory, or set admin_socket \
         to a path in another",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the admin socket {}: {source}; see admin_socket", path.display())]
    Make {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    way: Way,
    /// The file's device and inode.
    file: (u64, u64),
}

/// A socket's name in its opened directory.
#[derive(Debug)]
pub(super) struct Way {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Way {
    /// Opens the directory.
    pub(super) fn to(path: &Path) -> std::io::Result<Self> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Who may only pass through a directory cannot read it.
        let dir = rustix::fs::open(parent, flags, Mode::empty())
            .or_else(|_| rustix::fs::open(parent, flags | OFlags::PATH, Mode::empty()))?;
        Ok(Way { dir, name, path: path.to_owned() })
    }

    /// A path that fits into a socket's address: the way through the opened
    /// directory is always short. A path that fits is left as people know it.
    pub(super) fn short(&self) -> PathBuf {
        match self.path.as_os_str().len() {
            0..=PATH_BYTES_MAX => self.path.clone(),
            _ => Path::new("/proc/self/fd").join(self.dir.as_raw_fd().to_string()).join(&self.name),
        }
    }

    /// The file's type, device and inode.
    fn file(&self) -> rustix::io::Result<(FileType, (u64, u64))> {
        let found = rustix::fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((FileType::from_raw_mode(found.st_mode), (found.st_dev, found.st_ino)))
    }

    /// Makes room: removes a socket that nobody listens behind.
    fn clear(&self) -> Result<(), SocketError> {
        match self.file() {
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(self.error(e)),
            Ok((FileType::Socket, _)) => {}
            Ok(_) => return Err(SocketError::NotASocket(self.path.clone())),
        }
        let probe = socket().map_err(|e| self.error(e))?;
        let address = SocketAddrUnix::new(self.short()).map_err(|e| self.error(e))?;
        match rustix::net::connect(&probe, &address) {
            // It has a queue, so it listens, however busy or still it is.
            Ok(()) | Err(Errno::AGAIN) => Err(SocketError::Served(self.path.clone())),
            Err(Errno::CONNREFUSED) => {
                rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty())
                    .map_err(|e| self.error(e))
            }
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.error(e)),
        }
    }

    fn listen(&self, group: Option<u32>) -> rustix::io::Result<UnixListener> {
        let socket = socket()?;
        // The file begins with the mode of its socket, so that it is never
        // open to more than it is meant to be. Where the kernel does not know
        // that, the process's mask still keeps others out.
        let _ = rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600));
        rustix::net::bind(&socket, &SocketAddrUnix::new(self.short())?)?;
        if let Some(group) = group {
            let group = Some(rustix::fs::Gid::from_raw(group));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&self.dir, &self.name, None, group, flags)?;
        }
        let mode = Mode::from_raw_mode(MODE);
        rustix::fs::chmodat(&self.dir, &self.name, mode, AtFlags::empty())?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(UnixListener::from(socket))
    }

    fn error(&self, source: Errno) -> SocketError {
        SocketError::Make { path: self.path.clone(), source: source.into() }
    }
}

impl AdminSocket {
    /// Listens at this path, for our own user and the group with this number,
    /// by default our own.
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self, SocketError> {
        let way = Way::to(path).map_err(|source| SocketError::Directory {
            path: path.parent().unwrap_or(path).to_owned(),
            source,
        })?;
        // Of two servers that start at once, one would remove the other's new
        // socket as one that nobody listens behind yet.
        match rustix::fs::flock(&way.dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(SocketError::Served(path.to_owned())),
            Err(e) => return Err(way.error(e)),
        }
        way.clear()?;
        let listener = way.listen(group).map_err(|e| way.error(e))?;
        let (_, file) = way.file().map_err(|e| way.error(e))?;
        rustix::fs::flock(&way.dir, FlockOperation::Unlock).map_err(|e| way.error(e))?;
        Ok(AdminSocket { listener, way, file })
    }

    /// The socket, for an executor. It does not block.
    pub fn listener(&self) -> std::io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // Somebody may have removed it, and another server have its own there.
        if self.way.file().is_ok_and(|(_, file)| file == self.file) {
            let _ = rustix::fs::unlinkat(&self.way.dir, &self.way.name, AtFlags::empty());
        }
    }
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The number of the group that shares the socket: where we are root, and
/// such a group is on this host.
pub fn group() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    group_number(&std::fs::read_to_string("/etc/group").ok()?, GROUP)
}

/// The number of the group with this name in a text such as `/etc/group`.
fn group_number(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Lets a group pass through a directory that is ours alone, on its way to a
/// socket in it. What is in the directory stays as it is, and cannot be listed.
pub fn let_through(dir: &Path, group: u32) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(dir, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&opened)?;
    let ours = found.st_uid == rustix::process::geteuid().as_raw();
    if ours && found.st_mode & 0o777 == 0o700 {
        rustix::fs::fchown(&opened, None, Some(rustix::fs::Gid::from_raw(group)))?;
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o710))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixStream;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_is_for_its_user_and_group_and_goes_with_its_server() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.sock");
        let socket = AdminSocket::bind(&path, None).expect("made");
        assert_eq!(mode(&path), 0o660);
        UnixStream::connect(&path).expect("somebody listens");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_server_is_refused_and_takes_nothing_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.sock");
        let first = AdminSocket::bind(&path, None).expect("made");
        let refused = AdminSocket::bind(&path, None).expect_err("refused").to_string();
        assert!(refused.contains("another afterglow-server listens at"), "{refused}");
        // Nor when the first one takes no connections any more.
        let waiting: Vec<_> = (0..=BACKLOG)
            .map_while(|_| {
                let waiting = socket().ok()?;
                let address = SocketAddrUnix::new(&path).ok()?;
                rustix::net::connect(&waiting, &address).ok().map(|()| waiting)
            })
            .collect();
        assert!(waiting.len() as i32 > BACKLOG / 2);
        let refused = AdminSocket::bind(&path, None).expect_err("refused");
        assert!(matches!(refused, SocketError::Served(_)), "{refused}");
        drop(first);
        AdminSocket::bind(&path, None).expect("the place is free");
    }

    #[test]
    fn what_a_dead_server_left_is_replaced_and_what_is_no_socket_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.sock");
        drop(UnixListener::bind(&path).expect("made"));
        assert!(path.exists());
        let socket = AdminSocket::bind(&path, None).expect("replaced");
        // A server never removes another's socket.
        std::fs::remove_file(&path).expect("removed");
        let another = UnixListener::bind(&path).expect("made");
        drop(socket);
        assert!(path.exists());
        drop(another);
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "precious").expect("written");
        let refused = AdminSocket::bind(&path, None).expect_err("refused").to_string();
        assert!(refused.contains("is not a socket; remove it"), "{refused}");
        assert_eq!(std::fs::read(&path).expect("kept"), b"precious");
        let nowhere = dir.path().join("nowhere/admin.sock");
        let refused = AdminSocket::bind(&nowhere, None).expect_err("refused").to_string();
        assert!(refused.contains("make the directory"), "{refused}");
    }

    #[test]
    fn a_path_may_be_longer_than_a_sockets_address() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&dir).expect("made");
        let path = dir.join("admin.sock");
        let _socket = AdminSocket::bind(&path, None).expect("made");
        assert!(AdminSocket::bind(&path, None).is_err());
        let way = Way::to(&path).expect("opened");
        UnixStream::connect(way.short()).expect("somebody listens");
    }

    #[test]
    fn the_group_may_pass_through_a_closed_directory_and_no_other_is_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let us = std::fs::metadata(dir.path()).expect("is there").gid();
        let closed = |mode| {
            std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).expect("changed");
        };
        closed(0o700);
        let_through(dir.path(), us).expect("changed");
        assert_eq!(mode(dir.path()), 0o710);
        closed(0o750);
        let_through(dir.path(), us).expect("left");
        assert_eq!(mode(dir.path()), 0o750);
    }

    #[test]
    fn a_groups_number_is_found() {
        let groups = "root:x:0:\nafterglow-old:x:7:\nafterglow:x:991:ada,bob\nbad\n";
        assert_eq!(group_number(groups, GROUP), Some(991));
        assert_eq!(group_number("root:x:0:\nafterglow:x\n", GROUP), None);
    }
}
