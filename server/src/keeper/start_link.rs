//! The link to the server that starts the session: standard input and output,
//! until the session runs by itself.

use afterglow_wire::codec::Message;
use afterglow_wire::local::{KeeperStart, SessionSpec, StartOrder, Started};
use anyhow::{Context as _, bail};
use std::io::{Read, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a start may be held. Servers take a directory that is older and
/// has no socket for what is left of a session.
pub const HELD_MAX: Duration = Duration::from_secs(30);

/// Why a held start is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// The server says so.
    #[error("the server discarded it")]
    Discarded,
    /// The server went away without a word.
    #[error("the server is gone: {0}")]
    ServerGone(String),
    /// The server said nothing.
    #[error("the server gave no order within {} s", .0.as_secs())]
    TooLong(Duration),
}

/// The orders about a start that waits for some.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Result<StartOrder, String>>);

/// Reads what the keeper is to bring up.
pub fn read_start() -> anyhow::Result<KeeperStart> {
    read_message(&mut std::io::stdin().lock())
}

impl Orders {
    /// Reads orders from the standard input until there can be no more, on a
    /// thread of its own: a standard input may be anything, and reading from
    /// it may block for ever.
    pub fn read() -> Self {
        let (sender, orders) = mpsc::channel(1);
        std::thread::spawn(move || {
            loop {
                let read = read_message(&mut std::io::stdin().lock());
                let last = !matches!(&read, Ok(StartOrder::Be(spec)) if spec.hold);
                // Nobody wants it if the start has failed.
                let sent = sender.blocking_send(read.map_err(|error| format!("{error:#}")));
                if last || sent.is_err() {
                    return;
                }
            }
        });
        Orders(orders)
    }

    async fn next(&mut self) -> Result<StartOrder, GivenUp> {
        match self.0.recv().await {
            Some(Ok(order)) => Ok(order),
            Some(Err(why)) => Err(GivenUp::ServerGone(why)),
            None => Err(GivenUp::ServerGone("nobody reads what it says".into())),
        }
    }

    /// Waits until a warm keeper is told which session to be, however long
    /// that takes.
    pub async fn be(&mut self) -> Result<SessionSpec, GivenUp> {
        match self.next().await? {
            StartOrder::Be(spec) => Ok(*spec),
            StartOrder::Go | StartOrder::Discard => Err(GivenUp::Discarded),
        }
    }

    /// Waits until a held start is wanted, for at most `limit`.
    pub async fn go(&mut self, limit: Duration) -> Result<(), GivenUp> {
        match tokio::time::timeout(limit, self.next()).await {
            Ok(Ok(StartOrder::Go)) => Ok(()),
            Ok(Ok(StartOrder::Discard | StartOrder::Be(_))) => Err(GivenUp::Discarded),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(GivenUp::TooLong(limit)),
        }
    }
}

fn read_message<M: Message>(input: &mut impl Read) -> anyhow::Result<M> {
    let mut len = [0; 4];
    input.read_exact(&mut len).context("the input ended")?;
    let len = u32::from_le_bytes(len) as usize;
    if len > M::BYTES_MAX {
        bail!("a message of {len} bytes is too long");
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes).context("the input ended")?;
    Ok(M::decode(bytes.into())?)
}

/// Tells the server how the start goes.
pub fn report(started: &Started) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&started.encode_framed()).context("cannot tell the server")?;
    stdout.flush().context("cannot tell the server")
}

/// Puts `/dev/null` in the place of standard input and output, so that
/// nothing ties the keeper to the server that started it.
pub fn let_go() -> std::io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in [0, 1] {
        // SAFETY: 0 and 1 are open in every process that the standard library
        // started, and `ManuallyDrop` keeps them from being closed here.
        let mut stream = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup2(&null, &mut stream)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_refused_before_it_is_read() {
        let read = |mut bytes: &[u8]| read_message::<StartOrder>(&mut bytes);
        assert_eq!(read(&StartOrder::Go.encode_framed()).unwrap(), StartOrder::Go);
        assert!(read(&[]).is_err());
        assert!(read(&[1, 0, 0, 0]).is_err());
        assert!(read(&[1, 0, 0, 0, 7]).is_err());
        assert!(read(&[0xff; 64]).unwrap_err().to_string().contains("too long"));
    }

    async fn told(order: Result<StartOrder, String>) -> Result<(), GivenUp> {
        let (sender, orders) = mpsc::channel(1);
        sender.send(order).await.unwrap();
        Orders(orders).go(HELD_MAX).await
    }

    #[tokio::test]
    async fn only_a_go_within_the_time_lets_a_held_start_go_on() {
        assert_eq!(told(Ok(StartOrder::Go)).await, Ok(()));
        assert_eq!(told(Ok(StartOrder::Discard)).await, Err(GivenUp::Discarded));
        let gone = told(Err("the input ended".into())).await;
        assert_eq!(gone, Err(GivenUp::ServerGone("the input ended".into())));

        let (sender, orders) = mpsc::channel(1);
        let limit = Duration::from_millis(5);
        let mut orders = Orders(orders);
        assert_eq!(orders.go(limit).await, Err(GivenUp::TooLong(limit)));
        assert!(!sender.is_closed());
        drop(orders);
        assert!(sender.is_closed());
    }
}
