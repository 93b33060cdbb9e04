//! Where the listed servers are.

use crate::config::PeerAddress;
use std::net::{SocketAddr, SocketAddrV4};

/// The addresses of listed servers; those that cannot be found are logged.
pub async fn resolve(peers: &[PeerAddress]) -> Vec<SocketAddrV4> {
    let mut found = Vec::new();
    for peer in peers {
        match tokio::net::lookup_host((peer.host.as_str(), peer.port)).await {
            Ok(addresses) => found.extend(addresses.filter_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })),
            Err(e) => tracing::warn!("peer {}:{} is not found: {e}", peer.host, peer.port),
        }
    }
    found
}
