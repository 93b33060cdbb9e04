//! The desktop unit (DTU): a window onto the session of whoever's token is in.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`connection`] | the decisions: where to connect, what to show (no I/O) |
//! | [`network`] | the shell around them: QUIC, UDP, timers |
//! | [`token`] | where tokens come from: cards, soft cards, the DTU itself |
//! | [`state_dir`] | the DTU's key and the groups it knows |
//! | [`view`] | what the user sees, as data |
//! | [`window`] | the winit window: events in, pictures out |
//! | [`render`] | display commands on the GPU |
//! | [`osd`] | the on-screen display |
//! | [`keyboard`] | scancodes, layout, hot keys, wheel |
//! | [`event_log`] | one JSON object a line |
//! | [`diagnostics`] | what frames cost, second by second |

pub mod cli;
pub mod connection;
pub mod diagnostics;
pub mod event_log;
pub mod keyboard;
pub mod network;
pub mod osd;
pub mod render;
pub mod state_dir;
pub mod token;
pub mod view;
pub mod window;
