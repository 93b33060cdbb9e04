//! The server and the session of Afterglow.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`config`] | `afterglow.toml` |
//! | [`init`] | `afterglow-server init` |
//! | [`server`] | `afterglow-server run`: the shell around the decisions |
//! | [`admin`] | the admin link: what `afterglowctl` asks and the server answers |
//! | [`core`] | all of a server's decisions, composed (no I/O) |
//! | [`group`] | group manager: who is there, who has a token's session (no I/O) |
//! | [`auth`] | authentication manager: is a token legitimate (no I/O) |
//! | [`session`] | session manager: where a token's session is to run (no I/O) |
//! | [`store`] | what must outlive any server |
//! | [`keeper`] | `afterglow-session keeper`: X server, services, worker |
//! | [`worker`] | `afterglow-session worker`: the display link of one session |
//! | [`desktop`] | the session's X server: capture, input, layout, size |
//! | [`display`] | the encoder: what changed, at the least cost (no I/O) |

pub mod admin;
pub mod auth;
pub mod config;
pub mod core;
pub mod desktop;
pub mod display;
pub mod group;
pub mod init;
pub mod keeper;
pub mod server;
pub mod session;
pub mod store;
pub mod worker;
