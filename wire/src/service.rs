//! Services of a session: what the session manager starts, stops and restarts
//! beside the desktop (the patent's services, figure 5).

use crate::codec::{DecodeError, Reader, Wire};
use crate::ids::{InvalidName, invalid};
use crate::limits::SERVICE_NAME_CHARS_MAX;
use crate::local::CommandLine;
use bytes::BytesMut;
use std::fmt;
use std::str::FromStr;

/// A service's name in the catalogue: 1 to 32 lower-case letters, digits,
/// dots, hyphens and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=SERVICE_NAME_CHARS_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if !fits {
            return Err(invalid(
                "service name",
                text,
                "1 to 32 characters of a-z, 0-9, '.', '-' and '_'",
            ));
        }
        Ok(ServiceName(text.to_owned()))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for ServiceName {
    fn put(&self, out: &mut BytesMut) {
        crate::codec::put_bytes(out, self.0.as_bytes());
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let text = from.take_text("service name", SERVICE_NAME_CHARS_MAX)?;
        text.parse().map_err(|_| DecodeError::Invalid("service name"))
    }
}

wire_struct! {
    /// An entry of the catalogue.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServiceSpec {
        /// Its name.
        pub name: ServiceName,
        /// What runs.
        pub command: CommandLine,
        /// True if it is started with the session, and again whenever it
        /// ends.
        pub required: bool,
        /// True if it is to run as soon as the session does.
        pub start: bool,
        /// Where it runs, as `ssh` understands it (`user@host`), with its
        /// windows in the session; empty for the session's own host.
        pub host: String,
        /// What is run when a DTU connects to the session; may be empty.
        pub on_connect: CommandLine,
        /// What is run when the DTU disconnects; may be empty.
        pub on_disconnect: CommandLine,
    }
}

wire_choice! {
    /// How a service stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ServiceState {
        /// It does not run, and is not wanted to.
        Stopped = 0,
        /// It was started just now.
        Starting = 1,
        /// It runs.
        Running = 2,
        /// It ended although it was wanted; see its text.
        Failed = 3,
    }
}

wire_struct! {
    /// A service of a session, and how it stands.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServiceStatus {
        /// Its name.
        pub name: ServiceName,
        /// How it stands.
        pub state: ServiceState,
        /// True if it is started again whenever it ends.
        pub required: bool,
        /// Where it runs; empty for the session's own host.
        pub host: String,
        /// Why it failed, for the user; else empty.
        pub text: String,
    }
}

impl ServiceStatus {
    /// True if it runs, or is wanted to run although it failed.
    pub fn is_wanted(&self) -> bool {
        self.state != ServiceState::Stopped
    }
}

wire_choice! {
    /// What is to become of a service.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ServiceAct {
        /// Start it.
        Start = 0,
        /// Stop it, and do not start it again.
        Stop = 1,
        /// Stop it, then start it.
        Restart = 2,
    }
}

wire_struct! {
    /// What is to become of which service.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServiceOrder {
        /// Which.
        pub name: ServiceName,
        /// What.
        pub act: ServiceAct,
    }
}
