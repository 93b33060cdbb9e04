//! What a program prints: kept in a file of bounded length, and its last line
//! for the person who asks why it ended.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// What is kept of a program's output in its file; the rest is dropped.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of its end.
const TAIL_BYTES_MAX: usize = 1024;

/// How the lines of `dbus-daemon` begin.
const BUS_PREFIXES: [&str; 2] = ["dbus-daemon[", "[session uid="];

/// The end of what a program printed.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// The last line that says something, and is not of the D-Bus daemon that
    /// the program was given.
    pub fn last_line(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let of_bus = |line: &str| BUS_PREFIXES.iter().any(|prefix| line.starts_with(prefix));
        let says = |line: &&str| !line.is_empty() && !of_bus(line);
        let line = text.lines().rev().map(str::trim).find(says)?;
        Some(line.chars().filter(|c| !c.is_control()).collect())
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes);
        let surplus = tail.len().saturating_sub(TAIL_BYTES_MAX);
        tail.drain(..surplus);
    }
}

/// Reads a program's output to its end. The task ends with the output.
pub fn collect(
    output: impl AsyncRead + Unpin + Send + 'static,
    file: &Path,
) -> (Tail, tokio::task::JoinHandle<()>) {
    let tail = Tail::default();
    let task = tokio::spawn(copy(output, file.to_owned(), tail.clone()));
    (tail, task)
}

async fn copy(mut output: impl AsyncRead + Unpin, path: std::path::PathBuf, tail: Tail) {
    let opened = tokio::fs::OpenOptions::new().create(true).append(true).open(&path).await;
    let mut file = match opened {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!("cannot write {}: {error}", path.display());
            None
        }
    };
    let mut room = FILE_BYTES_MAX;
    let mut buffer = [0; 4096];
    loop {
        let len = match output.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(len) => len,
        };
        tail.push(&buffer[..len]);
        let kept = len.min(room);
        if let Some(open) = &mut file
            && (open.write_all(&buffer[..kept]).await.is_err() || open.flush().await.is_err())
        {
            file = None;
        }
        room -= kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        let tail = Tail::default();
        assert_eq!(tail.last_line(), None);
        tail.push(&[b'x'; 5000]);
        tail.push(b"\ncannot open \x1b[1mfoo\n\n");
        assert_eq!(tail.last_line().as_deref(), Some("cannot open [1mfoo"));
        tail.push(b"[session uid=0 pid=7] Failed to set fd limit\n");
        assert_eq!(tail.last_line().as_deref(), Some("cannot open [1mfoo"));
        assert!(tail.0.lock().unwrap().len() <= TAIL_BYTES_MAX);
    }
}
