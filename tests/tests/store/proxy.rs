//! A wire between a server and its database that can be cut: what was open
//! then never says anything again, however long one waits, as TCP sends again
//! ever more rarely. It may then lead to another database.

use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The wire; it is gone when this is dropped.
pub struct Proxy {
    port: u16,
    /// Grows with each cut; odd while it is cut.
    cuts: watch::Sender<u64>,
    target: Arc<Mutex<u16>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A wire to this port of the loopback.
    pub async fn to(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let target = Arc::new(Mutex::new(target));
        let (cuts, seen) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, target.clone(), seen));
        Ok(Proxy { port, cuts, target, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts |= 1);
    }

    /// Lets new connections through again.
    pub fn heal(&self) {
        self.cuts.send_modify(|cuts| *cuts += *cuts % 2);
    }

    /// Leads new connections elsewhere.
    pub fn lead_to(&self, port: u16) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = port;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<u16>>, cuts: watch::Receiver<u64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let port = *target.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(carry(stream, (Ipv4Addr::LOCALHOST, port).into(), cuts.clone()));
    }
}

async fn carry(stream: TcpStream, target: SocketAddr, mut cuts: watch::Receiver<u64>) {
    let here = *cuts.borrow_and_update();
    let both = async {
        if here % 2 == 1 {
            return std::future::pending().await;
        }
        // Who refuses us refuses whoever came to us.
        let Ok(to) = TcpStream::connect(target).await else { return };
        let ((from_read, from_write), (to_read, to_write)) = (stream.into_split(), to.into_split());
        tokio::select! {
            () = copy(from_read, to_write) => {}
            () = copy(to_read, from_write) => {}
        }
    };
    let mut both = std::pin::pin!(both);
    tokio::select! {
        biased;
        _ = cuts.wait_for(|now| *now != here) => {}
        () = &mut both => return,
    }
    // Both ends stay open, and neither hears anything.
    let _held = both;
    std::future::pending::<()>().await;
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
