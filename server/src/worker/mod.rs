//! `afterglow-session worker`: the display link of one session.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`core`] | who may attach, who is attached, what their messages do (no I/O) |
//! | [`shell`] | the loop that feeds the core and does what it says |
//! | [`links`] | QUIC connections: accepted, bounded, read, written |
//! | [`painter`] | the thread that captures and encodes |
//! | [`typist`] | the thread that puts input in |
//!
//! The network is served by one thread, so that a key goes from its datagram
//! to the X server with one hand-over only.

pub mod core;
pub mod links;
pub mod painter;
pub mod shell;
pub mod typist;

pub use shell::run;
