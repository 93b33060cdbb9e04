//! The network thread: the shell around the connection logic.

use crate::event_log::EventLog;
use crate::state_dir::StateDir;
use crate::{token, view};
use afterglow_wire::ids::GroupId;
use std::thread::JoinHandle;

/// What the network thread works with.
#[derive(Debug)]
pub struct Options {
    /// `--server HOST[:PORT]`, as given.
    pub servers: Vec<String>,
    /// `--group`: the only group to be accepted.
    pub group: Option<GroupId>,
    /// `--token`.
    pub token: token::Choice,
    /// `--reader`: a part of the reader's name.
    pub reader: Option<String>,
    /// What people call this DTU: its host's name.
    pub dtu_name: String,
    /// The DTU's key and what it remembers.
    pub state: StateDir,
    /// Where events go.
    pub event_log: EventLog,
}

/// Starts the network thread. It ends when the window is closed or a signal
/// asks for it, and has then told the window to quit.
pub fn spawn(
    options: Options,
    window: Box<dyn Fn(view::ToWindow) + Send + Sync>,
    from_window: tokio::sync::mpsc::Receiver<view::FromWindow>,
) -> JoinHandle<()> {
    let _ = (options, window, from_window);
    std::thread::spawn(|| ())
}
