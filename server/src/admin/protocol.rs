//! Requests and responses of the admin link, and their lines.
//!
//! ```text
//! → {"version":1,"request":"topology"}
//! ← {"version":1,"response":"topology","hosts":[…],"untrusted":[]}
//! → {"version":1,"request":"drain","on":true}
//! ← {"version":1,"response":"done"}
//! ← {"version":1,"response":"error","text":"…"}
//! ```
//!
//! A line ends in a line feed. Keys that are not known are ignored.

use super::sessions::{Order, SessionsReport, UserInfo};
use crate::group::report::TopologyReport;
use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// The longest request, in bytes, its line feed not counted.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// The longest response, in bytes, its line feed not counted: room for a full
/// group whose servers all have as many interfaces as they can tell.
pub const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a user may think about a question.
const CONSENT_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// What an administrator asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How does the group look to you?
    Topology,
    /// Take leave, or stop taking leave.
    Drain {
        /// True to take leave: no new sessions from now on.
        on: bool,
    },
    /// Which sessions are there?
    Sessions,
    /// Do something with one.
    Order {
        /// Its id.
        session: String,
        /// What.
        #[serde(flatten)]
        order: Order,
    },
    /// Which users are there?
    Users,
    /// Make a user, or change one.
    SetUser {
        /// The user, as it will be.
        user: UserInfo,
    },
    /// Remove a user.
    RemoveUser {
        /// Its name.
        name: String,
    },
    /// Say whose a token is.
    BindToken {
        /// The token.
        token: String,
        /// The user's name; nobody's if `None`.
        user: Option<String>,
    },
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// The group.
    Topology(TopologyReport),
    /// All sessions.
    Sessions(SessionsReport),
    /// All users.
    Users {
        /// By their names.
        users: Vec<UserInfo>,
    },
    /// It was done, in words.
    Said {
        /// What was done.
        text: String,
    },
    /// It was done.
    Done,
    /// It was not done.
    Error {
        /// What happened, and what to do.
        text: String,
    },
}

/// Why a line is no message of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is longer than it may be.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    /// It is not a JSON object, or not one with a version.
    #[error(
        "the line is not a JSON object such as {{\"version\":1,\"request\":\"topology\"}}: {0}"
    )]
    NotJson(String),
    /// It is of another version.
    #[error("the line is of version {0} of the admin protocol, not {VERSION}")]
    Version(u32),
    /// It asks or answers nothing that is known.
    #[error("the line says nothing that is known: {0}")]
    Unknown(String),
}

#[derive(Serialize)]
struct Line<'a, T> {
    version: u32,
    #[serde(flatten)]
    message: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Request {
    /// How long its answer may take beside what every answer may: a user who
    /// is asked has a minute.
    pub fn patience(&self) -> std::time::Duration {
        match self {
            Request::Order { order: Order::Move { force: false, .. }, .. } => CONSENT_TIME,
            _ => std::time::Duration::ZERO,
        }
    }

    /// Its line, with the line feed.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self).unwrap_or_default()
    }

    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line, REQUEST_BYTES_MAX)
    }
}

impl Response {
    /// An error in words.
    pub fn error(text: impl Into<String>) -> Self {
        Response::Error { text: text.into() }
    }

    /// Its line, with the line feed. A response that is longer than it may be
    /// becomes an error that says so.
    pub fn to_line(&self) -> Vec<u8> {
        match to_line(self) {
            Some(line) if line.len() <= RESPONSE_BYTES_MAX + 1 => line,
            _ => {
                let text = format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes");
                to_line(&Response::error(text)).unwrap_or_default()
            }
        }
    }

    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line, RESPONSE_BYTES_MAX)
    }
}

/// `None` never happens: there is nothing in a message that JSON cannot say.
fn to_line<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { version: VERSION, message }).ok()?;
    line.push(b'\n');
    Some(line)
}

fn parse<T: for<'a> Deserialize<'a>>(line: &[u8], bytes_max: usize) -> Result<T, LineError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() > bytes_max {
        return Err(LineError::TooLong(bytes_max));
    }
    // The version first: another one may say anything else in its own way.
    let Version { version } = serde_json::from_slice(line).map_err(|e| not_json(&e))?;
    if version != VERSION {
        return Err(LineError::Version(version));
    }
    serde_json::from_slice(line).map_err(|e| LineError::Unknown(e.to_string()))
}

fn not_json(error: &serde_json::Error) -> LineError {
    LineError::NotJson(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_the_lines_that_the_documentation_shows() {
        let line = |request: Request| String::from_utf8(request.to_line()).expect("text");
        assert_eq!(line(Request::Topology), "{\"version\":1,\"request\":\"topology\"}\n");
        let drain = Request::Drain { on: true };
        assert_eq!(line(drain), "{\"version\":1,\"request\":\"drain\",\"on\":true}\n");
        let order = |order| Request::Order { session: "ab".into(), order };
        let end = order(Order::End { epoch: None });
        assert_eq!(
            line(end.clone()),
            "{\"version\":1,\"request\":\"order\",\"session\":\"ab\",\"order\":\"end\",\"epoch\":null}\n"
        );
        let service = order(Order::Service { name: "mail".into(), act: "stop".into() });
        let bind = Request::BindToken { token: "soft.ada".into(), user: None };
        let user = Request::SetUser { user: UserInfo::default() };
        let others = [Request::Sessions, Request::Users, end, service, bind, user];
        let first = [Request::Topology, Request::Drain { on: false }];
        for request in first.into_iter().chain(others) {
            assert_eq!(Request::parse(&request.to_line()), Ok(request));
        }
    }

    #[test]
    fn a_response_comes_back_as_it_was() {
        let report = crate::admin::table::tests::report();
        let said = Response::Said { text: "so".into() };
        let users = Response::Users { users: vec![UserInfo::default()] };
        let others = [said, users, Response::Done, Response::error("no")];
        for response in others.into_iter().chain([Response::Topology(report)]) {
            assert_eq!(Response::parse(&response.to_line()), Ok(response));
        }
    }

    #[test]
    fn a_bad_line_says_what_is_wrong_with_it() {
        let said = |line: &str| Request::parse(line.as_bytes()).expect_err(line).to_string();
        assert!(said("topology").contains("not a JSON object such as"), "{}", said("topology"));
        assert!(said("{\"request\":\"topology\"}").contains("missing field `version`"));
        assert!(said("{\"version\":-1,\"request\":\"topology\"}").contains("invalid value"));
        let later = "{\"version\":2,\"request\":[]}";
        assert_eq!(Request::parse(later.as_bytes()), Err(LineError::Version(2)));
        assert!(
            said("{\"version\":1,\"request\":\"reboot\"}").contains("unknown variant `reboot`")
        );
        assert!(said("{\"version\":1,\"request\":\"drain\"}").contains("missing field `on`"));
        let long = format!("{{\"version\":1,\"request\":\"{}\"}}", "x".repeat(REQUEST_BYTES_MAX));
        assert_eq!(Request::parse(long.as_bytes()), Err(LineError::TooLong(REQUEST_BYTES_MAX)));
        assert!(said(&"[".repeat(REQUEST_BYTES_MAX)).contains("not a JSON object"));
    }

    #[test]
    fn keys_that_are_not_known_are_ignored() {
        let line = b"{\"version\":1,\"hurry\":true,\"request\":\"topology\",\"a\":{\"b\":[]}}";
        assert_eq!(Request::parse(line), Ok(Request::Topology));
    }

    #[test]
    fn a_response_that_is_too_long_becomes_an_error() {
        let line = Response::error("x".repeat(RESPONSE_BYTES_MAX)).to_line();
        let Ok(Response::Error { text }) = Response::parse(&line) else { panic!("an error") };
        assert!(text.contains("longer than"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&line);
            let _ = Response::parse(&line);
        }
    }
}
