//! What a program prints: kept in a file of bounded length, and its last line
//! for the person who asks why it ended.

use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot};

/// What is kept of a program's output in its file; the rest is dropped.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of its end.
const TAIL_BYTES_MAX: usize = 1024;
/// How long what is in the pipe may take to be read. Only a program that
/// prints without end, or a file system that hangs, gets there.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// The end of what a program printed.
#[derive(Debug, Clone)]
pub struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Who sends into this hears, by the other end's end, once all that is in
    /// the pipe was read.
    read_on: mpsc::Sender<oneshot::Sender<()>>,
}

impl Tail {
    /// What a program that has ended printed last: a line that says something,
    /// with a colon in front; empty if there is none.
    pub async fn last_words(&self) -> String {
        // The pipe may have more than was read, and what the program left
        // behind may hold it open.
        let (done, all_read) = oneshot::channel();
        if self.read_on.send(done).await.is_ok() {
            let _ = tokio::time::timeout(READ_WITHIN, all_read).await;
        }
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        last_line(&bytes).map(|line| format!(": {line}")).unwrap_or_default()
    }
}

fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).collect())
}

fn push(bytes: &Mutex<Vec<u8>>, more: &[u8]) {
    let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
    bytes.extend_from_slice(more);
    let surplus = bytes.len().saturating_sub(TAIL_BYTES_MAX);
    bytes.drain(..surplus);
}

/// Reads a program's output, the reading end of a pipe, to its end.
pub fn collect(output: OwnedFd, file: &Path) -> io::Result<Tail> {
    let output = Receiver::from_owned_fd(output)?;
    let bytes = Arc::default();
    let (read_on, asked) = mpsc::channel(1);
    let reading =
        Reading { output, bytes: Arc::clone(&bytes), file: open(file), room: FILE_BYTES_MAX };
    tokio::spawn(reading.run(asked));
    Ok(Tail { bytes, read_on })
}

fn open(path: &Path) -> Option<tokio::fs::File> {
    let opened = File::options().create(true).append(true).open(path);
    opened
        .map(tokio::fs::File::from_std)
        .inspect_err(|error| tracing::warn!("cannot write {}: {error}", path.display()))
        .ok()
}

/// A program's output as it is read.
struct Reading {
    output: Receiver,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Where it is kept, as long as that can be written.
    file: Option<tokio::fs::File>,
    /// What may still be written there.
    room: usize,
}

impl Reading {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut buffer = [0; 4096];
        loop {
            let done = tokio::select! {
                ready = self.output.readable() => match ready {
                    Ok(()) => None,
                    Err(_) => return,
                },
                Some(done) = asked.recv() => Some(done),
            };
            loop {
                let read = match done {
                    // Whether there is more is asked of the pipe itself: the
                    // runtime may not have heard yet.
                    Some(_) => rustix::io::read(&self.output, &mut buffer).map_err(Errno::into),
                    None => self.output.try_read(&mut buffer),
                };
                match read {
                    Ok(0) => return,
                    Ok(len) => self.keep(&buffer[..len]).await,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return,
                }
            }
        }
    }

    async fn keep(&mut self, bytes: &[u8]) {
        push(&self.bytes, bytes);
        let kept = bytes.len().min(self.room);
        if let Some(open) = &mut self.file
            && (open.write_all(&bytes[..kept]).await.is_err() || open.flush().await.is_err())
        {
            self.file = None;
        }
        self.room -= kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        let tail = Mutex::new(Vec::new());
        let last = |tail: &Mutex<Vec<u8>>| last_line(&tail.lock().unwrap());
        assert_eq!(last(&tail), None);
        push(&tail, &[b'x'; 5000]);
        push(&tail, b"\ncannot open \x1b[1mfoo\n\n");
        assert_eq!(last(&tail).as_deref(), Some("cannot open [1mfoo"));
        assert!(tail.lock().unwrap().len() <= TAIL_BYTES_MAX);
    }

    #[tokio::test]
    async fn the_last_words_are_read_however_late_the_reader_is() {
        let dir = tempfile::tempdir().unwrap();
        for held_open in [false, true] {
            let (reader, mut writer) = io::pipe().unwrap();
            let file = dir.path().join(format!("{held_open}.log"));
            let tail = collect(reader.into(), &file).unwrap();
            // The reader did not run once: nothing was awaited.
            writer.write_all(b"first\nno route to host\n").unwrap();
            let left_behind = held_open.then(|| writer.try_clone().unwrap());
            drop(writer);
            assert_eq!(tail.last_words().await, ": no route to host");
            assert_eq!(tail.last_words().await, ": no route to host");
            drop(left_behind);
            assert_eq!(std::fs::read(&file).unwrap(), b"first\nno route to host\n");
        }
    }
}
