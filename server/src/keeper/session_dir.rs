//! A session's own directory: what it is called, and what it says of the
//! session.
//!
//! Its name is random, so that nothing which happens to a session makes it
//! wrong: a copy may go on as another session in the directory that it has.
//! All processes of the session carry the name in their environment.

use afterglow_wire::ids::{Epoch, SessionId};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// The keeper's socket in the directory.
pub const SOCKET: &str = "keeper.sock";
/// The file that says which session it is, for people and tests. Servers ask
/// the keeper.
pub const IDENTITY: &str = "identity";
/// How many random bytes a name is made of.
pub const NAME_BYTES: usize = 8;

/// The name that these random bytes make: 16 hexadecimal digits.
pub fn name(random: [u8; NAME_BYTES]) -> String {
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// True if a session's directory may be called this.
pub fn is_name(name: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.len() == 2 * NAME_BYTES && name.bytes().all(digit)
}

/// By which the processes of the session in this directory are known.
pub fn mark(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Says which session it is: whole, or not at all.
pub fn write_identity(dir: &Path, session: SessionId, epoch: Epoch) -> Result<(), String> {
    let (path, new) = (dir.join(IDENTITY), dir.join("identity.new"));
    let write = || {
        let mut file = std::fs::File::create(&new)?;
        writeln!(file, "{session} {epoch}")?;
        std::fs::rename(&new, &path)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Which session the directory says it is.
pub fn read_identity(dir: &Path) -> Option<(SessionId, Epoch)> {
    let text = read_bounded(&dir.join(IDENTITY), 256)?;
    let (session, epoch) = text.trim_end().split_once(' ')?;
    Some((session.parse().ok()?, Epoch(epoch.parse().ok()?)))
}

/// A file's text, if it is a file and not longer than it should be.
pub fn read_bounded(path: &Path, max: u64) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > max {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(max).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sixteen_hexadecimal_digits_and_nothing_else_is_one() {
        assert_eq!(name([0, 1, 0xab, 3, 4, 5, 6, 0xff]), "0001ab03040506ff");
        assert!(is_name("0001ab03040506ff"));
        for wrong in
            ["", "0001ab03040506f", "0001AB03040506FF", "0001ab03040506ff.1", "../../../../x"]
        {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert_eq!(mark(Path::new("/run/sessions/0001ab03040506ff")), "0001ab03040506ff");
    }

    #[test]
    fn the_identity_is_read_as_it_was_written_last_and_garbage_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_identity(dir.path()), None);
        for epoch in [Epoch(1), Epoch(7)] {
            write_identity(dir.path(), SessionId([9; 16]), epoch).unwrap();
            assert_eq!(read_identity(dir.path()), Some((SessionId([9; 16]), epoch)));
        }
        for garbage in [&b""[..], b"x", b"\xff\xff 1", &[b'0'; 10_000]] {
            std::fs::write(dir.path().join(IDENTITY), garbage).unwrap();
            assert_eq!(read_identity(dir.path()), None);
        }
    }
}
