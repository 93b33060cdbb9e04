//! Sessions, services and users as the admin link tells of them, and what an
//! administrator wants done with them.

use crate::core::AdminOrder;
use crate::session::table::LocalSession;
use crate::store::{CopyRow, SessionRow, UserRow};
use afterglow_wire::ids::{Epoch, InvalidName, SessionId};
use afterglow_wire::service::{ServiceAct, ServiceOrder, ServiceState, ServiceStatus};
use serde::{Deserialize, Serialize};

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs, as far as is known.
    Running,
    /// It is being started.
    Starting,
    /// It does not run: its services are started again for its next insert.
    Lost,
    /// It is an earlier copy of a session that was taken over: frozen.
    OlderCopy,
}

/// A session, or an earlier copy of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub session: String,
    /// Its epoch.
    pub epoch: u64,
    /// Whose it is, without what the token is.
    pub token: String,
    /// What its user calls it.
    pub name: String,
    /// The server on whose host it is.
    pub server: String,
    /// How it stands.
    pub state: State,
    /// How long ago it was new, or frozen, in milliseconds.
    pub age_ms: u64,
    /// Where its display link is.
    pub endpoint: Option<String>,
    /// The desktop unit that shows it, if it is on the host of the server that
    /// was asked.
    pub shown_on: Option<String>,
    /// Its services. Of a session elsewhere those that ran when its server
    /// last told.
    pub services: Vec<ServiceInfo>,
    /// What is wrong with it; else empty.
    pub trouble: String,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// `stopped`, `starting`, `running` or `failed`.
    pub state: String,
    /// True if it is started again whenever it ends.
    pub required: bool,
    /// Where it runs; empty for the session's own host.
    pub host: String,
    /// Why it failed; else empty.
    pub text: String,
}

/// All sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsReport {
    /// The server that was asked.
    pub server: String,
    /// The sessions, and after them earlier copies.
    pub sessions: Vec<SessionInfo>,
    /// Why some may be missing; else empty.
    pub trouble: String,
}

/// A user of the store. What is `None` is the server's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `UserRow`")]
pub struct UserInfo {
    pub name: String,
    pub account: Option<String>,
    pub home: Option<String>,
    pub desktop: Option<Vec<String>>,
    pub catalogue: Option<Vec<String>>,
    pub required: Option<Vec<String>>,
    pub size: Option<String>,
    /// The user's tokens; ignored when a user is set.
    #[serde(default)]
    pub tokens: Vec<String>,
}

/// What is to become of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Take it from the screen that shows it.
    Disconnect,
    /// End it, or this earlier copy of it.
    End {
        /// The earlier copy's epoch.
        epoch: Option<u64>,
    },
    /// Let an earlier copy go on.
    Continue {
        /// The copy's epoch.
        epoch: u64,
    },
    /// Let another server start its services again.
    Move {
        /// The server.
        to: String,
        /// True if its user is not asked.
        force: bool,
    },
    /// Start, stop or restart a service.
    Service {
        /// Its name.
        name: String,
        /// `start`, `stop` or `restart`.
        act: String,
    },
}

impl Order {
    /// As the core takes it.
    pub fn for_core(&self, session: SessionId) -> Result<AdminOrder, InvalidName> {
        Ok(match self {
            Order::Disconnect => AdminOrder::Disconnect { session },
            Order::End { epoch } => AdminOrder::End { session, epoch: epoch.map(Epoch) },
            Order::Continue { epoch } => AdminOrder::Continue { session, epoch: Epoch(*epoch) },
            Order::Move { to, force } => {
                AdminOrder::Move { session, to: to.parse()?, force: *force }
            }
            Order::Service { name, act } => {
                let act = match act.as_str() {
                    "start" => ServiceAct::Start,
                    "stop" => ServiceAct::Stop,
                    _ => ServiceAct::Restart,
                };
                AdminOrder::Service { session, order: ServiceOrder { name: name.parse()?, act } }
            }
        })
    }
}

impl SessionInfo {
    /// From the store, with what is known of it on this host.
    pub fn of_row(row: &SessionRow, here: Option<&LocalSession>, wall_ms: u64) -> Self {
        let state = match here {
            Some(known) if known.endpoint.is_some() => State::Running,
            Some(_) => State::Starting,
            None if row.endpoint.is_some() => State::Running,
            None => State::Lost,
        };
        let stored = row.services.iter().map(|name| ServiceInfo {
            name: name.to_string(),
            state: "running".into(),
            required: false,
            host: String::new(),
            text: String::new(),
        });
        SessionInfo {
            session: row.id.to_string(),
            epoch: row.epoch.0,
            token: format!("{:?}", row.token),
            name: row.name.clone(),
            server: row.owner.to_string(),
            state,
            age_ms: wall_ms.saturating_sub(row.created_ms),
            endpoint: row.endpoint.map(|endpoint| endpoint.to_string()),
            shown_on: here.and_then(|known| known.shown_on).map(|dtu| dtu.to_string()),
            services: match here {
                Some(known) => known.services.iter().map(ServiceInfo::of).collect(),
                None => stored.collect(),
            },
            trouble: here.map(|known| known.trouble.clone()).unwrap_or_default(),
        }
    }

    /// An earlier copy, from the store.
    pub fn of_copy(copy: &CopyRow, wall_ms: u64) -> Self {
        SessionInfo {
            session: copy.session.to_string(),
            epoch: copy.epoch.0,
            token: format!("{:?}", copy.token),
            name: copy.name.clone(),
            server: copy.owner.to_string(),
            state: State::OlderCopy,
            age_ms: wall_ms.saturating_sub(copy.since_ms),
            endpoint: None,
            shown_on: None,
            services: Vec::new(),
            trouble: String::new(),
        }
    }

    /// What is known on this host alone.
    pub fn of_local(known: &LocalSession, me: &str) -> Self {
        let state = match (known.stale, known.endpoint) {
            (true, _) => State::OlderCopy,
            (false, Some(_)) => State::Running,
            (false, None) => State::Starting,
        };
        SessionInfo {
            session: known.id.to_string(),
            epoch: known.epoch.0,
            token: format!("{:?}", known.token),
            name: String::new(),
            server: me.to_owned(),
            state,
            age_ms: 0,
            endpoint: known.endpoint.map(|endpoint| endpoint.to_string()),
            shown_on: known.shown_on.map(|dtu| dtu.to_string()),
            services: known.services.iter().map(ServiceInfo::of).collect(),
            trouble: known.trouble.clone(),
        }
    }
}

impl ServiceInfo {
    fn of(status: &ServiceStatus) -> Self {
        let state = match status.state {
            ServiceState::Stopped => "stopped",
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Failed => "failed",
        };
        ServiceInfo {
            name: status.name.to_string(),
            state: state.into(),
            required: status.required,
            host: status.host.clone(),
            text: status.text.clone(),
        }
    }
}

impl UserInfo {
    /// From the store.
    pub fn of_row(row: &UserRow, tokens: Vec<String>) -> Self {
        let names = |names: &Option<Vec<_>>| {
            names.as_ref().map(|names| names.iter().map(ToString::to_string).collect())
        };
        UserInfo {
            name: row.name.clone(),
            account: row.account.clone(),
            home: row.home.clone(),
            desktop: row.desktop.clone(),
            catalogue: names(&row.catalogue),
            required: names(&row.required),
            size: row.size.map(|size| size.to_string()),
            tokens,
        }
    }

    /// For the store.
    pub fn to_row(&self) -> Result<UserRow, InvalidName> {
        let names = |names: &Option<Vec<String>>| {
            let parsed = |names: &Vec<String>| names.iter().map(|name| name.parse()).collect();
            names.as_ref().map(parsed).transpose()
        };
        Ok(UserRow {
            name: self.name.clone(),
            account: self.account.clone(),
            home: self.home.clone(),
            desktop: self.desktop.clone(),
            catalogue: names(&self.catalogue)?,
            required: names(&self.required)?,
            size: self.size.as_ref().map(|size| size.parse()).transpose()?,
        })
    }
}
