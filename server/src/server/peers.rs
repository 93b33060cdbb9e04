//! Where the listed servers are.

use crate::config::PeerAddress;
use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a name may take to be looked up.
const LOOK_UP_TIME: Duration = Duration::from_secs(5);

/// The listed servers, and where each was found last: a name service that
/// does not answer makes nobody forgotten.
#[derive(Debug, Default)]
pub struct Peers {
    found: BTreeMap<(String, u16), Vec<SocketAddrV4>>,
}

impl Peers {
    /// Looks all names up, at the same time, and gives the addresses. Names
    /// that cannot be found are logged.
    pub async fn look_up(&mut self, peers: &[PeerAddress]) -> Vec<SocketAddrV4> {
        let mut lookups = JoinSet::new();
        for peer in peers {
            let (host, port) = (peer.host.clone(), peer.port);
            lookups.spawn(async move {
                let found = tokio::net::lookup_host((host.as_str(), port));
                let found = tokio::time::timeout(LOOK_UP_TIME, found).await;
                let found = found.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                (host.clone(), port, found.map(|all| all.filter_map(v4).collect::<Vec<_>>()))
            });
        }
        while let Some(looked_up) = lookups.join_next().await {
            let Ok((host, port, found)) = looked_up else { continue };
            match found {
                Ok(addresses) => {
                    self.found.insert((host, port), addresses);
                }
                Err(e) => tracing::warn!("peer {host}:{port} is not found: {e}"),
            }
        }
        self.found.values().flatten().copied().collect()
    }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: &str) -> PeerAddress {
        PeerAddress { host: host.into(), port: 7009 }
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_any_more_is_where_it_was() {
        let mut peers = Peers::default();
        let before: SocketAddrV4 = "10.0.0.9:7009".parse().expect("an address");
        peers.found.insert(("no-such-host.invalid".into(), 7009), vec![before]);
        let found = peers.look_up(&[peer("127.0.0.1"), peer("no-such-host.invalid")]).await;
        let here = "127.0.0.1:7009".parse().expect("an address");
        assert_eq!(found, vec![here, before]);
    }
}
