//! The end of the admin link at which `afterglowctl` asks.

use super::protocol::{LineError, RESPONSE_BYTES_MAX, Request, Response, VERSION};
use super::socket::{GROUP, Way};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a server has for its answer: longer than it gives itself, so that
/// it can say what is wrong.
const ANSWER_TIME: Duration = Duration::from_secs(12);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no socket, or nobody behind it.
    #[error(
        "no afterglow-server listens at {}{}; start it, or say where it listens with --config \
         FILE or --socket PATH",
        path.display(),
        if *left { " any more" } else { "" }
    )]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// True if a server left its socket behind.
        left: bool,
    },
    /// The socket is not for this user.
    #[error(
        "you may not speak to the server at {}; become its user, or, if it runs as root on a \
         host with a group {GROUP}, a member of that: usermod -aG {GROUP} USER",
        .0.display()
    )]
    NotAllowed(PathBuf),
    /// It is busy with others, or stands still.
    #[error(
        "the server at {} gives no answer; see its log, and whether it stands still",
        .0.display()
    )]
    Silent(PathBuf),
    /// It speaks another version.
    #[error(
        "the server at {} speaks version {version} of the admin protocol, and this afterglowctl \
         version {VERSION}; use the afterglowctl that came with that server, or restart the \
         server if it was upgraded",
        path.display()
    )]
    Version {
        /// The socket.
        path: PathBuf,
        /// What the server speaks.
        version: u32,
    },
    /// Its answer is none.
    #[error(
        "what listens at {} gives no answer that this afterglowctl understands ({text}); use \
         the afterglowctl that came with that server",
        path.display()
    )]
    Strange {
        /// The socket.
        path: PathBuf,
        /// What is wrong with the answer.
        text: String,
    },
    /// The server did not do it.
    #[error("the server says: {0}")]
    Refused(String),
    /// Anything else.
    #[error("cannot speak to the server at {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Asks the server at this socket. The response is none in error.
pub async fn ask(path: &Path, request: &Request) -> Result<Response, AskError> {
    let path = path.to_owned();
    let time = ANSWER_TIME + request.patience();
    let line = match tokio::time::timeout(time, exchange(&path, request)).await {
        Ok(Ok(line)) => line,
        Ok(Err(e)) => return Err(failed(path, e)),
        Err(_) => return Err(AskError::Silent(path)),
    };
    match Response::parse(&line) {
        Ok(Response::Error { text }) => Err(AskError::Refused(text)),
        Ok(response) => Ok(response),
        Err(LineError::Version(version)) => Err(AskError::Version { path, version }),
        Err(e) => Err(AskError::Strange { path, text: e.to_string() }),
    }
}

async fn exchange(path: &Path, request: &Request) -> std::io::Result<Vec<u8>> {
    let way = Way::to(path)?;
    let mut stream = UnixStream::connect(way.short()).await?;
    // A server that turns us away may have closed before we wrote, and its
    // reason can be read all the same.
    match stream.write_all(&request.to_line()).await {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => return Err(e),
        _ => {}
    }
    read_line(&mut stream).await
}

async fn read_line(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let (mut line, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let len = stream.read(&mut chunk).await?;
        let came = &chunk[..len];
        let end = came.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&came[..end.unwrap_or(len)]);
        if end.is_some() || line.len() > RESPONSE_BYTES_MAX {
            return Ok(line);
        }
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn failed(path: PathBuf, source: std::io::Error) -> AskError {
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => AskError::Nobody { path, left: false },
        ErrorKind::ConnectionRefused => AskError::Nobody { path, left: true },
        ErrorKind::PermissionDenied => AskError::NotAllowed(path),
        ErrorKind::WouldBlock => AskError::Silent(path),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            AskError::Strange { path, text: "it closed the connection without a line".into() }
        }
        _ => AskError::Io { path, source },
    }
}
