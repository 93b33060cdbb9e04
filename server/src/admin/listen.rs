//! The server's end of the admin link.

use super::protocol::{LineError, REQUEST_BYTES_MAX, Request, Response};
use super::socket::{self, AdminSocket, SocketError};
use crate::config::Config;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// The most connections at a time.
pub const CONNECTIONS_MAX: usize = 16;
/// How long a request may take to come, to be answered, and its answer to be
/// taken: each of the three.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server's end while it answers. It ends, and the socket's file goes, as
/// soon as this is dropped.
#[derive(Debug)]
pub struct AdminLink {
    task: JoinHandle<()>,
    _socket: AdminSocket,
}

impl Drop for AdminLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes the configured socket and answers there.
pub fn start<H, F>(config: &Config, handler: H) -> Result<AdminLink, SocketError>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let path = &config.admin_socket;
    let group = socket::group();
    if let Some(group) = group.filter(|_| path.parent() == Some(&config.runtime_dir))
        && let Err(e) = socket::let_through(&config.runtime_dir, group)
    {
        let dir = config.runtime_dir.display();
        tracing::warn!("{dir}: cannot let the group {} through: {e}", socket::GROUP);
    }
    let socket = AdminSocket::bind(path, group)?;
    let made = |source| SocketError::Make { path: path.clone(), source };
    let listener = UnixListener::from_std(socket.listener().map_err(made)?).map_err(made)?;
    Ok(AdminLink { task: tokio::spawn(serve(listener, handler)), _socket: socket })
}

/// Answers whoever connects, for as long as it is polled.
pub async fn serve<H, F>(listener: UnixListener, handler: H)
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(converse(stream, handler.clone()));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(e) => {
                    tracing::warn!("admin socket: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One line, which a new connection has room for.
fn turn_away(stream: &UnixStream) {
    let text = format!("{CONNECTIONS_MAX} connections are open already; try again later");
    let _ = stream.try_write(&Response::error(text).to_line());
}

async fn converse<H, F>(stream: UnixStream, handler: Arc<H>)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    loop {
        let seconds = REQUEST_TIME.as_secs();
        let (answer, goes_on) = match tokio::time::timeout(REQUEST_TIME, next_line(&mut reader))
            .await
        {
            Ok(Ok(Some(line))) => answer(&line, handler.as_ref()).await,
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => (Response::error(format!("no whole request came within {seconds} s")), false),
        };
        let line = answer.to_line();
        let written = tokio::time::timeout(REQUEST_TIME, write.write_all(&line)).await;
        if !goes_on || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// The next line, at most one byte longer than a request may be, so that it is
/// seen to be too long; `None` at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(REQUEST_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).await?;
    Ok((!line.is_empty()).then_some(line))
}

/// The answer, and whether more requests are taken after it.
async fn answer<H, F>(line: &[u8], handler: &H) -> (Response, bool)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let request = match Request::parse(line) {
        Ok(request) => request,
        // The rest of such a line would be taken for the next one.
        Err(e @ LineError::TooLong(_)) => return (Response::error(e.to_string()), false),
        Err(e @ LineError::Version(_)) => {
            let text = format!(
                "{e}; use the afterglowctl of this server's version, {}",
                env!("CARGO_PKG_VERSION")
            );
            return (Response::error(text), true);
        }
        Err(e) => return (Response::error(e.to_string()), true),
    };
    let time = REQUEST_TIME + request.patience();
    let answered = tokio::time::timeout(time, handler(request)).await;
    let seconds = time.as_secs();
    let late = |_| Response::error(format!("the server has no answer after {seconds} s"));
    (answered.unwrap_or_else(late), true)
}
