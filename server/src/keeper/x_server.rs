//! Xvfb and its cookie.

use super::ending;
use super::noted::{self, Part};
use super::output::{self, Tail};
use super::program::SESSION_VARIABLE;
use super::random::random;
use super::session_dir::mark;
use crate::desktop::{COOKIE_BYTES, COOKIE_KIND, Display};
use afterglow_wire::ids::Size;
use rustix::fs::{MemfdFlags, memfd_create};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};

/// How long Xvfb may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Any host, in an Xauthority file.
const FAMILY_WILD: u16 = 0xffff;

/// The directory in which Xvfb looks for the file of its framebuffer, and the
/// name that it has there.
const FRAMEBUFFER_DIR: &str = "framebuffer";
const FRAMEBUFFER: &str = "Xvfb_screen0";

/// A running X server.
#[derive(Debug)]
pub struct XServer {
    /// Where it is.
    pub display: Display,
    /// The process.
    pub process: Child,
    /// What it said last.
    pub said: Tail,
}

impl XServer {
    /// Ends it.
    pub async fn end(&mut self) {
        end(&mut self.process).await;
    }
}

/// Ends an X server's process in order.
pub async fn end(process: &mut Child) {
    ending::ask_group(process);
    ending::end_group(process).await;
}

/// What to tell the user of an X server's death.
pub async fn died(status: std::io::Result<ExitStatus>, said: &Tail) -> String {
    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
    let said = said.last_words().await;
    format!("the session's X server died{status}{said}")
}

/// What an X server that was just started has yet to say.
#[derive(Debug)]
pub struct Starting {
    stdout: ChildStdout,
    said: Tail,
    cookie: [u8; COOKIE_BYTES],
    authority_file: PathBuf,
    display_file: PathBuf,
}

/// Starts Xvfb. The error is for the user.
pub fn spawn(dir: &Path, size_max: Size) -> Result<(Child, Tail, Starting), String> {
    let cookie = random()?;
    let authority_file = dir.join("Xauthority");
    write_authority(&authority_file, &cookie)
        .map_err(|e| format!("cannot write {}: {e}", authority_file.display()))?;
    let framebuffer = framebuffer(&dir.join(FRAMEBUFFER_DIR))?;
    let mut process = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", &format!("{size_max}x24"), "-dpi", "96"])
        .arg("-auth")
        .arg(&authority_file)
        .args(["-noreset", "-nolisten", "tcp", "-extension", "GLX"])
        // No screen saver: the DTU has the screen.
        .args(["-s", "0"])
        // Workers read its pixels where it has them (`desktop::live`).
        .arg("-fbdir")
        .arg(dir.join(FRAMEBUFFER_DIR))
        .env(SESSION_VARIABLE, mark(dir))
        .stdin(framebuffer)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                "Xvfb is not installed on the server: install the package xvfb".to_owned()
            }
            _ => format!("cannot start Xvfb: {error}"),
        })?;
    if let Some(pid) = ending::pid_of(&process) {
        noted::note(dir, Part::XServer, pid);
    }
    let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
        return Err("cannot read what Xvfb says".into());
    };
    let stderr = stderr.into_owned_fd().map_err(|e| format!("cannot read Xvfb's errors: {e}"))?;
    let said = output::collect(stderr, &dir.join("Xvfb.log"))
        .map_err(|e| format!("cannot read what Xvfb says: {e}"))?;
    let display_file = dir.join("display");
    let starting = Starting { stdout, said: said.clone(), cookie, authority_file, display_file };
    Ok((process, said, starting))
}

/// The memory that Xvfb is to keep its screen in. It is given to it as its
/// standard input, and the file that it opens is a link to that: so the memory
/// belongs to no file system that could be full, and is gone with the session.
fn framebuffer(dir: &Path) -> Result<OwnedFd, String> {
    let make = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let link = dir.join(FRAMEBUFFER);
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink("/proc/self/fd/0", link)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(memfd_create("afterglow-framebuffer", flags)?)
    };
    make().map_err(|error| format!("cannot prepare the framebuffer in {}: {error}", dir.display()))
}

impl Starting {
    /// Waits until the X server is ready, and tells where it is.
    pub async fn ready(mut self) -> Result<Display, String> {
        let number = tokio::time::timeout(READY_WITHIN, display_number(&mut self.stdout));
        let number = match number.await {
            Ok(number) => number,
            Err(_) => Err(format!("it was not ready within {} s", READY_WITHIN.as_secs())),
        };
        let number = match number {
            Ok(number) => number,
            Err(why) => {
                return Err(format!("Xvfb did not start: {why}{}", self.said.last_words().await));
            }
        };
        let Starting { cookie, authority_file, display_file, .. } = self;
        let display = Display { number, cookie, authority_file };
        std::fs::write(&display_file, format!("{}\n", display.name()))
            .map_err(|e| format!("cannot write {}: {e}", display_file.display()))?;
        Ok(display)
    }
}

/// Reads the line that `-displayfd` writes once the X server is ready.
async fn display_number(stdout: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<u16, String> {
    let mut line = Vec::new();
    loop {
        let byte = match stdout.read_u8().await {
            Ok(byte) => byte,
            Err(_) => return Err("it ended at once".into()),
        };
        match byte {
            b'\n' => break,
            b'0'..=b'9' if line.len() < 5 => line.push(byte),
            _ => return Err("its display number is not a number".into()),
        }
    }
    let text = String::from_utf8_lossy(&line);
    text.parse().map_err(|_| "its display number is not a number".into())
}

/// Writes a file in the form of Xauthority: a family, then four fields, each
/// with its length in front, big endian.
fn write_authority(path: &Path, cookie: &[u8]) -> std::io::Result<()> {
    let mut content = FAMILY_WILD.to_be_bytes().to_vec();
    let (any_address, any_display): (&[u8], &[u8]) = (b"", b"");
    for field in [any_address, any_display, COOKIE_KIND, cookie] {
        content.extend_from_slice(&(field.len() as u16).to_be_bytes());
        content.extend_from_slice(field);
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_authority_file_is_private_and_in_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Xauthority");
        write_authority(&path, &[7; 16]).unwrap();
        let content = std::fs::read(&path).unwrap();
        let expected = [&[0xff, 0xff, 0, 0, 0, 0, 0, 18], COOKIE_KIND, &[0, 16], &[7; 16]].concat();
        assert_eq!(content, expected);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn only_a_number_is_a_display() {
        let number = async |mut text: &[u8]| display_number(&mut text).await.ok();
        assert_eq!(number(b"17\n").await, Some(17));
        assert_eq!(number(b"").await, None);
        assert_eq!(number(b"error\n").await, None);
        assert_eq!(number(b"123456\n").await, None);
    }
}
