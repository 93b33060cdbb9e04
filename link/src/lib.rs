//! The shared shell of Afterglow's links: QUIC endpoints, who the peer is,
//! messages on streams.
//!
//! The DTU, the server and the session all open or accept QUIC connections in
//! the same way; this crate is that way, and holds no decision of theirs.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod quic;
pub mod stream;
pub mod tls;
