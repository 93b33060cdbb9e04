//! The files of the proof: `home_root/.afterglow/NAME`, each written by the
//! server of that name.
//!
//! What is there may be anybody's doing: a link is not followed, a pipe not
//! waited for, a file that is too long not read to its end.

use crate::group::homes::{Found, Mark};
use afterglow_wire::ids::{ServerName, hex};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The directory under `home_root`.
const DIR: &str = ".afterglow";
/// The longest file that is read; a right one is shorter.
const BYTES_MAX: u64 = 256;

/// The files under one `home_root`.
#[derive(Debug, Clone)]
pub struct Proofs {
    home_root: PathBuf,
    own: ServerName,
}

impl Proofs {
    /// Those of the server of this name.
    pub fn new(home_root: &Path, own: &ServerName) -> Self {
        Proofs { home_root: home_root.to_owned(), own: own.clone() }
    }

    /// Writes our file anew and gives its mark. Waits for the file system.
    pub fn write(&self, nonce: &[u8; 32]) -> Result<Mark, String> {
        let text = format!("{}\n", hex(nonce));
        let path = self.home_root.join(DIR).join(self.own.as_str());
        match self.write_text(&text) {
            Ok(()) => Ok(mark(text.as_bytes())),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(format!("{} is no directory", self.home_root.join(DIR).display()))
            }
            Err(e) => Err(format!("cannot write {}: {e}", path.display())),
        }
    }

    fn write_text(&self, text: &str) -> Result<(), Errno> {
        match rustix::fs::mkdirat(CWD, self.home_root.join(DIR), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let dir = self.open_dir()?;
        if rustix::fs::fstat(&dir)?.st_mode & 0o077 != 0 {
            rustix::fs::fchmod(&dir, Mode::RWXU)?;
        }
        // Beside it and then in its place, so that nobody reads a part of it.
        let beside = format!(".{}.new", self.own);
        match rustix::fs::unlinkat(&dir, &beside, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, &beside, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        done.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        drop(file);
        rustix::fs::renameat(&dir, &beside, &dir, self.own.as_str())
    }

    /// Reads another server's file. Waits for the file system.
    pub fn read(&self, server: &ServerName) -> Found {
        let path = self.home_root.join(DIR).join(server.as_str());
        let path = path.display();
        match self.read_bytes(server) {
            Ok(Some(bytes)) if bytes.len() as u64 > BYTES_MAX => {
                Found::Strange(format!("{path} is longer than a server writes it"))
            }
            Ok(Some(bytes)) => Found::File(mark(&bytes)),
            Ok(None) => Found::Strange(format!("{path} is no regular file")),
            Err(Errno::NOENT) => Found::Nothing,
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
                Found::Strange(format!("{path} is no regular file"))
            }
            Err(e) => Found::Failed(format!("cannot read {path}: {e}")),
        }
    }

    /// At most one byte more than there may be; nothing if it is no file.
    fn read_bytes(&self, server: &ServerName) -> Result<Option<Vec<u8>>, Errno> {
        let dir = self.open_dir()?;
        // A network file system may remember what was not there before.
        let fresh = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let _ = rustix::fs::statx(&dir, "", fresh, StatxFlags::BASIC_STATS);
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, server.as_str(), flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if kind != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Ok(Some(bytes))
    }

    fn open_dir(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(self.home_root.join(DIR), flags, Mode::empty())
    }
}

/// The first bytes of the SHA-256.
fn mark(bytes: &[u8]) -> Mark {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut mark = Mark::default();
    for (to, from) in mark.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    /// Two servers' files, under these directories.
    fn pair(mud: &Path, host05: &Path) -> (Proofs, Proofs) {
        (Proofs::new(mud, &name("mud")), Proofs::new(host05, &name("host05")))
    }

    fn strange(found: Found) -> String {
        match found {
            Found::Strange(text) => text,
            other => panic!("not strange: {other:?}"),
        }
    }

    #[test]
    fn what_one_writes_into_a_shared_directory_the_other_reads() {
        let root = tempfile::tempdir().expect("a directory");
        let (mud, host05) = pair(root.path(), root.path());
        let first = mud.write(&[1; 32]).expect("written");
        assert_eq!(host05.read(&name("mud")), Found::File(first));
        let second = mud.write(&[2; 32]).expect("written");
        assert_ne!(first, second);
        assert_eq!(host05.read(&name("mud")), Found::File(second));
        let dir = root.path().join(DIR);
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!((mode(&dir) & 0o777, mode(&dir.join("mud")) & 0o777), (0o700, 0o600));
        // Nothing else is left there.
        assert_eq!(std::fs::read_dir(&dir).expect("read").count(), 1);
    }

    #[test]
    fn directories_that_are_not_shared_prove_nothing() {
        let (one, two) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let (mud, host05) = pair(one.path(), two.path());
        let right = mud.write(&[1; 32]).expect("written");
        // No directory of the proof's at all, then one without the file.
        assert_eq!(host05.read(&name("mud")), Found::Nothing);
        host05.write(&[1; 32]).expect("written");
        assert_eq!(host05.read(&name("mud")), Found::Nothing);
        // One that was copied once.
        std::fs::write(two.path().join(DIR).join("mud"), "old\n").expect("written");
        let Found::File(other) = host05.read(&name("mud")) else { panic!("a file") };
        assert_ne!(other, right);
        let (mud, _) = pair(&one.path().join("missing"), two.path());
        assert_eq!(mud.read(&name("host05")), Found::Nothing);
        assert!(mud.write(&[1; 32]).expect_err("no home_root").contains("cannot write"));
    }

    #[test]
    fn a_pipe_a_link_a_directory_and_a_long_file_are_no_proof_and_hold_nobody_up() {
        let root = tempfile::tempdir().expect("a directory");
        let (mud, host05) = pair(root.path(), root.path());
        mud.write(&[1; 32]).expect("written");
        let file = root.path().join(DIR).join("mud");
        std::fs::rename(&file, root.path().join("elsewhere")).expect("moved");
        symlink(root.path().join("elsewhere"), &file).expect("linked");
        assert!(strange(host05.read(&name("mud"))).contains("no regular file"));
        std::fs::remove_file(&file).expect("removed");
        let pipe = FileType::Fifo;
        rustix::fs::mknodat(CWD, &file, pipe, Mode::RUSR | Mode::WUSR, 0).expect("made");
        assert!(strange(host05.read(&name("mud"))).contains("no regular file"));
        std::fs::remove_file(&file).expect("removed");
        std::fs::create_dir(&file).expect("made");
        assert!(strange(host05.read(&name("mud"))).contains("no regular file"));
        std::fs::remove_dir(&file).expect("removed");
        let long = File::create(&file).expect("made");
        long.set_len(1 << 40).expect("a long file, of holes");
        assert!(strange(host05.read(&name("mud"))).contains("longer than"));
        // Its own server puts it right.
        let right = mud.write(&[2; 32]).expect("written");
        assert_eq!(host05.read(&name("mud")), Found::File(right));
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_not_followed() {
        let (root, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let (mud, host05) = pair(root.path(), root.path());
        symlink(other.path(), root.path().join(DIR)).expect("linked");
        assert!(mud.write(&[1; 32]).expect_err("a link").contains("is no directory"));
        assert!(strange(host05.read(&name("mud"))).contains("no regular file"));
        assert_eq!(std::fs::read_dir(other.path()).expect("read").count(), 0);
        // One that others may look into is closed.
        std::fs::remove_file(root.path().join(DIR)).expect("removed");
        let dir = root.path().join(DIR);
        std::fs::create_dir(&dir).expect("made");
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).expect("opened");
        mud.write(&[1; 32]).expect("written");
        let mode = std::fs::metadata(&dir).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
