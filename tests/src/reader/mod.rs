//! A private card reader: pcscd and vpcd in namespaces of their own, so that
//! nobody else on the machine or the network meets them, and the card in it.
//!
//! The programs are Debian's, installed or unpacked under `target/reader` by
//! the set-up. A helper program of ours runs inside the namespaces and obeys
//! words on its standard input; it ends all of it when that is closed.

use crate::{programs, wait};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub mod card;
pub mod inside;

/// The id of the card that lies beside the reader, as its reader tells it.
pub const CARD_UID: [u8; 4] = [0xca, 0xfe, 0x47, 0x11];

/// The reader; it ends when this is dropped.
pub struct Reader {
    helper: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
    socket: PathBuf,
    log: PathBuf,
}

impl Reader {
    /// Starts a reader without a card; its files go into `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        let directory = crate::dtu::private(&directory.join("reader"))?;
        let helper = programs::path("afterglow-test-reader")?;
        let log = directory.join("reader.log");
        let mut command = namespaces()?;
        command
            .arg(helper)
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?);
        let mut helper = command.spawn().context("cannot start the private reader")?;
        let words = helper.stdin.take().context("its standard input is a pipe")?;
        let answers = BufReader::new(helper.stdout.take().context("its output is a pipe")?);
        let socket = directory.join("run/pcscd.comm");
        let mut reader = Reader { helper, words, answers, socket, log };
        reader.say("start")?;
        Ok(reader)
    }

    /// Where this reader's pcscd listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Puts the card in.
    pub fn insert(&mut self) -> Result<()> {
        self.say("insert")
    }

    /// Takes the card out.
    pub fn remove(&mut self) -> Result<()> {
        self.say("remove")
    }

    /// Kills pcscd.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.say("kill")
    }

    /// Starts pcscd again, and waits until it listens.
    pub fn start_daemon(&mut self) -> Result<()> {
        self.say("start")
    }

    fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.words, "{word}").context("the private reader has ended")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim() {
            "done" => Ok(()),
            // It ended, and said why to its log alone.
            "" => {
                let why = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the private reader cannot {word}: {}", why.trim())
            }
            answer => bail!("the private reader cannot {word}: {answer}"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It ends everything by itself; if it cannot be told, kill it.
        let told = writeln!(self.words, "end").is_ok();
        let ended = told
            && wait::until_true("the reader ends", || Ok(self.helper.try_wait()?.is_some()))
                .is_ok();
        if !ended {
            let _ = self.helper.kill();
            let _ = self.helper.wait();
        }
    }
}

/// `unshare` with a mount and a network namespace, as root or as a user who
/// may make namespaces.
fn namespaces() -> Result<Command> {
    for flags in ["-mn", "-Urmn"] {
        let tried = Command::new("unshare").args([flags, "true"]).output();
        if tried.context("cannot run 'unshare' (util-linux)")?.status.success() {
            let mut command = Command::new("unshare");
            command.arg(flags).arg("--");
            return Ok(command);
        }
    }
    bail!(
        "this machine lets nobody make mount and network namespaces ('unshare -Urmn true' fails): \
         run the test as root, or allow user namespaces"
    )
}
