//! Why we close a control link: application codes, each with its words.

use quinn::{Connection, VarInt};

/// A reason to close a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The application code.
    pub code: u32,
    /// The words for it.
    pub reason: &'static str,
}

/// The server is being stopped; sessions go on.
pub const STOPPING: Close = Close { code: 1, reason: "the server is being stopped" };
/// The peer sent what is not a message of this link.
pub const PROTOCOL: Close = Close { code: 2, reason: "that was not a message of this link" };
/// The peer said nothing.
pub const SILENT: Close = Close { code: 3, reason: "no hello came in time" };
/// There are too many links.
pub const TOO_MANY: Close = Close { code: 4, reason: "the server has no room for more links" };
/// The peer speaks another version.
pub const VERSION: Close = Close { code: 5, reason: "this server speaks control version 1" };
/// The peer takes nothing from us.
pub const STUCK: Close = Close { code: 6, reason: "nothing that was sent was taken" };
/// The peer is no DTU.
pub const NOT_A_DTU: Close = Close { code: 7, reason: "only desktop units may come here" };
/// The same DTU opened another link.
pub const REPLACED: Close = Close { code: 8, reason: "this desktop unit opened another link" };

/// The peer inserts more often than anybody has reason to.
pub const TOO_OFTEN: Close = Close { code: 9, reason: "too many inserts in too short a time" };

impl Close {
    /// Closes the connection.
    pub fn apply(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self.code), self.reason.as_bytes());
    }
}
