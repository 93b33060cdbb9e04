//! `afterglowctl sessions`, `services`, `users` and `drain`.

use super::ask::ask;
use super::protocol::{Request, Response};
use super::sessions::{Order, SessionInfo, SessionsReport, State, UserInfo};
use super::sessions_table as table;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The shortest beginning of an id that names a session.
const ID_DIGITS_MIN: usize = 4;
/// How often a server that takes leave is asked who is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to do with sessions. ID is a session's id, or a beginning of it of at
/// least four digits that no other has.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List all sessions of the group, and earlier copies.
    List {
        /// Print the data, as JSON.
        #[arg(long)]
        json: bool,
        /// Only those of this token, as it is listed.
        #[arg(long)]
        token: Option<String>,
    },
    /// Print all about one session.
    Show {
        /// The session.
        id: String,
        /// Print the data, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a session from the screen that shows it; it runs on.
    Disconnect {
        /// The session.
        id: String,
    },
    /// End a session and its programs.
    End {
        /// The session.
        id: String,
        /// End the earlier copy of this epoch instead.
        #[arg(long)]
        epoch: Option<u64>,
    },
    /// Let an earlier copy go on, as a session of its own.
    Continue {
        /// The session.
        id: String,
        /// The copy's epoch.
        #[arg(long)]
        epoch: u64,
    },
    /// Start a session's services again on another server; its programs end.
    /// The user who looks at it is asked first, and has a minute to agree.
    Move {
        /// The session.
        id: String,
        /// The server.
        #[arg(long)]
        to: String,
        /// Says that you know that programs end.
        #[arg(long, required = true)]
        restart: bool,
        /// Do not ask the user.
        #[arg(long)]
        force: bool,
    },
}

/// What to do with the services of a session.
#[derive(Debug, Subcommand)]
pub enum Services {
    /// List them.
    List {
        /// The session.
        id: String,
        /// Print the data, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start one.
    Start(Service),
    /// Stop one; a required one is restarted.
    Stop(Service),
    /// Stop one, and start it again.
    Restart(Service),
}

/// A service of a session.
#[derive(Debug, Args)]
pub struct Service {
    /// The session.
    id: String,
    /// The service.
    name: String,
}

/// What to do with the store's users: whose sessions are configured how.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// List them.
    List {
        /// Print the data, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a user, or change one: what is not told stays as it is, and
    /// "default" is the server's configuration.
    Set {
        /// The user.
        name: String,
        /// The Unix account that the sessions run as, where the server is root.
        #[arg(long)]
        account: Option<String>,
        /// The home directory.
        #[arg(long)]
        home: Option<String>,
        /// The desktop: a program and its arguments, separated by spaces.
        #[arg(long)]
        desktop: Option<String>,
        /// The services that the user has, separated by commas.
        #[arg(long)]
        catalogue: Option<String>,
        /// The services that have to run, separated by commas.
        #[arg(long)]
        required: Option<String>,
        /// The size to begin with, such as 1280x720.
        #[arg(long)]
        size: Option<String>,
    },
    /// Remove a user. Its tokens and their sessions stay.
    Remove {
        /// The user.
        name: String,
    },
    /// Say whose a token is.
    Bind {
        /// The token, such as card.04a2.
        token: String,
        /// The user.
        #[arg(required_unless_present = "none")]
        user: Option<String>,
        /// Nobody's.
        #[arg(long, conflicts_with = "user")]
        none: bool,
    },
}

/// Does what `afterglowctl sessions` wants.
pub async fn sessions(socket: &Path, command: Sessions) -> anyhow::Result<()> {
    let (id, order) = match command {
        Sessions::List { json, token } => {
            let mut report = listed(socket).await?;
            report.sessions.retain(|s| token.as_ref().is_none_or(|token| s.token == *token));
            return print(json, &report, table::sessions);
        }
        Sessions::Show { id, json } => {
            let found = find(socket, &id, None).await?;
            return print(json, &found, table::session);
        }
        Sessions::Disconnect { id } => (find(socket, &id, None).await?, Order::Disconnect),
        Sessions::End { id, epoch } => (find(socket, &id, epoch).await?, Order::End { epoch }),
        Sessions::Continue { id, epoch } => {
            (find(socket, &id, Some(epoch)).await?, Order::Continue { epoch })
        }
        Sessions::Move { id, to, restart: _, force } => {
            (find(socket, &id, None).await?, Order::Move { to, force })
        }
    };
    give(socket, id.session, order).await
}

/// Does what `afterglowctl services` wants.
pub async fn services(socket: &Path, command: Services) -> anyhow::Result<()> {
    let (Service { id, name }, act) = match command {
        Services::List { id, json } => {
            let found = find(socket, &id, None).await?;
            return print(json, &found.services, |services| table::services(services));
        }
        Services::Start(service) => (service, "start"),
        Services::Stop(service) => (service, "stop"),
        Services::Restart(service) => (service, "restart"),
    };
    let found = find(socket, &id, None).await?;
    give(socket, found.session, Order::Service { name, act: act.into() }).await
}

/// Does what `afterglowctl users` wants.
pub async fn users(socket: &Path, command: Users) -> anyhow::Result<()> {
    let request = match command {
        Users::List { json } => {
            return print(json, &all_users(socket).await?, |users| table::users(users));
        }
        Users::Set { name, account, home, desktop, catalogue, required, size } => {
            let known = all_users(socket).await?.into_iter().find(|user| user.name == name);
            let before = known.unwrap_or(UserInfo { name, ..UserInfo::default() });
            let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
            let names = |text: String| {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            };
            let user = UserInfo {
                account: changed(before.account, account, |text| text),
                home: changed(before.home, home, |text| text),
                desktop: changed(before.desktop, desktop, words),
                catalogue: changed(before.catalogue, catalogue, names),
                required: changed(before.required, required, names),
                size: changed(before.size, size, |text| text),
                ..before
            };
            Request::SetUser { user }
        }
        Users::Remove { name } => Request::RemoveUser { name },
        Users::Bind { token, user, none: _ } => Request::BindToken { token, user },
    };
    match ask(socket, &request).await? {
        Response::Done => say("done"),
        _ => strange(),
    }
}

/// Takes the server out of service, and waits for those who are there.
pub async fn drain(socket: &Path, on: bool, wait: bool) -> anyhow::Result<()> {
    let Response::Done = ask(socket, &Request::Drain { on }).await? else { return strange() };
    if !on {
        return say("not draining: the server takes new sessions");
    }
    say("draining: the server gets no new sessions, and those it has go on; `afterglowctl \
         undrain` ends it")?;
    if !wait {
        return Ok(());
    }
    tokio::select! {
        waited = wait_for_sessions(socket) => waited,
        _ = tokio::signal::ctrl_c() => say("still draining; `afterglowctl undrain` ends it"),
    }
}

async fn wait_for_sessions(socket: &Path) -> anyhow::Result<()> {
    let mut told = Vec::new();
    loop {
        let report = listed(socket).await?;
        let here = |s: &&SessionInfo| {
            s.server == report.server && matches!(s.state, State::Running | State::Starting)
        };
        let there: Vec<_> = report.sessions.iter().filter(here).collect();
        if there.is_empty() {
            return say("no session is left here");
        }
        // Ages change, and are no news.
        let who: Vec<_> = there.iter().map(|s| (s.session.clone(), s.shown_on.clone())).collect();
        if who != told {
            for session in there {
                say(&table::waiting(session))?;
            }
            told = who;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn listed(socket: &Path) -> anyhow::Result<SessionsReport> {
    match ask(socket, &Request::Sessions).await? {
        Response::Sessions(report) => Ok(report),
        _ => strange(),
    }
}

async fn all_users(socket: &Path) -> anyhow::Result<Vec<UserInfo>> {
    match ask(socket, &Request::Users).await? {
        Response::Users { users } => Ok(users),
        _ => strange(),
    }
}

/// The session whose id begins so; of an earlier copy the one of this epoch.
async fn find(socket: &Path, id: &str, epoch: Option<u64>) -> anyhow::Result<SessionInfo> {
    let report = listed(socket).await?;
    let trouble = report.trouble;
    let found = pick(report.sessions, id, epoch);
    if trouble.is_empty() { found } else { found.context(trouble) }
}

fn pick(sessions: Vec<SessionInfo>, id: &str, epoch: Option<u64>) -> anyhow::Result<SessionInfo> {
    if id.len() < ID_DIGITS_MIN {
        bail!("{id:?} is too short to name a session: give at least {ID_DIGITS_MIN} digits");
    }
    let wanted = |s: &SessionInfo| match epoch {
        Some(epoch) => s.epoch == epoch,
        None => s.state != State::OlderCopy,
    };
    let begins = |s: &SessionInfo| s.session.starts_with(&id.to_ascii_lowercase());
    let mut found = sessions.into_iter().filter(|s| begins(s) && wanted(s));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => bail!("several sessions begin with {id}: give more of the id"),
        (None, _) => bail!("no session begins with {id}; see `afterglowctl sessions list`"),
    }
}

async fn give(socket: &Path, session: String, order: Order) -> anyhow::Result<()> {
    match ask(socket, &Request::Order { session, order }).await? {
        Response::Said { text } => say(&text),
        _ => strange(),
    }
}

/// What is not told stays; "default" clears it.
fn changed<T>(before: Option<T>, told: Option<String>, read: impl Fn(String) -> T) -> Option<T> {
    match told {
        None => before,
        Some(text) if text == "default" => None,
        Some(text) => Some(read(text)),
    }
}

fn print<T: serde::Serialize>(
    json: bool,
    data: &T,
    form: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let text = match json {
        true => serde_json::to_string(data)? + "\n",
        false => form(data),
    };
    put(&text)
}

fn say(text: &str) -> anyhow::Result<()> {
    put(&format!("{text}\n"))
}

/// Who does not read it does not want it.
fn put(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

fn strange<T>() -> anyhow::Result<T> {
    bail!("the server's answer is none to this; use the afterglowctl that came with it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(session: &str, epoch: u64, state: State) -> SessionInfo {
        SessionInfo {
            session: session.into(),
            epoch,
            token: String::new(),
            name: String::new(),
            server: "mud".into(),
            state,
            age_ms: 0,
            endpoint: None,
            shown_on: None,
            services: Vec::new(),
            trouble: String::new(),
        }
    }

    #[test]
    fn a_session_is_named_by_a_beginning_that_no_other_has() {
        let all = || {
            vec![
                info("abcd1234", 2, State::Running),
                info("abcd1234", 1, State::OlderCopy),
                info("abcf0000", 1, State::Running),
            ]
        };
        let found = |id: &str, epoch| pick(all(), id, epoch).map_err(|e| e.to_string());
        assert_eq!(found("ABCD", None).map(|s| s.epoch), Ok(2));
        assert_eq!(found("abcd", Some(1)).map(|s| s.state), Ok(State::OlderCopy));
        assert!(found("abc", None).unwrap_err().contains("too short"));
        assert!(found("abce", None).unwrap_err().contains("no session begins with"));
        let mut twice = all();
        twice.push(info("abcd9999", 1, State::Running));
        let said = pick(twice, "abcd", None).unwrap_err().to_string();
        assert!(said.contains("several sessions"), "{said}");
    }

    #[test]
    fn what_is_not_told_stays_and_default_clears() {
        let same = |text| text;
        assert_eq!(changed(Some("a".to_owned()), None, same), Some("a".into()));
        assert_eq!(changed(Some("a".to_owned()), Some("b".into()), same), Some("b".into()));
        assert_eq!(changed(Some("a".to_owned()), Some("default".into()), same), None);
    }
}
