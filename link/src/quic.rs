//! QUIC endpoints (RFC 9000, by quinn), tuned as measured.
//!
//! | setting | why |
//! | --- | --- |
//! | 4 MB socket buffers | the kernel's default loses packets of a burst even on loopback |
//! | MTU discovery up to 6500 bytes | a third of the time of 1200 for a full frame, where the path allows it |
//! | first window of ten of the largest packets | a probe for the MTU that is under way must not hold up a CONNECTION_CLOSE, which then never leaves |
//! | a first guess of 50 ms for the round trip | a lost first packet is sent again after 150 ms instead of a second, and probes and reconnections do not wait for it |
//! | one stream for each direction | a link is one ordered conversation |

use crate::tls;
use aws_lc_rs::hmac;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig, MtuDiscoveryConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
const MTU_MAX: u16 = 6500;
const UDP_PAYLOAD_MAX: u16 = 9000;
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// Why an endpoint or a connection cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be bound.
    #[error("cannot listen on UDP {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddrV4,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// TLS cannot be set up with these credentials.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The endpoint cannot be driven.
    #[error("cannot use the UDP socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The connection cannot be opened.
    #[error("cannot connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection was opened and failed.
    #[error("the connection failed: {0}")]
    Connection(#[from] quinn::ConnectionError),
}

/// How fast an end notices that the other is gone.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// After this long without any packet the connection is lost.
    pub idle_timeout: Duration,
    /// A packet is sent at least this often.
    pub keep_alive: Duration,
}

impl Liveness {
    /// Of a control link. The DTU suspects earlier, by missing `Alive`s.
    pub const CONTROL: Liveness = Liveness {
        idle_timeout: Duration::from_millis(3000),
        keep_alive: Duration::from_millis(500),
    };
    /// Of a display link.
    pub const DISPLAY: Liveness = Liveness {
        idle_timeout: Duration::from_millis(1500),
        keep_alive: Duration::from_millis(200),
    };
    /// Of a connection that does not know yet who is there.
    pub const PROBE: Liveness = Liveness {
        idle_timeout: Duration::from_millis(500),
        keep_alive: Duration::from_millis(100),
    };
}

/// A UDP socket with large buffers. The port may be 0.
pub fn bind_udp(address: SocketAddrV4) -> Result<UdpSocket, LinkError> {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel gives what its limits allow; less is slower, not wrong.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&SocketAddr::V4(address).into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(|source| LinkError::Bind { address, source })
}

/// An endpoint that accepts connections on this socket.
///
/// `reset_key` lets a later endpoint on the same port, which knows nothing of
/// this one's connections, tell their peers so at once (stateless reset,
/// RFC 9000 §10.3).
pub fn accepting_endpoint(
    socket: UdpSocket,
    tls: rustls::ServerConfig,
    liveness: Liveness,
    reset_key: Option<[u8; 32]>,
) -> Result<quinn::Endpoint, LinkError> {
    let crypto =
        QuicServerConfig::try_from(tls).map_err(|e| rustls::Error::General(e.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(liveness)));
    config.migration(false);
    let endpoint = endpoint_config(reset_key)?;
    Ok(quinn::Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime))?)
}

/// An endpoint that only opens connections, from a port of the system's choice.
pub fn opening_endpoint() -> Result<quinn::Endpoint, LinkError> {
    let any = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
    let socket = bind_udp(any)?;
    Ok(quinn::Endpoint::new(endpoint_config(None)?, None, socket, Arc::new(TokioRuntime))?)
}

/// Opens a connection and completes its handshake.
pub async fn connect(
    endpoint: &quinn::Endpoint,
    address: SocketAddrV4,
    tls: rustls::ClientConfig,
    liveness: Liveness,
) -> Result<quinn::Connection, LinkError> {
    let crypto =
        QuicClientConfig::try_from(tls).map_err(|e| rustls::Error::General(e.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(liveness)));
    // The name is part of TLS's form only; `tls::Accept` says who is accepted.
    Ok(endpoint.connect_with(config, address.into(), "afterglow.invalid")?.await?)
}

/// Opens the connection of a client with these credentials.
pub async fn connect_as(
    endpoint: &quinn::Endpoint,
    address: SocketAddrV4,
    credentials: &crate::certificates::Credentials,
    accept: tls::Accept,
    alpn: &[u8],
    liveness: Liveness,
) -> Result<quinn::Connection, LinkError> {
    connect(endpoint, address, tls::client_config(credentials, accept, alpn)?, liveness).await
}

fn endpoint_config(reset_key: Option<[u8; 32]>) -> Result<EndpointConfig, LinkError> {
    let mut config = match reset_key {
        None => EndpointConfig::default(),
        Some(key) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            let mut config = EndpointConfig::new(Arc::new(key));
            config.cid_generator(|| Box::new(RandomIds));
            config
        }
    };
    config
        .max_udp_payload_size(UDP_PAYLOAD_MAX)
        .map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(config)
}

/// Connection ids of which an endpoint cannot tell whether it made them
/// itself, so that it also resets connections of the endpoint before it.
/// (quinn's default marks them by a key that no other endpoint has.) Resets
/// are shorter than what they answer, and at most one in 20 ms.
struct RandomIds;

const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id)
            .unwrap_or_else(|_| unreachable!("the system's random source cannot fail"));
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn transport(liveness: Liveness) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_MAX);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(10 * u64::from(MTU_MAX));
    let mut transport = TransportConfig::default();
    let idle_ms = liveness.idle_timeout.as_millis() as u32;
    transport
        .max_idle_timeout(Some(VarInt::from_u32(idle_ms).into()))
        .keep_alive_interval(Some(liveness.keep_alive))
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(congestion))
        .max_concurrent_bidi_streams(1u32.into())
        .max_concurrent_uni_streams(0u32.into());
    transport
}
