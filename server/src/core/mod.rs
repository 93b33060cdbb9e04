//! All decisions of a server in one state machine without I/O.
//!
//! Time, randomness, messages and answers come in as [`Event`]s; messages,
//! questions and orders go out as [`Action`]s, which are done in order. The
//! server's shell and the simulation drive the same core.

mod action;
mod event;

pub use action::{Action, Launch, Level, LinkClose, Screen, StoreOperation};
pub use event::{Event, RequestId, StoreAnswer};

use crate::auth::Now;
use crate::config::Policy;
use crate::group::{GroupConfig, GroupManager};
use afterglow_wire::guard::Guards;
use afterglow_wire::trust::GroupKey;

/// Fills a buffer with fresh randomness.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// What does not change while the server runs.
pub struct CoreConfig {
    /// The group manager's part, the server's name and address among it.
    pub group: GroupConfig,
    /// Hashes tokens and signs tickets.
    pub key: GroupKey,
    /// Which tokens are accepted.
    pub policy: Policy,
    /// The most sessions on this host.
    pub sessions_max: usize,
    /// The directory of the users' home directories.
    pub home_root: String,
    /// A new session's desktop.
    pub desktop: Vec<String>,
    /// Which checks are made; all, but in a simulation that has to notice.
    pub guards: Guards,
}

/// A server's decisions.
pub struct ServerCore {
    config: CoreConfig,
    group: GroupManager,
}

impl ServerCore {
    /// A server that knows nobody yet.
    pub fn new(config: CoreConfig, random: Random) -> Self {
        let _ = random;
        ServerCore { group: GroupManager::new(config.group.clone()), config }
    }

    /// Takes an event and gives what is to be done, in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let _ = (now, event, &self.config);
        Vec::new()
    }

    /// When [`Event::Tick`] is due, on the steady clock; other events may come
    /// before.
    pub fn wake_ms(&self) -> Option<u64> {
        Some(self.group.next_tick_ms())
    }

    /// The servers that were heard.
    pub fn group(&self) -> &GroupManager {
        &self.group
    }
}
